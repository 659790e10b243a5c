//! `/server`.

use axum::{Json, extract::State};
use edgeflow_core::{health::HealthView, server::ServerView};

use crate::http::{Shared, auth::Caller, error::HttpError};

/// What the control plane says about itself.
#[utoipa::path(get, path = "/api/v1/server", tag = "server", responses((status = 200, body = ServerView)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<ServerView>, HttpError> {
    Ok(Json(shared.app.server(&who).await?))
}

/// How its disk, its stores and its tasks are.
#[utoipa::path(get, path = "/api/v1/server/health", tag = "server", responses((status = 200, body = HealthView)))]
pub(crate) async fn health(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<HealthView>, HttpError> {
    Ok(Json(shared.app.health(&who).await?))
}
