//! Commands: given, delivered until the robot has said what came of them, audited.

use edgeflow_core::{
    Page, Principal, RobotId, TargetName,
    command::{self, CommandView, Ended, NewCommand},
    principal::{Action, Resource},
};
use edgeflow_wire::{Content, DocumentKind, EntryBody, Envelope};

use crate::app::{App, AppError, auth::random_bytes};

/// How long a command is valid when nothing is said, seconds.
const VALID_S: f64 = 60.0;

impl App {
    /// Gives a robot a command. It runs it at most once, and not after `valid_s`.
    pub async fn give_command(
        &self,
        principal: &Principal,
        name: &TargetName,
        action: serde_json::Value,
        valid_s: Option<f64>,
    ) -> Result<CommandView, AppError> {
        self.permit(principal, Action::Command, Resource::Target(name.clone())).await?;
        // A session is more than its command: an operator's certificate, and keys that are its own.
        if matches!(action.get("kind").and_then(serde_json::Value::as_str), Some("live" | "end_live")) {
            return Err(AppError::Invalid(format!("live sessions are opened and ended at /api/v1/targets/{name}/live")));
        }
        let given = self.command_robot(principal, name, action, valid_s).await?;
        let detail = serde_json::json!({ "id": given.id, "action": given.action, "expires_us": given.expires_us });
        self.record(principal, Action::Command, &format!("target/{name}"), detail).await;
        Ok(given)
    }

    /// The same for whoever has asked whether it may, and puts it on record.
    pub(crate) async fn command_robot(
        &self,
        principal: &Principal,
        name: &TargetName,
        action: serde_json::Value,
        valid_s: Option<f64>,
    ) -> Result<CommandView, AppError> {
        let id = hex::encode(random_bytes::<16>()?);
        let now_us = self.now_us();
        let new = NewCommand::new(id, name.clone(), action, now_us, valid_s.unwrap_or(VALID_S), principal.who.to_string())?;
        let given = self.stores.commands.create_command(&principal.organisation, &new).await?;
        // An error means that no door is open for robots; they will read it when one is.
        drop(self.desired.send(App::robot_id(&principal.organisation, name)));
        Ok(command::view(&given, now_us))
    }

    /// One command of a robot.
    pub async fn command(&self, principal: &Principal, name: &TargetName, id: &str) -> Result<CommandView, AppError> {
        let robot = self.readable(principal, name).await?;
        let found = self.stores.commands.command(&robot, id).await?;
        let found = found.ok_or_else(|| AppError::NotFound { what: "command", name: id.to_owned() })?;
        Ok(command::view(&found, self.now_us()))
    }

    /// Commands of a robot, newest first.
    pub async fn commands(
        &self,
        principal: &Principal,
        name: &TargetName,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<CommandView>, AppError> {
        let robot = self.readable(principal, name).await?;
        let found = self.stores.commands.commands(&robot, after, limit + 1).await?;
        let now_us = self.now_us();
        Ok(Page::cut(found, limit, |found| found.number.to_string()).map(|found| command::view(&found, now_us)))
    }

    /// Commands that a robot has not said anything of, and may still run: their numbers and documents, beyond `after`.
    pub async fn command_envelopes(&self, robot: &RobotId, after: i64) -> Result<Vec<(i64, Envelope)>, AppError> {
        let open = self.stores.commands.open_commands(robot, after, self.now_us()).await?;
        open.iter()
            .map(|command| {
                let payload = serde_json::to_string(&command.document()).map_err(AppError::artifact("writing a command"))?;
                Ok((command.number, self.authority.envelope(DocumentKind::Command, payload)))
            })
            .collect()
    }

    /// Notes what a robot's log says of commands. When this fails, the robot says it again: it is asked until it is noted.
    pub(crate) async fn note_commands(&self, robot: &RobotId, stored: &[edgeflow_core::entry::StoredEntry]) {
        let ended: Vec<(String, Ended)> = stored
            .iter()
            .filter_map(|entry| match &entry.content {
                Content::Known(EntryBody::CommandStatus(status)) => Some((status.id.clone(), Ended::of(status, entry.t_us))),
                _ => None,
            })
            .collect();
        if ended.is_empty() {
            return;
        }
        if let Err(error) = self.stores.commands.end_commands(robot, &ended).await {
            tracing::error!(%error, robot.name = robot.as_str(), "could not note how commands ended; they are delivered again");
        }
    }
}
