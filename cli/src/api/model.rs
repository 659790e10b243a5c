//! `edgeflow model`: listing, showing and comparing. [`push`](super::push) registers.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{
    client::{Client, encode},
    document, items, json,
    pull::{PullArguments, pull},
    push::{PushArguments, push},
    short,
};
use crate::{error::CliError, output, when::when};

#[derive(Subcommand)]
pub(crate) enum ModelCommand {
    /// Every model.
    #[command(after_help = "Example:\n  edgeflow model list")]
    List {
        /// As the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// One model with its versions, or one version.
    #[command(after_help = "\
Examples:
  edgeflow model show label-reader
  edgeflow model show label-reader 2
  edgeflow model show label-reader @champion")]
    Show {
        /// The model.
        name: String,
        /// A version: its number, or @ and an alias.
        version: Option<String>,
    },
    /// What differs between two versions: schema, graph, files, labels; metrics, parameters, datasets and code of their runs; drift
    /// references.
    #[command(after_help = "\
Examples:
  edgeflow model diff label-reader 1 2
  edgeflow model diff label-reader 2 @champion --of other-reader")]
    Diff {
        /// The model.
        name: String,
        /// A version: its number, or @ and an alias.
        before: String,
        /// The other version.
        after: String,
        /// The other version's model, if it is another one.
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
    /// Register a model as the next version: a bundle's folder, or an ONNX file.
    #[command(after_help = "\
Examples:
  edgeflow model push label-reader sim/models/v1 --description 'first reader'
  edgeflow model push model.onnx --name label-reader --baseline train.npy")]
    Push(PushArguments),
    /// Fetch a version's bundle into a folder. What is there already is not fetched again, what was cut off goes on.
    #[command(after_help = "\
Examples:
  edgeflow model pull label-reader 2
  edgeflow model pull label-reader @champion --out bundle")]
    Pull(PullArguments),
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    model: String,
    version: String,
    digest: String,
    #[serde(default = "yes")]
    deployable: bool,
    #[serde(default)]
    note: String,
    #[serde(default)]
    stage: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    size_bytes: u64,
    #[serde(default)]
    created_at_us: i64,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    run_id: Option<String>,
    #[serde(default)]
    onnx: Option<Onnx>,
    #[serde(default)]
    report: Option<Report>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Onnx {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    opset: i64,
    producer: String,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    elem_type: String,
    shape: Vec<Option<i64>>,
}

impl Tensor {
    fn text(&self) -> String {
        let dims: Vec<String> = self.shape.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
        format!("{} {}[{}]", self.name, self.elem_type, dims.join(", "))
    }
}

#[derive(Deserialize)]
struct Report {
    nodes: u64,
    parameters: u64,
    macs: u64,
    #[serde(default)]
    unestimated: BTreeMap<String, u64>,
}

pub(crate) async fn model(command: ModelCommand) -> Result<(), CliError> {
    match command {
        ModelCommand::List { json: raw } => {
            let list = Client::from_environment()?.get("/models", &[]).await?;
            if raw || output::as_json() {
                return json(&list);
            }
            let row = |model: Model| {
                let newest = model.versions.first().map_or_else(|| "-".to_owned(), |version| version.version.clone());
                let aliases = model.aliases.iter().map(|(alias, version)| format!("@{alias}={version}")).collect::<Vec<_>>().join(" ");
                [model.name, newest, aliases, model.description.unwrap_or_default()]
            };
            let rows: Vec<_> = items::<Model>(&list, "/models")?.into_iter().map(row).collect();
            output::table(["NAME", "NEWEST", "ALIASES", "DESCRIPTION"], &rows)
        }
        ModelCommand::Show { name, version: None } => {
            let path = format!("/models/{}", encode(&name));
            let answer = Client::from_environment()?.get(&path, &[]).await?;
            if output::as_json() {
                return json(&answer);
            }
            show_model(document(answer, &path)?)
        }
        ModelCommand::Show { name, version: Some(version) } => {
            let path = format!("/models/{}/versions/{}", encode(&name), encode(&version));
            let answer = Client::from_environment()?.get(&path, &[]).await?;
            if output::as_json() {
                return json(&answer);
            }
            show_version(&document(answer, &path)?)
        }
        ModelCommand::Diff { name, before, after, of } => {
            let path = format!("/models/{}/versions/{}/diff", encode(&name), encode(&before));
            let mut query = vec![("with", after)];
            query.extend(of.map(|of| ("model", of)));
            let answer = Client::from_environment()?.get(&path, &query).await?;
            if output::as_json() {
                return json(&answer);
            }
            show_diff(&answer)
        }
        ModelCommand::Pull(arguments) => pull(arguments).await,
        ModelCommand::Push(arguments) => push(arguments).await,
    }
}

fn show_model(model: Model) -> Result<(), CliError> {
    output::line(&model.name)?;
    for text in model.description.iter().filter(|text| !text.is_empty()) {
        output::line(format!("  {text}"))?;
    }
    for (key, value) in &model.tags {
        output::line(format!("  {key}: {value}"))?;
    }
    let row = |version: Version| {
        let aliases = version.aliases.iter().map(|alias| format!("@{alias}")).collect::<Vec<_>>().join(" ");
        let digest = if version.deployable { short(&version.digest) } else { "not deployable".to_owned() };
        [version.version, version.stage, aliases, digest, when(version.created_at_us), version.created_by, version.description]
    };
    let rows: Vec<_> = model.versions.into_iter().map(row).collect();
    output::table(["VERSION", "STAGE", "ALIASES", "DIGEST", "REGISTERED", "BY", "DESCRIPTION"], &rows)
}

fn show_version(version: &Version) -> Result<(), CliError> {
    let mut lines = vec![format!("{} version {}", version.model, version.version)];
    let mut fact = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {name:<12} {text}"));
        }
    };
    fact("description", version.description.clone());
    fact("note", version.note.clone());
    fact("digest", version.digest.clone());
    fact("size", if version.deployable { indicatif::HumanBytes(version.size_bytes).to_string() } else { String::new() });
    fact("stage", version.stage.clone());
    fact("aliases", version.aliases.iter().map(|alias| format!("@{alias}")).collect::<Vec<_>>().join(" "));
    fact("run", version.run_id.clone().unwrap_or_default());
    fact("registered", format!("{} by {}", when(version.created_at_us), version.created_by));
    if let Some(onnx) = &version.onnx {
        fact("graph", format!("opset {}, made by {}", onnx.opset, onnx.producer));
        for (name, tensors) in [("input", &onnx.inputs), ("output", &onnx.outputs)] {
            for tensor in tensors {
                fact(name, tensor.text());
            }
        }
    }
    if let Some(report) = &version.report {
        fact("nodes", report.nodes.to_string());
        fact("parameters", report.parameters.to_string());
        let unknown: Vec<String> = report.unestimated.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let without = if unknown.is_empty() { String::new() } else { format!(", without {}", unknown.join(", ")) };
        fact("cost", format!("{} multiply-accumulates a run{without}", report.macs));
    }
    output::text(&(lines.join("\n") + "\n"))
}

/// Parts of a comparison that are tables of changes, with what a reader calls them.
const PARTS: [(&str, &str); 10] = [
    ("inputs", "input"),
    ("outputs", "output"),
    ("graph", "graph"),
    ("operators", "operator"),
    ("metrics", "metric"),
    ("params", "parameter"),
    ("datasets", "dataset"),
    ("baseline", "baseline"),
    ("tags", "tag"),
    ("files", "file"),
];

fn show_diff(diff: &Value) -> Result<(), CliError> {
    let rows = changes(diff);
    if rows.is_empty() {
        return output::line("nothing differs");
    }
    output::table(["WHAT", "NAME", "BEFORE", "AFTER"], &rows)?;
    let compatible = diff.get("compatible").and_then(Value::as_bool).unwrap_or(false);
    output::line(if compatible { "\nsame inputs and outputs" } else { "\ninputs or outputs differ: robots may need another configuration" })
}

/// A comparison in rows: what, its name, before, after.
pub(super) fn changes(diff: &Value) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    let mut row = |what: &str, name: &str, change: &Value| {
        rows.push([what.to_owned(), name.to_owned(), cell(change.get("before")), cell(change.get("after"))]);
    };
    for (part, what) in PARTS {
        for (name, change) in diff.get(part).and_then(Value::as_object).into_iter().flatten() {
            row(what, name, change);
        }
    }
    for (part, what) in [("labels", "labels"), ("manifest", "edgeflow.yaml"), ("code", "code")] {
        if let Some(change) = diff.get(part).filter(|change| !change.is_null()) {
            row(what, "", change);
        }
    }
    rows
}

/// A side of a change in one line.
fn cell(side: Option<&Value>) -> String {
    const WIDTH: usize = 48;
    let text = match side {
        None | Some(Value::Null) => return "-".to_owned(),
        Some(Value::String(text)) => text.replace('\n', " "),
        Some(Value::Number(number)) => number.to_string(),
        Some(tensor @ Value::Object(_)) => match serde_json::from_value::<Tensor>(tensor.clone()) {
            Ok(tensor) => tensor.text(),
            Err(_) => tensor.to_string(),
        },
        Some(other) => other.to_string(),
    };
    if text.chars().count() > WIDTH { text.chars().take(WIDTH - 1).chain(['…']).collect() } else { text }
}
