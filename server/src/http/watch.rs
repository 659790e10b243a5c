//! For whoever watches the program: is it well, and what it counted.

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::time::Instant;

use crate::{
    app::AppError,
    http::{Shared, error::HttpError},
};

/// Whether the program serves and its store answers.
#[utoipa::path(get, path = "/healthz", tag = "server", security(()), responses((status = 200, description = "It serves and its store answers")))]
pub(crate) async fn healthz(State(shared): State<Shared>) -> Result<Json<serde_json::Value>, HttpError> {
    shared.app.healthy().await?;
    Ok(Json(serde_json::json!({ "status": "ok" })))
}

/// Counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "server", security(()), responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(shared): State<Shared>) -> Result<Response, HttpError> {
    let text = shared.app.metrics().encode().map_err(AppError::artifact("writing metrics"))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// Counts every request under the route it matched, so that names in paths do not become series.
pub(crate) async fn count(State(shared): State<Shared>, route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let status = response.status();
    // How long a robot waited for news says nothing of how quickly the control plane answers.
    let took = (!route.ends_with("/desired")).then(|| began.elapsed());
    shared.app.metrics().request(method.as_str(), route, status.as_u16(), took);
    tracing::debug!(http.method = %method, http.route = route, http.status = status.as_u16(), took_us = began.elapsed().as_micros(), "request");
    response
}
