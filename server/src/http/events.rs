//! `/events`: the timeline.

use axum::{Json, extract::State};
use edgeflow_core::{Page, entry::EntryFilter, event::EventView};
use serde::Deserialize;

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::{Params, limit, name, number},
};

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Of this robot only.
    target: Option<String>,
    /// Of these kinds only, separated by commas, such as `rollout,fault`: an entry's kind, or `rollout` of what happened to rollouts.
    kind: Option<String>,
    /// `true` leaves out what comes all the time from robots with which all is well: steps of missions that did not fail, reports of
    /// state, and numbers.
    #[serde(default)]
    notable: bool,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// The timeline, newest first by arrival. What happened to rollouts stands between robots' entries and takes no place of theirs: where
/// only `rollout` is asked for, there is one page.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventsQuery), responses(
    (status = 200, body = Page<EventView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<EventsQuery>,
) -> Result<Json<Page<EventView>>, HttpError> {
    let target = query.target.as_deref().map(name).transpose()?;
    let kinds = query.kind.as_deref().unwrap_or_default().split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect();
    let (after, limit) = (number(query.after.as_deref())?, limit(query.limit)?);
    let filter = EntryFilter { target, kinds, notable: query.notable, after, limit, ..EntryFilter::default() };
    Ok(Json(shared.app.events(&who, filter).await?))
}
