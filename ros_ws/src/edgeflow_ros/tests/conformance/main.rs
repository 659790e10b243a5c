//! How a node behaves, whatever stack is behind the door. Each test has a graph of its own.

#![cfg(all(feature = "embedded", not(feature = "r2r")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod actions;
mod dynamic;
mod graph;
mod lifecycle;
mod logging;
mod parameters;
mod qos;
mod queues;
mod services;
mod startup;
mod topics;
mod types;

use edgeflow_ros::{Context, router::Router};
use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr},
};

/// More than anything here takes; what should come in time comes far sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// A ROS graph of its own.
struct World {
    router: Router,
}

impl World {
    fn new() -> Self {
        Self { router: Router::start("127.0.0.1:0".parse().unwrap()).unwrap() }
    }

    /// A program in it, started with these arguments.
    fn program(&self, arguments: &str) -> Context {
        let arguments = arguments.split_whitespace().map(str::to_string);
        Context::builder().arguments(arguments).router(self.router.addr()).build().unwrap()
    }

    /// One of the examples as a process of its own in it.
    fn example(&self, name: &str, arguments: &str, environment: &[(&str, &str)]) -> Program {
        // Beside this test, where cargo puts the examples it builds with the tests.
        let path = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples").join(name);
        let mut command = tokio::process::Command::new(&path);
        command.args(arguments.split_whitespace()).env("EDGEFLOW_ROS_ROUTER", self.router.addr().to_string());
        command.env_remove("RUST_LOG").envs(environment.iter().copied());
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let console = BufReader::new(child.stderr.take().unwrap()).lines();
        Program { child, console }
    }
}

/// A running example.
struct Program {
    child: Child,
    console: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// The next line on the console.
    async fn line(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.console.next_line()).await.expect("no line came").unwrap().expect("the console ended")
    }

    /// SIGTERM; its exit status and what it still had to say.
    async fn stop(mut self) -> (ExitStatus, Vec<String>) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut rest = Vec::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, self.console.next_line()).await.expect("it did not stop").unwrap() {
            rest.push(line);
        }
        (tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it did not stop").unwrap(), rest)
    }
}

/// Waits for what has no event to wait for.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let wait = async {
        while !condition() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come to be"));
}

/// The next item of a stream.
async fn next<S: futures::Stream + Unpin>(stream: &mut S) -> S::Item {
    use futures::StreamExt;
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("nothing came").expect("the stream ended")
}
