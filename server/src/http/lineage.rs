//! `/targets/{target}/lineage` and `/lineage/**`: what ran where and when, and where that comes from.

use axum::{Json, extract::State};
use edgeflow_core::{
    Page, SlotName, TargetName,
    lineage::{Interval, IntervalFilter, Ran},
    lineage_diff::LineageDiff,
    lineage_graph::LineageGraph,
    provenance::{Provenance, Registered},
    timeline::{Category, Place, TimelineItem, Window},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::{
    app::{About, Moment},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{Named, Params, limit, name, number},
    },
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
pub(crate) struct ProvenanceQuery {
    /// Digest of the bundle, `sha256:` and 64 hex digits, as robots attest it.
    digest: String,
}

/// Where a bundle comes from: versions, the runs that led to it with their parameters and metrics, and the datasets they took in.
#[utoipa::path(get, path = "/api/v1/lineage/provenance", tag = "lineage", params(ProvenanceQuery), responses(
    (status = 200, body = Provenance), (status = 400, body = ErrorBody)))]
pub(crate) async fn provenance(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<ProvenanceQuery>,
) -> Result<Json<Provenance>, HttpError> {
    Ok(Json(shared.app.provenance(&who, &query.digest).await?))
}

/// Which dataset.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionsQuery {
    /// Digest of the dataset, as the client that logged it computed it.
    dataset: String,
}

/// Versions that come from a dataset: trained on it, or on a model that was, however many runs lie between. Oldest first.
#[utoipa::path(get, path = "/api/v1/lineage/versions", tag = "lineage", params(VersionsQuery), responses((status = 200, body = Page<Registered>)))]
pub(crate) async fn versions(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<VersionsQuery>,
) -> Result<Json<Page<Registered>>, HttpError> {
    Ok(Json(Page { items: shared.app.made_from(&who, &query.dataset).await?, next: None }))
}

/// Of what.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RobotsQuery {
    /// Digest of a bundle, `sha256:` and 64 hex digits.
    digest: Option<String>,
    /// Instead: digest of a dataset; bundles that come from it.
    dataset: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many robots, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// A robot that ran a bundle.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RanView {
    /// The robot, and when it said so.
    #[serde(flatten)]
    ran: Ran,
    /// Of a dataset: which of the versions that come from it.
    version: Option<Registered>,
}

/// Robots that run a bundle or ever ran it, by their own word; of a dataset, any bundle that comes from it, bundle after bundle.
#[utoipa::path(get, path = "/api/v1/lineage/robots", tag = "lineage", params(RobotsQuery), responses(
    (status = 200, body = Page<RanView>), (status = 400, body = ErrorBody)))]
pub(crate) async fn robots(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<RobotsQuery>,
) -> Result<Json<Page<RanView>>, HttpError> {
    let limit = limit(query.limit)?;
    let page = match (&query.digest, &query.dataset) {
        (Some(digest), None) => {
            let page = shared.app.ran(&who, digest, number(query.after.as_deref())?, limit).await?;
            Page { items: page.items.into_iter().map(|ran| RanView { ran, version: None }).collect(), next: page.next }
        }
        (None, Some(dataset)) => {
            let (items, next) = shared.app.ran_from(&who, dataset, place(query.after.as_deref())?, limit).await?;
            let items = items.into_iter().map(|(version, ran)| RanView { ran, version: Some(version) }).collect();
            Page { items, next: next.map(|(bundle, robot)| format!("{bundle}.{robot}")) }
        }
        _ => return Err(HttpError::invalid("give digest of a bundle, or dataset")),
    };
    Ok(Json(page))
}

/// A place in the robots of a dataset.
fn place(after: Option<&str>) -> Result<Option<(usize, i64)>, HttpError> {
    let Some(text) = after else { return Ok(None) };
    let parts = text.split_once('.').and_then(|(bundle, robot)| Some((bundle.parse().ok()?, robot.parse().ok()?)));
    parts.map(Some).ok_or_else(|| HttpError::invalid(format!("after {text:?} is no place in this list: give the \"next\" of a page")))
}

/// Which two moments.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The first robot.
    before: String,
    /// Its moment, by its clock, microseconds since the Unix epoch; now when it is left out.
    before_at_us: Option<i64>,
    /// The second robot; the first when it is left out.
    after: Option<String>,
    /// Its moment.
    after_at_us: Option<i64>,
    /// Which slot of theirs; `default` when it is left out.
    slot: Option<String>,
}

/// What changed between what two robots said they ran, or one robot at two times: parameters, metrics, datasets, schema, code, drift
/// reference, tags, aliases, stage, and who registered, staged and deployed it. Also of robots that were revoked.
#[utoipa::path(get, path = "/api/v1/lineage/diff", tag = "lineage", params(DiffQuery), responses(
    (status = 200, body = LineageDiff), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn diff(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<DiffQuery>,
) -> Result<Json<LineageDiff>, HttpError> {
    let slot = query.slot.as_deref().map_or_else(|| Ok(SlotName::default_slot()), name)?;
    let before = Moment { target: name(&query.before)?, at_us: query.before_at_us };
    let after = Moment { target: name(query.after.as_deref().unwrap_or(&query.before))?, at_us: query.after_at_us };
    Ok(Json(shared.app.diff_lineage(&who, &slot, before, after).await?))
}

/// Which part of which timeline.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimelineQuery {
    /// The robot.
    target: String,
    /// Nothing before this time, microseconds since the Unix epoch.
    from_us: Option<i64>,
    /// Nothing from this time on.
    to_us: Option<i64>,
    /// Only these categories, with commas between: `attested`, `desired`, `deployment`, `command`, `policy`, `drift`, `identity`, `capture`,
    /// `log`, `live`, `event`.
    category: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// Everything that touched a robot, the newest first: what it said it ran, what it was told, commands, policies, drift, identity,
/// captures, losses of its log, live sessions and events, each with who and by whose clock. Also of a robot that was revoked.
#[utoipa::path(get, path = "/api/v1/lineage/timeline", tag = "lineage", params(TimelineQuery), responses(
    (status = 200, body = Page<TimelineItem>), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn timeline(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<TimelineQuery>,
) -> Result<Json<Page<TimelineItem>>, HttpError> {
    let categories = query.category.iter().flat_map(|words| words.split(',')).map(name::<Category>).collect::<Result<BTreeSet<_>, _>>()?;
    let window = Window {
        from_us: query.from_us.unwrap_or(i64::MIN),
        to_us: query.to_us.unwrap_or(i64::MAX),
        categories,
        after: query.after.as_deref().map(name::<Place>).transpose()?,
        limit: limit(query.limit)?,
    };
    Ok(Json(shared.app.timeline(&who, &name(&query.target)?, &window).await?))
}

/// A graph about what.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphQuery {
    /// About what this robot runs, or ran at `at_us`.
    target: Option<String>,
    /// Of a robot: only this slot.
    slot: Option<String>,
    /// Instead: about a bundle, `sha256:` and 64 hex digits.
    digest: Option<String>,
    /// Instead: about the dataset of this digest.
    dataset: Option<String>,
    /// As it was at this moment, microseconds since the Unix epoch: what was there by then, and the robots that ran it then.
    at_us: Option<i64>,
    /// At most so many nodes, 1 to 1000; 200 by default.
    limit: Option<u32>,
}

/// Lineage as a graph: from a dataset over runs, logged models, versions and deployments to robots, around one of these.
#[utoipa::path(get, path = "/api/v1/lineage/graph", tag = "lineage", params(GraphQuery), responses(
    (status = 200, body = LineageGraph), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn graph(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<GraphQuery>,
) -> Result<Json<LineageGraph>, HttpError> {
    let about = match (query.target, query.slot, query.digest, query.dataset) {
        (Some(target), slot, None, None) => About::Robot(name(&target)?, slot.as_deref().map(name).transpose()?),
        (None, None, Some(digest), None) => About::Bundle(digest),
        (None, None, None, Some(dataset)) => About::Dataset(dataset),
        _ => return Err(HttpError::invalid("give one of target (with or without slot), digest of a bundle, and dataset")),
    };
    let most = limit(Some(query.limit.unwrap_or(200)))?;
    Ok(Json(shared.app.lineage_graph(&who, &about, query.at_us, most).await?))
}
