//! What the gateway counts about itself.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

pub use crate::app::Outcome;

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
    pub(super) dropped: Counter,
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
        registry.register(
            "edgeflow_mqtt_dropped_messages",
            "Messages from an external broker that were not kept, since their robot sends faster than is ingested; it sends them again",
            self.dropped.clone(),
        );
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

    /// Messages from an external broker that were not kept.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// TCP connections open now.
    pub fn open(&self) -> i64 {
        self.open.get()
    }

    pub(super) fn count_end(&self, outcome: Outcome) {
        self.ended.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
