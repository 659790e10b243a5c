//! Rollouts from a terminal, against a control plane that keeps the contract.

use axum::{
    Json, Router,
    extract::{Path as At, RawQuery, State},
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{Ran, program, run};

#[derive(Clone, Default)]
struct Plane {
    asked: Arc<Mutex<Vec<Value>>>,
    looks: Arc<AtomicUsize>,
}

/// A rollout whose canary fails its gate, one look after the other.
fn view(look: usize) -> Value {
    let numbers = |mean: f64, n: u64| json!({ "accuracy": { "n": n, "robots": 1, "mean": mean, "std": 0.1, "p50": mean, "p95": mean, "min": 0.0, "max": 1.0 } });
    let evidence = json!([{ "gate": "accuracy-holds", "verdict": "fail", "reason": "accuracy is worse than before", "at_us": 9, "metric": "accuracy",
        "threshold": 0.02, "p_value": 0.0004, "updated": numbers(0.71, 400), "before": numbers(0.97, 500), "rest": {} }]);
    let (phase, holds, state, robots, evidence) = match look {
        0 => ("progressing", "", "running", json!({ "updating": 1 }), json!([])),
        1 => ("soaking", "soaks for 9 s more", "running", json!({ "updated": 1 }), json!([])),
        2 => ("rolling_back", "", "failed", json!({ "rolling_back": 1 }), evidence),
        _ => ("rolled_back", "", "failed", json!({ "rolled_back": 1 }), evidence),
    };
    json!({ "id": "7", "kind": "model", "name": "reader", "version": "3", "digest": "sha256:ab", "slot": "default", "phase": phase, "holds": holds, "stage": "canary",
        "stage_index": 0, "stages": 2, "robots": robots, "created_at_us": 1_700_000_000_000_000_i64, "created_by": "operator:ada", "since_us": 1, "description": "",
        "spec": {}, "actions": ["retry"], "plan": [
            { "name": "canary", "state": state, "robots": robots, "soak_s": 10, "approval": false, "gates": ["accuracy-holds"], "began_us": 1, "ended_us": null, "evidence": evidence },
            { "name": "all", "state": "waiting", "robots": { "pending": 3 }, "soak_s": 0, "approval": true, "gates": [], "began_us": null, "ended_us": null, "evidence": [] },
        ],
        "history": [{ "at_us": 1_700_000_000_000_000_i64, "happened": "ended", "phase": phase, "stage": "canary", "robot": null, "actor": { "kind": "controller" },
            "cause": "gate accuracy-holds failed" },
            { "at_us": 1_700_000_000_000_001_i64, "happened": "robot_left", "phase": phase, "stage": "canary", "robot": "robot-3", "actor": { "kind": "controller" },
            "cause": "it left the fleet" }] })
}

async fn create(State(plane): State<Plane>, RawQuery(query): RawQuery, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    plane.asked.lock().unwrap().push(json!({ "query": query, "body": body }));
    if query.is_none() {
        return (StatusCode::CREATED, Json(view(0)));
    }
    let robot = |name: &str| json!({ "target": name, "serves": "reader/2", "site": "berlin", "online": true, "lacks": if name == "robot-1" { "it has no such slot" } else { "" } });
    let stage =
        |name: &str, robots: Value| json!({ "name": name, "robots": robots, "soak_s": 10, "approval": false, "gates": ["accuracy-holds"] });
    (
        StatusCode::OK,
        Json(json!({ "release": { "kind": "model", "name": "reader", "version": "3", "digest": "sha256:ab" },
        "stages": [stage("canary", json!([robot("robot-2")])), stage("all", json!([robot("robot-1")]))],
        "left_out": [{ "target": "robot-4", "reason": "no stage takes it" }], "taken": [{ "target": "robot-1", "rollout": "6" }] })),
    )
}

async fn act(State(plane): State<Plane>, At((id, act)): At<(String, String)>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    plane.asked.lock().unwrap().push(json!({ "act": act, "body": body }));
    if act == "resume" {
        let message = format!("rollout {id} cannot resume now: it is not paused; possible: pause, abort, rollback");
        return (StatusCode::CONFLICT, Json(json!({ "error": { "code": "conflict", "message": message } })));
    }
    (StatusCode::OK, Json(view(1)))
}

async fn start() -> (String, Plane) {
    let plane = Plane::default();
    let routes = Router::new()
        .route("/api/v1/rollouts", post(create).get(async || Json(json!({ "items": [view(1)], "next": null }))))
        .route("/api/v1/rollouts/{id}", get(async |State(plane): State<Plane>| Json(view(plane.looks.fetch_add(1, Ordering::SeqCst)))))
        .route("/api/v1/rollouts/{id}/{act}", post(act))
        .with_state(plane.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, plane)
}

async fn edgeflow(url: &str, arguments: &[&str]) -> Ran {
    let mut command = program(&[&["rollout"], arguments].concat());
    command.env("EDGEFLOW_URL", url).env("EDGEFLOW_TOKEN", "secret");
    run(command).await
}

#[tokio::test]
async fn a_rollout_is_followed_stage_by_stage_with_the_numbers_its_gates_saw() {
    let (url, _) = start().await;
    let ran = edgeflow(&url, &["watch", "7"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.err, "edgeflow: rollout 7 ended as rolled_back: gate accuracy-holds failed\n");
    let lines: Vec<&str> = ran.out.lines().collect();
    let at = |text: &str| lines.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{text:?} is not in\n{}", ran.out));
    let order = [
        at("canary running: updating 1"),
        at("rollout 7: progressing"),
        at("canary running: updated 1"),
        at("rollout 7: soaking: soaks for 9 s more"),
        at("canary failed: rolling_back 1"),
        at("GATE"),
        at("accuracy-holds  fail     accuracy  0.7100 (n 400)  0.9700 (n 500)  -     0.0200     0.0004"),
        at("rollout 7: rolling_back"),
        at("rollout 7: rolled_back"),
    ];
    assert!(order.is_sorted(), "{order:?}\n{}", ran.out);
    assert_eq!(lines.iter().filter(|line| line.starts_with("GATE")).count(), 1, "the same verdict is told once:\n{}", ran.out);
    assert!(!ran.out.contains("all waiting"), "{}", ran.out);
    let shown = edgeflow(&url, &["show", "7"]).await.ok();
    assert!(
        shown.contains("rollout 7: rolled_back") && shown.contains("possible now: retry") && shown.contains("ended (canary): gate"),
        "{shown}"
    );
    let listed = edgeflow(&url, &["list"]).await.ok();
    assert!(listed.lines().nth(1).unwrap().starts_with("7   reader/3  soaking  canary  updated 1"), "{listed}");
}

#[tokio::test]
async fn what_to_whom_and_how_comes_from_arguments_a_file_or_both() {
    let (url, plane) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("careful.yaml");
    fs::write(&file, "targets: {groups: [berlin]}\nstrategy: {max_failed: \"5%\", deadline_s: 60}\ngates:\n  - {name: accuracy-holds, expression: updated.accuracy.mean > 0.9}\n").unwrap();
    let file = file.display().to_string();
    let arguments = [
        "start",
        "reader",
        "@champion",
        "--file",
        &file,
        "--exclude",
        "robot-9",
        "--label",
        "zone=a",
        "--label",
        "zone=b",
        "--queue",
        "--description",
        "why",
    ];
    let begun = edgeflow(&url, &arguments).await.ok();
    assert!(begun.contains("rollout 7 brings reader/3: progressing; `edgeflow rollout watch 7` follows it"), "{begun}");
    let body = plane.asked.lock().unwrap()[0]["body"].clone();
    assert_eq!(body["release"], json!({ "kind": "model", "name": "reader", "alias": "champion" }));
    assert_eq!(body["targets"], json!({ "groups": ["berlin"], "labels": { "zone": ["a", "b"] }, "exclude": ["robot-9"] }));
    assert_eq!(
        (&body["strategy"]["max_failed"], &body["strategy"]["deadline_s"], &body["when_taken"]),
        (&json!("5%"), &json!(60), &json!("queue"))
    );
    assert_eq!(
        (&body["gates"][0]["name"], &body["gates"][0]["min_samples"], &body["description"]),
        (&json!("accuracy-holds"), &json!(200), &json!("why"))
    );

    let planned = edgeflow(&url, &["plan", "reader", "3", "--to", "robot-1,robot-2"]).await.ok();
    for line in [
        "canary  robot-2  reader/2  berlin  yes",
        "all: 1 robot, soak 10 s, accuracy-holds",
        "would fail: robot-1: it has no such slot",
        "left out: robot-4: no stage takes it",
        "taken: robot-1 by rollout 6",
    ] {
        assert!(planned.contains(line), "{line:?} is not in\n{planned}");
    }
    assert_eq!(plane.asked.lock().unwrap()[1]["query"], "dry_run=true");
    for (share, targets) in
        [(&["--percent", "10"][..], json!({ "percent": 10.0, "seed": "autumn" })), (&["--to", "robot-1"], json!({ "names": ["robot-1"] }))]
    {
        edgeflow(&url, &[&["start", "reader", "3", "--seed", "autumn"], share].concat()).await.ok();
        let body = plane.asked.lock().unwrap().last().unwrap()["body"].clone();
        assert_eq!((&body["targets"], &body["strategy"]["seed"]), (&targets, &json!("autumn")));
    }
    for (arguments, reason) in [
        (&["start", "reader", "3"][..], "say which robots"),
        (&["start", "reader"], "give its version"),
        (&["start"], "--file"),
        (&["start", "reader", "3", "--to", "robot-1", "--kind", "modle"], "give model, map, package or config"),
    ] {
        assert!(edgeflow(&url, arguments).await.failed().contains(reason), "{arguments:?}");
    }
    fs::write(&file, "strategy: {max_faild: 1}\n").unwrap();
    let told = edgeflow(&url, &["start", "reader", "3", "--file", &file]).await.failed();
    assert!(told.contains("careful.yaml:1:12: strategy: unknown key \"max_faild\"; did you mean \"max_failed\"?"), "{told}");
}

#[tokio::test]
async fn operators_act_and_are_told_what_is_possible() {
    let (url, plane) = start().await;
    let paused = edgeflow(&url, &["pause", "7", "--reason", "shift change"]).await.ok();
    assert_eq!(paused, "rollout 7 is soaking (soaks for 9 s more)\n");
    assert_eq!(plane.asked.lock().unwrap()[0], json!({ "act": "pause", "body": { "reason": "shift change" } }));
    assert!(edgeflow(&url, &["resume", "7"]).await.failed().contains("possible: pause, abort, rollback"));
    for act in ["approve", "promote", "abort", "rollback", "retry"] {
        edgeflow(&url, &[act, "7"]).await.ok();
        assert_eq!(plane.asked.lock().unwrap().last().unwrap()["act"], act);
    }
}
