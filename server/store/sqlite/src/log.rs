//! What runs log, fast: metrics that wait are written together, many rows to a statement, whichever run they are of.
//!
//! A training logs one value at a time and waits for each. So requests with nothing but metrics queue on a [`Lane`]; while one
//! group of them is committed the next one gathers.

use edgeflow_core::{
    CoreError,
    experiment::{Lifecycle, Pair},
    run::{LogBatch, Metric, NAME_TAG, NewMetric},
};
use edgeflow_store::StoreError;
use futures::FutureExt;
use sqlx::SqliteConnection;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::sync::oneshot;

use crate::{
    connect::failed,
    decode::{get, get_name},
    writer::{WriterHandle, execute},
};

/// Most rows of one group: bounds how long the first of them waits.
const GROUP_ROWS: usize = 20_000;
/// Most runs that are remembered to be active.
const KNOWN_RUNS: usize = 10_000;
/// Rows of statements. A batch takes the next larger one and repeats its last row, which changes nothing: so there are few
/// statements, and all of them are prepared once.
const SIZES: [usize; 12] = [1, 2, 4, 8, 16, 32, 64, 100, 128, 256, 512, MAX_ROWS];
/// Most rows of one statement.
const MAX_ROWS: usize = 1000;

/// What writes so many values and so many latest ones, each text made once: inside of a transaction, and with its own.
struct Statements([[OnceLock<String>; SIZES.len()]; SIZES.len()]);

static INSIDE: Statements = Statements([const { [const { OnceLock::new() }; SIZES.len()] }; SIZES.len()]);
static WHOLE: Statements = Statements([const { [const { OnceLock::new() }; SIZES.len()] }; SIZES.len()]);

impl Statements {
    fn get(&'static self, values: usize, latest: usize) -> Option<&'static str> {
        let made = self.0.get(values)?.get(latest)?;
        let rows = |place: usize| vec!["(?, ?, ?, ?, ?, ?)"; SIZES.get(place).copied().unwrap_or(1)].join(", ");
        let text = || {
            let both = format!(
                "INSERT OR IGNORE INTO metrics (run, key, timestamp_ms, step, value, is_nan) VALUES {}; \
                 INSERT INTO latest_metrics (run, key, timestamp_ms, step, value, is_nan) VALUES {} \
                 ON CONFLICT (run, key) DO UPDATE SET timestamp_ms = excluded.timestamp_ms, step = excluded.step, value = excluded.value, \
                 is_nan = excluded.is_nan WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > (step, timestamp_ms, value)",
                rows(values),
                rows(latest),
            );
            // One round to the database's thread instead of four.
            if std::ptr::eq(self, &WHOLE) { format!("BEGIN IMMEDIATE; {both}; COMMIT") } else { both }
        };
        Some(made.get_or_init(text))
    }
}

/// Requests that wait to be written together.
#[derive(Clone, Default)]
pub(crate) struct Lane(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Rows of active runs by organisation and id. Read, filled and emptied by jobs of the writer only, which come one after
    /// another: what was deleted is out of it before the next metric is written.
    known: Mutex<HashMap<(String, String), i64>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether somebody writes them.
    served: bool,
}

struct Waiting {
    organisation: String,
    run: String,
    metrics: Vec<NewMetric>,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<(), StoreError>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    /// Logs metrics with whatever else waits. When this returns `Ok`, they are durable.
    pub(crate) async fn log(
        &self,
        writer: &WriterHandle,
        organisation: String,
        run: String,
        metrics: Vec<NewMetric>,
    ) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let begin = {
            let mut queue = lock(&self.0.queue);
            queue.waiting.push_back(Waiting { organisation, run, metrics, reply });
            !std::mem::replace(&mut queue.served, true)
        };
        if begin {
            self.serve(writer.clone());
        }
        answer.await.map_err(|_| lost("the store is closed"))?
    }

    /// Has the writer write what waits by then, and again while there is more.
    fn serve(&self, writer: WriterHandle) {
        let (lane, again) = (self.clone(), writer.clone());
        let submitted = writer.submit_alone(move |connection| {
            async move {
                let group = lane.next_group();
                for (reply, result) in write(&lane, connection, group).await {
                    // A caller that went away does not need the answer.
                    let _ = reply.send(result);
                }
                if lane.goes_on() {
                    lane.serve(again);
                }
            }
            .boxed()
        });
        if !submitted {
            // Their senders go with them, which tells them.
            let mut queue = lock(&self.0.queue);
            queue.waiting.clear();
            queue.served = false;
        }
    }

    /// Forgets which runs are active. For jobs of the writer, before one is deleted.
    pub(crate) fn forget_all(&self) {
        lock(&self.0.known).clear();
    }

    fn next_group(&self) -> Vec<Waiting> {
        let mut queue = lock(&self.0.queue);
        let mut rows = 0;
        let mut group = Vec::new();
        while rows < GROUP_ROWS
            && let Some(next) = queue.waiting.pop_front()
        {
            rows += next.metrics.len();
            group.push(next);
        }
        group
    }

    /// Whether there is more to write. If not, the next request begins anew.
    fn goes_on(&self) -> bool {
        let mut queue = lock(&self.0.queue);
        queue.served = !queue.waiting.is_empty();
        queue.served
    }

    /// The row of a run that may be logged to.
    pub(crate) async fn run_row(&self, connection: &mut SqliteConnection, organisation: &str, id: &str) -> Result<i64, StoreError> {
        let name = (organisation.to_owned(), id.to_owned());
        if let Some(row) = lock(&self.0.known).get(&name) {
            return Ok(*row);
        }
        let row = active_run(connection, organisation, id).await?;
        let mut known = lock(&self.0.known);
        if known.len() >= KNOWN_RUNS {
            known.clear();
        }
        known.insert(name, row);
        Ok(row)
    }
}

fn lost(reason: &str) -> StoreError {
    StoreError::Failed { operation: "logging", source: reason.into() }
}

/// Writes a group: a request that is refused leaves the others alone, a failing database fails all of them.
async fn write(lane: &Lane, connection: &mut SqliteConnection, group: Vec<Waiting>) -> Vec<(Reply, Result<(), StoreError>)> {
    let mut answers = Vec::with_capacity(group.len());
    let mut accepted = Vec::with_capacity(group.len());
    for Waiting { organisation, run, metrics, reply } in group {
        match check(lane, connection, &organisation, &run, &metrics).await {
            Ok((row, models)) => accepted.push((row, models, metrics, reply)),
            Err(refusal) => answers.push((reply, Err(refusal))),
        }
    }
    let written = write_accepted(connection, &accepted).await;
    if let Err(error) = &written {
        tracing::error!(%error, requests = accepted.len(), "a group of metrics was not written");
        // Whatever was open must not leak into the next group; there may be nothing open any more.
        let _ = execute(connection, "ROLLBACK").await;
    }
    let failure = written.err().map(|error| error.to_string());
    let outcome = || failure.as_deref().map_or(Ok(()), |reason| Err(lost(reason)));
    answers.extend(accepted.into_iter().map(|(_, _, _, reply)| (reply, outcome())));
    answers
}

/// A request that may be written: the run's row, those of the logged models it names, and its values.
type Accepted = (i64, HashMap<String, i64>, Vec<NewMetric>, Reply);

async fn write_accepted(connection: &mut SqliteConnection, accepted: &[Accepted]) -> Result<(), StoreError> {
    let rows: Vec<(i64, &Metric)> =
        accepted.iter().flat_map(|(row, _, metrics, _)| metrics.iter().map(|new| (*row, &new.metric))).collect();
    if rows.len() <= MAX_ROWS && accepted.iter().all(|(_, models, _, _)| models.is_empty()) {
        return insert_metrics(connection, &WHOLE, &rows).await;
    }
    execute(connection, "BEGIN IMMEDIATE").await?;
    insert_metrics(connection, &INSIDE, &rows).await?;
    for (row, models, metrics, _) in accepted {
        insert_model_metrics(connection, *row, models, metrics).await?;
    }
    execute(connection, "COMMIT").await
}

async fn check(
    lane: &Lane,
    connection: &mut SqliteConnection,
    organisation: &str,
    run: &str,
    metrics: &[NewMetric],
) -> Result<(i64, HashMap<String, i64>), StoreError> {
    let row = lane.run_row(connection, organisation, run).await?;
    Ok((row, model_rows(connection, organisation, metrics).await?))
}

/// Writes a whole batch; `Err` when any of it is refused.
pub(crate) async fn write_batch(
    lane: &Lane,
    connection: &mut SqliteConnection,
    organisation: &str,
    id: &str,
    batch: &LogBatch,
) -> Result<(), StoreError> {
    let run = lane.run_row(connection, organisation, id).await?;
    for param in &batch.params {
        insert_param(connection, run, id, param).await?;
    }
    for tag in &batch.tags {
        insert_tag(connection, run, tag).await?;
    }
    let models = model_rows(connection, organisation, &batch.metrics).await?;
    let rows: Vec<(i64, &Metric)> = batch.metrics.iter().map(|new| (run, &new.metric)).collect();
    insert_metrics(connection, &INSIDE, &rows).await?;
    insert_model_metrics(connection, run, &models, &batch.metrics).await
}

async fn active_run(connection: &mut SqliteConnection, organisation: &str, id: &str) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT run, lifecycle FROM runs WHERE organisation = ?1 AND id = ?2")
        .bind(organisation)
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(failed("looking for a run"))?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "run", name: id.to_owned() })?;
    match get_name::<Lifecycle>(&row, "lifecycle")? {
        Lifecycle::Active => get(&row, "run"),
        Lifecycle::Deleted => Err(CoreError::Deleted { what: "run", name: id.to_owned() }.into()),
    }
}

/// Rows of the logged models that metrics were measured of; `Missing` when one is not there.
async fn model_rows(
    connection: &mut SqliteConnection,
    organisation: &str,
    metrics: &[NewMetric],
) -> Result<HashMap<String, i64>, StoreError> {
    let mut rows = HashMap::new();
    for id in metrics.iter().filter_map(|new| new.model_id.as_ref()) {
        if !rows.contains_key(id) {
            rows.insert(id.clone(), crate::logged_model::row_of(connection, organisation, id).await?);
        }
    }
    Ok(rows)
}

/// Place of the least size that has room for so many rows.
fn place_of(rows: usize) -> usize {
    SIZES.iter().position(|size| *size >= rows).unwrap_or(SIZES.len() - 1)
}

/// Writes values and, of each metric, the latest; with the statements [`WHOLE`], at most [`MAX_ROWS`] in one transaction.
async fn insert_metrics(
    connection: &mut SqliteConnection,
    statements: &'static Statements,
    rows: &[(i64, &Metric)],
) -> Result<(), StoreError> {
    for values in rows.chunks(MAX_ROWS) {
        let mut latest: HashMap<(i64, &str), &Metric> = HashMap::with_capacity(values.len().min(64));
        for (run, metric) in values {
            let slot = latest.entry((*run, metric.key.as_str())).or_insert(metric);
            if metric.rank().partial_cmp(&slot.rank()) == Some(std::cmp::Ordering::Greater) {
                *slot = metric;
            }
        }
        let latest: Vec<(i64, &Metric)> = latest.into_iter().map(|((run, _), metric)| (run, metric)).collect();
        let sql = statements.get(place_of(values.len()), place_of(latest.len()));
        let mut query = sqlx::query(sql.ok_or_else(|| lost("there is no statement of that size"))?);
        for rows in [values, &latest] {
            let size = SIZES.get(place_of(rows.len())).copied().unwrap_or(1);
            for (run, metric) in rows.iter().chain(rows.last().into_iter().cycle()).take(size) {
                let nan = metric.value.is_nan();
                query = query
                    .bind(*run)
                    .bind(metric.key.as_str())
                    .bind(metric.timestamp_ms)
                    .bind(metric.step)
                    .bind(if nan { 0.0 } else { metric.value })
                    .bind(nan);
            }
        }
        query.execute(&mut *connection).await.map_err(failed("logging metrics"))?;
    }
    Ok(())
}

async fn insert_model_metrics(
    connection: &mut SqliteConnection,
    run: i64,
    models: &HashMap<String, i64>,
    metrics: &[NewMetric],
) -> Result<(), StoreError> {
    for NewMetric { metric, model_id, dataset_name, dataset_digest } in metrics {
        let Some(model) = model_id.as_ref().and_then(|id| models.get(id)) else { continue };
        let nan = metric.value.is_nan();
        sqlx::query(
            "INSERT OR IGNORE INTO logged_model_metrics \
             (model, key, timestamp_ms, step, run, dataset_name, dataset_digest, value, is_nan) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .bind(*model)
        .bind(&metric.key)
        .bind(metric.timestamp_ms)
        .bind(metric.step)
        .bind(run)
        .bind(dataset_name)
        .bind(dataset_digest)
        .bind(if nan { 0.0 } else { metric.value })
        .bind(nan)
        .execute(&mut *connection)
        .await
        .map_err(failed("logging a model's metrics"))?;
    }
    Ok(())
}

async fn insert_param(connection: &mut SqliteConnection, run: i64, id: &str, param: &Pair) -> Result<(), StoreError> {
    let added = sqlx::query("INSERT OR IGNORE INTO run_params (run, key, value) VALUES (?1, ?2, ?3)")
        .bind(run)
        .bind(&param.key)
        .bind(&param.value)
        .execute(&mut *connection)
        .await
        .map_err(failed("logging a parameter"))?;
    if added.rows_affected() == 1 {
        return Ok(());
    }
    let row = sqlx::query("SELECT value FROM run_params WHERE run = ?1 AND key = ?2")
        .bind(run)
        .bind(&param.key)
        .fetch_one(connection)
        .await
        .map_err(failed("reading a parameter"))?;
    let old: String = get(&row, "value")?;
    if old == param.value {
        return Ok(());
    }
    Err(CoreError::ParamChanged { run: id.to_owned(), key: param.key.clone(), old, new: param.value.clone() }.into())
}

/// Sets a run's tag; the one that is its name names it.
pub(crate) async fn insert_tag(connection: &mut SqliteConnection, run: i64, tag: &Pair) -> Result<(), StoreError> {
    let setting = failed("setting a run's tag");
    sqlx::query("INSERT INTO run_tags (run, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value")
        .bind(run)
        .bind(&tag.key)
        .bind(&tag.value)
        .execute(&mut *connection)
        .await
        .map_err(&setting)?;
    if tag.key == NAME_TAG {
        sqlx::query("UPDATE runs SET name = ?2 WHERE run = ?1").bind(run).bind(&tag.value).execute(connection).await.map_err(&setting)?;
    }
    Ok(())
}
