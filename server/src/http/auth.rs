//! Who asks: the robot whose certificate came with the connection, or the token of the request, as a bearer token or, from
//! programs that know only names and passwords, as the password of any name.

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use base64::{Engine, prelude::BASE64_STANDARD};
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
        let token = token(&parts.headers).ok_or(AppError::Unauthenticated)?;
        let principal = shared.app.authenticate(&token).await?;
        if peer.is_some() && matches!(principal.who, Who::Robot(_)) {
            return Err(AppError::from(Invalid::Missing).into());
        }
        Ok(Self(principal))
    }
}

fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, given) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(given.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(given.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_as_a_bearer_or_as_a_password() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            token(&headers)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of(&format!("Basic {}", BASE64_STANDARD.encode("anyone:a:b"))).as_deref(), Some("a:b"));
        for bad in ["abc", "Digest abc", "Basic !!", &format!("Basic {}", BASE64_STANDARD.encode("no-colon"))] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
