//! Tells an OpenLineage endpoint what happened to lineage, each event at least once.
//!
//! How far it was told is noted after it took a page, so a crash in between tells that page again; run ids are the same each time. One
//! server holds the data folder alone, which is the lease.

use edgeflow_core::Principal;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, AppError},
    openlineage::{Endpoint, EndpointError},
};

/// Happenings that are told before it is noted.
const PAGE: u32 = 100;
/// Longest wait for an endpoint that cannot be told.
const MAX_WAIT: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Runs until `shutdown`.
pub async fn tell_lineage(app: Arc<App>, endpoint: Endpoint, shutdown: CancellationToken) {
    let every = endpoint.options().every;
    let work = async {
        let mut wait = every;
        loop {
            match round(&app, &endpoint).await {
                Ok(true) => {
                    wait = every;
                    continue;
                }
                Ok(false) => wait = every,
                Err(error) => {
                    tracing::warn!(%error, retry_s = wait.as_secs(), "lineage was not told to the OpenLineage endpoint; it is tried again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(MAX_WAIT).max(every);
                    continue;
                }
            }
            tokio::time::sleep(wait).await;
        }
    };
    shutdown.run_until_cancelled(work).await;
}

/// Tells a page. Whether there may be another.
async fn round(app: &App, endpoint: &Endpoint) -> Result<bool, TellError> {
    let name = endpoint.name();
    let after = app.lineage_told(&name).await?;
    let page = app.lineage_events(&Principal::administrator(), &endpoint.options().namespace, after, PAGE).await?;
    if page.next == after {
        return Ok(false);
    }
    endpoint.tell(&page.events).await?;
    app.set_lineage_told(&name, page.next).await?;
    Ok(page.more)
}
