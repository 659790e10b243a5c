//! Somebody changes a robot by hand, somebody else declares something meanwhile: nothing is overwritten without a decision.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Robot, Server, answer, bundle, options};
use edgeflow_wire::{
    Activity, Class, EntryBody, Hold, LocalChange, ObservedState, SlotState, SlotStatus, StateBody, Version, VersionVector,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn at(generation: u64) -> Version {
    Version { server_epoch: 1, generation }
}

/// What a robot says of a slot: the digest it has, how many changes were made on it, and which declaration it has followed.
fn slot(digest: &Value, changes: u64, followed: u64) -> SlotState {
    let local = LocalChange { since_us: 77, what: "loaded by ~/load_model".into(), from: String::new() };
    SlotState {
        status: SlotStatus::Active,
        model: "label-reader".into(),
        version: "?".into(),
        digest: digest.as_str().unwrap().into(),
        vector: Some(VersionVector { robot: changes, control: at(followed) }),
        local: (changes > 0).then_some(local),
        ..SlotState::default()
    }
}

async fn says(server: &Server, robot: &mut Robot, slots: Vec<(&str, SlotState)>, held: Option<Hold>) {
    let slots: BTreeMap<String, SlotState> = slots.into_iter().map(|(name, slot)| (name.to_owned(), slot)).collect();
    let observed = ObservedState { version: robot.desired(&server.app).await.map(|desired| desired.version).unwrap_or_default() };
    let activity = Activity { mission: Some(true), charging: None, lifecycle: BTreeMap::from([("/r/n".into(), "active".into())]) };
    let state = StateBody { observed, slots, software: "0.1.0".into(), activity, held, ..StateBody::default() };
    robot.say(&server.app, Class::Event, vec![EntryBody::State(state)]).await;
}

async fn world() -> (tempfile::TempDir, Server, Robot, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    let mut digests = Vec::new();
    for version in ["v1", "v2"] {
        digests.push(server.register("label-reader", bundle(version)).await.1["digest"].clone());
    }
    robot.hello(&server.app).await;
    (folder, server, robot, digests)
}

#[tokio::test]
async fn a_held_robot_is_not_deployed_to_until_it_is_released_by_whoever_holds_it() {
    let (_folder, server, mut robot, digests) = world().await;
    assert_eq!(server.post("/targets/robot-1/hold", json!({ "reason": " " })).await.0, StatusCode::BAD_REQUEST);
    let (status, view) = server.post("/targets/robot-1/hold", json!({ "reason": "audit in hall 3" })).await;
    assert_eq!(
        (status, &view["held"]["reason"], &view["held"]["by"]),
        (StatusCode::OK, &json!("audit in hall 3"), &json!("administrator"))
    );
    let told = robot.desired(&server.app).await.unwrap();
    assert_eq!((told.version.generation, told.hold.unwrap().reason.as_str()), (1, "audit in hall 3"));
    let (status, refused) = server.deploy("1", &["robot-1"]).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(status == StatusCode::CONFLICT && message.contains("robot-1 is held by administrator (audit in hall 3)"), "{message}");
    let (status, view) = answer(server.request(Method::DELETE, "/targets/robot-1/hold")).await;
    assert_eq!((status, &view["held"]), (StatusCode::OK, &Value::Null));
    assert_eq!(answer(server.request(Method::DELETE, "/targets/robot-1/hold")).await.0, StatusCode::CONFLICT, "nobody holds it");
    assert_eq!(server.deploy("1", &["robot-1"]).await.0, StatusCode::CREATED);

    // Somebody at the robot holds it: that ends where it began.
    let hold = Hold { reason: "gripper is off".into(), by: Hold::AT_ROBOT.into(), since_us: 5 };
    says(&server, &mut robot, vec![("default", slot(&digests[0], 0, 3))], Some(hold)).await;
    let view = server.get("/targets/robot-1").await;
    assert_eq!((&view["held"]["by"], &view["activity"]["mission"]), (&json!("robot"), &json!(true)), "{view}");
    assert_eq!((&view["activity"]["charging"], &view["activity"]["lifecycle"]["/r/n"]), (&Value::Null, &json!("active")));
    assert_eq!(server.deploy("2", &["robot-1"]).await.0, StatusCode::CONFLICT);
    let (status, refused) = answer(server.request(Method::DELETE, "/targets/robot-1/hold")).await;
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(status == StatusCode::CONFLICT && message.contains("held at the robot (gripper is off)"), "{message}");
    says(&server, &mut robot, vec![("default", slot(&digests[0], 0, 3))], None).await;
    assert_eq!(server.deploy("2", &["robot-1"]).await.0, StatusCode::CREATED);
    let audit = server.get("/audit").await;
    assert!(audit["items"].as_array().unwrap().iter().any(|act| act["action"] == "reconcile"), "{audit}");
    server.stop().await;
}

#[tokio::test]
async fn what_both_sides_changed_is_a_conflict_until_somebody_takes_a_side() {
    let (_folder, server, mut robot, digests) = world().await;
    assert_eq!(server.deploy("1", &["robot-1"]).await.0, StatusCode::CREATED);
    says(&server, &mut robot, vec![("default", slot(&digests[0], 0, 1))], None).await;
    assert_eq!(server.get("/targets/robot-1").await["difference"], json!([]));

    // The robot is away; version 2 is declared; somebody loads something of their own there; then it is back.
    assert_eq!(server.deploy("2", &["robot-1"]).await.0, StatusCode::CREATED);
    let mine = json!("sha256:mine");
    says(&server, &mut robot, vec![("default", slot(&mine, 1, 1))], None).await;
    let view = server.get("/targets/robot-1").await;
    assert_eq!((&view["conflicts"], &view["slots"]["default"]["standing"]), (&json!(1), &json!("conflict")), "{view}");
    let [difference] = &view["difference"].as_array().unwrap()[..] else { panic!("{view}") };
    assert_eq!(difference["what"], "slot:default");
    assert!(difference["actual"].as_str().unwrap().contains("sha256:mine"), "{difference}");
    let listed = server.get("/targets/robot-1/conflicts").await;
    let one = &listed["items"][0];
    assert_eq!((&one["robot"]["changes"], &one["robot"]["generation"], &one["control"]["generation"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!((&one["control"]["digest"], &one["what"]), (&digests[1], &json!("loaded by ~/load_model")));
    assert_eq!(server.deploy("1", &["robot-1"]).await.0, StatusCode::CONFLICT, "it would make a third side");

    // The robot's side is nothing that is registered; ours is taken.
    let path = "/targets/robot-1/conflicts/default/resolve";
    let (status, refused) = server.post(path, json!({ "take": "robot" })).await;
    assert!(status == StatusCode::CONFLICT && refused["error"]["message"].as_str().unwrap().contains("edgeflow model push"), "{refused}");
    for bad in [json!({}), json!({ "take": "robot", "merge": {} }), json!({ "take": "both" }), json!({ "merge": { "arm": "robot" } })] {
        assert!(server.post(path, bad).await.0.is_client_error());
    }
    let (status, view) = server.post(path, json!({ "take": "control" })).await;
    assert_eq!((status, &view["conflicts"], &view["desired"]["generation"]), (StatusCode::OK, &json!(0), &json!(3)), "{view}");
    let told = robot.desired(&server.app).await.unwrap();
    assert_eq!(told.vectors["default"], VersionVector { robot: 1, control: at(3) });
    assert_eq!(json!(told.slots["default"].digest), digests[1]);
    assert_eq!(server.post(path, json!({ "take": "control" })).await.0, StatusCode::NOT_FOUND, "it is settled");

    // Another change on the robot stands again, although one was settled; this one is a registered version.
    says(&server, &mut robot, vec![("default", slot(&digests[0], 2, 3))], None).await;
    let listed = server.get("/targets/robot-1/conflicts").await;
    assert_eq!(listed["items"][0]["standing"], "local", "nothing was declared meanwhile: {listed}");
    let (_, view) = server.post(path, json!({ "take": "robot" })).await;
    assert_eq!((&view["desired"]["slots"]["default"]["digest"], &view["difference"]), (&digests[0], &json!([])), "{view}");
    server.stop().await;
}

#[tokio::test]
async fn slots_are_merged_from_both_sides_in_one_generation_and_a_slot_can_leave() {
    let (_folder, server, mut robot, digests) = world().await;
    let deploy = async |slot: &str| {
        let request = json!({ "model": "label-reader", "version": "1", "targets": ["robot-1"], "slot": slot });
        assert_eq!(server.post("/deployments", request).await.0, StatusCode::CREATED);
    };
    deploy("default").await;
    deploy("arm").await;
    says(&server, &mut robot, vec![("default", slot(&digests[1], 1, 1)), ("arm", slot(&digests[1], 1, 2))], None).await;
    let path = "/targets/robot-1/conflicts/arm/resolve";
    let (status, view) = server.post(path, json!({ "merge": { "arm": "robot", "default": "control" } })).await;
    let slots = &view["desired"]["slots"];
    assert_eq!((status, &slots["arm"]["digest"], &slots["default"]["digest"]), (StatusCode::OK, &digests[1], &digests[0]), "{view}");
    assert_eq!((&view["desired"]["generation"], server.get("/targets/robot-1/conflicts").await), (&json!(3), json!({ "items": [] })));

    says(&server, &mut robot, vec![("default", slot(&digests[0], 1, 3)), ("arm", slot(&digests[1], 1, 3))], None).await;
    let (status, view) = answer(server.request(Method::DELETE, "/targets/robot-1/slots/arm")).await;
    assert_eq!((status, &view["desired"]["slots"]["arm"]), (StatusCode::OK, &Value::Null));
    assert_eq!((&view["difference"][0]["what"], &view["difference"][0]["declared"]), (&json!("slot:arm"), &json!("")), "{view}");
    assert_eq!(answer(server.request(Method::DELETE, "/targets/robot-1/slots/arm")).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_map_is_registered_and_deployed_to_a_slot_of_its_kind_only() {
    let (_folder, server, mut robot, digests) = world().await;
    let form = || reqwest::multipart::Form::new().part("hall-3.pgm", part(b"P5 1 1 255 0")).part("hall-3.yaml", part(b"image: hall-3.pgm"));
    let (status, map) = answer(server.request(Method::POST, "/models/hall-3/versions?kind=map").multipart(form())).await;
    assert_eq!(
        (status, &map["kind"], &map["deployable"], &map["onnx"]),
        (StatusCode::CREATED, &json!("map"), &json!(true), &Value::Null),
        "{map}"
    );
    assert_eq!((&map["tags"]["edgeflow.kind"], map["files"].as_array().unwrap().len()), (&json!("map"), 2));
    let (status, again) = answer(server.request(Method::POST, "/models/hall-3/versions?kind=map").multipart(form())).await;
    assert_eq!((status, again["version"].as_str()), (StatusCode::OK, Some("1")), "the same files are the same version");
    for (path, form) in [
        ("/models/hall-3/versions", form()),
        ("/models/hall-3/versions?kind=mop", form()),
        ("/models/hall-3/versions?kind=map", reqwest::multipart::Form::new()),
        ("/models/hall-3/versions?kind=map", reqwest::multipart::Form::new().part("../etc", part(b"x"))),
    ] {
        let (status, refused) = answer(server.request(Method::POST, path).multipart(form)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {refused}");
    }
    let (status, _) = answer(server.request(Method::DELETE, "/models/hall-3/versions/1/tags/edgeflow.kind")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "what was registered never changes");

    let deploy = async |slot: &str| {
        server.post("/deployments", json!({ "model": "hall-3", "version": "1", "targets": ["robot-1"], "slot": slot })).await
    };
    let map_slot = SlotState { kind: edgeflow_wire::SlotKind::Map, ..slot(&json!(""), 0, 0) };
    says(&server, &mut robot, vec![("default", slot(&digests[0], 0, 0)), ("map", map_slot)], None).await;
    let (status, refused) = deploy("default").await;
    assert!(
        status == StatusCode::CONFLICT
            && refused["error"]["message"].as_str().unwrap().contains("robot-1 cannot be given it: it has no slot default of kind map"),
        "{refused}"
    );
    assert_eq!(deploy("map").await.0, StatusCode::CREATED);
    let told = robot.desired(&server.app).await.unwrap();
    assert_eq!((told.slots["map"].kind, told.slots["map"].files.len()), (edgeflow_wire::SlotKind::Map, 2));
    server.stop().await;
}

fn part(content: &'static [u8]) -> reqwest::multipart::Part {
    reqwest::multipart::Part::bytes(content)
}
