//! What the bridge shows on `~/status`, and the entries about its own link.

use edgeflow_ros::{
    builtin_interfaces::msg::Time,
    edgeflow_msgs::msg::{EdgeLogClass, RouteStatus, UplinkStatus},
};
use edgeflow_uplink::LinkState;
use edgeflow_wire::{Class, EntryBody, LinkBody};
use tokio::sync::watch;

use crate::{
    LogSnapshot, Recorder,
    policy::{Board, RouteView},
};

/// The status message of this moment. `uplink` is the one that is tried first.
pub(crate) fn status(
    stamp: Time,
    robot: &str,
    uplink: &str,
    link: &LinkState,
    log: &LogSnapshot,
    generation: u64,
    board: &Board,
) -> UplinkStatus {
    let (policy_version, policy_error) = board.policy();
    UplinkStatus {
        stamp,
        robot: robot.to_owned(),
        connected: link.connected,
        uplink: if link.uplink.is_empty() { uplink } else { link.uplink }.to_owned(),
        epoch: log.epoch.clone(),
        classes: log
            .classes
            .iter()
            .map(|stats| EdgeLogClass {
                name: stats.class.as_str().to_owned(),
                appended: stats.appended,
                acknowledged: stats.acknowledged,
                lost: stats.lost,
            })
            .collect(),
        observed_generation: generation,
        policy_version,
        policy_error,
        routes: board.routes().into_iter().map(route).collect(),
    }
}

fn route(view: RouteView) -> RouteStatus {
    RouteStatus {
        route: view.route,
        topic: view.topic,
        type_: view.type_name,
        problem: view.problem,
        publishers: u32::try_from(view.publishers).unwrap_or(u32::MAX),
        received: view.received,
        forwarded: view.forwarded,
        acknowledged: view.acknowledged,
        withheld: view.withheld,
        dropped: view.dropped,
        resubscribed: u32::try_from(view.resubscribed).unwrap_or(u32::MAX),
        stuck: view.stuck,
    }
}

/// Records each time the control plane begins or ceases to answer, or answers by another uplink, until the link's state has
/// no more sender. `uplink` is the one that is tried first.
pub(crate) async fn record_link(recorder: Recorder, uplink: &'static str, mut link: watch::Receiver<LinkState>) {
    let mut told = (false, "");
    loop {
        let state = link.borrow_and_update().clone();
        let uplink = if state.uplink.is_empty() { uplink } else { state.uplink };
        if (state.connected, uplink) != told && (state.connected || told.0) {
            told = (state.connected, uplink);
            tracing::info!(connected = state.connected, uplink, reason = state.reason, "uplink");
            let body = LinkBody { connected: state.connected, uplink: uplink.to_owned(), reason: state.reason };
            recorder.record_now(Class::Event, EntryBody::Link(body)).await;
        }
        if link.changed().await.is_err() {
            return;
        }
    }
}
