//! `edgeflow lineage`.

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    client::{Client, encode},
    document, items, json,
    lineage_over_time::{LineageCommand, over_time},
    short,
};
use crate::{
    error::CliError,
    output,
    when::{moment, when},
};

/// Arguments of `edgeflow lineage`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Times are UTC: 2026-03-03T14:03:00Z, 2026-03-03T14:03 or 2026-03-03.

Examples:
  edgeflow lineage robot-07                          all it ever ran, and which run made it of which dataset
  edgeflow lineage robot-07 --at 2026-03-03T14:03    the same of one moment
  edgeflow lineage --digest sha256:41d0...           robots that run or ever ran this bundle
  edgeflow lineage --dataset 5c8a1e9b                robots that run or ever ran what was made from this dataset
  edgeflow lineage diff robot-07 robot-12            what is different on the two, and who brought it there
  edgeflow lineage timeline robot-07 --from 2026-03-03    everything that touched it since"
)]
pub(crate) struct LineageArguments {
    #[command(subcommand)]
    command: Option<LineageCommand>,
    /// The robot.
    #[arg(value_name = "ROBOT", required_unless_present_any = ["digest", "dataset"])]
    target: Option<String>,
    /// Only what ran at this moment.
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["since", "until"], requires = "target")]
    at: Option<i64>,
    /// Only what ran at this time or later.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "target")]
    since: Option<i64>,
    /// Only what began before this time.
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "target")]
    until: Option<i64>,
    /// Instead: robots that ever said they ran this bundle.
    #[arg(long, conflicts_with = "target")]
    digest: Option<String>,
    /// Instead: robots that ever said they ran a bundle that comes from the dataset of this digest, however many runs lie between.
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["target", "digest"])]
    dataset: Option<String>,
    /// At most so many rows.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// As the API gives it.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Lineage {
    intervals: Vec<Interval>,
}

#[derive(Deserialize)]
struct Interval {
    slot: String,
    model: String,
    version: String,
    digest: String,
    from_us: i64,
    last_us: i64,
    to_us: Option<i64>,
}

#[derive(Deserialize)]
struct Provenance {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    run_id: String,
    name: String,
    datasets: Vec<Dataset>,
}

#[derive(Deserialize)]
struct Dataset {
    name: String,
    digest: String,
    trained_on: bool,
}

#[derive(Deserialize)]
struct Version {
    model: String,
    version: String,
}

#[derive(Deserialize)]
struct Ran {
    version: Option<Version>,
    target: String,
    first_us: i64,
    last_us: i64,
    intervals: u64,
    now: bool,
}

pub(crate) async fn lineage(arguments: LineageArguments) -> Result<(), CliError> {
    if let Some(command) = arguments.command {
        return over_time(command).await;
    }
    let client = Client::from_environment()?;
    match (&arguments.target, &arguments.digest, &arguments.dataset) {
        (Some(target), _, _) => of_target(&client, target, &arguments).await,
        (None, Some(digest), _) => robots(&client, ("digest", digest), &arguments).await,
        (None, None, Some(dataset)) => robots(&client, ("dataset", dataset), &arguments).await,
        (None, None, None) => Ok(()), // clap asks for one of them
    }
}

async fn of_target(client: &Client, target: &str, arguments: &LineageArguments) -> Result<(), CliError> {
    let times = [("at_us", arguments.at), ("from_us", arguments.since), ("to_us", arguments.until)];
    let mut query: Vec<_> = times.into_iter().filter_map(|(name, time)| Some((name, time?.to_string()))).collect();
    if arguments.at.is_none() {
        query.push(("limit", arguments.limit.to_string()));
    }
    let path = format!("/targets/{}/lineage", encode(target));
    let answer = client.get(&path, &query).await?;
    let digests: BTreeSet<String> = {
        let Lineage { intervals } = document(answer.clone(), &path)?;
        intervals.into_iter().map(|one| one.digest).collect()
    };
    let mut provenances = BTreeMap::new();
    for digest in digests {
        let query = [("digest", digest.clone())];
        provenances.insert(digest, client.get("/lineage/provenance", &query).await?);
    }
    if arguments.json || output::as_json() {
        return json(&json!({ "lineage": answer, "provenance": provenances }));
    }
    let Lineage { intervals } = document(answer, &path)?;
    let mut made = BTreeMap::new();
    for (digest, provenance) in provenances {
        let Provenance { runs } = document(provenance, "/lineage/provenance")?;
        made.insert(digest, made_by(&runs));
    }
    if intervals.is_empty() {
        return output::line("the robot has not said that anything ran in this time");
    }
    let row = |one: Interval| {
        let until = one.to_us.map_or_else(|| format!("now (said {})", when(one.last_us)), when);
        let (run, datasets) = made.get(&one.digest).cloned().unwrap_or_default();
        [one.slot, format!("{} {}", one.model, one.version), short(&one.digest), when(one.from_us), until, run, datasets]
    };
    output::table(["SLOT", "MODEL", "DIGEST", "FROM", "UNTIL", "RUN", "DATASETS"], &intervals.into_iter().map(row).collect::<Vec<_>>())
}

/// The run that made a bundle, and what it and those before it were trained on.
fn made_by(runs: &[Run]) -> (String, String) {
    let Some(run) = runs.first() else { return ("-".to_owned(), "-".to_owned()) };
    let id: String = run.run_id.chars().take(8).collect();
    let trained = runs.iter().flat_map(|run| &run.datasets).filter(|dataset| dataset.trained_on);
    let datasets: BTreeSet<String> = trained.map(|dataset| format!("{} {}", dataset.name, dataset.digest)).collect();
    let datasets = if datasets.is_empty() { "-".to_owned() } else { datasets.into_iter().collect::<Vec<_>>().join(", ") };
    (format!("{} {id}", run.name), datasets)
}

async fn robots(client: &Client, (of, digest): (&'static str, &str), arguments: &LineageArguments) -> Result<(), CliError> {
    let query = [(of, digest.to_owned()), ("limit", arguments.limit.to_string())];
    let list = client.get("/lineage/robots", &query).await?;
    if arguments.json || output::as_json() {
        return json(&list);
    }
    let robots = items::<Ran>(&list, "/lineage/robots")?;
    if robots.is_empty() {
        return output::line("no robot has ever said that it ran this");
    }
    let row = |one: Ran| {
        let running = if one.now { "yes" } else { "no" };
        let version = one.version.map_or_else(|| short(digest), |version| format!("{} {}", version.model, version.version));
        [one.target, version, running.to_owned(), when(one.first_us), when(one.last_us), one.intervals.to_string()]
    };
    output::table(["ROBOT", "MODEL", "RUNS IT", "FIRST SAID", "LAST SAID", "TIMES"], &robots.into_iter().map(row).collect::<Vec<_>>())
}
