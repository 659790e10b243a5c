//! `/targets/{target}/policy`: what a robot reports of its topics.

use axum::{Json, extract::State};
use edgeflow_core::{TargetName, policy::PolicyView};

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Body, Named},
};

/// Declares the policy, a document as docs/bridge.md describes it. An empty one, `{}`, reports nothing. One that cannot be
/// obeyed is refused whole with its place and reason.
#[utoipa::path(put, path = "/api/v1/targets/{target}/policy", tag = "targets", params(("target" = String, Path)),
    request_body = serde_json::Value, responses(
    (status = 200, body = PolicyView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn put(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(document): Body<serde_json::Value>,
) -> Result<Json<PolicyView>, HttpError> {
    Ok(Json(shared.app.set_policy(&who, &target, document).await?))
}

/// The policy, and what the robot says of it.
#[utoipa::path(get, path = "/api/v1/targets/{target}/policy", tag = "targets", params(("target" = String, Path)), responses(
    (status = 200, body = PolicyView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<PolicyView>, HttpError> {
    Ok(Json(shared.app.policy(&who, &target).await?))
}
