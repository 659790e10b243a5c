//! Tells watchers about robots that changed: many changes make one view, a few times a second, or as often as a share of the time allows
//! when there is much to tell.

use edgeflow_core::{OrganisationId, RobotId, TargetName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError, Changes};

/// How long changes are gathered, at least.
const GATHER: Duration = Duration::from_millis(200);
/// After a round they are gathered so many times as long as it took: however many robots change, telling takes a fifth of the time.
const REST: u32 = 4;
/// When it is tried again to tell what could not be told.
const AGAIN: Duration = Duration::from_secs(1);
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
            let told = round(&app).await;
            gather = GATHER.max(began.elapsed() * REST);
            if let Err(error) = told {
                tracing::warn!(%error, "could not tell watchers what changed; it is tried again");
                gather = AGAIN.max(gather);
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}

fn by_organisation(robots: &BTreeSet<RobotId>) -> BTreeMap<&OrganisationId, Vec<TargetName>> {
    let mut by: BTreeMap<&OrganisationId, Vec<TargetName>> = BTreeMap::new();
    for robot in robots {
        by.entry(&robot.organisation).or_default().push(robot.name.clone());
    }
    by
}

async fn round(app: &App) -> Result<(), AppError> {
    let changes = app.presence.take();
    if !app.hub.watched() {
        return Ok(());
    }
    let told = tell(app, &changes).await;
    if told.is_err() {
        // Watchers would be shown what was until the same changes again.
        app.presence.put_back(changes);
    }
    told
}

async fn tell(app: &App, changes: &Changes) -> Result<(), AppError> {
    for (organisation, id) in &changes.rollouts {
        if let Some(summary) = app.rollout_summary(organisation, *id).await? {
            app.hub.send(organisation, "rollout", &summary);
        }
    }
    for (organisation, robots) in by_organisation(&changes.targets) {
        for robots in robots.chunks(CHUNK) {
            for view in app.target_views(organisation, robots).await? {
                app.hub.send(organisation, "target", &view);
            }
        }
    }
    for (organisation, robots) in by_organisation(&changes.drift) {
        for robots in robots.chunks(CHUNK) {
            for view in app.drift_views(organisation, robots).await? {
                app.hub.send(organisation, "drift", &view);
            }
        }
    }
    // One deployment usually spans many of the robots.
    for (organisation, robots) in by_organisation(&changes.deployments) {
        for view in app.standing_views(organisation, &robots).await? {
            app.hub.send(organisation, "deployment", &view);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppOptions, SystemClock, TargetRequest};
    use edgeflow_core::Principal;

    #[tokio::test]
    async fn what_could_not_be_told_is_told_as_soon_as_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(AppOptions::new(folder.path()), Arc::new(SystemClock)).await.unwrap();
        let (administrator, name) = (Principal::administrator(), TargetName::new("robot-1").unwrap());
        let request = TargetRequest { name: name.clone(), labels: BTreeMap::new() };
        app.enrol_target(&administrator, request).await.unwrap();
        let mut watcher = app.watch(&administrator).await.unwrap();
        let labels = |labels: &str| {
            let database = rusqlite::Connection::open(folder.path().join("fleet.db")).unwrap();
            database.execute("UPDATE targets SET labels = ?1", [labels]).unwrap();
        };
        labels("no JSON");
        app.presence.touch(&App::robot_id(&administrator.organisation, &name));
        app.presence.changed().await;
        assert!(round(&app).await.is_err());
        assert!(watcher.try_recv().is_err(), "nothing was told");
        labels("{}");
        tokio::time::timeout(Duration::from_secs(20), app.presence.changed()).await.expect("there is something to tell");
        round(&app).await.unwrap();
        assert_eq!(watcher.try_recv().map(|item| item.event).ok(), Some("target"));
        app.close().await;
    }
}
