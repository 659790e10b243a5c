//! Tells watchers about robots that changed: many changes make one view, a few times a second.

use edgeflow_core::{OrganisationId, TargetName};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(200);

/// Runs until `shutdown`.
pub async fn publish(app: Arc<App>, shutdown: CancellationToken) {
    let work = async {
        loop {
            app.presence.changed().await;
            tokio::time::sleep(GATHER).await;
            if let Err(error) = round(&app).await {
                tracing::warn!(%error, "could not tell watchers what changed; they will see it with the next change");
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}

async fn round(app: &App) -> Result<(), AppError> {
    let changes = app.presence.take();
    if !app.hub.watched() {
        return Ok(());
    }
    for robot in &changes.targets {
        if let Some(view) = app.target_view(robot).await? {
            app.hub.send(&robot.organisation, "target", &view);
        }
    }
    for robot in &changes.drift {
        if let Some(view) = app.drift_view(robot).await? {
            app.hub.send(&robot.organisation, "drift", &view);
        }
    }
    // One deployment usually spans many of the robots.
    let mut robots: BTreeMap<OrganisationId, Vec<TargetName>> = BTreeMap::new();
    for robot in changes.deployments {
        robots.entry(robot.organisation).or_default().push(robot.name);
    }
    for (organisation, robots) in &robots {
        for view in app.standing_views(organisation, robots).await? {
            app.hub.send(organisation, "deployment", &view);
        }
    }
    for (organisation, id) in &changes.rollouts {
        if let Some(summary) = app.rollout_summary(organisation, *id).await? {
            app.hub.send(organisation, "rollout", &summary);
        }
    }
    Ok(())
}
