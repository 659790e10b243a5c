//! The way to the control plane's HTTP API: with the robot's certificate through its tunnel, or with its token on this machine.

use edgeflow_identity::Tunnel;
use reqwest::{Client, Method, RequestBuilder};
use std::time::Duration;

use crate::{BridgeError, Result, Secret, Secure};

/// The control plane's HTTP API, as this robot.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    client: Client,
    pub(crate) base: String,
    token: Secret,
    tunnel: Option<Tunnel>,
}

impl Way {
    /// To the control plane at `base`, for instance `http://127.0.0.1:5000`, or through the robot's own tunnel to it. An answer may
    /// be silent for so long.
    pub(crate) fn new(base: &str, token: Secret, secure: Option<&Secure>, patience: Duration) -> Result<Self> {
        let (builder, base) = match secure {
            Some(secure) => (secure.http.http(), secure.base.clone()),
            None => (Client::builder(), base.to_owned()),
        };
        let builder = builder.connect_timeout(Duration::from_secs(5)).read_timeout(patience).no_proxy();
        let client = builder.build().map_err(BridgeError::Http)?;
        Ok(Self { client, base, token, tunnel: secure.map(|secure| secure.http.clone()) })
    }

    /// A request in the robot's name; `path` begins with a slash.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.tunnel.is_none() { request.bearer_auth(self.token.expose()) } else { request }
    }

    /// Why the control plane could not be reached.
    pub(crate) fn failure(&self, error: &reqwest::Error) -> String {
        let reason = self.tunnel.as_ref().and_then(Tunnel::failure).unwrap_or_else(|| innermost(error));
        format!("could not reach {}: {reason}", self.base)
    }
}

/// What really went wrong: reqwest's own words only name the address.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
