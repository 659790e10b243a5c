//! The command line of `edgeflow_fleet`, and the run it asks for.

use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::run::{Outcome, Plan, go};
use super::several::Crew;
use super::{FleetError, Pace, Shares, Worth};
use crate::with_causes;

/// Rolls a model out over a simulated fleet, over the wire, and checks the end robot by robot.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "edgeflow_fleet", version, args_override_self = true)]
pub struct Args {
    /// Robots.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub robots: u32,
    /// Keep-alive connections that they share.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Seed of who is away, broken or silent, and when.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Robots that are away when the rollout begins, per cent; every other one returns by itself.
    #[arg(long, default_value_t = 5.0)]
    pub away: f64,
    /// Robots that cannot take it up, per cent.
    #[arg(long, default_value_t = 1.0)]
    pub breaks: f64,
    /// Robots that say nothing any more once they are told, per cent.
    #[arg(long, default_value_t = 2.0)]
    pub silent: f64,
    /// Seconds that a robot may take from being told to serving; a silent one has failed then.
    #[arg(long, default_value_t = 45)]
    pub deadline_s: u64,
    /// Robots that may fetch at a time.
    #[arg(long, default_value_t = 1_000)]
    pub max_concurrent: u32,
    /// Roll out a version that is right half of the time, which the gates must catch.
    #[arg(long)]
    pub bad: bool,
    /// Promote every stage unjudged: what gates cost is the difference.
    #[arg(long, conflicts_with = "bad")]
    pub no_gates: bool,
    /// Kill the control plane while this stage is under way: canary, tenth, half or all; may be said several times.
    #[arg(long, value_name = "STAGE")]
    pub kill_in: Vec<String>,
    /// Dashboards that are open meanwhile, and read every change.
    #[arg(long, default_value_t = 1)]
    pub watchers: usize,
    /// Minutes that the rollout may take.
    #[arg(long, default_value_t = 15)]
    pub minutes: u64,
    /// Folder of the program edgeflow-server. Default: where this program is.
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// Folder with the bundles v1, v2 and v3. Default: sim/models of the checkout that it was built in.
    #[arg(long, value_name = "DIR")]
    pub models_dir: Option<PathBuf>,
    /// Folder for data and logs. Default: one of its own, which is removed when all held.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Args {
    /// The run that is asked for; its data goes to `data_dir`.
    pub fn plan(&self, data_dir: PathBuf) -> Plan {
        let here = || std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from)).unwrap_or_default();
        let models = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models");
        let bundle = if self.bad { "v3" } else { "v2" };
        Plan {
            crew: Crew {
                robots: self.robots as usize,
                connections: usize::from(self.connections),
                seed: self.seed,
                shares: Shares { away: self.away, breaks: self.breaks, silent: self.silent },
                returns_within: Duration::from_secs(2 * self.deadline_s),
                pace: Pace::default(),
                // The second version that is registered.
                worth: BTreeMap::from([("2".to_owned(), if self.bad { Worth::BAD } else { Worth::SOUND })]),
            },
            bundle: bundle.to_owned(),
            strategy: strategy(self.robots, self.deadline_s, self.max_concurrent, !self.no_gates),
            gates: if self.no_gates { json!([]) } else { json!([sound()]) },
            kill_in: self.kill_in.iter().cloned().collect::<BTreeSet<_>>(),
            watchers: self.watchers,
            limit: Duration::from_secs(60 * self.minutes),
            bin_dir: self.bin_dir.clone().unwrap_or_else(here),
            models_dir: self.models_dir.clone().unwrap_or_else(models),
            data_dir,
        }
    }

    /// How it must end.
    pub fn expected(&self) -> &'static str {
        if self.bad { "rolled_back" } else { "succeeded" }
    }
}

/// A canary of a thousandth (at least ten), a tenth, half, all. The canary and the tenth are held against the rest, which the last
/// stages have none of.
fn strategy(robots: u32, deadline_s: u64, max_concurrent: u32, judged: bool) -> serde_json::Value {
    let comparison = json!({
        "name": "no worse than the rest",
        "compare": { "metric": "accuracy", "against": "rest", "worse": "lower", "margin": 0.02 },
    });
    let against_the_rest = if judged { json!([sound(), comparison]) } else { json!([]) };
    json!({
        "stages": [
            { "name": "canary", "count": (robots / 1000).max(10), "soak_s": 12, "gates": against_the_rest },
            { "name": "tenth", "percent": 10.0, "soak_s": 5, "gates": against_the_rest },
            { "name": "half", "percent": 50.0, "soak_s": 5 },
            { "name": "all", "rest": true, "soak_s": 0 },
        ],
        "max_unavailable": "25%",
        "max_concurrent": max_concurrent,
        // More than break and fall silent; a small canary may have more than its share of them.
        "max_failed": "6%",
        "deadline_s": deadline_s,
        "defer_offline": true,
    })
}

fn sound() -> serde_json::Value {
    json!({ "name": "accuracy", "expression": "updated.accuracy.mean >= 0.9" })
}

/// Runs it and prints how it goes and what came of it; 0 when all held. Call it from the main thread.
#[allow(clippy::print_stdout)] // progress and verdict are what the program is for
pub async fn run(args: Args) -> ExitCode {
    let own = std::env::temp_dir().join(format!("edgeflow-fleet-{}-{}", args.seed, std::process::id()));
    let folder = args.data_dir.clone().unwrap_or(own);
    let plan = args.plan(folder.clone());
    let outcome = tokio::select! {
        outcome = go(&plan, |line| println!("{line}")) => outcome,
        _ = edgeflow_ros::shutdown_signal() => Err(FleetError::Interrupted),
    };
    let held = match &outcome {
        Ok(outcome) => {
            lines(outcome).iter().for_each(|line| println!("{line}"));
            let complaints = outcome.complaints(args.expected());
            complaints.iter().for_each(|line| println!("WRONG: {line}"));
            complaints.is_empty()
        }
        Err(error) => {
            println!("failed: {}", with_causes(error));
            false
        }
    };
    if held && args.data_dir.is_none() {
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(%error, path = %folder.display(), "could not remove the folder of this run");
        }
    } else {
        println!("data and logs are in {}", folder.display());
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let Outcome { ticks, traffic, rollout_s, .. } = outcome;
    let told: Vec<String> = outcome.told.iter().map(|(event, count)| format!("{count} {event}")).collect();
    vec![
        format!("deployment {:.1} s, rollout {rollout_s:.1} s ({})", outcome.deployment_s, outcome.state),
        format!(
            "ticks {:.0}, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
            ticks.count(),
            1e3 * ticks.quantile(0.5),
            1e3 * ticks.quantile(0.95),
            1e3 * ticks.quantile(0.99)
        ),
        format!("control plane {:.0} MB at most ({:.0} ever), {:.2} cores", outcome.rss_mb.0, outcome.rss_mb.1, outcome.cores),
        format!(
            "{:.0} requests/s, {} unanswered, {} refused; answers within {:.1} ms (half), {:.1} ms (95 %), {:.1} ms (99 %)",
            traffic.asked as f64 / rollout_s,
            traffic.unanswered,
            traffic.refused,
            traffic.within_ms(0.5),
            traffic.within_ms(0.95),
            traffic.within_ms(0.99)
        ),
        format!("dashboards were told: {}", told.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_default_is_ten_thousand_robots_on_five_hundred_connections() {
        let plan = Args::parse_from(["edgeflow_fleet"]).plan(PathBuf::new());
        assert_eq!((plan.crew.robots, plan.crew.connections, plan.crew.shares), (10_000, 500, Shares::default()));
        assert_eq!(plan.strategy["stages"][0]["count"], 10);
        assert!(plan.models_dir.join(&plan.bundle).join("model.onnx").is_file());
    }
}
