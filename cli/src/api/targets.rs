//! `edgeflow targets`.

use clap::Subcommand;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::{client::Client, items, json, short};
use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(crate) enum TargetsCommand {
    /// Every robot: whether it is online, what it runs, whether its input drifts.
    List {
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Deserialize)]
struct Target {
    name: String,
    online: bool,
    slots: BTreeMap<String, Slot>,
    drift: Option<Drift>,
    accuracy: Option<Accuracy>,
}

#[derive(Deserialize)]
struct Slot {
    status: String,
    model: String,
    version: String,
    digest: String,
}

#[derive(Deserialize)]
struct Drift {
    flagged: bool,
}

#[derive(Deserialize)]
struct Accuracy {
    accuracy: f64,
}

pub(crate) async fn targets(command: TargetsCommand) -> Result<(), CliError> {
    let TargetsCommand::List { json: raw } = command;
    let list = Client::from_environment()?.get("/targets", &[]).await?;
    if raw {
        return json(&list);
    }
    let rows = items::<Target>(&list, "/targets")?.into_iter().map(row).collect::<Vec<_>>();
    output::table(["NAME", "ONLINE", "MODEL", "VERSION", "RUNNING DIGEST", "STATUS", "ACCURACY", "DRIFT"], &rows)
}

fn row(target: Target) -> [String; 8] {
    let none = || "-".to_owned();
    let filled = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let slot = target.slots.get("default");
    [
        target.name,
        if target.online { "yes" } else { "no" }.to_owned(),
        slot.map_or_else(none, |slot| filled(&slot.model)),
        slot.map_or_else(none, |slot| filled(&slot.version)),
        slot.map_or_else(none, |slot| filled(&short(&slot.digest))),
        slot.map_or_else(none, |slot| filled(&slot.status)),
        target.accuracy.map_or_else(none, |accuracy| format!("{:.1} %", accuracy.accuracy * 100.0)),
        target.drift.map_or_else(none, |drift| if drift.flagged { "flagged" } else { "no" }.to_owned()),
    ]
}
