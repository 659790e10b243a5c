//! `edgeflow enroll`: on the robot, from a one-time token to a certificate.

use clap::Args;
use edgeflow_identity::{BootstrapToken, enrol};
use serde_json::json;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{error::CliError, output, when::when};

#[derive(Args)]
#[command(after_help = "\
Examples:
  edgeflow enroll --token /run/bootstrap --server https://fleet.example:5000 --out /etc/edgeflow/identity
  ssh desk edgeflow targets bootstrap robot-1 --token-file - | edgeflow enroll --token - --server ... --out ...

The key is made here and stays here. The control plane is believed only if its CA is the one that the token names.")]
pub(crate) struct EnrollArguments {
    /// File with the bootstrap token, which `edgeflow targets bootstrap` made; - for standard input.
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
    /// The control plane, https://host:port.
    #[arg(long, value_name = "URL")]
    server: String,
    /// SHA-256 of the control plane's CA certificate, when the token does not carry it or to be sure.
    #[arg(long, value_name = "HEX")]
    ca_fingerprint: Option<String>,
    /// Folder for key, certificate, CA and pinned keys; the bridge's identity_dir.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace the identity that is there.
    #[arg(long)]
    force: bool,
}

pub(crate) async fn enroll(arguments: EnrollArguments) -> Result<(), CliError> {
    let token = BootstrapToken::parse(&read(&arguments.token)?, arguments.ca_fingerprint.as_deref())?;
    let identity = enrol(&arguments.server, &token, &arguments.out, arguments.force).await?;
    let until = when(identity.not_after_us());
    let told = json!({ "name": identity.robot(), "not_after_us": identity.not_after_us(), "identity_dir": arguments.out });
    output::said(
        format!("{} is enrolled until {until}; give its bridge identity_dir:={}", identity.robot(), arguments.out.display()),
        &told,
    )
}

fn read(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::Read { path: path.display().to_string(), source };
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    fs::read_to_string(path).map_err(failed)
}
