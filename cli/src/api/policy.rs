//! `edgeflow policy`: what robots report of their topics.

use clap::{Args, Subcommand};
use edgeflow_ros::registry;
use edgeflow_wire::{Route, Step, TelemetryPolicy, Trigger};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use super::{
    client::{Client, encode},
    document,
};
use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a file, YAML or JSON, without a control plane: its form, and the fields of types that are known here.
    #[command(after_help = "Example:\n  edgeflow policy check docs/policies/position.yaml")]
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Declare what robots report of their topics. They take it up at their own pace and say so.
    #[command(after_help = "Example:\n  edgeflow policy set docs/policies/position.yaml --to robot-1,robot-2")]
    Set(SetArguments),
    /// What a robot reports of its topics, and what it says of that.
    #[command(after_help = "Example:\n  edgeflow policy show robot-1")]
    Show {
        /// The robot.
        robot: String,
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct SetArguments {
    /// The file, YAML or JSON.
    file: PathBuf,
    /// The robots.
    #[arg(long, value_name = "ROBOTS", value_delimiter = ',', required = true)]
    to: Vec<String>,
}

#[derive(Deserialize)]
struct View {
    version: u64,
    document: Value,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    version: u64,
    outcome: String,
    #[serde(default)]
    reason: String,
    ruling: u64,
}

pub(crate) async fn policy(command: PolicyCommand) -> Result<(), CliError> {
    match command {
        PolicyCommand::Check { file } => {
            let (_, policy) = read(&file)?;
            let mut checked = Vec::new();
            for (at, route) in policy.routes.iter().enumerate() {
                checked.push(format!("{}: {}", route.name, check_fields(&file, &format!("routes[{at}]"), route)?));
            }
            for (at, escalation) in policy.escalations.iter().enumerate() {
                for (index, route) in escalation.routes.iter().enumerate() {
                    let fields = check_fields(&file, &format!("escalations[{at}].routes[{index}]"), route)?;
                    checked.push(format!("{}, {}: {fields}", escalation.name, route.name));
                }
            }
            for (at, trigger) in policy.triggers.iter().enumerate() {
                checked.push(format!("{}: {}", trigger.name, check_trigger(&file, &format!("triggers[{at}]"), trigger)?));
            }
            let (routes, escalations, triggers) = (policy.routes.len(), policy.escalations.len(), policy.triggers.len());
            if output::as_json() {
                let counts = json!({ "routes": routes, "escalations": escalations, "triggers": triggers });
                return super::json(&json!({ "file": file, "policy": counts, "checked": checked }));
            }
            checked.into_iter().try_for_each(output::line)?;
            output::line(format!("{} is a policy of {routes} routes, {escalations} escalations and {triggers} triggers", file.display()))
        }
        PolicyCommand::Set(arguments) => set(arguments).await,
        PolicyCommand::Show { robot, json: raw } => {
            let path = format!("/targets/{}/policy", encode(&robot));
            let answer = Client::from_environment()?.get(&path, &[]).await?;
            if raw || output::as_json() {
                return super::json(&answer);
            }
            let view: View = document(answer, &path)?;
            output::line(format!("declared  version {}", view.version))?;
            let word = match view.status {
                None => "nothing yet".to_owned(),
                Some(Status { version, outcome, reason, ruling }) if outcome == "refused" => {
                    format!("version {version} refused: {reason}; version {ruling} rules")
                }
                Some(Status { version, outcome, .. }) => format!("version {version} {outcome}"),
            };
            output::line(format!("robot     {word}"))?;
            output::line(format!("{:#}", view.document))
        }
    }
}

async fn set(arguments: SetArguments) -> Result<(), CliError> {
    let (written, _) = read(&arguments.file)?;
    let client = Client::from_environment()?;
    let mut items = Vec::new();
    for robot in &arguments.to {
        let path = format!("/targets/{}/policy", encode(robot));
        let view: View = document(client.put(&path, &written).await?, &path)?;
        items.push(json!({ "target": robot, "version": view.version }));
        if !output::as_json() {
            output::line(format!("{robot} policy version {}", view.version))?;
        }
    }
    if output::as_json() { super::json(&json!({ "items": items })) } else { Ok(()) }
}

pub(super) fn read(file: &Path) -> Result<(Value, TelemetryPolicy), CliError> {
    let path = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|source| CliError::Read { path: path.clone(), source })?;
    let written: Value = serde_norway::from_str(&text).map_err(|source| CliError::Yaml { what: path.clone(), source })?;
    let policy = edgeflow_policy::parse(&written).map_err(|error| CliError::Input { path, reason: error.to_string() })?;
    Ok((written, policy))
}

/// Whether the route's fields are those of its type, as far as that is known before a robot sees the topic.
fn check_fields(file: &Path, at: &str, route: &Route) -> Result<String, CliError> {
    let Some(name) = &route.type_name else { return Ok("fields are checked on the robot, since no type is named".to_owned()) };
    let ty = match registry::resolve(name, None) {
        Ok(ty) => ty,
        Err(edgeflow_ros::Error::UnknownType { .. }) => return Ok(format!("{name} is not known here: fields are checked on the robot")),
        Err(error) => return Err(error.into()),
    };
    for (index, field) in route.fields.iter().enumerate() {
        let steps: Vec<registry::Step<'_>> = field.path.steps().iter().map(step).collect();
        registry::Projection::new(ty, &steps)
            .map_err(|error| CliError::Input { path: file.display().to_string(), reason: format!("{at}.fields[{index}]: {error}") })?;
    }
    Ok(format!("{} fields of {name}", route.fields.len()))
}

/// Whether what a trigger's condition names is in its types, as far as these are known here. Whether values fit each other is
/// looked at on the robot.
fn check_trigger(file: &Path, at: &str, trigger: &Trigger) -> Result<String, CliError> {
    let wrong =
        |place: &str, reason: String| CliError::Input { path: file.display().to_string(), reason: format!("{at}.{place}: {reason}") };
    let condition = edgeflow_policy::read(trigger).map_err(|reason| wrong("when", reason))?;
    let mut checked = 0;
    for reference in condition.references() {
        let Some(watch) = trigger.watch.get(&reference.variable) else { continue };
        let ty = match registry::resolve(&watch.type_name, None) {
            Ok(ty) => ty,
            Err(edgeflow_ros::Error::UnknownType { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let steps = watch.field.as_ref().map_or(reference.path.as_slice(), |field| field.steps());
        let steps: Vec<registry::Step<'_>> = steps.iter().map(step).collect();
        registry::Projection::new(ty, &steps).map_err(|error| wrong("when", error.to_string()))?;
        checked += 1;
    }
    Ok(format!("{checked} of {} values are of types known here", condition.references().len()))
}

fn step(step: &Step) -> registry::Step<'_> {
    match step {
        Step::Field(name) => registry::Step::Field(name),
        Step::At(index) => registry::Step::At(*index),
        Step::Every => registry::Step::Every,
    }
}
