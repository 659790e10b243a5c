//! Who asks: the robot whose certificate came with the connection, or the bearer token of the request.

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use edgeflow_core::{Principal, identity::Invalid, principal::Who};

use crate::{
    app::AppError,
    http::{Shared, error::HttpError, secure::Peer},
};

/// Who asks. A handler that takes this wants a valid certificate or token.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Shared> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, HttpError> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        // A robot's certificate says who it is, whatever token comes with it.
        if let Some(certificate) = peer.and_then(|ConnectInfo(peer)| peer.certificate.clone()) {
            let robot = shared.app.authenticate_certificate(&certificate).await?.map_err(AppError::from)?;
            return Ok(Self(Principal::robot(robot.organisation, robot.name)));
        }
        let token = bearer(&parts.headers).ok_or(AppError::Unauthenticated)?;
        let principal = shared.app.authenticate(token).await?;
        if peer.is_some() && matches!(principal.who, Who::Robot(_)) {
            return Err(AppError::from(Invalid::Missing).into());
        }
        Ok(Self(principal))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
