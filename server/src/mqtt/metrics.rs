//! What the gateway counts about itself.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// The client said goodbye or closed.
    Closed,
    /// No valid CONNECT in time.
    HandshakeTimeout,
    /// Unknown name or wrong token.
    BadCredentials,
    /// A topic that is not the robot's.
    AclViolation,
    /// Bytes that are not MQTT 3.1.1, or a packet that has no place here.
    ProtocolError,
    /// A packet over the limit.
    PacketTooLarge,
    /// Nothing heard for one and a half keep-alive periods.
    KeepAlive,
    /// The client did not read, or did not acknowledge.
    SlowClient,
    /// A newer connection of the same robot took over.
    TakenOver,
    /// The robot was revoked.
    Revoked,
    /// A telemetry document could not be read.
    BadDocument,
    /// The control plane could not do its part; the robot tries again.
    ServerError,
    /// Too many connections.
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

/// Counters of the gateway. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct GatewayMetrics {
    pub(super) open: Gauge,
    pub(super) robots: Gauge,
    pub(super) accepted: Counter,
    pub(super) telemetry: Counter,
    pub(super) telemetry_bytes: Counter,
    pub(super) sent: Counter,
    ended: Family<OutcomeLabel, Counter>,
}

impl GatewayMetrics {
    /// Puts every metric into `registry`, under names that start with `edgeflow_mqtt_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("edgeflow_mqtt_connections", "TCP connections open now", self.open.clone());
        registry.register("edgeflow_mqtt_robots", "Robots connected now", self.robots.clone());
        registry.register("edgeflow_mqtt_accepted", "TCP connections accepted", self.accepted.clone());
        registry.register("edgeflow_mqtt_telemetry_messages", "Telemetry messages received", self.telemetry.clone());
        registry.register("edgeflow_mqtt_telemetry_bytes", "Bytes of telemetry messages received", self.telemetry_bytes.clone());
        registry.register("edgeflow_mqtt_sent_messages", "Messages sent to robots", self.sent.clone());
        registry.register("edgeflow_mqtt_ended", "Connections ended, by outcome", self.ended.clone());
    }

    /// Connections that ended in `outcome` so far.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended.get_or_create(&OutcomeLabel { outcome }).get()
    }

    /// Robots connected now.
    pub fn robots(&self) -> i64 {
        self.robots.get()
    }

    /// TCP connections open now.
    pub fn open(&self) -> i64 {
        self.open.get()
    }

    pub(super) fn count_end(&self, outcome: Outcome) {
        self.ended.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
