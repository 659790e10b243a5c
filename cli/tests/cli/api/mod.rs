//! The control plane's commands, against a server that keeps to the API's documents.

mod lineage;
mod manners;
mod models;
mod orders;
mod robots;

use axum::{
    Json, Router,
    extract::{Multipart, Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::process::Command;

use crate::support::{Ran, program, run};

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

#[derive(Clone, Default)]
struct Plane {
    asked: Arc<Mutex<Vec<Value>>>,
}

fn allowed(headers: &HeaderMap) -> Result<(), (StatusCode, Json<Value>)> {
    if headers.get("authorization").is_some_and(|token| token == "Bearer secret") {
        return Ok(());
    }
    Err((StatusCode::UNAUTHORIZED, Json(json!({"error": {"code": "unauthorized", "message": "unknown token"}}))))
}

async fn targets(headers: HeaderMap) -> Answer {
    allowed(&headers)?;
    let digest = format!("sha256:{}", "ab".repeat(32));
    Ok(Json(json!({"next": null, "items": [
        {"name": "robot-1", "online": true, "slots": {"default": {"status": "active", "model": "label-reader", "version": "2", "digest": digest, "reason": "", "since_us": 1}},
         "drift": {"flagged": true, "max_psi": 1.5, "windows": 3, "at_us": 1}, "accuracy": {"accuracy": 0.975, "samples": 200}},
        {"name": "robot-2", "online": false, "slots": {}, "drift": null, "accuracy": null},
    ]})))
}

async fn enrol(State(plane): State<Plane>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    allowed(&headers)?;
    if body["name"] == "robot-1" {
        return Err((StatusCode::CONFLICT, Json(json!({"error": {"code": "conflict", "message": "robot-1 exists already"}}))));
    }
    plane.asked.lock().unwrap().push(body);
    Ok(Json(json!({"name": "robot-3", "token": "s3cret"})))
}

async fn bootstrap(State(plane): State<Plane>, headers: HeaderMap, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    allowed(&headers)?;
    plane.asked.lock().unwrap().push(json!({ "bootstrap": name, "body": body }));
    Ok(Json(
        json!({"token": format!("{name}.s3cret.{}", "ab".repeat(32)), "expires_at_us": 1_700_000_000_000_000_i64, "ca_fingerprint": "ab".repeat(32)}),
    ))
}

async fn revoke(State(plane): State<Plane>, headers: HeaderMap, Path(name): Path<String>) -> Result<StatusCode, (StatusCode, Json<Value>)> {
    allowed(&headers)?;
    plane.asked.lock().unwrap().push(json!({ "revoke": name }));
    Ok(StatusCode::NO_CONTENT)
}

async fn certificates(headers: HeaderMap, Path(name): Path<String>) -> Answer {
    allowed(&headers)?;
    assert_eq!(name, "robot-1");
    let certificate = |fill: &str, revoked: Option<i64>| json!({"fingerprint": fill.repeat(32), "serial": "01", "issued_at_us": 1_700_000_000_000_000_i64, "not_after_us": 1_702_592_000_000_000_i64, "revoked_at_us": revoked});
    Ok(Json(json!([certificate("ab", None), certificate("cd", Some(1_700_000_001_000_000))])))
}

async fn certify_broker(State(plane): State<Plane>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    allowed(&headers)?;
    plane.asked.lock().unwrap().push(body);
    Ok(Json(json!({ "certificate": "cert", "ca": "ca", "revoked": "list", "not_after_us": 1_700_000_000_000_000_i64 })))
}

async fn push(State(plane): State<Plane>, headers: HeaderMap, Path(model): Path<String>, mut form: Multipart) -> Answer {
    allowed(&headers)?;
    let mut parts = BTreeMap::new();
    while let Some(field) = form.next_field().await.unwrap() {
        parts.insert(field.name().unwrap().to_owned(), field.text().await.unwrap());
    }
    plane.asked.lock().unwrap().push(json!(parts));
    Ok(Json(json!({"model": model, "version": "1", "digest": "sha256:00"})))
}

async fn deploy(State(plane): State<Plane>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    allowed(&headers)?;
    if body["model"] == "gone" {
        return Err((StatusCode::NOT_FOUND, Json(json!({"error": {"code": "not_found", "message": "there is no model \"gone\""}}))));
    }
    plane.asked.lock().unwrap().push(body.clone());
    Ok(Json(json!({"id": "d1", "state": "progressing", "targets": [{"target": "robot-1", "status": "pending", "reason": null}]})))
}

async fn deployment(headers: HeaderMap) -> Answer {
    allowed(&headers)?;
    Ok(Json(
        json!({"id": "d1", "state": "failed", "targets": [{"target": "robot-1", "status": "failed", "reason": "the digest does not match"}]}),
    ))
}

async fn events(headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    if query.contains_key("kind") {
        assert_eq!(json!(query), json!({"kind": "rollout,fault", "limit": "20", "notable": "true"}));
        return Ok(Json(json!({"items": []})));
    }
    assert_eq!(json!(query), json!({"limit": "2", "target": "robot-1"}));
    Ok(Json(json!({"items": [
        {"target": "robot-1", "t_us": 1_700_000_001_000_000_i64, "severity": "error", "title": "later"},
        {"target": "robot-1", "t_us": 1_700_000_000_000_000_i64, "severity": "info", "title": "earlier"},
    ]})))
}

const DIGEST: &str = "sha256:41d0e299ca1abeb2094852da042165c7b3e0ac4ba7ee3b29eb2a5a9d3a2a2a2a";

async fn lineage(headers: HeaderMap, Path(target): Path<String>, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    if query.contains_key("at_us") {
        assert_eq!(json!(query), json!({"at_us": "1699999999500000"}));
        return Ok(Json(json!({"target": target, "intervals": []})));
    }
    assert_eq!(json!(query), json!({"limit": "100"}));
    let (from_us, to_us) = (1_700_000_000_000_000_i64, 1_700_000_001_000_000_i64);
    Ok(Json(json!({"target": target, "intervals": [
        {"slot": "default", "model": "reader", "version": "2", "digest": DIGEST, "from_us": to_us, "last_us": to_us, "to_us": null},
        {"slot": "default", "model": "reader", "version": "1", "digest": DIGEST, "from_us": from_us, "last_us": from_us, "to_us": to_us},
    ]})))
}

async fn provenance(headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    assert_eq!(json!(query), json!({"digest": DIGEST}));
    let dataset = |digest: &str, trained_on: bool| json!({"name": "digits", "digest": digest, "trained_on": trained_on});
    Ok(Json(json!({"digest": DIGEST, "versions": [], "runs": [
        {"run_id": "0123456789abcdef", "name": "wide", "datasets": [dataset("5c8a", true), dataset("77aa", false)]},
        {"run_id": "fedc", "name": "base", "datasets": [dataset("1111", true), dataset("5c8a", true)]},
    ]})))
}

async fn ran_it(headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    let version = query.contains_key("dataset").then(|| json!({"model": "reader", "version": "3"}));
    let us = 1_700_000_000_000_000_i64;
    Ok(Json(
        json!({"items": [{"target": "robot-1", "first_us": us, "last_us": us, "intervals": 2, "now": true, "version": version}], "next": null}),
    ))
}

async fn lineage_diff(headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    let us = 1_700_000_000_000_000_i64;
    let nothing = json!({"target": query["before"], "at_us": 5, "attested": null, "confirmed": false, "version": null, "deployment": null, "acts": []});
    let trained_on = json!({"before": [], "after": [{"name": "digits", "digest": "77aa"}], "both": []});
    let side = json!({
        "target": query.get("after").unwrap_or(&query["before"]), "at_us": null, "confirmed": true,
        "attested": {"slot": "default", "model": "reader", "version": "2", "digest": DIGEST, "from_us": us, "last_us": us, "to_us": null},
        "version": {"model": "reader", "version": "2", "created_at_us": us, "created_by": "alice", "deleted": true},
        "deployment": {"id": "7", "created_at_us": us, "created_by": "bob", "server_epoch": 1, "generation": 3},
        "acts": [{"who": "carol", "at_us": us, "action": "alias", "detail": {"alias": "champion", "version": "2"}}],
    });
    if query.contains_key("before_at_us") {
        return Ok(Json(json!({"slot": "default", "before": nothing, "after": side, "same": false, "model": null, "aliases":
            {"before": null, "after": ["champion"]}, "stage": null, "trained_on": trained_on, "notes": [format!("asked {}", json!(query))]})));
    }
    let model = json!({"params": {"rate": {"before": "0.1", "after": "0.2"}}, "compatible": true});
    Ok(Json(json!({"slot": "default", "before": side, "after": side, "same": false, "model": model, "aliases": null,
        "stage": {"before": "Production", "after": "None"}, "trained_on": {"before": [], "after": [], "both": []}, "notes": []})))
}

async fn timeline(State(plane): State<Plane>, headers: HeaderMap, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    plane.asked.lock().unwrap().push(json!(query));
    let item = |at_us: i64, severity: &str, clock: &str, title: &str| {
        json!({"id": title, "category": "attested", "kind": "interval_began", "at_us": at_us, "clock": clock, "who": "robot:robot-1",
            "title": title, "severity": severity, "body": {}})
    };
    let (first, second) =
        (item(1_700_000_001_000_000, "info", "robot", "later"), item(1_700_000_000_000_000, "error", "server", "earlier"));
    Ok(Json(match query.get("after").map(String::as_str) {
        None => json!({"items": [first], "next": "5.entry.1"}),
        Some("5.entry.1") => json!({"items": [second], "next": null}),
        Some(other) => panic!("{other}"),
    }))
}

async fn openlineage(
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<([(&'static str, &'static str); 2], String), StatusCode> {
    allowed(&headers).map_err(|_| StatusCode::FORBIDDEN)?;
    assert_eq!((query["limit"].as_str(), query["namespace"].as_str()), ("1000", "plant 2"));
    Ok(match query.get("after").map(String::as_str) {
        Some("1.0.0") => ([("edgeflow-next", "2.0.0"), ("edgeflow-more", "true")], "{\"eventType\":\"START\"}\n".to_owned()),
        Some("2.0.0") => ([("edgeflow-next", "3.0.7"), ("edgeflow-more", "false")], "{\"eventType\":\"COMPLETE\"}\n".to_owned()),
        other => panic!("{other:?}"),
    })
}

async fn set_policy(State(plane): State<Plane>, headers: HeaderMap, Path(target): Path<String>, Json(body): Json<Value>) -> Answer {
    allowed(&headers)?;
    plane.asked.lock().unwrap().push(json!({"target": target, "document": body}));
    Ok(Json(json!({"target": target, "version": 3, "document": body, "status": null})))
}

async fn policy(headers: HeaderMap, Path(target): Path<String>) -> Answer {
    allowed(&headers)?;
    let status = json!({"version": 3, "outcome": "refused", "reason": "routes[0]: no", "ruling": 2, "at_us": 1});
    Ok(Json(json!({"target": target, "version": 3, "document": {"routes": []}, "status": status})))
}

fn command_view(id: &str, state: &str) -> Value {
    let result = if state == "done" { json!({"success": true}) } else { Value::Null };
    let message = if state == "refused" { "not in command_services" } else { "" };
    json!({"id": id, "target": "robot-1", "state": state, "message": message, "result": result, "issued_us": 1_700_000_000_000_000_i64,
        "action": {"kind": "call_service"}})
}

async fn give(State(plane): State<Plane>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    allowed(&headers)?;
    plane.asked.lock().unwrap().push(body.clone());
    Ok(Json(command_view(if body["action"]["kind"] == "publish" { "refused" } else { "done" }, "pending")))
}

async fn ended(headers: HeaderMap, Path((_, id)): Path<(String, String)>) -> Answer {
    allowed(&headers)?;
    Ok(Json(command_view(&id, &id)))
}

async fn commands(headers: HeaderMap) -> Answer {
    allowed(&headers)?;
    Ok(Json(json!({"items": [command_view("c1", "refused")], "next": null})))
}

async fn server(headers: HeaderMap) -> Answer {
    allowed(&headers)?;
    Ok(Json(json!({"version": "0.1.0", "server_epoch": 1})))
}

async fn diff(headers: HeaderMap, Path((model, version)): Path<(String, String)>, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    allowed(&headers)?;
    assert_eq!((model.as_str(), version.as_str(), json!(query)), ("label reader", "1", json!({"with": "@champion", "model": "other"})));
    let tensor = |size: i64| json!({"name": "X", "kind": "tensor", "elem_type": "float32", "shape": [null, size]});
    Ok(Json(json!({"compatible": false, "inputs": {"X": {"before": tensor(64), "after": tensor(65)}}, "outputs": {}, "labels": null,
        "metrics": {"accuracy": {"before": 0.5, "after": null}}, "files": {}, "manifest": {"before": "v: 1\n", "after": null}})))
}

async fn model_version(headers: HeaderMap, Path((model, version)): Path<(String, String)>) -> Answer {
    allowed(&headers)?;
    Ok(Json(
        json!({"model": model, "version": version, "digest": DIGEST, "deployable": true, "note": "", "stage": "Staging", "aliases": ["champion"],
        "size_bytes": 2048, "created_at_us": 1_700_000_000_000_000_i64, "created_by": "administrator", "run_id": "r1",
        "onnx": {"inputs": [{"name": "X", "elem_type": "float32", "shape": [null, 64]}], "outputs": [], "opset": 17, "producer": "torch"},
        "report": {"nodes": 3, "operators": {}, "parameters": 10, "macs": 1234, "unestimated": {"LSTM": 1}}}),
    ))
}

/// A control plane on a free port.
async fn start() -> (Plane, String) {
    let plane = Plane::default();
    let routes = Router::new()
        .route("/api/v1/targets", get(targets).post(enrol))
        .route("/api/v1/targets/{target}", axum::routing::delete(revoke))
        .route("/api/v1/targets/{target}/bootstrap", post(bootstrap))
        .route("/api/v1/targets/{target}/certificates", get(certificates))
        .route("/api/v1/brokers/certificates", post(certify_broker))
        .route("/api/v1/models/{model}/versions", post(push))
        .route("/api/v1/models/{model}/versions/{version}", get(model_version))
        .route("/api/v1/models/{model}/versions/{version}/diff", get(diff))
        .route("/api/v1/server", get(server))
        .route("/api/v1/deployments", post(deploy))
        .route("/api/v1/deployments/{id}", get(deployment))
        .route("/api/v1/events", get(events))
        .route("/api/v1/targets/{target}/lineage", get(lineage))
        .route("/api/v1/lineage/robots", get(ran_it))
        .route("/api/v1/lineage/provenance", get(provenance))
        .route("/api/v1/lineage/diff", get(lineage_diff))
        .route("/api/v1/lineage/timeline", get(timeline))
        .route("/api/v1/lineage/openlineage", get(openlineage))
        .route("/api/v1/targets/{target}/commands", post(give).get(commands))
        .route("/api/v1/targets/{target}/commands/{id}", get(ended))
        .route("/api/v1/targets/{target}/policy", put(set_policy).get(policy))
        .with_state(plane.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (plane, url)
}

fn edgeflow(url: &str, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.env("EDGEFLOW_URL", url).env("EDGEFLOW_TOKEN", "secret");
    command
}

async fn ran(url: &str, arguments: &[&str]) -> Ran {
    run(edgeflow(url, arguments)).await
}
