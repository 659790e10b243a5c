//! Everything that touched a robot, as each of the three files knows it.
//!
//! Every statement takes the robot as ?1 and ?2 and the span as ?3 (from), ?4 and ?5 (below) and ?6 (how many), and answers with the
//! place of each row as `at_us` and `place_id`.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    timeline::{Fact, Place, Source, Span, Told, Touch, Window, Words},
};
use edgeflow_store::{StoreError, TimelineStore};
use edgeflow_wire::Version;
use sqlx::{SqlitePool, sqlite::SqliteRow};

use crate::{
    Fleet, Registry, Telemetry,
    audit::record_of,
    capture::offered,
    command::command_of,
    connect::failed,
    decode::{get, get_u64, json},
    entry::{entry_of, loss_of},
    identity::certificate_of,
    lineage::interval_of,
};

const BEGAN: &str = "SELECT i.slot, i.model, i.version, i.digest, i.from_us, i.to_us, COALESCE(i.last_us, s.t_us, i.from_us) AS last_us, \
     i.from_us AS at_us, i.id AS place_id, \
     (SELECT b.model || ' ' || b.version FROM intervals b WHERE b.robot = i.robot AND b.to_us = i.from_us AND b.slot = i.slot AND b.id < i.id \
      ORDER BY b.id DESC LIMIT 1) AS before \
     FROM robots r JOIN intervals i ON i.robot = r.id LEFT JOIN slots s ON s.robot = i.robot AND s.slot = i.slot \
     WHERE r.organisation = ?1 AND r.target = ?2 AND i.from_us >= ?3 AND (i.from_us, i.id) < (?4, ?5) \
     ORDER BY i.from_us DESC, i.id DESC LIMIT ?6";

const ENDED: &str = "SELECT i.slot, i.model, i.version, i.digest, i.from_us, i.to_us, COALESCE(i.last_us, i.from_us) AS last_us, \
     i.to_us AS at_us, i.id AS place_id FROM robots r JOIN intervals i ON i.robot = r.id \
     WHERE r.organisation = ?1 AND r.target = ?2 AND i.to_us IS NOT NULL AND i.to_us >= ?3 AND (i.to_us, i.id) < (?4, ?5) \
     AND NOT EXISTS (SELECT 1 FROM intervals n WHERE n.robot = i.robot AND n.from_us = i.to_us AND n.slot = i.slot AND n.id > i.id) \
     ORDER BY i.to_us DESC, i.id DESC LIMIT ?6";

const ENTRIES: &str = "SELECT e.id, r.target, p.epoch, e.class, e.seq, e.kind, e.t_us, e.received_us, e.body, \
     e.t_us AS at_us, e.id AS place_id \
     FROM robots r JOIN entries e ON e.robot = r.id JOIN epochs p ON p.id = e.epoch \
     WHERE r.organisation = ?1 AND r.target = ?2 AND e.class < 2 AND e.t_us >= ?3 AND (e.t_us, e.id) < (?4, ?5) \
     AND (?7 IS NULL OR e.kind IN (SELECT value FROM json_each(?7))) AND e.kind NOT IN (SELECT value FROM json_each(?8)) \
     ORDER BY e.t_us DESC, e.id DESC LIMIT ?6";

const LOSSES: &str = "SELECT p.epoch, l.class, l.first_seq, l.last_seq, l.cause, l.bytes, l.first_t_us, l.last_t_us, l.recorded_us, \
     COALESCE(l.last_t_us, l.recorded_us) AS at_us, l.id AS place_id \
     FROM robots r JOIN losses l ON l.robot = r.id JOIN epochs p ON p.id = l.epoch \
     WHERE r.organisation = ?1 AND r.target = ?2 AND COALESCE(l.last_t_us, l.recorded_us) >= ?3 \
     AND (COALESCE(l.last_t_us, l.recorded_us), l.id) < (?4, ?5) ORDER BY 10 DESC, 11 DESC LIMIT ?6";

const EPOCHS: &str = "SELECT p.epoch, p.seen_us AS at_us, p.id AS place_id, \
     p.id = (SELECT MIN(id) FROM epochs f WHERE f.robot = r.id) AS first \
     FROM robots r JOIN epochs p ON p.robot = r.id \
     WHERE r.organisation = ?1 AND r.target = ?2 AND p.seen_us >= ?3 AND (p.seen_us, p.id) < (?4, ?5) ORDER BY 2 DESC, 3 DESC LIMIT ?6";

const TOLD: &str = "SELECT d.id, d.model, d.version, d.digest, d.slot, d.created_by, d.rollout, t.server_epoch, t.generation, \
     d.created_at_us AS at_us, d.id AS place_id FROM deployment_targets t JOIN deployments d ON d.id = t.deployment \
     WHERE t.target = ?2 AND t.organisation = ?1 AND d.created_at_us >= ?3 AND (d.created_at_us, d.id) < (?4, ?5) \
     ORDER BY d.created_at_us DESC, d.id DESC LIMIT ?6";

/// Live sessions are acts on record, with more to say than their commands.
const COMMANDS: &str = "SELECT c.*, c.issued_us AS at_us, c.number AS place_id FROM commands c \
     WHERE c.organisation = ?1 AND c.target = ?2 AND c.issued_us >= ?3 AND (c.issued_us, c.number) < (?4, ?5) \
     AND c.action ->> '$.kind' NOT IN ('live', 'end_live') ORDER BY c.issued_us DESC, c.number DESC LIMIT ?6";

const STORED: &str = "SELECT c.*, c.stored_us AS at_us, c.number AS place_id FROM captures c \
     WHERE c.organisation = ?1 AND c.target = ?2 AND c.stored_us >= ?3 AND (c.stored_us, c.number) < (?4, ?5) \
     ORDER BY c.stored_us DESC, c.number DESC LIMIT ?6";

const GONE: &str = "SELECT c.*, c.gone_us AS at_us, c.number AS place_id FROM captures c \
     WHERE c.organisation = ?1 AND c.target = ?2 AND c.gone_us >= ?3 AND (c.gone_us, c.number) < (?4, ?5) \
     ORDER BY c.gone_us DESC, c.number DESC LIMIT ?6";

/// A robot's certificates have no numbers; no two of them are issued in the same microsecond.
const REVOKED: &str = "SELECT c.*, t.organisation, c.revoked_at_us AS at_us, c.issued_at_us AS place_id \
     FROM certificates c JOIN targets t ON t.name = c.target \
     WHERE t.organisation = ?1 AND c.target = ?2 AND c.revoked_at_us >= ?3 AND (c.revoked_at_us, c.issued_at_us) < (?4, ?5) \
     ORDER BY c.revoked_at_us DESC, c.issued_at_us DESC LIMIT ?6";

/// Commands that were given are told with what came of them; those that were denied are told here.
const ACTS: &str = "SELECT a.*, a.at_us, a.id AS place_id FROM audit a \
     WHERE a.organisation = ?1 AND a.resource IN ('target/' || ?2, 'target ' || ?2) AND a.at_us >= ?3 AND (a.at_us, a.id) < (?4, ?5) \
     AND (?7 IS NULL OR a.action IN (SELECT value FROM json_each(?7))) AND a.action NOT IN (SELECT value FROM json_each(?8)) \
     AND NOT (a.action = 'command' AND a.outcome = 'done') ORDER BY a.at_us DESC, a.id DESC LIMIT ?6";

/// What a file reads of one source.
struct Reading {
    source: Source,
    sql: &'static str,
    fact: fn(&SqliteRow) -> Result<Fact, StoreError>,
}

#[async_trait]
impl TimelineStore for Telemetry {
    async fn touches(&self, robot: &RobotId, window: &Window) -> Result<Vec<Vec<Touch>>, StoreError> {
        let readings = [
            Reading { source: Source::Began, sql: BEGAN, fact: |row| Ok(Fact::Began(interval_of(row)?, get(row, "before")?)) },
            Reading { source: Source::Ended, sql: ENDED, fact: |row| Ok(Fact::Ended(interval_of(row)?)) },
            Reading { source: Source::Entry, sql: ENTRIES, fact: |row| Ok(Fact::Entry(entry_of(row)?)) },
            Reading { source: Source::Loss, sql: LOSSES, fact: |row| Ok(Fact::Lost(loss_of(row)?)) },
            Reading { source: Source::Epoch, sql: EPOCHS, fact: |row| Ok(Fact::Epoch(get(row, "epoch")?, get(row, "first")?)) },
        ];
        read(&self.0.readers, robot, window, &readings).await
    }
}

#[async_trait]
impl TimelineStore for Fleet {
    async fn touches(&self, robot: &RobotId, window: &Window) -> Result<Vec<Vec<Touch>>, StoreError> {
        let readings = [
            Reading { source: Source::Deployment, sql: TOLD, fact: |row| Ok(Fact::Told(told_of(row)?)) },
            Reading { source: Source::Command, sql: COMMANDS, fact: |row| Ok(Fact::Commanded(command_of(row)?)) },
            Reading { source: Source::CaptureStored, sql: STORED, fact: |row| Ok(Fact::CaptureStored(offered(row)?)) },
            Reading { source: Source::CaptureGone, sql: GONE, fact: |row| Ok(Fact::CaptureGone(offered(row)?)) },
            Reading { source: Source::Certificate, sql: REVOKED, fact: |row| Ok(Fact::Revoked(certificate_of(row)?)) },
        ];
        read(&self.0.readers, robot, window, &readings).await
    }
}

#[async_trait]
impl TimelineStore for Registry {
    async fn touches(&self, robot: &RobotId, window: &Window) -> Result<Vec<Vec<Touch>>, StoreError> {
        let readings = [Reading { source: Source::Act, sql: ACTS, fact: |row| Ok(Fact::Act(record_of(row)?)) }];
        read(&self.0.readers, robot, window, &readings).await
    }
}

async fn read(readers: &SqlitePool, robot: &RobotId, window: &Window, readings: &[Reading]) -> Result<Vec<Vec<Touch>>, StoreError> {
    let reading = failed("reading what touched a robot");
    // One snapshot of the file for all of its sources.
    let mut reader = readers.begin().await.map_err(&reading)?;
    let mut parts = Vec::with_capacity(readings.len());
    for Reading { source, sql, fact } in readings {
        let Some(Span { from_us, below: (at_us, id), limit }) = window.span(*source) else { continue };
        let mut query = sqlx::query(*sql)
            .bind(robot.organisation.as_str())
            .bind(robot.as_str())
            .bind(from_us)
            .bind(at_us)
            .bind(id)
            // One more than asked for proves that there are more.
            .bind(i64::from(limit) + 1);
        let words = match source {
            Source::Entry => Some(window.kinds()),
            Source::Act => Some(window.actions()),
            _ => None,
        };
        if let Some(Words { only, except }) = words {
            query = query.bind(only.map(|only| json(&only)).transpose()?).bind(json(&except)?);
        }
        let rows = query.fetch_all(&mut *reader).await.map_err(&reading)?;
        let touch = |row| {
            let place = Place { at_us: get(row, "at_us")?, source: *source, id: get(row, "place_id")? };
            Ok(Touch { place, fact: fact(row)? })
        };
        parts.push(rows.iter().map(touch).collect::<Result<_, StoreError>>()?);
    }
    Ok(parts)
}

fn told_of(row: &SqliteRow) -> Result<Told, StoreError> {
    Ok(Told {
        deployment: get(row, "id")?,
        model: get(row, "model")?,
        version: get(row, "version")?,
        digest: get(row, "digest")?,
        slot: get(row, "slot")?,
        desired: Version { server_epoch: get_u64(row, "server_epoch")?, generation: get_u64(row, "generation")? },
        at_us: get(row, "at_us")?,
        created_by: get(row, "created_by")?,
        rollout: get(row, "rollout")?,
    })
}
