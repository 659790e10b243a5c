//! Actions: goals that take time, tell how far they are and can be canceled. Written once on the door's
//! own services and topics, as rcl's actions are on rcl's, so that both stacks behave alike.
//!
//! An action `a` is three services (`a/_action/send_goal`, `cancel_goal`, `get_result`) and two topics
//! (`feedback`, and `status`, which is latched).

mod client;
mod goals;
mod server;

use crate::{
    constants::action_msgs::msg::GoalStatus as status, error::Result, messages::unique_identifier_msgs::msg::UUID, node::Node,
    qos::QosProfile, stack::Action,
};
use std::fmt;

pub use client::{ActionClient, ClientGoal, Outcome};
pub use server::{ActionServer, GoalRequest, ServerGoal};

/// Identifies one goal; the client chooses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoalId([u8; 16]);

impl GoalId {
    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    /// As on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A message of another length than the sixteen octets there must be is no goal's.
    fn from_msg(msg: &UUID) -> Option<Self> {
        msg.uuid.as_slice().try_into().ok().map(Self)
    }

    fn to_msg(self) -> UUID {
        UUID { uuid: self.0.to_vec() }
    }

    /// All zero stands for "any goal" in a cancel request.
    fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }
}

/// Hexadecimal, as `ros2 action` prints it.
impl fmt::Display for GoalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for GoalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoalId({self})")
    }
}

/// Where a goal is, as in `action_msgs/msg/GoalStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum GoalStatus {
    /// Nothing is known of it.
    Unknown = 0,
    /// Accepted, and not begun.
    Accepted = 1,
    /// In execution.
    Executing = 2,
    /// A cancel request was accepted, and the goal has not ended yet.
    Canceling = 3,
    /// Achieved.
    Succeeded = 4,
    /// Ended because of a cancel request.
    Canceled = 5,
    /// Ended by the server without being achieved.
    Aborted = 6,
}

impl GoalStatus {
    /// As on the wire.
    #[must_use]
    pub fn code(self) -> i8 {
        self as i8
    }

    /// From the wire; a number without a meaning is [`GoalStatus::Unknown`].
    #[must_use]
    pub fn from_code(code: i8) -> Self {
        match code {
            status::STATUS_ACCEPTED => Self::Accepted,
            status::STATUS_EXECUTING => Self::Executing,
            status::STATUS_CANCELING => Self::Canceling,
            status::STATUS_SUCCEEDED => Self::Succeeded,
            status::STATUS_CANCELED => Self::Canceled,
            status::STATUS_ABORTED => Self::Aborted,
            _ => Self::Unknown,
        }
    }

    /// Whether the goal has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Canceled | Self::Aborted)
    }
}

/// In capitals, as `ros2 action` prints it.
impl fmt::Display for GoalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "UNKNOWN",
            Self::Accepted => "ACCEPTED",
            Self::Executing => "EXECUTING",
            Self::Canceling => "CANCELING",
            Self::Succeeded => "SUCCEEDED",
            Self::Canceled => "CANCELED",
            Self::Aborted => "ABORTED",
        })
    }
}

/// Of the topic `status`, as rcl has it.
fn status_quality() -> QosProfile {
    QosProfile::default().keep_last(1).reliable().transient_local()
}

impl Node {
    /// Serves an action; the server is a stream of requests for goals.
    ///
    /// # Errors
    /// An invalid name, a context shut down, no tokio runtime, or a stack that refuses.
    pub fn create_action_server<A: Action>(&self, name: &str) -> Result<ActionServer<A>> {
        ActionServer::create(self, name)
    }

    /// Asks goals of an action.
    ///
    /// # Errors
    /// As [`Node::create_action_server`].
    pub fn create_action_client<A: Action>(&self, name: &str) -> Result<ActionClient<A>> {
        ActionClient::create(self, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_survive_the_wire() {
        for code in -1..=7 {
            let status = GoalStatus::from_code(code);
            assert_eq!(status.code(), if (0..=6).contains(&code) { code } else { 0 });
            assert_eq!(status.is_terminal(), (4..=6).contains(&code));
        }
    }

    #[test]
    fn ids_are_told_as_hexadecimal_and_differ() {
        let id = GoalId::from_msg(&UUID { uuid: (0..16).collect() }).unwrap();
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(GoalId::from_msg(&id.to_msg()), Some(id));
        assert_eq!(GoalId::from_msg(&UUID { uuid: vec![1; 15] }), None);
        assert_ne!(GoalId::random(), GoalId::random());
    }
}
