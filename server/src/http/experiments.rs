//! `/experiments`: experiments, and the runs, datasets and logged models inside of them.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{
    CoreError, Page,
    experiment::{EXPERIMENTS, Lifecycle, Pair, View, number},
    logged_model::{LOGGED_MODELS, ModelOrder},
    run::RUNS,
    run_view::{ExperimentView, LoggedModelView, RunView},
    search::{Filter, Grammar, Order, SearchError},
};
use edgeflow_store::{ModelSearch, Slice};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    app::ExperimentRequest,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Params, limit},
    },
};

/// What is searched, how it is sorted, and which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuery {
    /// Conditions joined with AND, such as `metrics.loss < 0.1 AND params.optimizer = 'adam' AND tags."kind" LIKE 'a%'`.
    filter: Option<String>,
    /// By what, separated by commas, such as `metrics.loss DESC, start_time`.
    order_by: Option<String>,
    /// `active` (the default), `deleted` or `all`.
    view: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

impl From<SearchError> for HttpError {
    fn from(error: SearchError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<CoreError> for HttpError {
    fn from(error: CoreError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// A query that was read.
struct Asked {
    filter: Filter,
    orders: Vec<Order>,
    view: View,
    offset: u64,
    limit: u32,
}

impl SearchQuery {
    fn read(&self, grammar: &Grammar) -> Result<Asked, HttpError> {
        let view = match self.view.as_deref() {
            None | Some("active") => View::Active,
            Some("deleted") => View::Deleted,
            Some("all") => View::All,
            Some(word) => return Err(HttpError::invalid(format!("unknown view {word:?}: use active, deleted or all"))),
        };
        let orders: Vec<&str> = self.order_by.as_deref().map(|orders| orders.split(',').collect()).unwrap_or_default();
        Ok(Asked {
            filter: Filter::parse(self.filter.as_deref().unwrap_or_default(), grammar)?,
            orders: Order::parse_all(&orders, grammar)?,
            view,
            offset: offset(self.after.as_deref())?,
            limit: limit(self.limit)?,
        })
    }
}

/// Where a sorted list goes on.
pub(crate) fn offset(after: Option<&str>) -> Result<u64, HttpError> {
    let bad = |text: &str| HttpError::invalid(format!("after {text:?} is no place in this list: give the \"next\" of a page"));
    after.map_or(Ok(0), |text| text.parse::<u32>().map(u64::from).map_err(|_| bad(text)))
}

/// What to ask the store for: one more than the page has.
pub(crate) fn slice(offset: u64, limit: u32) -> Slice {
    Slice { offset, limit: limit + 1 }
}

/// A page of a sorted list, whose places are counted.
pub(crate) fn page<T, U: From<T>>(offset: u64, limit: u32, items: Vec<T>) -> Page<U> {
    let next = offset + u64::from(limit);
    Page::cut(items, limit, |_| next.to_string()).map(U::from)
}

/// Experiments that a filter holds of, the newest first unless sorted.
#[utoipa::path(get, path = "/api/v1/experiments", tag = "experiments", params(SearchQuery), responses(
    (status = 200, body = Page<ExperimentView>), (status = 400, body = ErrorBody, description = "The message points at the place in the filter")))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<SearchQuery>,
) -> Result<Json<Page<ExperimentView>>, HttpError> {
    let asked = query.read(&EXPERIMENTS)?;
    let found = shared.app.experiments(&who, asked.view, &asked.filter, &asked.orders, slice(asked.offset, asked.limit)).await?;
    Ok(Json(page(asked.offset, asked.limit, found)))
}

/// An experiment to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateExperimentRequest {
    /// 1 to 500 characters, one of its kind.
    name: String,
    /// Where the artifacts of its runs are kept; the control plane keeps them when not given.
    artifact_location: Option<String>,
    /// Tags.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Makes an experiment.
#[utoipa::path(post, path = "/api/v1/experiments", tag = "experiments", request_body = CreateExperimentRequest, responses(
    (status = 201, body = ExperimentView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<CreateExperimentRequest>,
) -> Result<(StatusCode, Json<ExperimentView>), HttpError> {
    let tags = request.tags.into_iter().map(|(key, value)| Pair { key, value }).collect();
    let request = ExperimentRequest { name: request.name, artifact_location: request.artifact_location, tags };
    Ok((StatusCode::CREATED, Json(shared.app.create_experiment(&who, request).await?.into())))
}

/// One experiment, deleted or not.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}", tag = "experiments", params(("experiment" = String, Path)), responses(
    (status = 200, body = ExperimentView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller, At(id): At<String>) -> Result<Json<ExperimentView>, HttpError> {
    Ok(Json(shared.app.experiment(&who, number(&id)?).await?.into()))
}

/// What changes of an experiment.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeExperimentRequest {
    /// Its new name.
    name: Option<String>,
    /// `active` restores it with its runs.
    lifecycle: Option<LifecycleWord>,
    /// Tags to be set; `null` removes one.
    #[serde(default)]
    tags: BTreeMap<String, Option<String>>,
}

/// A lifecycle to be.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifecycleWord {
    /// There.
    Active,
    /// Removed, until it is restored.
    Deleted,
}

impl From<LifecycleWord> for Lifecycle {
    fn from(word: LifecycleWord) -> Self {
        match word {
            LifecycleWord::Active => Lifecycle::Active,
            LifecycleWord::Deleted => Lifecycle::Deleted,
        }
    }
}

/// Changes an experiment, one thing after another: lifecycle, name, tags.
#[utoipa::path(put, path = "/api/v1/experiments/{experiment}", tag = "experiments", params(("experiment" = String, Path)),
    request_body = ChangeExperimentRequest, responses((status = 200, body = ExperimentView), (status = 400, body = ErrorBody),
    (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn change(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Body(request): Body<ChangeExperimentRequest>,
) -> Result<Json<ExperimentView>, HttpError> {
    let number = number(&id)?;
    if let Some(lifecycle) = request.lifecycle {
        shared.app.set_experiment_lifecycle(&who, number, lifecycle.into()).await?;
    }
    if let Some(name) = &request.name {
        shared.app.rename_experiment(&who, number, name).await?;
    }
    for (key, value) in request.tags {
        match value {
            Some(value) => shared.app.set_experiment_tag(&who, number, &Pair { key, value }).await?,
            None => shared.app.delete_experiment_tag(&who, number, &key).await?,
        }
    }
    Ok(Json(shared.app.experiment(&who, number).await?.into()))
}

/// Deletes an experiment with its runs, until it is restored.
#[utoipa::path(delete, path = "/api/v1/experiments/{experiment}", tag = "experiments", params(("experiment" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody)))]
pub(crate) async fn remove(State(shared): State<Shared>, Caller(who): Caller, At(id): At<String>) -> Result<StatusCode, HttpError> {
    shared.app.set_experiment_lifecycle(&who, number(&id)?, Lifecycle::Deleted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs of an experiment that a filter holds of, the last begun first unless sorted.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}/runs", tag = "experiments", params(("experiment" = String, Path), SearchQuery),
    responses((status = 200, body = Page<RunView>), (status = 400, body = ErrorBody, description = "The message points at the place in the filter")))]
pub(crate) async fn runs(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<Page<RunView>>, HttpError> {
    let asked = query.read(&RUNS)?;
    let experiment = shared.app.experiment(&who, number(&id)?).await?.number;
    let found = shared.app.runs(&who, &[experiment], asked.view, &asked.filter, &asked.orders, slice(asked.offset, asked.limit)).await?;
    Ok(Json(page(asked.offset, asked.limit, found)))
}

/// Logged models of an experiment that a filter holds of, the newest first unless sorted.
#[utoipa::path(get, path = "/api/v1/experiments/{experiment}/logged-models", tag = "experiments",
    params(("experiment" = String, Path), SearchQuery), responses((status = 200, body = Page<LoggedModelView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn logged_models(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<Page<LoggedModelView>>, HttpError> {
    let asked = query.read(&LOGGED_MODELS)?;
    let orders = asked.orders.into_iter().map(|order| ModelOrder { order, dataset: None }).collect();
    let experiments = vec![shared.app.experiment(&who, number(&id)?).await?.number];
    let search = ModelSearch { experiments, filter: asked.filter, datasets: Vec::new(), orders };
    let found = shared.app.logged_models(&who, &search, slice(asked.offset, asked.limit)).await?;
    Ok(Json(page(asked.offset, asked.limit, found)))
}
