//! What the control plane counts about itself, for Prometheus.

use edgeflow_wire::{Class, ClassPosition};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use edgeflow_core::{
    RobotId,
    retention::{Cause, Usage},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RemovedLabels {
    what: &'static str,
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: String,
}

/// Counters. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    entries: Family<ClassLabel, Counter>,
    lost: Family<ClassLabel, Counter>,
    refused: Counter,
    lag: Family<ClassLabel, Gauge>,
    behind: Arc<Mutex<HashMap<(RobotId, Class), i64>>>,
    /// Robots with an open session.
    pub(crate) robots: Gauge,
    watchers: Gauge,
    /// Robots whose certificate nears its end and was not renewed.
    pub(crate) certificates_expiring: Gauge,
    removed: Family<RemovedLabels, Counter>,
    retention_seconds: Histogram,
    used_bytes: Gauge,
    file_bytes: Gauge,
    rollouts: Family<PhaseLabel, Gauge>,
    /// Phases in which there ever were some.
    rollout_phases: Arc<Mutex<BTreeSet<String>>>,
    rollout_tick_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let metrics = Self {
            registry: Arc::default(),
            requests: Family::default(),
            request_seconds: Histogram::new(seconds),
            entries: Family::default(),
            lost: Family::default(),
            refused: Counter::default(),
            lag: Family::default(),
            behind: Arc::default(),
            robots: Gauge::default(),
            watchers: Gauge::default(),
            certificates_expiring: Gauge::default(),
            removed: Family::default(),
            retention_seconds: Histogram::new(seconds),
            used_bytes: Gauge::default(),
            file_bytes: Gauge::default(),
            rollouts: Family::default(),
            rollout_phases: Arc::default(),
            rollout_tick_seconds: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0]),
        };
        metrics.register(|registry| {
            registry.register("edgeflow_http_requests", "HTTP requests by method, route and status", metrics.requests.clone());
            registry.register("edgeflow_http_request_seconds", "Seconds until a response began", metrics.request_seconds.clone());
            registry.register("edgeflow_ingested_entries", "Log entries stored, by class", metrics.entries.clone());
            registry.register("edgeflow_lost_entries", "Log entries recorded as lost, by class", metrics.lost.clone());
            registry.register("edgeflow_refused_documents", "Batches and hellos that were refused", metrics.refused.clone());
            registry.register(
                "edgeflow_log_lag_entries",
                "Entries robots held at their last hello and we do not, by class",
                metrics.lag.clone(),
            );
            registry.register("edgeflow_robots_connected", "Robots with an open session", metrics.robots.clone());
            registry.register(
                "edgeflow_retention_removed",
                "Entries removed by class, and numbers no longer kept so finely (raw, minute, hour), by cause",
                metrics.removed.clone(),
            );
            registry.register("edgeflow_retention_step_seconds", "Seconds a step of retention took", metrics.retention_seconds.clone());
            registry.register("edgeflow_rollouts", "Rollouts, by phase", metrics.rollouts.clone());
            registry.register(
                "edgeflow_rollout_tick_seconds",
                "Seconds it took to look at all rollouts once and make the steps that followed",
                metrics.rollout_tick_seconds.clone(),
            );
            registry.register("edgeflow_store_used_bytes", "Bytes of logs and series that hold something", metrics.used_bytes.clone());
            registry.register("edgeflow_store_file_bytes", "Bytes of logs and series on disk", metrics.file_bytes.clone());
            registry.register(
                "edgeflow_certificates_expiring",
                "Robots whose certificate expires within a week and was not renewed",
                metrics.certificates_expiring.clone(),
            );
            registry.register("edgeflow_stream_watchers", "Watchers of the event stream", metrics.watchers.clone());
        });
        metrics
    }

    /// Lets another part of the program add its own.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All of them, in Prometheus' text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }

    pub(crate) fn request(&self, method: &str, route: &str, status: u16, took: Option<Duration>) {
        let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
        self.requests.get_or_create(&labels).inc();
        if let Some(took) = took {
            self.request_seconds.observe(took.as_secs_f64());
        }
    }

    /// Watchers of the event stream.
    pub(crate) fn watchers(&self) -> &Gauge {
        &self.watchers
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn ingested(&self, class: Class, stored: u64, lost: u64) {
        let label = ClassLabel { class: class.as_str() };
        self.entries.get_or_create(&label).inc_by(stored);
        self.lost.get_or_create(&label).inc_by(lost);
    }

    pub(crate) fn removed(&self, what: &'static str, cause: Cause, count: u64) {
        if count > 0 {
            self.removed.get_or_create(&RemovedLabels { what, cause: cause.as_str() }).inc_by(count);
        }
    }

    pub(crate) fn retention_step(&self, took: Duration) {
        self.retention_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn rollout_tick(&self, took: Duration) {
        self.rollout_tick_seconds.observe(took.as_secs_f64());
    }

    /// How many rollouts there are in each phase; one that is not named has none.
    pub(crate) fn rollouts(&self, phases: &BTreeMap<String, u64>) {
        let mut known = self.rollout_phases.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(phases.keys().cloned());
        for phase in known.iter() {
            let rollouts = phases.get(phase).copied().unwrap_or_default();
            self.rollouts.get_or_create(&PhaseLabel { phase: phase.clone() }).set(i64::try_from(rollouts).unwrap_or(i64::MAX));
        }
    }

    /// The room logs and series take.
    pub(crate) fn stored(&self, usage: Usage) {
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.used_bytes.set(gauge(usage.used_bytes));
        self.file_bytes.set(gauge(usage.file_bytes));
    }

    /// At a hello: how far the robot is ahead of us.
    pub(crate) fn claimed(&self, robot: &RobotId, claimed: &ClassPosition, held_next_seq: u64) {
        let behind = i64::try_from(claimed.next_seq.saturating_sub(held_next_seq)).unwrap_or(i64::MAX);
        self.set_behind(robot, claimed.class, |_| behind);
    }

    /// At a batch: we caught up by so many.
    pub(crate) fn caught_up(&self, robot: &RobotId, class: Class, entries: u64) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        self.set_behind(robot, class, |before| (before - entries).max(0));
    }

    fn set_behind(&self, robot: &RobotId, class: Class, change: impl FnOnce(i64) -> i64) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let of_robot = behind.entry((robot.clone(), class)).or_default();
        let (before, after) = (*of_robot, change(*of_robot));
        *of_robot = after;
        self.lag.get_or_create(&ClassLabel { class: class.as_str() }).inc_by(after - before);
    }
}
