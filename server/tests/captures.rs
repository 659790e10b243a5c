//! Captures as a robot sends them and people fetch them: in parts, checked, bounded, and each robot for itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Robot, Server, answer,
    clock::{DAY_US, StoodClock},
    options,
};
use edgeflow_core::capture::Keeping;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn content(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn offer(id: &str, content: &[u8]) -> Value {
    let sha256 = hex::encode(Sha256::digest(content));
    json!({"id": id, "reason": "trigger weak", "policy": "3", "triggered_us": 2, "start_us": 1, "end_us": 3, "messages": 4, "missed": 0,
        "topics": {"/scan": 4}, "size_bytes": content.len(), "sha256": sha256})
}

async fn offered(server: &Server, robot: &Robot, target: &str, offer: &Value) -> (StatusCode, Value) {
    let path = format!("/api/v1/targets/{target}/captures");
    answer(server.anonymous(Method::POST, &path).bearer_auth(&robot.token).json(offer)).await
}

async fn sent(server: &Server, robot: &Robot, target: &str, id: &str, offset: usize, part: &[u8]) -> (StatusCode, Value) {
    let path = format!("/api/v1/targets/{target}/captures/{id}/parts/{offset}");
    answer(server.anonymous(Method::PUT, &path).bearer_auth(&robot.token).body(part.to_vec())).await
}

async fn stored(server: &Server, robot: &Robot, target: &str, id: &str, content: &[u8]) {
    assert_eq!(offered(server, robot, target, &offer(id, content)).await, (StatusCode::OK, json!({"received_bytes": 0, "stored": false})));
    let (status, body) = sent(server, robot, target, id, 0, content).await;
    assert_eq!((status, &body["stored"]), (StatusCode::OK, &json!(true)), "{body}");
}

async fn listed(server: &Server, target: &str) -> Vec<(String, String, Value)> {
    let list = server.get(&format!("/targets/{target}/captures")).await;
    let row =
        |item: &Value| (item["id"].as_str().unwrap().to_owned(), item["place"].as_str().unwrap().to_owned(), item["gone_why"].clone());
    list["items"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_on_where_they_were_cut_also_when_the_control_plane_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    let bytes = content(1, 1_000_000);
    offered(&server, &robot, "robot-1", &offer("a", &bytes)).await;
    let (status, body) = sent(&server, &robot, "robot-1", "a", 0, &bytes[..400_000]).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"received_bytes": 400_000, "stored": false})));
    // The answer was lost: the part comes again, and with it what follows.
    let (_, body) = sent(&server, &robot, "robot-1", "a", 300_000, &bytes[300_000..500_000]).await;
    assert_eq!(body["received_bytes"], 500_000);
    let (status, body) = sent(&server, &robot, "robot-1", "a", 600_000, &bytes[600_000..]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["error"]["message"].as_str().unwrap().contains("500000 bytes so far"), "{body}");
    let early = server.request(Method::GET, "/targets/robot-1/captures/a").send().await.unwrap();
    assert_eq!(early.status(), StatusCode::CONFLICT);
    server.stop().await;

    let server = Server::start(options(&folder)).await;
    let (_, body) = offered(&server, &robot, "robot-1", &offer("a", &bytes)).await;
    assert_eq!(body, json!({"received_bytes": 500_000, "stored": false}));
    let (status, body) = sent(&server, &robot, "robot-1", "a", 500_000, &bytes[500_000..]).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"received_bytes": 1_000_000, "stored": true})));
    assert_eq!(std::fs::read_dir(folder.path().join("captures")).unwrap().count(), 0, "parts are put away");
    // Said again, it is said again.
    let (_, body) = offered(&server, &robot, "robot-1", &offer("a", &bytes)).await;
    assert_eq!(body["stored"], true);
    assert_eq!(sent(&server, &robot, "robot-1", "a", 0, &bytes[..10]).await.1["stored"], true);
    let other = offer("a", &content(2, 10));
    assert_eq!(offered(&server, &robot, "robot-1", &other).await.0, StatusCode::CONFLICT, "another one of that name");

    let whole = server.request(Method::GET, "/targets/robot-1/captures/a").send().await.unwrap();
    assert!(whole.headers()["content-disposition"].to_str().unwrap().contains("robot-1_a.mcap"));
    assert!(whole.bytes().await.unwrap() == bytes);
    let part = server.request(Method::GET, "/targets/robot-1/captures/a").header("range", "bytes=999990-").send().await.unwrap();
    assert_eq!(part.headers()["content-range"], "bytes 999990-999999/1000000");
    assert_eq!((part.status(), part.bytes().await.unwrap().as_ref()), (StatusCode::PARTIAL_CONTENT, &bytes[999_990..]));
    let view = server.get("/targets/robot-1/captures").await["items"][0].clone();
    assert_eq!((&view["reason"], &view["policy"], &view["topics"]), (&json!("trigger weak"), &json!(3), &json!({"/scan": 4})));
    let audit = server.get("/audit").await["items"].clone();
    let acts: Vec<&Value> = audit.as_array().unwrap().iter().filter(|item| item["detail"]["capture"] == "a").collect();
    let whos: Vec<&str> = acts.iter().map(|item| item["who"].as_str().unwrap()).collect();
    assert_eq!(whos, ["administrator", "robot:robot-1"], "who sent it and who read it, once: {audit}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_offered_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let keeping = Keeping { max_capture_bytes: 1_000, max_bytes: 5_000, ..Keeping::default() };
    let mut chosen = options(&folder);
    chosen.captures = keeping;
    let server = Server::start(chosen).await;
    let robot = server.enrol("robot-1").await;
    let (bytes, mut wrong) = (content(1, 900), content(1, 900));
    wrong[800] ^= 1;
    offered(&server, &robot, "robot-1", &offer("a", &bytes)).await;
    sent(&server, &robot, "robot-1", "a", 0, &wrong[..500]).await;
    let (status, body) = sent(&server, &robot, "robot-1", "a", 500, &wrong[500..]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"]["message"].as_str().unwrap().contains("SHA-256"), "{body}");
    assert_eq!(listed(&server, "robot-1").await, [("a".into(), "gone".into(), json!("mismatch"))]);
    assert_eq!(server.request(Method::GET, "/targets/robot-1/captures/a").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(sent(&server, &robot, "robot-1", "a", 0, &bytes).await.0, StatusCode::CONFLICT, "offered again first");
    // Another try, from the beginning.
    stored(&server, &robot, "robot-1", "a", &bytes).await;

    offered(&server, &robot, "robot-1", &offer("b", &bytes)).await;
    let (status, body) = sent(&server, &robot, "robot-1", "b", 0, &content(1, 901)).await;
    assert!(status == StatusCode::BAD_REQUEST && body["error"]["message"].as_str().unwrap().contains("more came than"), "{body}");
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 4] = [
        ("bad capture: size_bytes: 1001 is not in 1 to 1000", |offer| offer["size_bytes"] = json!(1_001)),
        ("bad capture: id", |offer| offer["id"] = json!("../robot-2/x")),
        ("bad capture: sha256", |offer| offer["sha256"] = json!("x")),
        ("policy \"new\" is no version", |offer| offer["policy"] = json!("new")),
    ];
    for (reason, change) in cases {
        let mut offer = offer("c", &bytes);
        change(&mut offer);
        let (status, body) = offered(&server, &robot, "robot-1", &offer).await;
        assert!(status == StatusCode::BAD_REQUEST && body["error"]["message"].as_str().unwrap().starts_with(reason), "{status} {body}");
    }
    let (status, _) = sent(&server, &robot, "robot-1", "ghost", 0, &bytes).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, body) = sent(&server, &robot, "robot-1", "a", 0, &vec![0; (1 << 20) + 1]).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")));
    for n in 0..4 {
        let (status, _) = offered(&server, &robot, "robot-1", &offer(&format!("d{n}"), &bytes)).await;
        assert_eq!(status, StatusCode::OK);
    }
    let (status, body) = offered(&server, &robot, "robot-1", &offer("d4", &bytes)).await;
    assert!(status == StatusCode::BAD_REQUEST && body.to_string().contains("on their way already"), "{body}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_sends_and_reads_its_own_only_and_people_send_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (one, two) = (server.enrol("robot-1").await, server.enrol("robot-2").await);
    let bytes = content(7, 100);
    stored(&server, &one, "robot-1", "a", &bytes).await;
    offered(&server, &one, "robot-1", &offer("b", &bytes)).await;
    // The other robot, with every verb.
    assert_eq!(offered(&server, &two, "robot-1", &offer("x", &bytes)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(sent(&server, &two, "robot-1", "b", 0, &bytes).await.0, StatusCode::FORBIDDEN);
    for path in ["/api/v1/targets/robot-1/captures", "/api/v1/targets/robot-1/captures/a"] {
        let as_two = server.anonymous(Method::GET, path).bearer_auth(&two.token).send().await.unwrap();
        assert_eq!(as_two.status(), StatusCode::FORBIDDEN, "{path}");
        let as_one = server.anonymous(Method::GET, path).bearer_auth(&one.token).send().await.unwrap();
        assert_eq!(as_one.status(), StatusCode::OK, "{path}");
        let as_nobody = server.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(as_nobody.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    // Its own of the same name is another one, and the one it may not read stays as it was.
    stored(&server, &two, "robot-2", "a", &content(8, 50)).await;
    let fetched = server.request(Method::GET, "/targets/robot-1/captures/a").send().await.unwrap().bytes().await.unwrap();
    assert!(fetched == bytes);
    // Whatever else the administrator may, it is no robot.
    let (status, _) = answer(server.request(Method::POST, "/targets/robot-1/captures").json(&offer("y", &bytes))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let put = server.request(Method::PUT, "/targets/robot-1/captures/b/parts/0").body(bytes.clone());
    assert_eq!(answer(put).await.0, StatusCode::FORBIDDEN);
    assert_eq!(listed(&server, "robot-1").await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_age_make_room_and_are_given_up_and_it_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut chosen = options(&folder);
    chosen.captures = Keeping { keep_days: 10, max_capture_bytes: 1_000, max_bytes: 2_000 };
    let clock = StoodClock::at(DAY_US);
    let server = Server::start_at(chosen, clock.clone()).await;
    let robot = server.enrol("robot-1").await;
    let days = |days: i64| clock.set(days * DAY_US);
    stored(&server, &robot, "robot-1", "first", &content(1, 900)).await;
    days(2);
    stored(&server, &robot, "robot-1", "second", &content(2, 900)).await;
    offered(&server, &robot, "robot-1", &offer("half", &content(3, 900))).await;
    sent(&server, &robot, "robot-1", "half", 0, &content(3, 900)[..100]).await;
    days(3);
    stored(&server, &robot, "robot-1", "third", &content(4, 900)).await;
    let row = |id: &str, place: &str, why: Value| (id.to_owned(), place.to_owned(), why);
    let expected = [
        row("third", "stored", Value::Null),
        row("half", "uploading", Value::Null),
        row("second", "stored", Value::Null),
        row("first", "gone", json!("space")),
    ];
    assert_eq!(listed(&server, "robot-1").await, expected, "the oldest made room at once");
    let files = || {
        let walk = |folder: &std::path::Path| std::fs::read_dir(folder).map_or(0, Iterator::count);
        (walk(&folder.path().join("artifacts/captures/default/robot-1")), walk(&folder.path().join("captures")))
    };
    assert_eq!(files(), (2, 1));
    days(12);
    server.app.retain_captures().await.unwrap();
    let expected = [
        row("third", "stored", Value::Null),
        row("half", "gone", json!("unfinished")),
        row("second", "gone", json!("age")),
        row("first", "gone", json!("space")),
    ];
    assert_eq!((listed(&server, "robot-1").await.as_slice(), files()), (expected.as_slice(), (1, 0)));
    // One that arrived and went does not come again; one that was given up may.
    let (_, body) = offered(&server, &robot, "robot-1", &offer("second", &content(2, 900))).await;
    assert_eq!(body["stored"], true);
    stored(&server, &robot, "robot-1", "half", &content(3, 900)).await;
    server.stop().await;
}
