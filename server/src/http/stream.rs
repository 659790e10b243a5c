//! `/stream`: changes as server-sent events.

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use edgeflow_core::OrganisationId;
use futures::{Stream, StreamExt};
use prometheus_client::metrics::gauge::Gauge;
use std::{convert::Infallible, time::Duration};
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};

use crate::{
    app::StreamItem,
    http::{Shared, auth::Caller, error::HttpError},
};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Counts a watcher as long as it is there.
struct Watching(Gauge);

impl Watching {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Changes from now on: events `target`, `event`, `deployment`, `rollout` (in short), `drift`, `model` and `fleet`, each with the new view as JSON. A
/// watcher that is too slow gets `lagged` with how many items it missed and should read anew.
#[utoipa::path(get, path = "/api/v1/stream", tag = "events", responses((status = 200, content_type = "text/event-stream")))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, HttpError> {
    let items = BroadcastStream::new(shared.app.watch(&who).await?);
    let watching = Watching::new(shared.app.metrics().watchers());
    let shutdown = shared.shutdown.clone();
    let events = items
        .filter_map(move |item| {
            let _ = &watching;
            let event = event(item, &who.organisation);
            async move { event.map(Ok) }
        })
        .take_until(shutdown.cancelled_owned());
    // Something at once, so that whoever waits for the headers knows that it is on.
    let hello = futures::stream::once(async { Ok(Event::default().comment("watching")) });
    Ok(Sse::new(hello.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event(item: Result<StreamItem, BroadcastStreamRecvError>, organisation: &OrganisationId) -> Option<Event> {
    match item {
        Ok(item) if item.organisation == *organisation => Some(Event::default().event(item.event).data(&*item.data)),
        Ok(_) => None,
        Err(BroadcastStreamRecvError::Lagged(missed)) => {
            Some(Event::default().event("lagged").data(serde_json::json!({ "missed": missed }).to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_sees_its_organisation_and_hears_when_it_missed_something() {
        let own = OrganisationId::first();
        let item = |organisation: &OrganisationId| StreamItem { organisation: organisation.clone(), event: "model", data: "{}".into() };
        assert!(event(Ok(item(&own)), &own).is_some());
        assert!(event(Ok(item(&OrganisationId::new("other").unwrap())), &own).is_none());
        let lagged = event(Err(BroadcastStreamRecvError::Lagged(7)), &own).unwrap();
        assert!(format!("{lagged:?}").contains("lagged"), "{lagged:?}");
    }
}
