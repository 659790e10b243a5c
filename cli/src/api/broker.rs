//! `edgeflow broker`.

use clap::Subcommand;
use edgeflow_identity::make_key;
use serde::Deserialize;
use serde_json::json;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{client::Client, document};
use crate::{error::CliError, output, when::when};

/// The broker's key; what else is written can be read by anybody.
const KEY: &str = "broker.key";

#[derive(Subcommand)]
pub(crate) enum BrokerCommand {
    /// On the broker's machine: make its key, and get it a certificate of the control plane's CA, that CA and the list of revoked certificates.
    #[command(after_help = "\
Example:
  edgeflow broker certificate --names broker.example,10.0.0.5 --out /etc/mosquitto/edgeflow

It lives for a year; --force replaces it by another one with a new key. docs/mqtt-broker.md has the broker's configuration.")]
    Certificate {
        /// Names and addresses under which robots and control plane reach the broker, comma-separated.
        #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
        names: Vec<String>,
        /// Folder for broker.key, broker.pem, ca.pem and revoked.pem; made when missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Replace the key and certificate that are there.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Deserialize)]
struct Certificate {
    certificate: String,
    ca: String,
    revoked: String,
    not_after_us: i64,
}

pub(crate) async fn broker(command: BrokerCommand) -> Result<(), CliError> {
    let BrokerCommand::Certificate { names, out, force } = command;
    let client = Client::from_environment()?;
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| CliError::Write { path, source }
    };
    fs::create_dir_all(&out).map_err(failed(&out))?;
    if !force && out.join(KEY).exists() {
        let path = out.join(KEY);
        return Err(failed(&path)(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it is there already: --force replaces it")));
    }
    let made = make_key(names.first().map_or("broker", String::as_str))?;
    let path = "/brokers/certificates";
    let answer = client.post(path, &json!({ "names": names, "csr": made.request_pem })).await?;
    let answer: Certificate = document(answer, path)?;
    for (name, content, mode) in [
        (KEY, &made.key_pem, 0o600),
        ("broker.pem", &answer.certificate, 0o644),
        ("ca.pem", &answer.ca, 0o644),
        ("revoked.pem", &answer.revoked, 0o644),
    ] {
        let (path, fresh) = (out.join(name), out.join(format!("{name}.new")));
        let write = || {
            let _ = fs::remove_file(&fresh);
            let mut file = File::options().write(true).create_new(true).mode(mode).open(&fresh)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(failed(&path))?;
    }
    let until = when(answer.not_after_us);
    let told = json!({ "names": names, "not_after_us": answer.not_after_us, "folder": out });
    output::said(format!("{}: good until {until}, in {}; let the broker's user read {KEY}", names.join(", "), out.display()), &told)
}
