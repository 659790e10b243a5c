//! What changed between two robots, or on one between two times, as somebody who looks into an incident asks it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Robot, Server, answer, options,
    training::{mlflow, train},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// When the test's robots say their first word.
const T: i64 = 1_700_000_000_000_000;

async fn deploy(server: &Server, version: &str, robots: &mut [&mut Robot]) -> String {
    let names: Vec<String> = robots.iter().map(|robot| robot.id.name.to_string()).collect();
    let (status, made) = server.deploy(version, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    for robot in robots {
        robot.hello(&server.app).await;
        robot.converge(&server.app).await;
    }
    made["id"].as_str().unwrap().to_owned()
}

fn change(before: Value, after: Value) -> Value {
    json!({ "before": before, "after": after })
}

fn acts(side: &Value) -> Vec<&str> {
    side["acts"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_changed_between_two_robots_and_between_two_times() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (mut one, mut two) = (server.enrol("robot-1").await, server.enrol("robot-2").await);
    mlflow(&server, "registered-models/create", json!({ "name": "label-reader" })).await;
    let first = train(&server, "v1", ("digits", "5c8a"), "0.1", 0.8).await;
    let second = train(&server, "v2", ("digits", "77aa"), "0.2", 0.97).await;
    let stage = server.request(Method::PATCH, "/models/label-reader/versions/1").json(&json!({ "stage": "Production" }));
    assert_eq!(answer(stage).await.0, StatusCode::OK);
    let alias = server.request(Method::PUT, "/models/label-reader/aliases/champion").json(&json!({ "version": "2" }));
    assert_eq!(answer(alias).await.0, StatusCode::OK);
    let older = deploy(&server, "1", &mut [&mut one, &mut two]).await;
    let newer = deploy(&server, "2", &mut [&mut two]).await;

    // Between two robots, now.
    let diff = server.get("/lineage/diff?before=robot-1&after=robot-2").await;
    assert_eq!((&diff["slot"], &diff["same"], &diff["notes"]), (&json!("default"), &json!(false), &json!([])), "{diff}");
    for (side, robot, version, run, deployment, generation) in
        [("before", "robot-1", "1", &first, &older, 1), ("after", "robot-2", "2", &second, &newer, 2)]
    {
        let side = &diff[side];
        assert_eq!((&side["target"], &side["at_us"], &side["confirmed"]), (&json!(robot), &Value::Null, &json!(true)), "{side}");
        assert_eq!((&side["attested"]["version"], &side["attested"]["to_us"]), (&json!(version), &Value::Null));
        assert_eq!((&side["version"]["version"], &side["version"]["run_id"]), (&json!(version), &json!(run)));
        let told = &side["deployment"];
        let expected = (&json!(deployment), &json!(generation), &json!("administrator"));
        assert_eq!((&told["id"], &told["generation"], &told["created_by"]), expected);
    }
    assert_eq!((acts(&diff["before"]), acts(&diff["after"])), (vec!["register", "stage"], vec!["register", "alias"]));
    assert_eq!(diff["before"]["acts"][1]["detail"]["stage"], "Production");
    let model = &diff["model"];
    assert_eq!(
        (&model["params"]["rate"], &model["metrics"]["accuracy"]),
        (&change(json!("0.1"), json!("0.2")), &change(json!(0.8), json!(0.97)))
    );
    assert_eq!(model["datasets"], json!({ "digits": change(json!("5c8a"), json!("77aa")) }), "what both were judged by is the same");
    assert_eq!((&model["code"], &model["compatible"]), (&change(json!("commit-v1"), json!("commit-v2")), &json!(true)));
    assert!(model["files"]["model.onnx"]["after"].is_string(), "{model}");
    assert_eq!((&diff["aliases"], &diff["stage"]), (&change(json!([]), json!(["champion"])), &change(json!("Production"), json!("None"))));
    let digits = |digest: &str| json!([{ "name": "digits", "digest": digest }]);
    assert_eq!(diff["trained_on"], json!({ "before": digits("5c8a"), "after": digits("77aa"), "both": [] }));

    // On one robot between two times; the second is beyond its last word, which is told.
    let times = format!("/lineage/diff?before=robot-2&before_at_us={}&after_at_us={}", T + 2, T + 1_000_000);
    let diff = server.get(&times).await;
    let told = |side: &str| (diff[side]["attested"]["version"].clone(), diff[side]["confirmed"].clone());
    assert_eq!((told("before"), told("after")), ((json!("1"), json!(true)), (json!("2"), json!(false))));
    assert_eq!((&diff["before"]["deployment"]["id"], &diff["model"]["params"]["rate"]["after"]), (&json!(older), &json!("0.2")));

    // While nothing served, and before the robot said anything; on both sides, too.
    for at_us in [T + 3, 0] {
        let diff = server.get(&format!("/lineage/diff?before=robot-2&before_at_us={at_us}")).await;
        let nothing = json!({ "target": "robot-2", "at_us": at_us, "attested": null, "confirmed": false, "version": null, "deployment": null, "acts": [] });
        assert_eq!((&diff["before"], &diff["same"], &diff["model"]), (&nothing, &json!(false), &Value::Null));
        assert_eq!(diff["trained_on"]["after"], digits("77aa"));
        let diff = server.get(&format!("/lineage/diff?before=robot-1&before_at_us=0&after=robot-2&after_at_us={at_us}")).await;
        assert_eq!((&diff["same"], &diff["model"], &diff["trained_on"]["both"]), (&json!(true), &Value::Null, &json!([])));
    }

    // Nothing changed.
    let diff = server.get("/lineage/diff?before=robot-2&after=robot-2&slot=default").await;
    assert_eq!((&diff["same"], &diff["aliases"], &diff["stage"]), (&json!(true), &Value::Null, &Value::Null));
    assert!(["params", "metrics", "datasets", "files", "tags"].iter().all(|part| diff["model"][part] == json!({})), "{diff}");
    assert_eq!(server.get("/lineage/diff?before=robot-2&slot=arm").await["after"]["attested"], Value::Null);

    // What is gone is answered too: a robot that was revoked, and a version that was deleted since.
    for path in ["/targets/robot-1", "/models/label-reader/versions/1"] {
        let (status, body) = answer(server.request(Method::DELETE, path)).await;
        assert!(status.is_success(), "{path}: {body}");
    }
    let diff = server.get("/lineage/diff?before=robot-1&after=robot-2").await;
    assert_eq!((&diff["before"]["version"]["deleted"], &diff["model"]["params"]["rate"]["before"]), (&json!(true), &json!("0.1")));
    assert_eq!(diff["notes"], json!(["label-reader 1 was deleted, and its drift reference with it: drift references are not compared"]));
    assert_eq!((&diff["model"]["baseline"], acts(&diff["before"]).last()), (&json!({}), Some(&"delete")));
    assert_eq!(server.get("/targets/robot-1/lineage").await["intervals"].as_array().unwrap().len(), 1);

    for (path, status, says) in [
        ("/lineage/diff?before=nobody", StatusCode::NOT_FOUND, "there is no robot \"nobody\""),
        ("/lineage/diff?before=robot-2&after=nobody", StatusCode::NOT_FOUND, "nobody"),
        ("/lineage/diff", StatusCode::BAD_REQUEST, "before"),
        ("/lineage/diff?before=a%20b", StatusCode::BAD_REQUEST, "a b"),
        ("/lineage/diff?before=robot-2&slot=%2F", StatusCode::BAD_REQUEST, "/"),
        ("/lineage/diff?before=robot-2&with=1", StatusCode::BAD_REQUEST, "with"),
    ] {
        let (got, body) = answer(server.request(Method::GET, path)).await;
        assert!(got == status && body["error"]["message"].as_str().unwrap().contains(says), "{path}: {got} {body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_never_registered_here_is_known_by_its_digest_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    let step = |version: u64, digest: &str| {
        edgeflow_wire::EntryBody::DeploymentStatus(edgeflow_wire::DeploymentStatusBody {
            for_version: edgeflow_wire::Version { server_epoch: 1, generation: version },
            slot: "default".into(),
            status: edgeflow_wire::SlotStatus::Active,
            model: "foreign".into(),
            model_version: version.to_string(),
            digest: digest.into(),
            running_digest: digest.into(),
            ..edgeflow_wire::DeploymentStatusBody::default()
        })
    };
    let digests = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    robot.say(&server.app, edgeflow_wire::Class::Critical, vec![step(1, &digests[0]), step(2, &digests[1])]).await;
    let diff = server.get(&format!("/lineage/diff?before=robot-1&before_at_us={}", T + 1)).await;
    assert_eq!((&diff["same"], &diff["model"], &diff["before"]["deployment"]), (&json!(false), &Value::Null, &Value::Null));
    let notes: Vec<String> =
        digests.iter().map(|digest| format!("{digest} is not registered here: what robot-1 ran is known by its digest only")).collect();
    assert_eq!(diff["notes"], json!(notes));
    server.stop().await;
}
