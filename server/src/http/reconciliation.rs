//! `/targets/{target}/hold`, `/conflicts` and `/slots`: whose word about a robot stands.

use axum::{Json, extract::State};
use edgeflow_core::{
    SlotName, TargetName,
    reconciliation::{ConflictView, Side},
    target::TargetView,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    app::Resolution,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Named, name},
    },
};

/// Why a robot is held.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldRequest {
    /// For people; not empty.
    reason: String,
}

/// Slots that were changed on the robot.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Conflicts {
    /// Conflicts first, then changes that nothing was declared against.
    items: Vec<ConflictView>,
}

/// Whose content shall stand: exactly one of the two.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveRequest {
    /// Of the slot in the path.
    take: Option<Side>,
    /// Of several slots that were changed, the one in the path among them, each from one side.
    merge: Option<BTreeMap<String, Side>>,
}

/// Holds a robot: it changes nothing of what it has until it is released. Rollouts skip it; deployments to it are refused.
#[utoipa::path(post, path = "/api/v1/targets/{target}/hold", tag = "targets", params(("target" = String, Path)), request_body = HoldRequest,
    responses((status = 200, body = TargetView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn hold(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(request): Body<HoldRequest>,
) -> Result<Json<TargetView>, HttpError> {
    Ok(Json(shared.app.hold_target(&who, &target, request.reason).await?))
}

/// Ends a hold. One that was asked for on the robot ends there.
#[utoipa::path(delete, path = "/api/v1/targets/{target}/hold", tag = "targets", params(("target" = String, Path)),
    responses((status = 200, body = TargetView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn release(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<TargetView>, HttpError> {
    Ok(Json(shared.app.release_target(&who, &target).await?))
}

/// Slots that were changed on the robot and that nobody has settled.
#[utoipa::path(get, path = "/api/v1/targets/{target}/conflicts", tag = "targets", params(("target" = String, Path)),
    responses((status = 200, body = Conflicts), (status = 404, body = ErrorBody)))]
pub(crate) async fn conflicts(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<Conflicts>, HttpError> {
    Ok(Json(Conflicts { items: shared.app.conflicts(&who, &target).await? }))
}

/// Decides whose content a slot shall have that was changed on the robot.
#[utoipa::path(post, path = "/api/v1/targets/{target}/conflicts/{slot}/resolve", tag = "targets",
    params(("target" = String, Path), ("slot" = String, Path)), request_body = ResolveRequest,
    responses((status = 200, body = TargetView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn resolve(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((target, slot)): At<(String, String)>,
    Body(request): Body<ResolveRequest>,
) -> Result<Json<TargetView>, HttpError> {
    let resolution = match (request.take, request.merge) {
        (Some(side), None) => Resolution::Take(side),
        (None, Some(sides)) => {
            Resolution::Merge(sides.iter().map(|(slot, side)| Ok((name::<SlotName>(slot)?, *side))).collect::<Result<_, HttpError>>()?)
        }
        _ => return Err(HttpError::invalid("give either \"take\" or \"merge\"")),
    };
    Ok(Json(shared.app.resolve_conflict(&who, &name(&target)?, &name(&slot)?, resolution).await?))
}

/// Declares nothing for a slot any more: the robot goes back to having nothing there.
#[utoipa::path(delete, path = "/api/v1/targets/{target}/slots/{slot}", tag = "targets",
    params(("target" = String, Path), ("slot" = String, Path)),
    responses((status = 200, body = TargetView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn undeclare(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((target, slot)): At<(String, String)>,
) -> Result<Json<TargetView>, HttpError> {
    Ok(Json(shared.app.undeclare(&who, &name(&target)?, &name(&slot)?).await?))
}
