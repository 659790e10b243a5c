//! `edgeflow model pull`: a version's bundle, as a folder on this machine.

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::{fs, path::PathBuf};

use super::{
    client::{Client, encode},
    document,
    push::FILES,
    transfer,
};
use crate::{error::CliError, output};

#[derive(Args)]
pub(crate) struct PullArguments {
    /// The model.
    name: String,
    /// A version: its number, or @ and an alias.
    version: String,
    /// The bundle's folder; made when missing. NAME-VERSION in this folder, when not said.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    digest: String,
    #[serde(default)]
    note: String,
    files: Vec<BundleFile>,
}

#[derive(Deserialize)]
struct BundleFile {
    path: String,
    size_bytes: u64,
    sha256: String,
}

pub(super) async fn pull(arguments: PullArguments) -> Result<(), CliError> {
    let PullArguments { name, version, out } = arguments;
    let client = Client::from_environment()?;
    let path = format!("/models/{}/versions/{}", encode(&name), encode(&version));
    let Version { version, digest, note, files } = document(client.get(&path, &[]).await?, &path)?;
    if files.is_empty() {
        return Err(CliError::Input { path: format!("{name} {version}"), reason: format!("it has no bundle: {note}") });
    }
    let out = out.unwrap_or_else(|| format!("{name}-{version}").into());
    fs::create_dir_all(&out).map_err(|source| CliError::Write { path: out.display().to_string(), source })?;
    let bar = transfer::bar(files.iter().map(|file| file.size_bytes).sum());
    for file in &files {
        // A name is part of a path here.
        if !FILES.contains(&file.path.as_str()) {
            return Err(CliError::Input { path: file.path.clone(), reason: "no file of a bundle is called so".to_owned() });
        }
        let (place, sha256) = (out.join(&file.path), file.sha256.trim_start_matches("sha256:"));
        if place.exists() {
            let same = transfer::digest(&place).is_ok_and(|there| there == sha256);
            if !same {
                let reason = "there is another such file already: name another folder with --out".to_owned();
                return Err(CliError::Input { path: place.display().to_string(), reason });
            }
            bar.inc(file.size_bytes);
            continue;
        }
        transfer::fetch(&client, &format!("/artifacts/{sha256}"), (file.size_bytes, sha256), &place, &bar).await?;
    }
    bar.finish_and_clear();
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let told = json!({ "model": name, "version": version, "digest": digest, "folder": out, "files": names });
    output::said(format!("{name} version {version} {digest} is in {}: {}", out.display(), names.join(", ")), &told)
}
