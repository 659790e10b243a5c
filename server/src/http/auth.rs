//! Who asks: the bearer token of a request.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use edgeflow_core::Principal;

use crate::{
    app::AppError,
    http::{Shared, error::HttpError},
};

/// Who asks. A handler that takes this wants a valid token.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Shared> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, HttpError> {
        let token = bearer(&parts.headers).ok_or(AppError::Unauthenticated)?;
        Ok(Self(shared.app.authenticate(token).await?))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
