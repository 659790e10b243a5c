//! What follows from new entries: newest of each kind, slots, what ran when, attestations, samples. Always in their transaction, so a
//! crash can never leave an entry without its consequences.

use edgeflow_core::{
    RobotId,
    entry::{StoredEntry, body},
    target::{Moment, NEWEST_KINDS, SlotNow, advance_slot, slots_of},
    telemetry::{samples, unit_told},
};
use edgeflow_store::StoreError;
use edgeflow_wire::{Content, EntryBody};
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;

use crate::{
    connect::failed,
    decode::{class_number, get, get_class, get_json, get_u64, int, json},
    evidence::keep_observations,
    ingest::Place,
    lineage::keep_interval,
};

/// Applies entries that were just stored, in order.
pub(crate) async fn project(
    connection: &mut SqliteConnection,
    robot: &RobotId,
    place: Place,
    stored: &[StoredEntry],
) -> Result<(), StoreError> {
    let moment = |entry: &StoredEntry| Moment { epoch_ordinal: place.epoch, class: place.class, seq: entry.seq, t_us: entry.t_us };
    for kind in NEWEST_KINDS {
        // Within one class the last one is the newest.
        if let Some(entry) = stored.iter().rev().find(|entry| entry.content.kind() == kind) {
            keep_newest(connection, place.robot, moment(entry), entry).await?;
        }
    }
    let about_slots = |content: &Content| matches!(content, Content::Known(EntryBody::State(_) | EntryBody::DeploymentStatus(_)));
    if stored.iter().any(|entry| about_slots(&entry.content)) {
        let mut slots = slots(connection, place.robot).await?;
        for entry in stored {
            for (slot, state) in slots_of(&entry.content, &slots) {
                let before = slots.get(&slot);
                if let Some(now) = advance_slot(before, state, moment(entry)) {
                    keep_interval(connection, &robot.organisation, (place.robot, &slot), before, &now).await?;
                    keep_slot(connection, place.robot, &slot, &now).await?;
                    slots.insert(slot, now);
                }
            }
            attest(connection, robot, place.robot, entry).await?;
        }
    }
    keep_observations(connection, place.robot, stored).await?;
    keep_units(connection, place.robot, stored).await?;
    keep_samples(connection, place.robot, stored).await
}

/// The place an entry had, from a row that kept it.
fn moment_of(row: &SqliteRow) -> Result<Moment, StoreError> {
    Ok(Moment { epoch_ordinal: get(row, "epoch")?, class: get_class(row)?, seq: get_u64(row, "seq")?, t_us: get(row, "t_us")? })
}

async fn keep_newest(connection: &mut SqliteConnection, robot: i64, at: Moment, entry: &StoredEntry) -> Result<(), StoreError> {
    let keep = failed("keeping the newest entry");
    let kind = entry.content.kind();
    let known = sqlx::query("SELECT epoch, class, seq, t_us FROM newest WHERE robot = ?1 AND kind = ?2")
        .bind(robot)
        .bind(kind)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&keep)?;
    if let Some(row) = known
        && !at.supersedes(&moment_of(&row)?)
    {
        return Ok(());
    }
    sqlx::query(
        "INSERT OR REPLACE INTO newest (robot, kind, epoch, class, seq, t_us, received_us, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(robot)
    .bind(kind)
    .bind(at.epoch_ordinal)
    .bind(class_number(at.class))
    .bind(int(at.seq)?)
    .bind(at.t_us)
    .bind(entry.received_us)
    .bind(body(&entry.content).to_string())
    .execute(connection)
    .await
    .map(drop)
    .map_err(&keep)
}

/// Slots as last attested.
async fn slots(connection: &mut SqliteConnection, robot: i64) -> Result<BTreeMap<String, SlotNow>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM slots WHERE robot = ?1").bind(robot).fetch_all(connection).await.map_err(failed("reading slots"))?;
    rows.iter().map(slot_of).collect()
}

/// One slot from its row.
fn slot_of(row: &SqliteRow) -> Result<(String, SlotNow), StoreError> {
    let now = SlotNow { state: get_json(row, "state")?, since_us: get(row, "since_us")?, at: moment_of(row)? };
    Ok((get(row, "slot")?, now))
}

async fn keep_slot(connection: &mut SqliteConnection, robot: i64, slot: &str, now: &SlotNow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO slots (robot, slot, state, since_us, epoch, class, seq, t_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(robot)
    .bind(slot)
    .bind(json(&now.state)?)
    .bind(now.since_us)
    .bind(now.at.epoch_ordinal)
    .bind(class_number(now.at.class))
    .bind(int(now.at.seq)?)
    .bind(now.at.t_us)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("keeping a slot"))
}

async fn attest(connection: &mut SqliteConnection, robot: &RobotId, robot_id: i64, entry: &StoredEntry) -> Result<(), StoreError> {
    let Content::Known(EntryBody::DeploymentStatus(step)) = &entry.content else { return Ok(()) };
    sqlx::query(
        "INSERT INTO attestations (organisation, robot, slot, server_epoch, generation, digest, status, reason, at_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )
    .bind(robot.organisation.as_str())
    .bind(robot_id)
    .bind(&step.slot)
    .bind(int(step.for_version.server_epoch)?)
    .bind(int(step.for_version.generation)?)
    .bind(&step.digest)
    .bind(json(&step.status)?)
    .bind(&step.reason)
    .bind(entry.t_us)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("keeping an attestation"))
}

async fn keep_units(connection: &mut SqliteConnection, robot: i64, stored: &[StoredEntry]) -> Result<(), StoreError> {
    let units: BTreeMap<&str, &str> = stored.iter().filter_map(|entry| unit_told(&entry.content)).collect();
    if units.is_empty() {
        return Ok(());
    }
    sqlx::query("INSERT OR REPLACE INTO units (robot, channel, unit) SELECT ?1, key, value FROM json_each(?2)")
        .bind(robot)
        .bind(json(&units)?)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("keeping units"))
}

async fn keep_samples(connection: &mut SqliteConnection, robot: i64, stored: &[StoredEntry]) -> Result<(), StoreError> {
    let rows: Vec<(String, i64, f64)> = stored
        .iter()
        .flat_map(|entry| samples(entry.t_us, &entry.content))
        .map(|sample| (sample.channel, sample.t_us, sample.value))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT OR REPLACE INTO samples (robot, channel, t_us, value) \
         SELECT ?1, value ->> 0, value ->> 1, CAST(value ->> 2 AS REAL) FROM json_each(?2)",
    )
    .bind(robot)
    .bind(json(&rows)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("keeping samples"))
}
