//! Observations, in `telemetry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    entry::StoredEntry,
    observation::{Frames, RobotWindow, Source, observe},
    rollout::Reported,
};
use edgeflow_store::{EvidenceStore, MOST_MOMENTS, StoreError};
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;

use crate::{
    Telemetry,
    connect::{each, failed},
    decode::{get, get_name, get_u64, json},
};

/// Windows of robots (?2, rows of JSON: name, from, to) and their row ids. The planner is not to turn the joins round, nor to read the JSON
/// again for each observation: that takes twice as long.
const WINDOWS: &str = "WITH w AS MATERIALIZED (SELECT r.id AS robot, r.target AS target, w.value ->> 1 AS from_us, w.value ->> 2 AS to_us, \
     ((w.value ->> 2) - (w.value ->> 1)) / ?3 + 1 AS moment_us \
     FROM json_each(?2) w CROSS JOIN robots r WHERE r.organisation = ?1 AND r.target = w.value ->> 0)";

/// Which digests (?4, ?5): all, only this one, or all but this one. What is about no frames has none.
const FRAMES: &str = "(?4 = 'all' OR o.digest = '' OR (o.digest = ?5) = (?4 = 'of'))";

const SINCE: &str = "SELECT r.target, MAX(i.from_us) AS from_us FROM json_each(?4) w CROSS JOIN robots r CROSS JOIN intervals i \
     WHERE r.organisation = ?1 AND r.target = w.value AND i.organisation = ?1 AND i.digest = ?3 AND i.robot = r.id AND i.slot = ?2 \
     GROUP BY r.target";

const STAMPS: &str = "SELECT r.target, n.t_us, n.received_us FROM json_each(?2) w CROSS JOIN robots r CROSS JOIN newest n \
     WHERE r.organisation = ?1 AND r.target = w.value AND n.robot = r.id";

const MINUTE_US: i64 = 60_000_000;

#[async_trait]
impl EvidenceStore for Telemetry {
    async fn serving_since(
        &self,
        organisation: &OrganisationId,
        slot: &str,
        digest: &str,
        robots: &[TargetName],
    ) -> Result<BTreeMap<TargetName, i64>, StoreError> {
        let rows = sqlx::query(SINCE)
            .bind(organisation.as_str())
            .bind(slot)
            .bind(digest)
            .bind(json(&robots)?)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading since when robots serve a bundle"))?;
        rows.iter().map(|row| Ok((get_name(row, "target")?, get(row, "from_us")?))).collect()
    }

    async fn stamped_and_came(
        &self,
        organisation: &OrganisationId,
        robots: &[TargetName],
    ) -> Result<BTreeMap<TargetName, Vec<(i64, i64)>>, StoreError> {
        let mut words: BTreeMap<TargetName, Vec<(i64, i64)>> = BTreeMap::new();
        let rows = sqlx::query(STAMPS).bind(organisation.as_str()).bind(json(&robots)?).fetch(&self.0.readers);
        let note = |row: &SqliteRow| {
            words.entry(get_name(row, "target")?).or_default().push((get(row, "t_us")?, get(row, "received_us")?));
            Ok(())
        };
        each(rows, "reading when robots' words came", note).await?;
        Ok(words)
    }

    async fn reported(
        &self,
        organisation: &OrganisationId,
        source: &Source,
        frames: &Frames,
        windows: &[RobotWindow],
    ) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError> {
        let ask = Ask { of: self, organisation, frames, windows: json(&windows.iter().map(window).collect::<Vec<_>>())? };
        match source {
            Source::Number { kind, at } => ask.numbers(kind, *at).await,
            Source::Evaluations => ask.evaluations(windows).await,
            Source::Interventions => ask.interventions().await,
            Source::Channel(channel) => ask.samples(channel, None).await,
            Source::SensorHealth => {
                let mut told = ask.samples("sensor_health", None).await?;
                for (robot, reports) in ask.samples("/diagnostics", Some("/diagnostics%:OK")).await? {
                    told.entry(robot).or_insert(reports);
                }
                Ok(told)
            }
        }
    }
}

fn window(window: &RobotWindow) -> (&TargetName, i64, i64) {
    (&window.target, window.from_us, window.to_us)
}

/// One question.
struct Ask<'a> {
    of: &'a Telemetry,
    organisation: &'a OrganisationId,
    frames: &'a Frames,
    windows: String,
}

impl Ask<'_> {
    async fn rows(&self, sql: &str, seventh: Option<&str>) -> Result<Vec<SqliteRow>, StoreError> {
        let (which, digest) = match self.frames {
            Frames::All => ("all", ""),
            Frames::Of(digest) => ("of", digest.as_str()),
            Frames::NotOf(digest) => ("not_of", digest.as_str()),
        };
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .bind(self.organisation.as_str())
            .bind(&self.windows)
            .bind(MOST_MOMENTS)
            .bind(which)
            .bind(digest)
            .bind(seventh)
            .fetch_all(&self.of.0.readers)
            .await
            .map_err(failed("reading what robots reported"))
    }

    async fn numbers(&self, kind: &str, at: usize) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError> {
        let column = ["a", "b", "c", "d"].get(at).copied().unwrap_or("a");
        let sql = format!(
            "{WINDOWS} SELECT w.target, MAX(o.t_us) AS t_us, SUM(o.frames * o.{column}) / SUM(o.frames) AS value, SUM(o.frames) AS frames \
             FROM w CROSS JOIN observations o ON o.robot = w.robot AND o.kind = ?6 AND o.t_us BETWEEN w.from_us AND w.to_us \
             WHERE o.begin_us >= w.from_us AND o.frames > 0 AND o.{column} IS NOT NULL AND {FRAMES} \
             GROUP BY w.robot, (o.t_us - w.from_us) / w.moment_us"
        );
        gathered(&self.rows(&sql, Some(kind)).await?)
    }

    /// Evaluations of a bundle count from its first frame: what came between two of them is the difference. So the last one before the
    /// window is read, too, of each bundle: one that ran before and runs again is not credited with what it did then.
    async fn evaluations(&self, windows: &[RobotWindow]) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError> {
        let sql = format!(
            "{WINDOWS}, seen AS MATERIALIZED (SELECT w.robot, w.target, w.from_us, MAX(o.t_us) AS t_us, o.digest, o.frames, o.a AS value \
             FROM w CROSS JOIN observations o ON o.robot = w.robot AND o.kind = ?6 AND o.t_us BETWEEN w.from_us AND w.to_us \
             WHERE {FRAMES} GROUP BY w.robot, o.digest, (o.t_us - w.from_us) / w.moment_us) \
             SELECT target, t_us, digest, frames, value FROM seen \
             UNION ALL SELECT d.target, o.t_us, o.digest, o.frames, o.a \
             FROM (SELECT DISTINCT robot, target, from_us, digest FROM seen) d CROSS JOIN observations o \
             ON o.kind = 'evaluation' AND o.robot = d.robot AND o.digest = d.digest AND o.t_us = (SELECT MAX(p.t_us) FROM observations p \
             WHERE p.kind = 'evaluation' AND p.robot = d.robot AND p.digest = d.digest AND p.t_us < d.from_us) \
             ORDER BY target, t_us"
        );
        let from: BTreeMap<&TargetName, i64> = windows.iter().map(|window| (&window.target, window.from_us)).collect();
        let mut told: BTreeMap<TargetName, Vec<Reported>> = BTreeMap::new();
        let mut last: BTreeMap<(TargetName, String), (u64, f64)> = BTreeMap::new();
        for row in &self.rows(&sql, Some("evaluation")).await? {
            let (target, t_us): (TargetName, i64) = (get_name(row, "target")?, get(row, "t_us")?);
            let (samples, correct): (u64, f64) = (get_u64(row, "frames")?, get(row, "value")?);
            let before = last.insert((target.clone(), get(row, "digest")?), (samples, correct));
            // Fewer than before: whoever counts began anew.
            let (known, right) = before.filter(|(known, right)| *known <= samples && *right <= correct).unwrap_or_default();
            let frames = samples - known;
            if frames > 0 && from.get(&target).is_some_and(|from_us| t_us >= *from_us) {
                let value = ((correct - right) / frames as f64).min(1.0);
                told.entry(target).or_default().push(Reported { t_us, value, frames });
            }
        }
        Ok(told)
    }

    async fn interventions(&self) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError> {
        let sql = format!(
            "{WINDOWS} SELECT w.target, w.from_us + (o.t_us - w.from_us) / {MINUTE_US} * {MINUTE_US} AS t_us, \
             60.0 * SUM(o.kind = ?6) AS value, 1 AS frames \
             FROM w CROSS JOIN observations o ON o.robot = w.robot AND o.kind IN ('inference_summary', 'evaluation', 'mission', 'drift_report', ?6) \
             AND o.t_us BETWEEN w.from_us AND w.to_us WHERE ?3 > 0 AND ?4 <> ?5 \
             GROUP BY w.robot, (o.t_us - w.from_us) / {MINUTE_US}"
        );
        gathered(&self.rows(&sql, Some("application_event")).await?)
    }

    /// Of a channel; with a pattern, of all channels that begin with it and match the pattern.
    async fn samples(&self, channel: &str, like: Option<&str>) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError> {
        let channels = match like {
            None => "o.channel = ?6",
            Some(_) => "o.channel >= '/diagnostics' AND o.channel < '/diagnostict' AND o.channel LIKE ?6",
        };
        let sql = format!(
            "{WINDOWS} SELECT w.target, MAX(o.t_us) AS t_us, AVG(o.value) AS value, COUNT(*) AS frames \
             FROM w CROSS JOIN samples o ON o.robot = w.robot AND {channels} AND o.t_us BETWEEN w.from_us AND w.to_us \
             WHERE ?4 <> ?5 GROUP BY w.robot, (o.t_us - w.from_us) / w.moment_us"
        );
        gathered(&self.rows(&sql, Some(like.unwrap_or(channel))).await?)
    }
}

fn gathered(rows: &[SqliteRow]) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError> {
    let mut told: BTreeMap<TargetName, Vec<Reported>> = BTreeMap::new();
    for row in rows {
        let report = Reported { t_us: get(row, "t_us")?, value: get(row, "value")?, frames: get_u64(row, "frames")? };
        told.entry(get_name(row, "target")?).or_default().push(report);
    }
    told.values_mut().for_each(|reports| reports.sort_by_key(|report| report.t_us));
    Ok(told)
}

/// Keeps what new entries say, in their transaction.
pub(crate) async fn keep_observations(connection: &mut SqliteConnection, robot: i64, stored: &[StoredEntry]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for entry in stored {
        let Some(observed) = observe(entry.t_us, &entry.content) else { continue };
        rows.push((observed.kind, observed.t_us, entry.id, observed.begin_us, observed.digest, observed.frames, observed.numbers));
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO observations (robot, kind, t_us, entry, begin_us, digest, frames, a, b, c, d) \
         SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, CAST(value ->> '$[6][0]' AS REAL), \
         CAST(value ->> '$[6][1]' AS REAL), CAST(value ->> '$[6][2]' AS REAL), CAST(value ->> '$[6][3]' AS REAL) FROM json_each(?2)",
    )
    .bind(robot)
    .bind(json(&rows)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("keeping what a robot reported"))
}
