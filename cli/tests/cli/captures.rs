//! `edgeflow captures`: listed, fetched with what was cut before, and checked.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

use crate::support::{Ran, program, run};

fn content() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn capture(id: &str, place: &str, sha256: &str) -> Value {
    json!({"id": id, "target": "robot-1", "place": place, "reason": "trigger weak", "policy": 1, "triggered_us": 1_700_000_000_000_000_i64,
        "start_us": 1_000_000, "end_us": 3_500_000, "messages": 42, "missed": 0, "topics": {"/scan": 42}, "size_bytes": 400_000,
        "received_bytes": if place == "stored" { 400_000 } else { 100_000 }, "sha256": sha256, "gone_us": null,
        "gone_why": if place == "gone" { json!("age") } else { Value::Null }})
}

async fn list() -> Json<Value> {
    let sha256: String = Sha256::digest(content()).iter().map(|byte| format!("{byte:02x}")).collect();
    let rotten = "0".repeat(64);
    let items = [
        capture("4-d", "uploading", &sha256),
        capture("3-c", "stored", &sha256),
        capture("2-b", "stored", &rotten),
        capture("1-a", "gone", &sha256),
    ];
    Json(json!({"items": items, "next": null}))
}

/// From the byte that was asked for on.
async fn file(State(asked): State<Arc<Mutex<Vec<String>>>>, Path((_, id)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let range = headers[header::RANGE].to_str().unwrap().to_owned();
    let from: usize = range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap();
    asked.lock().unwrap().push(format!("{id} {range}"));
    (StatusCode::PARTIAL_CONTENT, content()[from..].to_vec()).into_response()
}

#[tokio::test]
async fn captures_are_listed_and_fetched_from_where_they_were_cut() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let routes = Router::new()
        .route("/api/v1/targets/{target}/captures", get(list))
        .route("/api/v1/targets/{target}/captures/{id}", get(file))
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let folder = tempfile::tempdir().unwrap();
    let ran = async |arguments: &[&str]| -> Ran {
        let mut command = program(arguments);
        command.env("EDGEFLOW_URL", &url).env("EDGEFLOW_TOKEN", "secret").current_dir(folder.path());
        run(command).await
    };

    let table = ran(&["captures", "list", "robot-1"]).await.ok();
    for part in ["3-c", "stored", "uploading, 25 %", "gone, age", "42 messages, 2.5 s", "trigger weak", "390.62 KiB"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    // The newest that is whole, by its own name.
    let out = ran(&["captures", "get", "robot-1"]).await.ok();
    assert!(out.starts_with("robot-1_3-c.mcap "), "{out}");
    assert!(std::fs::read(folder.path().join("robot-1_3-c.mcap")).unwrap() == content());
    // One that was cut before goes on from there.
    std::fs::write(folder.path().join("noise.mcap.part"), &content()[..150_000]).unwrap();
    ran(&["captures", "get", "robot-1", "3-c", "--out", "noise.mcap"]).await.ok();
    assert!(std::fs::read(folder.path().join("noise.mcap")).unwrap() == content());
    assert_eq!(asked.lock().unwrap().as_slice(), ["3-c bytes=0-", "3-c bytes=150000-"]);

    let there = ran(&["captures", "get", "robot-1", "3-c", "--out", "noise.mcap"]).await.failed();
    assert!(there.contains("noise.mcap: there is such a file already"), "{there}");
    let rotten = ran(&["captures", "get", "robot-1", "2-b"]).await.failed();
    assert!(rotten.contains("does not have its SHA-256 and was removed"), "{rotten}");
    for (id, reason) in [("4-d", "uploading, 25 %"), ("1-a", "gone, age"), ("ghost", "there is no capture ghost")] {
        let error = ran(&["captures", "get", "robot-1", id]).await.failed();
        assert!(error.contains(reason), "{error}");
    }
    let mut left: Vec<String> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["noise.mcap", "robot-1_3-c.mcap"]);
}
