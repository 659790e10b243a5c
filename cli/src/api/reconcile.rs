//! `edgeflow targets hold`, `release`, `conflicts`, `resolve` and `clear`: whose word about a robot stands.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    items, short,
};
use crate::{error::CliError, output, when::when};

/// Whose content a slot shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// What the robot has becomes what is declared.
    Robot,
    /// What is declared replaces what the robot has.
    Control,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Side::Robot => "robot",
            Side::Control => "control",
        }
    }
}

/// What shall become of slots that were changed on the robot.
#[derive(Args)]
pub(crate) struct ResolveArguments {
    /// The robot's name.
    name: String,
    /// The slot.
    #[arg(required_unless_present = "merge", conflicts_with = "merge", requires = "take")]
    slot: Option<String>,
    /// Whose content the slot shall have.
    #[arg(long, value_enum, value_name = "SIDE")]
    take: Option<Side>,
    /// Of each of these slots one side's, all at once; can be given again.
    #[arg(long, value_name = "SLOT=SIDE", value_parser = merge, conflicts_with = "take")]
    merge: Vec<(String, Side)>,
}

fn merge(text: &str) -> Result<(String, Side), String> {
    let (slot, side) = text.split_once('=').ok_or("write SLOT=robot or SLOT=control")?;
    Ok((slot.to_owned(), Side::from_str(side, false)?))
}

#[derive(Deserialize)]
struct Conflict {
    slot: String,
    standing: String,
    what: String,
    since_us: i64,
    robot: Has,
    control: Has,
}

#[derive(Deserialize)]
struct Has {
    model: String,
    version: String,
    digest: String,
}

impl Has {
    fn label(&self) -> String {
        if self.digest.is_empty() {
            return "nothing".to_owned();
        }
        format!("{} {} {}", self.model, self.version, short(&self.digest)).trim().to_owned()
    }
}

pub(super) async fn hold(name: &str, reason: &str) -> Result<(), CliError> {
    let view = Client::from_environment()?.post(&format!("/targets/{}/hold", encode(name)), &json!({ "reason": reason })).await?;
    told(format!("{name} is held: {reason}"), &view)
}

pub(super) async fn release(name: &str) -> Result<(), CliError> {
    Client::from_environment()?.delete(&format!("/targets/{}/hold", encode(name))).await?;
    output::said(format!("{name} is released"), &json!({ "released": name }))
}

pub(super) async fn clear(name: &str, slot: &str) -> Result<(), CliError> {
    Client::from_environment()?.delete(&format!("/targets/{}/slots/{}", encode(name), encode(slot))).await?;
    output::said(format!("nothing is declared for slot {slot} of {name} any more"), &json!({ "target": name, "cleared": slot }))
}

pub(super) async fn conflicts(name: &str) -> Result<(), CliError> {
    let path = format!("/targets/{}/conflicts", encode(name));
    let list = Client::from_environment()?.get(&path, &[]).await?;
    if output::as_json() {
        return super::json(&list);
    }
    let row = |one: Conflict| [one.slot, one.standing, one.robot.label(), one.control.label(), when(one.since_us), one.what];
    let rows = items::<Conflict>(&list, &path)?.into_iter().map(row).collect::<Vec<_>>();
    output::table(["SLOT", "STANDING", "ROBOT HAS", "DECLARED", "SINCE", "WHAT"], &rows)
}

pub(super) async fn resolve(arguments: ResolveArguments) -> Result<(), CliError> {
    let ResolveArguments { name, slot, take, merge } = arguments;
    let first = slot.or_else(|| merge.first().map(|(slot, _)| slot.clone())).unwrap_or_default();
    let request = match take {
        Some(side) => json!({ "take": side.as_str() }),
        None => {
            let sides: serde_json::Map<String, Value> = merge.into_iter().map(|(slot, side)| (slot, json!(side.as_str()))).collect();
            json!({ "merge": sides })
        }
    };
    let path = format!("/targets/{}/conflicts/{}/resolve", encode(&name), encode(&first));
    let view = Client::from_environment()?.post(&path, &request).await?;
    told(format!("{name}: settled, {request}"), &view)
}

fn told(text: String, view: &Value) -> Result<(), CliError> {
    if output::as_json() { super::json(view) } else { output::line(text) }
}
