//! Momentary acts asked of a robot. Each runs at most once; what came of it is an entry of the robot's log.

use serde::{Deserialize, Serialize};

/// A command, as the payload of an [`Envelope`](crate::Envelope).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// Its identity: one that a robot has seen is never run again.
    pub id: String,
    /// Robot it is meant for; a robot refuses another's.
    pub target: String,
    /// When it was given, microseconds since the Unix epoch, by the control plane's clock.
    pub issued_us: i64,
    /// After this moment it is not run any more, by the control plane's clock.
    pub expires_us: i64,
    /// JSON of an [`Action`]. It stays as it came, so that a robot can name the command whose action it does not know.
    pub action: serde_json::Value,
}

/// What a command asks for. A robot's parameters say which services and topics are allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Call a ROS service once and report its answer.
    CallService {
        /// Its name, absolute or relative to the robot's namespace.
        service: String,
        /// Its type, such as `std_srvs/srv/Trigger`.
        #[serde(rename = "type")]
        type_name: String,
        /// Fields of the request; those that are missing have their defaults.
        #[serde(default)]
        request: serde_json::Value,
        /// How long to wait for server and answer, seconds.
        #[serde(default = "patience")]
        timeout_s: f64,
    },
    /// Publish one ROS message.
    Publish {
        /// The topic, absolute or relative to the robot's namespace.
        topic: String,
        /// Its type, such as `std_msgs/msg/String`.
        #[serde(rename = "type")]
        type_name: String,
        /// Fields of the message; those that are missing have their defaults.
        #[serde(default)]
        message: serde_json::Value,
    },
    /// Report nothing of the policy's routes for a while. Faults and acknowledgements go on.
    Pause {
        /// How long, seconds, counted by the time since boot.
        for_s: f64,
    },
    /// End a pause.
    Resume {},
    /// Report more of some topics for a while, in the class `detail`. It ends by itself.
    Escalate {
        /// How long, seconds, up to an hour, counted by the time since boot.
        for_s: f64,
        /// What is reported meanwhile.
        routes: Vec<crate::Route>,
    },
    /// Make a file of the newest messages of the topics that the policy captures, and of those that come.
    Capture {
        /// Why, for people.
        #[serde(default)]
        reason: String,
        /// How long messages are added, seconds; as the policy says, when not said.
        #[serde(default)]
        after_s: Option<f64>,
    },
    /// Forward messages of some topics to an operator, and back, for a while. It ends by itself.
    Live(crate::LiveRequest),
    /// End that before its time.
    EndLive {
        /// Which session.
        session: String,
    },
}

/// Longest reason of a capture.
const MAX_REASON_BYTES: usize = 200;

fn patience() -> f64 {
    10.0
}

impl Action {
    /// Its `kind` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::CallService { .. } => "call_service",
            Action::Publish { .. } => "publish",
            Action::Pause { .. } => "pause",
            Action::Resume {} => "resume",
            Action::Escalate { .. } => "escalate",
            Action::Capture { .. } => "capture",
            Action::Live(_) => "live",
            Action::EndLive { .. } => "end_live",
        }
    }

    /// Reads an action and checks its numbers.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(action: &serde_json::Value) -> Result<Self, crate::PolicyError> {
        let wrong = |path: &str, reason: String| crate::PolicyError { path: path.to_owned(), reason };
        let read: Self = serde_path_to_error::deserialize(action)
            .map_err(|error| wrong(&format!("action.{}", error.path()).replace("..", "."), error.inner().to_string()))?;
        let (name, seconds, most) = match &read {
            Action::CallService { timeout_s, .. } => ("action.timeout_s", *timeout_s, 600.0),
            Action::Pause { for_s } => ("action.for_s", *for_s, 86_400.0),
            Action::Escalate { for_s, routes } => {
                crate::policy::check_escalated(routes).map_err(|error| wrong(&format!("action.{}", error.path), error.reason))?;
                ("action.for_s", *for_s, crate::policy::MAX_ESCALATION_S)
            }
            Action::Capture { reason, .. } if reason.len() > MAX_REASON_BYTES => {
                return Err(wrong("action.reason", format!("{} bytes are more than {MAX_REASON_BYTES}", reason.len())));
            }
            Action::Capture { after_s, .. } => {
                let seconds = after_s.unwrap_or_default();
                return if (0.0..=crate::policy::MAX_CAPTURE_S).contains(&seconds) {
                    Ok(read)
                } else {
                    Err(wrong("action.after_s", format!("{seconds} is not in 0 to {}", crate::policy::MAX_CAPTURE_S)))
                };
            }
            Action::Live(request) => {
                request.check().map_err(|error| wrong(&format!("action.{}", error.path), error.reason))?;
                ("action.for_s", request.for_s, crate::MAX_LIVE_S)
            }
            Action::Publish { .. } | Action::Resume {} | Action::EndLive { .. } => return Ok(read),
        };
        if seconds > 0.0 && seconds <= most { Ok(read) } else { Err(wrong(name, format!("{seconds} is not in 0 to {most}"))) }
    }
}

/// How a command ended on the robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It was done.
    Done,
    /// It was tried and did not work.
    Failed,
    /// It was not tried: not allowed, or not understood.
    Refused,
    /// It was not tried: it came too late.
    Expired,
    /// The robot stopped while it ran: what came of it is not known, and it is not tried again.
    Interrupted,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandStatusBody {
    /// Which command.
    pub id: String,
    /// How it ended.
    pub outcome: CommandOutcome,
    /// Why, for people; empty when done.
    #[serde(default)]
    pub message: String,
    /// The service's answer, when one was called.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub result: serde_json::Value,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn actions_are_read_and_their_mistakes_named() {
        let action = Action::parse(&json!({"kind": "call_service", "service": "reset", "type": "std_srvs/srv/Trigger"})).unwrap();
        assert!(matches!(&action, Action::CallService { timeout_s, .. } if *timeout_s == 10.0), "{action:?}");
        assert_eq!(Action::parse(&json!({"kind": "resume"})).unwrap().kind(), "resume");
        for (action, reason) in [
            (json!({"kind": "dance"}), "unknown variant `dance`"),
            (json!({"kind": "pause", "for_s": 0}), "0 to 86400"),
            (json!({"kind": "pause"}), "missing field `for_s`"),
            (json!({"kind": "escalate", "for_s": 60, "routes": []}), "1 route at least"),
            (json!({"kind": "escalate", "for_s": 60, "routes": [{"name": "a"}]}), "missing field"),
            (json!({"kind": "publish", "topic": "a", "type": "b", "mesage": {}}), "unknown field `mesage`"),
            (json!({"kind": "call_service", "service": "a", "type": "b", "timeout_s": 601}), "0 to 600"),
            (json!({"kind": "capture", "after_s": 601}), "0 to 600"),
            (json!({"kind": "capture", "reason": "x".repeat(201)}), "more than 200"),
        ] {
            let error = Action::parse(&action).unwrap_err();
            assert!(error.path.starts_with("action") && error.reason.contains(reason), "{error}");
        }
    }
}
