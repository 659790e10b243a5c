//! Tells watchers about robots that changed: many changes make one view, a few times a second, or as often as a share of the time allows
//! when there is much to tell.

use edgeflow_core::{OrganisationId, RobotId, TargetName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};

/// How long changes are gathered, at least.
const GATHER: Duration = Duration::from_millis(200);
/// After a round they are gathered so many times as long as it took: however many robots change, telling takes a fifth of the time.
const REST: u32 = 4;
/// Robots that are read at once. Watchers read meanwhile what was told of those before.
const CHUNK: usize = 250;

/// Runs until `shutdown`.
pub async fn publish(app: Arc<App>, shutdown: CancellationToken) {
    let work = async {
        let mut gather = GATHER;
        loop {
            app.presence.changed().await;
            tokio::time::sleep(gather).await;
            let began = Instant::now();
            if let Err(error) = round(&app).await {
                tracing::warn!(%error, "could not tell watchers what changed; they will see it with the next change");
            }
            gather = GATHER.max(began.elapsed() * REST);
        }
    };
    shutdown.run_until_cancelled(work).await;
}

fn by_organisation(robots: BTreeSet<RobotId>) -> BTreeMap<OrganisationId, Vec<TargetName>> {
    let mut by: BTreeMap<OrganisationId, Vec<TargetName>> = BTreeMap::new();
    for robot in robots {
        by.entry(robot.organisation).or_default().push(robot.name);
    }
    by
}

async fn round(app: &App) -> Result<(), AppError> {
    let changes = app.presence.take();
    if !app.hub.watched() {
        return Ok(());
    }
    for (organisation, id) in &changes.rollouts {
        if let Some(summary) = app.rollout_summary(organisation, *id).await? {
            app.hub.send(organisation, "rollout", &summary);
        }
    }
    for (organisation, robots) in by_organisation(changes.targets) {
        for robots in robots.chunks(CHUNK) {
            for view in app.target_views(&organisation, robots).await? {
                app.hub.send(&organisation, "target", &view);
            }
        }
    }
    for (organisation, robots) in by_organisation(changes.drift) {
        for robots in robots.chunks(CHUNK) {
            for view in app.drift_views(&organisation, robots).await? {
                app.hub.send(&organisation, "drift", &view);
            }
        }
    }
    // One deployment usually spans many of the robots.
    for (organisation, robots) in &by_organisation(changes.deployments) {
        for view in app.standing_views(organisation, robots).await? {
            app.hub.send(organisation, "deployment", &view);
        }
    }
    Ok(())
}
