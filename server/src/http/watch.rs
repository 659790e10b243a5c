//! For whoever watches the program: is it well, and what it counted.

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::{Method, header},
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

/// A request that is counted under the route it matched, so that names in paths do not become series.
pub(crate) struct Counted {
    began: Instant,
    method: Method,
    route: Option<MatchedPath>,
}

impl Counted {
    pub(crate) fn begin(request: &Request, route: Option<MatchedPath>) -> Self {
        Self { began: Instant::now(), method: request.method().clone(), route }
    }

    pub(crate) fn end(self, shared: &Shared, response: &Response) {
        let Self { began, method, route } = self;
        let route = route.as_ref().map_or("other", MatchedPath::as_str);
        let status = response.status();
        // How long a robot waited for news says nothing of how quickly the control plane answers.
        let took = (!route.ends_with("/desired")).then(|| began.elapsed());
        shared.app.metrics().request(method.as_str(), route, status.as_u16(), took);
        tracing::debug!(http.method = %method, http.route = route, http.status = status.as_u16(), took_us = began.elapsed().as_micros(), "request");
    }
}
