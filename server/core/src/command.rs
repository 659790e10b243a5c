//! Commands: momentary acts asked of a robot, and what it said came of them.

use edgeflow_wire::{Action, Command, CommandOutcome, CommandStatusBody, WIRE_VERSION};
use serde::Serialize;
use serde_json::Value;

use crate::{CoreError, TargetName};

/// Most commands of one robot that wait for its word.
pub const MAX_OPEN: usize = 100;
/// Longest validity, seconds.
pub const MAX_VALID_S: f64 = 86_400.0;

/// A command to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCommand {
    /// Its identity.
    pub id: String,
    /// To which robot.
    pub target: TargetName,
    /// JSON of an [`Action`], checked.
    pub action: Value,
    /// When, microseconds since the Unix epoch.
    pub issued_us: i64,
    /// After this it is not run any more.
    pub expires_us: i64,
    /// Who.
    pub created_by: String,
}

impl NewCommand {
    /// Checks what is asked for.
    pub fn new(id: String, target: TargetName, action: Value, issued_us: i64, valid_s: f64, created_by: String) -> Result<Self, CoreError> {
        let bad = |path: String, reason: String| CoreError::BadCommand { path, reason };
        Action::parse(&action).map_err(|error| bad(error.path, error.reason))?;
        if !(valid_s > 0.0 && valid_s <= MAX_VALID_S) {
            return Err(bad("expires_s".to_owned(), format!("{valid_s} is not in 0 to {MAX_VALID_S}")));
        }
        let expires_us = issued_us + (valid_s * 1e6) as i64;
        Ok(Self { id, target, action, issued_us, expires_us, created_by })
    }
}

/// How a command ended on its robot.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub outcome: CommandOutcome,
    /// Why, for people.
    pub message: String,
    /// The service's answer, when one was called.
    pub result: Value,
    /// When, by the robot's clock, microseconds since the Unix epoch.
    pub at_us: i64,
}

impl Ended {
    /// As a robot's log says it.
    pub fn of(status: &CommandStatusBody, at_us: i64) -> Self {
        Self { outcome: status.outcome, message: status.message.clone(), result: status.result.clone(), at_us }
    }
}

/// A command that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenCommand {
    /// Place in the order of all commands.
    pub number: i64,
    /// What was given.
    pub given: NewCommand,
    /// What the robot said came of it.
    pub ended: Option<Ended>,
}

impl GivenCommand {
    /// As the robot is told.
    pub fn document(&self) -> Command {
        let NewCommand { id, target, action, issued_us, expires_us, .. } = self.given.clone();
        Command { v: WIRE_VERSION, id, target: target.to_string(), issued_us, expires_us, action }
    }
}

/// Where a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// The robot has not said anything, and may still run it.
    Pending,
    /// The robot has not said anything, and does not run it any more. It may have: then its word is on the way.
    Unanswered,
    /// It was done.
    Done,
    /// It was tried and did not work.
    Failed,
    /// It was not tried: not allowed on this robot, or not understood.
    Refused,
    /// It was not tried: it came too late.
    Expired,
    /// The robot stopped while it ran: what came of it is not known.
    Interrupted,
}

/// A command as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CommandView {
    /// Its identity.
    pub id: String,
    /// To which robot.
    pub target: String,
    /// What was asked for.
    pub action: Value,
    /// Where it is.
    pub state: CommandState,
    /// Why, for people; empty when done.
    pub message: String,
    /// The service's answer, when one was called.
    pub result: Value,
    /// When it was given, microseconds since the Unix epoch.
    pub issued_us: i64,
    /// After this it is not run any more.
    pub expires_us: i64,
    /// When it ended, by the robot's clock.
    pub ended_us: Option<i64>,
    /// Who gave it.
    pub created_by: String,
}

/// A command as it is shown at `now_us`.
pub fn view(command: &GivenCommand, now_us: i64) -> CommandView {
    let NewCommand { id, target, action, issued_us, expires_us, created_by } = command.given.clone();
    let state = match command.ended.as_ref().map(|ended| ended.outcome) {
        Some(CommandOutcome::Done) => CommandState::Done,
        Some(CommandOutcome::Failed) => CommandState::Failed,
        Some(CommandOutcome::Refused) => CommandState::Refused,
        Some(CommandOutcome::Expired) => CommandState::Expired,
        Some(CommandOutcome::Interrupted) => CommandState::Interrupted,
        None if now_us > expires_us => CommandState::Unanswered,
        None => CommandState::Pending,
    };
    let ended = command.ended.as_ref();
    CommandView {
        id,
        target: target.to_string(),
        action,
        state,
        message: ended.map(|ended| ended.message.clone()).unwrap_or_default(),
        result: ended.map(|ended| ended.result.clone()).unwrap_or_default(),
        issued_us,
        expires_us,
        ended_us: ended.map(|ended| ended.at_us),
        created_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_is_checked_and_shown_as_time_and_robot_say() {
        let new = |action: Value, valid_s: f64| {
            NewCommand::new("c1".into(), TargetName::new("r1").unwrap(), action, 1_000_000, valid_s, "administrator".into())
        };
        let given = new(json!({"kind": "resume"}), 60.0).unwrap();
        assert_eq!(given.expires_us, 61_000_000);
        for (action, valid_s, reason) in [
            (json!({"kind": "dance"}), 60.0, "bad command: action"),
            (json!({"kind": "resume"}), 0.0, "bad command: expires_s: 0 is not in"),
            (json!({"kind": "resume"}), f64::NAN, "bad command: expires_s: NaN is not in"),
        ] {
            let error = new(action, valid_s).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
        let mut command = GivenCommand { number: 1, given, ended: None };
        assert_eq!(view(&command, 61_000_000).state, CommandState::Pending);
        assert_eq!(view(&command, 61_000_001).state, CommandState::Unanswered);
        let status = CommandStatusBody { id: "c1".into(), outcome: CommandOutcome::Failed, message: "no".into(), result: Value::Null };
        command.ended = Some(Ended::of(&status, 7));
        let shown = view(&command, 99_000_000);
        assert_eq!((shown.state, shown.message.as_str(), shown.ended_us), (CommandState::Failed, "no", Some(7)));
    }
}
