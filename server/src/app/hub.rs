//! The stream of changes for whoever watches. A watcher that is too slow misses items and is told how many.

use edgeflow_core::OrganisationId;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Items a slow watcher may be behind before it misses some.
const CAPACITY: usize = 1024;

/// One change.
#[derive(Debug, Clone)]
pub struct StreamItem {
    /// Whose.
    pub organisation: OrganisationId,
    /// `target`, `event`, `deployment`, `rollout`, `drift`, `model` or `fleet`.
    pub event: &'static str,
    /// JSON of the new view.
    pub data: Arc<str>,
}

/// Where changes go out.
pub(crate) struct Hub(broadcast::Sender<StreamItem>);

impl Hub {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }

    /// Whether anyone watches: views that nobody sees are not computed.
    pub(crate) fn watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub(crate) fn send<T: Serialize>(&self, organisation: &OrganisationId, event: &'static str, view: &T) {
        if !self.watched() {
            return;
        }
        match serde_json::to_string(view) {
            // An error means that the last watcher just left.
            Ok(data) => drop(self.0.send(StreamItem { organisation: organisation.clone(), event, data: data.into() })),
            Err(error) => tracing::error!(%error, stream.event = event, "a view does not turn into JSON"),
        }
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<StreamItem> {
        self.0.subscribe()
    }
}
