//! Experiments, runs, metrics and logged models as MLflow's clients ask for them, request by request.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Server, TOKEN, answer, options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A client of MLflow, as far as it is JSON.
struct Client(Server);

impl Client {
    async fn start(folder: &tempfile::TempDir) -> Self {
        Self(Server::start(options(folder)).await)
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.0.anonymous(method.clone(), &format!("/api/2.0/mlflow{path}")).bearer_auth(TOKEN);
        answer(if method == Method::GET { request } else { request.json(&body) }).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, body.clone()).await;
        assert_eq!(status, StatusCode::OK, "{path} {body}: {answer}");
        answer
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// The code of a refusal; its message has `says`.
    async fn refused(&self, path: &str, body: Value, says: &str) -> (u16, String) {
        let (status, answer) = self.ask(Method::POST, path, body.clone()).await;
        assert!(!status.is_success(), "{path} {body}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(says), "{path} {body}: {message:?} does not say {says:?}");
        (status.as_u16(), answer["error_code"].as_str().unwrap().to_owned())
    }

    async fn run(&self, experiment: &str) -> String {
        let made = self.post("/runs/create", json!({ "experiment_id": experiment, "start_time": 5 })).await;
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

fn invalid() -> (u16, String) {
    (400, "INVALID_PARAMETER_VALUE".to_owned())
}

fn missing() -> (u16, String) {
    (404, "RESOURCE_DOES_NOT_EXIST".to_owned())
}

#[tokio::test]
async fn experiments_go_through_their_life() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::start(&folder).await;
    let default = client.get("/experiments/get?experiment_id=0").await;
    assert_eq!(default["experiment"]["name"], "Default");
    assert_eq!(default["experiment"]["artifact_location"], "mlflow-artifacts:/0");
    let made = client.post("/experiments/create", json!({ "name": "größe/1", "tags": [{ "key": "a", "value": "1" }], "other": 1 })).await;
    assert_eq!(made, json!({ "experiment_id": "1" }));
    let taken = client.refused("/experiments/create", json!({ "name": "größe/1" }), "größe/1").await;
    assert_eq!(taken, (400, "RESOURCE_ALREADY_EXISTS".to_owned()));
    for (path, body, says, expected) in [
        ("/experiments/create", json!({}), "'name'", invalid()),
        ("/experiments/create", json!({ "name": "" }), "'name'", invalid()),
        ("/experiments/create", json!({ "name": 3 }), "string", invalid()),
        ("/experiments/create", json!({ "name": "x".repeat(501) }), "500", invalid()),
        ("/experiments/create", json!([1]), "body", invalid()),
        ("/experiments/delete", json!({ "experiment_id": "9" }), "9", missing()),
        ("/experiments/delete", json!({ "experiment_id": "x" }), "integer", invalid()),
        ("/experiments/update", json!({ "experiment_id": "1" }), "'new_name'", invalid()),
        ("/experiments/set-experiment-tag", json!({ "experiment_id": "1", "key": "../a", "value": "1" }), "../a", invalid()),
        ("/experiments/delete-experiment-tag", json!({ "experiment_id": "1", "key": "no" }), "no", missing()),
        ("/experiments/restore", json!({ "experiment_id": "1" }), "1", missing()),
        ("/experiments/search", json!({ "max_results": 0 }), "max_results", invalid()),
        ("/experiments/search", json!({ "max_results": 50_001 }), "50000", invalid()),
        ("/experiments/search", json!({ "filter": "colour = 'x'" }), "character 1", invalid()),
        ("/experiments/search", json!({ "page_token": "zzz" }), "page_token", invalid()),
        ("/experiments/search", json!({ "view_type": "SOME" }), "ACTIVE_ONLY", invalid()),
    ] {
        assert_eq!(client.refused(path, body, says).await, expected, "{path}");
    }
    client.post("/experiments/update", json!({ "experiment_id": "1", "new_name": "b" })).await;
    client.post("/experiments/set-experiment-tag", json!({ "experiment_id": "1", "key": "b", "value": "2" })).await;
    client.post("/experiments/delete-experiment-tag", json!({ "experiment_id": "1", "key": "a" })).await;
    let read = client.get("/experiments/get-by-name?experiment_name=b").await;
    assert_eq!(read["experiment"]["tags"], json!([{ "key": "b", "value": "2" }]));
    client.post("/experiments/delete", json!({ "experiment_id": "1" })).await;
    assert_eq!(client.refused("/runs/create", json!({ "experiment_id": "1" }), "deleted").await, invalid());
    let deleted = client.post("/experiments/search", json!({ "view_type": "DELETED_ONLY", "max_results": 5 })).await;
    assert_eq!(deleted["experiments"][0]["lifecycle_stage"], "deleted");
    client.post("/experiments/restore", json!({ "experiment_id": "1" })).await;
    let page = client.post("/experiments/search", json!({ "max_results": 1, "order_by": ["name DESC"] })).await;
    assert_eq!(page["experiments"][0]["name"], "b");
    let token = page["next_page_token"].as_str().unwrap().replace('=', "%3D");
    let rest = client.get(&format!("/experiments/search?max_results=1&order_by=name+DESC&page_token={token}")).await;
    assert_eq!((&rest["experiments"][0]["name"], rest.get("next_page_token")), (&json!("Default"), None));
    client.0.stop().await;
}

#[tokio::test]
async fn what_is_logged_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::start(&folder).await;
    let tags = json!([{ "key": "mlflow.user", "value": "ada" }, { "key": "mlflow.runName", "value": "first" }]);
    let made = client.post("/runs/create", json!({ "experiment_id": "0", "user_id": "ada", "start_time": "123", "tags": tags })).await;
    let info = &made["run"]["info"];
    let id = info["run_id"].as_str().unwrap();
    assert_eq!((id.len(), &info["run_name"], &info["status"], &info["start_time"]), (32, &json!("first"), &json!("RUNNING"), &json!(123)));
    assert_eq!(info["artifact_uri"], format!("mlflow-artifacts:/0/{id}/artifacts"));
    for (key, value) in
        [("nan", json!("NaN")), ("inf", json!("Infinity")), ("ninf", json!("-Infinity")), ("m", json!(1.5)), ("text", json!("2.5"))]
    {
        client.post("/runs/log-metric", json!({ "run_id": id, "key": key, "value": value, "timestamp": "10", "step": 1 })).await;
    }
    client.post("/runs/log-parameter", json!({ "run_uuid": id, "key": "p", "value": "1" })).await;
    client.post("/runs/log-parameter", json!({ "run_id": id, "key": "p", "value": "1" })).await;
    assert_eq!(client.refused("/runs/log-parameter", json!({ "run_id": id, "key": "p", "value": "2" }), "\"1\"").await, invalid());
    client.post("/runs/log-parameter", json!({ "run_id": id, "key": "long", "value": "x".repeat(10 << 20) })).await;
    client.post("/runs/set-tag", json!({ "run_id": id, "key": "t", "value": "1" })).await;
    client.post("/runs/set-tag", json!({ "run_id": id, "key": "t", "value": "2" })).await;
    client.post("/runs/set-tag", json!({ "run_id": id, "key": "gone" })).await;
    client.post("/runs/delete-tag", json!({ "run_id": id, "key": "gone" })).await;
    assert_eq!(client.refused("/runs/delete-tag", json!({ "run_id": id, "key": "gone" }), "gone").await, missing());
    let dataset = json!({ "name": "d", "digest": "abc", "source_type": "local", "source": "{}", "profile": "{}" });
    let train = json!([{ "key": "mlflow.data.context", "value": "train" }]);
    client
        .post(
            "/runs/log-inputs",
            json!({ "run_id": id, "datasets": [{ "dataset": dataset, "tags": train }], "models": [{ "model_id": "m-1" }] }),
        )
        .await;
    client.post("/runs/outputs", json!({ "run_id": id, "models": [{ "model_id": "m-2", "step": "3" }] })).await;
    client.post("/runs/update", json!({ "run_id": id, "status": "FINISHED", "end_time": 456 })).await;
    let run = &client.get(&format!("/runs/get?run_id={id}")).await["run"];
    let metrics: Vec<_> = run["data"]["metrics"].as_array().unwrap().iter().map(|m| (m["key"].as_str().unwrap(), &m["value"])).collect();
    let expected =
        [("inf", json!("Infinity")), ("m", json!(1.5)), ("nan", json!("NaN")), ("ninf", json!("-Infinity")), ("text", json!(2.5))];
    assert_eq!(metrics, expected.iter().map(|(key, value)| (*key, value)).collect::<Vec<_>>());
    assert_eq!(run["data"]["params"][0]["value"].as_str().unwrap().len(), 6000);
    assert_eq!(
        run["inputs"],
        json!({ "dataset_inputs": [{ "dataset": dataset, "tags": train }], "model_inputs": [{ "model_id": "m-1" }] })
    );
    assert_eq!(run["outputs"], json!({ "model_outputs": [{ "model_id": "m-2", "step": 3 }] }));
    assert_eq!((&run["info"]["status"], &run["info"]["end_time"]), (&json!("FINISHED"), &json!(456)));
    let history = client.get(&format!("/metrics/get-history?run_id={id}&metric_key=nan")).await;
    assert_eq!(history["metrics"], json!([{ "key": "nan", "value": "NaN", "timestamp": 10, "step": 1 }]));
    client.0.stop().await;
}

#[tokio::test]
async fn batches_have_limits_and_leave_nothing_when_refused() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::start(&folder).await;
    let id = client.run("0").await;
    let metrics = |count: usize| (0..count).map(|step| json!({ "key": "m", "value": 1, "timestamp": 1, "step": step })).collect::<Vec<_>>();
    let pairs = |count: usize| (0..count).map(|at| json!({ "key": format!("k{at}"), "value": "v" })).collect::<Vec<_>>();
    for (body, says) in [
        (json!({ "run_id": id, "metrics": metrics(1001) }), "1000 metrics"),
        (json!({ "run_id": id, "params": pairs(101) }), "100 params"),
        (json!({ "run_id": id, "tags": pairs(101) }), "100 tags"),
        (json!({ "run_id": id, "metrics": metrics(1000), "tags": pairs(1) }), "1001"),
        (json!({ "run_id": id, "metrics": [{ "key": "m", "timestamp": 1 }] }), "metrics[0].value"),
        (json!({ "run_id": id, "metrics": [metrics(1)[0], { "value": 1, "timestamp": 1 }] }), "metrics[1].key"),
        (json!({ "run_id": id, "metrics": [{ "key": "m", "value": "abc", "timestamp": 1 }] }), "number"),
        (json!({ "run_id": id, "metrics": [{ "key": "m", "value": 1, "timestamp": -1 }] }), "negative"),
        (json!({ "run_id": id, "metrics": [{ "key": "é+", "value": 1, "timestamp": 1 }] }), "é+"),
        (json!({ "run_id": id, "params": [{ "key": "a", "value": "1" }, { "key": "a", "value": "1" }] }), "twice"),
        (json!({ "run_id": id, "params": [{ "key": "k".repeat(251), "value": "1" }], "metrics": metrics(1) }), "250"),
        (json!({ "metrics": metrics(1) }), "'run_id'"),
        (json!({ "run_id": id, "metrics": { "key": "m" } }), "body"),
    ] {
        assert_eq!(client.refused("/runs/log-batch", body, says).await, invalid(), "{says}");
    }
    let nobody = json!({ "run_id": "f".repeat(32), "metrics": metrics(1) });
    assert_eq!(client.refused("/runs/log-batch", nobody, "ffff").await, missing());
    let untouched = client.get(&format!("/runs/get?run_id={id}")).await;
    assert_eq!(untouched["run"]["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["tags"]);
    let whole = json!({ "run_id": id, "metrics": metrics(800), "params": pairs(100), "tags": pairs(100) });
    client.post("/runs/log-batch", whole.clone()).await;
    client.post("/runs/log-batch", whole).await;
    let first = client.get(&format!("/metrics/get-history?run_id={id}&metric_key=m&max_results=500")).await;
    let token = first["next_page_token"].as_str().unwrap();
    let rest = client.get(&format!("/metrics/get-history?run_id={id}&metric_key=m&max_results=500&page_token={token}")).await;
    assert_eq!((first["metrics"].as_array().unwrap().len(), rest["metrics"].as_array().unwrap().len()), (500, 300));
    assert!(rest.get("next_page_token").is_none(), "a retry adds nothing");
    let some = client
        .get(&format!("/metrics/get-history-bulk-interval?run_ids={id}&metric_key=m&max_results=5&start_step=100&end_step=500"))
        .await;
    let steps: Vec<_> = some["metrics"].as_array().unwrap().iter().map(|m| m["step"].as_i64().unwrap()).collect();
    assert_eq!(steps, [100, 200, 300, 400, 500]);
    client.post("/runs/delete", json!({ "run_id": id })).await;
    for (path, body) in [
        ("/runs/log-metric", json!({ "run_id": id, "key": "m", "value": 1, "timestamp": 1 })),
        ("/runs/log-batch", json!({ "run_id": id, "params": pairs(1) })),
        ("/runs/set-tag", json!({ "run_id": id, "key": "a", "value": "1" })),
        ("/runs/update", json!({ "run_id": id, "status": "FAILED" })),
        ("/runs/log-inputs", json!({ "run_id": id })),
    ] {
        assert_eq!(client.refused(path, body, "deleted").await, invalid(), "{path}");
    }
    client.post("/runs/restore", json!({ "run_id": id })).await;
    assert_eq!(client.refused("/runs/update", json!({ "run_id": id, "status": "BAD" }), "FINISHED").await, invalid());
    client.0.stop().await;
}

#[tokio::test]
async fn runs_are_found_page_by_page_and_a_bad_filter_is_shown_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::start(&folder).await;
    for at in 0..5 {
        let id = client.run("0").await;
        let metrics = json!([{ "key": "loss", "value": at, "timestamp": 1 }]);
        client.post("/runs/log-batch", json!({ "run_id": id, "metrics": metrics, "params": [{ "key": "p", "value": "x" }] })).await;
    }
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let body = json!({
            "experiment_ids": ["0"], "filter": "params.p = 'x' and metrics.loss < 4", "order_by": ["metrics.loss DESC"], "max_results": 3,
            "page_token": token,
        });
        let page = client.post("/runs/search", body).await;
        seen.extend(page["runs"].as_array().unwrap().iter().map(|run| run["data"]["metrics"][0]["value"].as_f64().unwrap()));
        match page.get("next_page_token") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen, [3.0, 2.0, 1.0, 0.0]);
    assert_eq!(client.post("/runs/search", json!({ "experiment_ids": [] })).await, json!({}));
    for (filter, says) in [
        ("metrics.loss > 'x'", "character 16"),
        ("params.p = 'x' OR params.p = 'y'", "character 16"),
        ("zzz.m > 1", "character 1"),
        ("params.p = 'x", "never closed"),
    ] {
        let body = json!({ "experiment_ids": ["0"], "filter": filter });
        assert_eq!(client.refused("/runs/search", body, says).await, invalid(), "{filter}");
    }
    client.0.stop().await;
}

#[tokio::test]
async fn logged_models_go_through_their_life() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::start(&folder).await;
    let run = client.run("0").await;
    let body = json!({ "experiment_id": "0", "name": "reader", "model_type": "onnx", "source_run_id": run,
        "params": [{ "key": "a", "value": "1" }], "tags": [{ "key": "t", "value": "1" }] });
    let made = client.post("/logged-models", body).await;
    let id = made["model"]["info"]["model_id"].as_str().unwrap();
    assert_eq!(made["model"]["info"]["status"], "LOGGED_MODEL_PENDING");
    assert_eq!(made["model"]["info"]["artifact_uri"], format!("mlflow-artifacts:/0/models/{id}/artifacts"));
    let path = format!("/logged-models/{id}");
    let ask = async |method, path: &str, body| client.ask(method, path, body).await;
    let (status, ready) = ask(Method::PATCH, &path, json!({ "model_id": id, "status": "LOGGED_MODEL_READY" })).await;
    assert_eq!((status, &ready["model"]["info"]["status"]), (StatusCode::OK, &json!("LOGGED_MODEL_READY")));
    assert_eq!(ask(Method::PATCH, &path, json!({ "status": "BAD" })).await.0, StatusCode::BAD_REQUEST);
    let tags = json!({ "tags": [{ "key": "t", "value": "2" }, { "key": "a/b", "value": "3" }] });
    assert_eq!(ask(Method::PATCH, &format!("{path}/tags"), tags).await.0, StatusCode::OK);
    assert_eq!(ask(Method::DELETE, &format!("{path}/tags/a/b"), json!({})).await.0, StatusCode::OK);
    assert_eq!(ask(Method::DELETE, &format!("{path}/tags/a/b"), json!({})).await.0, StatusCode::NOT_FOUND);
    client.post(&format!("{path}/params"), json!({ "model_id": id, "params": [{ "key": "b", "value": "2" }] })).await;
    for (value, step, dataset) in [(0.5, 0, Some("d")), (0.9, 1, None)] {
        let mut body = json!({ "run_id": run, "key": "acc", "value": value, "timestamp": 1, "step": step, "model_id": id });
        if let Some(name) = dataset {
            body["dataset_name"] = json!(name);
            body["dataset_digest"] = json!("abc");
        }
        client.post("/runs/log-metric", body).await;
    }
    let read = client.get(&path).await;
    assert_eq!(read["model"]["data"]["metrics"][0]["dataset_digest"], "abc");
    assert_eq!(read["model"]["data"]["metrics"][1]["run_id"], run);
    assert_eq!(read["model"]["info"]["tags"], json!([{ "key": "t", "value": "2" }]));
    for (search, found) in [
        (json!({ "filter": "metrics.acc > 0.8" }), 1),
        (json!({ "filter": "metrics.acc > 0.8", "datasets": [{ "dataset_name": "d" }] }), 0),
        (json!({ "filter": "name LIKE 'r%' AND params.b = '2'", "order_by": [{ "field_name": "metrics.acc", "ascending": false }] }), 1),
    ] {
        let mut body = search.clone();
        body["experiment_ids"] = json!(["0"]);
        let models = client.post("/logged-models/search", body).await;
        assert_eq!(models.get("models").map_or(0, |models| models.as_array().unwrap().len()), found, "{search}");
    }
    assert_eq!(client.refused("/logged-models", json!({ "experiment_id": "0", "name": "a/b" }), "a/b").await, invalid());
    assert_eq!(ask(Method::DELETE, &path, json!({})).await.0, StatusCode::OK);
    assert_eq!(ask(Method::GET, &path, json!({})).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(Method::GET, &format!("{path}?allow_deleted=true"), json!({})).await.0, StatusCode::OK);
    client.0.stop().await;
}

#[tokio::test]
async fn what_the_server_is_is_said_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    for path in ["/version", "/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"] {
        assert_eq!(answer(server.anonymous(Method::GET, path)).await.0, StatusCode::OK, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_mlflow_logs_is_what_the_native_api_shows() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::start(&folder).await;
    let id = client.run("0").await;
    let metrics: Vec<_> =
        (0..10).map(|step| json!({ "key": "train/loss", "value": 1.0 / f64::from(step + 1), "timestamp": 7, "step": step })).collect();
    client.post("/runs/log-batch", json!({ "run_id": id, "metrics": metrics, "params": [{ "key": "p", "value": "x" }] })).await;
    client.post("/runs/set-tag", json!({ "run_id": id, "key": "mlflow.source.git.commit", "value": "abc" })).await;
    let dataset = json!({ "dataset": { "name": "d", "digest": "1", "source_type": "s", "source": "x" } });
    client.post("/runs/log-inputs", json!({ "run_id": id, "datasets": [dataset] })).await;
    let run = client.0.get(&format!("/runs/{id}")).await;
    assert_eq!((&run["started_at_us"], &run["code_version"], &run["datasets"][0]["digest"]), (&json!(5000), &json!("abc"), &json!("1")));
    assert_eq!(run["metrics"], json!([{ "key": "train/loss", "value": 0.1, "step": 9, "t_us": 7000 }]));
    let history = client.0.get(&format!("/runs/{id}/metrics/train/loss?limit=4&after=4")).await;
    assert_eq!((&history["items"][0]["step"], &history["next"]), (&json!(4), &json!("8")));
    let chart = client.0.get(&format!("/run-metrics?runs={id}&key=train/loss&steps=4")).await;
    let steps: Vec<_> = chart["items"].as_array().unwrap().iter().map(|item| item["step"].as_i64().unwrap()).collect();
    assert_eq!((steps, &chart["items"][0]["run"]), (vec![0, 3, 6, 9], &json!(id)));
    let found = client.0.get("/experiments/0/runs?filter=params.p+%3D+%27x%27&order_by=metrics.%22train/loss%22+DESC,start_time").await;
    assert_eq!(found["items"][0]["id"], json!(id));
    for (path, says) in [
        ("/experiments/0/runs?filter=params.p+%3D+x", "character 12"),
        ("/experiments?view=some", "active, deleted or all"),
        ("/experiments?after=x", "next"),
        ("/run-metrics?runs=&key=m", "1 to 100 runs"),
    ] {
        let (status, body) = answer(client.0.request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(says), "{path}: {body}");
    }
    // And the other way round.
    let (status, made) = client.0.post("/experiments", json!({ "name": "native", "tags": { "a": "1" } })).await;
    assert_eq!((status, &made["id"]), (StatusCode::CREATED, &json!("1")), "{made}");
    let (status, begun) = client.0.post("/runs", json!({ "experiment": "1", "name": "n", "started_at_us": 9000 })).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let native = begun["id"].as_str().unwrap();
    let body = json!({ "metrics": [{ "key": "m", "value": "NaN", "step": 1 }], "params": { "q": "1" }, "tags": { "t": "2" } });
    assert_eq!(client.0.post(&format!("/runs/{native}/log"), body).await.0, StatusCode::NO_CONTENT);
    let put = |path: String, body: Value| answer(client.0.request(Method::PUT, &path).json(&body));
    let (status, ended) = put(format!("/runs/{native}"), json!({ "status": "FINISHED", "ended_at_us": 10_000 })).await;
    assert_eq!((status, &ended["status"], &ended["metrics"][0]["value"]), (StatusCode::OK, &json!("FINISHED"), &json!("NaN")), "{ended}");
    let read = client.get(&format!("/runs/get?run_id={native}")).await;
    assert_eq!((&read["run"]["info"]["end_time"], &read["run"]["data"]["params"][0]["value"]), (&json!(10), &json!("1")));
    let (status, changed) = put("/experiments/1".into(), json!({ "name": "again", "tags": { "a": null, "b": "2" } })).await;
    assert_eq!((status, &changed["tags"]), (StatusCode::OK, &json!([{ "key": "b", "value": "2" }])), "{changed}");
    assert_eq!(answer(client.0.request(Method::DELETE, &format!("/runs/{native}"))).await.0, StatusCode::NO_CONTENT);
    assert_eq!(answer(client.0.request(Method::DELETE, "/experiments/1")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.0.get("/experiments?view=deleted").await["items"][0]["name"], "again");
    let model = client.post("/logged-models", json!({ "experiment_id": "0", "name": "m", "source_run_id": id })).await;
    let model_id = model["model"]["info"]["model_id"].as_str().unwrap();
    assert_eq!(client.0.get(&format!("/logged-models/{model_id}")).await["source_run"], json!(id));
    assert_eq!(client.0.get("/experiments/0/logged-models?filter=name+%3D+%27m%27").await["items"][0]["id"], model_id);
    client.0.stop().await;
}
