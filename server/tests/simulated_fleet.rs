//! Rollouts over a simulated fleet, over the wire: robots that are away, that break, that fall silent; a control plane that is killed in
//! the middle. In the end each robot is where it must be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

use clap::Parser;
use edgeflow_sim::fleet::{Args, Outcome, Pace, go};
use std::{path::Path, time::Duration};

/// Runs what the arguments say with robots that are in a hurry.
async fn run(arguments: &[&str]) -> (Args, Outcome) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_edgeflow-server")).parent().unwrap();
    let programs = programs.display().to_string();
    let all = ["edgeflow_fleet", "--robots", "300", "--connections", "30", "--deadline-s", "20", "--minutes", "4", "--bin-dir", &programs];
    let args = Args::parse_from(all.iter().chain(arguments));
    let mut plan = args.plan(folder.path().to_owned());
    plan.crew.pace =
        Pace { ask: Duration::from_secs(2), apply: Duration::from_millis(100), report: Duration::from_secs(4), missions: true };
    let outcome = go(&plan, |line| eprintln!("{line}")).await.unwrap();
    (args, outcome)
}

#[tokio::test]
async fn every_robot_is_where_it_must_be_though_the_control_plane_is_killed_in_the_middle() {
    let (args, outcome) = run(&["--seed", "11", "--kill-in", "tenth", "--kill-in", "all"]).await;
    assert_eq!(outcome.complaints(args.expected()), Vec::<String>::new());
    assert_eq!(outcome.killed, 2);
    assert!(outcome.traffic.unanswered > 0, "the robots noticed");
    assert_eq!(outcome.traffic.refused, 0);
}

#[tokio::test]
async fn a_version_that_is_often_wrong_is_stopped_by_its_gates_and_every_robot_has_what_it_had() {
    let (args, outcome) = run(&["--seed", "12", "--bad", "--breaks", "0", "--silent", "0"]).await;
    assert_eq!(outcome.complaints(args.expected()), Vec::<String>::new());
    assert!(outcome.cause.contains("accuracy"), "{}", outcome.cause);
}
