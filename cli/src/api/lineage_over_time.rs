//! `edgeflow lineage diff`, `timeline`: what changed, and everything that happened, on robots over time.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Write};

use super::{
    client::{Client, encode},
    document, json,
    model::changes,
    short,
};
use crate::{
    error::CliError,
    output,
    when::{moment, when},
};

/// Most items the control plane gives at once.
const PAGE: usize = 1_000;

/// What is asked of lineage beside what runs where.
#[derive(Subcommand)]
pub(crate) enum LineageCommand {
    /// What changed between the model on one robot and that on another, or on one robot between two times.
    #[command(after_help = "\
Examples:
  edgeflow lineage diff robot-07 robot-12                           what the two run now
  edgeflow lineage diff robot-07 robot-12 --at 2026-03-03T14:03     what the two ran then
  edgeflow lineage diff robot-07 --at 2026-03-03 --to 2026-03-04    one robot at two times; without --to: then and now")]
    Diff(DiffArguments),
    /// Everything that touched a robot, the newest first: what it ran and was told, commands, policies, drift, certificates, losses.
    #[command(after_help = "\
Examples:
  edgeflow lineage timeline robot-07 --from 2026-03-03T14:00 --to 2026-03-03T15:00
  edgeflow lineage timeline robot-07 --category attested,desired,drift")]
    Timeline(TimelineArguments),
    /// Lineage as OpenLineage events, a line each: trainings, registrations, deployments, and what robots said they serve.
    #[command(after_help = "\
Example:
  edgeflow lineage export --out lineage.ndjson                     all there is; it says where to go on
  edgeflow lineage export --after 120.7.3310 >> lineage.ndjson     what happened since")]
    Export(ExportArguments),
}

/// Arguments of `edgeflow lineage export`.
#[derive(Args)]
pub(crate) struct ExportArguments {
    /// In whose words.
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    /// Only what happened since an export that ended with this.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Namespace of jobs, models and robots [default: edgeflow].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Into this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
}

/// What lineage is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum ExportFormat {
    /// OpenLineage run events, spec 2-0-2.
    #[default]
    Openlineage,
}

/// Arguments of `edgeflow lineage diff`.
#[derive(Args)]
pub(crate) struct DiffArguments {
    /// The first robot.
    #[arg(value_name = "ROBOT")]
    before: String,
    /// The second robot; the first again when it is left out.
    #[arg(value_name = "OTHER", required_unless_present = "at")]
    after: Option<String>,
    /// When, of both; of one robot the first time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    /// The second time.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "at")]
    to: Option<i64>,
    /// Which slot of theirs.
    #[arg(long, default_value = "default")]
    slot: String,
}

/// Arguments of `edgeflow lineage timeline`.
#[derive(Args)]
pub(crate) struct TimelineArguments {
    /// The robot.
    #[arg(value_name = "ROBOT")]
    target: String,
    /// Nothing before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<i64>,
    /// Nothing from this time on.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<i64>,
    /// Only these, with commas between: attested, desired, deployment, command, policy, drift, identity, capture, log, live, event.
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// At most so many lines, the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn over_time(command: LineageCommand) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    match command {
        LineageCommand::Diff(arguments) => diff(&client, arguments).await,
        LineageCommand::Timeline(arguments) => timeline(&client, arguments).await,
        LineageCommand::Export(arguments) => export(&client, arguments).await,
    }
}

async fn export(client: &Client, arguments: ExportArguments) -> Result<(), CliError> {
    let ExportFormat::Openlineage = arguments.format;
    let write = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |source| CliError::Write { path, source }
    };
    let mut file = match &arguments.out {
        Some(path) => Some((std::fs::File::create(path).map_err(write(path))?, path)),
        None => None,
    };
    let namespace = arguments.namespace.map(|namespace| format!("&namespace={}", encode(&namespace))).unwrap_or_default();
    let mut after = arguments.after;
    loop {
        let from = after.as_deref().map(|after| format!("&after={}", encode(after))).unwrap_or_default();
        let path = format!("/lineage/openlineage?limit={PAGE}{namespace}{from}");
        let (lines, [next, more]) = client.text(&path, ["edgeflow-next", "edgeflow-more"]).await?;
        match &mut file {
            Some((file, path)) => file.write_all(lines.as_bytes()).map_err(write(path))?,
            None => output::text(&lines)?,
        }
        after = next;
        if more.as_deref() != Some("true") {
            break;
        }
    }
    // Not on standard output, which is the events.
    if let Some(after) = after {
        eprintln!("to go on from here: --after {after}");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Diff {
    before: Side,
    after: Side,
    same: bool,
    model: Option<Value>,
    aliases: Option<Value>,
    stage: Option<Value>,
    trained_on: TrainedOn,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Side {
    target: String,
    at_us: Option<i64>,
    attested: Option<Attested>,
    confirmed: bool,
    version: Option<Registered>,
    deployment: Option<Told>,
    acts: Vec<Act>,
}

#[derive(Deserialize)]
struct Attested {
    model: String,
    version: String,
    digest: String,
    from_us: i64,
    last_us: i64,
}

#[derive(Deserialize)]
struct Registered {
    created_at_us: i64,
    created_by: String,
    deleted: bool,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    created_at_us: i64,
    created_by: String,
}

#[derive(Deserialize)]
struct Act {
    who: String,
    at_us: i64,
    action: String,
    detail: Value,
}

#[derive(Deserialize)]
struct TrainedOn {
    before: Vec<Dataset>,
    after: Vec<Dataset>,
}

#[derive(Deserialize)]
struct Dataset {
    name: String,
    digest: String,
}

async fn diff(client: &Client, arguments: DiffArguments) -> Result<(), CliError> {
    const PATH: &str = "/lineage/diff";
    let mut query = vec![("before", arguments.before), ("slot", arguments.slot)];
    // Two robots are compared at one time, unless there are two.
    let after_at = arguments.to.or(if arguments.after.is_some() { arguments.at } else { None });
    query.extend(arguments.after.map(|after| ("after", after)));
    query.extend(arguments.at.map(|at| ("before_at_us", at.to_string())));
    query.extend(after_at.map(|at| ("after_at_us", at.to_string())));
    let answer = client.get(PATH, &query).await?;
    if output::as_json() {
        return json(&answer);
    }
    let found: Diff = document(answer, PATH)?;
    let mut rows = Vec::new();
    let (before, after) = (facts(&found.before), facts(&found.after));
    for ((what, before), (_, after)) in before.into_iter().zip(after) {
        if before != "-" || after != "-" {
            rows.push([what.to_owned(), String::new(), before, after]);
        }
    }
    let names = |datasets: &[Dataset]| {
        let names: Vec<String> = datasets.iter().map(|dataset| format!("{} {}", dataset.name, dataset.digest)).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(", ") }
    };
    let (only_before, only_after) = (names(&found.trained_on.before), names(&found.trained_on.after));
    if only_before != only_after {
        rows.push(["trained on".to_owned(), String::new(), only_before, only_after]);
    }
    let whole = json!({ "aliases": found.aliases, "stage": found.stage });
    for part in ["aliases", "stage"] {
        if let Some(change) = whole.get(part).filter(|change| !change.is_null()) {
            rows.push([part.to_owned(), String::new(), side(change.get("before")), side(change.get("after"))]);
        }
    }
    let model = found.model.as_ref().map(changes).unwrap_or_default();
    let nothing = model.is_empty();
    rows.extend(model);
    rows.extend(acts(&found.before.acts, &found.after.acts));
    output::table(["WHAT", "NAME", "BEFORE", "AFTER"], &rows)?;
    if found.same {
        output::line(if found.before.attested.is_none() { "\nneither said that anything ran" } else { "\nthe same bundle" })?;
    } else if found.model.is_some() && nothing {
        output::line("\ntwo bundles that differ in nothing that is known of them")?;
    }
    found.notes.iter().try_for_each(output::line)
}

/// What is said of each side, in one order.
fn facts(side: &Side) -> Vec<(&'static str, String)> {
    let none = || "-".to_owned();
    let attested = side.attested.as_ref();
    let said = |attested: &Attested| {
        let last = if side.confirmed { String::new() } else { format!(" (last said {})", when(attested.last_us)) };
        format!("{}{last}", when(attested.from_us))
    };
    let registered = |version: &Registered| {
        let deleted = if version.deleted { ", deleted since" } else { "" };
        format!("{} {}{deleted}", version.created_by, when(version.created_at_us))
    };
    vec![
        ("robot", side.target.clone()),
        ("time", side.at_us.map_or_else(|| "now".to_owned(), when)),
        ("model", attested.map_or_else(|| "nothing was attested".to_owned(), |one| format!("{} {}", one.model, one.version))),
        ("digest", attested.map_or_else(none, |one| short(&one.digest))),
        ("serves since", attested.map_or_else(none, said)),
        ("registered by", side.version.as_ref().map_or_else(none, registered)),
        (
            "deployed by",
            side.deployment
                .as_ref()
                .map_or_else(none, |one| format!("{} {}, deployment {}", one.created_by, when(one.created_at_us), one.id)),
        ),
    ]
}

/// What was done to the two versions, by time; what was done to both, since they are one, in one row. Who registered is told already.
fn acts(before: &[Act], after: &[Act]) -> Vec<[String; 4]> {
    let mut rows: BTreeMap<(i64, String), [bool; 2]> = BTreeMap::new();
    for (list, of_before) in [(before, true), (after, false)] {
        for act in list.iter().filter(|act| act.action != "register") {
            let [first, second] = rows.entry((act.at_us, told(act))).or_default();
            *(if of_before { first } else { second }) = true;
        }
    }
    let row = |((at_us, what), [first, second]): ((i64, String), [bool; 2])| {
        let cell = |there: bool| if there { what.clone() } else { "-".to_owned() };
        ["done by".to_owned(), when(at_us), cell(first), cell(second)]
    };
    rows.into_iter().map(row).collect()
}

fn told(act: &Act) -> String {
    let of = |key: &str| act.detail.get(key).and_then(Value::as_str).unwrap_or_default();
    let what = match act.action.as_str() {
        "stage" => format!("stage {}", of("stage")),
        "alias" => format!("alias @{}", of("alias")),
        "tag" => format!("tag {}", of("tag")),
        other => other.to_owned(),
    };
    format!("{what} by {}", act.who)
}

fn side(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(words)) if !words.is_empty() => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => "-".to_owned(),
    }
}

#[derive(Deserialize)]
struct Item {
    category: String,
    at_us: i64,
    clock: String,
    who: String,
    title: String,
    severity: String,
}

async fn timeline(client: &Client, arguments: TimelineArguments) -> Result<(), CliError> {
    const PATH: &str = "/lineage/timeline";
    let mut query = vec![("target", arguments.target)];
    query.extend(arguments.from.map(|from| ("from_us", from.to_string())));
    query.extend(arguments.to.map(|to| ("to_us", to.to_string())));
    query.extend(arguments.category.map(|category| ("category", category)));
    let mut items: Vec<Value> = Vec::new();
    let mut after: Option<String> = None;
    while items.len() < arguments.limit {
        let mut page = query.clone();
        page.push(("limit", (arguments.limit - items.len()).min(PAGE).to_string()));
        page.extend(after.take().map(|after| ("after", after)));
        let answer = client.get(PATH, &page).await?;
        items.extend(answer.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
        after = answer.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    if output::as_json() {
        return json(&json!({ "items": items, "next": after }));
    }
    let items: Vec<Item> = document(Value::Array(items), PATH)?;
    if items.is_empty() {
        return output::line("nothing touched the robot in this time");
    }
    let row = |item: Item| {
        // The control plane's clock and the robot's may differ.
        let clock = if item.clock == "robot" { "robot" } else { "server" };
        let mark = match item.severity.as_str() {
            "error" => "!",
            "warning" => "*",
            _ => "",
        };
        [when(item.at_us), clock.to_owned(), item.category, item.who, mark.to_owned(), item.title]
    };
    output::table(["WHEN", "BY", "ABOUT", "WHO", "", "WHAT"], &items.into_iter().map(row).collect::<Vec<_>>())?;
    if after.is_some() {
        output::line("\nthere are more: give a greater --limit, or --to")?;
    }
    Ok(())
}
