//! `/deployments`: what was declared, and how far robots are.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{Page, SlotName, deployment::DeploymentView};
use serde::Deserialize;

use crate::{
    app::DeploymentRequest,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Params, limit, name, number},
    },
};

/// A deployment to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeployRequest {
    /// Which model.
    model: String,
    /// Which version of it.
    version: String,
    /// On which robots.
    targets: Vec<String>,
    /// Into which slot; `default` when not said.
    slot: Option<String>,
}

/// Declares that robots shall run a version; they converge at their own pace.
#[utoipa::path(post, path = "/api/v1/deployments", tag = "deployments", request_body = DeployRequest, responses(
    (status = 201, body = DeploymentView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "A rollout holds one of these robots in that slot")))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<DeployRequest>,
) -> Result<(StatusCode, Json<DeploymentView>), HttpError> {
    let request = DeploymentRequest {
        model: name(&request.model)?,
        version: request.version,
        slot: request.slot.as_deref().map_or(Ok(SlotName::default_slot()), name)?,
        targets: request.targets.iter().map(|target| name(target)).collect::<Result<_, _>>()?,
    };
    Ok((StatusCode::CREATED, Json(shared.app.deploy(&who, request).await?)))
}

/// Which deployments.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeploymentsQuery {
    /// Those of this rollout, by its number; `none`: those of no rollout. All when not said.
    rollout: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// Deployments, newest first. A rollout makes one for each lot of robots that it tells at a time.
#[utoipa::path(get, path = "/api/v1/deployments", tag = "deployments", params(DeploymentsQuery), responses(
    (status = 200, body = Page<DeploymentView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<DeploymentsQuery>,
) -> Result<Json<Page<DeploymentView>>, HttpError> {
    let rollout = match query.rollout.as_deref() {
        None => None,
        Some("none") => Some(0),
        Some(text) => Some(text.parse().map_err(|_| HttpError::invalid(format!("rollout {text:?} is neither a number nor \"none\"")))?),
    };
    Ok(Json(shared.app.deployments(&who, rollout, number(query.after.as_deref())?, limit(query.limit)?).await?))
}

/// One deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{id}", tag = "deployments", params(("id" = String, Path)), responses(
    (status = 200, body = DeploymentView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller, At(id): At<String>) -> Result<Json<DeploymentView>, HttpError> {
    Ok(Json(shared.app.deployment(&who, &id).await?))
}
