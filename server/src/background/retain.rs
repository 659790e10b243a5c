//! Keeps robots' logs and captures within the retention policy: once a minute whatever is due, a small step at a time.

use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// From one round to the next.
const EVERY: Duration = Duration::from_secs(60);

/// Runs until `shutdown`.
pub async fn retain(app: Arc<App>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        let retained = app.retain(&shutdown).await;
        app.note_round("retention", EVERY, &retained);
        if let Err(error) = retained {
            tracing::warn!(%error, "a round of retention broke off; the next one goes on where it stopped");
        }
        let kept = app.retain_captures().await;
        app.note_round("captures", EVERY, &kept);
        if let Err(error) = kept {
            tracing::warn!(%error, "captures that are due to go were not all removed; the next round goes on");
        }
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
}
