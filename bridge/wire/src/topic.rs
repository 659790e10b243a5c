//! Where each document travels: MQTT topics, mirrored by the key expressions of the other uplinks.

use crate::WireError;

/// The topics of one robot, `edgeflow/targets/{id}/...`.
///
/// Deployment acknowledgements and status are facts, so they travel inside the edge log on [`Topics::telemetry`], as
/// entries of class `critical`; there is no second copy that could disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

impl Topics {
    /// Topics of the robot `id`: 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit.
    pub fn new(id: &str) -> Result<Self, WireError> {
        let well_formed = !id.is_empty()
            && id.len() <= 63
            && !id.starts_with('-')
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if well_formed { Ok(Self { base: format!("edgeflow/targets/{id}") }) } else { Err(WireError::BadName { name: id.to_owned() }) }
    }

    /// `edgeflow/targets/{id}/`: everything a robot may touch starts with this.
    pub fn prefix(&self) -> String {
        format!("{}/", self.base)
    }

    /// Control plane to robot, retained: an [`Envelope`](crate::Envelope) of [`DesiredState`](crate::DesiredState).
    pub fn deploy(&self) -> String {
        format!("{}/deploy", self.base)
    }

    /// Robot to control plane: [`Upstream`](crate::Upstream).
    pub fn telemetry(&self) -> String {
        format!("{}/telemetry", self.base)
    }

    /// Control plane to robot: [`LogAck`](crate::LogAck).
    pub fn telemetry_ack(&self) -> String {
        format!("{}/telemetry/ack", self.base)
    }

    /// Robot to whoever stands between: that it is here. zenoh holds it as a token of liveliness; over MQTT it is a retained message
    /// with any content, which the robot's will takes away (an empty one, retained). It carries nothing else.
    pub fn alive(&self) -> String {
        format!("{}/alive", self.base)
    }

    /// Control plane to robot: momentary commands.
    pub fn command(&self) -> String {
        format!("{}/command", self.base)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn topics_are_those_of_the_design() {
        let topics = Topics::new("robot-07").unwrap();
        assert_eq!(topics.deploy(), "edgeflow/targets/robot-07/deploy");
        assert_eq!(topics.telemetry_ack(), "edgeflow/targets/robot-07/telemetry/ack");
    }

    #[test]
    fn names_that_could_reach_another_robot_are_refused() {
        for name in ["", "+", "#", "a/b", "-a", "Robot", "robot_1", "é", &"a".repeat(64)] {
            assert!(Topics::new(name).is_err(), "{name:?}");
        }
    }
}
