//! The control plane's commands, against a server that keeps to the API's documents.

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

#[tokio::test]
async fn the_fleet_is_a_table_or_json() {
    let (_, url) = start().await;
    let table = ran(&url, &["targets", "list"]).await.ok();
    let expected = "\
NAME     ONLINE  MODEL         VERSION  RUNNING DIGEST       STATUS  ACCURACY  DRIFT
robot-1  yes     label-reader  2        sha256:abababababab  active  97.5 %    flagged
robot-2  no      -             -        -                    -       -         -
";
    assert_eq!(table, expected);
    let raw: Value = serde_json::from_str(&ran(&url, &["targets", "list", "--json"]).await.ok()).unwrap();
    assert_eq!(raw["items"][0]["accuracy"]["samples"], 200);
}

#[tokio::test]
async fn a_robot_is_let_in_and_its_token_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (plane, url) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("robots/robot-3/token");
    let enrol = |name: &'static str| [String::from(name), file.to_str().unwrap().to_owned()];
    let [name, path] = enrol("robot-1");
    let error = ran(&url, &["targets", "enrol", &name, "--token-file", &path]).await.failed();
    assert!(error.contains("robot-1 exists already") && !file.exists(), "a refusal leaves no file: {error}");
    let [name, path] = enrol("robot-3");
    let out = ran(&url, &["targets", "enrol", &name, "--token-file", &path]).await.ok();
    assert!(out.contains("robot-3") && !out.contains("s3cret"), "{out}");
    assert_eq!(plane.asked.lock().unwrap()[0], json!({"name": "robot-3"}));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "s3cret");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = ran(&url, &["targets", "enrol", &name, "--token-file", &path]).await.failed();
    assert!(again.contains("could not write") && again.contains("token"), "{again}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "s3cret", "a token is not overwritten");
}

#[tokio::test]
async fn a_robot_is_given_a_token_to_enrol_with_and_is_revoked() {
    use std::os::unix::fs::PermissionsExt;
    let (plane, url) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bootstrap");
    let path = file.to_str().unwrap();
    // Known already, or not: either way it gets one.
    for (name, asked) in [("robot-1", 0), ("robot-3", 1)] {
        let out = ran(&url, &["targets", "bootstrap", name, "--token-file", path, "--minutes", "5"]).await.ok();
        assert!(out.contains("2023-11-14T22:13:20") && out.contains(&"ab".repeat(32)) && !out.contains("s3cret"), "{out}");
        assert_eq!(
            plane.asked.lock().unwrap().drain(..).collect::<Vec<_>>()[asked..],
            [json!({ "bootstrap": name, "body": {"lifetime_s": 300} })]
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{name}.s3cret.{}", "ab".repeat(32)));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&file).unwrap();
    }
    let token = ran(&url, &["targets", "bootstrap", "robot-1", "--token-file", "-"]).await.ok();
    assert!(token.starts_with("robot-1.s3cret."), "{token}");
    let table = ran(&url, &["targets", "certificates", "robot-1"]).await.ok();
    let expected = "\
CERTIFICATE       ISSUED                    EXPIRES                   REVOKED
abababababababab  2023-11-14T22:13:20.000Z  2023-12-14T22:13:20.000Z  -
cdcdcdcdcdcdcdcd  2023-11-14T22:13:20.000Z  2023-12-14T22:13:20.000Z  2023-11-14T22:13:21.000Z
";
    assert_eq!(table, expected);
    plane.asked.lock().unwrap().clear();
    let out = ran(&url, &["revoke", "robot-1"]).await.ok();
    assert!(out.contains("robot-1 is revoked"), "{out}");
    assert_eq!(plane.asked.lock().unwrap()[0], json!({ "revoke": "robot-1" }));

    // What cannot work is told before anything is sent.
    let enroll = |server: &'static str| ["enroll", "--token", path, "--server", server, "--out", "/nowhere/at/all"].map(str::to_owned);
    let enroll = async |server| ran(&url, &enroll(server).each_ref().map(String::as_str)).await.failed();
    assert!(enroll("https://127.0.0.1:1").await.contains("could not read"));
    std::fs::write(&file, "robot-1.s3cret").unwrap();
    assert!(enroll("https://127.0.0.1:1").await.contains("no CA fingerprint"));
    std::fs::write(&file, token).unwrap();
    assert!(enroll("http://127.0.0.1:1").await.contains("https://host:port"));
    let error = enroll("https://127.0.0.1:1").await;
    assert!(error.contains("no answer from https://127.0.0.1:1") && !error.contains("s3cret"), "{error}");
    let mut missing = edgeflow("https://127.0.0.1:1", &["targets", "list"]);
    missing.env_remove("EDGEFLOW_CA");
    assert!(run(missing).await.failed().contains("EDGEFLOW_CA is not set"));
}

#[tokio::test]
async fn a_broker_gets_a_certificate_and_its_key_stays_where_it_was_made() {
    use std::os::unix::fs::PermissionsExt;
    let (plane, url) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("edgeflow");
    let certificate = ["broker", "certificate", "--names", "broker.example,10.0.0.5", "--out", out.to_str().unwrap()];
    let said = ran(&url, &certificate).await.ok();
    assert!(said.contains("broker.example, 10.0.0.5") && said.contains("2023-11-14T22:13:20"), "{said}");
    let asked = plane.asked.lock().unwrap().remove(0);
    assert_eq!(asked["names"], json!(["broker.example", "10.0.0.5"]));
    assert!(asked["csr"].as_str().unwrap().contains("BEGIN CERTIFICATE REQUEST"));
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert_eq!([read("broker.pem"), read("ca.pem"), read("revoked.pem")], ["cert", "ca", "list"]);
    let key = read("broker.key");
    assert!(key.contains("PRIVATE KEY") && !asked.to_string().contains("PRIVATE KEY"));
    assert_eq!(std::fs::metadata(out.join("broker.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = ran(&url, &certificate).await.failed();
    assert!(again.contains("--force") && read("broker.key") == key, "{again}");
    ran(&url, &[&certificate[..], &["--force"]].concat()).await.ok();
    assert_ne!(read("broker.key"), key);
}

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
async fn a_login_is_remembered_for_its_owner_and_its_address_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_, url) = start().await;
    let (_, elsewhere) = start().await;
    let home = tempfile::tempdir().unwrap();
    let at_home = |arguments: &[&str]| {
        let mut command = program(arguments);
        command.env("XDG_CONFIG_HOME", home.path());
        command
    };
    let mut wrong = at_home(&["login", &url]);
    wrong.env("EDGEFLOW_TOKEN", "wrong");
    assert!(run(wrong).await.failed().contains("unknown token"));
    assert!(run(at_home(&["targets", "list"])).await.failed().contains("edgeflow login"), "nothing was stored");
    let mut right = at_home(&["login", &url]);
    right.env("EDGEFLOW_TOKEN", "secret");
    assert!(run(right).await.ok().contains("edgeflow-server 0.1.0"));
    let file = home.path().join("edgeflow/login.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let list = run(at_home(&["targets", "list", "--output", "json"])).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap()["items"][0]["name"], "robot-1");
    let other = run(at_home(&["--url", &elsewhere, "targets", "list"])).await.failed();
    assert!(other.contains("EDGEFLOW_TOKEN is not set"), "the token of one address is never sent to another: {other}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(run(at_home(&["targets", "list"])).await.failed().contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(run(at_home(&["logout"])).await.ok().contains("is removed"));
    assert!(run(at_home(&["targets", "list"])).await.failed().contains("EDGEFLOW_TOKEN is not set"));
}

#[tokio::test]
async fn tables_are_objects_for_programs_and_shells_are_told_what_there_is() {
    let (_, url) = start().await;
    let list = ran(&url, &["targets", "certificates", "robot-1", "--output", "json"]).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap()[0]["serial"], "01");
    let script = run(program(&["completions", "bash"])).await.ok();
    assert!(script.contains("_edgeflow") && script.contains("completions") && script.contains("baseline"), "{}", script.len());
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

#[tokio::test]
async fn events_read_downwards() {
    let (_, url) = start().await;
    let table = ran(&url, &["events", "--target", "robot-1", "--limit", "2"]).await.ok();
    assert_eq!(
        table,
        "TIME                      ROBOT    SEVERITY  EVENT\n2023-11-14T22:13:20.000Z  robot-1  info      earlier\n2023-11-14T22:13:21.000Z  robot-1  error     later\n"
    );
}

#[tokio::test]
async fn what_ran_is_told_of_a_robot_of_a_moment_and_of_a_bundle() {
    let (_, url) = start().await;
    let digest = &DIGEST[..19];
    let table = ran(&url, &["lineage", "robot-1"]).await.ok();
    assert_eq!(
        table.lines().map(str::to_owned).collect::<Vec<_>>(),
        [
            "SLOT     MODEL     DIGEST               FROM                      UNTIL                                RUN            DATASETS"
                .to_owned(),
            format!("default  reader 2  {digest}  2023-11-14T22:13:21.000Z  now (said 2023-11-14T22:13:21.000Z)  wide 01234567  digits 1111, digits 5c8a"),
            format!("default  reader 1  {digest}  2023-11-14T22:13:20.000Z  2023-11-14T22:13:21.000Z             wide 01234567  digits 1111, digits 5c8a"),
        ]
    );
    let nothing = ran(&url, &["lineage", "robot-1", "--at", "2023-11-14T22:13:19.5Z"]).await.ok();
    assert_eq!(nothing, "the robot has not said that anything ran in this time\n");
    let robots = ran(&url, &["lineage", "--digest", DIGEST]).await.ok();
    assert!(robots.contains(&format!("robot-1  {digest}  yes      2023-11-14T22:13:20.000Z")), "{robots}");
    let robots = ran(&url, &["lineage", "--dataset", "5c8a"]).await.ok();
    assert!(robots.contains("robot-1  reader 3  yes"), "{robots}");
    let bad = ran(&url, &["lineage", "robot-1", "--at", "noon"]).await;
    assert!(bad.code != Some(0) && bad.err.contains("2026-03-03"), "{}", bad.err);
}

#[tokio::test]
async fn what_changed_is_told_between_two_robots_and_two_times_with_who_did_it() {
    let (_, url) = start().await;
    let table = ran(&url, &["lineage", "diff", "robot-1", "robot-2"]).await.ok();
    let lines: Vec<String> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "WHAT NAME BEFORE AFTER",
        "robot robot-2 robot-2",
        "deployed by bob 2023-11-14T22:13:20.000Z, deployment 7 bob 2023-11-14T22:13:20.000Z, deployment 7",
        "parameter rate 0.1 0.2",
        "stage Production None",
        "done by 2023-11-14T22:13:20.000Z alias @champion by carol alias @champion by carol",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in\n{table}");
    }
    let table = ran(&url, &["lineage", "diff", "robot-1", "--at", "2023-11-14", "--to", "2023-11-15", "--slot", "arm"]).await.ok();
    assert!(table.contains("nothing was attested") && table.contains("digits 77aa") && table.contains(", deleted since"), "{table}");
    let asked = json!({"before": "robot-1", "slot": "arm", "before_at_us": "1699920000000000", "after_at_us": "1700006400000000"});
    assert!(table.ends_with(&format!("asked {asked}\n")), "{table}");
    let of_two = ran(&url, &["lineage", "diff", "robot-1", "robot-2", "--at", "2023-11-14"]).await.ok();
    assert!(of_two.contains("\"after_at_us\":\"1699920000000000\""), "two robots at one time: {of_two}");
    let answer = ran(&url, &["lineage", "diff", "robot-1", "robot-2", "--output", "json"]).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["model"]["params"]["rate"]["after"], "0.2");
    let alone = ran(&url, &["lineage", "diff", "robot-1"]).await;
    assert!(alone.code == Some(2) && alone.err.contains("OTHER"), "{}", alone.err);
}

#[tokio::test]
async fn a_timeline_is_read_page_by_page() {
    let (plane, url) = start().await;
    let table = ran(&url, &["lineage", "timeline", "robot-1", "--from", "2023-11-14", "--category", "drift,attested"]).await.ok();
    assert_eq!(
        table.lines().collect::<Vec<_>>(),
        [
            "WHEN                      BY      ABOUT     WHO               WHAT",
            "2023-11-14T22:13:21.000Z  robot   attested  robot:robot-1     later",
            "2023-11-14T22:13:20.000Z  server  attested  robot:robot-1  !  earlier",
        ]
    );
    let asked = plane.asked.lock().unwrap().clone();
    let first = json!({"target": "robot-1", "from_us": "1699920000000000", "category": "drift,attested", "limit": "100"});
    assert_eq!((&asked[0], &asked[1]["after"], &asked[1]["limit"]), (&first, &json!("5.entry.1"), &json!("99")));
    let one = ran(&url, &["lineage", "timeline", "robot-1", "--limit", "1"]).await.ok();
    assert!(one.ends_with("there are more: give a greater --limit, or --to\n"), "{one}");
    let answer = ran(&url, &["lineage", "timeline", "robot-1", "--output", "json", "--limit", "1"]).await.ok();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((answer["items"].as_array().unwrap().len(), &answer["next"]), (1, &json!("5.entry.1")));
}

#[tokio::test]
async fn lineage_is_exported_a_line_an_event_and_says_where_to_go_on() {
    let (_, url) = start().await;
    let arguments = ["lineage", "export", "--format", "openlineage", "--after", "1.0.0", "--namespace", "plant 2"];
    let told = ran(&url, &arguments).await;
    let lines = "{\"eventType\":\"START\"}\n{\"eventType\":\"COMPLETE\"}\n";
    assert_eq!((told.code, told.out.as_str()), (Some(0), lines), "{}", told.err);
    assert!(told.err.ends_with("to go on from here: --after 3.0.7\n"), "{}", told.err);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lineage.ndjson");
    let told = ran(&url, &[&arguments[..], &["--out", file.to_str().unwrap()]].concat()).await;
    assert_eq!((told.code, told.out.as_str(), std::fs::read_to_string(&file).unwrap().as_str()), (Some(0), "", lines));
    let nowhere = folder.path().join("no/such");
    let refused = ran(&url, &[&arguments[..], &["--out", nowhere.to_str().unwrap()]].concat()).await;
    assert!(refused.code == Some(1) && refused.err.contains("no/such"), "{}", refused.err);
}

#[tokio::test]
async fn a_command_is_given_and_its_end_is_the_exit_status() {
    let (plane, url) = start().await;
    let out = ran(&url, &["command", "call", "robot-1", "reset", "std_srvs/srv/SetBool", "data: true", "--expires", "30"]).await.ok();
    assert_eq!(out, "command done\n{\n  \"success\": true\n}\ndone\n");
    let action =
        json!({"kind": "call_service", "service": "reset", "type": "std_srvs/srv/SetBool", "request": {"data": true}, "timeout_s": 10.0});
    assert_eq!(plane.asked.lock().unwrap()[0], json!({"action": action, "expires_s": 30.0}));
    let ran_refused = ran(&url, &["command", "publish", "robot-1", "said", "std_msgs/msg/String", "{data: x}"]).await;
    assert_eq!(ran_refused.code, Some(1));
    assert!(ran_refused.err.contains("is refused: not in command_services"), "{}", ran_refused.err);
    assert_eq!(ran(&url, &["command", "pause", "robot-1", "--for", "60", "--no-wait"]).await.ok(), "command done\n");
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies/health.yaml");
    ran(&url, &["command", "escalate", "robot-1", example.to_str().unwrap(), "--for", "60", "--no-wait"]).await.ok();
    let action = plane.asked.lock().unwrap().last().unwrap()["action"].clone();
    assert_eq!(
        (&action["kind"], &action["routes"][0]["name"], action["routes"][0].get("class")),
        (&json!("escalate"), &json!("worst-level"), None)
    );
    ran(&url, &["command", "capture", "robot-1", "--reason", "odd noise", "--after", "2.5", "--no-wait"]).await.ok();
    let action = plane.asked.lock().unwrap().last().unwrap()["action"].clone();
    assert_eq!(action, json!({"kind": "capture", "reason": "odd noise", "after_s": 2.5}));
    let table = ran(&url, &["command", "list", "robot-1"]).await.ok();
    assert!(table.contains("c1  call_service  refused  not in command_services"), "{table}");
}

#[tokio::test]
async fn policies_are_checked_here_and_declared_there() {
    let (plane, url) = start().await;
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies");
    let guide = std::fs::read_to_string(examples.join("../bridge.md")).unwrap();
    let mut checked = 0;
    for file in std::fs::read_dir(&examples).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let shown: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert!(guide.contains(&shown), "docs/bridge.md shows another {}", file.display());
        let out = ran(&url, &["policy", "check", file.to_str().unwrap()]).await.ok();
        assert!(out.contains("is a policy of"), "{out}");
        checked += 1;
    }
    assert_eq!(checked, 4);
    let file = examples.join("position.yaml");
    let out = ran(&url, &["policy", "set", file.to_str().unwrap(), "--to", "robot-1,robot-2"]).await.ok();
    assert_eq!(out, "robot-1 policy version 3\nrobot-2 policy version 3\n");
    let asked = plane.asked.lock().unwrap().clone();
    assert_eq!((&asked[1]["target"], &asked[1]["document"]["routes"][0]["name"]), (&json!("robot-2"), &json!("position")));
    let out = ran(&url, &["policy", "show", "robot-1"]).await.ok();
    assert!(out.contains("version 3 refused: routes[0]: no; version 2 rules"), "{out}");

    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (from, to, reason) in [
        ("period_s: 60", "period_s: 0", "routes[0].window.period_s"),
        ("position.x", "positon.x", "routes[0].fields[0]: nav_msgs/msg/Odometry.pose.pose: there is no field \"positon\""),
        ("routes:", "routes: [", "is not YAML"),
    ] {
        std::fs::write(&wrong, text.replacen(from, to, 1)).unwrap();
        let error = ran(&url, &["policy", "check", wrong.to_str().unwrap()]).await.failed();
        assert!(error.contains(reason) && error.contains("wrong.yaml"), "{error}");
    }
    let text = std::fs::read_to_string(examples.join("watchful.yaml")).unwrap();
    for (from, to, reason) in [
        ("battery.percentage", "battery.percent", "triggers[0].when: sensor_msgs/msg/BatteryState: there is no field \"percent\""),
        ("< 0.2 &&", "< 0.2 and", "triggers[0].when: column"),
        ("name: weak-and-moving }", "name: other }", "escalations[0].when.name: there is no trigger \"other\""),
    ] {
        std::fs::write(&wrong, text.replacen(from, to, 1)).unwrap();
        let error = ran(&url, &["policy", "check", wrong.to_str().unwrap()]).await.failed();
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn refusals_are_passed_on_in_the_control_planes_words() {
    let (_, url) = start().await;
    let error = ran(&url, &["deploy", "gone", "1", "--to", "robot-1"]).await.failed();
    assert!(error.contains("there is no model \"gone\"") && error.contains("404"), "{error}");
    let mut wrong = edgeflow(&url, &["targets", "list"]);
    wrong.env("EDGEFLOW_TOKEN", "guess");
    let error = run(wrong).await.failed();
    assert!(error.contains("unknown token") && error.contains("401") && !error.contains("guess"), "{error}");
    let mut missing = edgeflow(&url, &["targets", "list"]);
    missing.env_remove("EDGEFLOW_TOKEN");
    assert!(run(missing).await.failed().contains("EDGEFLOW_TOKEN is not set"));
    // Not an API that answers like ours.
    let error = ran(&url, &["model", "list"]).await.failed();
    assert!(error.contains("404"), "{error}");
    let error = ran("http://127.0.0.1:1", &["targets", "list"]).await.failed();
    assert!(error.contains("http://127.0.0.1:1") && error.contains("EDGEFLOW_URL"), "{error}");
}
