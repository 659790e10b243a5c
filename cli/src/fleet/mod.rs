//! `edgeflow plan|apply|diff|export` and `edgeflow fleet`: the fleet as code.
//!
//! Files are read here, so that what is wrong is told with its line and column; the control plane reads and checks all of it again.

mod locate;
mod read;
mod show;

use clap::{Args, Subcommand};
use edgeflow_core::fleet::{FleetSpec, changes};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
};

pub(crate) use read::one as read_one;

use crate::{
    api::{Client, document, encode},
    error::CliError,
    output,
    when::when,
};

/// The schema beside exported files, which their first line names to editors.
const SCHEMA: &str = "fleet.schema.json";

/// Files of a declaration.
#[derive(Args)]
pub(crate) struct Files {
    /// A file, or a folder of .yaml files; may be given several times.
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    file: Vec<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "\
Nothing happens. The exit status is 0 whether there are changes or not.

Examples:
  edgeflow plan -f fleet/
  edgeflow plan -f fleet/ --output json")]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  edgeflow diff -f fleet/\n  edgeflow diff -f fleet/groups.yaml -f fleet/slots.yaml")]
pub(crate) struct DiffArguments {
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
#[command(after_help = "\
The plan is shown and asked about first. Where a second person must approve, the declaration is proposed: `edgeflow fleet approve`.

Examples:
  edgeflow apply -f fleet/ -m \"reader 2 for Berlin\"
  edgeflow apply -f fleet/ -m \"from CI\" --yes --based-on 7")]
pub(crate) struct ApplyArguments {
    #[command(flatten)]
    files: Files,
    /// Why, for people.
    #[arg(short, long, default_value = "")]
    message: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// The revision it was planned against; refused when another stands by now.
    #[arg(long, value_name = "REVISION")]
    based_on: Option<i64>,
}

#[derive(Args)]
#[command(after_help = "\
What is declared now; where nothing is, what robots are told.

Examples:
  edgeflow export > fleet.yaml
  edgeflow export -f fleet/                 fleet.yaml, and the schema that editors check it with")]
pub(crate) struct ExportArguments {
    /// A folder for the files; one that holds a fleet.yaml is refused.
    #[arg(short, long = "file", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum FleetCommand {
    /// Read and check files without a control plane.
    #[command(after_help = "Example:\n  edgeflow fleet check -f fleet/")]
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Print the JSON Schema of a file, for editors.
    #[command(after_help = "Example:\n  edgeflow fleet schema > fleet/fleet.schema.json")]
    Schema,
    /// What stands now, and what waits for a second person.
    #[command(after_help = "Example:\n  edgeflow fleet status")]
    Status,
    /// Revisions, newest first: who, when, why, and what became of each.
    #[command(after_help = "Example:\n  edgeflow fleet log")]
    Log,
    /// One revision: what it changed, and which robots.
    #[command(after_help = "Example:\n  edgeflow fleet show 7")]
    Show {
        /// Its number.
        revision: i64,
    },
    /// Approve what somebody else proposed: it takes effect.
    #[command(after_help = "Example:\n  edgeflow fleet approve 7 --reason \"looked at the canary\"")]
    Approve {
        /// Its number.
        revision: i64,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Turn a proposal down.
    #[command(after_help = "Example:\n  edgeflow fleet reject 7 --reason \"not on a Friday\"")]
    Reject {
        /// Its number.
        revision: i64,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Apply an older revision as a new one.
    #[command(after_help = "Example:\n  edgeflow fleet revert 6 --message \"7 was too early\"")]
    Revert {
        /// The older one's number.
        revision: i64,
        /// Why, for people.
        #[arg(short, long, default_value = "")]
        message: String,
    },
}

#[derive(Deserialize)]
struct Head {
    revision: i64,
    state: String,
    message: String,
    created_at_us: i64,
    created_by: String,
    decided_by: Option<String>,
    robots: u64,
}

pub(crate) async fn plan(arguments: PlanArguments) -> Result<(), CliError> {
    let (_, answer) = planned(&arguments.files).await?;
    if output::as_json() { show::json(&answer) } else { show::plan(&answer) }
}

async fn planned(files: &Files) -> Result<(FleetSpec, Value), CliError> {
    let spec = read::read(&files.file)?;
    let answer = Client::from_environment()?.post("/fleet/plan", &json!({ "spec": spec })).await?;
    Ok((spec, answer))
}

pub(crate) async fn diff(arguments: DiffArguments) -> Result<(), CliError> {
    let spec = read::read(&arguments.files.file)?;
    let now: Value = Client::from_environment()?.get("/fleet", &[]).await?;
    let declared: Option<FleetSpec> = document(now.get("spec").cloned().unwrap_or_default(), "/fleet")?;
    let found = changes(&declared.unwrap_or_default(), &spec);
    let found = serde_json::to_value(found).map_err(|source| CliError::Answer { path: "/fleet".to_owned(), source })?;
    let revision = now.get("revision").cloned().unwrap_or_default();
    if output::as_json() {
        return show::json(&json!({ "revision": revision, "changes": found }));
    }
    if found.as_array().is_none_or(Vec::is_empty) {
        return output::line(format!("nothing differs from what is declared (revision {revision})"));
    }
    show::changes(&found)
}

pub(crate) async fn apply(arguments: ApplyArguments) -> Result<(), CliError> {
    let (spec, plan) = planned(&arguments.files).await?;
    let stands = plan.get("revision").and_then(Value::as_i64).unwrap_or_default();
    let nothing = |key: &str| plan.get(key).and_then(Value::as_array).is_none_or(Vec::is_empty);
    if nothing("changes") && nothing("robots") {
        return output::said(format!("nothing to apply: revision {stands} stands and robots are as it says"), &plan);
    }
    if !output::as_json() {
        show::plan(&plan)?;
    }
    if !arguments.yes && !agreed()? {
        return Err(CliError::Input {
            path: "apply".to_owned(),
            reason: "not confirmed, so nothing was done (--yes does not ask)".to_owned(),
        });
    }
    let based_on = arguments.based_on.unwrap_or(stands);
    let body = json!({ "spec": spec, "message": arguments.message, "based_on": based_on });
    told(&Client::from_environment()?.post("/fleet/apply", &body).await?)
}

/// Whether a person says yes. A program must say so before: nobody hears it asked.
fn agreed() -> Result<bool, CliError> {
    if output::as_json() || !io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("apply this? [y/N] ");
    io::stdout().flush().map_err(CliError::Output)?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|source| CliError::Read { path: "the answer".to_owned(), source })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What became of a revision.
fn told(answer: &Value) -> Result<(), CliError> {
    let head: Head = document(answer.clone(), "/fleet")?;
    let Head { revision, state, robots, .. } = head;
    let robots = if robots == 1 { "1 robot changes".to_owned() } else { format!("{robots} robots change") };
    let text = match state.as_str() {
        "proposed" => {
            format!("revision {revision} is proposed ({robots}): somebody else approves it with `edgeflow fleet approve {revision}`")
        }
        "applied" => format!("revision {revision} stands ({robots})"),
        _ => format!("revision {revision} is {state}"),
    };
    output::said(text, answer)
}

pub(crate) async fn export(arguments: ExportArguments) -> Result<(), CliError> {
    let answer = Client::from_environment()?.get("/fleet/export", &[]).await?;
    let Some(folder) = arguments.folder else {
        if output::as_json() {
            return show::json(&answer);
        }
        return output::text(&yaml(&answer)?);
    };
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        let failed = |source| CliError::Write { path: path.display().to_string(), source };
        fs::File::options().write(true).create_new(true).open(&path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
    };
    fs::create_dir_all(&folder).map_err(|source| CliError::Write { path: folder.display().to_string(), source })?;
    write("fleet.yaml", yaml(&answer)?)?;
    let schema = folder.join(SCHEMA);
    fs::write(&schema, format!("{:#}\n", FleetSpec::json_schema()))
        .map_err(|source| CliError::Write { path: schema.display().to_string(), source })?;
    let text = format!("{} holds what is declared", folder.join("fleet.yaml").display());
    output::said(text, &json!({ "files": [folder.join("fleet.yaml"), schema], "revision": answer.get("revision") }))
}

fn yaml(answer: &Value) -> Result<String, CliError> {
    let spec: FleetSpec = document(answer.get("spec").cloned().unwrap_or_default(), "/fleet/export")?;
    let of = match answer.get("revision").and_then(Value::as_i64).unwrap_or_default() {
        0 => "What robots are told: nothing is declared yet.".to_owned(),
        revision => format!("Revision {revision} of the fleet."),
    };
    let text = serde_norway::to_string(&spec).map_err(|source| CliError::Yaml { what: "the declaration".to_owned(), source })?;
    Ok(format!("# yaml-language-server: $schema={SCHEMA}\n# {of}\n{text}"))
}

pub(crate) async fn fleet(command: FleetCommand) -> Result<(), CliError> {
    match command {
        FleetCommand::Check { files } => {
            let spec = read::read(&files.file)?;
            let counts = [
                ("groups", spec.groups.len()),
                ("labels", spec.labels.len()),
                ("slots", spec.slots.len()),
                ("policies", spec.policies.len()),
                ("configuration", spec.configuration.len()),
                ("rollouts", spec.rollouts.len()),
                ("gates", spec.gates.len()),
            ];
            let told: Vec<String> = counts.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}")).collect();
            let counts: serde_json::Map<String, Value> = counts.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect();
            output::said(format!("it is a declaration of {}", told.join(", ")), &json!({ "declared": counts }))
        }
        FleetCommand::Schema => output::line(format!("{:#}", FleetSpec::json_schema())),
        FleetCommand::Status => {
            let answer = Client::from_environment()?.get("/fleet", &[]).await?;
            if output::as_json() { show::json(&answer) } else { show::status(&answer) }
        }
        FleetCommand::Log => {
            let answer = Client::from_environment()?.get("/fleet/revisions", &[]).await?;
            if output::as_json() {
                return show::json(&answer);
            }
            let heads: Vec<Head> = document(answer.get("items").cloned().unwrap_or_default(), "/fleet/revisions")?;
            let row = |head: Head| {
                let by = head.decided_by.map_or_else(|| head.created_by.clone(), |by| format!("{}, {by}", head.created_by));
                [head.revision.to_string(), head.state, when(head.created_at_us), by, head.robots.to_string(), head.message]
            };
            output::table(["REVISION", "STATE", "WHEN", "BY", "ROBOTS", "WHY"], &heads.into_iter().map(row).collect::<Vec<_>>())
        }
        FleetCommand::Show { revision } => {
            let answer = Client::from_environment()?.get(&at(revision, ""), &[]).await?;
            if output::as_json() { show::json(&answer) } else { show::revision(&answer) }
        }
        FleetCommand::Approve { revision, reason } => decide(revision, "/approve", &reason).await,
        FleetCommand::Reject { revision, reason } => decide(revision, "/reject", &reason).await,
        FleetCommand::Revert { revision, message } => decide(revision, "/revert", &message).await,
    }
}

fn at(revision: i64, what: &str) -> String {
    format!("/fleet/revisions/{}{what}", encode(&revision.to_string()))
}

async fn decide(revision: i64, what: &str, reason: &str) -> Result<(), CliError> {
    told(&Client::from_environment()?.post(&at(revision, what), &json!({ "reason": reason })).await?)
}
