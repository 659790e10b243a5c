//! `/events`: the timeline.

use axum::{Json, extract::State};
use edgeflow_core::{Page, event::EventView};
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
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    limit: Option<u32>,
}

/// The timeline, newest first by arrival.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventsQuery), responses(
    (status = 200, body = Page<EventView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(query): Params<EventsQuery>,
) -> Result<Json<Page<EventView>>, HttpError> {
    let target = query.target.as_deref().map(name).transpose()?;
    let events = shared.app.events(&who, target, number(query.after.as_deref())?, limit(query.limit)?);
    Ok(Json(events.await?))
}
