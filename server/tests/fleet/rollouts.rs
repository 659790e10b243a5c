//! Declared parts that are brought to robots by a rollout: it begins with the revision, and robots that come late wait for its end.

use edgeflow_server::app::Door;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    common::{Robot, Server, answer, bundle, options},
    declare::{apply, changed, plan},
};

fn reader(version: &str, way: Option<&str>) -> Value {
    json!({
        "groups": { "berlin": { "labels": { "site": ["berlin"] } } },
        "slots": { "reader": { "release": { "name": "label-reader", "version": version }, "targets": { "groups": ["berlin"] }, "rollout": way } },
        "rollouts": { "careful": { "strategy": { "stages": [{ "name": "canary", "names": ["robot-1"] }, { "name": "all", "rest": true }] } } },
    })
}

async fn declared(server: &Server, robot: &str) -> Value {
    server.get(&format!("/targets/{robot}")).await["desired"]["slots"]["default"]["version"].clone()
}

/// Steps of rollouts and answers of robots until that one has ended.
async fn end(server: &Server, robots: &mut [Robot], id: &str) -> Value {
    let mut answered = vec![0; robots.len()];
    for _ in 0..40 {
        server.app.step_rollouts().await.unwrap();
        let rollout = server.get(&format!("/rollouts/{id}")).await;
        if rollout["phase"] == "succeeded" {
            return rollout;
        }
        for (robot, answered) in robots.iter_mut().zip(&mut answered) {
            let generation = robot.desired(&server.app).await.map_or(0, |desired| desired.version.generation);
            if generation > *answered {
                *answered = generation;
                robot.converge(&server.app).await;
            }
        }
    }
    panic!("it does not end: {}", server.get(&format!("/rollouts/{id}")).await);
}

#[tokio::test]
async fn a_rollout_begins_with_its_revision_and_who_comes_late_waits_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut robots) = at_version_1(&folder).await;
    let second = reader("2", Some("careful"));
    let planned = plan(&server, &second).await;
    assert_eq!(planned["robots"][0]["slots"][0]["how"], "by rollout careful");
    let stages = json!([{ "name": "canary", "robots": 1 }, { "name": "all", "robots": 1 }]);
    assert_eq!((&planned["rollouts"][0]["declaration"], &planned["rollouts"][0]["stages"]), (&json!("slots.reader"), &stages), "{planned}");
    let (status, head) = apply(&server, &second, 1).await;
    assert_eq!((status, &head["revision"], &head["robots"]), (StatusCode::CREATED, &json!(2), &json!(2)), "{head}");
    let rollouts = server.get("/rollouts").await;
    let [rollout] = &rollouts["items"].as_array().unwrap()[..] else { panic!("{rollouts}") };
    assert_eq!((&rollout["created_by"], &rollout["description"]), (&json!("administrator"), &json!("slots.reader: a test")));
    let id = rollout["id"].as_str().unwrap();
    assert_eq!(
        (&server.get("/fleet").await["rollouts"][0]["declaration"], declared(&server, "robot-1").await),
        (&json!("slots.reader"), json!("1"))
    );
    let again = plan(&server, &second).await;
    assert_eq!(
        (&again["robots"], &again["under_way"]),
        (&json!([]), &json!([{ "declaration": "slots.reader", "rollout": id, "robots": 2 }]))
    );

    // It holds its robots from its first step on.
    for _ in 0..5 {
        server.app.step_rollouts().await.unwrap();
    }
    assert_eq!((declared(&server, "robot-1").await, declared(&server, "robot-2").await), (json!("2"), json!("1")), "the canary is told");
    let (status, held) = apply(&server, &reader("1", None), 2).await;
    assert!(status == StatusCode::CONFLICT && held["error"]["message"].as_str().unwrap().contains("rollout"), "{held}");
    assert_eq!(server.get("/fleet").await["revision"], 2, "nothing of it happened");
    let late = server.enrol("robot-3").await;
    assert_eq!(declared(&server, "robot-3").await, Value::Null, "nobody knows yet whether it is any good");
    end(&server, &mut robots, id).await;
    assert_eq!(declared(&server, "robot-2").await, "2");
    server.app.converge_fleet().await.unwrap();
    assert_eq!(late.desired(&server.app).await.unwrap().slots["default"].version, "2", "it is");
    assert_eq!(plan(&server, &second).await["robots"], json!([]));

    let first = reader("1", Some("careful"));
    let stands = server.get("/fleet").await["revision"].as_i64().unwrap();
    assert_eq!(apply(&server, &first, stands).await.0, StatusCode::CREATED);
    let id = server.get("/rollouts").await["items"][0]["id"].as_str().unwrap().to_owned();
    let (status, aborted) = server.post(&format!("/rollouts/{id}/abort"), json!({ "reason": "a test" })).await;
    assert_eq!(status, StatusCode::OK, "{aborted}");
    server.enrol("robot-4").await;
    server.app.converge_fleet().await.unwrap();
    assert_eq!(declared(&server, "robot-4").await, Value::Null, "what did not end well is given to nobody");
    let planned = plan(&server, &first).await;
    assert_eq!(planned["robots"].as_array().unwrap().len(), 4, "and the plan says who differs: {planned}");
    server.stop().await;
}

/// Two robots that are here and serve version 1, which is declared; there is a version 2.
async fn at_version_1(folder: &tempfile::TempDir) -> (Server, Vec<Robot>) {
    let server = Server::start(options(folder)).await;
    let mut robots = Vec::new();
    for name in ["robot-1", "robot-2"] {
        let robot = server.enrol(name).await;
        robot.hello(&server.app).await;
        server.app.robot_connected(&robot.id, Door::Http).await;
        robots.push(robot);
    }
    for version in ["v1", "v2"] {
        assert_eq!(server.register("label-reader", bundle(version)).await.0, StatusCode::CREATED);
    }
    assert_eq!(apply(&server, &reader("1", None), 0).await.0, StatusCode::CREATED);
    for robot in &mut robots {
        robot.converge(&server.app).await;
    }
    (server, robots)
}

#[tokio::test]
async fn what_an_operator_does_to_a_robot_that_waits_for_a_rollout_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut robots) = at_version_1(&folder).await;
    let mut spec = reader("2", Some("careful"));
    spec["policies"] = json!({ "quiet": { "policy": { "routes": [] }, "targets": { "groups": ["berlin"] } } });
    assert_eq!(apply(&server, &spec, 1).await.0, StatusCode::CREATED);
    let id = server.get("/rollouts").await["items"][0]["id"].as_str().unwrap().to_owned();
    server.app.step_rollouts().await.unwrap();
    server.enrol("robot-3").await;
    let policy = async || server.get("/targets/robot-3/policy").await["document"].clone();
    assert_eq!((policy().await, declared(&server, "robot-3").await), (json!({ "routes": [] }), Value::Null), "it waits for the slot only");

    let own = json!({ "routes": [{ "name": "odom", "allow": ["odom"], "fields": ["x"], "window": { "period_s": 60 } }] });
    let (status, set) = answer(server.request(Method::PUT, "/targets/robot-3/policy").json(&own)).await;
    assert_eq!(status, StatusCode::OK, "{set}");
    server.app.converge_fleet().await.unwrap();
    assert_eq!(policy().await, own, "while it waits");
    end(&server, &mut robots, &id).await;
    server.app.converge_fleet().await.unwrap();
    assert_eq!((policy().await, declared(&server, "robot-3").await), (own, json!("2")), "and when it is given what it waited for");
    server.stop().await;
}

#[tokio::test]
async fn a_robot_that_another_rollout_holds_is_given_what_is_declared_when_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _robots) = at_version_1(&folder).await;
    let release = json!({ "kind": "model", "name": "label-reader", "version": "2" });
    let (status, made) = server.post("/rollouts", json!({ "release": release, "targets": { "names": ["robot-1"] } })).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    server.app.step_rollouts().await.unwrap();
    assert_eq!(declared(&server, "robot-1").await, "2");
    let labels = json!({ "labels": { "site": "berlin", "dock": "1" } });
    assert_eq!(answer(server.request(Method::PUT, "/targets/robot-1/labels").json(&labels)).await.0, StatusCode::OK);
    // Whoever else is due is looked at with it.
    server.app.converge_fleet().await.unwrap();
    assert_eq!(declared(&server, "robot-1").await, "2", "it is the rollout's");
    let id = made["id"].as_str().unwrap();
    assert_eq!(server.post(&format!("/rollouts/{id}/abort"), json!({})).await.0, StatusCode::OK);
    server.app.converge_fleet().await.unwrap();
    assert_eq!(declared(&server, "robot-1").await, "1");
    server.stop().await;
}

#[tokio::test]
async fn a_rollout_that_goes_back_is_no_way_to_what_is_declared_also_while_it_is_paused() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _robots) = at_version_1(&folder).await;
    let second = reader("2", Some("careful"));
    assert_eq!(apply(&server, &second, 1).await.0, StatusCode::CREATED);
    let id = server.get("/rollouts").await["items"][0]["id"].as_str().unwrap().to_owned();
    server.app.step_rollouts().await.unwrap();
    assert_eq!(declared(&server, "robot-1").await, "2", "the canary is told");
    for act in ["rollback", "pause"] {
        let (status, done) = server.post(&format!("/rollouts/{id}/{act}"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{done}");
    }
    let planned = plan(&server, &second).await;
    assert_eq!((&planned["under_way"], changed(&planned)), (&json!([]), vec!["robot-2"]), "robot-1 is told so still: {planned}");
    server.stop().await;
}

#[tokio::test]
async fn groups_of_the_fleet_select_the_robots_of_a_rollout() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.enrol("robot-1").await;
    server.post("/targets", json!({ "name": "robot-2" })).await;
    server.register("label-reader", bundle("v1")).await;
    let mut spec = reader("1", None);
    spec.as_object_mut().unwrap().remove("slots");
    assert_eq!(apply(&server, &spec, 0).await.0, StatusCode::CREATED);
    let release = json!({ "kind": "model", "name": "label-reader", "version": "1" });
    let (status, planned) = server.post("/rollouts?dry_run=true", json!({ "release": release, "targets": { "groups": ["berlin"] } })).await;
    assert_eq!((status, &planned["stages"][0]["robots"][0]["target"]), (StatusCode::OK, &json!("robot-1")), "{planned}");
    assert_eq!(planned["stages"].as_array().unwrap().len(), 1);
    server.stop().await;
}
