//! Reading runs: one, many, and the history of their metrics.

use edgeflow_core::{
    OrganisationId,
    dataset::{Dataset, DatasetInput, DatasetSummary},
    experiment::View,
    run::{CONTEXT_TAG, Metric, ModelLink, Run, RunInfo},
    search::{Filter, Order},
};
use edgeflow_store::{Slice, StoreError};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use std::collections::HashMap;

use crate::{
    connect::failed,
    decode::{get, get_name, int},
    experiment::{list, pair_of, push_lifecycles, push_slice},
    input::Direction,
    search::{EVERY, Scheme},
};

const DATASETS: &str = "FROM run_datasets i JOIN datasets x ON x.dataset = i.dataset WHERE i.run = r.run";

const SCHEME: Scheme = Scheme {
    attributes: &[
        ("run_id", "r.id", "r.id"),
        ("run_name", "r.name", "r.name"),
        ("status", "r.status", "r.status"),
        ("user_id", "r.user", "r.user"),
        ("artifact_uri", "r.artifact_uri", "r.artifact_uri"),
        ("start_time", "r.start_ms", "r.start_ms"),
        ("end_time", "r.end_ms", "r.end_ms"),
    ],
    metrics: "FROM latest_metrics x WHERE x.run = r.run",
    params: "FROM run_params x WHERE x.run = r.run",
    tags: "FROM run_tags x WHERE x.run = r.run",
    datasets: &[
        ("name", DATASETS, "x.name"),
        ("digest", DATASETS, "x.digest"),
        ("context", "FROM run_dataset_tags x WHERE x.run = r.run AND x.key = 'mlflow.data.context'", "x.value"),
    ],
};

/// One run with all that was logged to it.
pub(crate) async fn run(readers: &SqlitePool, organisation: &OrganisationId, id: &str) -> Result<Option<Run>, StoreError> {
    let mut reader = readers.begin().await.map_err(failed("reading a run"))?;
    let row = row(&mut reader, organisation, id).await?;
    Ok(complete(&mut reader, row.as_slice()).await?.pop())
}

/// One run without it.
pub(crate) async fn info(readers: &SqlitePool, organisation: &OrganisationId, id: &str) -> Result<Option<RunInfo>, StoreError> {
    let mut reader = readers.begin().await.map_err(failed("reading a run"))?;
    row(&mut reader, organisation, id).await?.as_ref().map(info_of).transpose()
}

async fn row(reader: &mut SqliteConnection, organisation: &OrganisationId, id: &str) -> Result<Option<SqliteRow>, StoreError> {
    sqlx::query("SELECT * FROM runs WHERE organisation = ?1 AND id = ?2")
        .bind(organisation.as_str())
        .bind(id)
        .fetch_optional(reader)
        .await
        .map_err(failed("reading a run"))
}

/// Runs that a filter holds of.
pub(crate) async fn search(
    readers: &SqlitePool,
    organisation: &OrganisationId,
    experiments: &[i64],
    view: View,
    filter: &Filter,
    orders: &[Order],
    slice: Slice,
) -> Result<Vec<Run>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT r.* FROM runs r WHERE r.organisation = ");
    query.push_bind(organisation.to_string());
    query.push(" AND r.experiment IN (SELECT value FROM json_each(").push_bind(list(experiments)).push("))");
    push_lifecycles(&mut query, "r.lifecycle", view);
    SCHEME.push_filter(&mut query, filter, EVERY)?;
    SCHEME.push_orders(&mut query, orders.iter().map(|order| (order, EVERY)), "r.start_ms DESC, r.id")?;
    push_slice(&mut query, slice)?;
    // One snapshot: what is logged meanwhile is seen whole or not at all.
    let mut reader = readers.begin().await.map_err(failed("searching runs"))?;
    let rows = query.build().fetch_all(&mut *reader).await.map_err(failed("searching runs"))?;
    complete(&mut reader, &rows).await
}

/// Runs of rows, with all that was logged to them.
async fn complete(reader: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<Vec<Run>, StoreError> {
    let reading = failed("reading runs");
    let keys = rows.iter().map(|row| get(row, "run")).collect::<Result<Vec<i64>, _>>()?;
    let keys_json = list(&keys);
    let mut runs = rows.iter().map(|row| info_of(row).map(bare)).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<i64, usize> = keys.into_iter().enumerate().map(|(place, key)| (key, place)).collect();
    let place = |row: &SqliteRow| -> Result<usize, StoreError> { Ok(places.get(&get(row, "run")?).copied().unwrap_or(usize::MAX)) };

    type Put = fn(&mut Run, &SqliteRow) -> Result<(), StoreError>;
    let parts: [(&'static str, Put); 4] = [
        ("SELECT * FROM latest_metrics WHERE run IN (SELECT value FROM json_each(?1)) ORDER BY run, key", |run, row| {
            run.metrics.push(metric_of(row)?);
            Ok(())
        }),
        ("SELECT * FROM run_params WHERE run IN (SELECT value FROM json_each(?1)) ORDER BY run, key", |run, row| {
            run.params.push(pair_of(row)?);
            Ok(())
        }),
        ("SELECT * FROM run_tags WHERE run IN (SELECT value FROM json_each(?1)) ORDER BY run, key", |run, row| {
            run.tags.push(pair_of(row)?);
            Ok(())
        }),
        ("SELECT * FROM run_models WHERE run IN (SELECT value FROM json_each(?1)) ORDER BY run, step, model", |run, row| {
            let link = ModelLink { model_id: get(row, "model")?, step: get(row, "step")? };
            let inward = get::<&str>(row, "direction")? == Direction::In.as_str();
            (if inward { &mut run.model_inputs } else { &mut run.model_outputs }).push(link);
            Ok(())
        }),
    ];
    for (sql, put) in parts {
        for row in sqlx::query(sql).bind(&keys_json).fetch_all(&mut *reader).await.map_err(&reading)? {
            if let Some(run) = runs.get_mut(place(&row)?) {
                put(run, &row)?;
            }
        }
    }
    let mut inputs: HashMap<(i64, i64), (usize, usize)> = HashMap::new();
    let datasets = sqlx::query(
        "SELECT i.run, d.* FROM run_datasets i JOIN datasets d ON d.dataset = i.dataset \
         WHERE i.run IN (SELECT value FROM json_each(?1)) ORDER BY i.run, i.place",
    );
    for row in datasets.bind(&keys_json).fetch_all(&mut *reader).await.map_err(&reading)? {
        let at = place(&row)?;
        if let Some(run) = runs.get_mut(at) {
            inputs.insert((get(&row, "run")?, get(&row, "dataset")?), (at, run.datasets.len()));
            run.datasets.push(DatasetInput { dataset: dataset_of(&row)?, tags: Vec::new() });
        }
    }
    if !inputs.is_empty() {
        let tags = sqlx::query("SELECT * FROM run_dataset_tags WHERE run IN (SELECT value FROM json_each(?1)) ORDER BY run, dataset, key");
        for row in tags.bind(&keys_json).fetch_all(&mut *reader).await.map_err(&reading)? {
            let at = inputs.get(&(get(&row, "run")?, get(&row, "dataset")?));
            if let Some(input) = at.and_then(|(run, input)| runs.get_mut(*run)?.datasets.get_mut(*input)) {
                input.tags.push(pair_of(&row)?);
            }
        }
    }
    Ok(runs)
}

/// Every value of a metric.
pub(crate) async fn history(
    readers: &SqlitePool,
    organisation: &OrganisationId,
    id: &str,
    key: &str,
    slice: Slice,
) -> Result<Vec<Metric>, StoreError> {
    let rows = sqlx::query(
        "SELECT m.* FROM metrics m WHERE m.run = (SELECT run FROM runs WHERE organisation = ?1 AND id = ?2) AND m.key = ?3 \
         ORDER BY m.timestamp_ms, m.step, m.value LIMIT ?4 OFFSET ?5",
    )
    .bind(organisation.as_str())
    .bind(id)
    .bind(key)
    .bind(slice.limit)
    .bind(int(slice.offset)?)
    .fetch_all(readers)
    .await
    .map_err(failed("reading a metric's history"))?;
    rows.iter().map(metric_of).collect()
}

/// Runs by their ids, which are bound as one parameter.
const RUNS_OF: &str = "(SELECT run FROM runs WHERE organisation = ?1 AND id IN (SELECT value FROM json_each(?2)))";

/// Steps at which any of the runs has a value.
pub(crate) async fn steps(
    readers: &SqlitePool,
    organisation: &OrganisationId,
    ids: &[String],
    key: &str,
    (first, last): (i64, i64),
) -> Result<Vec<i64>, StoreError> {
    let sql = format!("SELECT DISTINCT step FROM metrics WHERE run IN {RUNS_OF} AND key = ?3 AND step BETWEEN ?4 AND ?5 ORDER BY step");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(organisation.as_str())
        .bind(serde_json::Value::from(ids.to_vec()).to_string())
        .bind(key)
        .bind(first)
        .bind(last)
        .fetch_all(readers)
        .await
        .map_err(failed("reading a metric's steps"))?;
    rows.iter().map(|row| get(row, "step")).collect()
}

/// The last value of each run at each of the steps.
pub(crate) async fn at_steps(
    readers: &SqlitePool,
    organisation: &OrganisationId,
    ids: &[String],
    key: &str,
    steps: &[i64],
) -> Result<Vec<(String, Metric)>, StoreError> {
    let sql = format!(
        "SELECT r.id AS run_id, m.* FROM (SELECT x.*, ROW_NUMBER() OVER (PARTITION BY x.run, x.step ORDER BY x.timestamp_ms DESC, x.value DESC) \
         AS place FROM metrics x WHERE x.run IN {RUNS_OF} AND x.key = ?3 AND x.step IN (SELECT value FROM json_each(?4))) m \
         JOIN runs r ON r.run = m.run WHERE m.place = 1 ORDER BY m.run, m.step"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(organisation.as_str())
        .bind(serde_json::Value::from(ids.to_vec()).to_string())
        .bind(key)
        .bind(list(steps))
        .fetch_all(readers)
        .await
        .map_err(failed("reading a metric at steps"))?;
    rows.iter().map(|row| Ok((get(row, "run_id")?, metric_of(row)?))).collect()
}

/// Datasets of experiments.
pub(crate) async fn datasets(
    readers: &SqlitePool,
    organisation: &OrganisationId,
    experiments: &[i64],
    limit: u32,
) -> Result<Vec<DatasetSummary>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT d.experiment, d.name, d.digest, t.value AS context FROM datasets d \
         LEFT JOIN run_dataset_tags t ON t.dataset = d.dataset AND t.key = ?3 AND t.run IN (SELECT run FROM run_datasets i WHERE i.dataset = d.dataset) \
         WHERE d.organisation = ?1 AND d.experiment IN (SELECT value FROM json_each(?2)) ORDER BY 1, 2, 3, 4 LIMIT ?4",
    )
    .bind(organisation.as_str())
    .bind(list(experiments))
    .bind(CONTEXT_TAG)
    .bind(limit)
    .fetch_all(readers)
    .await
    .map_err(failed("listing datasets"))?;
    rows.iter()
        .map(|row| {
            Ok(DatasetSummary {
                experiment: get(row, "experiment")?,
                name: get(row, "name")?,
                digest: get(row, "digest")?,
                context: get(row, "context")?,
            })
        })
        .collect()
}

fn bare(info: RunInfo) -> Run {
    let (metrics, params, tags, datasets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Run { info, metrics, params, tags, datasets, model_inputs: Vec::new(), model_outputs: Vec::new() }
}

fn info_of(row: &SqliteRow) -> Result<RunInfo, StoreError> {
    Ok(RunInfo {
        id: get(row, "id")?,
        experiment: get(row, "experiment")?,
        name: get(row, "name")?,
        user: get(row, "user")?,
        status: get_name(row, "status")?,
        start_ms: get(row, "start_ms")?,
        end_ms: get(row, "end_ms")?,
        lifecycle: get_name(row, "lifecycle")?,
        artifact_uri: get(row, "artifact_uri")?,
    })
}

/// A value of a row of any of the tables of metrics.
pub(crate) fn metric_of(row: &SqliteRow) -> Result<Metric, StoreError> {
    Ok(Metric {
        key: get(row, "key")?,
        value: if get(row, "is_nan")? { f64::NAN } else { get(row, "value")? },
        timestamp_ms: get(row, "timestamp_ms")?,
        step: get(row, "step")?,
    })
}

fn dataset_of(row: &SqliteRow) -> Result<Dataset, StoreError> {
    Ok(Dataset {
        name: get(row, "name")?,
        digest: get(row, "digest")?,
        source_type: get(row, "source_type")?,
        source: get(row, "source")?,
        schema: get(row, "schema")?,
        profile: get(row, "profile")?,
    })
}
