//! `edgeflow model push`: a bundle's folder, or an ONNX file with what is to go with it.

use clap::{Args, ValueEnum};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio_util::io::ReaderStream;

use super::{
    client::{Client, encode},
    document, json,
};
use crate::{baseline, error::CliError, output};

/// The files a bundle may have; the first one it must have.
pub(super) const FILES: [&str; 4] = ["model.onnx", "edgeflow.yaml", "baseline.json", "golden.json"];
const CHUNK_BYTES: usize = 1 << 18;

#[derive(Args)]
pub(crate) struct PushArguments {
    /// The model (made if it is new) and the bundle's folder; or, with --name, the folder or an ONNX file alone.
    #[arg(required = true, num_args = 1..=2, value_name = "NAME> <BUNDLE")]
    what: Vec<PathBuf>,
    /// The model; made if it is new.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The drift reference: a baseline.json, or the training data to make one of (.npy, .csv, .parquet, or a folder of images).
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Name of the input that the rows of a .npy are of.
    #[arg(long, value_name = "NAME", default_value = "X", requires = "baseline")]
    baseline_name: String,
    /// The manifest, beside an ONNX file.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// What it is. Of a map, a package or a configuration the bundle is a folder with any files, which robots get as they are.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    kind: Kind,
    /// What this version is, for people.
    #[arg(long)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    model: String,
    version: String,
    digest: String,
}

/// What is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[default]
    Model,
    Map,
    Package,
    Config,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Map => "map",
            Kind::Package => "package",
            Kind::Config => "config",
        }
    }
}

/// A file of the bundle, on disk or made here.
#[derive(Debug, PartialEq)]
enum Source {
    File(PathBuf),
    Made(Vec<u8>),
}

pub(super) async fn push(arguments: PushArguments) -> Result<(), CliError> {
    let (name, path) = name_and_path(&arguments)?;
    if arguments.kind != Kind::Model && (arguments.manifest.is_some() || arguments.baseline.is_some()) {
        let reason = "--manifest and --baseline are of models".to_owned();
        return Err(CliError::Value { what: "model push".into(), reason });
    }
    let mut files = if arguments.kind == Kind::Model { read_bundle(&path)? } else { read_files(&path)? };
    if let Some(manifest) = arguments.manifest {
        add(&mut files, FILES[1], Source::File(manifest))?;
    }
    if let Some(data) = arguments.baseline {
        let source = if data.extension().is_some_and(|extension| extension == "json") {
            Source::File(data)
        } else {
            Source::Made(baseline::of(&data, &arguments.baseline_name)?.into_bytes())
        };
        add(&mut files, FILES[2], source)?;
    }
    let client = Client::from_environment()?;
    let bar = ProgressBar::new(0);
    // A template of our own that is right is never refused.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec}") {
        bar.set_style(style);
    }
    let mut form = Form::new();
    for (file, source) in files {
        form = form.part(file.clone(), part(source, &bar).await?.file_name(file));
    }
    if let Some(description) = arguments.description {
        form = form.text("description", description);
    }
    let path = format!("/models/{}/versions?kind={}", encode(&name), arguments.kind.as_str());
    let answer = client.post_form(&path, form).await;
    bar.finish_and_clear();
    let answer = answer?;
    if output::as_json() {
        return json(&answer);
    }
    let version: Version = document(answer, &path)?;
    output::line(format!("{} version {} {}", version.model, version.version, version.digest))
}

fn name_and_path(arguments: &PushArguments) -> Result<(String, PathBuf), CliError> {
    let wrong = |reason: &str| CliError::Value { what: "model push".into(), reason: reason.into() };
    match (&arguments.name, arguments.what.as_slice()) {
        (Some(name), [path]) => Ok((name.clone(), path.clone())),
        (None, [name, path]) => {
            let name = name.to_str().ok_or_else(|| wrong("the name of the model is not UTF-8"))?;
            Ok((name.to_owned(), path.clone()))
        }
        (Some(_), _) => Err(wrong("give the model either as --name or before the bundle")),
        (None, _) => Err(wrong("give the model's name: edgeflow model push NAME BUNDLE, or --name NAME")),
    }
}

type Files = Vec<(String, Source)>;

fn add(files: &mut Files, name: &str, source: Source) -> Result<(), CliError> {
    if files.iter().any(|(there, _)| there == name) {
        return Err(CliError::Value { what: name.into(), reason: "it is in the bundle already: take it out, or leave the option".into() });
    }
    files.push((name.to_owned(), source));
    Ok(())
}

/// One part of the form, read as it is sent.
async fn part(source: Source, bar: &ProgressBar) -> Result<Part, CliError> {
    let path = match source {
        Source::Made(bytes) => return Ok(Part::bytes(bytes)),
        Source::File(path) => path,
    };
    let unreadable = |source| CliError::Read { path: path.display().to_string(), source };
    let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    bar.inc_length(size);
    let seen = bar.clone();
    let stream = ReaderStream::with_capacity(file, CHUNK_BYTES).inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            seen.inc(chunk.len() as u64);
        }
    });
    Ok(Part::stream_with_length(Body::wrap_stream(stream), size))
}

/// The files of a bundle's folder, or an ONNX file as a bundle. Others in a folder would be lost without a word, so they are
/// refused.
fn read_bundle(path: &Path) -> Result<Files, CliError> {
    let unreadable = |source| CliError::Read { path: path.display().to_string(), source };
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        if path.extension().is_none_or(|extension| extension != "onnx") {
            let reason = "it is neither a bundle's folder nor an .onnx file".to_owned();
            return Err(CliError::Value { what: path.display().to_string(), reason });
        }
        return Ok(vec![(FILES[0].to_owned(), Source::File(path.to_owned()))]);
    }
    let mut files = Files::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let found = entry.file_name();
        let Some(name) = FILES.into_iter().find(|name| found == *name) else {
            let (what, found) = (path.display().to_string(), found.to_string_lossy().into_owned());
            return Err(CliError::Value { what, reason: format!("a bundle has no file {found}: only {} are allowed", FILES.join(", ")) });
        };
        files.push((name.to_owned(), Source::File(entry.path())));
    }
    if files.iter().all(|(name, _)| name != FILES[0]) {
        return Err(CliError::Value { what: path.display().to_string(), reason: format!("has no {}", FILES[0]) });
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

/// The files of what is no model: a folder's, or one alone.
fn read_files(path: &Path) -> Result<Files, CliError> {
    let unreadable = |source| CliError::Read { path: path.display().to_string(), source };
    let wrong = |reason: String| CliError::Value { what: path.display().to_string(), reason };
    let name = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        name.ok_or_else(|| wrong(format!("the name of {} is not UTF-8", path.display())))
    };
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![(name(path)?, Source::File(path.to_owned()))]);
    }
    let mut files = Files::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.is_dir() {
            return Err(wrong(format!("{} is a folder: pack it into an archive", file.display())));
        }
        files.push((name(&file)?, Source::File(file)));
    }
    if files.is_empty() {
        return Err(wrong("it has no files".to_owned()));
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
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
        let file = |name: &str| Source::File(folder.path().join(name));
        let mut files = read_bundle(folder.path()).unwrap();
        assert_eq!(files, [("edgeflow.yaml".to_owned(), file("edgeflow.yaml")), ("model.onnx".to_owned(), file("model.onnx"))]);
        assert!(add(&mut files, "edgeflow.yaml", Source::Made(vec![])).is_err());
        assert_eq!(read_bundle(&folder.path().join("model.onnx")).unwrap(), [("model.onnx".to_owned(), file("model.onnx"))]);
        assert!(read_bundle(&folder.path().join("edgeflow.yaml")).unwrap_err().to_string().contains("neither"));
        std::fs::write(folder.path().join("notes.txt"), "").unwrap();
        assert_eq!(read_files(folder.path()).unwrap().len(), 3, "a map may have any files");
        assert!(error().contains("notes.txt"));
        assert!(read_bundle(&folder.path().join("gone")).unwrap_err().to_string().contains("gone"));
    }
}
