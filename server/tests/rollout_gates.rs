//! Gates of rollouts over HTTP: robots report how well each model does, and the rollout goes on, back, or holds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Robot, Server, bundle, options};
use edgeflow_core::Clock;
use edgeflow_server::app::Door;
use edgeflow_wire::{
    Class, DeploymentStatusBody, DriftReportBody, EntryBody, EvaluationBody, ObservedState, SlotState, SlotStatus, StateBody, Upstream,
    Version,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

const SECOND_US: i64 = 1_000_000;
const BEGAN_US: i64 = 1_800_000_000_000_000;

struct StoodClock(AtomicI64);

impl Clock for StoodClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A robot that runs what it is told and counts how often that is right.
struct Simulated {
    robot: Robot,
    answered: Version,
    digest: String,
    /// Samples and right ones by digest.
    scores: BTreeMap<String, (u64, u64)>,
}

struct World {
    server: Server,
    clock: Arc<StoodClock>,
    _folder: tempfile::TempDir,
    robots: Vec<Simulated>,
    /// Right answers of ten frames, by version; none are reported of a version that is not here.
    right: BTreeMap<String, u64>,
    versions: BTreeMap<String, String>,
}

impl World {
    /// Robots that have run version 1 for a minute and a half.
    async fn of(count: usize, right: &[(&str, u64)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(StoodClock(AtomicI64::new(BEGAN_US)));
        let server = Server::start_at(options(&folder), clock.clone()).await;
        let mut versions = BTreeMap::new();
        for version in ["v1", "v2"] {
            let (status, body) = server.register("label-reader", bundle(version)).await;
            assert_eq!(status, StatusCode::CREATED);
            versions.insert(body["digest"].as_str().unwrap().to_owned(), version[1..].to_owned());
        }
        let mut robots = Vec::new();
        for n in 1..=count {
            let robot = server.enrol(&format!("robot-{n}")).await;
            server.app.robot_connected(&robot.id, Door::Http).await;
            robots.push(Simulated { robot, answered: Version::default(), digest: String::new(), scores: BTreeMap::new() });
        }
        let names: Vec<String> = (1..=count).map(|n| format!("robot-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(server.deploy("1", &names).await.0, StatusCode::CREATED);
        let right = right.iter().map(|(version, right)| ((*version).to_owned(), *right)).collect();
        let mut world = Self { server, clock, _folder: folder, robots, right, versions };
        for _ in 0..90 {
            world.second().await;
        }
        world
    }

    async fn second(&mut self) {
        self.server.app.step_rollouts().await.unwrap();
        let now_us = self.clock.0.fetch_add(SECOND_US, Ordering::SeqCst) + SECOND_US;
        for (i, simulated) in self.robots.iter_mut().enumerate() {
            let desired = simulated.robot.desired(&self.server.app).await.unwrap();
            if desired.version > simulated.answered {
                simulated.answered = desired.version;
                let slot = desired.slots["default"].clone();
                simulated.digest.clone_from(&slot.digest);
                let step = DeploymentStatusBody {
                    for_version: desired.version,
                    slot: "default".into(),
                    status: SlotStatus::Active,
                    model: slot.model.clone(),
                    model_version: slot.version.clone(),
                    digest: slot.digest.clone(),
                    running_digest: slot.digest.clone(),
                    ..DeploymentStatusBody::default()
                };
                let now = SlotState {
                    status: SlotStatus::Active,
                    model: slot.model,
                    version: slot.version,
                    digest: slot.digest,
                    ..SlotState::default()
                };
                let state = StateBody {
                    observed: ObservedState { version: desired.version },
                    slots: [("default".to_owned(), now)].into(),
                    software: "0.1.0".into(),
                    ..StateBody::default()
                };
                simulated.say(&self.server, Class::Critical, now_us, EntryBody::DeploymentStatus(step)).await;
                simulated.say(&self.server, Class::Event, now_us, EntryBody::State(state)).await;
                continue;
            }
            let Some(right) = self.right.get(&self.versions[&simulated.digest]) else { continue };
            let score = simulated.scores.entry(simulated.digest.clone()).or_default();
            // Now and then one more or one less, differently for each robot.
            let luck = (now_us / SECOND_US * 7 + i as i64 * 3) % 5;
            *score = (score.0 + 10, score.1 + (right + u64::from(luck == 0)).saturating_sub(u64::from(luck == 1)).min(10));
            let (samples, correct) = *score;
            let body = EvaluationBody {
                model: "label-reader".into(),
                model_version: String::new(),
                digest: simulated.digest.clone(),
                samples,
                correct,
                accuracy: correct as f64 / samples as f64,
            };
            simulated.say(&self.server, Class::Summary, now_us, EntryBody::Evaluation(body)).await;
        }
    }

    async fn until(&mut self, id: &str, phase: &str) -> Value {
        for _ in 0..600 {
            let view = self.server.get(&format!("/rollouts/{id}")).await;
            if view["phase"] == phase {
                return view;
            }
            self.second().await;
        }
        panic!("never {phase}: {}", self.server.get(&format!("/rollouts/{id}")).await);
    }

    async fn roll_out(&self, gates: Value) -> String {
        let stages = json!([{ "name": "canary", "count": 1, "soak_s": 30 }, { "name": "all", "rest": true, "soak_s": 30 }]);
        let spec = json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" },
            "strategy": { "max_unavailable": "100%", "stages": stages }, "gates": gates });
        let (status, body) = self.server.post("/rollouts", spec).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }
}

impl Simulated {
    async fn say(&mut self, server: &Server, class: Class, t_us: i64, body: EntryBody) {
        let mut batch = self.robot.append(class, vec![body]);
        batch.entries.iter_mut().for_each(|entry| entry.t_us = t_us);
        server.app.ingest(&self.robot.id, Upstream::Batch(batch)).await.unwrap();
    }
}

fn accuracy(against: &str, margin: f64) -> Value {
    json!([{ "name": "accuracy holds", "min_samples": 200, "compare": { "metric": "accuracy", "against": against, "worse": "lower", "margin": margin } }])
}

/// What the gates said when it was decided, by the history.
fn evidence(view: &Value, happened: &str) -> Value {
    let entries = view["history"].as_array().unwrap();
    entries.iter().rev().find(|entry| entry["happened"] == happened).unwrap_or_else(|| panic!("{view:#}"))["evidence"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worse_model_is_caught_at_the_canary_and_taken_back() {
    for against in ["before", "rest"] {
        let mut world = World::of(5, &[("1", 9), ("2", 5)]).await;
        let id = world.roll_out(accuracy(against, 0.1)).await;
        let view = world.until(&id, "rolled_back").await;
        assert_eq!(view["plan"][0]["state"], "failed", "{view:#}");
        assert_eq!(view["plan"][1]["state"], "waiting");
        let said = &view["plan"][0]["evidence"][0];
        assert_eq!((&said["verdict"], &said["metric"]), (&json!("fail"), &json!("accuracy")), "{said:#}");
        let (ours, theirs) = (&said["updated"]["accuracy"], &said[against]["accuracy"]);
        assert!((ours["mean"].as_f64().unwrap() - 0.5).abs() < 0.05 && (theirs["mean"].as_f64().unwrap() - 0.9).abs() < 0.05, "{said:#}");
        assert!(
            ours["n"].as_u64().unwrap() >= 200 && ours["robots"] == 1 && theirs["robots"] == if against == "rest" { 4 } else { 1 },
            "{said:#}"
        );
        assert!(
            said["p_value"].as_f64().unwrap() <= 0.025 && said["reason"].as_str().unwrap().contains("worse by more than the margin 0.1")
        );
        assert_eq!(evidence(&view, "stage_failed")["verdict"], "fail");

        let chart = world.server.get(&format!("/rollouts/{id}/metrics?metric=accuracy")).await;
        assert_eq!((&chart["unit"], &chart["stage"]), (&json!("1"), &json!("canary")));
        assert!((chart["threshold"].as_f64().unwrap() - 0.8).abs() < 0.05, "{chart}");
        let mean = |arm: &str| {
            let points = chart[arm].as_array().unwrap();
            let sum = |at: usize| {
                points.iter().map(|point| point[at].as_f64().unwrap() * if at == 1 { point[2].as_f64().unwrap() } else { 1.0 }).sum::<f64>()
            };
            (points.len() > 3, sum(1) / sum(2))
        };
        for (arm, about) in [("updated", 0.5), ("before", 0.9), ("rest", 0.9)] {
            assert!(mean(arm).0 && (mean(arm).1 - about).abs() < 0.05, "{arm}: {chart}");
        }
        world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_as_good_goes_on_to_the_last_robot() {
    // In the last stage nobody is left who is not updated: robots are held against themselves.
    let mut world = World::of(5, &[("1", 9), ("2", 9)]).await;
    let id = world.roll_out(accuracy("rest", 0.15)).await;
    let view = world.until(&id, "succeeded").await;
    let said = &view["plan"][1]["evidence"][0];
    assert!(said["verdict"] == "pass" && said["reason"].as_str().unwrap().contains("nobody else is left"), "{said:#}");
    assert_eq!(said["updated"]["accuracy"]["robots"], 4);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_reported_holds_the_rollout_and_is_named() {
    let mut world = World::of(2, &[("1", 9)]).await;
    let id = world.roll_out(json!([{ "name": "right", "expression": "updated.accuracy.mean >= 0.8" }])).await;
    world.until(&id, "judging").await;
    for _ in 0..40 {
        world.second().await;
    }
    let view = world.server.get(&format!("/rollouts/{id}")).await;
    assert_eq!(view["phase"], "judging", "neither promoted nor aborted");
    assert!(
        view["holds"].as_str().unwrap().contains("the updated robots reported no accuracy: 200 samples are needed"),
        "{}",
        view["holds"]
    );
    world.right.insert("2".to_owned(), 9);
    world.until(&id, "succeeded").await;
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_that_cannot_be_looked_at_are_refused() {
    let world = World::of(1, &[("1", 9)]).await;
    let spec = |gate: Value| json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" }, "gates": [gate] });
    for (gate, reason) in [
        (json!({ "name": "g", "expression": "updated.accuracy.median > 0.5" }), "the numbers of a metric are"),
        (
            json!({ "name": "g", "compare": { "metric": "accuracy", "against": "rest", "worse": "lower" } }),
            "say how much worse is still taken",
        ),
        (json!({ "name": "g" }), "either an expression or a comparison"),
    ] {
        let (status, body) = world.server.post("/rollouts", spec(gate)).await;
        assert!(status == StatusCode::BAD_REQUEST && body["error"]["message"].as_str().unwrap().contains(reason), "{body}");
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_that_drifts_alone_is_a_sensor() {
    let mut world = World::of(4, &[]).await;
    let now_us = world.clock.now_us();
    for (i, simulated) in world.robots.iter_mut().enumerate() {
        let EntryBody::DriftReport(report) = common::drift(1, i == 2) else { panic!() };
        let mut report = DriftReportBody { start_us: now_us - 1000, end_us: now_us, ..report };
        report.features[0].p_value = if i == 2 { 1e-9 } else { 0.4 };
        simulated.say(&world.server, Class::Summary, now_us, EntryBody::DriftReport(report)).await;
    }
    let view = world.server.get("/drift/fleet-verdict?model=label-reader").await;
    let feature = &view["features"][0];
    assert_eq!((&view["verdict"], &feature["robots"]), (&json!("sensor"), &json!(["robot-3"])), "{view:#}");
    assert_eq!((&feature["n"], &feature["counts"], &feature["of_robots"]), (&json!(400), &json!([160, 240]), &json!(4)));
    assert_eq!(world.server.get("/drift/fleet-verdict?version=9").await["robots"], 0);
    // Older windows say nothing of now.
    world.clock.0.fetch_add(3600 * SECOND_US, Ordering::SeqCst);
    assert_eq!(world.server.get("/drift/fleet-verdict?max_age_s=60").await["robots"], 0);
    world.server.stop().await;
}
