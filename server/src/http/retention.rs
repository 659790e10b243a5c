//! What is kept of robots' logs, what was removed, and what never came.

use axum::{Json, extract::State};
use edgeflow_core::{
    Page, TargetName,
    entry::LossView,
    retention::{RemovalView, RetentionView},
};
use serde::Deserialize;

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Named, Params, limit},
};

/// What is kept how long, and the room it takes.
#[utoipa::path(get, path = "/api/v1/retention", tag = "retention", responses((status = 200, body = RetentionView)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<RetentionView>, HttpError> {
    Ok(Json(shared.app.retention(&who).await?))
}

/// What was removed of a robot's log by age or for room, and which numbers are no longer kept as finely as they came.
#[utoipa::path(get, path = "/api/v1/targets/{target}/removals", tag = "retention", params(("target" = String, Path)), responses(
    (status = 200, body = Page<RemovalView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn removals(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<Page<RemovalView>>, HttpError> {
    Ok(Json(shared.app.removals(&who, &target).await?))
}

/// How many records.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LossesQuery {
    /// At most so many, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// Ranges of a robot's log that will never come: what it evicted before it could be sent, and what the control plane forgot
/// when it was restored. The newest record first.
#[utoipa::path(get, path = "/api/v1/targets/{target}/losses", tag = "retention", params(("target" = String, Path), LossesQuery), responses(
    (status = 200, body = Page<LossView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn losses(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(query): Params<LossesQuery>,
) -> Result<Json<Page<LossView>>, HttpError> {
    Ok(Json(shared.app.losses(&who, &target, limit(query.limit)?).await?))
}
