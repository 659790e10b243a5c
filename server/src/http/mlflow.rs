//! The routes of MLflow's clients, answered in MLflow's shape so that a client says something useful.

use axum::{
    Json,
    body::to_bytes,
    extract::{FromRequestParts, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use std::time::Duration;
use tokio::time::timeout;

use crate::http::{MAX_JSON_BYTES, Shared, auth::Caller};

/// How long a body that nobody reads is waited for.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// Not there yet, said clearly, behind the same token as everything else.
pub(crate) async fn not_yet(State(shared): State<Shared>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // Clients send the body after the head. An answer that does not wait for it closes the connection which they use next.
    drop(timeout(BODY_PATIENCE, to_bytes(body, MAX_JSON_BYTES)).await);
    match Caller::from_request_parts(&mut parts, &shared).await {
        Ok(_) => {
            let message = format!(
                "{} {} is not served yet: this control plane has no MLflow routes, use /api/v1 (see /api/v1/openapi.json)",
                parts.method,
                parts.uri.path()
            );
            answer(StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", &message)
        }
        Err(refusal) => {
            let (status, message) = refusal.parts();
            let code = if status == StatusCode::UNAUTHORIZED { "UNAUTHENTICATED" } else { "INTERNAL_ERROR" };
            answer(status, code, &message)
        }
    }
}

fn answer(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(serde_json::json!({ "error_code": code, "message": message }))).into_response()
}
