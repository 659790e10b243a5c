//! `/drift`: the fleet's inputs against their baselines.

use axum::{Json, extract::State};
use edgeflow_core::{
    Page, TargetName,
    drift::{DriftReportsView, DriftView},
};
use serde::Deserialize;

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Named, Params, limit},
};

/// Each robot's newest word on drift.
#[utoipa::path(get, path = "/api/v1/drift", tag = "drift", responses((status = 200, body = Page<DriftView>)))]
pub(crate) async fn fleet(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<Page<DriftView>>, HttpError> {
    Ok(Json(Page { items: shared.app.drift(&who).await?, next: None }))
}

/// How many windows.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DriftQuery {
    /// At most so many windows, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// A robot's newest drift windows in full, newest first.
#[utoipa::path(get, path = "/api/v1/targets/{target}/drift", tag = "drift", params(("target" = String, Path), DriftQuery), responses(
    (status = 200, body = DriftReportsView), (status = 404, body = ErrorBody)))]
pub(crate) async fn of_target(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(query): Params<DriftQuery>,
) -> Result<Json<DriftReportsView>, HttpError> {
    Ok(Json(shared.app.target_drift(&who, &target, limit(query.limit)?).await?))
}
