//! `edgeflow model`.

use clap::{Args, Subcommand};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use std::path::{Path, PathBuf};

use super::{
    client::{Client, encode},
    document, items, json,
};
use crate::{error::CliError, output};

/// The files a bundle may have; the first one it must have.
const FILES: [&str; 4] = ["model.onnx", "edgeflow.yaml", "baseline.json", "golden.json"];

#[derive(Subcommand)]
pub(crate) enum ModelCommand {
    /// Every model.
    List {
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// Register a bundle (a folder with model.onnx and optionally edgeflow.yaml, baseline.json and golden.json) as the next version.
    #[command(after_help = "Example:\n  edgeflow model push label-reader sim/models/v1 --description 'first reader'")]
    Push(PushArguments),
}

#[derive(Args)]
pub(crate) struct PushArguments {
    /// The model; made if it is new.
    name: String,
    /// The bundle's folder.
    bundle: PathBuf,
    /// What this version is, for people.
    #[arg(long)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    model: String,
    version: String,
    digest: String,
}

pub(crate) async fn model(command: ModelCommand) -> Result<(), CliError> {
    match command {
        ModelCommand::List { json: raw } => {
            let list = Client::from_environment()?.get("/models", &[]).await?;
            if raw {
                return json(&list);
            }
            let rows = items::<Model>(&list, "/models")?.into_iter().map(|model| [model.name, model.description.unwrap_or_default()]);
            output::table(["NAME", "DESCRIPTION"], &rows.collect::<Vec<_>>())
        }
        ModelCommand::Push(arguments) => push(arguments).await,
    }
}

async fn push(arguments: PushArguments) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let mut form = Form::new();
    for (name, bytes) in read_bundle(&arguments.bundle)? {
        form = form.part(name, Part::bytes(bytes).file_name(name));
    }
    if let Some(description) = arguments.description {
        form = form.text("description", description);
    }
    let path = format!("/models/{}/versions", encode(&arguments.name));
    let version: Version = document(client.post_form(&path, form).await?, &path)?;
    output::line(format!("{} version {} {}", version.model, version.version, version.digest))
}

/// The bundle's files. Others in the folder would be lost without a word, so they are refused.
fn read_bundle(folder: &Path) -> Result<Vec<(&'static str, Vec<u8>)>, CliError> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |source| CliError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let found = entry.file_name();
        let Some(name) = FILES.into_iter().find(|name| found == *name) else {
            let (what, found) = (folder.display().to_string(), found.to_string_lossy().into_owned());
            return Err(CliError::Value { what, reason: format!("a bundle has no file {found}: only {} are allowed", FILES.join(", ")) });
        };
        files.push((name, std::fs::read(entry.path()).map_err(unreadable(&entry.path()))?));
    }
    if files.iter().all(|(name, _)| *name != FILES[0]) {
        return Err(CliError::Value { what: folder.display().to_string(), reason: format!("has no {}", FILES[0]) });
    }
    files.sort_by_key(|(name, _)| *name);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_bundle_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = || read_bundle(folder.path()).unwrap_err().to_string();
        assert!(error().contains("has no model.onnx"));
        std::fs::write(folder.path().join("model.onnx"), "m").unwrap();
        std::fs::write(folder.path().join("edgeflow.yaml"), "v: 1").unwrap();
        assert_eq!(read_bundle(folder.path()).unwrap(), [("edgeflow.yaml", b"v: 1".to_vec()), ("model.onnx", b"m".to_vec())]);
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert!(error().contains("notes.txt"));
        assert!(read_bundle(&folder.path().join("gone")).unwrap_err().to_string().contains("gone"));
    }
}
