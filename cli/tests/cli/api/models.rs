//! Bundles, versions and deployments of them.

use super::{ran, start};
use serde_json::{Value, json};

#[tokio::test]
async fn a_bundle_is_pushed_file_by_file() {
    let (plane, url) = start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx"), "graph").unwrap();
    std::fs::write(folder.path().join("baseline.json"), "{}").unwrap();
    let out = ran(&url, &["model", "push", "label-reader", folder.path().to_str().unwrap(), "--description", "first"]).await.ok();
    assert_eq!(out, "label-reader version 1 sha256:00\n");
    assert_eq!(plane.asked.lock().unwrap()[0], json!({"model.onnx": "graph", "baseline.json": "{}", "description": "first"}));
}

#[tokio::test]
async fn an_onnx_file_is_pushed_with_a_baseline_of_its_training_data() {
    let (plane, url) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (folder.path().join("net.onnx"), folder.path().join("train.csv"));
    std::fs::write(&model, "onnx").unwrap();
    let rows: String = (0..200).map(|row| format!("{}\n", row % 17)).collect();
    std::fs::write(&data, format!("speed\n{rows}")).unwrap();
    let arguments = ["model", "push", model.to_str().unwrap(), "--name", "label reader", "--baseline", data.to_str().unwrap()];
    assert_eq!(ran(&url, &arguments).await.ok(), "label reader version 1 sha256:00\n");
    let pushed = plane.asked.lock().unwrap()[0].clone();
    let baseline: Value = serde_json::from_str(pushed["baseline.json"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&pushed["model.onnx"], &baseline["features"][0]["name"], &baseline["features"][0]["n"]),
        (&json!("onnx"), &json!("speed"), &json!(200))
    );
    let error = ran(&url, &["model", "push", model.to_str().unwrap()]).await.failed();
    assert!(error.contains("--name NAME"), "{error}");
}

#[tokio::test]
async fn versions_are_shown_and_compared() {
    let (_, url) = start().await;
    let shown = ran(&url, &["model", "show", "label-reader", "2"]).await.ok();
    for words in ["label-reader version 2", "@champion", "X float32[?, 64]", "1234 multiply-accumulates a run, without 1 LSTM", "2.00 KiB"]
    {
        assert!(shown.contains(words), "{words} is not in\n{shown}");
    }
    let arguments = ["model", "diff", "label reader", "1", "@champion", "--of", "other"];
    let table = ran(&url, &arguments).await.ok();
    assert!(
        table.contains("X float32[?, 64]") && table.contains("X float32[?, 65]") && table.contains("inputs or outputs differ"),
        "{table}"
    );
    assert!(table.lines().any(|line| line.starts_with("metric") && line.contains("accuracy") && line.ends_with('-')), "{table}");
    let raw = ran(&url, &[&arguments[..], &["--output", "json"]].concat()).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap()["metrics"]["accuracy"]["before"], 0.5);
}

#[tokio::test]
async fn a_deployment_is_followed_to_its_end() {
    let (plane, url) = start().await;
    let arguments = ["deploy", "label-reader", "2", "--to", "robot-1,robot-2"];
    assert_eq!(ran(&url, &arguments).await.ok(), "deployment d1\nrobot-1 pending\n");
    assert_eq!(
        plane.asked.lock().unwrap()[0],
        json!({"model": "label-reader", "version": "2", "targets": ["robot-1", "robot-2"], "slot": "default"})
    );
    let ran = ran(&url, &[&arguments[..], &["--wait"]].concat()).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.out, "deployment d1\nrobot-1 pending\nrobot-1 failed: the digest does not match\n");
    assert!(ran.err.contains("deployment d1 is failed"), "{}", ran.err);
}
