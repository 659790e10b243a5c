//! The wire over zenoh: a session of its own with the control plane's router, over mTLS. Log documents are queries whose reply is
//! the acknowledgement, desired state and commands are subscriptions, and desired state is asked for at the start and from
//! time to time, since a router may drop what a slow link cannot take.
//!
//! It never meets the ROS graph's zenoh: it scouts for nobody, listens on nothing and connects to one address.

use ::zenoh::{
    Config, Session,
    bytes::ZBytes,
    handlers::FifoChannelHandler,
    query::{ConsolidationMode, Reply},
    sample::{Sample, SampleKind},
};
use bytes::Bytes;
use edgeflow_wire::{DesiredState, Envelope, News, Topics, Version, decode, encode};
use futures::stream::{FuturesOrdered, StreamExt};
use serde_json::json;
use std::{collections::VecDeque, fmt, path::PathBuf, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    Backoff, Link, LinkEvent, Outbox, Uplink, UplinkError,
    link::{Connect, NOBODY_LISTENS, keep_connected, patience_for},
};

/// Documents that may wait for their answer. The control plane takes them one after the other.
const IN_FLIGHT: usize = 8;
/// A connection without any sign of life for so long is dead.
const LEASE: Duration = Duration::from_secs(8);

/// Where the control plane's router is and who comes.
#[derive(Clone)]
pub struct ZenohConfig {
    /// `host:port`.
    pub address: String,
    /// The robot's name, which its certificate proves.
    pub robot: String,
    /// PEM file with the control plane's CA.
    pub ca: PathBuf,
    /// PEM file with the robot's certificate.
    pub certificate: PathBuf,
    /// PEM file with its key. May be the same file.
    pub key: PathBuf,
    /// How long an answer may take beyond the time that a slow link takes for what is asked.
    pub patience: Duration,
    /// How often desired state is asked for although nothing was heard of it.
    pub refresh: Duration,
    /// First delay before connecting again.
    pub retry_first: Duration,
    /// Longest delay before connecting again.
    pub retry_cap: Duration,
}

impl ZenohConfig {
    /// The usual patience: 10 s for an answer, retries from 100 ms to 3 s, desired state asked for every 30 s.
    pub fn new(
        address: impl Into<String>,
        robot: impl Into<String>,
        ca: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            address: address.into(),
            robot: robot.into(),
            ca: ca.into(),
            certificate: certificate.into(),
            key: key.into(),
            patience: Duration::from_secs(10),
            refresh: Duration::from_secs(30),
            retry_first: Duration::from_millis(100),
            retry_cap: Duration::from_secs(3),
        }
    }
}

impl fmt::Debug for ZenohConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZenohConfig").field("address", &self.address).field("robot", &self.robot).finish_non_exhaustive()
    }
}

/// zenoh as an uplink.
#[derive(Debug, Clone)]
pub struct Zenoh {
    config: ZenohConfig,
    topics: Topics,
}

impl Zenoh {
    /// Checks the configuration; connecting begins with [`Uplink::start`].
    ///
    /// # Errors
    /// An address that is malformed, or a name that is not a robot's.
    pub fn new(config: ZenohConfig) -> Result<Self, UplinkError> {
        let topics = Topics::new(&config.robot)?;
        let good = config.address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !good || config.address.contains(['/', '?', '#']) {
            return Err(UplinkError::ZenohAddress { address: config.address });
        }
        Ok(Self { config, topics })
    }

    async fn open(&self) -> ::zenoh::Result<Session> {
        let config = json!({
            "mode": "client",
            "connect": { "endpoints": [format!("tls/{}", self.config.address)], "timeout_ms": 0 },
            "listen": { "endpoints": [] },
            "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
            "transport": {
                "shared_memory": { "enabled": false },
                "link": {
                    "protocols": ["tls"],
                    "tx": { "lease": LEASE.as_millis() as u64 },
                    "rx": { "max_message_size": edgeflow_wire::MAX_DECODED_BYTES },
                    "tls": {
                        "root_ca_certificate": self.config.ca,
                        "enable_mtls": true,
                        "connect_certificate": self.config.certificate,
                        "connect_private_key": self.config.key,
                        "verify_name_on_connect": true,
                        "close_link_on_expiration": true,
                    },
                },
            },
        });
        ::zenoh::open(Config::from_json5(&config.to_string())?).await
    }

    /// Everything that is heard on a connection, from its first to its last moment. Returns why it ended.
    async fn serve(&self, session: &Session, events: &mpsc::Sender<LinkEvent>, up_since: &mut Option<Instant>) -> ::zenoh::Result<String> {
        let transports = session.info().transport_events_listener().await?;
        let desired = session.declare_subscriber(self.topics.deploy()).await?;
        let commands = session.declare_subscriber(self.topics.command()).await?;
        if session.info().routers_zid().await.next().is_none() {
            return Ok("the connection was lost".to_owned());
        }
        // Only an answer proves that the control plane is there and lets this robot in.
        let mut known = Known::default();
        let first = match self.news(session, known).await? {
            Ok(first) => first,
            Err(reason) => return Ok(reason),
        };
        let _alive = session.liveliness().declare_token(self.topics.alive()).await?;
        let (outbox, mut documents) = Outbox::new();
        *up_since = Some(Instant::now());
        if events.send(LinkEvent::Up { uplink: Self::NAME, outbox }).await.is_err() {
            return Ok(NOBODY_LISTENS.to_owned());
        }
        let mut heard = known.hear(first);
        let mut answers = FuturesOrdered::new();
        let mut refresh = interval(self.config.refresh);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.reset();
        let mut outbox_open = true;
        loop {
            while let Some(event) = heard.pop_front() {
                if events.send(event).await.is_err() {
                    return Ok(NOBODY_LISTENS.to_owned());
                }
            }
            tokio::select! {
                event = transports.recv_async() => match event {
                    Ok(event) if event.kind() == SampleKind::Put => {}
                    _ => return Ok("the connection was lost".to_owned()),
                },
                sample = desired.recv_async() => {
                    let envelope = payload(&sample?);
                    known.desired = version(&envelope).or(known.desired);
                    heard.push_back(LinkEvent::Desired(envelope));
                }
                sample = commands.recv_async() => heard.push_back(LinkEvent::Command(payload(&sample?))),
                document = documents.recv(), if outbox_open && answers.len() < IN_FLIGHT => match document {
                    Some(document) => answers.push_back(self.answer(self.ask(session, self.topics.telemetry(), document).await?)),
                    None => outbox_open = false,
                },
                Some(answer) = answers.next() => match answer {
                    Ok(answer) => heard.push_back(LinkEvent::Ack(answer)),
                    Err(reason) => return Ok(reason),
                },
                _ = refresh.tick() => match self.news(session, known).await? {
                    Ok(news) => heard = known.hear(news),
                    Err(reason) => return Ok(reason),
                },
            }
        }
    }

    async fn ask(&self, session: &Session, selector: String, document: Vec<u8>) -> ::zenoh::Result<FifoChannelHandler<Reply>> {
        // Others may be on their way before it.
        let patience = patience_for(document.len() * IN_FLIGHT, self.config.patience);
        let get = session.get(selector).payload(ZBytes::from(document)).consolidation(ConsolidationMode::None);
        get.timeout(patience).await
    }

    /// The reply to a query, or why there is none.
    async fn answer(&self, replies: FifoChannelHandler<Reply>) -> Result<Bytes, String> {
        match replies.recv_async().await {
            Ok(reply) => match reply.into_result() {
                Ok(sample) => Ok(payload(&sample)),
                Err(error) => Err(format!("the control plane refused: {}", error.payload().try_to_string().unwrap_or_default())),
            },
            // Whoever may not ask is not answered.
            Err(_) => {
                Err("the control plane did not answer: does it run, and is this robot's certificate the one it was enrolled with?"
                    .to_owned())
            }
        }
    }

    /// Asks what is new.
    async fn news(&self, session: &Session, known: Known) -> ::zenoh::Result<Result<News, String>> {
        let mut selector = format!("{}?commands_after={}", self.topics.deploy(), known.commands_upto);
        if let Some(Version { server_epoch, generation }) = known.desired {
            selector = format!("{selector};server_epoch={server_epoch};generation={generation}");
        }
        let answer = self.answer(self.ask(session, selector, Vec::new()).await?).await;
        Ok(answer.and_then(|news| decode(&news).map_err(|error| format!("the control plane's news cannot be read: {error}"))))
    }
}

/// What was heard on a connection.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    desired: Option<Version>,
    commands_upto: i64,
}

impl Known {
    /// What there is to tell of an answer.
    fn hear(&mut self, news: News) -> VecDeque<LinkEvent> {
        self.commands_upto = news.commands_upto.max(self.commands_upto);
        let bytes = |envelope: &Envelope| encode(envelope).ok().map(Bytes::from);
        let desired = news.desired.as_ref().and_then(bytes);
        self.desired = desired.as_ref().and_then(|bytes| version(bytes)).or(self.desired);
        let commands = news.commands.iter().filter_map(bytes).map(LinkEvent::Command);
        desired.into_iter().map(LinkEvent::Desired).chain(commands).collect()
    }
}

impl Connect for Zenoh {
    const NAME: &'static str = "zenoh";

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry_first, self.config.retry_cap)
    }

    async fn connection(&self, events: &mpsc::Sender<LinkEvent>, up_since: &mut Option<Instant>) -> String {
        let session = match timeout(self.config.patience, self.open()).await {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return format!("no connection to the control plane's router: {}", plain(&error)),
            Err(_) => return "the control plane's router did not answer in time".to_owned(),
        };
        let ended = self.serve(&session, events, up_since).await;
        if let Err(error) = session.close().await {
            tracing::debug!(%error, "a zenoh session did not close cleanly");
        }
        ended.unwrap_or_else(|error| format!("the connection was lost: {}", plain(&error)))
    }
}

impl Uplink for Zenoh {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn start(&self) -> Link {
        keep_connected(self.clone())
    }
}

/// What zenoh says, without the lines of its sources where it says it.
pub(crate) fn plain(error: &::zenoh::Error) -> String {
    let text = error.to_string();
    let plain: Vec<&str> = text.split(" at /").enumerate().map(|(at, part)| if at == 0 { part } else { after_place(part) }).collect();
    plain.concat().trim().trim_end_matches('.').to_owned()
}

/// What follows `path:line.`
fn after_place(part: &str) -> &str {
    let place = part.find(char::is_whitespace).unwrap_or(part.len());
    part.get(place..).unwrap_or_default()
}

fn payload(sample: &Sample) -> Bytes {
    Bytes::from(sample.payload().to_bytes().into_owned())
}

/// Which desired state an encoded envelope holds. One that cannot be read is for the robot to refuse, not for its carrier.
fn version(envelope: &[u8]) -> Option<Version> {
    let envelope: Envelope = decode(envelope).ok()?;
    decode::<DesiredState>(envelope.payload.as_bytes()).ok().map(|state| state.version)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_zenoh_says_has_no_paths_in_it() {
        let said = "Unable to connect to any of [Single(tls/127.0.0.1:9)]!  at /home/who/zenoh/orchestrator.rs:447.";
        assert_eq!(plain(&said.into()), "Unable to connect to any of [Single(tls/127.0.0.1:9)]!");
        let nested = "no session: refused at /a/b.rs:1. - because at /c/d.rs:22.";
        assert_eq!(plain(&nested.into()), "no session: refused - because");
    }

    #[test]
    fn only_a_host_and_a_port_are_an_address() {
        let new = |address: &str| Zenoh::new(ZenohConfig::new(address, "robot-1", "/ca", "/certificate", "/key"));
        for address in ["127.0.0.1:7448", "plane.example:1", "[::1]:7448"] {
            assert!(new(address).is_ok(), "{address}");
        }
        for address in ["127.0.0.1", ":1", "127.0.0.1:port", "tcp/127.0.0.1:1", "127.0.0.1:1#iface=lo", ""] {
            assert!(matches!(new(address), Err(UplinkError::ZenohAddress { .. })), "{address}");
        }
        assert!(matches!(Zenoh::new(ZenohConfig::new("127.0.0.1:1", "a/*", "", "", "")), Err(UplinkError::Name(_))));
    }
}
