//! `/drift`: the fleet's inputs against their baselines.

use axum::{Json, extract::State};
use edgeflow_core::{
    Page, TargetName,
    drift::{DriftReportsView, DriftView},
    drift_fleet::FleetDriftView,
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

/// Of which model, and how old.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FleetQuery {
    /// Robots that run this registered model.
    model: Option<String>,
    /// Robots that run this version.
    version: Option<String>,
    /// Windows that ended at most so many seconds ago; a day by default.
    max_age_s: Option<u32>,
}

/// What drifted, by the newest window of each robot: single robots (their sensors), sites, or the fleet (the world, or the model).
#[utoipa::path(get, path = "/api/v1/drift/fleet-verdict", tag = "drift", params(FleetQuery), responses(
    (status = 200, body = FleetDriftView), (status = 400, body = ErrorBody)))]
pub(crate) async fn fleet_verdict(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<FleetQuery>,
) -> Result<Json<FleetDriftView>, HttpError> {
    let max_age_us = i64::from(query.max_age_s.unwrap_or(86_400)) * 1_000_000;
    Ok(Json(shared.app.fleet_drift(&who, query.model.as_deref(), query.version.as_deref(), max_age_us).await?))
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
