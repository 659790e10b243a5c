//! What the robot does, for whoever wants to leave it alone meanwhile: a mission, charging, and in which lifecycle state the nodes
//! of its slots are.

use edgeflow_ros::{
    Client, Node, QosProfile, Queue, Subscription,
    constants::sensor_msgs::msg::BatteryState as battery,
    edgeflow_msgs::msg::MissionEvent,
    lifecycle_msgs::{msg::TransitionEvent, srv::GetState},
    sensor_msgs::msg::BatteryState,
};
use edgeflow_wire::{Activity, MissionKind};
use futures::StreamExt;
use std::time::Duration;
use tokio::sync::watch;

use crate::{BridgeError, Result};

/// The states that last; those in between do not.
const LASTING: [&str; 4] = ["unconfigured", "inactive", "active", "finalized"];
/// How long a node may take to say its state.
const ASK: Duration = Duration::from_secs(2);
/// A managed node that did not say its state is asked again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// Whether a mission runs after this step; `None` of a step this version does not know.
pub(crate) fn mission(event: &MissionEvent) -> Option<bool> {
    match crate::record::step(event.kind)? {
        MissionKind::Started | MissionKind::Waypoint => Some(true),
        MissionKind::Succeeded | MissionKind::Failed => Some(false),
    }
}

/// Changes what is known, and wakes those who follow it only then.
pub(crate) fn change(activity: &watch::Sender<Activity>, change: impl FnOnce(&mut Activity)) {
    activity.send_if_modified(|now| {
        let before = now.clone();
        change(now);
        before != *now
    });
}

/// Follows the battery.
pub(crate) async fn follow_battery(mut states: Subscription<BatteryState>, activity: watch::Sender<Activity>) {
    while let Some(state) = states.next().await {
        let charging = match state.power_supply_status {
            battery::POWER_SUPPLY_STATUS_UNKNOWN => None,
            status => Some(status == battery::POWER_SUPPLY_STATUS_CHARGING),
        };
        change(&activity, |now| now.charging = charging);
    }
}

/// Follows the lifecycle of one node. One that is not managed is not in what is known.
pub(crate) struct Lifecycle {
    node: Node,
    name: String,
    events: Subscription<TransitionEvent>,
    ask: Client<GetState::Service>,
}

impl Lifecycle {
    /// `name` is relative to this node's namespace or absolute.
    pub(crate) fn new(node: &Node, name: &str) -> Result<Self> {
        let events = format!("{name}/transition_event");
        let topic = node.resolve_topic(&events).map_err(BridgeError::ros("name a node of a slot"))?;
        Ok(Self {
            node: node.clone(),
            name: topic.trim_end_matches("/transition_event").to_owned(),
            events: node
                .subscribe(&events, QosProfile::default().keep_last(10).reliable(), Queue::All { depth: 64 })
                .map_err(BridgeError::ros("follow a node's lifecycle"))?,
            ask: node.create_client(&format!("{name}/get_state")).map_err(BridgeError::ros("ask for a node's state"))?,
        })
    }

    pub(crate) async fn run(mut self, activity: watch::Sender<Activity>) {
        let topic = self.events.topic().to_owned();
        let set = |state: Option<String>, name: &str| {
            change(&activity, |now| match state {
                Some(state) => drop(now.lifecycle.insert(name.to_owned(), state)),
                None => drop(now.lifecycle.remove(name)),
            });
        };
        let (mut there, mut known) = (false, false);
        loop {
            let now = self.node.count_publishers(&topic).is_ok_and(|publishers| publishers > 0);
            if now != there || (now && !known) {
                there = now;
                let state = if there { state(&self.ask).await } else { None };
                let state = state.filter(|label| LASTING.contains(&label.as_str()));
                known = state.is_some();
                set(state, &self.name);
            }
            let patience = if there && !known { AGAIN } else { Duration::from_secs(600) };
            tokio::select! {
                event = self.events.next() => {
                    let Some(event) = event else { return };
                    let label = event.goal_state.label;
                    if LASTING.contains(&label.as_str()) {
                        known = true;
                        set(Some(label), &self.name);
                    }
                }
                _ = self.node.wait_for_graph(patience, |node| node.count_publishers(&topic).is_ok_and(|count| (count > 0) != there)) => {
                    if self.node.context().is_shut_down() {
                        return;
                    }
                }
            }
        }
    }
}

async fn state(ask: &Client<GetState::Service>) -> Option<String> {
    ask.wait_for_service(ASK).await.ok()?;
    let answer = ask.call(&GetState::Request {}, ASK).await.ok()?;
    Some(answer.current_state.label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mission_runs_from_its_start_to_its_end() {
        let event = |kind| MissionEvent { kind, ..MissionEvent::default() };
        assert_eq!([0, 1, 2, 3, 9].map(|kind| mission(&event(kind))), [Some(true), Some(true), Some(false), Some(false), None]);
    }

    #[test]
    fn nobody_is_woken_by_what_was_known() {
        let sender = watch::Sender::new(Activity::default());
        let mut seen = sender.subscribe();
        change(&sender, |now| now.charging = Some(true));
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        change(&sender, |now| now.charging = Some(true));
        assert!(!seen.has_changed().unwrap());
    }
}
