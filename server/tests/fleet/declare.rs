//! A declaration, planned and applied over HTTP.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::Server;

pub(crate) async fn apply(server: &Server, spec: &Value, based_on: i64) -> (StatusCode, Value) {
    server.post("/fleet/apply", json!({ "spec": spec, "message": "a test", "based_on": based_on })).await
}

pub(crate) async fn plan(server: &Server, spec: &Value) -> Value {
    let (status, plan) = server.post("/fleet/plan", json!({ "spec": spec })).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    plan
}

/// Robots that a plan changes.
pub(crate) fn changed(plan: &Value) -> Vec<&str> {
    plan["robots"].as_array().unwrap().iter().map(|robot| robot["target"].as_str().unwrap()).collect()
}
