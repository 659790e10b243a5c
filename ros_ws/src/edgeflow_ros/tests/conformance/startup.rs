//! How a program starts and is stopped.

use super::{PATIENCE, World};
use edgeflow_ros::Context;

#[tokio::test(flavor = "multi_thread")]
async fn a_programs_own_arguments_are_left_to_it() {
    let world = World::new();
    let context = world.program("--fast --ros-args -p a:=1 -- input.csv");
    assert_eq!(context.non_ros_args(), ["--fast", "input.csv"]);
    let error = Context::with_args(["--ros-args".into(), "-x".into()]).err().unwrap();
    assert!(error.to_string().contains("-x"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_comes_before_anybody_waits_is_not_lost() {
    let stop = edgeflow_ros::shutdown_signal();
    let killed = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(killed.success());
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
}
