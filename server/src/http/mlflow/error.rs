//! MLflow's errors: `{"error_code": ..., "message": ...}` with the status that MLflow gives each code.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use edgeflow_core::{CoreError, search::SearchError};

use crate::{app::AppError, http::error::HttpError};

/// What went wrong, for programs. Clients choose their exception by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The request contradicts a rule.
    InvalidParameterValue,
    /// There is no such thing.
    ResourceDoesNotExist,
    /// The name is taken.
    ResourceAlreadyExists,
    /// Nobody is who the token says.
    Unauthenticated,
    /// Not granted.
    PermissionDenied,
    /// There is no such route.
    EndpointNotFound,
    /// MLflow has it, this control plane has not.
    NotImplemented,
    /// More bytes than are taken.
    RequestLimitExceeded,
    /// May work when asked again later.
    TemporarilyUnavailable,
    /// The fault is ours.
    InternalError,
}

impl Code {
    /// As MLflow spells it, with the status MLflow gives it.
    pub(crate) fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Code::InvalidParameterValue => ("INVALID_PARAMETER_VALUE", StatusCode::BAD_REQUEST),
            Code::ResourceDoesNotExist => ("RESOURCE_DOES_NOT_EXIST", StatusCode::NOT_FOUND),
            Code::ResourceAlreadyExists => ("RESOURCE_ALREADY_EXISTS", StatusCode::BAD_REQUEST),
            Code::Unauthenticated => ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED),
            Code::PermissionDenied => ("PERMISSION_DENIED", StatusCode::FORBIDDEN),
            Code::EndpointNotFound => ("ENDPOINT_NOT_FOUND", StatusCode::NOT_FOUND),
            Code::NotImplemented => ("NOT_IMPLEMENTED", StatusCode::NOT_IMPLEMENTED),
            // A code of MLflow's that says the nearest; the status is HTTP's, so that no client tries the same again.
            Code::RequestLimitExceeded => ("REQUEST_LIMIT_EXCEEDED", StatusCode::PAYLOAD_TOO_LARGE),
            Code::TemporarilyUnavailable => ("TEMPORARILY_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Code::InternalError => ("INTERNAL_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// An error on its way to a client of MLflow.
#[derive(Debug)]
pub(crate) struct MlflowError {
    code: Code,
    message: String,
}

impl MlflowError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request contradicts a rule.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// Whether it is about who asks.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.code == Code::Unauthenticated
    }
}

impl From<AppError> for MlflowError {
    fn from(error: AppError) -> Self {
        let code = match &error {
            AppError::NotFound { .. } => Code::ResourceDoesNotExist,
            AppError::Invalid(_) | AppError::InUse(_) | AppError::Upload(_) | AppError::BadRange { .. } => Code::InvalidParameterValue,
            AppError::Conflict(_) => Code::ResourceAlreadyExists,
            AppError::Unauthenticated | AppError::BadBootstrap | AppError::BadCertificate(_) => Code::Unauthenticated,
            AppError::Denied(_) => Code::PermissionDenied,
            AppError::TooLarge { .. } => Code::RequestLimitExceeded,
            AppError::Store(_) | AppError::Artifact { .. } => {
                tracing::error!(%error, "a request of an MLflow client failed");
                // What went wrong inside is for the log, not for whoever asked.
                return Self::new(Code::InternalError, "the control plane failed; its log says why");
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<CoreError> for MlflowError {
    fn from(error: CoreError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<SearchError> for MlflowError {
    fn from(error: SearchError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<HttpError> for MlflowError {
    fn from(error: HttpError) -> Self {
        let (status, message) = error.parts();
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND => Code::ResourceDoesNotExist,
            StatusCode::PAYLOAD_TOO_LARGE => Code::RequestLimitExceeded,
            StatusCode::SERVICE_UNAVAILABLE => Code::TemporarilyUnavailable,
            status if status.is_client_error() => Code::InvalidParameterValue,
            _ => Code::InternalError,
        };
        Self::new(code, message)
    }
}

impl IntoResponse for MlflowError {
    fn into_response(self) -> Response {
        let (code, status) = self.code.parts();
        let mut response = (status, Json(serde_json::json!({ "error_code": code, "message": self.message }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mlflow\""));
        }
        response
    }
}
