//! Series of numbers, in `telemetry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    rollup::{Resolution, RollUp, fold},
    telemetry::KeptFrom,
};
use edgeflow_store::{StoreError, TelemetryStore};
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;

use crate::{
    Telemetry,
    connect::failed,
    decode::get,
    rollup::{rollup_of, seconds},
};

/// Channels of a robot, found by jumping from one to the next in both tables.
const CHANNELS: &str = "WITH RECURSIVE robot (id) AS (SELECT id FROM robots WHERE organisation = ?1 AND target = ?2), \
     fine (channel) AS ( \
       SELECT (SELECT MIN(channel) FROM samples WHERE robot = (SELECT id FROM robot)) \
       UNION ALL SELECT (SELECT MIN(s.channel) FROM samples s WHERE s.robot = (SELECT id FROM robot) AND s.channel > f.channel) \
       FROM fine f WHERE f.channel IS NOT NULL), \
     coarse (channel) AS ( \
       SELECT (SELECT MIN(channel) FROM rollups WHERE robot = (SELECT id FROM robot)) \
       UNION ALL SELECT (SELECT MIN(s.channel) FROM rollups s WHERE s.robot = (SELECT id FROM robot) AND s.channel > c.channel) \
       FROM coarse c WHERE c.channel IS NOT NULL) \
     SELECT channel FROM fine WHERE channel IS NOT NULL UNION SELECT channel FROM coarse WHERE channel IS NOT NULL ORDER BY channel";

/// Buckets of ?3 microseconds of raw samples since ?4, the newest ?5.
const ROLLED_UP: &str = "SELECT b.*, (SELECT n.value FROM samples n WHERE n.robot = ?1 AND n.channel = ?2 AND n.t_us = b.t_us + b.last_us) AS last \
     FROM (SELECT s.t_us - ((s.t_us % ?3) + ?3) % ?3 AS t_us, COUNT(*) AS count, SUM(s.value) AS sum, MIN(s.value) AS min, \
       MAX(s.value) AS max, MAX(s.t_us - (s.t_us - ((s.t_us % ?3) + ?3) % ?3)) AS last_us \
       FROM samples s WHERE s.robot = ?1 AND s.channel = ?2 AND s.t_us >= ?4 GROUP BY 1 ORDER BY 1 DESC LIMIT ?5) b";

#[async_trait]
impl TelemetryStore for Telemetry {
    async fn samples(&self, robot: &RobotId, channel: &str, since_us: i64, limit: u32) -> Result<Vec<(i64, f64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.t_us, s.value FROM robots r JOIN samples s ON s.robot = r.id \
             WHERE r.organisation = ?1 AND r.target = ?2 AND s.channel = ?3 AND s.t_us >= ?4 ORDER BY s.t_us DESC LIMIT ?5",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .bind(channel)
        .bind(since_us)
        .bind(limit)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("reading telemetry"))?;
        rows.iter().rev().map(|row| Ok((get(row, "t_us")?, get(row, "value")?))).collect()
    }

    async fn rollups(
        &self,
        robot: &RobotId,
        channel: &str,
        resolution: Resolution,
        since_us: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RollUp)>, StoreError> {
        let read = failed("reading roll-ups");
        // One snapshot: what is folded meanwhile must not be seen twice, or not at all.
        let mut reader = self.0.readers.begin().await.map_err(&read)?;
        let Some(id) = row_of(&mut reader, robot).await? else { return Ok(Vec::new()) };
        let since_us = resolution.bucket_of(since_us);
        let fine = sqlx::query(ROLLED_UP)
            .bind(id)
            .bind(channel)
            .bind(resolution.bucket_us())
            .bind(since_us)
            .bind(limit)
            .fetch_all(&mut *reader)
            .await
            .map_err(&read)?;
        let mut parts = fine.iter().map(rollup_of).collect::<Result<Vec<_>, _>>()?;
        for kept in [Resolution::Minute, Resolution::Hour].into_iter().filter(|kept| *kept <= resolution) {
            // As many as there may be in that many buckets.
            let most = i64::from(limit).saturating_mul(resolution.bucket_us() / kept.bucket_us());
            let rows = sqlx::query(
                "SELECT t_us, count, sum, min, max, last, last_us FROM rollups \
                 WHERE robot = ?1 AND channel = ?2 AND resolution = ?3 AND t_us >= ?4 ORDER BY t_us DESC LIMIT ?5",
            )
            .bind(id)
            .bind(channel)
            .bind(seconds(kept))
            .bind(since_us)
            .bind(most)
            .fetch_all(&mut *reader)
            .await
            .map_err(&read)?;
            for row in &rows {
                parts.push(rollup_of(row)?);
            }
        }
        let whole: Vec<_> = fold(resolution, parts).into_iter().collect();
        let surplus = whole.len().saturating_sub(limit as usize);
        Ok(whole.into_iter().skip(surplus).collect())
    }

    async fn kept_from(&self, robot: &RobotId, channel: &str) -> Result<KeptFrom, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT MAX(c.t_us) FROM rollups c WHERE c.robot = r.id AND c.channel = ?3 AND c.resolution = 60) AS minutes_us, \
             (SELECT MAX(c.t_us) FROM rollups c WHERE c.robot = r.id AND c.channel = ?3 AND c.resolution = 3600) AS hours_us, \
             (SELECT MAX(m.last_t_us) FROM removals m WHERE m.robot = r.id AND m.epoch = 0 AND m.what = 'hour') AS gone_us \
             FROM robots r WHERE r.organisation = ?1 AND r.target = ?2",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .bind(channel)
        .fetch_optional(&self.0.readers)
        .await
        .map_err(failed("reading how finely a channel is kept"))?;
        row.as_ref().map_or(Ok(KeptFrom::default()), kept_of)
    }

    async fn units(&self, robot: &RobotId) -> Result<BTreeMap<String, String>, StoreError> {
        let rows = sqlx::query(
            "SELECT u.channel, u.unit FROM robots r JOIN units u ON u.robot = r.id WHERE r.organisation = ?1 AND r.target = ?2",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("reading units"))?;
        rows.iter().map(|row| Ok((get(row, "channel")?, get(row, "unit")?))).collect()
    }

    async fn channels(&self, robot: &RobotId) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(CHANNELS)
            .bind(robot.organisation.as_str())
            .bind(robot.name.as_str())
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing telemetry channels"))?;
        rows.iter().map(|row| get(row, "channel")).collect()
    }
}

async fn row_of(reader: &mut SqliteConnection, robot: &RobotId) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT id FROM robots WHERE organisation = ?1 AND target = ?2")
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .fetch_optional(reader)
        .await
        .map_err(failed("looking for a robot"))?;
    row.map(|row| get(&row, "id")).transpose()
}

/// What is kept coarsely last says from when on it is kept more finely.
fn kept_of(row: &SqliteRow) -> Result<KeptFrom, StoreError> {
    let end = |resolution: Resolution, column| -> Result<Option<i64>, StoreError> {
        Ok(get::<Option<i64>>(row, column)?.map(|t_us| t_us.saturating_add(resolution.bucket_us())))
    };
    let hour_us = end(Resolution::Hour, "gone_us")?;
    let minute_us = end(Resolution::Hour, "hours_us")?.max(hour_us);
    Ok(KeptFrom { raw_us: end(Resolution::Minute, "minutes_us")?.max(minute_us), minute_us, hour_us })
}
