//! What the way from a robot to the database costs, with the real programs. Prints one JSON object per figure;
//! `cargo xtask bench bridge` builds the programs and reads them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod agent;
mod bare;
mod control_plane;
mod idle;
mod robot;

use serde_json::json;
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use robot::Robot;

/// Entries of one replay.
const BACKLOG: u64 = 100_000;
const ROUNDS: usize = 3;
/// Single events, one after the other.
const EVENTS: usize = 300;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(agent());
    figure("log_72h_mb", agent::log_72h_mb(0), "MB", None);
    figure("log_72h_50_topics_mb", agent::log_72h_mb(agent::TOPICS), "MB", None);
    runtime.block_on(replay());
    runtime.block_on(event_to_row());
    runtime.block_on(idle());
}

/// What the agent itself takes.
async fn agent() {
    let (resident_mib, percent) = agent::memory_and_processor().await;
    figure("bridge_rss_mb", resident_mib * 1.048_576, "MB", None);
    figure("bridge_cpu_percent", percent, "% of one core", None);
}

/// A backlog into the database, and bare SQLite taking the same rows, interleaved.
async fn replay() {
    let plane = ControlPlane::start().await;
    let (mut ours, mut theirs, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("robot-{round}");
        let mut robot = Robot::with_backlog(&plane, &name, BACKLOG).await;
        let began = Instant::now();
        robot.connect();
        robot.acknowledged(BACKLOG, |_| resident.push(plane.resident_mib())).await;
        ours.push(BACKLOG as f64 / began.elapsed().as_secs_f64());
        robot.stop().await;
        theirs.push(bare::rows_per_second(&plane.telemetry_db()));
    }
    // The first fifth is the process getting to its working size.
    let settled = resident.len() / 5;
    let growth = resident.last().unwrap() / resident[settled];
    let (ours, theirs) = (median(ours), median(theirs));
    figure("replay_bare_rows_per_s", theirs, "rows/s", None);
    figure("replay_per_s", ours, "entries/s", Some(("replay_bare_rows_per_s", ours / theirs)));
    figure("replay_server_rss_start_mib", resident[settled], "MiB", None);
    figure("replay_server_rss_mib", *resident.last().unwrap(), "MiB", Some(("replay_server_rss_start_mib", growth)));
}

/// From the moment an event is handed to the log until another program sees its row in the database.
async fn event_to_row() {
    let plane = ControlPlane::start().await;
    let mut robot = Robot::with_backlog(&plane, "robot-0", 1).await;
    robot.connect();
    robot.acknowledged(1, |_| ()).await;
    let rows = bare::Rows::open(&plane.telemetry_db());
    let mut took_ms = Vec::with_capacity(EVENTS);
    for n in 0..EVENTS as u64 {
        let began = Instant::now();
        robot.append(n).await;
        while rows.count() < n + 2 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        took_ms.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    robot.stop().await;
    took_ms.sort_by(f64::total_cmp);
    figure("event_to_row_ms", took_ms[EVENTS / 2], "ms", None);
    figure("event_to_row_p99_ms", took_ms[EVENTS * 99 / 100], "ms", None);
}

/// Memory per connected robot that says nothing, TLS included.
async fn idle() {
    let (ours, theirs) = idle::per_robot_kib().await;
    figure("idle_mosquitto_kb", theirs, "KiB per connection", None);
    figure("idle_kb", ours, "KiB per robot", Some(("idle_mosquitto_kb", ours / theirs)));
}

fn figure(id: &str, value: f64, unit: &str, ratio: Option<(&str, f64)>) {
    let (to, ratio) = ratio.unzip();
    println!("{}", json!({ "id": id, "value": value, "unit": unit, "ratio_to": to, "ratio": ratio }));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
