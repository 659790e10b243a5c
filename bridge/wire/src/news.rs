//! What a robot hears that asks: uplinks without a way to push carry one document that holds all there is.

use serde::{Deserialize, Serialize};

use crate::Envelope;

/// What is new for a robot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct News {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// The newest [`DesiredState`](crate::DesiredState), when it is another than the robot said it knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Envelope>,
    /// [`Command`](crate::Command)s that the robot has not said anything of, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Envelope>,
    /// What the robot says with its next question, so that these do not come again on the same connection.
    #[serde(default)]
    pub commands_upto: i64,
}
