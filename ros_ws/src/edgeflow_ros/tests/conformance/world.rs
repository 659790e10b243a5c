//! Where a test's programs meet: on the embedded stack at a router of the test's own, with r2r in the domain of
//! the environment, which one test has for itself at a time.

use super::Program;
use edgeflow_ros::Context;
use std::process::{Command, Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStderr,
};

/// A ROS graph of its own.
pub(super) struct World {
    #[cfg(not(feature = "r2r"))]
    pub(super) router: edgeflow_ros::router::Router,
    #[cfg(feature = "r2r")]
    _domain: std::fs::File,
}

#[cfg(not(feature = "r2r"))]
impl World {
    pub(super) fn new() -> Self {
        Self { router: edgeflow_ros::router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap() }
    }

    fn context(&self, arguments: impl Iterator<Item = String>) -> Context {
        Context::builder().arguments(arguments).router(self.router.addr()).build().unwrap()
    }

    fn meet_here(&self, command: &mut Command) {
        command.env("EDGEFLOW_ROS_ROUTER", self.router.addr().to_string());
    }
}

#[cfg(feature = "r2r")]
impl World {
    /// Waits until no other test is in the domain, of this process or another.
    pub(super) fn new() -> Self {
        let domain = std::env::var("ROS_DOMAIN_ID").unwrap_or_else(|_| "0".into());
        let path = std::env::temp_dir().join(format!("edgeflow_ros_conformance_{domain}.lock"));
        let lock = std::fs::File::create(path).unwrap();
        lock.lock().unwrap();
        Self { _domain: lock }
    }

    fn context(&self, arguments: impl Iterator<Item = String>) -> Context {
        Context::builder().arguments(arguments).build().unwrap()
    }

    /// It inherits the domain.
    fn meet_here(&self, _command: &mut Command) {}
}

impl World {
    /// A program in it, started with these arguments.
    pub(super) fn program(&self, arguments: &str) -> Context {
        self.context(arguments.split_whitespace().map(str::to_string))
    }

    /// One of the examples as a process of its own in it.
    pub(super) fn example(&self, name: &str, arguments: &str, environment: &[(&str, &str)]) -> Program {
        // Beside this test, where cargo puts the examples it builds with the tests.
        let path = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples").join(name);
        let mut command = Command::new(&path);
        self.meet_here(command.args(arguments.split_whitespace()));
        command.env_remove("RUST_LOG").envs(environment.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let console = BufReader::new(ChildStderr::from_std(child.stderr.take().unwrap()).unwrap()).lines();
        Program { child, console }
    }
}
