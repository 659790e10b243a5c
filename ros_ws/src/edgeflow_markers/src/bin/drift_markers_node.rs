//! The drift markers node's program.

use edgeflow_markers::node::{DriftMarkers, USAGE};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    edgeflow_ros::program(USAGE, async |context, stop| {
        let markers = DriftMarkers::start(context)?;
        tracing::info!(node = markers.node().fully_qualified_name(), "drift markers node started");
        tokio::select! {
            () = markers.run() => {}
            stop = stop => stop?,
        }
        anyhow::Ok(())
    })
    .await
}
