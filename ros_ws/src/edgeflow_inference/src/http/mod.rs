//! HTTP beside ROS: the same models for whoever speaks no ROS. `POST /infer` for people and scripts, the Open Inference Protocol
//! (v2, as KServe and Triton speak it) for their clients, `/metrics` for Prometheus.
//!
//! There is no authentication and no TLS: the address it listens on is the whole of its protection. It knows nothing of ROS.

mod asked;
mod binary;
mod json;
mod metrics;
mod plain;
mod protocol;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::TryStreamExt;
use serde::Serialize;

use crate::engine::{Engine, Requests};
use crate::{Error, Result};

/// Greatest request body: a batch of large images as JSON.
const MAX_BODY_BYTES: usize = 256 << 20;

/// A model slot as HTTP sees it.
#[derive(Clone)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Its model.
    pub engine: Arc<Engine>,
    /// How it is asked.
    pub requests: Arc<Requests>,
    /// Whether it answers now, else the reason.
    pub available: Arc<dyn Fn() -> Result<()> + Send + Sync>,
    /// What became of the camera's frames, by outcome.
    pub frames: Arc<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>,
}

impl Served {
    fn is_ready(&self) -> bool {
        (self.available)().is_ok() && self.engine.current().is_ok()
    }
}

/// All slots; the first is meant where none is named.
type Slots = Arc<[Served]>;

/// The routes.
pub fn router(slots: Vec<Served>) -> Router {
    let slots: Slots = slots.into();
    Router::new()
        .merge(plain::routes())
        .merge(protocol::routes())
        .route("/metrics", get(metrics::scrape))
        .fallback(async || HttpError::new(StatusCode::NOT_FOUND, "no such route: there are /infer, /v2/... and /metrics"))
        .with_state(slots)
}

/// Takes hold of an address, such as `127.0.0.1:8500`; port 0 takes a free one.
///
/// # Errors
/// [`Error::HttpAddress`] for what is none, or is taken.
pub fn bind(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let refuse = |source: std::io::Error| Error::HttpAddress { address: address.to_owned(), source };
    let wanted: SocketAddr = address.parse().map_err(|error| refuse(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)))?;
    let listener = TcpListener::bind(wanted).map_err(refuse)?;
    listener.set_nonblocking(true).map_err(refuse)?;
    let bound = listener.local_addr().map_err(refuse)?;
    Ok((listener, bound))
}

/// Serves until the task is ended.
///
/// # Errors
/// A listener that tokio cannot take.
pub async fn serve(listener: TcpListener, router: Router) -> std::io::Result<()> {
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
}

/// The whole body. Not by a layer: that costs each request an allocation.
async fn whole(body: Body) -> std::result::Result<Bytes, HttpError> {
    let mut pieces = body.into_data_stream();
    let refuse = |error: axum::Error| HttpError::bad(format!("the body cannot be read: {error}"));
    let large = || HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_BODY_BYTES} bytes"));
    let Some(first) = pieces.try_next().await.map_err(refuse)? else { return Ok(Bytes::new()) };
    if pieces.is_end_stream() && first.len() <= MAX_BODY_BYTES {
        return Ok(first);
    }
    let mut all = Vec::from(first);
    while let Some(piece) = pieces.try_next().await.map_err(refuse)? {
        if all.len() + piece.len() > MAX_BODY_BYTES {
            return Err(large());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

/// An answer in JSON, with about so many elements of tensors in it.
fn answered(answer: &impl Serialize, elements: usize) -> std::result::Result<Response, HttpError> {
    let mut text = Vec::with_capacity(512 + 8 * elements);
    serde_json::to_writer(&mut text, answer).map_err(|error| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// An answer that is no result: `{"error": "..."}`, as the Open Inference Protocol has it.
#[derive(Debug)]
struct HttpError {
    status: StatusCode,
    message: String,
}

impl HttpError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Tensor { .. } | Error::Image { .. } | Error::NoImageInput { .. } => StatusCode::BAD_REQUEST,
            Error::UnknownSlot { .. } => StatusCode::NOT_FOUND,
            Error::Busy { .. } | Error::NoModel | Error::NotActive { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(serde_json::json!({"error": self.message}))).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
