//! `/diagnostics`, once a second: what rqt's monitor and a diagnostic aggregator show of this bridge.

use edgeflow_ros::{
    Node, Publisher, QosProfile,
    constants::diagnostic_msgs::msg::DiagnosticStatus as level,
    diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus, KeyValue},
    std_msgs::msg::Header,
};
use edgeflow_uplink::LinkState;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    BridgeError, LogSnapshot, Result,
    capture::{CaptureView, Waiting},
    policy::{Board, RouteView, TriggerView},
};

const PERIOD: Duration = Duration::from_secs(1);

/// Publishes a status of the link and one of each route and trigger.
pub(crate) struct Diagnostics {
    node: Node,
    publisher: Publisher<DiagnosticArray>,
    link: watch::Receiver<LinkState>,
    log: watch::Receiver<LogSnapshot>,
    board: Arc<Board>,
    captures: (watch::Receiver<CaptureView>, watch::Receiver<Waiting>),
}

impl Diagnostics {
    pub(crate) fn new(
        node: &Node,
        link: watch::Receiver<LinkState>,
        log: watch::Receiver<LogSnapshot>,
        board: Arc<Board>,
        captures: (watch::Receiver<CaptureView>, watch::Receiver<Waiting>),
    ) -> Result<Self> {
        let publisher = node.create_publisher("/diagnostics", QosProfile::default()).map_err(BridgeError::ros("publish diagnostics"))?;
        Ok(Self { node: node.clone(), publisher, link, log, board, captures })
    }

    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let node = self.node.fully_qualified_name().trim_start_matches('/').to_owned();
        loop {
            ticks.tick().await;
            let mut status = vec![uplink(&node, &self.link.borrow(), &self.log.borrow(), self.board.policy())];
            status.extend(self.board.routes().iter().map(|view| route(&node, view)));
            status.extend(self.board.triggers().iter().map(|view| trigger(&node, view)));
            status.extend(capture(&node, &self.captures.0.borrow(), &self.captures.1.borrow()));
            let header = Header { stamp: self.node.now(), ..Header::default() };
            if let Err(error) = self.publisher.publish(&DiagnosticArray { header, status }) {
                tracing::debug!(%error, "diagnostics not published");
            }
        }
    }
}

fn values<const N: usize>(pairs: [(&str, String); N]) -> Vec<KeyValue> {
    pairs.into_iter().map(|(key, value)| KeyValue { key: key.to_owned(), value }).collect()
}

fn uplink(node: &str, link: &LinkState, log: &LogSnapshot, (policy, error): (u64, String)) -> DiagnosticStatus {
    let waiting: u64 = log.classes.iter().map(|class| class.appended.saturating_sub(class.acknowledged)).sum();
    let lost: u64 = log.classes.iter().map(|class| class.lost).sum();
    let (level, message) = match (link.connected, error.is_empty()) {
        (true, true) => (level::OK, "connected".to_owned()),
        (true, false) => (level::WARN, format!("telemetry policy refused: {error}")),
        (false, _) => (level::WARN, format!("not connected: {}", link.reason)),
    };
    let values = values([
        ("uplink", link.uplink.to_owned()),
        ("entries waiting", waiting.to_string()),
        ("entries lost", lost.to_string()),
        ("policy version", policy.to_string()),
    ]);
    DiagnosticStatus { level, name: format!("{node}: uplink"), message, hardware_id: String::new(), values }
}

fn route(node: &str, view: &RouteView) -> DiagnosticStatus {
    let (level, message) = if !view.problem.is_empty() {
        (level::ERROR, view.problem.clone())
    } else if view.stuck {
        (level::ERROR, "stuck: published, and silent for longer than the policy expects".to_owned())
    } else if view.topic.is_empty() {
        (level::OK, "no topic matches".to_owned())
    } else if view.publishers == 0 {
        (level::OK, "nobody publishes".to_owned())
    } else {
        (level::OK, "flowing".to_owned())
    };
    let values = values([
        ("topic", view.topic.clone()),
        ("type", view.type_name.clone()),
        ("publishers", view.publishers.to_string()),
        ("received", view.received.to_string()),
        ("forwarded", view.forwarded.to_string()),
        ("acknowledged", view.acknowledged.to_string()),
        ("withheld", view.withheld.to_string()),
        ("dropped", view.dropped.to_string()),
        ("resubscribed", view.resubscribed.to_string()),
    ]);
    let name = format!("{node}: route {} {}", view.route, view.topic);
    DiagnosticStatus { level, name: name.trim_end().to_owned(), message, hardware_id: String::new(), values }
}

fn trigger(node: &str, view: &TriggerView) -> DiagnosticStatus {
    let (level, message) = match (view.problem.is_empty(), view.holds) {
        (false, _) => (level::WARN, format!("its condition cannot be computed: {}", view.problem)),
        (true, true) => (level::OK, "its condition holds".to_owned()),
        (true, false) => (level::OK, "its condition does not hold".to_owned()),
    };
    let values = values([
        ("looked at", view.looked.to_string()),
        ("not computed", view.failed.to_string()),
        ("fired", view.fired.to_string()),
        ("dropped", view.dropped.to_string()),
    ]);
    DiagnosticStatus { level, name: format!("{node}: trigger {}", view.name), message, hardware_id: String::new(), values }
}

/// Nothing is said of captures while there are none.
fn capture(node: &str, view: &CaptureView, waiting: &Waiting) -> Option<DiagnosticStatus> {
    if !view.wanted && waiting.files == 0 {
        return None;
    }
    let (level, message) = match (view.problem.is_empty(), view.active) {
        (false, _) => (level::WARN, view.problem.clone()),
        (true, 0) => (level::OK, "waits for a reason".to_owned()),
        (true, active) => (level::OK, format!("{active} are written")),
    };
    let values = values([
        ("topics", view.topics.to_string()),
        ("bytes in memory", view.kept_bytes.to_string()),
        ("made", view.made.to_string()),
        ("dropped", view.dropped.to_string()),
        ("waiting", waiting.files.to_string()),
        ("bytes waiting", waiting.bytes.to_string()),
    ]);
    Some(DiagnosticStatus { level, name: format!("{node}: capture"), message, hardware_id: String::new(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_that_cannot_be_computed_is_told() {
        let view = TriggerView { name: "weak".into(), looked: 3, ..TriggerView::default() };
        assert_eq!((trigger("n", &view).level, trigger("n", &view).name.as_str()), (level::OK, "n: trigger weak"));
        let wrong = trigger("n", &TriggerView { problem: "division by zero".into(), failed: 2, ..view });
        assert!(wrong.level == level::WARN && wrong.message.contains("division by zero"), "{wrong:?}");
        assert!(wrong.values.iter().any(|pair| pair.key == "not computed" && pair.value == "2"));
    }

    #[test]
    fn the_worst_of_a_route_is_told() {
        let view = RouteView { route: "odom".into(), topic: "/odom".into(), publishers: 1, received: 7, ..RouteView::default() };
        let told = |view: &RouteView| {
            let status = route("robot_1/bridge_node", view);
            (status.level, status.message)
        };
        assert_eq!(told(&view), (level::OK, "flowing".into()));
        assert_eq!(told(&RouteView { publishers: 0, ..view.clone() }).1, "nobody publishes");
        assert_eq!(told(&RouteView { stuck: true, ..view.clone() }).0, level::ERROR);
        assert_eq!(told(&RouteView { problem: "no field".into(), ..view.clone() }), (level::ERROR, "no field".into()));
        let status = route("n", &view);
        assert_eq!(status.name, "n: route odom /odom");
        assert!(status.values.iter().any(|pair| pair.key == "received" && pair.value == "7"));
    }

    #[test]
    fn a_link_that_is_down_says_why() {
        let link = LinkState { connected: false, reason: "no route".into(), ..LinkState::default() };
        let status = uplink("n", &link, &LogSnapshot::default(), (3, String::new()));
        assert_eq!((status.level, status.message.as_str()), (level::WARN, "not connected: no route"));
        let link = LinkState { connected: true, ..link };
        assert_eq!(uplink("n", &link, &LogSnapshot::default(), (3, String::new())).level, level::OK);
        assert_eq!(uplink("n", &link, &LogSnapshot::default(), (3, "version 4: x".into())).level, level::WARN);
    }
}
