//! The statements by which a group of requests is logged.

use edgeflow_core::{
    CoreError,
    experiment::Pair,
    run::{LogBatch, Metric, NAME_TAG, NewMetric},
};
use edgeflow_store::StoreError;
use rusqlite::{Connection, OptionalExtension, Result, Transaction, params};
use std::{cmp::Ordering, collections::HashMap, path::Path, time::Duration};

use crate::{connect::LOG_BYTES, log::Request};

/// Pages of the write-ahead log after which it is merged into the file, 16 MiB: a page that every commit writes is merged once
/// for many of them.
const CHECKPOINT_PAGES: u32 = 4000;

const METRIC: &str = "INSERT OR IGNORE INTO metrics (run, key, timestamp_ms, step, value, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const LATEST: &str = "INSERT INTO latest_metrics (run, key, timestamp_ms, step, value, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
     ON CONFLICT (run, key) DO UPDATE SET timestamp_ms = excluded.timestamp_ms, step = excluded.step, value = excluded.value, \
     is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > (step, timestamp_ms, value)";
const MODEL_METRIC: &str = "INSERT OR IGNORE INTO logged_model_metrics \
     (model, key, timestamp_ms, step, run, dataset_name, dataset_digest, value, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const MODEL: &str = "SELECT model FROM logged_models WHERE organisation = ?1 AND id = ?2 AND lifecycle = 'active'";
const PARAM: &str = "INSERT OR IGNORE INTO run_params (run, key, value) VALUES (?1, ?2, ?3)";
const OLD_PARAM: &str = "SELECT value FROM run_params WHERE run = ?1 AND key = ?2";
const TAG: &str = "INSERT INTO run_tags (run, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value";
const NAME: &str = "UPDATE runs SET name = ?2 WHERE run = ?1";

/// What a request may be refused; a failing database is an error around it.
type Refusable<T> = std::result::Result<T, StoreError>;

/// Opens the file as the writer does.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(connection)
}

/// Writes every request that is not refused: what becomes of each. `Err` when the database fails, and with it all of them.
pub(crate) fn write(
    transaction: &Transaction<'_>,
    group: &[Request],
    mut find_run: impl FnMut(&Request) -> Result<Refusable<i64>>,
) -> Result<Vec<Refusable<()>>> {
    let mut results = Vec::with_capacity(group.len());
    for request in group {
        results.push(match find_run(request)? {
            Ok(run) => write_whole(transaction, run, request)?,
            Err(refusal) => Err(refusal),
        });
    }
    Ok(results)
}

/// A request, or nothing of it.
fn write_whole(transaction: &Transaction<'_>, run: i64, request: &Request) -> Result<Refusable<()>> {
    let models = match find_models(transaction, &request.organisation, &request.batch.metrics)? {
        Ok(models) => models,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // Only parameters can be refused once something is written.
    let may_end_half_way = !request.batch.params.is_empty();
    if may_end_half_way {
        run_once(transaction, "SAVEPOINT request")?;
    }
    let written = write_batch(transaction, run, request, &models)?;
    if may_end_half_way {
        if written.is_err() {
            run_once(transaction, "ROLLBACK TO request")?;
        }
        run_once(transaction, "RELEASE request")?;
    }
    Ok(written)
}

fn run_once(transaction: &Transaction<'_>, sql: &str) -> Result<()> {
    transaction.prepare_cached(sql)?.execute([]).map(drop)
}

fn write_batch(transaction: &Transaction<'_>, run: i64, request: &Request, models: &HashMap<String, i64>) -> Result<Refusable<()>> {
    let LogBatch { metrics, params, tags } = &request.batch;
    for param in params {
        if let Err(refusal) = insert_param(transaction, run, &request.run, param)? {
            return Ok(Err(refusal));
        }
    }
    for tag in tags {
        transaction.prepare_cached(TAG)?.execute(params![run, tag.key, tag.value])?;
        if tag.key == NAME_TAG {
            transaction.prepare_cached(NAME)?.execute(params![run, tag.value])?;
        }
    }
    if !metrics.is_empty() {
        insert_metrics(transaction, run, metrics)?;
    }
    if !models.is_empty() {
        insert_model_metrics(transaction, run, models, metrics)?;
    }
    Ok(Ok(()))
}

/// Rows of the logged models that metrics were measured of; `Missing` when one is not there.
fn find_models(transaction: &Transaction<'_>, organisation: &str, metrics: &[NewMetric]) -> Result<Refusable<HashMap<String, i64>>> {
    let mut rows = HashMap::new();
    for id in metrics.iter().filter_map(|new| new.model_id.as_ref()) {
        if rows.contains_key(id) {
            continue;
        }
        let row = transaction.prepare_cached(MODEL)?.query_row([organisation, id], |row| row.get(0)).optional()?;
        let Some(row) = row else {
            return Ok(Err(StoreError::Missing { what: "logged model", name: id.clone() }));
        };
        rows.insert(id.clone(), row);
    }
    Ok(Ok(rows))
}

/// A value as it is stored: SQLite has no NaN.
fn stored(metric: &Metric) -> (f64, bool) {
    let nan = metric.value.is_nan();
    (if nan { 0.0 } else { metric.value }, nan)
}

/// Writes values and, of each metric, the latest.
fn insert_metrics(transaction: &Transaction<'_>, run: i64, metrics: &[NewMetric]) -> Result<()> {
    let mut latest: HashMap<&str, &Metric> = HashMap::with_capacity(metrics.len().min(64));
    let mut insert = transaction.prepare_cached(METRIC)?;
    for NewMetric { metric, .. } in metrics {
        let (value, nan) = stored(metric);
        insert.execute(params![run, metric.key, metric.timestamp_ms, metric.step, value, nan])?;
        let slot = latest.entry(&metric.key).or_insert(metric);
        if metric.rank().partial_cmp(&slot.rank()) == Some(Ordering::Greater) {
            *slot = metric;
        }
    }
    let mut replace = transaction.prepare_cached(LATEST)?;
    for metric in latest.into_values() {
        let (value, nan) = stored(metric);
        replace.execute(params![run, metric.key, metric.timestamp_ms, metric.step, value, nan])?;
    }
    Ok(())
}

fn insert_model_metrics(transaction: &Transaction<'_>, run: i64, models: &HashMap<String, i64>, metrics: &[NewMetric]) -> Result<()> {
    let mut insert = transaction.prepare_cached(MODEL_METRIC)?;
    for NewMetric { metric, model_id, dataset_name, dataset_digest } in metrics {
        let Some(model) = model_id.as_ref().and_then(|id| models.get(id)) else { continue };
        let ((value, nan), Metric { key, timestamp_ms, step, .. }) = (stored(metric), metric);
        insert.execute(params![model, key, timestamp_ms, step, run, dataset_name, dataset_digest, value, nan])?;
    }
    Ok(())
}

fn insert_param(transaction: &Transaction<'_>, run: i64, id: &str, param: &Pair) -> Result<Refusable<()>> {
    if transaction.prepare_cached(PARAM)?.execute(params![run, param.key, param.value])? == 1 {
        return Ok(Ok(()));
    }
    let old: String = transaction.prepare_cached(OLD_PARAM)?.query_row(params![run, param.key], |row| row.get(0))?;
    if old == param.value {
        return Ok(Ok(()));
    }
    Ok(Err(CoreError::ParamChanged { run: id.to_owned(), key: param.key.clone(), old, new: param.value.clone() }.into()))
}
