//! `edgeflow login`: the control plane one works with, and the token for it, kept in a file of its owner.
//!
//! The token of a file is only ever sent to the address it was stored for.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
    env,
    fs::{self, File},
    io::{self, BufRead, IsTerminal, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use crate::{
    api,
    error::CliError,
    output,
    settings::{self, ConfigFile},
};

/// Arguments of `edgeflow login`.
#[derive(Args)]
#[command(after_help = "\
The token is asked for, or read from standard input, or taken from EDGEFLOW_TOKEN; never from the command line.

Examples:
  edgeflow login http://127.0.0.1:5000
  edgeflow login https://fleet.example:5000 --ca ca.pem < token")]
pub(crate) struct LoginArguments {
    /// Address of the control plane.
    #[arg(value_name = "URL")]
    address: String,
    /// File with the control plane's CA certificate, for an https:// address.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// Address of the control plane.
    pub(crate) url: String,
    /// The token for it.
    pub(crate) token: String,
    /// File with its CA certificate.
    pub(crate) ca: Option<String>,
}

impl Login {
    /// Where it is kept; `None` of a user without a home.
    pub(crate) fn place() -> Option<PathBuf> {
        Some(settings::folder()?.join("login.json"))
    }

    /// What was stored, if something was. A file that others can read is refused: what is in it is no secret any more.
    pub(crate) fn load() -> Result<Option<Self>, CliError> {
        let Some(path) = Self::place() else { return Ok(None) };
        let shown = path.display().to_string();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CliError::Read { path: shown, source }),
        };
        let mode = fs::metadata(&path).map_err(|source| CliError::Read { path: shown.clone(), source })?.permissions().mode();
        if mode & 0o077 != 0 {
            let reason = format!("others can read the token in it (mode {:o}): chmod 600 it, or log in again", mode & 0o777);
            return Err(CliError::Input { path: shown, reason });
        }
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|error| CliError::Input { path: shown, reason: format!("it does not read ({error}): log in again") })
    }

    fn store(&self) -> Result<PathBuf, CliError> {
        let path = Self::place()
            .ok_or_else(|| CliError::Input { path: "HOME".into(), reason: "it is not set, so there is no place for a login".into() })?;
        let failed = |source| CliError::Write { path: path.display().to_string(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // Written beside and moved into place: whoever reads along sees the old one or the new one.
        let beside = path.with_extension("new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&beside, &path).map_err(failed)?;
        Ok(path)
    }
}

/// Asks the control plane whether the token is right, and remembers it.
pub(crate) async fn login(arguments: LoginArguments) -> Result<(), CliError> {
    let address = arguments.address.trim_end_matches('/').to_owned();
    let ca = match arguments.ca {
        None => None,
        Some(path) => {
            let whole = fs::canonicalize(&path).map_err(|source| CliError::Read { path: path.display().to_string(), source })?;
            Some(whole.display().to_string())
        }
    };
    let login = Login { url: address, token: token()?, ca };
    let server = api::greet(&login).await?;
    let path = login.store()?;
    // An address in the file would win over this one.
    let mut file = ConfigFile::load()?;
    if file.url.take_if(|url| *url != login.url).is_some() {
        file.ca = None;
        file.store()?;
    }
    let text = format!("logged in to {} (edgeflow-server {server}); the token is in {}", login.url, path.display());
    output::said(text, &json!({ "url": login.url, "server_version": server, "file": path }))
}

fn token() -> Result<String, CliError> {
    if let Some(token) = env::var("EDGEFLOW_TOKEN").ok().filter(|token| !token.is_empty()) {
        return Ok(token);
    }
    let read = |source| CliError::Read { path: "the token from standard input".into(), source };
    let line = if io::stdin().is_terminal() {
        eprint!("token: ");
        console::Term::stderr().read_secure_line().map_err(read)?
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(read)?;
        line
    };
    let token = line.trim().to_owned();
    if token.is_empty() { Err(CliError::NoToken) } else { Ok(token) }
}

/// Forgets what was stored.
pub(crate) fn logout() -> Result<(), CliError> {
    let Some(path) = Login::place() else { return Ok(()) };
    match fs::remove_file(&path) {
        Ok(()) => output::said(format!("{} is removed", path.display()), &json!({ "removed": path })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => output::said("nobody is logged in", &json!({ "removed": null })),
        Err(source) => Err(CliError::Write { path: path.display().to_string(), source }),
    }
}
