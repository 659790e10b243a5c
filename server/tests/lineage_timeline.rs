//! Everything that touched a robot, in one order, and lineage as a graph.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Server, answer, drift, options,
    training::{mlflow, train},
};
use edgeflow_server::app::App;
use edgeflow_wire::{Class, CommandOutcome, CommandStatusBody, EntryBody, FaultBody, Loss, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// When the test's robots say their first word.
const T: i64 = 1_700_000_000_000_000;

fn fault(message: &str) -> EntryBody {
    EntryBody::Fault(FaultBody { source: "camera".into(), message: message.into() })
}

/// All items, in pages of `limit`.
async fn pages(server: &Server, query: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/lineage/timeline?{query}&limit={limit}{after}")).await;
        let found = page["items"].as_array().unwrap();
        assert!(found.len() <= limit);
        items.extend(found.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
        assert!(!found.is_empty() && items.len() < 1_000, "pages that do not end");
    }
}

fn brief(items: &[Value]) -> Vec<String> {
    items
        .iter()
        .map(|item| format!("{} {} {}", item["category"].as_str().unwrap(), item["who"].as_str().unwrap(), item["title"].as_str().unwrap()))
        .collect()
}

/// A robot with a past: two versions, a command, a policy, drift, a fault, a loss, another log, and its end.
async fn past(server: &Server, app: &App) -> Vec<String> {
    let mut robot = server.enrol("robot-1").await;
    server.enrol("robot-2").await;
    mlflow(server, "registered-models/create", json!({ "name": "label-reader" })).await;
    let runs = vec![train(server, "v1", ("digits", "5c8a"), "0.1", 0.8).await, train(server, "v2", ("digits", "77aa"), "0.2", 0.97).await];
    for version in ["1", "2"] {
        let (status, made) = server.deploy(version, &["robot-1"]).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        robot.hello(app).await;
        robot.converge(app).await;
    }
    let (_, command) = server.post("/targets/robot-1/commands", json!({ "action": { "kind": "pause", "for_s": 5 } })).await;
    let done = CommandStatusBody {
        id: command["id"].as_str().unwrap().to_owned(),
        outcome: CommandOutcome::Done,
        message: String::new(),
        result: Value::Null,
    };
    robot.say(app, Class::Critical, vec![EntryBody::CommandStatus(done), fault("no frames")]).await;
    robot.say(app, Class::Event, vec![drift(1, true)]).await;
    robot.say(app, Class::Summary, vec![drift(2, false)]).await;
    let route = json!({ "name": "odom", "allow": ["odom"], "fields": ["twist.twist.linear.x"], "window": { "period_s": 60 } });
    let policy = server.request(Method::PUT, "/targets/robot-1/policy").json(&json!({ "routes": [route] }));
    assert_eq!(answer(policy).await.0, StatusCode::OK);
    drop(robot.append(Class::Event, vec![drift(3, true); 5]));
    let mut batch = robot.append(Class::Event, vec![drift(8, true)]);
    batch.loss = Some(Loss { first_seq: 4, last_seq: 8, bytes: 500, first_t_us: T + 4, last_t_us: T + 8, ..Loss::default() });
    app.ingest(&robot.id, Upstream::Batch(batch)).await.unwrap();
    robot.epoch = "epoch-2".into();
    robot.hello(app).await;
    // Somebody who may not: a robot with its own token.
    let denied = server.anonymous(Method::POST, "/api/v1/targets/robot-1/commands").bearer_auth(&robot.token);
    assert_eq!(answer(denied.json(&json!({ "action": { "kind": "resume" } }))).await.0, StatusCode::FORBIDDEN);
    assert!(answer(server.request(Method::DELETE, "/targets/robot-1")).await.0.is_success());
    runs
}

#[tokio::test]
async fn everything_that_touched_a_robot_is_in_one_order_with_who_and_when() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    past(&server, &server.app).await;
    let all = pages(&server, "target=robot-1", 1_000).await;
    let expected = [
        "identity administrator revoke target",
        "command robot:robot-1 command: denied",
        "log robot:robot-1 another log, epoch-2",
        "policy administrator set policy",
        "command administrator told to pause",
        "desired administrator told to run label-reader 2 in default",
        "log robot:robot-1 first log, epoch-1",
        "desired administrator told to run label-reader 1 in default",
        "identity administrator enrol target",
        "drift robot:robot-1 input drift in brightness (PSI inf)",
        "log robot:robot-1 5 entries of class event are lost: evicted",
    ];
    let lines = brief(&all);
    assert_eq!(lines[..expected.len()], expected, "{lines:#?}");
    let said: BTreeSet<&str> = lines[expected.len()..].iter().map(String::as_str).collect();
    for line in [
        "attested robot:robot-1 label-reader 1 serves in default",
        "attested robot:robot-1 label-reader 1 serves in default no more",
        "attested robot:robot-1 label-reader 2 serves in default",
        "deployment robot:robot-1 downloading label-reader 2",
        "deployment robot:robot-1 label-reader 2 active",
        "event robot:robot-1 camera: no frames",
    ] {
        assert!(said.contains(line), "{line} is not in {said:#?}");
    }
    assert!(!said.iter().any(|line| line.contains("fit the baseline")), "summaries are no events");
    let ids: BTreeSet<&str> = all.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), all.len(), "an id names one item");
    let times: Vec<i64> = all.iter().map(|item| item["at_us"].as_i64().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");

    // By whose clock, and both where both are known.
    let of = |kind: &str| all.iter().find(|item| item["kind"] == kind).unwrap_or_else(|| panic!("{kind}"));
    let fault = of("fault");
    assert_eq!((&fault["clock"], &fault["robot_us"], &fault["severity"]), (&json!("robot"), &fault["at_us"], &json!("error")));
    assert!(fault["server_us"].as_i64().unwrap() > T + 1_000_000_000, "when we heard of it");
    let command = of("command");
    assert_eq!(
        (&command["clock"], &command["server_us"], &command["body"]["state"]),
        (&json!("server"), &command["at_us"], &json!("done"))
    );
    assert_eq!(command["robot_us"], of("command_status")["robot_us"], "when it was done");
    let told = of("deployment");
    assert_eq!((&told["robot_us"], &told["body"]["version"], &told["body"]["generation"]), (&Value::Null, &json!("2"), &json!(2)));
    assert_eq!(of("log_loss")["body"]["count"], 5);
    assert_eq!(of("interval_began")["body"]["interval"]["version"], "2");

    // Pages of any size make the same list.
    for limit in [1, 2, 7] {
        assert_eq!(pages(&server, "target=robot-1", limit).await, all, "pages of {limit}");
    }
    // Categories part the list: nothing twice, nothing lost.
    let mut parts = Vec::new();
    for category in ["attested", "desired", "deployment", "command", "policy", "drift", "identity", "capture", "log", "live", "event"] {
        let part = pages(&server, &format!("target=robot-1&category={category}"), 2).await;
        assert!(part.iter().all(|item| item["category"] == category), "{category}: {part:?}");
        parts.extend(part);
    }
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    assert_eq!(parts.iter().map(id).collect::<BTreeSet<_>>(), all.iter().map(id).collect());
    assert_eq!(parts.len(), all.len());
    let two = pages(&server, "target=robot-1&category=drift,identity", 3).await;
    assert_eq!(two.iter().map(|item| item["category"].as_str().unwrap()).collect::<BTreeSet<_>>(), ["drift", "identity"].into());
    // A window takes in its beginning and leaves out its end.
    let (from, to) = (T + 2, T + 4);
    let within: Vec<Value> = all.iter().filter(|item| (from..to).contains(&item["at_us"].as_i64().unwrap())).cloned().collect();
    assert!(within.len() >= 3, "{within:?}");
    for limit in [1, 1_000] {
        assert_eq!(pages(&server, &format!("target=robot-1&from_us={from}&to_us={to}"), limit).await, within);
    }

    assert_eq!(brief(&pages(&server, "target=robot-2", 10).await), ["identity administrator enrol target"]);
    for (path, status, says) in [
        ("target=nobody", StatusCode::NOT_FOUND, "there is no robot \"nobody\""),
        ("target=robot-1&category=drift,weather", StatusCode::BAD_REQUEST, "weather"),
        ("target=robot-1&after=5", StatusCode::BAD_REQUEST, "\"next\" of a page"),
        ("target=robot-1&from_us=5&to_us=5", StatusCode::BAD_REQUEST, "from_us 5 is not before to_us 5"),
        ("target=robot-1&limit=0", StatusCode::BAD_REQUEST, "limit 0"),
        ("from_us=5", StatusCode::BAD_REQUEST, "target"),
    ] {
        let (got, body) = answer(server.request(Method::GET, &format!("/lineage/timeline?{path}"))).await;
        assert!(got == status && body["error"]["message"].as_str().unwrap().contains(says), "{path}: {got} {body}");
    }
    // A refusal is no proof that there was such a robot.
    let stranger = server.enrol("robot-3").await;
    let denied = server.anonymous(Method::GET, "/api/v1/targets/robot-9").bearer_auth(&stranger.token);
    assert_eq!(answer(denied).await.0, StatusCode::FORBIDDEN);
    assert_eq!(answer(server.request(Method::GET, "/lineage/timeline?target=robot-9")).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

/// Ids of nodes of one kind, and edges as text.
fn drawn(graph: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let nodes: BTreeSet<String> = graph["nodes"].as_array().unwrap().iter().map(|node| text(&node["id"])).collect();
    let edges: Vec<&Value> = graph["edges"].as_array().unwrap().iter().collect();
    for edge in &edges {
        assert!(nodes.contains(edge["from"].as_str().unwrap()) && nodes.contains(edge["to"].as_str().unwrap()), "{edge} leads nowhere");
    }
    let edge = |edge: &&Value| format!("{} {} {}", text(&edge["from"]), text(&edge["kind"]), text(&edge["to"]));
    (nodes, edges.iter().map(edge).collect())
}

#[tokio::test]
async fn lineage_is_a_graph_from_a_robot_to_the_dataset_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let before_us = now_us();
    let runs = past(&server, &server.app).await;
    let run = |place: usize| format!("run:{}", runs[place]);

    let graph = server.get("/lineage/graph?target=robot-1").await;
    assert_eq!((&graph["center"], &graph["truncated"]), (&json!("robot:robot-1"), &json!(false)));
    let (nodes, edges) = drawn(&graph);
    let expected = ["robot:robot-1", "version:label-reader/2", &run(1), "dataset:digits@77aa", "dataset:digits@held-out", "deployment:2"];
    assert_eq!(nodes, expected.map(str::to_owned).into());
    let edge = |from: &str, how: &str, to: &str| format!("{from} {how} {to}");
    let expected: BTreeSet<String> = [
        edge("dataset:digits@77aa", "trained_on", &run(1)),
        edge("dataset:digits@held-out", "judged_by", &run(1)),
        edge(&run(1), "registered", "version:label-reader/2"),
        edge("version:label-reader/2", "deployed", "deployment:2"),
        edge("deployment:2", "told", "robot:robot-1"),
        edge("version:label-reader/2", "attested", "robot:robot-1"),
    ]
    .into();
    assert_eq!(edges, expected);
    let attested = graph["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "attested").unwrap();
    assert_eq!((&attested["now"], &attested["intervals"], &attested["first_us"]), (&json!(true), &json!(1), &json!(T + 4)));

    // As it was: what the robot ran then. By its clock everything else was not there yet, so that is all there was.
    let then = server.get(&format!("/lineage/graph?target=robot-1&at_us={}", T + 2)).await;
    assert_eq!(drawn(&then).0, ["robot:robot-1".to_owned()].into());
    // And from the dataset on, also of a robot that has something else now, and of one that is gone.
    let dataset = server.get("/lineage/graph?dataset=5c8a").await;
    assert_eq!(dataset["center"], "dataset:digits@5c8a");
    let (nodes, edges) = drawn(&dataset);
    assert!(nodes.contains("deployment:1") && edges.contains(&edge("version:label-reader/1", "attested", "robot:robot-1")), "{edges:#?}");
    assert!(!nodes.contains("version:label-reader/2"));
    let attested = dataset["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "attested").unwrap();
    assert_eq!(attested["now"], false);
    // At a moment of the slider: now nobody runs it; before anything was done there is nothing.
    let now = server.get(&format!("/lineage/graph?dataset=5c8a&at_us={}", i64::MAX - 1)).await;
    assert!(!drawn(&now).1.iter().any(|edge| edge.contains("attested")), "{now}");
    let nothing = server.get(&format!("/lineage/graph?digest={}&at_us={before_us}", digest(&server, "1").await)).await;
    assert_eq!(nothing, json!({ "center": null, "nodes": [], "edges": [], "truncated": false }));
    let bundle = server.get(&format!("/lineage/graph?digest={}", digest(&server, "1").await)).await;
    assert_eq!((&bundle["center"], drawn(&bundle)), (&json!("version:label-reader/1"), drawn(&dataset)));

    // Bounded, and it says so; what was asked about is in it.
    for most in 1..=5 {
        let graph = server.get(&format!("/lineage/graph?target=robot-1&limit={most}")).await;
        assert_eq!((drawn(&graph).0.len(), &graph["truncated"]), (most, &json!(true)));
        assert!(drawn(&graph).0.contains("robot:robot-1"));
        assert_eq!(server.get(&format!("/lineage/graph?dataset=5c8a&limit={most}")).await["center"], "dataset:digits@5c8a");
    }
    assert_eq!(server.get("/lineage/graph?target=robot-1&limit=6").await["truncated"], false);
    for path in ["", "?target=robot-1&dataset=5c8a", "?slot=default", "?digest=abc", "?target=robot-1&limit=1001"] {
        assert_eq!(answer(server.request(Method::GET, &format!("/lineage/graph{path}"))).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(answer(server.request(Method::GET, "/lineage/graph?target=nobody")).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

async fn digest(server: &Server, version: &str) -> String {
    server.get(&format!("/models/label-reader/versions/{version}")).await["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_graph_goes_over_logged_models_and_through_the_runs_between() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    mlflow(&server, "registered-models/create", json!({ "name": "label-reader" })).await;
    let tuned = train(&server, "v1", ("digits", "5c8a"), "0.1", 0.8).await;
    let made = mlflow(&server, "runs/create", json!({ "experiment_id": "0", "run_name": "pretraining", "start_time": 1 })).await;
    let pretraining = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let dataset = json!({ "name": "scenes", "digest": "00ff", "source_type": "local", "source": "{}" });
    mlflow(&server, "runs/log-inputs", json!({ "run_id": pretraining, "datasets": [{ "dataset": dataset }] })).await;
    let model = json!({ "experiment_id": "0", "name": "backbone", "source_run_id": pretraining });
    let model = mlflow(&server, "logged-models", model).await["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    mlflow(&server, "runs/log-inputs", json!({ "run_id": tuned, "models": [{ "model_id": model }] })).await;

    let (nodes, edges) = drawn(&server.get("/lineage/graph?dataset=00ff").await);
    let through = [
        format!("dataset:scenes@00ff trained_on run:{pretraining}"),
        format!("run:{pretraining} output logged_model:{model}"),
        format!("logged_model:{model} input run:{tuned}"),
        format!("run:{tuned} registered version:label-reader/1"),
        format!("dataset:digits@5c8a trained_on run:{tuned}"),
    ];
    for edge in &through {
        assert!(edges.contains(edge), "{edge} is not in {edges:#?}");
    }
    assert!(nodes.contains(&format!("logged_model:{model}")));
    let (_, from_bundle) = drawn(&server.get(&format!("/lineage/graph?digest={}", digest(&server, "1").await)).await);
    assert_eq!(from_bundle, edges, "from either end it is the same graph");
    server.stop().await;
}

fn now_us() -> i64 {
    edgeflow_core::Clock::now_us(&edgeflow_server::app::SystemClock)
}
