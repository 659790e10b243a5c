//! The control plane's HTTP API from a terminal: what a script or a person in a hurry needs of it.

mod broker;
mod captures;
mod client;
mod command;
mod deploy;
mod drift;
mod events;
mod lineage;
mod lineage_over_time;
mod logs;
mod model;
mod operators;
mod policy;
mod pull;
mod push;
mod reconcile;
mod rollout;
mod targets;
mod transfer;

pub(crate) use broker::{BrokerCommand, broker};
pub(crate) use captures::{CapturesCommand, captures};
pub(crate) use client::{Client, encode};
pub(crate) use command::{CommandCommand, command};
pub(crate) use deploy::{DeployArguments, deploy};
pub(crate) use drift::{DriftArguments, drift};
pub(crate) use events::{EventsArguments, events};
pub(crate) use lineage::{LineageArguments, lineage};
pub(crate) use logs::{LogsArguments, logs};
pub(crate) use model::{ModelCommand, model};
pub(crate) use operators::{OperatorsCommand, operators};
pub(crate) use policy::{PolicyCommand, policy};
pub(crate) use rollout::{RolloutCommand, rollout};
pub(crate) use targets::{RevokeArguments, TargetsCommand, revoke, targets};

use serde_json::Value;

use crate::{error::CliError, output};

/// Version of the control plane that this login opens.
pub(crate) async fn greet(login: &crate::login::Login) -> Result<String, CliError> {
    let server = client::Client::of_login(login)?.get("/server", &[]).await?;
    Ok(server.get("version").and_then(Value::as_str).unwrap_or("of unknown version").to_owned())
}

/// A digest as people compare it: `sha256:` and the first twelve digits.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

fn json(value: &Value) -> Result<(), CliError> {
    output::line(format!("{value:#}"))
}

/// The `items` of a list.
fn items<T: serde::de::DeserializeOwned>(list: &Value, path: &str) -> Result<Vec<T>, CliError> {
    let items = list.get("items").cloned().unwrap_or_default();
    serde_json::from_value(items).map_err(|source| CliError::Answer { path: path.to_owned(), source })
}

/// One document.
pub(crate) fn document<T: serde::de::DeserializeOwned>(value: Value, path: &str) -> Result<T, CliError> {
    serde_json::from_value(value).map_err(|source| CliError::Answer { path: path.to_owned(), source })
}
