use super::*;
use axum::{body::Body, http::Request};
use edgeflow_uplink::{Backlog, Limits};
use edgeflow_wire::{Class, Content, Entry, EntryBody};
use serde_json::Value;
use std::{path::Path, process::Command};
use tower::ServiceExt;

use crate::{Clock, LogHandle};

struct Robot {
    local: Arc<Local>,
    log: LogHandle,
    _senders: (watch::Sender<LinkState>, watch::Sender<Option<DesiredState>>),
}

fn robot(dir: &Path) -> Robot {
    let clock = Clock::new().unwrap();
    let (log, _thread) = LogHandle::open(dir, edgeflow_edge_log::Options::default(), clock).unwrap();
    let senders = (watch::Sender::new(LinkState::default()), watch::Sender::new(None));
    let local = Local {
        robot: "robot-1".into(),
        recorder: Recorder::new(log.clone(), clock),
        channels: Channels::open(dir),
        link: senders.0.subscribe(),
        log: log.snapshot(),
        desired: senders.1.subscribe(),
        hold: Arc::new(LocalHold::open(dir)),
        giving_up: mpsc::channel(1).0,
        slots: vec!["default".into()],
    };
    Robot { local: Arc::new(local), log, _senders: senders }
}

impl Robot {
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let response = router(self.local.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
    }

    async fn held(&self, class: Class) -> Vec<Entry> {
        self.log.clone().read(class, 1, Limits::default()).await.unwrap().entries
    }
}

#[tokio::test]
async fn an_event_is_on_the_disk_when_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path());
    let body = r#"{"source":"charger","name":"docked","severity":"warning","t_us":1700000000000000,"data":{"volts":25.2}}"#;
    assert_eq!(robot.ask("POST", "/v1/events", body).await, (201, json!({ "durable": true })));
    let inspector = edgeflow_edge_log::LogInspector::open(dir.path()).unwrap();
    assert_eq!(inspector.overview().unwrap()[1].held, 1, "read by another connection, as after a power cut");
    let held = robot.held(Class::Event).await;
    let Content::Known(EntryBody::ApplicationEvent(event)) = &held[0].content else { panic!("{held:?}") };
    assert_eq!((held[0].t_us, event.name.as_str(), &event.data), (1_700_000_000_000_000, "docked", &json!({ "volts": 25.2 })));
}

#[tokio::test]
async fn points_need_a_channel_and_carry_its_unit_and_class() {
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path());
    let points = r#"{"points":[{"value":31.5},{"t_us":7,"value":32.0}]}"#;
    let (status, answer) = robot.ask("POST", "/v1/channels/charger/temperature/points", points).await;
    assert!(status == 404 && answer["error"].as_str().unwrap().contains("PUT /v1/channels/charger/temperature"), "{answer}");
    let channel = r#"{"unit":"degC","class":"detail"}"#;
    assert_eq!(robot.ask("PUT", "/v1/channels/charger/temperature", channel).await.0, 201);
    assert_eq!(robot.ask("PUT", "/v1/channels/charger/temperature", channel).await.0, 200);
    assert_eq!(robot.ask("POST", "/v1/channels/charger/temperature/points", points).await.0, 201);
    let held = robot.held(Class::Detail).await;
    let Content::Known(EntryBody::Points(points)) = &held[0].content else { panic!("{held:?}") };
    assert_eq!((points.channel.as_str(), points.unit.as_str(), points.points.len()), ("charger/temperature", "degC", 2));
    assert_eq!((points.points[1].t_us, points.points[1].value), (7, 32.0));
    assert!(points.points[0].t_us > 1_600_000_000_000_000);
}

#[tokio::test]
async fn channels_outlive_the_bridge_and_can_be_forgotten() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    robot(dir.path()).ask("PUT", "/v1/channels/a/b", r#"{"unit":"V"}"#).await;
    std::fs::copy(dir.path().join("channels.json"), other.path().join("channels.json")).unwrap();
    let robot = robot(other.path());
    assert_eq!(robot.ask("GET", "/v1/channels", "").await.1["a/b"]["unit"], "V");
    assert_eq!(robot.ask("DELETE", "/v1/channels/a/b", "").await.0, 204);
    assert_eq!(robot.ask("DELETE", "/v1/channels/a/b", "").await.0, 404);
    for n in 0..256 {
        assert_eq!(robot.ask("PUT", &format!("/v1/channels/a/{n}"), "{}").await.0, 201);
    }
    let (status, answer) = robot.ask("PUT", "/v1/channels/a/256", "{}").await;
    assert!(status == 507 && answer["error"].as_str().unwrap().contains("DELETE"), "{answer}");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_by_name_and_nothing_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path());
    robot.ask("PUT", "/v1/channels/a/b", "{}").await;
    let long = format!(r#"{{"source":"s","name":"{}"}}"#, "n".repeat(5_000));
    let many = format!(r#"{{"points":[{}]}}"#, vec![r#"{"value":1}"#; 2_001].join(","));
    for (method, path, body, why) in [
        ("POST", "/v1/events", "", "cannot be used"),
        ("POST", "/v1/events", r#"{"source":"s","name":""}"#, "name is empty"),
        ("POST", "/v1/events", r#"{"source":"s","name":"n","sverity":"info"}"#, "sverity"),
        ("POST", "/v1/events", r#"{"source":"s","name":"n","severity":"awful"}"#, "awful"),
        ("POST", "/v1/events", &long, "at most 4096"),
        ("PUT", "/v1/channels/a/b", r#"{"class":"critical"}"#, "\"summary\" or \"detail\""),
        ("PUT", "/v1/channels/a/b%20c", "{}", "is no name"),
        ("POST", "/v1/channels/a/b/points", r#"{"points":[]}"#, "0 points"),
        ("POST", "/v1/channels/a/b/points", &many, "2001 points"),
        ("POST", "/v1/channels/a/b/points", r#"{"points":[{"value":"x"}]}"#, "line 1 column"),
        ("GET", "/v2/status", "", "no such route"),
    ] {
        let (status, answer) = robot.ask(method, path, body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!((400..500).contains(&status) && error.contains(why), "{method} {path}: {status} {answer}");
    }
    robot.log.written().await.unwrap();
    for class in Class::ALL {
        assert!(robot.held(class).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_and_curl_reach_a_socket_and_web_pages_do_not_reach_the_port() {
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path());
    let socket = dir.path().join("bridge.sock");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stop = watch::Sender::new(false);
    let doors = Doors { socket: socket.clone(), port: Some(port) };
    let serving = tokio::spawn(serve(doors, router(robot.local.clone()), robot.local.recorder.clone(), stop.subscribe()));
    while std::os::unix::net::UnixStream::connect(&socket).is_err() || std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::task::yield_now().await;
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);

    let script = r#"
import sys
sys.path.insert(0, sys.argv[1])
from edgeflow_bridge_client import Bridge, BridgeError
bridge = Bridge(sys.argv[2])
assert bridge.event("charger", "docked", data={"volts": 25.2}) is True
channel = bridge.channel("charger/temperature", unit="degC")
assert channel.send(31.5) is True and channel.send_many([(1, 2.0), (2, 3.0)]) is True
try:
    bridge.event("charger", "")
    raise SystemExit("an empty name was taken")
except BridgeError as error:
    assert error.status == 400 and "name is empty" in str(error)
assert bridge.status()["robot"] == "robot-1" and bridge.config() is None
"#;
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
    let python = Command::new("python3").args(["-c", script, client]).arg(&socket).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    assert_eq!((robot.held(Class::Event).await.len(), robot.held(Class::Summary).await.len()), (1, 2));

    let http = reqwest::Client::new();
    let status = format!("http://127.0.0.1:{port}/v1/status");
    let classes = http.get(&status).send().await.unwrap().json::<Value>().await.unwrap()["classes"].clone();
    assert_eq!(classes[1]["appended"], 1);
    for (name, value) in [("origin", "https://evil.example"), ("host", "evil.example:80")] {
        let refused = http.get(&status).header(name, value).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 403, "{name}");
    }
    stop.send_replace(true);
    drop(http);
    serving.await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_at_the_robot_holds_it_and_lets_it_go() {
    let dir = tempfile::tempdir().unwrap();
    let robot = robot(dir.path());
    assert_eq!(robot.ask("PUT", "/v1/hold", r#"{"reason":" "}"#).await.0, 400);
    assert_eq!(robot.ask("PUT", "/v1/hold", r#"{"reason":"gripper is off"}"#).await.0, 204);
    let (_, held) = robot.ask("GET", "/v1/hold", "").await;
    assert_eq!(
        (&held["robot"]["reason"], &held["robot"]["by"], &held["control"]),
        (&json!("gripper is off"), &json!("robot"), &Value::Null)
    );
    assert!(LocalHold::open(dir.path()).now().is_some(), "a restart would end it");
    assert_eq!(robot.ask("DELETE", "/v1/hold", "").await.0, 204);
    assert_eq!(robot.ask("DELETE", "/v1/hold", "").await.0, 404);
    assert_eq!(robot.ask("DELETE", "/v1/slots/mop/change", "").await.0, 404);
    assert_eq!(robot.ask("DELETE", "/v1/slots/default/change", "").await.0, 503, "nobody takes it here");
}
