//! Gates of rollouts over HTTP: robots report how well each model does, and the rollout goes on, back, or holds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    clock::{HOUR_US, SECOND_US},
    world::{World, happened},
};
use edgeflow_core::Clock;
use edgeflow_wire::{Class, DriftReportBody, EntryBody, EvaluationBody, Version};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Robots that run what they are told and count how often that is right.
struct Judged {
    world: World,
    /// Samples and right ones by robot and digest.
    scores: BTreeMap<(String, String), (u64, u64)>,
    /// Right answers of ten frames, by version; none are reported of a version that is not here.
    right: BTreeMap<String, u64>,
}

impl Judged {
    /// Robots that have run version 1 for a minute and a half.
    async fn of(count: usize, right: &[(&str, u64)]) -> Self {
        let right = right.iter().map(|(version, right)| ((*version).to_owned(), *right)).collect();
        let mut judged = Self { world: World::of(count).await, scores: BTreeMap::new(), right };
        for _ in 0..90 {
            judged.second().await;
        }
        judged
    }

    async fn second(&mut self) {
        let answered: Vec<Version> = self.world.robots.values().map(|robot| robot.answered).collect();
        self.world.second().await;
        let now_us = self.world.clock.now_us();
        for (i, ((name, robot), answered)) in self.world.robots.iter_mut().zip(answered).enumerate() {
            let (_, version, digest) = robot.runs.clone().unwrap();
            // One that has just changed what it runs has counted nothing of it yet.
            let Some(right) = self.right.get(&version).filter(|_| robot.answered == answered) else { continue };
            let score = self.scores.entry((name.clone(), digest.clone())).or_default();
            // Now and then one more or one less, differently for each robot.
            let luck = (now_us / SECOND_US * 7 + i as i64 * 3) % 5;
            *score = (score.0 + 10, score.1 + (right + u64::from(luck == 0)).saturating_sub(u64::from(luck == 1)).min(10));
            let (samples, correct) = *score;
            let body = EvaluationBody {
                model: "label-reader".into(),
                model_version: String::new(),
                digest,
                samples,
                correct,
                accuracy: correct as f64 / samples as f64,
            };
            robot.say(&self.world.server, Class::Summary, now_us, EntryBody::Evaluation(body)).await;
        }
    }

    async fn until(&mut self, id: &str, phase: &str) -> Value {
        for _ in 0..600 {
            let view = self.world.rollout(id).await;
            if view["phase"] == phase {
                return view;
            }
            self.second().await;
        }
        panic!("never {phase}: {}", self.world.rollout(id).await);
    }

    async fn roll_out(&self, gates: Value) -> String {
        let stages = json!([{ "name": "canary", "count": 1, "soak_s": 30 }, { "name": "all", "rest": true, "soak_s": 30 }]);
        let spec = json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" },
            "strategy": { "max_unavailable": "100%", "stages": stages }, "gates": gates });
        self.world.make(spec).await
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
        let mut judged = Judged::of(5, &[("1", 9), ("2", 5)]).await;
        let id = judged.roll_out(accuracy(against, 0.1)).await;
        let view = judged.until(&id, "rolled_back").await;
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

        let chart = judged.world.server.get(&format!("/rollouts/{id}/metrics?metric=accuracy")).await;
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
        judged.world.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_stage_without_gates_leaves_the_numbers_of_the_one_before_in_sight() {
    let mut judged = Judged::of(5, &[("1", 9), ("2", 9)]).await;
    let stages = json!([{ "name": "canary", "count": 1, "soak_s": 30 }, { "name": "all", "rest": true, "gates": [] }]);
    let spec = json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" },
        "strategy": { "max_unavailable": "100%", "stages": stages }, "gates": accuracy("rest", 0.15) });
    let id = judged.world.make(spec).await;
    judged.until(&id, "succeeded").await;
    let chart = judged.world.server.get(&format!("/rollouts/{id}/metrics?metric=accuracy")).await;
    assert_eq!(chart["stage"], "canary", "{chart}");
    let ended = chart["updated"].as_array().unwrap().last().unwrap()[0].as_i64().unwrap();
    for arm in ["updated", "before", "rest"] {
        let points = chart[arm].as_array().unwrap();
        assert!(points.len() > 3 && points.iter().all(|point| point[0].as_i64().unwrap() <= ended + 2_000_000), "{arm}: {chart}");
    }
    judged.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_as_good_goes_on_to_the_last_robot() {
    // In the last stage nobody is left who is not updated: robots are held against themselves.
    let mut judged = Judged::of(5, &[("1", 9), ("2", 9)]).await;
    let id = judged.roll_out(accuracy("rest", 0.15)).await;
    let view = judged.until(&id, "succeeded").await;
    let said = &view["plan"][1]["evidence"][0];
    assert!(said["verdict"] == "pass" && said["reason"].as_str().unwrap().contains("nobody else is left"), "{said:#}");
    assert_eq!(said["updated"]["accuracy"]["robots"], 4);
    judged.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_reported_holds_the_rollout_and_is_named() {
    let mut judged = Judged::of(2, &[("1", 9)]).await;
    let id = judged.roll_out(json!([{ "name": "right", "expression": "updated.accuracy.mean >= 0.8" }])).await;
    judged.until(&id, "judging").await;
    for _ in 0..40 {
        judged.second().await;
    }
    let view = judged.world.server.get(&format!("/rollouts/{id}")).await;
    assert_eq!(view["phase"], "judging", "neither promoted nor aborted");
    assert!(
        view["holds"].as_str().unwrap().contains("the updated robots reported no accuracy: 200 samples are needed"),
        "{}",
        view["holds"]
    );
    judged.right.insert("2".to_owned(), 9);
    judged.until(&id, "succeeded").await;
    judged.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_is_resumed_is_judged_by_what_is_so_now() {
    let mut judged = Judged::of(2, &[("1", 9), ("2", 5)]).await;
    let stages = json!([{ "name": "canary", "count": 1, "soak_s": 30 }, { "name": "all", "rest": true }]);
    let spec = json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" }, "on_failure": "pause",
        "strategy": { "max_unavailable": "100%", "stages": stages },
        "gates": [{ "name": "right", "expression": "updated.accuracy.max >= 0.8" }] });
    let id = judged.world.make(spec).await;
    let view = judged.until(&id, "paused").await;
    assert_eq!(view["plan"][0]["evidence"][0]["verdict"], "fail", "{view:#}");
    // Somebody cleaned the lens.
    judged.right.insert("2".to_owned(), 9);
    for _ in 0..20 {
        judged.second().await;
    }
    assert_eq!(judged.world.act(&id, "resume").await.0, StatusCode::OK);
    judged.until(&id, "succeeded").await;
    let failures = happened(&judged.world.rollout(&id).await).into_iter().filter(|line| line == "stage_failed").count();
    assert_eq!(failures, 1, "what the gates said before it was resumed is not held against it");
    judged.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_that_cannot_be_looked_at_are_refused() {
    let judged = Judged::of(1, &[("1", 9)]).await;
    let spec = |gate: Value| json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" }, "gates": [gate] });
    for (gate, reason) in [
        (json!({ "name": "g", "expression": "updated.accuracy.median > 0.5" }), "the numbers of a metric are"),
        (
            json!({ "name": "g", "compare": { "metric": "accuracy", "against": "rest", "worse": "lower" } }),
            "say how much worse is still taken",
        ),
        (json!({ "name": "g" }), "either an expression or a comparison"),
    ] {
        let (status, body) = judged.world.server.post("/rollouts", spec(gate)).await;
        assert!(status == StatusCode::BAD_REQUEST && body["error"]["message"].as_str().unwrap().contains(reason), "{body}");
    }
    judged.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_that_drifts_alone_is_a_sensor() {
    let mut judged = Judged::of(4, &[]).await;
    let world = &mut judged.world;
    let now_us = world.clock.now_us();
    for (i, simulated) in world.robots.values_mut().enumerate() {
        let EntryBody::DriftReport(report) = common::drift(1, i == 2) else { panic!() };
        let mut report = DriftReportBody { start_us: now_us - 1000, end_us: now_us, ..report };
        report.features[0].p_value = if i == 2 { 1e-9 } else { 0.4 };
        simulated.say(&world.server, Class::Summary, now_us, EntryBody::DriftReport(report)).await;
    }
    let view = judged.world.server.get("/drift/fleet-verdict?model=label-reader").await;
    let feature = &view["features"][0];
    assert_eq!((&view["verdict"], &feature["robots"]), (&json!("sensor"), &json!(["robot-3"])), "{view:#}");
    assert_eq!((&feature["n"], &feature["counts"], &feature["of_robots"]), (&json!(400), &json!([160, 240]), &json!(4)));
    assert_eq!(judged.world.server.get("/drift/fleet-verdict?version=9").await["robots"], 0);
    // Older windows say nothing of now.
    judged.world.wait_s(3600);
    assert_eq!(judged.world.server.get("/drift/fleet-verdict?max_age_s=60").await["robots"], 0);
    judged.world.server.stop().await;
}

/// Nobody set these clocks: whichever robot is the canary, it or others are three hours ahead or behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn robots_whose_clocks_are_hours_wrong_are_judged_as_others_are() {
    for (version_2, ends) in [(5, "rolled_back"), (9, "succeeded")] {
        for (against, margin) in [("before", 0.15), ("rest", 0.15)] {
            let off_us = [3 * HOUR_US, -3 * HOUR_US, 3 * HOUR_US, -3 * HOUR_US, 0];
            let right = [("1".to_owned(), 9), ("2".to_owned(), version_2)].into();
            let mut judged = Judged { world: World::with_clocks(&off_us).await, scores: BTreeMap::new(), right };
            for _ in 0..90 {
                judged.second().await;
            }
            let id = judged.roll_out(accuracy(against, margin)).await;
            let view = judged.until(&id, ends).await;
            let said = &view["plan"][0]["evidence"][0];
            let (ours, theirs) = (&said["updated"]["accuracy"], &said[against]["accuracy"]);
            let about = |arm: &Value, right: u64| (arm["mean"].as_f64().unwrap() - right as f64 / 10.0).abs() < 0.05;
            assert!(about(ours, version_2) && about(theirs, 9), "{against}: {said:#}");
            assert_eq!(theirs["robots"], if against == "rest" { 4 } else { 1 }, "{said:#}");
            // Thirty seconds of ten frames each, and what came until it was decided; of before, no more than that.
            let (n, of_them) = (ours["n"].as_u64().unwrap(), theirs["n"].as_u64().unwrap());
            assert!(n >= 200 && of_them <= (n + 20) * theirs["robots"].as_u64().unwrap(), "{against}: {n} and {of_them}");
            judged.world.server.stop().await;
        }
    }
}
