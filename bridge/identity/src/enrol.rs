//! Getting a certificate: for a bootstrap token at first, over the one before later.

use serde_json::{Value, json};
use std::{path::Path, time::Duration};

use crate::{
    Answer, Identity, IdentityError, Result, Roots, Tunnel, client_config, fingerprint,
    key::{KeyAndRequest, make_key},
    tunnel::split_https,
};

/// Most time for one exchange with the control plane.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a robot is told before it first speaks to the control plane.
#[derive(Clone)]
pub struct BootstrapToken {
    robot: String,
    secret: String,
    ca: [u8; 32],
}

impl std::fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootstrapToken").field("robot", &self.robot).finish_non_exhaustive()
    }
}

impl BootstrapToken {
    /// Reads `{robot}.{secret}.{SHA-256 of the CA}`. A fingerprint that is given beside it must be the same, or stands in for it.
    ///
    /// # Errors
    /// Says what is missing or contradicts itself.
    pub fn parse(text: &str, ca_fingerprint: Option<&str>) -> Result<Self> {
        let bad = |reason: &str| IdentityError::Token { reason: reason.to_owned() };
        let mut parts = text.trim().split('.');
        let (robot, secret) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let carried = parts.next();
        if robot.is_empty() || secret.is_empty() || parts.next().is_some() {
            return Err(bad("it is not of the form robot.secret.fingerprint"));
        }
        let read = |digits: &str| {
            let bytes = hex::decode(digits.replace(':', "")).ok();
            bytes
                .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
                .ok_or_else(|| bad("the CA fingerprint is not the 64 hex digits of a SHA-256"))
        };
        let (carried, given) = (carried.map(read).transpose()?, ca_fingerprint.map(read).transpose()?);
        let ca = match (carried, given) {
            (Some(carried), Some(given)) if carried != given => return Err(bad("it carries another CA fingerprint than was given")),
            (Some(ca), _) | (None, Some(ca)) => ca,
            (None, None) => return Err(bad("it carries no CA fingerprint, and none was given")),
        };
        Ok(Self { robot: robot.to_owned(), secret: secret.to_owned(), ca })
    }

    /// Whom it lets in.
    pub fn robot(&self) -> &str {
        &self.robot
    }
}

/// Makes a key, gets its certificate from the control plane at `server` (`https://host:port`) and puts all of it into `folder`.
/// The server is believed only if its CA is the one the token names.
///
/// # Errors
/// A folder that has an identity already (unless `replace`), a server that is not the right one, a token that it refuses.
pub async fn enrol(server: &str, token: &BootstrapToken, folder: &Path, replace: bool) -> Result<Identity> {
    let taken = folder.join("robot.pem");
    if taken.exists() && !replace {
        return Err(IdentityError::Taken { path: taken });
    }
    let roots = Roots::Fingerprint(token.ca);
    let key = make_key(&token.robot)?;
    let (authority, base) = split_https(server)?;
    let tunnel = Tunnel::open(&authority, move || client_config(&roots, None))?;
    let body = json!({ "token": format!("{}.{}", token.robot, token.secret), "csr": key.request_pem });
    let answer = ask(&tunnel, server, &format!("{base}/api/v1/enroll"), &body).await?;
    if fingerprint(&answer.ca)? != token.ca {
        return Err(IdentityError::answer("it names another CA than the bootstrap token"));
    }
    Identity::install(folder, &token.robot, &key, &answer)
}

/// Gets another certificate for a new key, over `tunnel` and so in the name of the present one, and puts it in its place.
/// `server` is the `https://host:port` of the tunnel.
///
/// # Errors
/// A control plane that is not there or refuses; the present certificate then stays.
pub async fn renew(identity: &Identity, tunnel: &Tunnel, server: &str) -> Result<Identity> {
    let key: KeyAndRequest = make_key(identity.robot())?;
    let (_, base) = split_https(server)?;
    let url = format!("{base}/api/v1/targets/{}/certificates", identity.robot());
    let answer = ask(tunnel, server, &url, &json!({ "csr": key.request_pem })).await?;
    Identity::install(identity.folder(), identity.robot(), &key, &answer)
}

async fn ask(tunnel: &Tunnel, server: &str, url: &str, body: &Value) -> Result<Answer> {
    let unreachable = |error: reqwest::Error| {
        let reason = tunnel.failure().unwrap_or_else(|| error.to_string());
        IdentityError::Unreachable { address: server.to_owned(), reason }
    };
    let client = tunnel.http().timeout(PATIENCE).build().map_err(unreachable)?;
    let response = client.post(url).json(body).send().await.map_err(unreachable)?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() {
        let words = serde_json::from_slice::<Value>(&bytes).ok();
        let words = words.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
        let message = words.or(status.canonical_reason()).unwrap_or("no reason given").to_owned();
        return Err(IdentityError::Refused { message, status: status.as_u16() });
    }
    serde_json::from_slice(&bytes).map_err(|error| IdentityError::answer(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_token_carries_the_fingerprint_or_gets_it_beside() {
        let (ca, other) = ("ab".repeat(32), "cd".repeat(32));
        let whole = format!("robot-1.secret.{ca}");
        assert_eq!(BootstrapToken::parse(&format!(" {whole}\n"), None).unwrap().robot(), "robot-1");
        assert_eq!(BootstrapToken::parse(&whole, Some(&ca)).unwrap().ca, [0xab; 32]);
        assert_eq!(BootstrapToken::parse("robot-1.secret", Some(&ca)).unwrap().ca, [0xab; 32]);
        for (text, given, says) in [
            ("robot-1.secret", None, "no CA fingerprint"),
            (whole.as_str(), Some(other.as_str()), "another CA fingerprint"),
            ("robot-1.secret.xyz", None, "64 hex digits"),
            ("robot-1", None, "robot.secret.fingerprint"),
            ("", None, "robot.secret.fingerprint"),
        ] {
            let error = BootstrapToken::parse(text, given).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(!format!("{:?}", BootstrapToken::parse(&whole, None).unwrap()).contains("secret"));
    }
}
