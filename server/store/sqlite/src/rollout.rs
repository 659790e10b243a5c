//! Rollouts, in `fleet.db`, beside the desired states they change.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    event::RolloutHappened,
    rollout::{Counts, Group, HistoryEntry, RobotProgress, Rollout, Step},
};
use edgeflow_store::{Applied, OpenRollout, RobotFilter, RolloutFilter, RolloutStore, StoreError};
use edgeflow_wire::Version;
use futures::FutureExt;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

use crate::{
    Fleet,
    connect::{each, failed},
    decode::{corrupt, get, get_json, get_name, get_u64, json},
    rollout_apply, rollout_hold,
};

const LIST: &str = "SELECT state FROM rollouts r WHERE organisation = ?1 AND id < ?2 AND (?3 IS NULL OR (standing < 2) = ?3) \
     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM rollout_robots b WHERE b.rollout = r.id AND b.target = ?4)) ORDER BY id DESC LIMIT ?5";

const ROBOTS: &str = "SELECT * FROM rollout_robots WHERE rollout = ?1 AND target > ?2 AND (?3 IS NULL OR stage = ?3) \
     AND (?4 IS NULL OR phase = ?4) AND (?5 IS NULL OR changed_us >= ?5) ORDER BY target LIMIT ?6";

const EVENTS: &str = "SELECT h.id, h.rollout, h.entry, r.state ->> '$.spec.release.name' AS name, \
     r.state ->> '$.spec.release.version' AS version FROM rollout_history h JOIN rollouts r ON r.id = h.rollout \
     WHERE h.line = 1 AND h.organisation = ?1 AND h.at_us >= ?2 AND h.at_us < ?3 ORDER BY h.at_us DESC, h.id DESC LIMIT ?4";

/// Those that have not ended, and those of whose robots some have not answered yet, or wait for a turn that will not come. It is asked
/// every second: the index of those few is said by name.
const OPEN: &str = "SELECT id, organisation, revision, 0 AS late FROM rollouts WHERE standing < 2 UNION ALL \
     SELECT id, organisation, revision, 1 FROM rollouts WHERE standing = 2 \
     AND id IN (SELECT DISTINCT rollout FROM rollout_robots INDEXED BY rollout_robots_late \
     WHERE phase IN ('deferred', 'updating', 'rolling_back', 'waiting', 'retrying')) ORDER BY id";

#[async_trait]
impl RolloutStore for Fleet {
    async fn create_rollout(
        &self,
        organisation: &OrganisationId,
        new: &Rollout,
        robots: &[RobotProgress],
        history: &[HistoryEntry],
    ) -> Result<Rollout, StoreError> {
        let (organisation, new, robots, history) = (organisation.clone(), new.clone(), robots.to_vec(), history.to_vec());
        self.0
            .writer
            .run(move |connection| async move { rollout_apply::create(connection, &organisation, &new, &robots, &history).await }.boxed())
            .await
    }

    async fn rollout(&self, organisation: &OrganisationId, id: i64) -> Result<Option<Rollout>, StoreError> {
        let row = sqlx::query("SELECT state FROM rollouts WHERE organisation = ?1 AND id = ?2")
            .bind(organisation.as_str())
            .bind(id)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a rollout"))?;
        row.as_ref().map(|row| get_json(row, "state")).transpose()
    }

    async fn rollouts(&self, organisation: &OrganisationId, filter: &RolloutFilter) -> Result<Vec<Rollout>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(organisation.as_str())
            .bind(filter.before.unwrap_or(i64::MAX))
            .bind(filter.active)
            .bind(filter.target.as_ref().map(TargetName::as_str))
            .bind(filter.limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing rollouts"))?;
        rows.iter().map(|row| get_json(row, "state")).collect()
    }

    async fn rollout_counts(&self, ids: &[i64]) -> Result<BTreeMap<i64, Counts>, StoreError> {
        let rows = sqlx::query(
            "SELECT rollout, stage, phase, back, COUNT(*) AS robots FROM rollout_robots \
             WHERE rollout IN (SELECT value FROM json_each(?1)) GROUP BY rollout, stage, phase, back",
        )
        .bind(json(&ids)?)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("counting the robots of rollouts"))?;
        let mut counts: BTreeMap<i64, Counts> = BTreeMap::new();
        for row in &rows {
            let group = Group { stage: index(row, "stage")?, phase: get_word(row, "phase")?, back: get::<i64>(row, "back")? != 0 };
            counts.entry(get(row, "rollout")?).or_default().0.insert(group, index(row, "robots")?);
        }
        Ok(counts)
    }

    async fn rollout_robots(&self, id: i64, filter: &RobotFilter) -> Result<Vec<RobotProgress>, StoreError> {
        let stage = filter.stage.map(|stage| i64::try_from(stage).unwrap_or(i64::MAX));
        let rows = sqlx::query(ROBOTS)
            .bind(id)
            .bind(filter.after.as_deref().unwrap_or_default())
            .bind(stage)
            .bind(filter.phase.as_ref().map(word).transpose()?)
            .bind(filter.since_us)
            .bind(filter.limit.map_or(-1, i64::from))
            .fetch(&self.0.readers);
        each(rows, "listing the robots of a rollout", robot_of).await
    }

    async fn rollout_history(&self, id: i64, limit: u32) -> Result<Vec<HistoryEntry>, StoreError> {
        let rows =
            sqlx::query("SELECT entry FROM (SELECT * FROM rollout_history WHERE rollout = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id")
                .bind(id)
                .bind(limit)
                .fetch_all(&self.0.readers)
                .await
                .map_err(failed("reading the history of a rollout"))?;
        rows.iter().map(|row| get_json(row, "entry")).collect()
    }

    async fn rollout_events(
        &self,
        organisation: &OrganisationId,
        from_us: i64,
        before_us: i64,
        limit: u32,
    ) -> Result<Vec<RolloutHappened>, StoreError> {
        let rows = sqlx::query(EVENTS)
            .bind(organisation.as_str())
            .bind(from_us)
            .bind(before_us)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing what happened to rollouts"))?;
        let happened = |row| {
            let words = [get::<Option<String>>(row, "name")?, get::<Option<String>>(row, "version")?];
            let what = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
            Ok(RolloutHappened { id: get(row, "id")?, rollout: get(row, "rollout")?, what, entry: get_json(row, "entry")? })
        };
        rows.iter().map(happened).collect()
    }

    async fn open_rollouts(&self) -> Result<Vec<OpenRollout>, StoreError> {
        let rows = sqlx::query(OPEN).fetch_all(&self.0.readers).await.map_err(failed("looking for rollouts that have not ended"))?;
        let open = |row| {
            let late = get::<i64>(row, "late")? != 0;
            Ok(OpenRollout { organisation: get_name(row, "organisation")?, id: get(row, "id")?, revision: get_u64(row, "revision")?, late })
        };
        rows.iter().map(open).collect()
    }

    async fn rollout_phases(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows = sqlx::query("SELECT phase, COUNT(*) AS rollouts FROM rollouts GROUP BY phase")
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("counting rollouts"))?;
        rows.iter().map(|row| Ok((get(row, "phase")?, get_u64(row, "rollouts")?))).collect()
    }

    async fn rollout_holders(
        &self,
        organisation: &OrganisationId,
        slot: &str,
        targets: &[TargetName],
    ) -> Result<Vec<(TargetName, i64)>, StoreError> {
        rollout_hold::holders(&self.0.readers, organisation, slot, targets, rollout_hold::QUEUED).await
    }

    async fn rollout_taken_by(&self, organisation: &OrganisationId, id: i64) -> Result<Option<i64>, StoreError> {
        rollout_hold::taken_by(&self.0.readers, organisation, id, true).await
    }

    async fn apply_step(&self, organisation: &OrganisationId, step: &Step, revision: u64, at_us: i64) -> Result<Applied, StoreError> {
        let (organisation, step) = (organisation.clone(), step.clone());
        self.0
            .writer
            .run(move |connection| async move { rollout_apply::apply(connection, &organisation, step, revision, at_us).await }.boxed())
            .await
    }
}

/// A word as it is written in JSON, without quotes.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(json(value)?.trim_matches('"').to_owned())
}

fn get_word<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    let word: String = get(row, column)?;
    serde_json::from_value(word.into()).map_err(|error| corrupt(column)(&error))
}

fn index(row: &SqliteRow, column: &'static str) -> Result<usize, StoreError> {
    usize::try_from(get::<i64>(row, column)?).map_err(|error| corrupt(column)(&error))
}

fn get_json_if<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<Option<T>, StoreError> {
    let text = get::<Option<&str>>(row, column)?;
    text.map(serde_json::from_str).transpose().map_err(|error| corrupt(column)(&error))
}

fn robot_of(row: &SqliteRow) -> Result<RobotProgress, StoreError> {
    let told = if get::<Option<i64>>(row, "told_generation")?.is_some() {
        Some(Version { server_epoch: get_u64(row, "told_server_epoch")?, generation: get_u64(row, "told_generation")? })
    } else {
        None
    };
    Ok(RobotProgress {
        target: get_name(row, "target")?,
        stage: index(row, "stage")?,
        phase: get_word(row, "phase")?,
        since_us: get(row, "since_us")?,
        waits_since_us: get(row, "waits_since_us")?,
        wakes_us: get(row, "wakes_us")?,
        back: get::<i64>(row, "back")? != 0,
        reason: get(row, "reason")?,
        told,
        served: get(row, "served")?,
        before: get_json_if(row, "before")?,
        before_policy: get_json_if(row, "before_policy")?,
    })
}
