//! Gives robots that came lately what is declared for them, whatever kept it from them at first: a control plane that died between, a
//! rollout that had to end.

use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(5);

/// Runs until `shutdown`.
pub async fn converge(app: Arc<App>, shutdown: CancellationToken) {
    let work = async {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = app.converge_fleet().await {
                tracing::warn!(%error, "could not give robots what is declared for them; they are looked at again");
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}
