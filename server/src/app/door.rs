//! The doors by which robots come, and what each of them counts.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// By which way a robot is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// MQTT.
    Mqtt,
    /// HTTP.
    Http,
    /// zenoh.
    Zenoh,
}

impl Door {
    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Mqtt => "mqtt",
            Door::Http => "http",
            Door::Zenoh => "zenoh",
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// The client said goodbye or closed.
    Closed,
    /// No valid first word in time.
    HandshakeTimeout,
    /// No TLS handshake, or one with a certificate that was refused.
    BadTls,
    /// Unknown name, wrong token, or a certificate of another name.
    BadCredentials,
    /// A topic, key or robot that is not its own.
    AclViolation,
    /// Bytes that are not the door's protocol, or a packet that has no place here.
    ProtocolError,
    /// A packet or document over the limit.
    PacketTooLarge,
    /// Nothing heard for one and a half keep-alive periods.
    KeepAlive,
    /// The client did not read, or did not acknowledge.
    SlowClient,
    /// A newer connection of the same robot took over.
    TakenOver,
    /// The robot was revoked.
    Revoked,
    /// The robot's certificate expired.
    Expired,
    /// A telemetry document could not be read.
    BadDocument,
    /// The control plane could not do its part; the robot tries again.
    ServerError,
    /// Too many connections or requests.
    TooMany,
    /// The connection broke.
    Broken,
    /// The server shuts down.
    Shutdown,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

/// Counters of a door that answers questions. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct DoorMetrics {
    /// Robots that are here now.
    pub(crate) robots: Gauge,
    /// Robots that wait for news now.
    pub(crate) waiting: Gauge,
    /// Documents that came.
    pub(crate) telemetry: Counter,
    /// Their bytes.
    pub(crate) telemetry_bytes: Counter,
    /// Desired states that went to robots.
    pub(crate) sent: Counter,
    ended: Family<OutcomeLabel, Counter>,
}

impl DoorMetrics {
    /// Puts every metric into `registry`, under names that start with `edgeflow_` and the door's.
    pub(crate) fn register(&self, door: Door, registry: &mut Registry) {
        let name = |what: &str| format!("edgeflow_{}_{what}", door.as_str());
        registry.register(name("robots"), "Robots connected now", self.robots.clone());
        registry.register(name("waiting"), "Robots that wait for news now", self.waiting.clone());
        registry.register(name("telemetry_messages"), "Telemetry messages received", self.telemetry.clone());
        registry.register(name("telemetry_bytes"), "Bytes of telemetry messages received", self.telemetry_bytes.clone());
        registry.register(name("sent_messages"), "Messages sent to robots", self.sent.clone());
        registry.register(name("ended"), "Requests of robots that were ended or refused, by outcome", self.ended.clone());
    }

    pub(crate) fn count_end(&self, outcome: Outcome) {
        self.ended.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
