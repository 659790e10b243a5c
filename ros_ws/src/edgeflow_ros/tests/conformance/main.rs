//! How a node behaves, whatever stack is behind the door. Each test has a graph of its own.

#![cfg(all(feature = "embedded", not(feature = "r2r")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod dynamic;
mod graph;
mod parameters;
mod queues;
mod services;
mod startup;
mod topics;
mod types;

use edgeflow_ros::{Context, router::Router};
use std::time::Duration;

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
