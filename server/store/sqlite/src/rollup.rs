//! Roll-ups in `telemetry.db`: folding numbers into coarser ones, and reading them back. What a roll-up is and how two become
//! one is `edgeflow_core::rollup`'s; here are only rows.

use edgeflow_core::{
    retention::Removed,
    rollup::{Resolution, RollUp, fold},
};
use edgeflow_store::StoreError;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::{
    connect::failed,
    decode::{get, get_u64, int},
    retention::{About, Due, Tally, record},
};

/// Bytes of a number's content in the record of what was removed: a time and a value.
const NUMBER_BYTES: u64 = 16;
/// Roll-ups written by one statement; each binds ten values of at most 32,766.
const ROWS: usize = 1_000;

/// One channel of one robot.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) robot: i64,
    pub(crate) channel: String,
}

impl Series {
    pub(crate) fn of(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(Self { robot: get(row, "robot")?, channel: get(row, "channel")? })
    }
}

/// Series of a table, found by jumping from channel to channel, each with its oldest number: `$oldest` of `s`.
macro_rules! series {
    ($table:literal, $oldest:literal, $then:literal) => {
        concat!(
            "WITH RECURSIVE series (robot, channel) AS ( \
             SELECT r.id, (SELECT MIN(n.channel) FROM ",
            $table,
            " n WHERE n.robot = r.id) FROM robots r \
             UNION ALL SELECT s.robot, (SELECT MIN(n.channel) FROM ",
            $table,
            " n WHERE n.robot = s.robot AND n.channel > s.channel) FROM series s WHERE s.channel IS NOT NULL), \
             aged AS (SELECT s.robot, s.channel, (SELECT MIN(n.t_us) FROM ",
            $table,
            " n WHERE n.robot = s.robot AND n.channel = s.channel",
            $oldest,
            ") AS oldest_us FROM series s WHERE s.channel IS NOT NULL) ",
            $then
        )
    };
}

/// The oldest number of all that are kept so finely.
pub(crate) fn oldest(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Raw => series!("samples", "", "SELECT MIN(oldest_us) AS oldest_us FROM aged"),
        Resolution::Minute => series!("rollups", " AND n.resolution = 60", "SELECT MIN(oldest_us) AS oldest_us FROM aged"),
        Resolution::Hour => series!("rollups", " AND n.resolution = 3600", "SELECT MIN(oldest_us) AS oldest_us FROM aged"),
    }
}

/// At most ?2 series with numbers before ?1.
pub(crate) fn series_before(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Raw => series!("samples", "", "SELECT robot, channel FROM aged WHERE oldest_us < ?1 LIMIT ?2"),
        Resolution::Minute => {
            series!("rollups", " AND n.resolution = 60", "SELECT robot, channel FROM aged WHERE oldest_us < ?1 LIMIT ?2")
        }
        Resolution::Hour => {
            series!("rollups", " AND n.resolution = 3600", "SELECT robot, channel FROM aged WHERE oldest_us < ?1 LIMIT ?2")
        }
    }
}

/// The number a resolution is stored as: seconds of a bucket.
pub(crate) fn seconds(resolution: Resolution) -> i64 {
    resolution.bucket_us() / 1_000_000
}

/// Folds the oldest numbers of these series, about `limit` altogether, and records that they are no longer kept so finely.
pub(crate) async fn fold_series(
    connection: &mut SqliteConnection,
    series: &[Series],
    from: Resolution,
    due: Due,
) -> Result<Removed, StoreError> {
    let mut removed = Removed::default();
    for one in series {
        let left = u64::from(due.limit).saturating_sub(removed.count);
        if left == 0 {
            break;
        }
        let parts = oldest_parts(connection, one, from, due.before_us, left).await?;
        let (Some((first, _)), Some((last, _))) = (parts.first(), parts.last()) else { continue };
        if let Some(into) = from.coarser() {
            let (from_bucket, to_bucket) = (into.bucket_of(*first), into.bucket_of(*last));
            let there = rollups_between(connection, one, into, from_bucket, to_bucket).await?;
            let touched = fold(into, parts.iter().copied());
            let known = there.into_iter().filter(|(t_us, _)| touched.contains_key(t_us));
            let merged = fold(into, known.chain(touched.iter().map(|(t_us, part)| (*t_us, *part))));
            write(connection, one, into, &merged.into_iter().collect::<Vec<_>>()).await?;
        }
        delete_until(connection, one, from, *last).await?;
        let tally = parts.iter().fold(None, |tally, (t_us, _)| Some(Tally::add(tally, *t_us, NUMBER_BYTES)));
        if let Some(tally) = tally {
            record(connection, About { robot: one.robot, what: from.as_str(), entries: None, cause: due.cause }, &tally, due.now_us)
                .await?;
            removed += tally.removed();
        }
    }
    Ok(removed)
}

/// The oldest numbers of a series at a resolution, in order of time.
async fn oldest_parts(
    connection: &mut SqliteConnection,
    series: &Series,
    resolution: Resolution,
    before_us: i64,
    limit: u64,
) -> Result<Vec<(i64, RollUp)>, StoreError> {
    let read = failed("reading numbers to fold");
    let sql = match resolution {
        Resolution::Raw => {
            "SELECT t_us, value AS sum FROM samples WHERE robot = ?1 AND channel = ?2 AND t_us < ?3 AND ?5 = 0 ORDER BY t_us LIMIT ?4"
        }
        _ => {
            "SELECT t_us, count, sum, min, max, last, last_us FROM rollups WHERE robot = ?1 AND channel = ?2 AND resolution = ?5 AND t_us < ?3 \
             ORDER BY t_us LIMIT ?4"
        }
    };
    let rows = sqlx::query(sql)
        .bind(series.robot)
        .bind(&series.channel)
        .bind(before_us)
        .bind(int(limit)?)
        .bind(seconds(resolution))
        .fetch_all(connection)
        .await
        .map_err(read)?;
    rows.iter().map(|row| if resolution == Resolution::Raw { sample_of(row) } else { rollup_of(row) }).collect()
}

async fn rollups_between(
    connection: &mut SqliteConnection,
    series: &Series,
    resolution: Resolution,
    from_us: i64,
    to_us: i64,
) -> Result<Vec<(i64, RollUp)>, StoreError> {
    let rows = sqlx::query(
        "SELECT t_us, count, sum, min, max, last, last_us FROM rollups WHERE robot = ?1 AND channel = ?2 AND resolution = ?3 \
         AND t_us BETWEEN ?4 AND ?5 ORDER BY t_us",
    )
    .bind(series.robot)
    .bind(&series.channel)
    .bind(seconds(resolution))
    .bind(from_us)
    .bind(to_us)
    .fetch_all(connection)
    .await
    .map_err(failed("reading roll-ups"))?;
    rows.iter().map(rollup_of).collect()
}

fn sample_of(row: &SqliteRow) -> Result<(i64, RollUp), StoreError> {
    let (t_us, value) = (get(row, "t_us")?, get(row, "sum")?);
    Ok((t_us, RollUp::of(t_us, value)))
}

/// A roll-up from its row.
pub(crate) fn rollup_of(row: &SqliteRow) -> Result<(i64, RollUp), StoreError> {
    let (t_us, sum): (i64, f64) = (get(row, "t_us")?, get(row, "sum")?);
    let or_sum = |value: Option<f64>| value.unwrap_or(sum);
    let whole = RollUp {
        count: get_u64(row, "count")?,
        min: or_sum(get(row, "min")?),
        max: or_sum(get(row, "max")?),
        sum,
        last: or_sum(get(row, "last")?),
        last_t_us: t_us.saturating_add(get(row, "last_us")?),
    };
    Ok((t_us, whole))
}

async fn write(
    connection: &mut SqliteConnection,
    series: &Series,
    resolution: Resolution,
    rollups: &[(i64, RollUp)],
) -> Result<(), StoreError> {
    for rows in rollups.chunks(ROWS) {
        let mut insert: QueryBuilder<Sqlite> =
            QueryBuilder::new("INSERT OR REPLACE INTO rollups (robot, channel, resolution, t_us, count, sum, min, max, last, last_us) ");
        insert.push_values(rows, |mut row, (t_us, whole)| {
            let beside = |value: f64| (whole.count > 1).then_some(value);
            row.push_bind(series.robot)
                .push_bind(&series.channel)
                .push_bind(seconds(resolution))
                .push_bind(*t_us)
                .push_bind(i64::try_from(whole.count).unwrap_or(i64::MAX))
                .push_bind(whole.sum)
                .push_bind(beside(whole.min))
                .push_bind(beside(whole.max))
                .push_bind(beside(whole.last))
                .push_bind(whole.last_t_us.saturating_sub(*t_us));
        });
        insert.build().persistent(false).execute(&mut *connection).await.map_err(failed("keeping roll-ups"))?;
    }
    Ok(())
}

/// Deletes what `oldest_parts` read.
async fn delete_until(connection: &mut SqliteConnection, series: &Series, resolution: Resolution, until_us: i64) -> Result<(), StoreError> {
    let sql = match resolution {
        Resolution::Raw => "DELETE FROM samples WHERE robot = ?1 AND channel = ?2 AND t_us <= ?3 AND ?4 = 0",
        _ => "DELETE FROM rollups WHERE robot = ?1 AND channel = ?2 AND t_us <= ?3 AND resolution = ?4",
    };
    sqlx::query(sql)
        .bind(series.robot)
        .bind(&series.channel)
        .bind(until_us)
        .bind(seconds(resolution))
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("removing folded numbers"))
}
