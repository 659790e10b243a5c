//! `edgeflow doctor --robot`, `drift` and `logs`, of robots that really are in that state.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Robot, Server, TOKEN, bundle, drift, options};
use edgeflow_wire::{
    Class, DeploymentStatusBody, EntryBody, FaultBody, LinkBody, Loss, ObservedState, PolicyOutcome, PolicyStatusBody, SampleValue,
    SlotStatus, StateBody, TopicSampleBody, Upstream, Version,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// The program, beside this test, where cargo puts those of the workspace.
fn edgeflow(server: &Server, arguments: &[&str]) -> Command {
    let path = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("edgeflow");
    assert!(path.exists(), "{} is not built: cargo build --workspace --bin edgeflow", path.display());
    let mut command = Command::new(path);
    command.args(arguments).env("EDGEFLOW_URL", &server.base).env("EDGEFLOW_TOKEN", TOKEN).env("XDG_CONFIG_HOME", "/nonexistent");
    command.env_remove("RUST_LOG").env_remove("EDGEFLOW_OUTPUT");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Exit status and standard output.
async fn ran(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let output = edgeflow(server, arguments).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

/// Checks by name, those of one name in their order: verdict, fact and remedy in one text.
async fn checks(server: &Server, robot: &str) -> (Option<i32>, BTreeMap<String, Vec<String>>) {
    let output = edgeflow(server, &["doctor", "--robot", robot, "--output", "json"]).output().await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut checks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for check in told["checks"].as_array().unwrap() {
        let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("verdict") == "ok", check["remedy"].is_null(), "what is not well has a remedy: {check}");
        checks.entry(text("name")).or_default().push(format!("{}: {} ({})", text("verdict"), text("fact"), text("remedy")));
    }
    assert_eq!(told["ok"], json!(output.status.success()));
    (output.status.code(), checks)
}

fn state(server_epoch: u64, generation: u64) -> EntryBody {
    let observed = ObservedState { version: Version { server_epoch, generation } };
    EntryBody::State(StateBody { observed, slots: BTreeMap::new(), software: "0.0.1".into(), ..StateBody::default() })
}

async fn say(server: &Server, robot: &mut Robot, class: Class, body: EntryBody) {
    robot.say(&server.app, class, vec![body]).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_robot_is_said_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (code, found) = checks(&server, "robot-9").await;
    assert!(code == Some(1) && found["robot"][0].contains("targets list"), "{found:?}");

    // Never heard of, then well but for the link, which no session holds open.
    let mut robot = server.enrol("robot-1").await;
    let (code, found) = checks(&server, "robot-1").await;
    assert!(code == Some(1) && found["link"][0].starts_with("fail: offline: it was never heard of"), "{found:?}");
    assert!(found["slot"][0].contains("nothing is declared") && found["certificate"][0].contains("has none"), "{found:?}");
    server.register("label-reader", bundle("v1")).await;
    server.deploy("1", &["robot-1"]).await;
    robot.hello(&server.app).await;
    let (_, found) = checks(&server, "robot-1").await;
    assert!(found["generation"][0].starts_with("warn: generation 1") && found["slot"][0].starts_with("warn"), "{found:?}");
    robot.converge(&server.app).await;
    say(&server, &mut robot, Class::Event, drift(1, false)).await;
    let (_, found) = checks(&server, "robot-1").await;
    for name in ["generation", "slot", "log", "epoch", "drift", "faults", "version"] {
        assert!(found[name].iter().all(|check| check.starts_with("ok")), "{name}: {found:?}");
    }

    // One thing after another breaks.
    let link = LinkBody { connected: false, uplink: "mqtt".into(), reason: "no route to host".into() };
    say(&server, &mut robot, Class::Event, EntryBody::Link(link)).await;
    let (_, found) = checks(&server, "robot-1").await;
    assert!(found["link"][0].contains("no route to host"), "{found:?}");

    let desired = robot.desired(&server.app).await.unwrap();
    let slot = desired.slots["default"].clone();
    let failed = DeploymentStatusBody {
        for_version: desired.version,
        slot: "default".into(),
        status: SlotStatus::Failed,
        model: slot.model,
        model_version: slot.version,
        digest: slot.digest,
        running_digest: String::new(),
        reason: "no space left".into(),
        ..DeploymentStatusBody::default()
    };
    say(&server, &mut robot, Class::Critical, EntryBody::DeploymentStatus(failed)).await;
    say(&server, &mut robot, Class::Event, drift(2, true)).await;
    let fault = FaultBody { source: "inference_node".into(), message: "session crashed".into() };
    let mut batch = robot.append(Class::Critical, vec![EntryBody::Fault(fault)]);
    batch.entries[0].t_us = edgeflow_core::Clock::now_us(&edgeflow_server::app::SystemClock);
    server.app.ingest(&robot.id, Upstream::Batch(batch)).await.unwrap();
    let (code, found) = checks(&server, "robot-1").await;
    assert!(
        code == Some(1) && found["slot"][0].starts_with("fail") && found["slot"][0].contains("no space left; nothing serves"),
        "{found:?}"
    );
    assert!(found["drift"][0].starts_with("warn") && found["drift"][0].contains("brightness (location"), "{found:?}");
    assert!(found["faults"][0].starts_with("warn") && found["faults"][0].contains("session crashed"), "{found:?}");

    let (status, _) = common::answer(server.request(reqwest::Method::PUT, "/targets/robot-1/policy").json(&json!({ "routes": [] }))).await;
    assert!(status.is_success());
    let (_, found) = checks(&server, "robot-1").await;
    assert!(found["policy"][0].starts_with("warn: telemetry policy 1"), "{found:?}");
    let refused = PolicyStatusBody { version: 1, outcome: PolicyOutcome::Refused, reason: "routes[0]: no".into(), ruling: 0 };
    say(&server, &mut robot, Class::Event, EntryBody::PolicyStatus(refused)).await;
    let (_, found) = checks(&server, "robot-1").await;
    assert!(found["policy"][0].starts_with("fail: it refuses telemetry policy 1: routes[0]: no"), "{found:?}");

    // Of a later control plane than this one, as after a restore that nobody told of.
    say(&server, &mut robot, Class::Event, state(7, 1)).await;
    let (_, found) = checks(&server, "robot-1").await;
    assert!(found["generation"][0].starts_with("fail") && found["generation"][0].contains("--restored"), "{found:?}");
    assert!(found["version"][0].starts_with("warn: its bridge is 0.0.1"), "{found:?}");

    // Lost, and begun anew.
    let mut batch = robot.append(Class::Detail, vec![drift(3, false), drift(4, false)]);
    let gone = batch.entries.remove(0);
    batch.loss =
        Some(Loss { first_seq: gone.seq, last_seq: gone.seq, bytes: 1, first_t_us: gone.t_us, last_t_us: gone.t_us, ..Loss::default() });
    server.app.ingest(&robot.id, Upstream::Batch(batch)).await.unwrap();
    let mut anew = server.enrol("robot-2").await;
    (anew.epoch, anew.id) = ("epoch-2".into(), robot.id.clone());
    say(&server, &mut anew, Class::Event, state(7, 1)).await;
    let (_, found) = checks(&server, "robot-1").await;
    assert!(found["log"][0].starts_with("warn") && found["log"][0].contains("1 were lost"), "{found:?}");
    assert!(found["epoch"][0].starts_with("warn: its log began anew 1 times"), "{found:?}");
    server.stop().await;
}

#[tokio::test]
async fn drift_of_the_fleet_and_of_a_robot_is_told_as_the_dashboard_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    assert!(ran(&server, &["drift"]).await.1.contains("No robot has closed a drift window yet."));
    let (mut one, mut two) = (server.enrol("robot-1").await, server.enrol("robot-2").await);
    say(&server, &mut one, Class::Event, drift(1, false)).await;
    say(&server, &mut two, Class::Event, drift(1, true)).await;
    let (code, told) = ran(&server, &["drift"]).await;
    assert_eq!(code, Some(0));
    assert!(told.contains("robot-1  fits") && told.contains("robot-2  drifts   brightness"), "{told}");
    assert!(told.contains("Only robot-2 drifts in brightness: this speaks for its sensor rather than the world."), "{told}");
    say(&server, &mut one, Class::Event, drift(2, true)).await;
    let (_, told) = ran(&server, &["drift", "--output", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert!(told["verdict"].as_str().unwrap().contains("All 2 robots drift in brightness"), "{told}");
    assert_eq!(told["items"].as_array().unwrap().len(), 2);
    assert!(ran(&server, &["drift", "--model", "another"]).await.1.contains("No robot"));
    let (_, told) = ran(&server, &["drift", "robot-2"]).await;
    assert!(told.contains("brightness  input  drifts") && told.contains("window 1 of label-reader 1"), "{told}");
    assert!(ran(&server, &["drift", "robot-9"]).await.0 == Some(1));
    server.stop().await;
}

#[tokio::test]
async fn lines_of_a_robot_are_told_filtered_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    let link = |connected| EntryBody::Link(LinkBody { connected, uplink: "mqtt".into(), reason: "cut".into() });
    let rosout = |level: f64, text: &str| {
        let values = BTreeMap::from([
            ("level".to_owned(), SampleValue::Number(level)),
            ("name".to_owned(), SampleValue::Text("planner".into())),
            ("msg".to_owned(), SampleValue::Text(text.into())),
        ]);
        EntryBody::TopicSample(TopicSampleBody { route: "log".into(), topic: "/robot_1/rosout".into(), policy: 1, values })
    };
    say(&server, &mut robot, Class::Event, link(false)).await;
    say(&server, &mut robot, Class::Event, rosout(20.0, "on my way")).await;
    say(&server, &mut robot, Class::Event, rosout(40.0, "no way")).await;
    let (code, told) = ran(&server, &["logs", "robot-1"]).await;
    assert_eq!(code, Some(0), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() == 3 && lines[0].contains("warning robot-1 uplink lost (mqtt): cut"), "{told}");
    assert!(lines[1].ends_with("info    robot-1 [planner] on my way") && lines[2].ends_with("error   robot-1 [planner] no way"), "{told}");
    assert_eq!(ran(&server, &["logs", "--level", "error"]).await.1.lines().count(), 1);
    assert_eq!(ran(&server, &["logs", "robot-1", "-n", "2"]).await.1.lines().count(), 2);
    // They are of 2023.
    assert_eq!(ran(&server, &["logs", "robot-1", "--since", "1h"]).await.1, "");
    assert_eq!(ran(&server, &["logs", "robot-1", "--since", "2023-01-01"]).await.1.lines().count(), 3);
    let (_, told) = ran(&server, &["logs", "robot-1", "--output", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["items"][2]["level"], &told["items"][2]["line"]), (&json!("error"), &json!("[planner] no way")));
    let (code, told) = ran(&server, &["logs", "robot-9"]).await;
    assert!(code == Some(1) && told.contains("robot-9"), "{told}");

    let mut following = edgeflow(&server, &["logs", "robot-1", "--follow", "--level", "error", "--output", "json"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(line["line"], "[planner] no way");
    say(&server, &mut robot, Class::Event, link(true)).await;
    say(&server, &mut robot, Class::Event, rosout(50.0, "lost")).await;
    let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(line["line"], "[planner] lost", "and what asks for less is left out");
    following.kill().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn health_of_the_control_plane_is_for_those_who_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    server.app.note_round("retention", std::time::Duration::from_secs(60), &Err::<(), _>("no room"));
    let health = server.get("/server/health").await;
    assert!(health["disk"]["total_bytes"].as_u64().unwrap() >= health["disk"]["free_bytes"].as_u64().unwrap(), "{health}");
    let stores = health["stores"].as_array().unwrap();
    assert_eq!(stores.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), ["registry", "fleet", "telemetry"]);
    assert!(stores.iter().all(|one| one["error"].is_null() && one["size_bytes"].as_u64().unwrap() > 0), "{health}");
    assert_eq!((&health["tasks"][0]["name"], &health["tasks"][0]["error"]), (&json!("retention"), &json!("no room")));
    let refused = server.anonymous(reqwest::Method::GET, "/api/v1/server/health").bearer_auth(&robot.token);
    assert_eq!(common::answer(refused).await.0, reqwest::StatusCode::FORBIDDEN);
    let (code, told) = ran(&server, &["doctor", "--server"]).await;
    assert!(code == Some(1) && told.contains("fail  task          retention: its last round broke off: no room"), "{told}");
    server.stop().await;
}
