//! `edgeflow command`: momentary acts asked of a robot.

use clap::{Args, Subcommand};
use edgeflow_wire::Route;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};

use super::{
    client::{Client, encode},
    document, items,
};
use crate::{error::CliError, output, when::when};

/// How often the control plane is asked what came of a command.
const POLL: Duration = Duration::from_millis(300);

#[derive(Subcommand)]
pub(crate) enum CommandCommand {
    /// Have a robot call one of its services, if its parameter command_services allows it.
    #[command(after_help = "Example:\n  edgeflow command call robot-1 gripper/reset std_srvs/srv/Trigger")]
    Call {
        /// The robot.
        robot: String,
        /// The service, absolute or relative to the robot's namespace.
        service: String,
        /// Its type.
        #[arg(value_name = "TYPE")]
        type_name: String,
        /// The request, as YAML.
        #[arg(default_value = "{}")]
        request: String,
        /// How long the robot waits for the service, seconds.
        #[arg(long, value_name = "S", default_value_t = 10.0)]
        timeout: f64,
        #[command(flatten)]
        how: How,
    },
    /// Have a robot publish a message, if its parameter command_topics allows it.
    #[command(after_help = "Example:\n  edgeflow command publish robot-1 lamp std_msgs/msg/Bool 'data: true'")]
    Publish {
        /// The robot.
        robot: String,
        /// The topic, absolute or relative to the robot's namespace.
        topic: String,
        /// Its type.
        #[arg(value_name = "TYPE")]
        type_name: String,
        /// The message, as YAML.
        #[arg(default_value = "{}")]
        message: String,
        #[command(flatten)]
        how: How,
    },
    /// Have a robot report nothing of its policy's routes for a while; faults and acknowledgements go on.
    #[command(after_help = "Example:\n  edgeflow command pause robot-1 --for 600")]
    Pause {
        /// The robot.
        robot: String,
        /// How long, seconds.
        #[arg(long = "for", value_name = "S")]
        for_s: f64,
        #[command(flatten)]
        how: How,
    },
    /// Have a robot report more of some topics for a while: the routes of a policy file, in the class detail.
    #[command(after_help = "Example:\n  edgeflow command escalate robot-1 docs/policies/health.yaml --for 300")]
    Escalate {
        /// The robot.
        robot: String,
        /// A policy, YAML or JSON, whose routes these are.
        file: PathBuf,
        /// How long, seconds, up to an hour.
        #[arg(long = "for", value_name = "S")]
        for_s: f64,
        #[command(flatten)]
        how: How,
    },
    /// Have a robot make a file of the newest messages of the topics that its policy captures, and of those that come.
    #[command(after_help = "Example:\n  edgeflow command capture robot-1 --reason \"odd noise\"\n  edgeflow captures list robot-1")]
    Capture {
        /// The robot.
        robot: String,
        /// Why, for people.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// How long messages are added, seconds; as the policy says, when not said.
        #[arg(long, value_name = "S")]
        after: Option<f64>,
        #[command(flatten)]
        how: How,
    },
    /// End a pause.
    #[command(after_help = "Example:\n  edgeflow command resume robot-1")]
    Resume {
        /// The robot.
        robot: String,
        #[command(flatten)]
        how: How,
    },
    /// Commands of a robot, newest first.
    #[command(after_help = "Example:\n  edgeflow command list robot-1")]
    List {
        /// The robot.
        robot: String,
    },
}

#[derive(Args)]
pub(crate) struct How {
    /// Seconds after which the robot does not run it any more.
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    expires: f64,
    /// Do not wait for the robot's word.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Deserialize)]
struct View {
    id: String,
    state: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    result: Value,
    issued_us: i64,
    action: Value,
}

pub(crate) async fn command(command: CommandCommand) -> Result<(), CliError> {
    match command {
        CommandCommand::Call { robot, service, type_name, request, timeout, how } => {
            let request = yaml("the request", &request)?;
            let action = json!({"kind": "call_service", "service": service, "type": type_name, "request": request, "timeout_s": timeout});
            give(&robot, action, &how).await
        }
        CommandCommand::Publish { robot, topic, type_name, message, how } => {
            let message = yaml("the message", &message)?;
            give(&robot, json!({"kind": "publish", "topic": topic, "type": type_name, "message": message}), &how).await
        }
        CommandCommand::Pause { robot, for_s, how } => give(&robot, json!({"kind": "pause", "for_s": for_s}), &how).await,
        CommandCommand::Escalate { robot, file, for_s, how } => {
            let (_, policy) = super::policy::read(&file)?;
            // In the class detail, whatever they are in the policy.
            let routes = policy.routes.into_iter().map(|route| Route { class: None, ..route });
            give(&robot, json!({"kind": "escalate", "for_s": for_s, "routes": routes.collect::<Vec<_>>()}), &how).await
        }
        CommandCommand::Capture { robot, reason, after, how } => {
            give(&robot, json!({"kind": "capture", "reason": reason, "after_s": after}), &how).await
        }
        CommandCommand::Resume { robot, how } => give(&robot, json!({"kind": "resume"}), &how).await,
        CommandCommand::List { robot } => {
            let path = format!("/targets/{}/commands", encode(&robot));
            let list = Client::from_environment()?.get(&path, &[]).await?;
            if output::as_json() {
                return super::json(&list);
            }
            let rows = items::<View>(&list, &path)?.into_iter().map(|view| {
                let kind = view.action.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
                [when(view.issued_us), view.id, kind, view.state, view.message]
            });
            output::table(["GIVEN", "ID", "KIND", "STATE", "WHY"], &rows.collect::<Vec<_>>())
        }
    }
}

fn yaml(what: &str, text: &str) -> Result<Value, CliError> {
    serde_norway::from_str(text).map_err(|source| CliError::Yaml { what: what.to_owned(), source })
}

/// Gives a command and waits for the robot's word; any but `done` is the exit status.
async fn give(robot: &str, action: Value, how: &How) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let path = format!("/targets/{}/commands", encode(robot));
    let mut answer = client.post(&path, &json!({"action": action, "expires_s": how.expires})).await?;
    let mut view: View = document(answer.clone(), &path)?;
    if !output::as_json() {
        output::line(format!("command {}", view.id))?;
    }
    let path = format!("{path}/{}", encode(&view.id));
    while view.state == "pending" && !how.no_wait {
        tokio::time::sleep(POLL).await;
        answer = client.get(&path, &[]).await?;
        view = document(answer.clone(), &path)?;
    }
    if output::as_json() {
        super::json(&answer)?;
    }
    if how.no_wait {
        return Ok(());
    }
    if !output::as_json() {
        if !view.result.is_null() {
            output::line(format!("{:#}", view.result))?;
        }
        output::line(&view.state)?;
    }
    if view.state == "done" { Ok(()) } else { Err(CliError::Command { id: view.id, state: view.state, message: view.message }) }
}
