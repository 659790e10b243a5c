//! `/runs` and `/logged-models`: one by one. They are listed by their experiment.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{
    Page,
    experiment::{Lifecycle, Pair, number},
    run::{LogBatch, Metric, NewMetric, RunChange},
    run_view::{LoggedModelView, MetricView, RunMetricView, RunView},
};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::{
    app::RunRequest,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        experiments::{LifecycleWord, offset, page, slice},
        extract::{At, Body, PageQuery, Params},
    },
};

/// A run to be begun.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRunRequest {
    /// Id of its experiment.
    experiment: String,
    /// Its name; one is made up when not given.
    #[serde(default)]
    name: String,
    /// Who begins it.
    #[serde(default)]
    user: String,
    /// When it begins, microseconds since the Unix epoch; now when not given.
    started_at_us: Option<i64>,
    /// Tags.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

fn pairs(of: BTreeMap<String, String>) -> Vec<Pair> {
    of.into_iter().map(|(key, value)| Pair { key, value }).collect()
}

/// Begins a run.
#[utoipa::path(post, path = "/api/v1/runs", tag = "runs", request_body = CreateRunRequest, responses(
    (status = 201, body = RunView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<CreateRunRequest>,
) -> Result<(StatusCode, Json<RunView>), HttpError> {
    let start_ms = request.started_at_us.map_or_else(|| shared.app.now_ms(), |us| us / 1000);
    let experiment = number(&request.experiment)?;
    let request = RunRequest { experiment, name: request.name, user: request.user, start_ms, tags: pairs(request.tags) };
    Ok((StatusCode::CREATED, Json(shared.app.create_run(&who, request).await?.into())))
}

/// One run, deleted or not, with all that was logged to it.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path)), responses(
    (status = 200, body = RunView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller, At(id): At<String>) -> Result<Json<RunView>, HttpError> {
    Ok(Json(shared.app.run(&who, &id).await?.into()))
}

/// What changes of a run.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRunRequest {
    /// `active` restores it.
    lifecycle: Option<LifecycleWord>,
    /// `RUNNING`, `SCHEDULED`, `FINISHED`, `FAILED` or `KILLED`.
    status: Option<String>,
    /// When it ended, microseconds since the Unix epoch.
    ended_at_us: Option<i64>,
    /// Its new name.
    name: Option<String>,
}

/// Changes a run.
#[utoipa::path(put, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path)), request_body = ChangeRunRequest, responses(
    (status = 200, body = RunView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn change(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Body(request): Body<ChangeRunRequest>,
) -> Result<Json<RunView>, HttpError> {
    let status = request.status.as_deref().map(str::parse).transpose()?;
    let change = RunChange { status, end_ms: request.ended_at_us.map(|us| us / 1000), name: request.name };
    if let Some(lifecycle) = request.lifecycle {
        shared.app.set_run_lifecycle(&who, &id, lifecycle.into()).await?;
    }
    if change != RunChange::default() {
        shared.app.update_run(&who, &id, &change).await?;
    }
    Ok(Json(shared.app.run(&who, &id).await?.into()))
}

/// Deletes a run, until it is restored.
#[utoipa::path(delete, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)))]
pub(crate) async fn remove(State(shared): State<Shared>, Caller(who): Caller, At(id): At<String>) -> Result<StatusCode, HttpError> {
    shared.app.set_run_lifecycle(&who, &id, Lifecycle::Deleted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A value of a metric, to be logged.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogMetricRequest {
    /// Of which metric.
    key: String,
    /// The value. What JSON has no number for is spelled out: `"NaN"`, `"Infinity"`.
    #[serde(with = "edgeflow_wire::float")]
    #[schema(value_type = f64)]
    value: f64,
    /// At which step of the training.
    #[serde(default)]
    step: i64,
    /// When it was measured, microseconds since the Unix epoch; now when not given.
    t_us: Option<i64>,
    /// The logged model it was measured of.
    model: Option<String>,
    /// Name of the dataset it was measured on.
    #[serde(default)]
    dataset: String,
    /// Digest of that dataset.
    #[serde(default)]
    dataset_digest: String,
}

/// What is logged at once, whole or not at all: at most 1000 metrics, 100 params, 100 tags.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogRequest {
    /// Values of metrics. Sent again they change nothing.
    #[serde(default)]
    metrics: Vec<LogMetricRequest>,
    /// Parameters: once given, a value stays.
    #[serde(default)]
    params: BTreeMap<String, String>,
    /// Tags: the last value stands.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Logs metrics, parameters and tags to a run.
#[utoipa::path(post, path = "/api/v1/runs/{run}/log", tag = "runs", params(("run" = String, Path)), request_body = LogRequest, responses(
    (status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn log(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Body(request): Body<LogRequest>,
) -> Result<StatusCode, HttpError> {
    let now_ms = shared.app.now_ms();
    let metrics = request.metrics.into_iter().map(|new| NewMetric {
        metric: Metric { key: new.key, value: new.value, timestamp_ms: new.t_us.map_or(now_ms, |us| us / 1000), step: new.step },
        model_id: new.model,
        dataset_name: new.dataset,
        dataset_digest: new.dataset_digest,
    });
    let batch = LogBatch { metrics: metrics.collect(), params: pairs(request.params), tags: pairs(request.tags) };
    shared.app.log(&who, &id, batch).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every value of a metric of a run, by time.
#[utoipa::path(get, path = "/api/v1/runs/{run}/metrics/{key}", tag = "runs", params(("run" = String, Path), ("key" = String, Path), PageQuery),
    responses((status = 200, body = Page<MetricView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn metric(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((id, key)): At<(String, String)>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<MetricView>>, HttpError> {
    let (offset, limit) = (offset(query.after.as_deref())?, query.limit()?);
    let found = shared.app.metric_history(&who, &id, &key, slice(offset, limit)).await?;
    if found.is_empty() {
        // Tells a run without the metric from no run.
        shared.app.run(&who, &id).await?;
    }
    Ok(Json(page(offset, limit, found)))
}

/// Which runs are compared by which metric.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareQuery {
    /// Ids of up to 100 runs, separated by commas.
    runs: String,
    /// Which metric.
    key: String,
    /// At most so many steps, 2 to 2500, evenly spread with both ends; 320 by default.
    steps: Option<u16>,
}

/// A metric of several runs at the same steps: what a chart of them needs.
#[utoipa::path(get, path = "/api/v1/run-metrics", tag = "runs", params(CompareQuery), responses(
    (status = 200, body = Page<RunMetricView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn compare(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<CompareQuery>,
) -> Result<Json<Page<RunMetricView>>, HttpError> {
    let runs: Vec<String> = query.runs.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
    let steps = usize::from(query.steps.unwrap_or(320));
    if runs.is_empty() || runs.len() > 100 || !(2..=2500).contains(&steps) {
        return Err(HttpError::invalid("give 1 to 100 runs and 2 to 2500 steps"));
    }
    let found = shared.app.sampled_metric(&who, &runs, &query.key, (i64::MIN, i64::MAX), steps).await?;
    let items = found.into_iter().map(|(run, metric)| RunMetricView { run, metric: metric.into() }).collect();
    Ok(Json(Page { items, next: None }))
}

/// One logged model, deleted or not.
#[utoipa::path(get, path = "/api/v1/logged-models/{model}", tag = "runs", params(("model" = String, Path)), responses(
    (status = 200, body = LoggedModelView), (status = 404, body = ErrorBody)))]
pub(crate) async fn logged_model(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
) -> Result<Json<LoggedModelView>, HttpError> {
    Ok(Json(shared.app.logged_model(&who, &id, true).await?.into()))
}
