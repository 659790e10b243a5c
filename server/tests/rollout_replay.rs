//! Stage 0 of rollouts over HTTP: recorded frames decide before any robot is told. The program that replays them is a stand-in that looks
//! at what it is given and answers with what the recording says; `replay_model` itself is tested beside the inference engine.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Server, TOKEN, answer, bundle, clock::StoodClock, options, world::BEGAN_US};
use edgeflow_server::app::{AppOptions, Door};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

fn program(path: PathBuf, text: &str) -> PathBuf {
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Another model in each folder, no secrets, and the arguments of the rollout.
const STAND_IN: &str = r#"#!/bin/sh
test -z "$HOME$EDGEFLOW_ADMIN_TOKEN" || exit 9
test -f "$1/model.onnx" && test -f "$2/model.onnx" || exit 9
test "$EDGEFLOW_MODEL_MEMORY_BYTES" = 1073741824 || exit 9
grep -q greedy "$3" && { echo "std::bad_alloc" >&2; exit 1; }
cmp -s "$1/model.onnx" "$2/model.onnx" && { echo "both are the same" >&2; exit 1; }
test "$4" = "/image" || { echo "topic is $4" >&2; exit 1; }
cat "$3"
"#;

struct World {
    server: Server,
    clock: Arc<StoodClock>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = StoodClock::at(BEGAN_US);
        program(folder.path().join("replay_model"), STAND_IN);
        let check = program(folder.path().join("check_model"), "#!/bin/sh\nexit 0\n");
        let server =
            Server::start_at(AppOptions { model_check: Some(check), model_memory_bytes: 1 << 30, ..options(&folder) }, clock.clone()).await;
        for version in ["v1", "v2"] {
            assert_eq!(server.register("label-reader", bundle(version)).await.0, StatusCode::CREATED);
        }
        let mut robot = server.enrol("robot-1").await;
        server.app.robot_connected(&robot.id, Door::Http).await;
        assert_eq!(server.deploy("1", &["robot-1"]).await.0, StatusCode::CREATED);
        robot.converge(&server.app).await;
        clock.wait_s(31);
        Self { server, clock, folder }
    }

    async fn record(&self, path: &str, numbers: Value) {
        let url = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
        let (status, body) = answer(self.server.anonymous(Method::PUT, &url).bearer_auth(TOKEN).body(numbers.to_string())).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    async fn roll_out(&self, recording: &str) -> String {
        let spec = json!({ "release": { "kind": "model", "name": "label-reader", "version": "2" },
            "replay": { "recording": recording, "topic": "/image", "min_agreement": 0.9 } });
        let (status, body) = self.server.post("/rollouts", spec).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// Rounds until it is no longer only replaying, or says why it holds.
    async fn replayed(&self, id: &str) -> Value {
        let asked = async {
            loop {
                self.server.app.step_rollouts().await.unwrap();
                let view = self.server.get(&format!("/rollouts/{id}")).await;
                if !["queued", "replaying"].contains(&view["phase"].as_str().unwrap()) || view["holds"].as_str().unwrap().contains("fram") {
                    return view;
                }
                // The program runs by itself; others have their turn.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asked).await.expect("the replay ends")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_wants_too_much_memory_is_told_the_bound() {
    let world = World::new().await;
    world.record("recordings/greedy.mcap", json!("greedy")).await;
    let view = world.replayed(&world.roll_out("recordings/greedy.mcap").await).await;
    let holds = view["holds"].as_str().unwrap();
    assert!(holds.contains("std::bad_alloc (it may use 1024 MiB: ") && holds.contains("model_memory_bytes"), "{holds}");
    world.server.stop().await;
}

fn numbers(frames: u64, agreement: f64) -> Value {
    json!({ "topic": "/image", "frames": frames, "skipped": 0, "failed": 0, "failure": "", "agreed": 0, "agreement": agreement,
        "candidate_p50_us": 900, "current_p50_us": 1000, "max_difference": 0.5, "differences": [], "relabelled": { "7 -> 1": 3 } })
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_frames_decide_before_any_robot_is_told() {
    let world = World::new().await;
    world.record("recordings/good.mcap", numbers(400, 0.95)).await;
    world.record("recordings/bad.mcap", numbers(400, 0.5)).await;

    let bad = world.roll_out("recordings/bad.mcap").await;
    let view = world.replayed(&bad).await;
    assert_eq!(view["phase"], "failed", "{view:#}");
    let entry = view["history"].as_array().unwrap().iter().find(|entry| entry["happened"] == "replayed").unwrap().clone();
    let said = &entry["evidence"][0];
    assert_eq!((&said["verdict"], &said["metric"], &said["threshold"]), (&json!("fail"), &json!("agreement"), &json!(0.9)), "{said:#}");
    assert!(said["reason"].as_str().unwrap().starts_with("against label-reader/1: both agree on 0.5 of 400 frames of /image"), "{said:#}");
    assert_eq!(view["robots"], json!({ "pending": 1 }), "nobody was told");

    let good = world.roll_out("recordings/good.mcap").await;
    let view = world.replayed(&good).await;
    assert!(
        view["phase"] != "failed" && view["history"].as_array().unwrap().iter().any(|entry| entry["happened"] == "replayed"),
        "{view:#}"
    );
    assert!(is_empty(&world.folder.path().join("replays")), "what was put together is removed");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_replayed_holds_the_rollout_until_it_can() {
    let world = World::new().await;
    let id = world.roll_out("recordings/late.mcap").await;
    let view = world.replayed(&id).await;
    assert_eq!(view["phase"], "replaying");
    assert!(
        view["holds"].as_str().unwrap().contains("there is no capture or artifact to replay \"recordings/late.mcap\""),
        "{}",
        view["holds"]
    );
    // Too few frames say nothing either.
    world.record("recordings/late.mcap", numbers(7, 0.1)).await;
    let mut holds = String::new();
    for _ in 0..2000 {
        world.clock.wait_s(1);
        let view = world.replayed(&id).await;
        holds = view["holds"].as_str().unwrap().to_owned();
        if holds.contains("7 of at least 200 frames") {
            break;
        }
    }
    assert!(holds.contains("7 of at least 200 frames, 193 are missing"), "{holds}");
    world.server.stop().await;
}
