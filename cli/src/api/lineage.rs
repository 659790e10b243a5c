//! `edgeflow lineage`.

use clap::Args;
use serde::Deserialize;

use super::{
    client::{Client, encode},
    document, items, json, short,
};
use crate::{
    error::CliError,
    output,
    when::{moment, when},
};

/// Arguments of `edgeflow lineage`.
#[derive(Args)]
#[command(after_help = "\
Times are UTC: 2026-03-03T14:03:00Z, 2026-03-03T14:03 or 2026-03-03.

Examples:
  edgeflow lineage robot-07                          all it ever ran
  edgeflow lineage robot-07 --at 2026-03-03T14:03    what ran at that moment
  edgeflow lineage --digest sha256:41d0...           robots that run or ever ran this bundle")]
pub(crate) struct LineageArguments {
    /// The robot.
    #[arg(value_name = "ROBOT", required_unless_present = "digest")]
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
struct Ran {
    target: String,
    first_us: i64,
    last_us: i64,
    intervals: u64,
    now: bool,
}

pub(crate) async fn lineage(arguments: LineageArguments) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    match (&arguments.target, &arguments.digest) {
        (Some(target), _) => of_target(&client, target, &arguments).await,
        (None, Some(digest)) => robots(&client, digest, &arguments).await,
        (None, None) => Ok(()), // clap asks for one of them
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
    if arguments.json {
        return json(&answer);
    }
    let Lineage { intervals } = document(answer, &path)?;
    if intervals.is_empty() {
        return output::line("the robot has not said that anything ran in this time");
    }
    let row = |one: Interval| {
        let until = one.to_us.map_or_else(|| format!("now (said {})", when(one.last_us)), when);
        [one.slot, format!("{} {}", one.model, one.version), short(&one.digest), when(one.from_us), until]
    };
    output::table(["SLOT", "MODEL", "DIGEST", "FROM", "UNTIL"], &intervals.into_iter().map(row).collect::<Vec<_>>())
}

async fn robots(client: &Client, digest: &str, arguments: &LineageArguments) -> Result<(), CliError> {
    let query = [("digest", digest.to_owned()), ("limit", arguments.limit.to_string())];
    let list = client.get("/lineage/robots", &query).await?;
    if arguments.json {
        return json(&list);
    }
    let robots = items::<Ran>(&list, "/lineage/robots")?;
    if robots.is_empty() {
        return output::line("no robot has ever said that it ran this bundle");
    }
    let row = |one: Ran| {
        let running = if one.now { "yes" } else { "no" };
        [one.target, running.to_owned(), when(one.first_us), when(one.last_us), one.intervals.to_string()]
    };
    output::table(["ROBOT", "RUNS IT", "FIRST SAID", "LAST SAID", "TIMES"], &robots.into_iter().map(row).collect::<Vec<_>>())
}
