//! `/targets/{target}/lineage` and `/lineage/robots`: what ran where, and when.

use axum::{Json, extract::State};
use edgeflow_core::{
    Page, TargetName,
    lineage::{Interval, IntervalFilter, Ran},
};
use serde::{Deserialize, Serialize};

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Named, Params, limit, number},
};

/// Which time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineageQuery {
    /// Only what ran at this moment, microseconds since the Unix epoch. Not together with `from_us` and `to_us`.
    at_us: Option<i64>,
    /// Only what ran at or after this time.
    from_us: Option<i64>,
    /// Only what began before this time.
    to_us: Option<i64>,
    /// At most so many intervals, 1 to 1000, the newest; 100 by default.
    limit: Option<u32>,
}

/// What a robot ran.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LineageView {
    /// The robot.
    target: String,
    /// What it said it ran, the newest first. By its own clock.
    intervals: Vec<Interval>,
}

/// What a robot ran, by its own word: from when to when, whatever it was told to run. The newest first.
#[utoipa::path(get, path = "/api/v1/targets/{target}/lineage", tag = "lineage", params(("target" = String, Path), LineageQuery), responses(
    (status = 200, body = LineageView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn of_target(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Params(query): Params<LineageQuery>,
) -> Result<Json<LineageView>, HttpError> {
    let filter = match (query.at_us, query.from_us, query.to_us) {
        (Some(at_us), None, None) => IntervalFilter::at(at_us),
        (None, from_us, to_us) => {
            IntervalFilter { from_us: from_us.unwrap_or(i64::MIN), to_us: to_us.unwrap_or(i64::MAX), limit: limit(query.limit)? }
        }
        _ => return Err(HttpError::invalid("give at_us, or from_us and to_us")),
    };
    let intervals = shared.app.intervals(&who, &target, &filter).await?;
    Ok(Json(LineageView { target: target.to_string(), intervals }))
}

/// Which bundle.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RobotsQuery {
    /// Digest of a bundle, `sha256:` and 64 hex digits.
    digest: String,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many robots, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// Robots that run a bundle or ever ran it, by their own word.
#[utoipa::path(get, path = "/api/v1/lineage/robots", tag = "lineage", params(RobotsQuery), responses(
    (status = 200, body = Page<Ran>), (status = 400, body = ErrorBody)))]
pub(crate) async fn robots(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<RobotsQuery>,
) -> Result<Json<Page<Ran>>, HttpError> {
    let (after, limit) = (number(query.after.as_deref())?, limit(query.limit)?);
    Ok(Json(shared.app.ran(&who, &query.digest, after, limit).await?))
}
