//! Attested intervals, in `telemetry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId,
    lineage::{Interval, IntervalFilter, Ran, turn},
    target::SlotNow,
};
use edgeflow_store::{LineageStore, StoreError};
use edgeflow_wire::Version;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Telemetry,
    connect::failed,
    decode::{get, get_u64},
};

const INTERVALS: &str = "SELECT i.slot, i.model, i.version, i.digest, i.from_us, i.to_us, COALESCE(i.last_us, s.t_us, i.from_us) AS last_us \
     FROM robots r JOIN intervals i ON i.robot = r.id LEFT JOIN slots s ON s.robot = i.robot AND s.slot = i.slot \
     WHERE r.organisation = ?1 AND r.target = ?2 AND i.from_us < ?4 AND (i.to_us IS NULL OR i.to_us > ?3) \
     ORDER BY i.from_us DESC, i.id DESC LIMIT ?5";

const RAN: &str = "SELECT i.robot, r.target, MIN(i.from_us) AS first_us, MAX(COALESCE(i.last_us, s.t_us, i.from_us)) AS last_us, \
     COUNT(*) AS intervals, MAX(i.to_us IS NULL) AS now \
     FROM intervals i JOIN robots r ON r.id = i.robot LEFT JOIN slots s ON s.robot = i.robot AND s.slot = i.slot \
     WHERE i.organisation = ?1 AND i.digest = ?2 AND i.robot > ?3 AND (?5 IS NULL OR i.from_us <= ?5 AND (i.to_us IS NULL OR i.to_us > ?5)) \
     GROUP BY i.robot ORDER BY i.robot LIMIT ?4";

/// The first step towards the bundle that came with its interval. A slot says its digest first in the entry in which that is active.
const ANSWERED: &str = "SELECT a.server_epoch, a.generation FROM robots r JOIN attestations a ON a.robot = r.id AND a.slot = ?3 \
     WHERE r.organisation = ?1 AND r.target = ?2 AND a.digest = ?4 AND a.status = '\"active\"' AND a.at_us >= ?5 \
     AND (?6 IS NULL OR a.at_us < ?6) ORDER BY a.id LIMIT 1";

#[async_trait]
impl LineageStore for Telemetry {
    async fn intervals(&self, robot: &RobotId, filter: &IntervalFilter) -> Result<Vec<Interval>, StoreError> {
        let rows = sqlx::query(INTERVALS)
            .bind(robot.organisation.as_str())
            .bind(robot.name.as_str())
            .bind(filter.from_us)
            .bind(filter.to_us)
            .bind(filter.limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading what ran"))?;
        rows.iter().map(interval_of).collect()
    }

    async fn ran(
        &self,
        organisation: &OrganisationId,
        digest: &str,
        at_us: Option<i64>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Ran)>, StoreError> {
        let rows = sqlx::query(RAN)
            .bind(organisation.as_str())
            .bind(digest)
            .bind(after)
            .bind(limit)
            .bind(at_us)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading where a bundle ran"))?;
        let ran = |row| {
            let ran = Ran {
                target: get(row, "target")?,
                first_us: get(row, "first_us")?,
                last_us: get(row, "last_us")?,
                intervals: get_u64(row, "intervals")?,
                now: get::<i64>(row, "now")? != 0,
            };
            Ok((get(row, "robot")?, ran))
        };
        rows.iter().map(ran).collect()
    }

    async fn answered(&self, robot: &RobotId, interval: &Interval) -> Result<Option<Version>, StoreError> {
        let row = sqlx::query(ANSWERED)
            .bind(robot.organisation.as_str())
            .bind(robot.as_str())
            .bind(&interval.slot)
            .bind(&interval.digest)
            .bind(interval.from_us)
            .bind(interval.to_us)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading what an interval was the answer to"))?;
        row.map(|row| Ok(Version { server_epoch: get_u64(&row, "server_epoch")?, generation: get_u64(&row, "generation")? })).transpose()
    }
}

/// An interval of a row.
pub(crate) fn interval_of(row: &SqliteRow) -> Result<Interval, StoreError> {
    Ok(Interval {
        slot: get(row, "slot")?,
        model: get(row, "model")?,
        version: get(row, "version")?,
        digest: get(row, "digest")?,
        from_us: get(row, "from_us")?,
        last_us: get(row, "last_us")?,
        to_us: get(row, "to_us")?,
    })
}

/// What a newer word about a slot does to its intervals. A clock that was set back makes one of no length, never a negative one.
pub(crate) async fn keep_interval(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    (robot, slot): (i64, &str),
    before: Option<&SlotNow>,
    now: &SlotNow,
) -> Result<(), StoreError> {
    let keep = failed("keeping what ran");
    let Some(turn) = turn(before, now) else { return Ok(()) };
    if let Some(last_us) = turn.ends {
        sqlx::query(
            "UPDATE intervals SET last_us = MAX(from_us, ?3), to_us = MAX(from_us, ?4) WHERE robot = ?1 AND slot = ?2 AND to_us IS NULL",
        )
        .bind(robot)
        .bind(slot)
        .bind(last_us)
        .bind(now.at.t_us)
        .execute(&mut *connection)
        .await
        .map_err(&keep)?;
    }
    if turn.begins {
        sqlx::query(
            "INSERT INTO intervals (organisation, robot, slot, model, version, digest, from_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(organisation.as_str())
        .bind(robot)
        .bind(slot)
        .bind(&now.state.model)
        .bind(&now.state.version)
        .bind(&now.state.digest)
        .bind(now.at.t_us)
        .execute(connection)
        .await
        .map_err(&keep)?;
    }
    Ok(())
}
