//! A rollout over 10,000 simulated robots, over the wire, with the real control plane. Prints one JSON object per figure;
//! `cargo xtask bench rollout` builds the control plane's program and reads them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use clap::Parser;
use edgeflow_sim::fleet::{Args, go};
use serde_json::json;
use std::path::PathBuf;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(rollout());
}

async fn rollout() {
    let folder = tempfile::tempdir().unwrap();
    let args = Args::parse_from(["edgeflow_fleet", "--bin-dir", &programs().display().to_string()]);
    let robots = args.robots;
    // What is told goes where it is seen and not read as a figure.
    let outcome = go(&args.plan(folder.path().to_owned()), |line| eprintln!("{line}")).await.expect("the fleet could not be simulated");
    let complaints = outcome.complaints(args.expected());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let (ticks, traffic) = (&outcome.ticks, &outcome.traffic);
    assert!(ticks.count() > 0.0, "the control plane counted no tick");
    figure("tick_ms", 1e3 * ticks.quantile(0.95), "ms, 95th percentile", Some(200.0));
    figure("tick_p50_ms", 1e3 * ticks.quantile(0.5), "ms, median", None);
    figure("ticks", ticks.count(), "ticks", None);
    figure("rss_mb", outcome.rss_mb.1, "MB resident at most", Some(400.0));
    figure("rollout_s", outcome.rollout_s, "s", None);
    figure("deployment_s", outcome.deployment_s, "s", None);
    figure("requests_per_s", traffic.asked as f64 / outcome.rollout_s, "requests/s", None);
    figure("answer_p95_ms", traffic.within_ms(0.95), "ms, 95th percentile", None);
    figure("control_plane_cores", outcome.cores, "cores", None);
    figure("rollout_robots", f64::from(robots), "robots, each where it must be", None);
}

fn figure(id: &str, value: f64, unit: &str, at_most: Option<f64>) {
    println!("{}", json!({ "id": id, "value": value, "unit": unit, "ratio_to": null, "ratio": null, "at_most": at_most }));
}

/// Folder of the programs of the same profile: beside the folder of this one.
fn programs() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}
