//! Lineage as OpenLineage events. Whether they are what the specification says is tested with its own classes, in Python.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Server, TOKEN, answer, options,
    training::{mlflow, train},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Events beyond `after`, where to go on, and whether there is more.
async fn page(server: &Server, query: &str) -> (Vec<Value>, String, bool) {
    let response = server.anonymous(Method::GET, &format!("/api/v1/lineage/openlineage?{query}")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!((response.status(), response.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, "application/x-ndjson"));
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (next, more) = (header("edgeflow-next"), header("edgeflow-more") == "true");
    let text = response.text().await.unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), next, more)
}

fn brief(event: &Value) -> String {
    let names = |side: &str| {
        let of = |dataset: &Value| dataset["name"].as_str().unwrap().to_owned();
        event[side].as_array().unwrap().iter().map(of).collect::<Vec<_>>().join(" ")
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    format!("{} {}: {} -> {}", text(&event["job"]["name"]), text(&event["eventType"]), names("inputs"), names("outputs"))
}

#[tokio::test]
async fn what_happens_to_lineage_is_told_once_in_order_and_chains_from_the_dataset_to_the_robot() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    mlflow(&server, "registered-models/create", json!({ "name": "label-reader" })).await;
    let (nothing, start, more) = page(&server, "").await;
    assert_eq!((nothing, start.as_str(), more), (vec![], "0.0.0", false));

    let run = train(&server, "v1", ("digits", "5c8a"), "0.1", 0.8).await;
    mlflow(&server, "runs/update", json!({ "run_id": run, "status": "FINISHED", "end_time": 9 })).await;
    mlflow(&server, "runs/update", json!({ "run_id": run, "status": "FINISHED" })).await;
    for version in ["1", "1"] {
        let (status, made) = server.deploy(version, &["robot-1"]).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
    }
    robot.hello(&server.app).await;
    robot.converge(&server.app).await;
    let (events, next, more) = page(&server, "").await;
    let expected = [
        format!("training/Default START: digits digits -> runs/{run}"),
        format!("registration/label-reader COMPLETE: runs/{run} -> models/label-reader/1"),
        format!("training/Default COMPLETE: digits digits -> runs/{run}"),
        "deployment/default COMPLETE: models/label-reader/1 -> robots/robot-1/default/desired".to_owned(),
        "deployment/default COMPLETE: models/label-reader/1 -> robots/robot-1/default/desired".to_owned(),
        "serving/robot-1/default START: models/label-reader/1 -> ".to_owned(),
    ];
    assert_eq!((events.iter().map(brief).collect::<Vec<_>>(), more), (expected.to_vec(), false));
    let training = &events[2];
    assert_eq!(training["eventTime"], "1970-01-01T00:00:00.009000Z");
    assert_eq!(training["run"]["runId"].as_str().unwrap().replace('-', ""), run);
    assert_eq!(training["run"]["facets"]["edgeflow_training"]["params"], json!([{ "key": "rate", "value": "0.1" }]));
    assert_eq!(training["job"]["facets"]["sourceCodeLocation"]["version"], "commit-v1");
    let [digits, held_out] = &training["inputs"].as_array().unwrap()[..] else { panic!("{training}") };
    assert_eq!((&digits["namespace"], &digits["facets"]["version"]["datasetVersion"]), (&json!("local"), &json!("5c8a")));
    let trained_on = |input: &Value| input["inputFacets"]["edgeflow_context"]["trainedOn"].clone();
    assert_eq!((trained_on(digits), trained_on(held_out)), (json!(true), json!(false)));
    let registered = &events[1]["outputs"][0]["facets"];
    assert!(registered["schema"]["fields"][0]["type"].as_str().unwrap().contains("float32"), "{registered}");
    assert_eq!(registered["edgeflow_bundle"]["digest"], events[5]["run"]["facets"]["edgeflow_attestation"]["digest"]);
    assert_ne!(events[3]["run"]["runId"], events[4]["run"]["runId"]);

    // From there on only what is new; what was told is told again, word by word, to whoever asks from an earlier place.
    assert_eq!(page(&server, &format!("after={next}")).await.0, Vec::<Value>::new());
    assert_eq!(page(&server, "").await.0, events);
    let second = train(&server, "v2", ("digits", "77aa"), "0.2", 0.97).await;
    mlflow(&server, "runs/update", json!({ "run_id": second, "status": "FAILED", "end_time": 9 })).await;
    mlflow(&server, "runs/update", json!({ "run_id": second, "status": "RUNNING" })).await;
    server.deploy("2", &["robot-1"]).await;
    robot.converge(&server.app).await;
    let (fresh, _, _) = page(&server, &format!("after={next}")).await;
    let told: Vec<String> = fresh.iter().map(|event| brief(event).split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        told,
        [
            "training/Default START",
            "registration/label-reader COMPLETE",
            "training/Default FAIL",
            "training/Default RUNNING",
            "deployment/default COMPLETE",
            "serving/robot-1/default COMPLETE",
            "serving/robot-1/default START",
        ]
    );
    assert_eq!(fresh[5]["run"]["runId"], events[5]["run"]["runId"], "what began is what ended");

    // Pages of any size make the same list, in another order of files at most.
    let whole: Vec<String> = events.iter().chain(&fresh).map(Value::to_string).collect();
    for limit in [1, 3] {
        let (mut all, mut after) = (Vec::new(), start.clone());
        loop {
            let (events, next, more) = page(&server, &format!("after={after}&limit={limit}")).await;
            all.extend(events.iter().map(Value::to_string));
            after = next;
            if !more {
                break;
            }
        }
        let sorted = |mut list: Vec<String>| {
            list.sort_unstable();
            list
        };
        // The interval that has ended since is told with its end.
        assert_eq!(all.len(), whole.len());
        let ids = |list: &[String]| sorted(list.iter().map(|event| brief(&serde_json::from_str(event).unwrap())).collect());
        assert_eq!(ids(&all), ids(&whole));
    }
    let (named, _, _) = page(&server, "namespace=plant-2").await;
    assert_eq!((&named[0]["job"]["namespace"], &named[0]["run"]["runId"]), (&json!("plant-2"), &events[0]["run"]["runId"]));
    assert_ne!(named[3]["run"]["runId"], events[3]["run"]["runId"]);
    for (query, says) in [("after=1.2", "cursor of an export"), ("limit=0", "limit 0"), ("namespace=", "namespace"), ("since=1", "since")] {
        let (status, body) = answer(server.request(Method::GET, &format!("/lineage/openlineage?{query}"))).await;
        assert!(status == StatusCode::BAD_REQUEST && body["error"]["message"].as_str().unwrap().contains(says), "{query}: {body}");
    }
    let as_robot = server.anonymous(Method::GET, "/api/v1/lineage/openlineage").bearer_auth(&robot.token);
    assert_eq!(answer(as_robot).await.0, StatusCode::FORBIDDEN);
    server.stop().await;
}
