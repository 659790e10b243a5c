//! What tracking and artifacts cost, with the real program, held against MLflow's own server and a bare handler in the same run.
//! Prints one JSON object per figure; `cargo xtask bench registry` builds the program, brings MLflow and reads them.
//!
//! `cargo bench --bench registry -- log` measures a part of it: `log`, `start`, `artifacts`; `alone` is `log` without MLflow's
//! server, for whoever looks where the time goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod artifacts;
mod bare;
mod load;
mod servers;

use serde_json::json;
use std::time::Duration;

use load::{Kind, Load};
use servers::{Mlflow, Ours};

const ROUNDS: usize = 3;
/// How long each server is loaded in a round, with each load.
const SPELL: Duration = Duration::from_secs(3);
/// Clients beside each other.
const MANY: usize = 16;
/// Starts of each server whose time is taken, after one that makes its database.
const STARTS: usize = 3;

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    // One thread: the load shares the machine with the server, and should take little of it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if wanted("log") {
        runtime.block_on(log());
    }
    if parts.iter().any(|part| part == "alone") {
        runtime.block_on(alone());
    }
    if wanted("start") {
        runtime.block_on(start());
    }
    if wanted("artifacts") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(artifacts::measure());
    }
}

/// Id, what is logged, by how many clients, unit, and the goal: times what MLflow's server does.
const LOADS: [(&str, Kind, usize, &str, Option<f64>); 4] = [
    ("log_metric_x_1", Kind::Metric, 1, "requests/s", Some(25.0)),
    ("log_metric_x_16", Kind::Metric, MANY, "requests/s", Some(100.0)),
    ("log_batch_x", Kind::Batch, 1, "metrics/s", Some(20.0)),
    ("log_batch_x_16", Kind::Batch, MANY, "metrics/s", None),
];

/// Our own server under the same loads.
async fn alone() {
    let ours = Ours::start().await;
    for (id, kind, clients, unit, _) in LOADS {
        figure(id, Load { kind, clients, lasts: SPELL }.run(ours.address(), Some(servers::TOKEN)).await, unit);
    }
}

/// The same loads on both servers, in turns; then what each holds of memory.
async fn log() {
    let (ours, theirs) = (Ours::start().await, Mlflow::start().await);
    let mut rates = vec![(Vec::new(), Vec::new()); LOADS.len()];
    for _ in 0..ROUNDS {
        for ((_, kind, clients, ..), (of_ours, of_theirs)) in LOADS.iter().zip(&mut rates) {
            let load = Load { kind: *kind, clients: *clients, lasts: SPELL };
            of_theirs.push(load.run(theirs.address(), None).await);
            of_ours.push(load.run(ours.address(), Some(servers::TOKEN)).await);
        }
    }
    for ((id, _, _, unit, goal), (of_ours, of_theirs)) in LOADS.into_iter().zip(rates) {
        let anchor = format!("mlflow_{}", id.replace("_x", ""));
        let (rate, base) = (median(of_ours), median(of_theirs));
        figure(&anchor, base, unit);
        print(&json!({ "id": id, "value": rate, "unit": unit, "ratio_to": anchor, "ratio": rate / base, "at_least": goal }));
    }
    let (resident, base) = (ours.memory_mib(), theirs.memory_mib());
    figure("mlflow_memory_mib", base, "MiB");
    let (to, ratio) = ("mlflow_memory_mib", resident / base);
    print(&json!({ "id": "rss_ratio", "value": resident, "unit": "MiB", "ratio_to": to, "ratio": ratio, "at_most": 1.0 / 40.0 }));
}

/// From the start of the process to its first answer, with a database that is there already.
async fn start() {
    let (mut ours, mut theirs) = (Ours::start().await, Mlflow::start().await);
    let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        // One at a time: neither waits for a processor that the other has.
        theirs.stop();
        of_ours.push(ours.restart().await.as_secs_f64() * 1_000.0);
        ours.stop();
        of_theirs.push(theirs.restart().await.as_secs_f64() * 1_000.0);
    }
    let (took, base) = (median(of_ours), median(of_theirs));
    figure("mlflow_startup_ms", base, "ms");
    let (to, ratio) = ("mlflow_startup_ms", took / base);
    print(&json!({ "id": "startup_ratio", "value": took, "unit": "ms", "ratio_to": to, "ratio": ratio, "at_most": 1.0 / 25.0 }));
}

/// A figure that is an anchor, or is only told.
fn figure(id: &str, value: f64, unit: &str) {
    print(&json!({ "id": id, "value": value, "unit": unit, "ratio_to": null, "ratio": null }));
}

fn print(figure: &serde_json::Value) {
    println!("{figure}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
