//! Retention, in `telemetry.db`. A step finds its work with a reader and does it in one transaction of the writer, which
//! robots' batches wait for: so steps are small.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    retention::{Cause, RemovalView, Removed, Usage},
    rollup::Resolution,
};
use edgeflow_store::{KindAge, RetentionStore, StoreError};
use edgeflow_wire::Class;
use futures::FutureExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;

use crate::{
    Telemetry,
    connect::failed,
    decode::{class_number, corrupt, get, get_class, get_u64, int, json},
    rollup::{self, Series},
};

/// Series that one step folds at most.
const SERIES: u32 = 64;
/// Pages that are free to be used again and are not given back: what comes next needs them anyway.
const SPARE_PAGES: i64 = 256;

/// Kinds, found by jumping from one to the next over the index.
const KINDS: &str = "WITH RECURSIVE kinds (class, kind) AS ( \
     SELECT c.column1, (SELECT MIN(e.kind) FROM entries e WHERE e.class = c.column1) FROM (VALUES (0), (1), (2), (3)) c \
     UNION ALL SELECT k.class, (SELECT MIN(e.kind) FROM entries e WHERE e.class = k.class AND e.kind > k.kind) \
     FROM kinds k WHERE k.kind IS NOT NULL) \
     SELECT k.class, k.kind, (SELECT MIN(e.received_us) FROM entries e WHERE e.class = k.class AND e.kind = k.kind) AS oldest_us \
     FROM kinds k WHERE k.kind IS NOT NULL ORDER BY k.class, k.kind";

const USAGE: &str = "SELECT p.page_count AS pages, f.freelist_count AS free, s.page_size AS page_bytes \
     FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s";

/// What a step may take away, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) before_us: i64,
    pub(crate) limit: u32,
    pub(crate) cause: Cause,
    pub(crate) now_us: i64,
}

/// What was removed of one log, or of one robot's numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    removed: Removed,
    first_t_us: i64,
    last_t_us: i64,
}

impl Tally {
    pub(crate) fn add(tally: Option<Self>, t_us: i64, bytes: u64) -> Self {
        let before = tally.unwrap_or(Self { removed: Removed::default(), first_t_us: t_us, last_t_us: t_us });
        let removed = Removed { count: before.removed.count + 1, bytes: before.removed.bytes + bytes };
        Self { removed, first_t_us: before.first_t_us.min(t_us), last_t_us: before.last_t_us.max(t_us) }
    }

    pub(crate) fn removed(&self) -> Removed {
        self.removed
    }
}

/// What a tally is about.
pub(crate) struct About<'a> {
    pub(crate) robot: i64,
    pub(crate) what: &'a str,
    /// Epoch, class and kind of entries.
    pub(crate) entries: Option<(i64, Class, &'a str)>,
    pub(crate) cause: Cause,
}

/// Adds to the record of what was removed.
pub(crate) async fn record(connection: &mut SqliteConnection, about: About<'_>, tally: &Tally, now_us: i64) -> Result<(), StoreError> {
    let (epoch, class, kind) = about.entries.map_or((0, -1, ""), |(epoch, class, kind)| (epoch, class_number(class), kind));
    sqlx::query(
        "INSERT INTO removals (robot, epoch, what, class, kind, cause, count, bytes, first_t_us, last_t_us, at_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes, \
         first_t_us = MIN(first_t_us, excluded.first_t_us), last_t_us = MAX(last_t_us, excluded.last_t_us), at_us = excluded.at_us",
    )
    .bind(about.robot)
    .bind(epoch)
    .bind(about.what)
    .bind(class)
    .bind(kind)
    .bind(about.cause.as_str())
    .bind(int(tally.removed.count)?)
    .bind(int(tally.removed.bytes)?)
    .bind(tally.first_t_us)
    .bind(tally.last_t_us)
    .bind(now_us)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("recording a removal"))
}

#[async_trait]
impl RetentionStore for Telemetry {
    async fn kinds(&self) -> Result<Vec<KindAge>, StoreError> {
        let rows = sqlx::query(KINDS).fetch_all(&self.0.readers).await.map_err(failed("listing kinds of entries"))?;
        let age = |row: &SqliteRow| Ok(KindAge { class: get_class(row)?, kind: get(row, "kind")?, oldest_us: get(row, "oldest_us")? });
        rows.iter().map(age).collect()
    }

    async fn remove_entries(
        &self,
        class: Class,
        kind: &str,
        before_us: i64,
        limit: u32,
        cause: Cause,
        now_us: i64,
    ) -> Result<Removed, StoreError> {
        let kind = kind.to_owned();
        let due = Due { before_us, limit, cause, now_us };
        self.0.writer.run(move |connection| async move { remove_entries(connection, class, &kind, due).await }.boxed()).await
    }

    async fn oldest_number(&self, resolution: Resolution) -> Result<Option<i64>, StoreError> {
        let row =
            sqlx::query(rollup::oldest(resolution)).fetch_one(&self.0.readers).await.map_err(failed("looking for the oldest number"))?;
        get(&row, "oldest_us")
    }

    async fn fold_numbers(
        &self,
        resolution: Resolution,
        before_us: i64,
        limit: u32,
        cause: Cause,
        now_us: i64,
    ) -> Result<Removed, StoreError> {
        let rows = sqlx::query(rollup::series_before(resolution))
            .bind(before_us)
            .bind(SERIES)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("looking for numbers to fold"))?;
        let series = rows.iter().map(Series::of).collect::<Result<Vec<_>, _>>()?;
        if series.is_empty() {
            return Ok(Removed::default());
        }
        let due = Due { before_us, limit, cause, now_us };
        self.0.writer.run(move |connection| async move { rollup::fold_series(connection, &series, resolution, due).await }.boxed()).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        let row = sqlx::query(USAGE).fetch_one(&self.0.readers).await.map_err(failed("measuring a database file"))?;
        let (pages, free, page_bytes) = (get_u64(&row, "pages")?, get_u64(&row, "free")?, get_u64(&row, "page_bytes")?);
        let log_bytes = std::fs::metadata(self.0.log_path()).map_or(0, |file| file.len());
        Ok(Usage { used_bytes: pages.saturating_sub(free) * page_bytes, file_bytes: pages * page_bytes + log_bytes })
    }

    async fn shrink(&self) -> Result<u64, StoreError> {
        let shrink = failed("shrinking a database file");
        let row = sqlx::query(USAGE).fetch_one(&self.0.readers).await.map_err(&shrink)?;
        if get::<i64>(&row, "free")? <= SPARE_PAGES {
            return Ok(0);
        }
        let (before, page_bytes) = (get_u64(&row, "pages")?, get_u64(&row, "page_bytes")?);
        let after = self.0.writer.run(|connection| async move { shrunk(connection).await }.boxed()).await?;
        Ok(before.saturating_sub(after) * page_bytes)
    }

    async fn removals(&self, robot: &RobotId) -> Result<Vec<RemovalView>, StoreError> {
        let rows = sqlx::query(
            "SELECT m.*, p.epoch AS epoch_name FROM robots r JOIN removals m ON m.robot = r.id LEFT JOIN epochs p ON p.id = m.epoch \
             WHERE r.organisation = ?1 AND r.target = ?2 ORDER BY m.what, m.class, m.kind, m.cause, m.epoch",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("listing removals"))?;
        rows.iter().map(removal_of).collect()
    }
}

fn removal_of(row: &SqliteRow) -> Result<RemovalView, StoreError> {
    let is_entries = get::<i64>(row, "class")? >= 0;
    Ok(RemovalView {
        what: get(row, "what")?,
        epoch: get(row, "epoch_name")?,
        class: is_entries.then(|| get_class(row).map(|class| class.as_str().to_owned())).transpose()?,
        kind: is_entries.then(|| get(row, "kind")).transpose()?,
        cause: Cause::parse(get(row, "cause")?).map_err(|error| corrupt("cause")(&error))?,
        count: get_u64(row, "count")?,
        bytes: get_u64(row, "bytes")?,
        first_t_us: get(row, "first_t_us")?,
        last_t_us: get(row, "last_t_us")?,
        at_us: get(row, "at_us")?,
    })
}

async fn remove_entries(connection: &mut SqliteConnection, class: Class, kind: &str, due: Due) -> Result<Removed, StoreError> {
    let remove = failed("removing entries");
    let rows = sqlx::query(
        "SELECT id, robot, epoch, t_us, OCTET_LENGTH(kind) + OCTET_LENGTH(body) AS bytes FROM entries \
         WHERE class = ?1 AND kind = ?2 AND received_us < ?3 ORDER BY received_us LIMIT ?4",
    )
    .bind(class_number(class))
    .bind(kind)
    .bind(due.before_us)
    .bind(due.limit)
    .fetch_all(&mut *connection)
    .await
    .map_err(&remove)?;
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    let mut tallies: BTreeMap<(i64, i64), Tally> = BTreeMap::new();
    for row in &rows {
        ids.push(get(row, "id")?);
        let log = (get(row, "robot")?, get(row, "epoch")?);
        let tally = Tally::add(tallies.get(&log).copied(), get(row, "t_us")?, get_u64(row, "bytes")?);
        tallies.insert(log, tally);
    }
    if ids.is_empty() {
        return Ok(Removed::default());
    }
    let mut removed = Removed::default();
    for ((robot, epoch), tally) in &tallies {
        let about = About { robot: *robot, what: "entries", entries: Some((*epoch, class, kind)), cause: due.cause };
        record(connection, about, tally, due.now_us).await?;
        removed += tally.removed();
    }
    sqlx::query("DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?1))")
        .bind(json(&ids)?)
        .execute(connection)
        .await
        .map_err(&remove)?;
    Ok(removed)
}

/// Gives back at most 512 pages; how many pages there are then.
async fn shrunk(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let shrink = failed("shrinking a database file");
    // A row for each page: all of them must be asked for.
    sqlx::query("PRAGMA incremental_vacuum(512)").fetch_all(&mut *connection).await.map_err(&shrink)?;
    let row = sqlx::query("PRAGMA page_count").fetch_one(connection).await.map_err(&shrink)?;
    let pages: i64 = row.try_get(0).map_err(&shrink)?;
    u64::try_from(pages).map_err(|error| corrupt("page count")(&error))
}
