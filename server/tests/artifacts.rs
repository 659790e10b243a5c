//! What MLflow's clients do with artifacts, over HTTP: keep, list, fetch whole and in part, remove; and what goes when nobody
//! refers to it any more.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{
    Server, TOKEN, answer, bundle,
    clock::{HOUR_US, StoodClock},
    options,
};
use edgeflow_bundle::Digest;
use reqwest::{Body, Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";

fn at(server: &Server, method: Method, path: &str) -> RequestBuilder {
    server.anonymous(method, &format!("{ROOT}/{path}")).bearer_auth(TOKEN)
}

async fn put(server: &Server, path: &str, content: impl Into<Body>) {
    let (status, body) = answer(at(server, Method::PUT, path).body(content)).await;
    assert_eq!((status, &body), (StatusCode::OK, &json!({})), "{path}");
}

async fn fetch(server: &Server, path: &str) -> Option<Vec<u8>> {
    let response = at(server, Method::GET, path).send().await.unwrap();
    if response.status() == StatusCode::NOT_FOUND {
        return None;
    }
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    Some(response.bytes().await.unwrap().to_vec())
}

async fn list(server: &Server, path: &str) -> Value {
    let (status, body) = answer(server.anonymous(Method::GET, &format!("{ROOT}?path={path}")).bearer_auth(TOKEN)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["files"].clone()
}

/// Every file in a folder and those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn a_client_keeps_lists_fetches_and_removes_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    put(&server, "0/run/artifacts/model/MLmodel", "flavors: {}").await;
    put(&server, "0/run/artifacts/model/data/weights.bin", vec![7; 3 << 20]).await;
    put(&server, "0/run/artifacts/empty", "").await;
    put(&server, "0/run/artifacts/gr%C3%B6%C3%9Fe%201%23.txt", "umlaut").await;

    let files_of = |path: &'static str| list(&server, path);
    assert_eq!(
        files_of("0/run/artifacts").await,
        json!([
            { "path": "empty", "is_dir": false, "file_size": 0 },
            { "path": "größe 1#.txt", "is_dir": false, "file_size": 6 },
            { "path": "model", "is_dir": true },
        ])
    );
    assert_eq!(files_of("0/run/artifacts/model/").await[0], json!({ "path": "MLmodel", "is_dir": false, "file_size": 11 }));
    assert_eq!(files_of("0/run/artifacts/empty").await, json!([]), "a file is not listed as a folder");
    assert_eq!(files_of("").await, json!([{ "path": "0", "is_dir": true }]));
    assert_eq!(fetch(&server, "0/run/artifacts/model/data/weights.bin").await.unwrap(), vec![7; 3 << 20]);
    assert_eq!(fetch(&server, "0/run/artifacts/empty").await.unwrap(), b"");
    assert_eq!(fetch(&server, "0/run/artifacts/gr%C3%B6%C3%9Fe%201%23.txt").await.unwrap(), b"umlaut");
    assert_eq!(fetch(&server, "0/run/artifacts/model").await, None, "a folder has no bytes");

    let part = at(&server, Method::GET, "0/run/artifacts/model/MLmodel").header(header::RANGE, "bytes=2-5").send().await.unwrap();
    assert_eq!((part.status(), part.headers()[header::CONTENT_RANGE].to_str().unwrap()), (StatusCode::PARTIAL_CONTENT, "bytes 2-5/11"));
    assert_eq!(part.bytes().await.unwrap(), "avor");

    put(&server, "0/run/artifacts/model/MLmodel", "flavors: {onnx}").await;
    assert_eq!(fetch(&server, "0/run/artifacts/model/MLmodel").await.unwrap(), b"flavors: {onnx}", "a second upload takes its place");
    assert_eq!(answer(at(&server, Method::DELETE, "0/run/artifacts/model/")).await.0, StatusCode::OK);
    assert_eq!(fetch(&server, "0/run/artifacts/model/data/weights.bin").await, None);
    let (status, body) = answer(at(&server, Method::DELETE, "0/run/artifacts/model")).await;
    assert_eq!((status, &body["error_code"]), (StatusCode::NOT_FOUND, &json!("RESOURCE_DOES_NOT_EXIST")));
    let audit = server.get("/audit").await;
    assert_eq!((&audit["items"][0]["action"], &audit["items"][0]["detail"]["files"]), (&json!("write_artifact_path"), &json!(2)));
    server.stop().await;
}

#[tokio::test]
async fn what_no_path_may_be_and_what_is_in_the_way_is_refused_in_mlflows_shape() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    put(&server, "a/b", "1").await;
    for (path, words) in [
        ("x%2F..%2F..%2Fetc%2Fpasswd", "could lead out"),
        ("%2Fetc%2Fpasswd", "absolute"),
        ("C%3A%2Fx", "absolute"),
        ("a%5C..%5Cb", "backslash"),
        ("a%00b", "control character"),
        ("a//b", "empty name"),
        ("a/b/c", "is a file"),
        ("a", "is a folder"),
    ] {
        let (status, body) = answer(at(&server, Method::PUT, path).body("x")).await;
        assert_eq!((status, &body["error_code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMETER_VALUE")), "{path} {body}");
        assert!(body["message"].as_str().unwrap().contains(words), "{path} {body}");
    }
    let sent = |digest: &str| at(&server, Method::PUT, "digest").header("content-digest", digest).body("content");
    let right = format!("md5=:AAAA:, sha-256=:{}:", BASE64_STANDARD.encode(Digest::of(b"content").as_bytes()));
    let wrong = format!("sha-256=:{}:", BASE64_STANDARD.encode(Digest::of(b"other").as_bytes()));
    let (status, body) = answer(sent(&wrong)).await;
    assert!(status == StatusCode::BAD_REQUEST && body["message"].as_str().unwrap().contains("send it again"), "{body}");
    assert_eq!(answer(sent("sha-256=abc")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(fetch(&server, "digest").await, None, "nothing of it was kept");
    assert_eq!(answer(sent(&right)).await.0, StatusCode::OK);
    assert_eq!(fetch(&server, "digest").await.unwrap(), b"content");

    let nobody = server.anonymous(Method::PUT, &format!("{ROOT}/a/c")).body("x");
    assert_eq!(answer(nobody).await.0, StatusCode::UNAUTHORIZED);
    let robot = server.enrol("robot-1").await;
    let as_robot = server.anonymous(Method::GET, &format!("{ROOT}/a/b")).bearer_auth(&robot.token);
    let (status, body) = answer(as_robot).await;
    assert_eq!((status, &body["error_code"]), (StatusCode::FORBIDDEN, &json!("PERMISSION_DENIED")));
    assert!(files(&folder.path().join("artifacts/incoming")).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let broken = futures::stream::iter([Ok(vec![1; 1 << 16]), Err(std::io::Error::other("the client went away"))]);
    assert!(at(&server, Method::PUT, "a/b").body(Body::wrap_stream(broken)).send().await.is_err());
    assert_eq!(fetch(&server, "a/b").await, None);
    assert_eq!(list(&server, "").await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn bytes_go_when_nothing_refers_to_them_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(1_700_000_000_000_000);
    let server = Server::start_at(options(&folder), clock.clone()).await;
    let kept = || files(&folder.path().join("artifacts/sha256")).len();
    let hours = |hours: i64| clock.wait_us(hours * (HOUR_US + 1));
    put(&server, "r1/x", "same").await;
    put(&server, "r2/x", "same").await;
    put(&server, "r2/y", "other").await;
    assert_eq!(kept(), 2, "the same bytes are there once");
    hours(2);
    assert_eq!(server.app.collect_artifacts().await.unwrap(), 0);

    assert_eq!(answer(at(&server, Method::DELETE, "r2")).await.0, StatusCode::OK);
    assert_eq!(server.app.collect_artifacts().await.unwrap(), 0, "a while is left to whoever is about to refer to them");
    hours(1);
    assert_eq!((server.app.collect_artifacts().await.unwrap(), kept()), (1, 1));
    assert_eq!(fetch(&server, "r1/x").await.unwrap(), b"same");
    assert_eq!(answer(at(&server, Method::DELETE, "r1/x")).await.0, StatusCode::OK);
    hours(1);
    assert_eq!((server.app.collect_artifacts().await.unwrap(), kept()), (1, 0));

    // A version's files stay, whoever else referred to them.
    let (_, version) = server.register("label-reader", bundle("v1")).await;
    put(&server, "copy/model.onnx", common::bundle_file("v1", "model.onnx")).await;
    assert_eq!(answer(at(&server, Method::DELETE, "copy")).await.0, StatusCode::OK);
    hours(1);
    assert_eq!((server.app.collect_artifacts().await.unwrap(), kept()), (0, 3));
    let digest = version["files"][2]["sha256"].as_str().unwrap();
    assert_eq!(answer(server.request(Method::GET, &format!("/artifacts/{digest}"))).await.0, StatusCode::OK);

    // What a robot is told to have stays when nothing else refers to it: here, one that was revoked and may come back.
    server.enrol("robot-1").await;
    assert_eq!(server.deploy("1", &["robot-1"]).await.0, StatusCode::CREATED);
    assert_eq!(answer(server.request(Method::DELETE, "/targets/robot-1")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(answer(server.request(Method::DELETE, "/models/label-reader")).await.0, StatusCode::NO_CONTENT);
    hours(1);
    assert_eq!((server.app.collect_artifacts().await.unwrap(), kept()), (0, 3));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_of_the_bytes_that_are_being_collected_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(1_700_000_000_000_000);
    let server = Arc::new(Server::start_at(options(&folder), clock.clone()).await);
    // All time passes at once: whatever is doubted is collected at the first chance.
    let (app, clock) = (server.app.clone(), clock);
    let (stop, removed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (stop.clone(), removed.clone());
    let collector = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            clock.wait_us(HOUR_US + 1);
            counted.fetch_add(app.collect_artifacts().await.unwrap(), Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    // Every client removes and keeps at the same time, so that there are moments when nobody refers to the bytes.
    // How often the collector meets one is for the machine to say: forty rounds, and more until it did.
    let (together, enough, began) = (Arc::new(tokio::sync::Barrier::new(4)), Arc::new(AtomicBool::new(false)), Instant::now());
    let clients = (0..4).map(|client| {
        let (server, together, enough, removed) = (server.clone(), together.clone(), enough.clone(), removed.clone());
        tokio::spawn(async move {
            for round in 0.. {
                if together.wait().await.is_leader() {
                    let met = removed.load(Ordering::Relaxed) > 0 || began.elapsed() > Duration::from_secs(60);
                    enough.store(round >= 40 && met, Ordering::Relaxed);
                }
                together.wait().await;
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                let path = format!("{client}/x");
                put(&server, &path, "the same bytes of everybody").await;
                assert_eq!(fetch(&server, &path).await.unwrap(), b"the same bytes of everybody");
                together.wait().await;
                assert_eq!(answer(at(&server, Method::DELETE, &path)).await.0, StatusCode::OK);
            }
            put(&server, &format!("{client}/x"), "the same bytes of everybody").await;
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    collector.await.unwrap();
    assert!(removed.load(Ordering::Relaxed) > 0, "they were never collected in between");
    for client in 0..4 {
        assert_eq!(fetch(&server, &format!("{client}/x")).await.unwrap(), b"the same bytes of everybody");
    }
    Arc::into_inner(server).unwrap().stop().await;
}
