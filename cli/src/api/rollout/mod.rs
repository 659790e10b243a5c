//! `edgeflow rollout`: desired state that changes stage by stage.

mod spec;
mod watch;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    document, items,
};
use crate::{error::CliError, output, when::when};

#[derive(Subcommand)]
pub(crate) enum RolloutCommand {
    /// Begin one: a version, stage by stage, with a file that says how, or with a canary, a half and the rest.
    #[command(after_help = "\
Examples:
  edgeflow rollout start label-reader 2 --group berlin --watch
  edgeflow rollout start label-reader @champion --label site=berlin --file careful.yaml
  edgeflow rollout start --file rollout.yaml")]
    Start {
        #[command(flatten)]
        what: spec::What,
        /// Follow it to its end; then an end without success is the exit status.
        #[arg(long)]
        watch: bool,
    },
    /// What it would do, robot by robot. Nothing happens.
    #[command(after_help = "Example:\n  edgeflow rollout plan label-reader 2 --group berlin --file careful.yaml")]
    Plan {
        #[command(flatten)]
        what: spec::What,
    },
    /// Rollouts, newest first.
    #[command(after_help = "Examples:\n  edgeflow rollout list\n  edgeflow rollout list --active")]
    List {
        /// Only those that have not ended.
        #[arg(long)]
        active: bool,
    },
    /// One rollout: its stages, its evidence, what happened.
    #[command(after_help = "Example:\n  edgeflow rollout show 7")]
    Show {
        /// Its number.
        id: String,
    },
    /// Follow a rollout to its end; an end without success is the exit status.
    #[command(after_help = "Example:\n  edgeflow rollout watch 7")]
    Watch {
        /// Its number.
        id: String,
    },
    /// Hold it: no further robot is told.
    #[command(after_help = "Example:\n  edgeflow rollout pause 7 --reason \"the shift changes\"")]
    Pause(Act),
    /// Let it go on.
    #[command(after_help = "Example:\n  edgeflow rollout resume 7")]
    Resume(Act),
    /// Let the stage begin that waits for approval.
    #[command(after_help = "Example:\n  edgeflow rollout approve 7 --reason \"looked at the canary\"")]
    Approve(Act),
    /// Go on to the next stage without the gates' word.
    #[command(after_help = "Example:\n  edgeflow rollout promote 7 --reason \"the evidence cannot come\"")]
    Promote(Act),
    /// End it; robots stay as they are.
    #[command(after_help = "Example:\n  edgeflow rollout abort 7")]
    Abort(Act),
    /// Take every robot back to what it had.
    #[command(after_help = "Example:\n  edgeflow rollout rollback 7 --reason \"wrong labels\"")]
    Rollback(Act),
    /// Tell robots that failed again.
    #[command(after_help = "Example:\n  edgeflow rollout retry 7")]
    Retry(Act),
}

/// Which rollout, and why.
#[derive(Args)]
pub(crate) struct Act {
    /// Its number.
    id: String,
    /// Why, for people.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Deserialize)]
struct Summary {
    id: String,
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    phase: String,
    #[serde(default)]
    holds: String,
    #[serde(default)]
    stage: String,
    robots: std::collections::BTreeMap<String, usize>,
    created_at_us: i64,
    created_by: String,
}

impl Summary {
    fn release(&self) -> String {
        if self.name.is_empty() { self.kind.clone() } else { format!("{}/{}", self.name, self.version) }
    }
}

/// Phases of robots with how many are in each.
fn counts(robots: &std::collections::BTreeMap<String, usize>) -> String {
    robots.iter().filter(|(_, count)| **count > 0).map(|(phase, count)| format!("{phase} {count}")).collect::<Vec<_>>().join(", ")
}

pub(crate) async fn rollout(command: RolloutCommand) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    match command {
        RolloutCommand::Start { what, watch } => {
            let answer = client.post("/rollouts", &what.body()?).await?;
            let begun: Summary = document(answer.clone(), "/rollouts")?;
            if watch {
                return watch::watch(&client, &begun.id).await;
            }
            let text = format!(
                "rollout {} brings {}: {}; `edgeflow rollout watch {}` follows it",
                begun.id,
                begun.release(),
                begun.phase,
                begun.id
            );
            output::said(text, &answer)
        }
        RolloutCommand::Plan { what } => {
            let answer = client.post("/rollouts?dry_run=true", &what.body()?).await?;
            if output::as_json() { super::json(&answer) } else { spec::show_plan(&answer) }
        }
        RolloutCommand::List { active } => {
            let query: &[(&str, String)] = if active { &[("active", "true".to_owned())] } else { &[] };
            let list = client.get("/rollouts", query).await?;
            if output::as_json() {
                return super::json(&list);
            }
            let row = |found: Summary| {
                let release = found.release();
                [found.id, release, found.phase, found.stage, counts(&found.robots), when(found.created_at_us), found.created_by]
            };
            let rows: Vec<_> = items::<Summary>(&list, "/rollouts")?.into_iter().map(row).collect();
            output::table(["ID", "RELEASE", "PHASE", "STAGE", "ROBOTS", "SINCE", "BY"], &rows)
        }
        RolloutCommand::Show { id } => {
            let path = format!("/rollouts/{}", encode(&id));
            let answer = client.get(&path, &[]).await?;
            if output::as_json() { super::json(&answer) } else { watch::show(&answer) }
        }
        RolloutCommand::Watch { id } => watch::watch(&client, &id).await,
        RolloutCommand::Pause(asked) => act(&client, "pause", &asked).await,
        RolloutCommand::Resume(asked) => act(&client, "resume", &asked).await,
        RolloutCommand::Approve(asked) => act(&client, "approve", &asked).await,
        RolloutCommand::Promote(asked) => act(&client, "promote", &asked).await,
        RolloutCommand::Abort(asked) => act(&client, "abort", &asked).await,
        RolloutCommand::Rollback(asked) => act(&client, "rollback", &asked).await,
        RolloutCommand::Retry(asked) => act(&client, "retry", &asked).await,
    }
}

async fn act(client: &Client, what: &str, asked: &Act) -> Result<(), CliError> {
    let path = format!("/rollouts/{}/{what}", encode(&asked.id));
    let answer: Value = client.post(&path, &json!({ "reason": asked.reason })).await?;
    let now: Summary = document(answer.clone(), &path)?;
    let holds = if now.holds.is_empty() { String::new() } else { format!(" ({})", now.holds) };
    output::said(format!("rollout {} is {}{holds}", now.id, now.phase), &answer)
}
