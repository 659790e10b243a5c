//! The two ends of a live session: a zenoh session of its own with the control plane's router, for as long as the session lasts.
//!
//! It is apart from the uplink, whichever that is, so live messages never stand before log batches in a queue; their bytes a
//! second are what the session allows. They go with zenoh's lowest priority and are dropped where a link cannot take them.

mod throttle;

use ::zenoh::{
    Config, Session, Wait,
    handlers::FifoChannelHandler,
    liveliness::LivelinessToken,
    pubsub::Subscriber,
    qos::{CongestionControl, Priority},
    sample::{Sample, SampleKind},
    session::{TransportEvent, TransportEventsListener},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use edgeflow_wire::{LiveAbout, LiveKeys, LiveMark, MAX_LIVE_MESSAGE_BYTES, decode, encode};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

pub use throttle::Throttle;

use crate::zenoh::plain;

/// Most time to connect.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection without any sign of life for so long is dead.
const LEASE: Duration = Duration::from_secs(8);
/// Messages that may wait for whoever reads an end.
const WAITING: usize = 32;
/// How long the fragments of a message may wait for a slow link before it is dropped whole, microseconds.
const FRAGMENTS_WAIT_US: u64 = 2_000_000;

/// Key material.
#[derive(Clone)]
pub enum Pem {
    /// A file.
    File(PathBuf),
    /// Its text.
    Text(String),
}

/// Where the control plane's router is and who comes.
#[derive(Clone)]
pub struct LiveConfig {
    /// `host:port`.
    pub address: String,
    /// The control plane's CA.
    pub ca: Pem,
    /// The certificate of who comes.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
}

impl std::fmt::Debug for LiveConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveConfig").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What an end hears.
#[derive(Debug)]
pub enum LiveHeard {
    /// A message of the other end.
    Message {
        /// Of which topic.
        lane: usize,
        /// What goes beside it.
        mark: LiveMark,
        /// A CDR body.
        body: Vec<u8>,
    },
    /// What the robot tells of the session.
    About(LiveAbout),
    /// Whether an operator looks.
    Operator(bool),
    /// The connection was lost.
    Lost,
}

/// One end of a session, connected.
pub struct LiveEnd {
    session: Session,
    keys: LiveKeys,
    operator: bool,
    transports: TransportEventsListener<FifoChannelHandler<TransportEvent>>,
    heard: mpsc::Receiver<LiveHeard>,
    looks: watch::Receiver<bool>,
    dropped: Arc<AtomicU64>,
    _subscribers: Vec<Subscriber<()>>,
    _here: Option<LivelinessToken>,
    /// Kept, so that there always is who could say.
    _looking: Arc<watch::Sender<bool>>,
}

impl LiveEnd {
    /// The robot's end.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn robot(config: &LiveConfig, keys: LiveKeys) -> Result<Self, String> {
        Self::open(config, keys, false).await
    }

    /// The operator's end. The robot sends while it is there.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn operator(config: &LiveConfig, keys: LiveKeys) -> Result<Self, String> {
        Self::open(config, keys, true).await
    }

    async fn open(config: &LiveConfig, keys: LiveKeys, operator: bool) -> Result<Self, String> {
        match timeout(PATIENCE, Self::connect(config, keys, operator)).await {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(error)) => Err(format!("no connection to the control plane's zenoh router at {}: {}", config.address, plain(&error))),
            Err(_) => Err(format!("the control plane's zenoh router at {} did not answer in time", config.address)),
        }
    }

    async fn connect(config: &LiveConfig, keys: LiveKeys, operator: bool) -> ::zenoh::Result<Self> {
        let session = ::zenoh::open(Config::from_json5(&configuration(config).to_string())?).await?;
        let transports = session.info().transport_events_listener().await?;
        let (sender, heard) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let looking = Arc::new(watch::Sender::new(false));
        let hear = || {
            let (sender, dropped) = (sender.clone(), Arc::clone(&dropped));
            move |sample: Sample| {
                if let Some(heard) = read(&sample)
                    && sender.try_send(heard).is_err()
                {
                    dropped.fetch_add(1, Relaxed);
                }
            }
        };
        let (mut subscribers, mut here) = (Vec::new(), None);
        if operator {
            subscribers.push(session.declare_subscriber(keys.about()).callback(hear()).await?);
            subscribers.push(session.declare_subscriber(keys.any_up()).callback(hear()).await?);
            here = Some(session.liveliness().declare_token(keys.here()).await?);
        } else {
            subscribers.push(session.declare_subscriber(keys.any_down()).callback(hear()).await?);
            let looks = {
                let looking = Arc::clone(&looking);
                move |sample: Sample| {
                    looking.send_replace(sample.kind() == SampleKind::Put);
                }
            };
            subscribers.push(session.liveliness().declare_subscriber(keys.here()).history(true).callback(looks).await?);
        }
        if session.info().routers_zid().await.next().is_none() {
            return Err("the connection was lost at once".into());
        }
        let looks = looking.subscribe();
        Ok(Self { session, keys, operator, transports, heard, looks, dropped, _subscribers: subscribers, _here: here, _looking: looking })
    }

    /// The next thing that is heard.
    pub async fn heard(&mut self) -> LiveHeard {
        tokio::select! {
            biased;
            Ok(()) = self.looks.changed() => LiveHeard::Operator(*self.looks.borrow_and_update()),
            heard = self.heard.recv() => heard.unwrap_or(LiveHeard::Lost),
            event = lost(&self.transports) => event,
        }
    }

    /// Messages that were dropped here since whoever reads was slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Sends a message of a topic to the other end. It may be lost.
    pub async fn send(&self, lane: usize, mark: LiveMark, body: Vec<u8>) {
        let key = if self.operator { self.keys.down(lane) } else { self.keys.up(lane) };
        self.put(key, body, Some(mark)).await;
    }

    /// Tells of the session.
    pub async fn tell(&self, about: &LiveAbout) {
        match encode(about) {
            Ok(document) => self.put(self.keys.about(), document, None).await,
            Err(error) => tracing::warn!(%error, "could not tell of a live session"),
        }
    }

    async fn put(&self, key: String, payload: Vec<u8>, mark: Option<LiveMark>) {
        let session = self.session.clone();
        // It waits for a slow link for as long as a message is allowed to, which is not for a thread that others share.
        let put = tokio::task::spawn_blocking(move || {
            let put = session.put(key, payload).congestion_control(CongestionControl::Drop).priority(Priority::Background);
            put.attachment(mark.map(|mark| mark.to_bytes().to_vec())).wait()
        });
        match put.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a live message was not put"),
            Err(error) => tracing::debug!(%error, "a live message was not put"),
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        if let Err(error) = self.session.close().await {
            tracing::debug!(%error, "a live session did not close cleanly");
        }
    }
}

async fn lost(transports: &TransportEventsListener<FifoChannelHandler<TransportEvent>>) -> LiveHeard {
    loop {
        match transports.recv_async().await {
            Ok(event) if event.kind() == SampleKind::Put => {}
            _ => return LiveHeard::Lost,
        }
    }
}

/// What a sample says; none when it is not of a session.
fn read(sample: &Sample) -> Option<LiveHeard> {
    if sample.kind() != SampleKind::Put || sample.payload().len() > MAX_LIVE_MESSAGE_BYTES {
        return None;
    }
    let last = sample.key_expr().as_str().rsplit('/').next()?;
    let payload = sample.payload().to_bytes();
    if last == "about" {
        return decode(&payload).ok().map(LiveHeard::About);
    }
    let mark = LiveMark::from_bytes(&sample.attachment()?.to_bytes())?;
    Some(LiveHeard::Message { lane: last.parse().ok()?, mark, body: payload.into_owned() })
}

fn configuration(config: &LiveConfig) -> Value {
    let mut tls = json!({ "enable_mtls": true, "verify_name_on_connect": true, "close_link_on_expiration": true });
    for (name, pem) in
        [("root_ca_certificate", &config.ca), ("connect_certificate", &config.certificate), ("connect_private_key", &config.key)]
    {
        match pem {
            Pem::File(path) => tls[name] = json!(path),
            Pem::Text(text) => tls[format!("{name}_base64")] = json!(STANDARD.encode(text)),
        }
    }
    json!({
        "mode": "client",
        "connect": { "endpoints": [format!("tls/{}", config.address)], "timeout_ms": 0 },
        "listen": { "endpoints": [] },
        "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
        "transport": {
            "shared_memory": { "enabled": false },
            "link": {
                "protocols": ["tls"],
                "tx": {
                    "lease": LEASE.as_millis() as u64,
                    "queue": { "congestion_control": { "drop": { "max_wait_before_drop_fragments": FRAGMENTS_WAIT_US } } },
                },
                "rx": { "max_message_size": 2 * MAX_LIVE_MESSAGE_BYTES },
                "tls": tls,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn zenoh_reads_the_configuration_with_files_and_with_text() {
        let text = || Pem::Text("-----BEGIN X-----".into());
        for pem in [text(), Pem::File("/x.pem".into())] {
            let config = LiveConfig { address: "127.0.0.1:7448".into(), ca: pem.clone(), certificate: pem.clone(), key: pem };
            let read = Config::from_json5(&configuration(&config).to_string()).unwrap();
            assert!(read.get_json("transport/link/tx/queue/congestion_control").unwrap().contains("2000000"));
        }
        let shown = format!("{:?}", LiveConfig { address: "a:1".into(), ca: text(), certificate: text(), key: text() });
        assert!(!shown.contains("BEGIN"), "{shown}");
    }
}
