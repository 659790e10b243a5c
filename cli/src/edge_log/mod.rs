//! `edgeflow edge-log`: what a bridge has written on this machine's disk. Read-only, also while the bridge runs.

mod export;

use clap::{Args, Subcommand};
use edgeflow_edge_log::{ClassOverview, LogInspector};
use edgeflow_wire::Class;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};

use crate::{error::CliError, output, when::when};
pub(crate) use export::ExportArguments;

#[derive(Subcommand)]
pub(crate) enum EdgeLogCommand {
    /// Where each class stands: what the log holds, what the control plane has, what was lost.
    #[command(after_help = "Example:\n  edgeflow edge-log inspect /var/lib/edgeflow/bridge")]
    Inspect(InspectArguments),
    /// Check pages, numbers and the checksum of every entry. Ends with 1 when something is wrong.
    #[command(after_help = "Example:\n  edgeflow edge-log verify /var/lib/edgeflow/bridge")]
    Verify {
        /// The bridge's data_dir, or a log file such as one that was set aside.
        log: PathBuf,
    },
    /// Write what the log holds to a file, as JSON lines or MCAP.
    #[command(after_help = "\
Examples:
  edgeflow edge-log export data --out backlog.mcap
  edgeflow edge-log export data --class critical --class event | jq .body")]
    Export(ExportArguments),
}

#[derive(Args)]
pub(crate) struct InspectArguments {
    /// The bridge's data_dir, or a log file such as one that was set aside.
    log: PathBuf,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: EdgeLogCommand) -> Result<(), CliError> {
    match command {
        EdgeLogCommand::Inspect(arguments) => inspect(&arguments),
        EdgeLogCommand::Verify { log } => verify(&log),
        EdgeLogCommand::Export(arguments) => export::export(&arguments),
    }
}

fn inspect(arguments: &InspectArguments) -> Result<(), CliError> {
    let log = LogInspector::open(&arguments.log)?;
    let (epoch, classes) = (log.epoch()?, log.overview()?);
    if arguments.json || output::as_json() {
        let classes: Vec<_> = classes.iter().map(class_json).collect();
        return output::line(json!({ "epoch": epoch, "classes": classes }));
    }
    output::line(format!("{}, epoch {epoch}", log.path().display()))?;
    let time = |end: Option<(u64, i64)>| end.map_or_else(|| "-".to_owned(), |(_, t_us)| when(t_us));
    let rows = classes.iter().map(|class| {
        let stats = class.stats;
        [
            stats.class.to_string(),
            stats.appended.to_string(),
            stats.acknowledged.to_string(),
            class.held.to_string(),
            human_bytes(stats.held_bytes),
            stats.lost.to_string(),
            time(class.oldest),
            time(class.newest),
        ]
    });
    output::table(["CLASS", "APPENDED", "ACKNOWLEDGED", "HELD", "BYTES", "LOST", "OLDEST", "NEWEST"], &rows.collect::<Vec<_>>())?;
    for class in &classes {
        for loss in &class.losses {
            let (first, last) = (loss.first_seq, loss.last_seq);
            output::line(format!(
                "lost, and not yet known to the control plane: {} {first} to {last}, {}, from {} to {}",
                class.stats.class,
                match (loss.damaged, loss.at_most) {
                    (false, _) => human_bytes(loss.bytes),
                    (true, false) => "not kept by the disk".to_owned(),
                    (true, true) => "not kept by the disk, at most these".to_owned(),
                },
                when(loss.first_t_us),
                when(loss.last_t_us)
            ))?;
        }
    }
    Ok(())
}

fn class_json(class: &ClassOverview) -> serde_json::Value {
    let stats = class.stats;
    let end = |end: Option<(u64, i64)>| end.map(|(seq, t_us)| json!({ "seq": seq.to_string(), "t_us": t_us }));
    json!({
        "class": stats.class,
        "appended": stats.appended,
        "acknowledged": stats.acknowledged,
        "held": class.held,
        "held_bytes": stats.held_bytes,
        "lost": stats.lost,
        "oldest": end(class.oldest),
        "newest": end(class.newest),
        "losses": class.losses,
    })
}

fn verify(path: &Path) -> Result<(), CliError> {
    let log = LogInspector::open(path)?;
    let held = log.overview().map(|classes| classes.iter().map(|class| class.held).sum()).unwrap_or_default();
    let bar = bar(held);
    let problems = log.verify(|seen| bar.set_position(seen))?;
    bar.finish_and_clear();
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if found.is_empty() || output::as_json() {
        let told = json!({ "log": log.path(), "entries": bar.position(), "problems": found });
        output::said(format!("{} is whole, entries checked: {}", log.path().display(), bar.position()), &told)?;
    }
    if found.is_empty() {
        return Ok(());
    }
    if !output::as_json() {
        found.iter().for_each(|problem| eprintln!("{problem}"));
    }
    Err(CliError::Damaged { path: log.path().display().to_string(), problems: problems.len() })
}

/// On a terminal only.
fn bar(entries: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} entries {eta}");
    ProgressBar::new(entries).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn human_bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A class by its name.
fn class(name: &str) -> Result<Class, String> {
    name.parse().map_err(|_| format!("no class is called so: give {}", Class::ALL.map(Class::as_str).join(", ")))
}
