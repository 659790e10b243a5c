//! The one place where answers that are no results become HTTP.

use axum::{
    Json,
    extract::OriginalUri,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::app::AppError;

/// What every error says: `{"error": {"code": "not_found", "message": "..."}}`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorDetail {
    /// For programs: `unauthenticated`, `denied`, `not_found`, `invalid`, `conflict`, `too_large`, `bad_range`,
    /// `method_not_allowed`, `busy`, `internal`.
    code: &'static str,
    /// For people: what failed, with what, what to do.
    message: String,
}

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct HttpError {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl HttpError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid", message: message.into(), header: None }
    }

    /// A refusal the framework made before us, with its status.
    pub(crate) fn rejected(status: StatusCode, message: String) -> Self {
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "invalid" };
        Self { status, code, message, header: None }
    }

    /// What may work when asked again later.
    pub(crate) fn busy(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, code: "busy", message: message.into(), header: None }
    }

    pub(crate) fn parts(self) -> (StatusCode, String) {
        (self.status, self.message)
    }
}

impl From<AppError> for HttpError {
    fn from(error: AppError) -> Self {
        let mut header = None;
        let (status, code) = match &error {
            AppError::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            AppError::Invalid(_) | AppError::Upload(_) => (StatusCode::BAD_REQUEST, "invalid"),
            AppError::Conflict(_) | AppError::InUse(_) => (StatusCode::CONFLICT, "conflict"),
            AppError::Unauthenticated => {
                header = Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
                (StatusCode::UNAUTHORIZED, "unauthenticated")
            }
            AppError::BadBootstrap | AppError::BadCertificate(_) => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            AppError::Denied(_) => (StatusCode::FORBIDDEN, "denied"),
            AppError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            AppError::BadRange { size_bytes } => {
                header = HeaderValue::try_from(format!("bytes */{size_bytes}")).ok().map(|value| (header::CONTENT_RANGE, value));
                (StatusCode::RANGE_NOT_SATISFIABLE, "bad_range")
            }
            AppError::Store(_) | AppError::Artifact { .. } => {
                tracing::error!(%error, "a request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        // What went wrong inside is for the log, not for whoever asked.
        let message = if status.is_server_error() { "the control plane failed; its log says why".to_owned() } else { error.to_string() };
        Self { status, code, message, header }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: ErrorDetail { code: self.code, message: self.message } };
        let mut response = (self.status, Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// No route of that name under `/api`.
pub(crate) async fn no_such_route(OriginalUri(uri): OriginalUri) -> HttpError {
    let message = format!("there is no {}: see /api/v1/openapi.json", uri.path());
    HttpError { status: StatusCode::NOT_FOUND, code: "not_found", message, header: None }
}

/// The route is there, the method is not.
pub(crate) async fn no_such_method(method: Method, uri: OriginalUri) -> HttpError {
    let message = format!("{} does not take {method}: see /api/v1/openapi.json", uri.0.path());
    HttpError { status: StatusCode::METHOD_NOT_ALLOWED, code: "method_not_allowed", message, header: None }
}
