//! `/targets/{target}/commands`: momentary acts asked of a robot.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{Page, TargetName, command::CommandView};
use serde::Deserialize;

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{At, Body, Named, PageQuery, Params, name},
};

/// A command to be given.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandRequest {
    /// `{"kind": "call_service", "service", "type", "request", "timeout_s"}`, `{"kind": "publish", "topic", "type", "message"}`,
    /// `{"kind": "pause", "for_s"}`, `{"kind": "resume"}`, `{"kind": "escalate", "for_s", "routes"}` or
    /// `{"kind": "capture", "reason", "after_s"}`.
    action: serde_json::Value,
    /// Seconds after which it is not run any more, up to a day; 60 when not said.
    expires_s: Option<f64>,
}

/// Gives a robot a command: it runs at most once, and not after its expiry. The robot's parameters say what is allowed.
#[utoipa::path(post, path = "/api/v1/targets/{target}/commands", tag = "commands", params(("target" = String, Path)),
    request_body = CommandRequest, responses(
    (status = 201, body = CommandView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn give(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(request): Body<CommandRequest>,
) -> Result<(StatusCode, Json<CommandView>), HttpError> {
    Ok((StatusCode::CREATED, Json(shared.app.give_command(&who, &target, request.action, request.expires_s).await?)))
}

/// Commands of a robot, newest first.
#[utoipa::path(get, path = "/api/v1/targets/{target}/commands", tag = "commands", params(("target" = String, Path), PageQuery), responses(
    (status = 200, body = Page<CommandView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<CommandView>>, HttpError> {
    Ok(Json(shared.app.commands(&who, &target, page.number()?, page.limit()?).await?))
}

/// One command.
#[utoipa::path(get, path = "/api/v1/targets/{target}/commands/{id}", tag = "commands", params(("target" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = CommandView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((target, id)): At<(String, String)>,
) -> Result<Json<CommandView>, HttpError> {
    Ok(Json(shared.app.command(&who, &name(&target)?, &id).await?))
}
