//! The inference node's program.

use edgeflow_inference::node::{InferenceNode, USAGE};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    edgeflow_ros::program(USAGE, async |context, stop| {
        let node = InferenceNode::start(context)?;
        tracing::info!(node = node.node().fully_qualified_name(), "inference node started");
        stop.await?;
        let counters = node.stop().await;
        tracing::info!(results = counters.results, refused = counters.refused, dropped = counters.dropped, "inference node stopped");
        anyhow::Ok(())
    })
    .await
}
