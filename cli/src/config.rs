//! `edgeflow config`: what this program goes by, and where it comes from.

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::{env, fs, path::Path};

use crate::{
    error::CliError,
    output,
    settings::{self, ConfigFile, Connection, Origin},
};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every value, and where it comes from: a flag, the environment, the file, the login, or the default.
    #[command(after_help = "\
The token itself is never shown.

Examples:
  edgeflow config show
  EDGEFLOW_URL=https://fleet.example:5000 edgeflow config show --output json")]
    Show,
    /// Set a value in the file.
    #[command(after_help = "\
Examples:
  edgeflow config set url https://fleet.example:5000
  edgeflow config set ca ~/fleet-ca.pem
  edgeflow config set output json")]
    Set {
        /// Which.
        key: Key,
        /// The value.
        value: String,
    },
    /// Take a value out of the file.
    #[command(after_help = "Example:\n  edgeflow config unset output")]
    Unset {
        /// Which.
        key: Key,
    },
}

/// What the file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Key {
    /// Address of the control plane.
    Url,
    /// File with its CA certificate.
    Ca,
    /// `table` or `json`.
    Output,
}

pub(crate) fn config(command: ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Show => show(),
        ConfigCommand::Set { key, value } => {
            let mut file = ConfigFile::load()?;
            match key {
                Key::Url => file.url = Some(url(&value)?),
                Key::Ca => file.ca = Some(certificate(&value)?),
                Key::Output => file.output = Some(value.parse().map_err(|reason| bad(&value, reason))?),
            }
            done(&file.store()?)
        }
        ConfigCommand::Unset { key } => {
            let mut file = ConfigFile::load()?;
            match key {
                Key::Url => file.url = None,
                Key::Ca => file.ca = None,
                Key::Output => file.output = None,
            }
            done(&file.store()?)
        }
    }
}

fn done(path: &Path) -> Result<(), CliError> {
    output::said(format!("{} is written", path.display()), &json!({ "file": path }))
}

fn bad(value: &str, reason: String) -> CliError {
    CliError::Input { path: value.to_owned(), reason }
}

fn url(value: &str) -> Result<String, CliError> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['@', ' ']) => Ok(value.trim_end_matches('/').to_owned()),
        Some(host) if host.contains('@') => Err(bad("the address", "it holds a name or secret before @: use edgeflow login".to_owned())),
        _ => Err(bad(value, "give an address such as https://fleet.example:5000".to_owned())),
    }
}

fn certificate(value: &str) -> Result<String, CliError> {
    let failed = |source| CliError::Read { path: value.to_owned(), source };
    let text = fs::read_to_string(value).map_err(failed)?;
    edgeflow_identity::fingerprint(&text)?;
    Ok(fs::canonicalize(value).map_err(failed)?.display().to_string())
}

fn show() -> Result<(), CliError> {
    let Connection { url, token, ca } = Connection::now()?;
    let format = settings::format()?;
    let router = match env::var(edgeflow_ros::router::ENVIRONMENT) {
        Ok(value) if !value.is_empty() => (value, Origin::Environment(edgeflow_ros::router::ENVIRONMENT)),
        _ => (edgeflow_ros::router::DEFAULT_ADDRESS.to_string(), Origin::Default),
    };
    let known = [
        ("url", Some((url.value, url.origin))),
        ("token", token.map(|token| ("set".to_owned(), token.origin))),
        ("ca", ca.map(|ca| (ca.value, ca.origin))),
        ("output", Some((format.value.to_string(), format.origin))),
        ("ros_router", Some(router)),
    ];
    if output::as_json() {
        let value = |(key, set): (&str, Option<(String, Origin)>)| {
            let (value, origin) = set.unzip();
            json!({ "key": key, "value": value, "from": origin.map(|origin| origin.to_string()) })
        };
        return output::line(format!("{:#}", json!({ "items": known.map(value) })));
    }
    let row = |(key, set): (&str, Option<(String, Origin)>)| match set {
        Some((value, origin)) => [key.to_owned(), value, origin.to_string()],
        None => [key.to_owned(), "not set".to_owned(), "-".to_owned()],
    };
    output::table(["KEY", "VALUE", "FROM"], &known.map(row))
}
