//! Rollouts over HTTP, with robots that are only their logs: what an operator sees, and what robots end up with.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::world::{Does, World, all, happened, of_version, with};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FOUR: [&str; 4] = ["robot-1", "robot-2", "robot-3", "robot-4"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_reaches_every_robot_stage_by_stage() {
    let mut world = World::of(4).await;
    let (status, plan) = world.server.post("/rollouts?dry_run=true", of_version("2")).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    assert_eq!((&plan["release"]["name"], &plan["release"]["version"]), (&json!("label-reader"), &json!("2")));
    let stages: Vec<(&str, usize)> = plan["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (stage["name"].as_str().unwrap(), stage["robots"].as_array().unwrap().len()))
        .collect();
    assert_eq!(stages, [("canary", 1), ("half", 1), ("all", 2)]);
    let canary = &plan["stages"][0]["robots"][0];
    assert_eq!((&canary["serves"], &canary["site"], &canary["online"]), (&json!("label-reader/1"), &json!("berlin"), &json!(true)));
    assert_eq!(world.server.get("/rollouts").await["items"], json!([]), "nothing was done");

    let id = world.make(with(of_version("2"), json!({ "description": "better" }))).await;
    world.server.app.step_rollouts().await.unwrap();
    let told: Vec<String> = world.told().await.into_values().collect();
    assert_eq!(told.iter().filter(|version| *version == "2").count(), 1, "the canary only: {told:?}");
    let (status, refused) = world.server.deploy("1", &["robot-1", "robot-2"]).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (StatusCode::CONFLICT, Some("conflict")));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("rollout {id} holds slot \"default\" of robot-1")) && message.contains("rollout abort"), "{message}");
    let (status, _) = world.server.post("/rollouts", of_version("1")).await;
    assert_eq!(status, StatusCode::CONFLICT, "another rollout of the same robots");

    let view = world.until(&id, "succeeded").await;
    assert_eq!(world.phases(&id).await, all("updated", &FOUR));
    assert!(world.told().await.values().all(|version| version == "2"));
    assert_eq!(view["robots"], json!({ "updated": 4 }));
    assert_eq!(view["plan"].as_array().unwrap().iter().map(|stage| stage["state"].as_str().unwrap()).collect::<Vec<_>>(), ["passed"; 3]);
    assert_eq!(view["actions"], json!(["rollback"]));
    let lines = happened(&view);
    assert_eq!((lines[0].as_str(), lines.last().unwrap().as_str()), ("created", "ended"), "{lines:?}");

    // What it told is on record as deployments, which their robots answered, and so is whose word it was.
    let lots = world.server.get(&format!("/deployments?rollout={id}")).await;
    let lots = lots["items"].as_array().unwrap().clone();
    assert!(lots.iter().all(|lot| lot["rollout"] == id.as_str() && lot["state"] == "succeeded"), "{lots:?}");
    assert_eq!(lots.iter().map(|lot| lot["targets"].as_array().unwrap().len()).sum::<usize>(), 4);
    assert_eq!(world.server.get("/deployments?rollout=none").await["items"].as_array().unwrap().len(), 1);
    let events = world.server.get("/events").await;
    let of_rollout: Vec<&str> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "rollout")
        .map(|event| event["title"].as_str().unwrap())
        .collect();
    assert_eq!(of_rollout.len(), 2, "{of_rollout:?}");
    assert!(of_rollout[0].starts_with(&format!("rollout {id} of label-reader 2 succeeded")), "{of_rollout:?}");
    let only = world.server.get("/events?kind=rollout").await;
    assert!(only["items"].as_array().unwrap().iter().all(|event| event["kind"] == "rollout"), "{only}");
    assert_eq!((only["items"].as_array().unwrap().len(), &only["next"]), (2, &serde_json::Value::Null));
    let notable = world.server.get("/events?notable=true&limit=1000").await;
    let kinds: BTreeSet<&str> = notable["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains("rollout") && !kinds.contains("state"), "{kinds:?}");
    let list = world.server.get("/rollouts?active=false&target=robot-3").await;
    assert_eq!((&list["items"][0]["id"], list["items"].as_array().unwrap().len()), (&json!(id), 1));
    assert_eq!(world.server.deploy("1", &["robot-1"]).await.0, StatusCode::CREATED, "it holds nobody any more");
    let text = world.server.anonymous(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(text.contains("edgeflow_rollouts{phase=\"succeeded\"} 1"), "{text}");
    assert!(text.contains("edgeflow_rollout_tick_seconds_bucket"));
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn robots_that_fail_take_the_rollout_back() {
    let mut world = World::of(4).await;
    for name in FOUR {
        world.does(name, Does::FailsAtNew);
    }
    let id = world.make(of_version("2")).await;
    let view = world.until(&id, "rolled_back").await;
    assert!(world.told().await.values().all(|version| version == "1"), "{:?}", world.told().await);
    assert_eq!(view["robots"], json!({ "pending": 3, "rolled_back": 1 }));
    assert_eq!(view["plan"][0]["state"], "failed");
    let lines = happened(&view);
    for line in ["robot_failed", "stage_failed", "rollback_began", "ended"] {
        assert!(lines.iter().any(|one| one == line), "{line}: {lines:?}");
    }
    let why = view["history"].as_array().unwrap().iter().find(|entry| entry["happened"] == "robot_failed").unwrap();
    assert_eq!(why["cause"], "it does not fit");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_robot_fails_at_its_deadline_and_is_named_when_it_does_not_go_back() {
    let mut world = World::of(2).await;
    for name in ["robot-1", "robot-2"] {
        world.does(name, Does::IsSilent);
    }
    let id = world.make(of_version("2")).await;
    let view = world.until(&id, "failed").await;
    let ended = view["history"].as_array().unwrap().last().unwrap();
    let cause = ended["cause"].as_str().unwrap();
    assert!(cause.contains("not back: robot-"), "{cause}");
    assert!(world.told().await.values().all(|version| version == "1"), "the desired state is back all the same");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn robots_that_are_offline_take_it_up_when_they_return_however_late() {
    let mut world = World::of(4).await;
    world.online("robot-3", false).await;
    let id = world.make(of_version("2")).await;
    let view = world.until(&id, "succeeded").await;
    assert_eq!(view["robots"], json!({ "deferred": 1, "updated": 3 }));
    assert_eq!(world.phases(&id).await["robot-3"], "deferred");
    assert_eq!(world.told().await["robot-3"], "2");
    world.wait_s(86_400);
    world.second().await;
    world.online("robot-3", true).await;
    for _ in 0..3 {
        world.second().await;
    }
    assert_eq!(world.phases(&id).await, all("updated", &FOUR));
    assert!(!world.server.app.step_rollouts().await.unwrap(), "nothing more may happen");

    // Away from before the rollout until after it went back: it never runs what it brought.
    world.online("robot-3", false).await;
    for name in FOUR {
        world.does(name, Does::FailsAtNew);
    }
    assert_eq!(world.server.deploy("1", &FOUR).await.0, StatusCode::CREATED);
    world.answer().await;
    world.does("robot-1", Does::Follows);
    let named =
        json!({ "strategy": { "stages": [{ "name": "first", "names": ["robot-1", "robot-3"] }, { "name": "all", "rest": true }] } });
    let id = world.make(with(of_version("2"), named)).await;
    let view = world.until(&id, "rolled_back").await;
    assert_eq!(world.told().await["robot-3"], "1");
    assert!(view["history"].as_array().unwrap().last().unwrap()["cause"].as_str().unwrap().contains("1 will when it returns"), "{view}");
    world.online("robot-3", true).await;
    for _ in 0..3 {
        world.second().await;
    }
    assert_eq!(world.phases(&id).await["robot-3"], "rolled_back");
    assert_eq!(world.robots["robot-3"].runs.as_ref().unwrap().1, "1");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_pause_approve_abort_take_back_and_retry() {
    let mut world = World::of(4).await;
    let stages = json!({ "strategy": { "stages": [{ "name": "canary", "count": 1 }, { "name": "all", "rest": true, "approval": true }] } });
    let id = world.make(with(of_version("2"), stages)).await;
    let (status, paused) = world.act(&id, "pause").await;
    assert_eq!((status, &paused["phase"]), (StatusCode::OK, &json!("paused")));
    for _ in 0..3 {
        world.second().await;
    }
    assert!(world.told().await.values().all(|version| version == "1"), "nobody is told while it is paused");
    let (status, refused) = world.act(&id, "approve").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["error"]["message"].as_str().unwrap().contains("possible: resume"), "{refused}");
    assert_eq!(world.act(&id, "launch").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.act("999", "pause").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.act(&id, "resume").await.0, StatusCode::OK);
    let waiting = world.until(&id, "awaiting_approval").await;
    assert_eq!(waiting["holds"], "stage all waits for approval");
    let canary = world.phases(&id).await.into_iter().find(|(_, phase)| phase == "updated").unwrap().0;
    let (_, approved) = world.act(&id, "approve").await;
    assert_eq!(approved["phase"], "progressing");
    world.until(&id, "succeeded").await;
    // Who let it go on is part of what is known of what a robot runs.
    let other = FOUR.into_iter().find(|name| *name != canary).unwrap();
    let diff = world.server.get(&format!("/lineage/diff?before={canary}&after={other}")).await;
    assert!(diff.to_string().contains("\"who\":\"administrator\""), "{diff}");
    let (status, back) = world.act(&id, "rollback").await;
    assert_eq!((status, &back["phase"]), (StatusCode::OK, &json!("rolling_back")));
    world.until(&id, "rolled_back").await;
    assert!(world.told().await.values().all(|version| version == "1"));
    assert_eq!(world.phases(&id).await, all("rolled_back", &FOUR));

    // One that failed is told again when what was wrong with it is mended.
    world.does("robot-2", Does::FailsAtNew);
    let id = world.make(with(of_version("2"), json!({ "on_failure": "pause" }))).await;
    world.until(&id, "paused").await;
    world.does("robot-2", Does::Follows);
    assert_eq!(world.act(&id, "retry").await.0, StatusCode::OK);
    world.until(&id, "succeeded").await;
    assert_eq!(world.phases(&id).await, all("updated", &FOUR));

    let id = world.make(of_version("1")).await;
    world.second().await;
    let (_, aborted) = world.act(&id, "abort").await;
    assert_eq!(aborted["phase"], "aborted");
    let told = world.told().await;
    world.second().await;
    assert_eq!(world.told().await, told, "robots stay as they are");
    let audit = world.server.get("/audit").await;
    let acts: Vec<&Value> = audit["items"].as_array().unwrap().iter().filter(|act| act["resource"] == format!("rollout/{id}")).collect();
    assert_eq!(acts.iter().map(|act| act["action"].as_str().unwrap()).collect::<Vec<_>>(), ["rollout", "rollout"]);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_rollout_of_the_same_robots_waits_for_the_first() {
    let mut world = World::of(4).await;
    let first = world.make(with(of_version("2"), json!({ "targets": { "names": ["robot-1", "robot-2"] } }))).await;
    world.second().await;
    let queue = json!({ "targets": { "names": ["robot-2", "robot-3"] }, "when_taken": "queue" });
    let (_, plan) = world.server.post("/rollouts?dry_run=true", with(of_version("1"), queue.clone())).await;
    assert_eq!(plan["taken"], json!([{ "target": "robot-2", "rollout": first }]));
    let second = world.make(with(of_version("1"), queue)).await;
    world.second().await;
    let waiting = world.rollout(&second).await;
    assert_eq!(waiting["phase"], "queued");
    assert_eq!(waiting["holds"], format!("rollout {first} holds some of its robots: waits until that has ended"));
    assert_eq!(world.server.deploy("2", &["robot-3"]).await.0, StatusCode::CREATED, "who waits holds nobody");
    let apart = world.make(with(of_version("2"), json!({ "targets": { "names": ["robot-4"] } }))).await;
    world.until(&apart, "succeeded").await;
    world.until(&first, "succeeded").await;
    world.until(&second, "succeeded").await;
    let told: Vec<String> = world.told().await.into_values().collect();
    assert_eq!(told, ["2", "1", "1", "2"]);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telemetry_policy_goes_out_and_comes_back() {
    let mut world = World::of(2).await;
    let policy =
        |period_s: u32| json!({ "routes": [{ "name": "odom", "allow": ["odom"], "fields": ["x"], "window": { "period_s": period_s } }] });
    let put = world.server.request(reqwest::Method::PUT, "/targets/robot-1/policy").json(&policy(60));
    assert_eq!(common::answer(put).await.0, StatusCode::OK);
    world.answer().await;
    let id = world.make(json!({ "release": { "kind": "policy", "policy": policy(10) }, "strategy": { "max_unavailable": "100%" } })).await;
    world.until(&id, "succeeded").await;
    let shown = async |world: &World, name: &str| world.server.get(&format!("/targets/{name}/policy")).await["document"].clone();
    assert_eq!((shown(&world, "robot-1").await, shown(&world, "robot-2").await), (policy(10), policy(10)));
    assert_eq!(world.act(&id, "rollback").await.0, StatusCode::OK);
    world.until(&id, "rolled_back").await;
    assert_eq!((shown(&world, "robot-1").await, shown(&world, "robot-2").await), (policy(60), json!({})));
    world.server.stop().await;
}

/// What is left when a rollout has ended: its phase, its robots, what they are told and run, and what happened in which order.
async fn outcome(world: &World, id: &str) -> (Value, BTreeMap<String, String>, BTreeMap<String, String>, Vec<Option<String>>, Vec<String>) {
    let view = world.rollout(id).await;
    let runs = world.robots.values().map(|one| one.runs.as_ref().map(|runs| runs.1.clone())).collect();
    (view["phase"].clone(), world.phases(id).await, world.told().await, runs, happened(&view))
}

/// Runs a rollout to its end, one step at a time; the control plane dies after each step that changed something, if it `dies`, and once
/// more when robots have answered it.
async fn to_the_end(
    fails: bool,
    dies: bool,
) -> (Value, BTreeMap<String, String>, BTreeMap<String, String>, Vec<Option<String>>, Vec<String>) {
    let mut world = World::of(4).await;
    world.online("robot-4", false).await;
    if fails {
        // In the second stage, when there is something to take back.
        world.does("robot-1", Does::FailsAtNew);
        world.does("robot-2", Does::FailsAtNew);
    }
    let stages = json!([{ "name": "first", "names": ["robot-3", "robot-4"], "soak_s": 2 }, { "name": "all", "rest": true }]);
    let id = world.make(with(of_version("2"), json!({ "strategy": { "stages": stages, "deadline_s": 600 } }))).await;
    let (mut kills, mut steps) = (0, 0);
    loop {
        steps += 1;
        assert!(steps < 400, "it never ends: {}", world.rollout(&id).await);
        let before = world.rollout(&id).await;
        world.server.app.step_rollouts_by(1).await.unwrap();
        let after = world.rollout(&id).await;
        let changed = after != before;
        if dies && changed {
            world = world.killed().await;
            assert_eq!(world.rollout(&id).await, after, "what was there is there");
            kills += 1;
        }
        world.answer().await;
        if dies && changed {
            world = world.killed().await;
            kills += 1;
        }
        if ["succeeded", "rolled_back", "failed"].iter().any(|phase| after["phase"] == *phase) {
            break;
        }
        // After a start it takes a while until robots count as offline.
        world.wait_s(if changed { 1 } else { 10 });
    }
    assert!(!dies || kills >= 10, "{kills} kills");
    world.wait_s(31);
    world.online("robot-4", true).await;
    for _ in 0..4 {
        world.second().await;
    }
    let outcome = outcome(&world, &id).await;
    world.server.stop().await;
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_dies_at_every_transition_comes_to_the_same_end() {
    for fails in [false, true] {
        let expected = to_the_end(fails, false).await;
        assert_eq!(expected.0, if fails { "rolled_back" } else { "succeeded" });
        assert_eq!(to_the_end(fails, true).await, expected, "killed after every step, fails: {fails}");
    }
}
