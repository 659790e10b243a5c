//! Trainings, as a stock MLflow client logs them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Server, TOKEN, answer, bundle_file};

/// A request of a stock client, which must succeed.
pub async fn mlflow(server: &Server, path: &str, body: Value) -> Value {
    let request = server.anonymous(Method::POST, &format!("/api/2.0/mlflow/{path}")).bearer_auth(TOKEN).json(&body);
    let (status, answer) = answer(request).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

/// A training: a run with its dataset, what it measured and the model it wrote. Its id.
pub async fn train(server: &Server, bundle: &str, dataset: (&str, &str), rate: &str, accuracy: f64) -> String {
    let tags = json!([{ "key": "mlflow.source.git.commit", "value": format!("commit-{bundle}") }]);
    let made = mlflow(server, "runs/create", json!({ "experiment_id": "0", "run_name": bundle, "start_time": 5, "tags": tags })).await;
    let run = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let input = |digest: &str, context: &str| {
        let dataset = json!({ "name": dataset.0, "digest": digest, "source_type": "local", "source": "{}" });
        json!({ "dataset": dataset, "tags": [{ "key": "mlflow.data.context", "value": context }] })
    };
    mlflow(server, "runs/log-inputs", json!({ "run_id": run, "datasets": [input(dataset.1, "training"), input("held-out", "eval")] }))
        .await;
    let metrics = json!([{ "key": "accuracy", "value": accuracy, "timestamp": 1, "step": 3 }]);
    mlflow(server, "runs/log-batch", json!({ "run_id": run, "params": [{ "key": "rate", "value": rate }], "metrics": metrics })).await;
    for file in ["model.onnx", "edgeflow.yaml", "baseline.json"] {
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model/{file}");
        let put = server.anonymous(Method::PUT, &path).bearer_auth(TOKEN).body(bundle_file(bundle, file));
        assert_eq!(answer(put).await.0, StatusCode::OK, "{path}");
    }
    let source = format!("mlflow-artifacts:/0/{run}/artifacts/model");
    mlflow(server, "model-versions/create", json!({ "name": "label-reader", "source": source, "run_id": run })).await;
    run
}
