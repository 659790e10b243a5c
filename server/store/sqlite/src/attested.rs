//! What many robots attested, read in one go on one thread: thousands of rows that would each go from thread to thread take several times
//! as long, and rounds of rollouts wait for them.

use edgeflow_core::{
    TargetName,
    target::{Attested, Moment, Newest, SlotNow},
};
use edgeflow_store::StoreError;
use rusqlite::{Connection, Row, ToSql};
use std::collections::BTreeMap;

use crate::decode::{class_of, content, corrupt};

/// Robots whose names are in a JSON array. CROSS JOIN keeps the order: from the names to the robots, never through all robots of the
/// organisation with all names for each.
const ROBOTS: &str =
    "SELECT r.target, r.last_seen_us FROM json_each(?2) k CROSS JOIN robots r ON r.organisation = ?1 AND r.target = k.value";
/// Their newest entries, of all kinds or of those in another JSON array.
const NEWEST: &str = "SELECT r.target, n.epoch, n.class, n.seq, n.t_us, n.kind, n.received_us, n.body \
     FROM json_each(?2) k CROSS JOIN robots r ON r.organisation = ?1 AND r.target = k.value CROSS JOIN newest n ON n.robot = r.id \
     WHERE ?3 IS NULL OR n.kind IN (SELECT value FROM json_each(?3))";
/// Their slots.
const SLOTS: &str = "SELECT r.target, s.epoch, s.class, s.seq, s.t_us, s.slot, s.since_us, s.state \
     FROM json_each(?2) k CROSS JOIN robots r ON r.organisation = ?1 AND r.target = k.value CROSS JOIN slots s ON s.robot = r.id";

/// What is said of whom.
pub(crate) type Said = BTreeMap<TargetName, Attested>;

/// What robots of an organisation attested at one moment. `names` is a JSON array, `kinds` one of the kinds of newest entries that are
/// wanted, all without it.
pub(crate) fn read(connection: &Connection, organisation: &str, names: &str, kinds: Option<&str>) -> Result<Said, StoreError> {
    // Three statements see the same.
    let moment = connection.unchecked_transaction().map_err(failed)?;
    let mut said = Said::new();
    each(&moment, ROBOTS, &[&organisation, &names], |row| {
        of(&mut said, row)?.last_seen_us = row.get(1).map_err(failed)?;
        Ok(())
    })?;
    each(&moment, NEWEST, &[&organisation, &names, &kinds], |row| {
        let kind: String = row.get(5).map_err(failed)?;
        let content = content(&kind, text(row, 7)?)?;
        let newest = Newest { at: moment_of(row)?, received_us: row.get(6).map_err(failed)?, content };
        of(&mut said, row)?.newest.insert(kind, newest);
        Ok(())
    })?;
    each(&moment, SLOTS, &[&organisation, &names], |row| {
        let state = serde_json::from_str(text(row, 7)?).map_err(|error| corrupt("state")(&error))?;
        let now = SlotNow { state, since_us: row.get(6).map_err(failed)?, at: moment_of(row)? };
        of(&mut said, row)?.slots.insert(row.get(5).map_err(failed)?, now);
        Ok(())
    })?;
    Ok(said)
}

fn each(
    connection: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
    mut take: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        take(row)?;
    }
    Ok(())
}

fn of<'s>(said: &'s mut Said, row: &Row<'_>) -> Result<&'s mut Attested, StoreError> {
    let name = text(row, 0)?.parse().map_err(|error: edgeflow_core::CoreError| corrupt("target")(&error))?;
    Ok(said.entry(name).or_default())
}

fn moment_of(row: &Row<'_>) -> Result<Moment, StoreError> {
    let seq: i64 = row.get(3).map_err(failed)?;
    Ok(Moment {
        epoch_ordinal: row.get(1).map_err(failed)?,
        class: class_of(row.get(2).map_err(failed)?)?,
        seq: u64::try_from(seq).map_err(|error| corrupt("seq")(&error))?,
        t_us: row.get(4).map_err(failed)?,
    })
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StoreError> {
    row.get_ref(column).map_err(failed)?.as_str().map_err(|error| corrupt("text")(&error))
}

fn failed(source: rusqlite::Error) -> StoreError {
    StoreError::Failed { operation: "reading what robots attested", source: Box::new(source) }
}
