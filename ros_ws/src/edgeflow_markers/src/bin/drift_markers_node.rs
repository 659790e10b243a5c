//! The drift markers node's program.
#![allow(clippy::print_stdout, reason = "--help is this program's only output")]

use std::task::Poll;

use edgeflow_markers::node::{DriftMarkers, USAGE};
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
    let markers = DriftMarkers::start(&context)?;
    tracing::info!(node = markers.node().fully_qualified_name(), "drift markers node started");
    tokio::select! {
        () = markers.run() => {}
        stop = told_to_stop => stop?,
    }
    context.shutdown()?;
    Ok(())
}
