//! The fleet as code, over HTTP.

use edgeflow_core::Principal;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    common::{Server, answer, bundle, options},
    declare::{apply, changed, plan},
};

fn message(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap_or_else(|| panic!("{body}"))
}

/// Version 1 for Berlin, where robot-1 is, and a policy for those that are labelled `zone: a`.
fn berlin(version: &str) -> Value {
    json!({
        "groups": { "berlin": { "labels": { "site": ["berlin"] } }, "rome": { "labels": { "site": ["rome"] }, "names": ["robot-9"] } },
        "labels": { "robot-1": { "zone": "a" }, "robot-9": { "zone": "a" } },
        "slots": { "reader": { "release": { "name": "label-reader", "version": version }, "targets": { "groups": ["berlin"] } } },
        "policies": { "quiet": { "policy": { "routes": [] }, "targets": { "labels": { "zone": ["a"] } } } },
    })
}

/// A control plane with two versions, robot-1 in Berlin and robot-2 in Rome.
async fn started(folder: &tempfile::TempDir) -> Server {
    let server = Server::start(options(folder)).await;
    server.enrol("robot-1").await;
    server.enrol("robot-2").await;
    let labels = json!({ "labels": { "site": "rome" } });
    assert_eq!(answer(server.request(Method::PUT, "/targets/robot-2/labels").json(&labels)).await.0, StatusCode::OK);
    server.register("label-reader", bundle("v1")).await;
    server.register("label-reader", bundle("v2")).await;
    server
}

#[tokio::test]
async fn a_declaration_is_planned_applied_planned_no_more_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder).await;
    let first = plan(&server, &berlin("1")).await;
    assert_eq!((&first["revision"], &first["review"], changed(&first)), (&json!(0), &json!("none"), vec!["robot-1"]), "{first}");
    let robot = &first["robots"][0];
    assert_eq!(robot["labels"], json!([{ "key": "zone", "before": null, "after": "a" }]));
    let slot = json!({ "slot": "default", "declaration": "slots.reader", "before": null, "after": "label-reader/1", "how": "at once" });
    assert_eq!((&robot["slots"], &robot["policy"]["declaration"]), (&json!([slot]), &json!("policies.quiet")));
    assert_eq!(first["not_enrolled"], json!(["robot-9"]));
    assert_eq!(server.get("/targets/robot-1").await["desired"]["generation"], 0, "a plan does nothing");

    let (status, head) = apply(&server, &berlin("1"), 0).await;
    assert_eq!(
        (status, &head["revision"], &head["state"], &head["robots"]),
        (StatusCode::CREATED, &json!(1), &json!("applied"), &json!(1)),
        "{head}"
    );
    let robot = server.get("/targets/robot-1").await;
    assert_eq!((&robot["labels"]["zone"], &robot["desired"]["slots"]["default"]["version"]), (&json!("a"), &json!("1")));
    assert_eq!(server.get("/targets/robot-1/policy").await["document"], json!({ "routes": [] }));
    assert_eq!(server.get("/targets/robot-2").await["desired"]["generation"], 0, "who is outside is left alone");
    assert_eq!(server.get("/deployments").await["items"][0]["created_by"], "administrator");
    let again = plan(&server, &berlin("1")).await;
    assert_eq!((&again["revision"], changed(&again), &again["changes"]), (&json!(1), vec![], &json!([])));

    let next = plan(&server, &berlin("2")).await;
    assert_eq!(next["changes"], json!([{ "path": "slots.reader.release.version", "before": "1", "after": "2" }]));
    let (status, stale) = apply(&server, &berlin("2"), 0).await;
    assert!(status == StatusCode::CONFLICT && message(&stale).contains("planned against revision 0 of the fleet, and 1 stands"), "{stale}");
    assert_eq!(apply(&server, &berlin("2"), 1).await.1["revision"], 2);
    assert_eq!(server.get("/targets/robot-1").await["desired"]["slots"]["default"]["version"], "2");

    let (status, back) = server.post("/fleet/revisions/1/revert", json!({})).await;
    assert_eq!((status, &back["revision"], &back["message"]), (StatusCode::CREATED, &json!(3), &json!("back to revision 1")), "{back}");
    assert_eq!(back["digest"], head["digest"], "the same declaration");
    assert_eq!(server.get("/targets/robot-1").await["desired"]["slots"]["default"]["version"], "1");
    let revisions = server.get("/fleet/revisions").await;
    let states: Vec<_> = revisions["items"].as_array().unwrap().iter().map(|head| head["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["applied", "superseded", "superseded"]);
    let second = server.get("/fleet/revisions/2").await;
    assert_eq!((&second["changes"], changed(&second["plan"])), (&next["changes"], vec!["robot-1"]));
    assert_eq!(server.request(Method::GET, "/fleet/revisions/9").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let audit = server.get("/audit").await;
    let act = audit["items"].as_array().unwrap().iter().find(|act| act["action"] == "declare_fleet").unwrap();
    assert_eq!((&act["resource"], &act["detail"]["digest"]), (&json!("fleet/3"), &head["digest"]));
    server.stop().await;
}

#[tokio::test]
async fn watchers_see_the_deployments_that_a_declaration_makes() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder).await;
    let mut watcher = server.app.watch(&Principal::administrator()).await.unwrap();
    apply(&server, &berlin("1"), 0).await;
    let seen = async {
        loop {
            let item = watcher.recv().await.unwrap();
            if item.event == "deployment" {
                return serde_json::from_str::<Value>(&item.data).unwrap();
            }
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await.expect("a deployment is told of");
    assert_eq!((&seen["model"], &seen["targets"][0]["target"]), (&json!("label-reader"), &json!("robot-1")), "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_declared_is_seen_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder).await;
    assert_eq!(server.get("/fleet").await["spec"], Value::Null);
    server.deploy("2", &["robot-2"]).await;
    let export = server.get("/fleet/export").await;
    assert_eq!(export["revision"], 0);
    assert_eq!(changed(&plan(&server, &export["spec"]).await), [""; 0], "what robots are told, as a declaration: {export}");

    apply(&server, &berlin("1"), 0).await;
    let fleet = server.get("/fleet").await;
    assert_eq!((&fleet["revision"], &fleet["groups"]), (&json!(1), &json!({ "berlin": ["robot-1"], "rome": ["robot-2"] })));
    assert_eq!(server.get("/fleet/export").await["spec"], fleet["spec"]);
    let listed = server.get("/targets?group=rome").await;
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["name"]), (1, &json!("robot-2")));
    assert_eq!(server.get("/targets/summary?group=berlin").await["groups"], json!({ "berlin": 1, "rome": 0 }));
    assert_eq!(server.request(Method::GET, "/targets?group=paris").send().await.unwrap().status(), StatusCode::NOT_FOUND);

    let labels = |labels: Value| answer(server.request(Method::PUT, "/targets/robot-1/labels").json(&json!({ "labels": labels })));
    let (status, refused) = labels(json!({ "site": "berlin" })).await;
    assert!(
        status == StatusCode::CONFLICT && message(&refused).contains("revision 1 of the fleet declares zone=a for robot-1"),
        "{refused}"
    );
    assert_eq!(labels(json!({ "site": "berlin", "zone": "a", "dock": "3" })).await.0, StatusCode::OK, "others are free");
    let (status, refused) = answer(server.request(Method::DELETE, "/models/label-reader/versions/1")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");

    let schema = server.anonymous(Method::GET, "/api/v1/fleet/schema.json").send().await.unwrap();
    assert_eq!(schema.status(), StatusCode::OK, "for editors, which have no token");
    assert_eq!(schema.json::<Value>().await.unwrap()["additionalProperties"], false);
    server.stop().await;
}

#[tokio::test]
async fn a_declaration_that_is_wrong_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder).await;
    for (spec, reasons) in [
        (json!({ "slot": {} }), vec!["unknown field `slot`"]),
        (
            json!({ "slots": { "a": { "release": { "name": "label-reader", "version": "7" } }, "b": { "release": { "name": "ghost", "alias": "x" } } } }),
            vec!["slots.a.release: there is no model version \"label-reader/7\"", "slots.b.release: there is no model \"ghost\""],
        ),
        (
            json!({ "slots": { "a": { "release": { "name": "label-reader", "version": "1" }, "targets": { "groups": ["g"] } } } }),
            vec!["slots.a.targets.groups: there is no group \"g\""],
        ),
        (json!({ "policies": { "p": { "policy": { "routes": [{}] } } } }), vec!["policies.p.policy.routes[0]"]),
        (
            json!({ "slots": { "a": { "release": { "name": "label-reader", "version": "1" } }, "b": { "release": { "name": "label-reader", "version": "2" }, "targets": { "names": ["robot-2"] } } } }),
            vec!["slots.b.targets: slots.a gives robot-2 something else in slot \"default\""],
        ),
    ] {
        for path in ["/fleet/plan", "/fleet/apply"] {
            let mut body = json!({ "spec": spec });
            if path == "/fleet/apply" {
                body["based_on"] = json!(0);
            }
            let (status, refused) = server.post(path, body).await;
            assert!(status == StatusCode::BAD_REQUEST || status == StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
            for reason in &reasons {
                assert!(message(&refused).contains(reason), "{reason} is not in {refused}");
            }
        }
    }
    assert_eq!(server.get("/fleet/revisions").await["items"], json!([]));
    for robot in ["robot-1", "robot-2"] {
        assert_eq!(server.get(&format!("/targets/{robot}")).await["desired"]["generation"], 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_second_person_must_approve_where_that_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder).await;
    let mut tokens = Vec::new();
    for name in ["ada", "eve"] {
        tokens.push(server.post("/operators", json!({ "name": name })).await.1["token"].as_str().unwrap().to_owned());
    }
    let by = |who: usize, path: &str, body: Value| {
        let request = server.anonymous(Method::POST, &format!("/api/v1{path}")).bearer_auth(&tokens[who]).json(&body);
        async move { answer(request).await }
    };
    let reviewed = |version: &str| {
        let mut spec = berlin(version);
        spec["review"] = json!("required");
        spec
    };
    let (ada, eve) = (0, 1);
    let (status, proposed) = by(ada, "/fleet/apply", json!({ "spec": reviewed("1"), "based_on": 0, "message": "begin" })).await;
    assert_eq!(
        (status, &proposed["state"], &proposed["created_by"]),
        (StatusCode::CREATED, &json!("proposed"), &json!("operator:ada")),
        "{proposed}"
    );
    assert_eq!(server.get("/targets/robot-1").await["desired"]["generation"], 0, "nothing takes effect yet");
    assert_eq!(server.get("/fleet").await["proposals"][0]["revision"], 1);
    let (status, own) = by(ada, "/fleet/revisions/1/approve", json!({})).await;
    assert!(status == StatusCode::CONFLICT && message(&own).contains("second person"), "{own}");
    let (status, stands) = by(eve, "/fleet/revisions/1/approve", json!({ "reason": "looked at it" })).await;
    assert_eq!((status, &stands["state"], &stands["decided_by"]), (StatusCode::OK, &json!("applied"), &json!("operator:eve")), "{stands}");
    assert_eq!(server.get("/targets/robot-1").await["desired"]["slots"]["default"]["version"], "1");
    assert_eq!(server.get("/deployments").await["items"][0]["created_by"], "operator:ada", "what is done is its author's");
    let (status, twice) = by(eve, "/fleet/revisions/1/approve", json!({})).await;
    assert!(status == StatusCode::CONFLICT && message(&twice).contains("it is applied"), "{twice}");

    let (_, without) = by(ada, "/fleet/apply", json!({ "spec": berlin("2"), "based_on": 1 })).await;
    assert_eq!((&without["revision"], &without["state"]), (&json!(2), &json!("proposed")), "taking the review away wants one, too");
    let (_, other) = by(eve, "/fleet/apply", json!({ "spec": reviewed("2"), "based_on": 1 })).await;
    let (status, rejected) = by(ada, "/fleet/revisions/2/reject", json!({ "reason": "changed my mind" })).await;
    assert_eq!((status, &rejected["state"], &rejected["reason"]), (StatusCode::OK, &json!("rejected"), &json!("changed my mind")));
    let (_, third) = by(ada, "/fleet/apply", json!({ "spec": reviewed("2"), "based_on": 1 })).await;
    let of = |head: &Value| format!("/fleet/revisions/{}", head["revision"]);
    assert_eq!(by(ada, &format!("{}/approve", of(&other)), json!({})).await.0, StatusCode::OK);
    let (status, late) = by(eve, &format!("{}/approve", of(&third)), json!({})).await;
    assert!(status == StatusCode::CONFLICT && message(&late).contains("superseded"), "it was planned against what stands no more: {late}");
    let (_, back) = by(ada, "/fleet/revisions/1/revert", json!({})).await;
    assert_eq!(back["state"], "proposed", "going back is a change, too");
    let (status, refused) = by(eve, "/fleet/revisions/2/revert", json!({})).await;
    assert!(status == StatusCode::CONFLICT && message(&refused).contains("is rejected"), "{refused}");
    let audit = server.get("/audit").await;
    assert!(audit["items"].as_array().unwrap().iter().any(|act| act["action"] == "review_fleet" && act["who"] == "operator:eve"));
    server.stop().await;
}

#[tokio::test]
async fn robots_that_come_later_become_what_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder).await;
    let alias = answer(server.request(Method::PUT, "/models/label-reader/aliases/champion").json(&json!({ "version": "1" }))).await;
    assert!(alias.0.is_success(), "{alias:?}");
    let mut spec = berlin("1");
    spec["slots"]["reader"]["release"] = json!({ "name": "label-reader", "alias": "champion" });
    spec["slots"]["reader"]["targets"] = json!({ "groups": ["berlin", "rome"] });
    apply(&server, &spec, 0).await;
    answer(server.request(Method::PUT, "/models/label-reader/aliases/champion").json(&json!({ "version": "2" }))).await;

    let nine = server.enrol("robot-9").await;
    let desired = nine.desired(&server.app).await.unwrap();
    assert_eq!(desired.slots["default"].version, "1", "the alias stands for what it stood for");
    assert_eq!(desired.policy.unwrap().document, json!({ "routes": [] }), "its declared label brings the policy");
    assert_eq!(server.get("/targets/robot-9").await["labels"], json!({ "site": "berlin", "zone": "a" }));
    let (_, outside) = server.post("/targets", json!({ "name": "robot-8" })).await;
    assert_eq!(outside["name"], "robot-8");
    assert_eq!(server.get("/targets/robot-8").await["desired"]["generation"], 0, "no part takes it");
    let labelled = answer(server.request(Method::PUT, "/targets/robot-8/labels").json(&json!({ "labels": { "site": "rome" } }))).await.1;
    assert_eq!(labelled["desired"]["slots"]["default"]["version"], "1", "now one does: {labelled}");
    let unlabelled = answer(server.request(Method::PUT, "/targets/robot-8/labels").json(&json!({ "labels": {} }))).await.1;
    assert_eq!(unlabelled["desired"]["slots"]["default"]["version"], "1", "outside again, it is left alone");
    server.deploy("2", &["robot-9"]).await;
    server.app.converge_fleet().await.unwrap();
    assert_eq!(server.get("/targets/robot-9").await["desired"]["slots"]["default"]["version"], "2", "what an operator does stands");
    assert_eq!(changed(&plan(&server, &spec).await), ["robot-1", "robot-2"], "and a plan says who is not where the alias points by now");
    server.stop().await;
}
