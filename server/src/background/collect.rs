//! Removes bytes that nothing refers to any more, a while after the last one that did is gone.

use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// From one round to the next.
const EVERY: Duration = Duration::from_secs(600);

/// Runs until `shutdown`. A round that breaks off leaves doubts for the next one.
pub async fn collect(app: Arc<App>, shutdown: CancellationToken) {
    let work = async {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let collected = app.collect_artifacts().await;
            app.note_round("collector", EVERY, &collected);
            if let Err(error) = collected {
                tracing::warn!(%error, "artifacts nobody refers to were not all removed; it is tried again in ten minutes");
            }
            if let Err(error) = app.collect_multiparts().await {
                tracing::warn!(%error, "uploads nobody went on with were not all removed; it is tried again in ten minutes");
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}
