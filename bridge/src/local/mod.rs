//! The local API: software on this robot that is not ROS says what happened, sends numbers and asks how things stand.
//!
//! JSON over HTTP, on a Unix socket and, where it was asked for, on a loopback port. What a caller hands over is an entry of the
//! edge log like any other: a `201` means that it is on the disk, whether there is a link or not.

mod channels;
mod entries;
mod hold;
mod listen;
mod views;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use edgeflow_uplink::LinkState;
use edgeflow_wire::DesiredState;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

use crate::{LogSnapshot, Recorder, held::LocalHold};

pub(crate) use channels::Channels;
pub(crate) use listen::{Doors, serve};

/// Largest request, bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// What the API writes to and reads from.
pub(crate) struct Local {
    pub(crate) robot: String,
    pub(crate) recorder: Recorder,
    pub(crate) channels: Channels,
    pub(crate) link: watch::Receiver<LinkState>,
    pub(crate) log: watch::Receiver<LogSnapshot>,
    pub(crate) desired: watch::Receiver<Option<DesiredState>>,
    pub(crate) hold: Arc<LocalHold>,
    /// Where slots go whose change on the robot is given up.
    pub(crate) giving_up: mpsc::Sender<String>,
    /// Slots this robot has.
    pub(crate) slots: Vec<String>,
}

/// The routes.
pub(crate) fn router(local: Arc<Local>) -> Router {
    Router::new()
        .route("/v1/status", get(views::status))
        .route("/v1/config", get(views::config))
        .route("/v1/hold", get(hold::get).put(hold::hold).delete(hold::release))
        .route("/v1/slots/{slot}/change", delete(hold::give_up))
        .route("/v1/events", post(entries::event))
        .route("/v1/channels", get(channels::list))
        .route("/v1/channels/{program}/{channel}", put(channels::register).delete(channels::forget))
        .route("/v1/channels/{program}/{channel}/points", post(entries::points))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "no such route: see the README of edgeflow_bridge, Local API"))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(local)
}

/// Why a request was refused, as `{"error": ...}`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

/// A body, with the place of the mistake in the error. The content type is not asked for: `curl -d` sends a wrong one.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the body cannot be used: {error}")))
}

#[cfg(test)]
mod tests;
