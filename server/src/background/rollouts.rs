//! Rollouts go on: when robots say something, when operators act, and once a second while one has not ended. A round that breaks off,
//! or a control plane that ends in the middle of one, leaves whole steps: the next one goes on from there.

use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// From one round to the next while a rollout has not ended.
const EVERY: Duration = Duration::from_secs(1);
/// The same while all have: another server may have made one.
const IDLE: Duration = Duration::from_secs(5);
/// How long what robots say is gathered.
const GATHER: Duration = Duration::from_millis(100);

/// Runs until `shutdown`.
pub async fn step_rollouts(app: Arc<App>, shutdown: CancellationToken) {
    let work = async {
        loop {
            let round = app.step_rollouts().await;
            app.note_round("rollouts", IDLE, &round);
            let wait = match round {
                Ok(false) => IDLE,
                Ok(true) => EVERY,
                Err(error) => {
                    tracing::error!(%error, "a round of rollouts broke off; the next one goes on");
                    EVERY
                }
            };
            // Either way there is something to look at.
            let _ = timeout(wait, app.rollouts_woken()).await;
            sleep(GATHER).await;
        }
    };
    shutdown.run_until_cancelled(work).await;
}
