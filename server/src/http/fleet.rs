//! `/fleet`: what the fleet is declared to be.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{
    Page,
    fleet::{FleetSpec, RevisionHead, RevisionView},
};
use serde::Deserialize;

use crate::{
    app::{FleetExport, FleetPlanView, FleetView},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, PageQuery, Params},
    },
};

/// Most bytes of a declaration: labels of ten thousand robots, several times over.
pub(super) const MAX_FLEET_BYTES: usize = 16 << 20;

/// A declaration to be planned.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanRequest {
    /// What the fleet shall be: see `/api/v1/fleet/schema.json`.
    spec: FleetSpec,
}

/// A declaration to be applied.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplyRequest {
    /// What the fleet shall be.
    spec: FleetSpec,
    /// Why, for people.
    #[serde(default)]
    message: String,
    /// `revision` of the plan: the one that stood when it was planned, 0 when nothing was declared.
    based_on: i64,
}

/// What somebody says about a revision.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

/// What is declared, and what waits for a second person.
#[utoipa::path(get, path = "/api/v1/fleet", tag = "fleet", responses((status = 200, body = FleetView)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<FleetView>, HttpError> {
    Ok(Json(shared.app.fleet(&who).await?))
}

/// What applying a declaration would do: which robots change, in what, and how. Nothing happens.
#[utoipa::path(post, path = "/api/v1/fleet/plan", tag = "fleet", request_body = PlanRequest, responses(
    (status = 200, body = FleetPlanView), (status = 400, body = ErrorBody)))]
pub(crate) async fn plan(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<PlanRequest>,
) -> Result<Json<FleetPlanView>, HttpError> {
    Ok(Json(shared.app.plan_fleet(&who, request.spec).await?))
}

/// Makes a declaration stand: all of it or nothing. Where a second person must approve, it is proposed.
#[utoipa::path(post, path = "/api/v1/fleet/apply", tag = "fleet", request_body = ApplyRequest, responses(
    (status = 201, body = RevisionHead), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn apply(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<ApplyRequest>,
) -> Result<(StatusCode, Json<RevisionHead>), HttpError> {
    let ApplyRequest { spec, message, based_on } = request;
    Ok((StatusCode::CREATED, Json(shared.app.apply_fleet(&who, spec, message, based_on).await?)))
}

/// Revisions, newest first.
#[utoipa::path(get, path = "/api/v1/fleet/revisions", tag = "fleet", params(PageQuery), responses((status = 200, body = Page<RevisionHead>)))]
pub(crate) async fn revisions(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<RevisionHead>>, HttpError> {
    Ok(Json(shared.app.fleet_revisions(&who, page.number()?, page.limit()?).await?))
}

/// One revision: what it declares, what it changed, and which robots.
#[utoipa::path(get, path = "/api/v1/fleet/revisions/{revision}", tag = "fleet", params(("revision" = i64, Path)), responses(
    (status = 200, body = RevisionView), (status = 404, body = ErrorBody)))]
pub(crate) async fn revision(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(revision): At<i64>,
) -> Result<Json<RevisionView>, HttpError> {
    Ok(Json(shared.app.fleet_revision(&who, revision).await?))
}

/// Approves what somebody else proposed: it takes effect.
#[utoipa::path(post, path = "/api/v1/fleet/revisions/{revision}/approve", tag = "fleet", params(("revision" = i64, Path)),
    request_body = Words, responses((status = 200, body = RevisionHead), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn approve(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(revision): At<i64>,
    Body(words): Body<Words>,
) -> Result<Json<RevisionHead>, HttpError> {
    Ok(Json(shared.app.approve_fleet(&who, revision, words.reason).await?))
}

/// Turns a proposal down; its author may, too.
#[utoipa::path(post, path = "/api/v1/fleet/revisions/{revision}/reject", tag = "fleet", params(("revision" = i64, Path)),
    request_body = Words, responses((status = 200, body = RevisionHead), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn reject(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(revision): At<i64>,
    Body(words): Body<Words>,
) -> Result<Json<RevisionHead>, HttpError> {
    Ok(Json(shared.app.reject_fleet(&who, revision, &words.reason).await?))
}

/// Applies an older revision as a new one (or proposes it, where a second person must approve).
#[utoipa::path(post, path = "/api/v1/fleet/revisions/{revision}/revert", tag = "fleet", params(("revision" = i64, Path)),
    request_body = Words, responses((status = 201, body = RevisionHead), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn revert(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(revision): At<i64>,
    Body(words): Body<Words>,
) -> Result<(StatusCode, Json<RevisionHead>), HttpError> {
    Ok((StatusCode::CREATED, Json(shared.app.revert_fleet(&who, revision, words.reason).await?)))
}

/// What is declared now; where nothing is, what robots are told, as a declaration would say it.
#[utoipa::path(get, path = "/api/v1/fleet/export", tag = "fleet", responses((status = 200, body = FleetExport)))]
pub(crate) async fn export(State(shared): State<Shared>, Caller(who): Caller) -> Result<Json<FleetExport>, HttpError> {
    Ok(Json(shared.app.export_fleet(&who).await?))
}

/// The JSON Schema of a declaration, for editors: no secret, hence for anybody.
#[utoipa::path(get, path = "/api/v1/fleet/schema.json", tag = "fleet", security(()), responses(
    (status = 200, description = "JSON Schema", content_type = "application/json")))]
pub(crate) async fn schema() -> Json<serde_json::Value> {
    Json(FleetSpec::json_schema())
}
