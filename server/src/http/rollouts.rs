//! `/rollouts`: changes that reach robots stage by stage.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use edgeflow_core::{
    Page,
    rollout::{Act, RobotCell, RobotPhase, RolloutSpec, RolloutSummary, RolloutView},
};
use edgeflow_store::RobotFilter;
use serde::Deserialize;

use crate::{
    app::{RolloutMetricsView, RolloutPlan, RolloutsQuery},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Params, limit, name, number},
    },
};

/// Whether it is only planned.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateQuery {
    /// Answer with what it would do, robot by robot, and do nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Makes a rollout, which goes on by itself from then on; or says what it would do.
#[utoipa::path(post, path = "/api/v1/rollouts", tag = "rollouts", params(CreateQuery), request_body = RolloutSpec, responses(
    (status = 201, body = RolloutView), (status = 200, body = RolloutPlan, description = "With `dry_run`: nothing was done"),
    (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "Another rollout has some of these robots in that slot")))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<CreateQuery>,
    Body(spec): Body<RolloutSpec>,
) -> Result<Response, HttpError> {
    if query.dry_run {
        return Ok(Json(shared.app.plan_rollout(&who, spec).await?).into_response());
    }
    Ok((StatusCode::CREATED, Json(shared.app.create_rollout(&who, spec).await?)).into_response())
}

/// Which rollouts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Those that have not ended (`true`), or have (`false`).
    active: Option<bool>,
    /// Those that have this robot.
    target: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// Rollouts, newest first.
#[utoipa::path(get, path = "/api/v1/rollouts", tag = "rollouts", params(ListQuery), responses(
    (status = 200, body = Page<RolloutSummary>), (status = 400, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<RolloutSummary>>, HttpError> {
    let query = RolloutsQuery {
        active: query.active,
        target: query.target.as_deref().map(name).transpose()?,
        after: number(query.after.as_deref())?,
        limit: limit(query.limit)?,
    };
    Ok(Json(shared.app.rollouts(&who, query).await?))
}

/// One rollout, with its stages, what its gates saw, what may be done now, and the newest thousand things that happened.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", tag = "rollouts", params(("id" = String, Path)), responses(
    (status = 200, body = RolloutView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(State(shared): State<Shared>, Caller(who): Caller, At(id): At<String>) -> Result<Json<RolloutView>, HttpError> {
    Ok(Json(shared.app.rollout(&who, &id).await?))
}

/// Which robots of a rollout.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RobotsQuery {
    /// Of this stage, an index.
    stage: Option<usize>,
    /// In this phase.
    #[param(inline)]
    phase: Option<RobotPhase>,
    /// Of which anything changed then or later, microseconds since the Unix epoch.
    since_us: Option<i64>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// Robots of a rollout, by name.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/robots", tag = "rollouts", params(("id" = String, Path), RobotsQuery), responses(
    (status = 200, body = Page<RobotCell>), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn robots(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Params(query): Params<RobotsQuery>,
) -> Result<Json<Page<RobotCell>>, HttpError> {
    let limit = limit(query.limit)?;
    let RobotsQuery { stage, phase, since_us, after, .. } = query;
    let filter = RobotFilter { stage, phase, since_us, after, limit: None };
    Ok(Json(shared.app.rollout_robots(&who, &id, filter, limit).await?))
}

/// What somebody says of what they do.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActRequest {
    /// Why, for people; it stays in the history.
    #[serde(default)]
    reason: String,
}

/// Does something to a rollout: `pause` (nobody is told anything), `resume`, `approve` (let the stage begin), `promote` (take the stage
/// as good whatever its gates say), `abort` (robots stay as they are), `rollback` (robots get back what they had), `retry` (failed robots
/// are told again).
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/{act}", tag = "rollouts", params(("id" = String, Path), ("act" = String, Path)),
    request_body = ActRequest, responses((status = 200, body = RolloutView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "Not possible now; the message says what is")))]
pub(crate) async fn act(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((id, act)): At<(String, String)>,
    Body(request): Body<ActRequest>,
) -> Result<Json<RolloutView>, HttpError> {
    let act: Act = name(&act)?;
    Ok(Json(shared.app.act_on_rollout(&who, &id, act, &request.reason).await?))
}

/// Which metric.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsQuery {
    /// As gates name it: `accuracy`, `latency_p95_us`, or any telemetry channel.
    metric: String,
}

/// A metric over time, of the stage that a rollout is in: its robots since they serve the release, the same robots before, and those that
/// are not updated; and the bound that a gate named last.
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/metrics", tag = "rollouts", params(("id" = String, Path), MetricsQuery), responses(
    (status = 200, body = RolloutMetricsView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn metrics(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(id): At<String>,
    Params(query): Params<MetricsQuery>,
) -> Result<Json<RolloutMetricsView>, HttpError> {
    Ok(Json(shared.app.rollout_metrics(&who, &id, &query.metric).await?))
}
