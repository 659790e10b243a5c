//! Which rollout holds a robot in a slot. Whoever declares something there asks first, in the transaction that declares it.

use edgeflow_core::{
    OrganisationId, TargetName,
    rollout::{Phase, Rollout},
};
use edgeflow_store::StoreError;
use sqlx::SqliteConnection;

use crate::{
    connect::failed,
    decode::{get, get_name, json},
};

/// Instead of a slot: the robot's policy.
pub(crate) const POLICY: &str = "";

/// It waits for others.
pub(crate) const QUEUED: i64 = 0;
/// It holds its robots.
pub(crate) const HOLDS: i64 = 1;
/// It has ended.
pub(crate) const ENDED: i64 = 2;

/// Where a rollout stands. One that is paused while it waits for others has not begun.
pub(crate) fn standing(rollout: &Rollout) -> i64 {
    match (rollout.phase, rollout.paused_in) {
        (Phase::Queued, _) | (Phase::Paused, Some(Phase::Queued)) => QUEUED,
        (phase, _) if phase.ended() => ENDED,
        _ => HOLDS,
    }
}

/// `standing < 2` says the index of the few that are open; from those it is looked for the robots.
const HOLDERS: &str = "SELECT b.target, r.id FROM rollouts r CROSS JOIN json_each(?3) k \
     CROSS JOIN rollout_robots b ON b.rollout = r.id AND b.target = k.value \
     WHERE r.standing < 2 AND r.standing >= ?4 AND r.organisation = ?1 AND r.slot = ?2 AND b.phase <> 'skipped' ORDER BY r.id, b.target";

/// Which of these robots are held in that slot, and by which rollout. `least` is [`QUEUED`] when those that wait count, too.
pub(crate) async fn holders<'c>(
    connection: impl sqlx::SqliteExecutor<'c>,
    organisation: &OrganisationId,
    slot: &str,
    targets: &[TargetName],
    least: i64,
) -> Result<Vec<(TargetName, i64)>, StoreError> {
    let rows = sqlx::query(HOLDERS)
        .bind(organisation.as_str())
        .bind(slot)
        .bind(json(&targets)?)
        .bind(least)
        .fetch_all(connection)
        .await
        .map_err(failed("looking for rollouts that hold robots"))?;
    rows.iter().map(|row| Ok((get_name(row, "target")?, get(row, "id")?))).collect()
}

/// What is said when some are.
pub(crate) fn held(slot: &str, holders: &[(TargetName, i64)]) -> Option<StoreError> {
    let (robot, rollout) = holders.first()?;
    let others = holders.iter().filter(|(_, by)| by == rollout).count().saturating_sub(1);
    Some(StoreError::Held { robot: robot.to_string(), others, slot: slot.to_owned(), rollout: *rollout })
}

/// Refuses what would be declared in a slot of these robots while a rollout holds one of them there.
pub(crate) async fn refuse(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    slot: &str,
    targets: &[TargetName],
) -> Result<(), StoreError> {
    let holders = holders(connection, organisation, slot, targets, HOLDS).await?;
    held(slot, &holders).map_or(Ok(()), Err)
}

/// The first rollout that has some of the robots of this one in its slot: that holds them, or (`queued`) waits for them before it.
pub(crate) async fn taken_by<'c>(
    connection: impl sqlx::SqliteExecutor<'c>,
    organisation: &OrganisationId,
    id: i64,
    queued: bool,
) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(
        "SELECT r.id FROM rollouts q JOIN rollouts r ON r.organisation = q.organisation AND r.slot = q.slot \
         WHERE q.organisation = ?1 AND q.id = ?2 AND r.standing < 2 AND r.id <> q.id AND (r.standing = 1 OR ?3 AND r.id < q.id) \
         AND EXISTS (SELECT 1 FROM rollout_robots a CROSS JOIN rollout_robots b ON b.rollout = r.id AND b.target = a.target \
                     WHERE a.rollout = q.id AND a.phase <> 'skipped' AND b.phase <> 'skipped') ORDER BY r.id LIMIT 1",
    )
    .bind(organisation.as_str())
    .bind(id)
    .bind(queued)
    .fetch_optional(connection)
    .await
    .map_err(failed("looking for rollouts that hold robots"))?;
    row.as_ref().map(|row| get(row, "id")).transpose()
}
