//! How a node behaves, whatever stack is behind the door. Each test has a graph of its own.

// Type-checking without ROS 2 builds programs that cannot run.
#![cfg(not(feature = "doc-only"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod actions;
mod dynamic;
#[cfg(feature = "r2r")]
mod foreign;
mod graph;
mod lifecycle;
mod logging;
mod parameters;
mod qos;
mod queues;
#[cfg(not(feature = "r2r"))]
mod routers;
mod services;
mod startup;
mod topics;
mod types;
mod world;

use std::{
    process::{Child, ExitStatus},
    time::Duration,
};
use tokio::{
    io::{BufReader, Lines},
    process::ChildStderr,
};
use world::World;

/// More than anything here takes; what should come in time comes far sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the stack is r2r, which cannot list services, nor the subscriptions of others.
const R2R: bool = cfg!(feature = "r2r");

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
        self.terminate();
        let mut rest = Vec::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, self.console.next_line()).await.expect("it did not stop").unwrap() {
            rest.push(line);
        }
        (self.child.wait().unwrap(), rest)
    }

    fn terminate(&self) {
        let killed = std::process::Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(killed.unwrap().success());
    }
}

impl Drop for Program {
    /// A program that is killed stays in the graph of DDS for a while, where the next test would meet it.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.terminate();
            let _ = self.child.wait();
        }
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
