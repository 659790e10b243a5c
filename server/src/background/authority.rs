//! Keeps the certificate of our listeners in time, and tells of robots' that are not.

use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often it is looked at; it lives for months.
const PERIOD: Duration = Duration::from_secs(3600);

/// Runs until `shutdown`.
pub async fn refresh_authority(app: Arc<App>, shutdown: CancellationToken) {
    let work = async {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            let renewed = app.refresh_authority();
            app.note_round("certificates", PERIOD, &renewed);
            match renewed {
                Ok(true) => tracing::info!("the listeners have a new certificate"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the listeners' certificate was not renewed; it is tried again in an hour"),
            }
            if let Err(error) = app.look_at_certificates().await {
                tracing::error!(%error, "could not look for certificates that expire");
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}
