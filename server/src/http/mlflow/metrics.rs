//! `/metrics/*`: histories of metrics.

use axum::{Json, Router, extract::State, routing::get};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::{
    Shared,
    mlflow::{
        MlflowError,
        page::Paging,
        request::{Ask, int64, list, required},
        runs::RunFields,
        shape::{metric, put},
    },
};

/// Most values of one answer. Clients of the Python package ask for all of a metric at once.
const MAX_HISTORY: u32 = 1_000_000;
/// Most values of one answer about several runs.
const MAX_BULK: u32 = 25_000;
/// Most runs of one request.
const MAX_RUNS: usize = 100;
/// Most steps of one answer about several runs, and how many when none were asked for.
const MAX_STEPS: i64 = 2500;
const DEFAULT_STEPS: i64 = 320;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/metrics/get-history", get(history))
        .route("/metrics/get-history-bulk", get(bulk))
        .route("/metrics/get-history-bulk-interval", get(interval))
}

type Answer = Result<Json<Value>, MlflowError>;

#[derive(Deserialize)]
struct HistoryFields {
    run_id: Option<String>,
    run_uuid: Option<String>,
    metric_key: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
    page_token: Option<String>,
}

async fn history(State(shared): State<Shared>, Ask { who, with }: Ask<HistoryFields>) -> Answer {
    let id = RunFields { run_id: with.run_id, run_uuid: with.run_uuid }.id()?;
    let key = required(with.metric_key, "metric_key")?;
    let paging = Paging::new(with.page_token.as_deref(), with.max_results, MAX_HISTORY, MAX_HISTORY)?;
    let mut found = shared.app.metric_history(&who, &id, &key, paging.slice()).await?;
    let next = paging.cut(&mut found);
    let mut answer = Map::new();
    put(&mut answer, "metrics", found.iter().map(metric).collect());
    if let Some(next) = next {
        answer.insert("next_page_token".to_owned(), json!(next));
    }
    Ok(Json(Value::Object(answer)))
}

#[derive(Deserialize)]
struct BulkFields {
    #[serde(default, deserialize_with = "list")]
    run_id: Vec<String>,
    metric_key: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
}

async fn bulk(State(shared): State<Shared>, Ask { who, with }: Ask<BulkFields>) -> Answer {
    let key = required(with.metric_key, "metric_key")?;
    check_runs(&with.run_id, "run_id")?;
    let paging = Paging::new(None, with.max_results.map(|most| most.min(i64::from(MAX_BULK))), MAX_BULK, MAX_BULK)?;
    let mut metrics = Vec::new();
    for id in &with.run_id {
        let mut found = shared.app.metric_history(&who, id, &key, paging.slice()).await?;
        paging.cut(&mut found);
        for value in found {
            metrics.push(of_run(id, &value));
        }
        metrics.truncate(MAX_BULK as usize);
    }
    Ok(Json(json!({ "metrics": metrics })))
}

#[derive(Deserialize)]
struct IntervalFields {
    #[serde(default, deserialize_with = "list")]
    run_ids: Vec<String>,
    metric_key: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    start_step: Option<i64>,
    #[serde(default, deserialize_with = "int64")]
    end_step: Option<i64>,
    #[serde(default, deserialize_with = "int64")]
    max_results: Option<i64>,
}

async fn interval(State(shared): State<Shared>, Ask { who, with }: Ask<IntervalFields>) -> Answer {
    let key = required(with.metric_key, "metric_key")?;
    check_runs(&with.run_ids, "run_ids")?;
    let within = (with.start_step.unwrap_or(i64::MIN), with.end_step.unwrap_or(i64::MAX));
    if within.0 > within.1 {
        return Err(MlflowError::invalid(format!("start_step {} comes after end_step {}", within.0, within.1)));
    }
    let most = with.max_results.unwrap_or(DEFAULT_STEPS);
    let most = Some(most).filter(|most| (1..=MAX_STEPS).contains(most)).and_then(|most| usize::try_from(most).ok());
    let most = most.ok_or_else(|| MlflowError::invalid(format!("max_results is not in 1 to {MAX_STEPS}")))?;
    let found = shared.app.sampled_metric(&who, &with.run_ids, &key, within, most).await?;
    let mut answer = Map::new();
    put(&mut answer, "metrics", found.iter().map(|(id, value)| of_run(id, value)).collect());
    Ok(Json(Value::Object(answer)))
}

fn check_runs(ids: &[String], field: &str) -> Result<(), MlflowError> {
    match ids.len() {
        0 => Err(crate::http::mlflow::request::missing(field)),
        1..=MAX_RUNS => Ok(()),
        count => Err(MlflowError::invalid(format!("{field} has {count} runs: give at most {MAX_RUNS}"))),
    }
}

fn of_run(id: &str, value: &edgeflow_core::run::Metric) -> Value {
    let mut shown = metric(value);
    shown.insert("run_id".to_owned(), json!(id));
    Value::Object(shown)
}
