//! Which topics a robot may use. Topics are compared, never matched: a wildcard is just a topic nobody has.

use edgeflow_wire::{Topics, WireError};

/// What a robot may publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound {
    /// Log documents.
    Telemetry,
    /// Acknowledgements of commands.
    CommandAck,
    /// That it is here, which an external broker wants to be told.
    Alive,
}

/// What a robot may subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outbound {
    /// Desired state, retained.
    Deploy,
    /// Answers to log documents.
    TelemetryAck,
    /// Commands.
    Command,
}

/// The topics of one robot.
#[derive(Debug)]
pub(super) struct Acl {
    topics: Topics,
}

impl Acl {
    /// The list of the robot `name`.
    pub(super) fn new(name: &str) -> Result<Self, WireError> {
        Ok(Self { topics: Topics::new(name)? })
    }

    /// What publishing on `topic` means, or `None` when it is not this robot's to publish on.
    pub(super) fn publish(&self, topic: &str) -> Option<Inbound> {
        if topic == self.topics.telemetry() {
            Some(Inbound::Telemetry)
        } else if topic.strip_prefix(&self.topics.command()) == Some("/ack") {
            Some(Inbound::CommandAck)
        } else if topic == self.topics.alive() {
            Some(Inbound::Alive)
        } else {
            None
        }
    }

    /// What subscribing to `filter` means, or `None` when it is not this robot's to read.
    pub(super) fn subscribe(&self, filter: &str) -> Option<Outbound> {
        [Outbound::Deploy, Outbound::TelemetryAck, Outbound::Command].into_iter().find(|outbound| self.topic(*outbound) == filter)
    }

    /// Topic of something the control plane sends.
    pub(super) fn topic(&self, outbound: Outbound) -> String {
        match outbound {
            Outbound::Deploy => self.topics.deploy(),
            Outbound::TelemetryAck => self.topics.telemetry_ack(),
            Outbound::Command => self.topics.command(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_has_exactly_six_topics() {
        let acl = Acl::new("robot-1").unwrap();
        let levels = [
            "deploy",
            "deploy/ack",
            "deploy/status",
            "telemetry",
            "telemetry/ack",
            "command",
            "command/ack",
            "alive",
            "",
            "#",
            "+",
            "+/ack",
            "telemetry/#",
        ];
        let names = ["robot-1", "robot-10", "robot-2", "+", "#", "", "robot-1/robot-1"];
        let mut allowed = Vec::new();
        for name in names {
            for level in levels {
                let topic = format!("edgeflow/targets/{name}/{level}");
                allowed.extend(acl.publish(&topic).map(|inbound| format!("publish {topic} {inbound:?}")));
                allowed.extend(acl.subscribe(&topic).map(|outbound| format!("subscribe {topic} {outbound:?}")));
            }
        }
        let base = "edgeflow/targets/robot-1";
        assert_eq!(
            allowed,
            [
                format!("subscribe {base}/deploy Deploy"),
                format!("publish {base}/telemetry Telemetry"),
                format!("subscribe {base}/telemetry/ack TelemetryAck"),
                format!("subscribe {base}/command Command"),
                format!("publish {base}/command/ack CommandAck"),
                format!("publish {base}/alive Alive"),
            ]
        );
        for filter in ["#", "+", "edgeflow/#", "edgeflow/targets/#", "$SYS/#", "$share/g/edgeflow/targets/robot-1/deploy", ""] {
            assert!(acl.subscribe(filter).is_none() && acl.publish(filter).is_none(), "{filter:?}");
        }
    }
}
