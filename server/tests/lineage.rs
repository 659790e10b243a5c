//! The questions people ask about a robot, from its own word back to the dataset, over what a stock MLflow client logs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Server, answer, options,
    training::{mlflow, train},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn from_a_robot_back_to_the_dataset_and_from_the_dataset_to_the_robots() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (mut one, mut two) = (server.enrol("robot-1").await, server.enrol("robot-2").await);
    mlflow(&server, "registered-models/create", json!({ "name": "label-reader" })).await;
    let first = train(&server, "v1", ("digits", "5c8a"), "0.1", 0.8).await;
    let second = train(&server, "v2", ("digits", "77aa"), "0.2", 0.97).await;
    // Robot 1 runs the first version and then the second, robot 2 the second only.
    for (version, targets) in [("1", vec!["robot-1"]), ("2", vec!["robot-1", "robot-2"])] {
        let (status, deployment) = server.deploy(version, &targets).await;
        assert_eq!(status, StatusCode::CREATED, "{deployment}");
        for robot in [&mut one, &mut two].into_iter().filter(|robot| targets.contains(&robot.id.name.as_str())) {
            robot.hello(&server.app).await;
            robot.converge(&server.app).await;
        }
    }

    // Which run, on which dataset, made what is on robot 1 now, and what was there before?
    let lineage = server.get("/targets/robot-1/lineage").await;
    let intervals = lineage["intervals"].as_array().unwrap();
    assert_eq!(intervals.iter().map(|one| one["version"].as_str().unwrap()).collect::<Vec<_>>(), ["2", "1"]);
    let (now, before) = (intervals[0]["digest"].as_str().unwrap(), intervals[1]["digest"].as_str().unwrap());
    for (digest, run, dataset, rate, accuracy) in [(now, &second, "77aa", "0.2", 0.97), (before, &first, "5c8a", "0.1", 0.8)] {
        let provenance = server.get(&format!("/lineage/provenance?digest={digest}")).await;
        let [made_by] = &provenance["runs"].as_array().unwrap()[..] else { panic!("{provenance}") };
        assert_eq!((&made_by["run_id"], &made_by["via"], &made_by["params"]["rate"]), (&json!(run), &json!("made"), &json!(rate)));
        assert_eq!(made_by["metrics"], json!([{ "key": "accuracy", "value": accuracy, "step": 3 }]));
        assert!(made_by["commit"].as_str().unwrap().starts_with("commit-v"), "{made_by}");
        let datasets = made_by["datasets"].as_array().unwrap();
        let trained: Vec<_> = datasets.iter().filter(|one| one["trained_on"] == true).map(|one| one["digest"].as_str().unwrap()).collect();
        assert_eq!((trained, datasets.len()), (vec![dataset], 2), "what it was judged by is told, and told apart");
        assert_eq!(provenance["versions"][0]["model"], "label-reader");
    }

    // Which robots run, or ever ran, what was trained on a dataset?
    let robots = |dataset: &'static str| {
        let server = &server;
        async move {
            let page = server.get(&format!("/lineage/robots?dataset={dataset}")).await;
            let row = |one: &Value| format!("{} {} {}", one["target"].as_str().unwrap(), one["version"]["version"], one["now"]);
            page["items"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
        }
    };
    assert_eq!(robots("5c8a").await, ["robot-1 \"1\" false"]);
    assert_eq!(robots("77aa").await, ["robot-1 \"2\" true", "robot-2 \"2\" true"]);
    assert!(robots("held-out").await.is_empty() && robots("nothing").await.is_empty());
    assert_eq!(server.get("/lineage/versions?dataset=5c8a").await["items"].as_array().unwrap().len(), 1);

    // Page by page it is the same, whatever the page's size.
    mlflow(&server, "runs/log-inputs", json!({ "run_id": second, "datasets": [{ "dataset": { "name": "digits", "digest": "5c8a", "source_type": "local", "source": "{}" } }] })).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/lineage/robots?dataset=5c8a&limit=1{after}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|one| format!("{} {}", one["target"], one["version"]["version"])));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
        assert!(seen.len() < 10, "{seen:?}");
    }
    assert_eq!(seen, ["\"robot-1\" \"1\"", "\"robot-1\" \"2\"", "\"robot-2\" \"2\""]);
    for (path, says) in [
        ("/lineage/robots", "give digest"),
        ("/lineage/robots?digest=a&dataset=b", "give digest"),
        ("/lineage/robots?dataset=b&after=x", "no place"),
        ("/lineage/provenance?digest=1", "no digest"),
    ] {
        let (status, answer) = answer(server.request(Method::GET, path)).await;
        assert!(status == StatusCode::BAD_REQUEST && answer["error"]["message"].as_str().unwrap().contains(says), "{path}: {answer}");
    }
    server.stop().await;
}
