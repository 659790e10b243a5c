//! The inference node's program.
#![allow(clippy::print_stdout, reason = "--help is this program's only output")]

use std::task::Poll;

use edgeflow_inference::node::{InferenceNode, USAGE};
use edgeflow_ros::{Context, init_tracing, shutdown_signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if std::env::args().any(|arg| arg == "--help" || arg == "-h") {
        print!("{USAGE}");
        return Ok(());
    }
    let context = Context::create()?;
    init_tracing(&context);
    if let Some(argument) = context.non_ros_args().first() {
        anyhow::bail!("unknown argument `{argument}`; settings go behind --ros-args, see --help");
    }
    // Polled once before the node is seen by anyone, so that a signal never meets the default handler.
    let mut told_to_stop = std::pin::pin!(shutdown_signal());
    if let Poll::Ready(stop) = futures::poll!(told_to_stop.as_mut()) {
        return Ok(stop?);
    }
    let node = InferenceNode::start(&context)?;
    tracing::info!(node = node.node().fully_qualified_name(), "inference node started");
    told_to_stop.await?;
    let counters = node.stop().await;
    tracing::info!(results = counters.results, refused = counters.refused, dropped = counters.dropped, "inference node stopped");
    context.shutdown()?;
    Ok(())
}
