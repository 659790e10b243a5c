//! `/operators`: people with tokens of their own.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{OperatorName, operator::OperatorView};
use serde::{Deserialize, Serialize};

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Body, Named, name},
};

/// Somebody to be taken in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorRequest {
    /// 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit.
    name: String,
}

/// Somebody who was taken in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OperatorResponse {
    /// Their name; what they do is recorded under `operator:{name}`.
    name: String,
    /// Their token, shown this once.
    token: String,
}

/// Gives a person a token of their own. For the administrator.
#[utoipa::path(post, path = "/api/v1/operators", tag = "server", request_body = OperatorRequest, responses(
    (status = 201, body = OperatorResponse), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<OperatorRequest>,
) -> Result<(StatusCode, Json<OperatorResponse>), HttpError> {
    let operator: OperatorName = name(&request.name)?;
    let token = shared.app.create_operator(&who, operator).await?;
    Ok((StatusCode::CREATED, Json(OperatorResponse { name: request.name, token })))
}

/// People with tokens of their own, by name.
#[utoipa::path(get, path = "/api/v1/operators", tag = "server", responses((status = 200, body = Vec<OperatorView>)))]
pub(crate) async fn list(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<Vec<OperatorView>>, HttpError> {
    Ok(Json(shared.app.operators(&who).await?))
}

/// Takes a person's token away. For the administrator.
#[utoipa::path(delete, path = "/api/v1/operators/{operator}", tag = "server", params(("operator" = String, Path)), responses(
    (status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn remove(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(operator): Named<OperatorName>,
) -> Result<StatusCode, HttpError> {
    shared.app.remove_operator(&who, &operator).await?;
    Ok(StatusCode::NO_CONTENT)
}
