//! `/diagnostics`, once a second: what rqt's monitor and a diagnostic aggregator show of this node.

use std::time::Duration;

use edgeflow_ros::constants::diagnostic_msgs::msg::DiagnosticStatus as level;
use edgeflow_ros::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue};
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::{Node, Publisher, QosProfile};
use tokio::time::{Instant, MissedTickBehavior};

use super::slots::{DEFAULT_SLOT, ModelSlot, Slots};
use super::tally::{Counters, Window};
use crate::Result;

const PERIOD: Duration = Duration::from_secs(1);

pub(super) struct Diagnostics {
    node: Node,
    publisher: Publisher<DiagnosticArray>,
    slots: Slots,
}

impl Diagnostics {
    pub(super) fn new(node: &Node, slots: Slots) -> Result<Self> {
        let publisher = node.create_publisher("/diagnostics", QosProfile::default())?;
        Ok(Self { node: node.clone(), publisher, slots })
    }

    /// One status for each slot, until the task is ended.
    pub(super) async fn run(self) {
        let mut ticks = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before: Vec<Counters> = self.slots.iter().map(|slot| slot.pipeline.counters()).collect();
        let mut since = Instant::now();
        loop {
            ticks.tick().await;
            let elapsed = since.elapsed();
            since = Instant::now();
            let status = self.slots.iter().zip(&mut before).map(|(slot, before)| {
                let seen = look(slot, *before, elapsed);
                *before = seen.now;
                seen.status(self.name(&slot.name))
            });
            let status = status.collect();
            let header = Header { stamp: self.node.now(), ..Header::default() };
            if let Err(error) = self.publisher.publish(&DiagnosticArray { header, status }) {
                tracing::debug!(%error, "diagnostics not published");
            }
        }
    }

    fn name(&self, slot: &str) -> String {
        let node = self.node.fully_qualified_name().trim_start_matches('/');
        if slot == DEFAULT_SLOT { format!("{node}: inference") } else { format!("{node}: inference {slot}") }
    }
}

fn look(slot: &ModelSlot, before: Counters, elapsed: Duration) -> Seen {
    let latencies = slot.pipeline.tally.take_latencies();
    Seen {
        active: slot.pipeline.is_active(),
        model: slot.engine.current().ok().map(|m| (m.name.clone(), m.version.clone(), m.digest.to_string())),
        now: slot.pipeline.counters(),
        before,
        elapsed,
        latencies_ms: [0.5, 0.95, 1.0].map(|part| percentile(&latencies, part)),
        drift: slot.pipeline.tally.last_window(),
    }
}

/// The value below which this part of an ascending list lies, in milliseconds.
fn percentile(sorted: &[Duration], part: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).map(|d| d.as_secs_f64() * 1e3)
}

/// One look at the node.
struct Seen {
    active: bool,
    model: Option<(String, String, String)>,
    now: Counters,
    before: Counters,
    elapsed: Duration,
    /// Median, 95th percentile and greatest.
    latencies_ms: [Option<f64>; 3],
    drift: Option<Window>,
}

impl Seen {
    fn status(&self, name: String) -> DiagnosticStatus {
        let (level, message) = self.verdict();
        let Counters { results, refused, without_model, dropped, gathered, interrupted } = self.now;
        let rate_hz = (results - self.before.results) as f64 / self.elapsed.as_secs_f64();
        let (model, version, digest) = self.model.clone().unwrap_or_default();
        let milliseconds = |v: Option<f64>| v.map_or_else(|| "none".to_owned(), |v| format!("{v:.3}"));
        let [median, p95, greatest] = self.latencies_ms.map(milliseconds);
        let drift = match self.drift {
            None => ("no window yet".to_owned(), String::new()),
            Some(w) => (if w.flagged { "flagged" } else { "within" }.to_owned(), format!("{:.3}", w.max_psi)),
        };
        let values = [
            ("model", model),
            ("model version", version),
            ("bundle digest", digest),
            ("result rate (Hz)", format!("{rate_hz:.2}")),
            ("latency median (ms)", median),
            ("latency p95 (ms)", p95),
            ("latency max (ms)", greatest),
            ("results", results.to_string()),
            ("frames dropped", dropped.to_string()),
            ("frames refused", refused.to_string()),
            ("frames without model", without_model.to_string()),
            ("messages gathered", gathered.to_string()),
            ("windows interrupted", interrupted.to_string()),
            ("drift", drift.0),
            ("drift max PSI", drift.1),
        ];
        let values = values.into_iter().map(|(key, value)| KeyValue { key: key.to_owned(), value }).collect();
        DiagnosticStatus { level, name, message, hardware_id: String::new(), values }
    }

    /// The worst that is true now.
    fn verdict(&self) -> (u8, String) {
        let lost = self.now.dropped - self.before.dropped;
        let refused = self.now.refused - self.before.refused;
        let interrupted = self.now.interrupted - self.before.interrupted;
        if !self.active {
            (level::OK, "inactive".into())
        } else if self.model.is_none() {
            (level::ERROR, "no model is loaded".into())
        } else if refused > 0 {
            (level::ERROR, format!("{refused} frames without a result in the last second"))
        } else if lost > 0 {
            (level::WARN, format!("{lost} frames dropped in the last second"))
        } else if interrupted > 0 {
            (
                level::WARN,
                format!(
                    "{interrupted} windows began anew in the last second: there are gaps between the messages, or stamps run backwards"
                ),
            )
        } else if self.drift.is_some_and(|w| w.flagged) {
            (level::WARN, "the camera's frames have drifted from the baseline".into())
        } else {
            (level::OK, "serving".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            active: true,
            model: Some(("label-reader".into(), "2".into(), "sha256:1".into())),
            now: Counters { results: 30, ..Counters::default() },
            before: Counters { results: 10, ..Counters::default() },
            elapsed: Duration::from_secs(2),
            latencies_ms: [Some(1.5), Some(2.0), None],
            drift: None,
        }
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let list: Vec<_> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!([0.5, 0.95, 1.0].map(|p| percentile(&list, p)), [Some(10.0), Some(19.0), Some(20.0)]);
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_status_has_rates_and_latencies() {
        let status = seen().status("robot_1/inference_node: inference".into());
        let value = |key: &str| status.values.iter().find(|v| v.key == key).unwrap().value.clone();
        assert_eq!((status.level, status.message.as_str()), (level::OK, "serving"));
        assert_eq!([value("result rate (Hz)"), value("latency median (ms)"), value("latency max (ms)")], ["10.00", "1.500", "none"]);
    }

    #[test]
    fn the_worst_is_told() {
        let verdict = |seen: Seen| seen.verdict();
        let drift = Some(Window { flagged: true, max_psi: 1.0 });
        assert_eq!(verdict(Seen { drift, ..seen() }).0, level::WARN);
        let now = Counters { results: 30, dropped: 2, ..Counters::default() };
        assert_eq!(verdict(Seen { drift, now, ..seen() }), (level::WARN, "2 frames dropped in the last second".into()));
        let interrupted = Counters { results: 30, interrupted: 1, ..Counters::default() };
        let (warned, message) = verdict(Seen { drift, now: interrupted, ..seen() });
        assert!(warned == level::WARN && message.starts_with("1 windows began anew"), "{message}");
        let now = Counters { refused: 1, ..now };
        assert_eq!(verdict(Seen { drift, now, ..seen() }).0, level::ERROR);
        assert_eq!(verdict(Seen { model: None, ..seen() }).0, level::ERROR);
        assert_eq!(verdict(Seen { model: None, active: false, ..seen() }), (level::OK, "inactive".into()));
    }
}
