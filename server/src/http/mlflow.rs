//! The routes of MLflow's clients, answered in MLflow's shape so that a client says something useful.

use axum::{
    Json,
    extract::{FromRequestParts, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::http::{Shared, auth::Caller};

/// Not there yet, said clearly, behind the same token as everything else.
pub(crate) async fn not_yet(State(shared): State<Shared>, request: Request) -> Response {
    // The body is left to be drained, it says nothing here.
    let (mut parts, _body) = request.into_parts();
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
