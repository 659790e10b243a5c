//! Making rollouts and their steps, each in one transaction.

use edgeflow_core::{
    OrganisationId, TargetName,
    event::ROLLOUT_EVENTS,
    rollout::{Actor, Happened, HistoryEntry, RobotPhase, RobotProgress, Rollout, Step, WhenTaken},
};
use edgeflow_store::{Applied, StoreError};
use serde_json::json as value;
use sqlx::SqliteConnection;
use std::collections::BTreeMap;

use crate::{
    connect::failed,
    decode::{corrupt, get, get_u64, int, json},
    rollout::word,
    rollout_hold::{self, HOLDS, QUEUED, standing},
    rollout_tell::{slot_of, tell},
};

/// A rollout as text. It is read once, too: what would not come back as it is (a number that is none) is refused before it is kept.
fn state(rollout: &Rollout) -> Result<String, StoreError> {
    let text = json(rollout)?;
    serde_json::from_str::<Rollout>(&text).map_err(|error| corrupt("rollout")(&error))?;
    Ok(text)
}

/// Puts a rollout on record.
pub(crate) async fn create(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    new: &Rollout,
    robots: &[RobotProgress],
    history: &[HistoryEntry],
) -> Result<Rollout, StoreError> {
    let create = failed("making a rollout");
    let slot = slot_of(new)?;
    let targets: Vec<TargetName> = robots.iter().map(|robot| robot.target.clone()).collect();
    if new.spec.when_taken == WhenTaken::Refuse {
        let holders = rollout_hold::holders(&mut *connection, organisation, &slot, &targets, QUEUED).await?;
        rollout_hold::held(&slot, &holders).map_or(Ok(()), Err)?;
    }
    let missing = sqlx::query(
        "SELECT k.value AS name FROM json_each(?2) k WHERE NOT EXISTS \
         (SELECT 1 FROM targets t WHERE t.name = k.value AND t.organisation = ?1 AND t.revoked_at_us IS NULL) LIMIT 1",
    )
    .bind(organisation.as_str())
    .bind(json(&targets)?)
    .fetch_optional(&mut *connection)
    .await
    .map_err(&create)?;
    if let Some(row) = missing {
        return Err(StoreError::Missing { what: "robot", name: get(&row, "name")? });
    }
    let row = sqlx::query(
        "INSERT INTO rollouts (organisation, slot, phase, standing, revision, state) VALUES (?1, ?2, ?3, ?4, 0, '') RETURNING id",
    )
    .bind(organisation.as_str())
    .bind(slot)
    .bind(word(&new.phase)?)
    .bind(standing(new))
    .fetch_one(&mut *connection)
    .await
    .map_err(&create)?;
    let made = Rollout { id: get(&row, "id")?, revision: 0, ..new.clone() };
    keep(connection, &made).await?;
    keep_robots(connection, made.id, robots, made.created_at_us).await?;
    keep_history(connection, organisation, made.id, history).await?;
    Ok(made)
}

/// Makes a step.
pub(crate) async fn apply(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    step: Step,
    revision: u64,
    at_us: i64,
) -> Result<Applied, StoreError> {
    let id = step.rollout.id;
    let row = sqlx::query("SELECT revision, standing FROM rollouts WHERE organisation = ?1 AND id = ?2")
        .bind(organisation.as_str())
        .bind(id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed("reading a rollout"))?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "rollout", name: id.to_string() })?;
    if get_u64(&row, "revision")? != revision {
        return Ok(Applied::Stale);
    }
    if standing(&step.rollout) == HOLDS
        && get::<i64>(&row, "standing")? != HOLDS
        && let Some(by) = rollout_hold::taken_by(&mut *connection, organisation, id, false).await?
    {
        return Ok(Applied::Taken(by));
    }
    let mut robots: BTreeMap<TargetName, RobotProgress> = step.robots.iter().map(|robot| (robot.target.clone(), robot.clone())).collect();
    let told = tell(connection, organisation, &step, &mut robots, at_us).await?;
    // Those that something else was declared for meanwhile are not told: that is a line of its own.
    let left = step.tell.iter().filter_map(|tell| robots.get(&tell.target)).filter(|robot| robot.phase == RobotPhase::Skipped);
    let left: Vec<HistoryEntry> = left.map(|robot| left_line(&step, robot, at_us)).collect();
    let robots: Vec<RobotProgress> = robots.into_values().collect();
    let rollout = Rollout { revision: revision + 1, ..step.rollout };
    keep(connection, &rollout).await?;
    keep_robots(connection, id, &robots, at_us).await?;
    let lines = keep_history(connection, organisation, id, &step.history).await?;
    keep_history(connection, organisation, id, &left).await?;
    Ok(Applied::Done { rollout: Box::new(rollout), robots, told, lines })
}

fn left_line(step: &Step, robot: &RobotProgress, at_us: i64) -> HistoryEntry {
    HistoryEntry {
        at_us,
        happened: Happened::RobotLeft,
        phase: step.rollout.phase,
        stage: step.rollout.stages.get(robot.stage).map(|stage| stage.name.clone()),
        robot: Some(robot.target.to_string()),
        actor: Actor::Controller,
        cause: robot.reason.clone(),
        evidence: Vec::new(),
    }
}

async fn keep(connection: &mut SqliteConnection, rollout: &Rollout) -> Result<(), StoreError> {
    sqlx::query("UPDATE rollouts SET phase = ?2, standing = ?3, revision = ?4, state = ?5 WHERE id = ?1")
        .bind(rollout.id)
        .bind(word(&rollout.phase)?)
        .bind(standing(rollout))
        .bind(int(rollout.revision)?)
        .bind(state(rollout)?)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("keeping a rollout"))
}

async fn keep_robots(connection: &mut SqliteConnection, id: i64, robots: &[RobotProgress], at_us: i64) -> Result<(), StoreError> {
    if robots.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(robots.len());
    for robot in robots {
        let told = robot.told.map(|told| Ok::<_, StoreError>((int(told.server_epoch)?, int(told.generation)?))).transpose()?;
        let (before, before_policy) = (robot.before.as_ref().map(json).transpose()?, robot.before_policy.as_ref().map(json).transpose()?);
        rows.push(value!([
            robot.target,
            robot.stage,
            robot.phase,
            robot.since_us,
            robot.waits_since_us,
            robot.reason,
            told.map(|told| told.0),
            told.map(|told| told.1),
            robot.served,
            before,
            before_policy,
            robot.wakes_us,
            i64::from(robot.back),
        ]));
    }
    sqlx::query(
        "INSERT INTO rollout_robots (rollout, changed_us, target, stage, phase, since_us, waits_since_us, reason, told_server_epoch, \
         told_generation, served, before, before_policy, wakes_us, back) \
         SELECT ?1, ?2, k.value ->> 0, k.value ->> 1, k.value ->> 2, k.value ->> 3, k.value ->> 4, k.value ->> 5, k.value ->> 6, \
         k.value ->> 7, k.value ->> 8, k.value ->> 9, k.value ->> 10, k.value ->> 11, k.value ->> 12 FROM json_each(?3) k WHERE TRUE \
         ON CONFLICT (rollout, target) DO UPDATE SET changed_us = excluded.changed_us, stage = excluded.stage, phase = excluded.phase, \
         since_us = excluded.since_us, waits_since_us = excluded.waits_since_us, reason = excluded.reason, \
         told_server_epoch = excluded.told_server_epoch, told_generation = excluded.told_generation, served = excluded.served, \
         before = excluded.before, before_policy = excluded.before_policy, wakes_us = excluded.wakes_us, back = excluded.back",
    )
    .bind(id)
    .bind(at_us)
    .bind(json(&rows)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("keeping the robots of a rollout"))
}

async fn keep_history(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    id: i64,
    history: &[HistoryEntry],
) -> Result<Vec<i64>, StoreError> {
    if history.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::with_capacity(history.len());
    for entry in history {
        rows.push((entry.at_us, i64::from(ROLLOUT_EVENTS.contains(&entry.happened)), json(entry)?));
    }
    let ids = sqlx::query(
        "INSERT INTO rollout_history (organisation, rollout, at_us, line, entry) \
         SELECT ?1, ?2, k.value ->> 0, k.value ->> 1, k.value ->> 2 FROM json_each(?3) k ORDER BY k.key RETURNING id",
    )
    .bind(organisation.as_str())
    .bind(id)
    .bind(json(&rows)?)
    .fetch_all(connection)
    .await
    .map_err(failed("keeping the history of a rollout"))?;
    let mut ids: Vec<i64> = ids.iter().map(|row| get(row, "id")).collect::<Result<_, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}
