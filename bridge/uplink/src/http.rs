//! The wire over plain HTTP: documents are posted one after the other and answered with their acknowledgement, and one
//! request waits at the control plane until there is news. For networks that let nothing else through.

use bytes::{Bytes, BytesMut};
use edgeflow_identity::{Tunnel, split_https};
use edgeflow_wire::{DesiredState, Envelope, MAX_DECODED_BYTES, News, Topics, Version, decode, encode};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use std::{error::Error, fmt, net::IpAddr, time::Duration};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    Backoff, Link, LinkEvent, Outbox, Uplink, UplinkError,
    link::{Connect, NOBODY_LISTENS, keep_connected, patience_for},
};

/// An encoded wire document.
const DOCUMENT: &str = "application/vnd.edgeflow.document+zstd";
/// Most characters of a refusal that are shown.
const MAX_REFUSAL: usize = 300;

/// Where the control plane is and who asks.
#[derive(Clone)]
pub struct HttpConfig {
    /// `http://host:port` on this machine; with a tunnel `https://host:port`. Without a slash at the end.
    pub address: String,
    /// The way through TLS, with the robot's certificate. It leads to `address`.
    pub tunnel: Option<Tunnel>,
    /// The robot's name.
    pub robot: String,
    /// The robot's token. Not used in a tunnel.
    pub token: String,
    /// How long the control plane may keep a question for news open.
    pub wait: Duration,
    /// How long an answer may take beyond that, and beyond the time that a slow link takes for what is asked.
    pub patience: Duration,
    /// First delay before connecting again.
    pub retry_first: Duration,
    /// Longest delay before connecting again.
    pub retry_cap: Duration,
}

impl HttpConfig {
    /// The usual patience: 25 s for news, 10 s for an answer, retries from 100 ms to 3 s.
    pub fn new(address: impl Into<String>, robot: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            robot: robot.into(),
            token: token.into(),
            tunnel: None,
            wait: Duration::from_secs(25),
            patience: Duration::from_secs(10),
            retry_first: Duration::from_millis(100),
            retry_cap: Duration::from_secs(3),
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig").field("address", &self.address).field("robot", &self.robot).finish_non_exhaustive()
    }
}

/// HTTP as an uplink.
#[derive(Debug, Clone)]
pub struct Http {
    config: HttpConfig,
    /// `.../api/v1/targets/{robot}`.
    base: String,
}

impl Http {
    /// Checks the configuration; connecting begins with [`Uplink::start`].
    ///
    /// # Errors
    /// An address that is malformed or not on this machine, or a name that is not a robot's.
    pub fn new(config: HttpConfig) -> Result<Self, UplinkError> {
        Topics::new(&config.robot)?;
        let malformed = || UplinkError::HttpAddress { address: config.address.clone() };
        if config.tunnel.is_some() {
            let (_, inside) = split_https(&config.address).map_err(|_| malformed())?;
            let base = format!("{inside}/api/v1/targets/{}", config.robot);
            return Ok(Self { config, base });
        }
        let url = reqwest::Url::parse(&config.address).map_err(|_| malformed())?;
        let host = url.host_str().filter(|_| url.scheme() == "http" && url.path() == "/").ok_or_else(malformed)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            return Err(UplinkError::NotLoopback { uplink: Self::NAME, address: config.address.clone() });
        }
        let base = format!("{}/api/v1/targets/{}", config.address.trim_end_matches('/'), config.robot);
        Ok(Self { config, base })
    }

    /// A client for one connection, so that nothing an old one still held can surface on a new one.
    fn client(&self) -> reqwest::Result<Client> {
        let builder = self.config.tunnel.as_ref().map_or_else(Client::builder, Tunnel::http);
        builder.connect_timeout(self.config.patience).tcp_nodelay(true).no_proxy().build()
    }

    fn request(&self, client: &Client, method: Method, leaf: &str, patience: Duration) -> RequestBuilder {
        let request = client.request(method, format!("{}/{leaf}", self.base)).timeout(patience);
        if self.config.tunnel.is_some() { request } else { request.bearer_auth(&self.config.token) }
    }

    /// The answer, or why there is none that helps: what TLS says, where it failed.
    async fn good(&self, answer: reqwest::Result<Response>) -> Result<Response, String> {
        let failure = self.config.tunnel.as_ref().filter(|_| answer.is_err()).and_then(Tunnel::failure);
        match failure {
            Some(failure) => Err(format!("no answer from the control plane: {failure}")),
            None => good(answer).await,
        }
    }

    /// Asks for news. The first question of a connection is answered at once.
    async fn news(&self, client: &Client, known: Option<Version>, commands_after: i64, wait: Duration) -> Result<Option<News>, String> {
        let mut leaf = format!("desired?wait_s={}&commands_after={commands_after}", wait.as_secs());
        if let Some(Version { server_epoch, generation }) = known {
            leaf = format!("{leaf}&server_epoch={server_epoch}&generation={generation}");
        }
        let answer = self.good(self.request(client, Method::GET, &leaf, wait + self.config.patience).send().await).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let news = body(answer).await?;
        decode(&news).map(Some).map_err(|error| format!("the control plane's news cannot be read: {error}"))
    }

    async fn post(&self, client: &Client, document: Vec<u8>) -> Result<Bytes, String> {
        let request = self.request(client, Method::POST, "telemetry", patience_for(document.len(), self.config.patience));
        let answer = self.good(request.header(header::CONTENT_TYPE, DOCUMENT).body(document).send().await).await?;
        body(answer).await
    }

    /// Posts what is put into the outbox, in order. Returns why it cannot go on.
    async fn send(&self, client: &Client, mut documents: mpsc::Receiver<Vec<u8>>, events: &mpsc::Sender<LinkEvent>) -> String {
        while let Some(document) = documents.recv().await {
            let event = match self.post(client, document).await {
                Ok(answer) => LinkEvent::Ack(answer),
                Err(reason) => return reason,
            };
            if events.send(event).await.is_err() {
                return NOBODY_LISTENS.to_owned();
            }
        }
        std::future::pending().await
    }

    /// Asks for news for as long as it is answered. Returns why it cannot go on.
    async fn listen(&self, client: &Client, first: Option<News>, events: &mpsc::Sender<LinkEvent>) -> String {
        let mut known = None;
        let mut commands_upto = 0;
        let mut news = first;
        loop {
            let News { desired, commands, commands_upto: upto, .. } = news.unwrap_or_default();
            commands_upto = upto.max(commands_upto);
            known = desired.as_ref().and_then(version).or(known);
            let desired = desired.into_iter().map(|envelope| (true, envelope));
            for (is_desired, envelope) in desired.chain(commands.into_iter().map(|envelope| (false, envelope))) {
                let event = match encode(&envelope) {
                    Ok(envelope) if is_desired => LinkEvent::Desired(envelope.into()),
                    Ok(envelope) => LinkEvent::Command(envelope.into()),
                    Err(error) => return error.to_string(),
                };
                if events.send(event).await.is_err() {
                    return NOBODY_LISTENS.to_owned();
                }
            }
            let asked = Instant::now();
            news = match self.news(client, known, commands_upto, self.config.wait).await {
                Ok(news) => news,
                Err(reason) => return reason,
            };
            // An answer that says nothing and comes at once would make this a hot loop.
            if news.as_ref().is_none_or(|news| news.desired.is_none()) && asked.elapsed() < self.config.retry_first {
                tokio::time::sleep(self.config.retry_first).await;
            }
        }
    }
}

impl Connect for Http {
    const NAME: &'static str = "http";

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry_first, self.config.retry_cap)
    }

    async fn connection(&self, events: &mpsc::Sender<LinkEvent>, up_since: &mut Option<Instant>) -> String {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return format!("no http client: {}", chain(&error)),
        };
        let first = match self.news(&client, None, 0, Duration::ZERO).await {
            Ok(first) => first,
            Err(reason) => return reason,
        };
        let (outbox, documents) = Outbox::new();
        *up_since = Some(Instant::now());
        if events.send(LinkEvent::Up { uplink: Self::NAME, outbox }).await.is_err() {
            return NOBODY_LISTENS.to_owned();
        }
        tokio::select! {
            reason = self.send(&client, documents, events) => reason,
            reason = self.listen(&client, first, events) => reason,
        }
    }
}

impl Uplink for Http {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn start(&self) -> Link {
        keep_connected(self.clone())
    }
}

/// Which desired state an envelope holds. One that cannot be read is for the robot to refuse, not for its carrier.
fn version(envelope: &Envelope) -> Option<Version> {
    decode::<DesiredState>(envelope.payload.as_bytes()).ok().map(|state| state.version)
}

/// The answer, or why there is none that helps.
async fn good(answer: reqwest::Result<Response>) -> Result<Response, String> {
    let answer = answer.map_err(|error| format!("no answer from the control plane: {}", chain(&error.without_url())))?;
    match answer.status() {
        status if status.is_success() => Ok(answer),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err("the control plane refused this robot: check robot, and identity_dir or token_file; or enrol it again".to_owned())
        }
        status => {
            let said = body(answer).await.unwrap_or_default();
            let said: String = String::from_utf8_lossy(&said).chars().take(MAX_REFUSAL).collect();
            Err(format!("the control plane answered {status}: {said}"))
        }
    }
}

/// A body, as large as the wire lets a document unfold.
async fn body(mut answer: Response) -> Result<Bytes, String> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| format!("an answer broke off: {}", chain(&error.without_url())))? {
        if bytes.len() + chunk.len() > MAX_DECODED_BYTES {
            return Err(format!("the control plane's answer has more than {MAX_DECODED_BYTES} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_addresses_on_this_machine_are_accepted() {
        for address in ["http://127.0.0.1:5000", "http://localhost:1", "http://[::1]:5000", "http://127.8.9.1", "http://127.0.0.1:1/"] {
            let http = Http::new(HttpConfig::new(address, "robot-1", "t")).unwrap();
            assert_eq!(http.base, format!("{}/api/v1/targets/robot-1", address.trim_end_matches('/')));
        }
        for address in ["http://10.0.0.1:5000", "http://plane.example", "http://127.0.0.1.example:80"] {
            let error = Http::new(HttpConfig::new(address, "robot-1", "t")).unwrap_err();
            assert!(matches!(error, UplinkError::NotLoopback { .. }) && error.to_string().contains(address), "{error}");
        }
        for address in ["127.0.0.1:5000", "https://127.0.0.1:1", "http://127.0.0.1:port", "http://127.0.0.1:1/api", ""] {
            let error = Http::new(HttpConfig::new(address, "robot-1", "t")).unwrap_err();
            assert!(matches!(error, UplinkError::HttpAddress { .. }), "{address}: {error}");
        }
        assert!(matches!(Http::new(HttpConfig::new("http://127.0.0.1:1", "Robot 1", "t")), Err(UplinkError::Name(_))));
    }

    #[test]
    fn the_token_does_not_show() {
        assert!(!format!("{:?}", HttpConfig::new("http://127.0.0.1:1", "robot-1", "hunter2")).contains("hunter2"));
    }
}
