//! Requests to the control plane, with its words when it refuses.

use edgeflow_identity::{IdentityError, Roots, Tunnel, client_config, split_https};
use futures::StreamExt;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header, multipart::Form};
use serde_json::Value;
use std::{
    fs,
    time::{Duration, Instant},
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::{error::CliError, login::Login, settings::Connection};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A control plane and the right to speak to it.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    /// The way through TLS, for an https:// address, and the address inside of it.
    tunnel: Option<Tunnel>,
    base: String,
    token: String,
}

/// What the control plane says of itself to whoever asks.
pub(crate) struct Health {
    /// HTTP status.
    pub(crate) status: u16,
    /// Its clock, seconds since the Unix epoch.
    pub(crate) time_s: Option<i64>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Client {
    /// By what is set: see [`settings`](crate::settings).
    pub(crate) fn from_environment() -> Result<Self, CliError> {
        let Connection { url, token, ca } = Connection::now()?;
        Self::open(url.value, token.ok_or(CliError::NoToken)?.value, ca.map(|ca| ca.value))
    }

    /// With what somebody wants to log in.
    pub(super) fn of_login(login: &Login) -> Result<Self, CliError> {
        Self::open(login.url.clone(), login.token.clone(), login.ca.clone())
    }

    /// Whatever is set.
    pub(crate) fn open(url: String, token: String, ca: Option<String>) -> Result<Self, CliError> {
        let (tunnel, base) = if url.starts_with("https://") {
            let path = ca.ok_or(CliError::NoCa)?;
            let ca = fs::read_to_string(&path).map_err(|source| CliError::Read { path, source })?;
            let (authority, base) = split_https(&url)?;
            let roots = Roots::Ca(ca);
            client_config(&roots, None)?; // a CA that is none is told now
            (Some(Tunnel::open(&authority, move || client_config(&roots, None))?), base)
        } else {
            (None, url.clone())
        };
        let http = tunnel
            .as_ref()
            .map_or_else(reqwest::Client::builder, Tunnel::http)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy() // in the clear it is on this machine
            .build()
            .map_err(|source| CliError::Unreachable { url: url.clone(), source })?;
        Ok(Self { http, url, tunnel, base, token })
    }

    /// The host of the control plane.
    #[cfg(feature = "zenoh")]
    pub(crate) fn host(&self) -> &str {
        let authority = self.url.split("://").nth(1).unwrap_or(&self.url).split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Asks whether the control plane is well.
    pub(crate) async fn healthz(&self) -> Result<Health, CliError> {
        let began = Instant::now();
        let response = self.http.get(format!("{}/healthz", self.base)).send().await.map_err(|source| self.unreachable(source))?;
        let time_s = response.headers().get(header::DATE).and_then(|date| date.to_str().ok()).and_then(|date| {
            // RFC 9110 writes GMT where RFC 2822 has an offset.
            let date = date.replace("GMT", "+0000");
            OffsetDateTime::parse(&date, &Rfc2822).ok().map(OffsetDateTime::unix_timestamp)
        });
        Ok(Health { status: response.status().as_u16(), time_s, took: began.elapsed() })
    }

    /// Reads `path`, which begins behind `/api/v1`.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, CliError> {
        let mut path = path.to_owned();
        for (index, (name, value)) in query.iter().enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            path.push_str(&format!("{name}={}", encode(value)));
        }
        self.send(self.request(Method::GET, &path), &path).await
    }

    /// Reads text at `path`, and what its headers of these names say.
    pub(super) async fn text<const N: usize>(&self, path: &str, headers: [&str; N]) -> Result<(String, [Option<String>; N]), CliError> {
        let response = self.request(Method::GET, path).send().await.map_err(|source| self.unreachable(source))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await?);
        }
        let said = headers.map(|name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned));
        Ok((response.text().await.map_err(|source| self.unreachable(source))?, said))
    }

    /// Sends a JSON document.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.send(self.request(Method::POST, path).json(body), path).await
    }

    /// Puts a JSON document in the place of another.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.send(self.request(Method::PUT, path).json(body), path).await
    }

    /// Sends files.
    pub(crate) async fn post_form(&self, path: &str, form: Form) -> Result<Value, CliError> {
        self.send(self.request(Method::POST, path).multipart(form), path).await
    }

    /// Removes what is at `path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.send(self.request(Method::DELETE, path), path).await
    }

    /// Fetches the bytes at `path` from `offset` on, as they come.
    pub(super) async fn download(
        &self,
        path: &str,
        offset: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let request = self.request(Method::GET, path).header(header::RANGE, format!("bytes={offset}-"));
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if response.status() != StatusCode::PARTIAL_CONTENT && (offset > 0 || response.status() != StatusCode::OK) {
            return Err(self.refused(response).await?);
        }
        let mut body = response.bytes_stream();
        while let Some(bytes) = body.next().await {
            take(&bytes.map_err(|source| self.unreachable(source))?)?;
        }
        Ok(())
    }

    fn unreachable(&self, source: reqwest::Error) -> CliError {
        match self.tunnel.as_ref().and_then(Tunnel::failure) {
            Some(reason) => IdentityError::Unreachable { address: self.url.clone(), reason }.into(),
            None => CliError::Unreachable { url: self.url.clone(), source },
        }
    }

    /// The control plane's own words.
    async fn refused(&self, response: Response) -> Result<CliError, CliError> {
        let status = response.status();
        let body = response.bytes().await.map_err(|source| self.unreachable(source))?;
        let words = serde_json::from_slice::<Value>(&body).ok();
        let words = words.as_ref().and_then(|body| body.pointer("/error/message")).and_then(Value::as_str);
        let message = words.or(status.canonical_reason()).unwrap_or("no reason given").to_owned();
        Ok(CliError::Refused { message, status: status.as_u16() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder, path: &str) -> Result<Value, CliError> {
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if response.status().is_success() {
            let body = response.bytes().await.map_err(|source| self.unreachable(source))?;
            if body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&body).map_err(|source| CliError::Answer { path: path.to_owned(), source });
        }
        Err(self.refused(response).await?)
    }
}

/// A part of a path or a query, with everything escaped that could end it.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn nothing_leaves_its_part_of_the_path() {
        assert_eq!(encode("robot-1"), "robot-1");
        assert_eq!(encode("../a b?c&d#e/ü"), "..%2Fa%20b%3Fc%26d%23e%2F%C3%BC");
    }
}
