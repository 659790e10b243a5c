//! What is refused: with the right status, a message that names the thing, and nothing left behind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Server, TOKEN, answer, bundle, bundle_file, options};
use edgeflow_server::app::AppOptions;
use reqwest::{
    Method, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn part(form: Form, name: &'static str, bytes: Vec<u8>) -> Form {
    form.part(name, Part::bytes(bytes).file_name(name))
}

#[tokio::test]
async fn requests_that_make_no_sense_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.enrol("robot-1").await;
    server.register("label-reader", bundle("v1")).await;
    let deployment = |model: &str, version: &str, targets: Value| json!({ "model": model, "version": version, "targets": targets });
    let unknown = format!("/artifacts/{}", "0".repeat(64));
    let table: Vec<(Method, &str, Value, u16, &str)> = vec![
        (Method::POST, "/targets", json!({ "name": "Robot 1" }), 400, "\"Robot 1\""),
        (Method::POST, "/targets", json!({ "name": "../x" }), 400, "lower-case"),
        (Method::POST, "/targets", json!({ "name": "r9", "lables": {} }), 422, "lables"),
        (Method::POST, "/targets", json!({ "name": "robot-1" }), 409, "\"robot-1\" is there already"),
        (Method::POST, "/targets", json!({ "name": 7 }), 422, "string"),
        (Method::POST, "/models", json!({ "name": "a/b" }), 400, "model name \"a/b\""),
        (Method::POST, "/models", json!({ "name": "label-reader" }), 409, "label-reader"),
        (Method::GET, "/targets/ghost", Value::Null, 404, "no robot \"ghost\""),
        (Method::DELETE, "/targets/ghost", Value::Null, 404, "no robot \"ghost\""),
        (Method::GET, "/targets/ghost/lineage", Value::Null, 404, "no robot \"ghost\""),
        (Method::GET, "/targets/robot-1/lineage?at_us=1&to_us=2", Value::Null, 400, "at_us, or from_us"),
        (Method::GET, "/targets/robot-1/lineage?from_us=2&to_us=2", Value::Null, 400, "not before"),
        (Method::GET, "/lineage/robots?digest=sha256:12", Value::Null, 400, "is no digest"),
        (Method::GET, "/targets/ghost/log", Value::Null, 404, "no robot \"ghost\""),
        (Method::GET, "/events?target=ghost", Value::Null, 404, "no robot \"ghost\""),
        (Method::GET, "/models/ghost", Value::Null, 404, "no model \"ghost\""),
        (Method::GET, "/models/label-reader/versions/9", Value::Null, 404, "label-reader/9"),
        (Method::GET, "/models/label-reader/versions/-1", Value::Null, 404, "label-reader/-1"),
        (Method::GET, "/deployments/9", Value::Null, 404, "no deployment \"9\""),
        (Method::GET, "/deployments/x", Value::Null, 404, "no deployment \"x\""),
        (Method::GET, "/artifacts/abc", Value::Null, 400, "\"abc\""),
        (Method::GET, &unknown, Value::Null, 404, "no artifact"),
        (Method::GET, "/artifacts/..%2F..%2Flock", Value::Null, 400, "digest"),
        (Method::POST, "/deployments", deployment("ghost", "1", json!(["robot-1"])), 404, "no model \"ghost\""),
        (Method::POST, "/deployments", deployment("label-reader", "9", json!(["robot-1"])), 404, "label-reader/9"),
        (Method::POST, "/deployments", deployment("label-reader", "1", json!(["robot-1", "ghost"])), 404, "no robot \"ghost\""),
        (Method::POST, "/deployments", deployment("label-reader", "1", json!([])), 400, "at least one robot"),
        (Method::POST, "/deployments", deployment("label-reader", "1", json!(["Robot"])), 400, "\"Robot\""),
        (Method::GET, "/targets?limit=0", Value::Null, 400, "1 to 1000"),
        (Method::GET, "/targets?limt=5", Value::Null, 400, "limt"),
        (Method::GET, "/events?after=x", Value::Null, 400, "\"x\""),
        (Method::GET, "/targets/robot-1/entries?class=urgent", Value::Null, 400, "\"urgent\""),
        (Method::GET, "/targets/robot-1/entries?order=up", Value::Null, 400, "up"),
        (Method::GET, "/targets/robot-1/telemetry", Value::Null, 400, "channel"),
        (Method::GET, "/nothing", Value::Null, 404, "/api/v1/nothing"),
        (Method::PUT, "/targets", Value::Null, 405, "PUT"),
    ];
    for (method, path, body, status, names) in table {
        let mut request = server.request(method.clone(), path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let (got, answer) = answer(request).await;
        let message = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{method} {path}: {got} {answer}"));
        assert_eq!((got.as_u16(), message.contains(names)), (status, true), "{method} {path}: {message}");
    }
    let text = server.request(Method::POST, "/targets").header("content-type", "application/json").body("{\"name\": ");
    let (status, body) = answer(text).await;
    assert_eq!((status, body["error"]["code"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid")), "{body}");
    let huge = json!({ "name": "m", "description": "x".repeat(2 << 20) });
    assert_eq!(server.post("/models", huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(server.get("/deployments").await["items"].as_array().unwrap().is_empty());
    assert_eq!(server.get("/targets/robot-1").await["desired"]["generation"], 0);
    server.stop().await;
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    let wrong = format!("robot-1.{}", "0".repeat(64));
    let other_name = robot.token.replace("robot-1", "robot-2");
    for path in ["/server", "/targets", "/targets/robot-1", "/models", "/artifacts/00", "/stream", "/openapi.json", "/audit"] {
        let request = || server.anonymous(Method::GET, &format!("/api/v1{path}"));
        let attempts = [
            request(),
            request().bearer_auth(""),
            request().bearer_auth("nonsense"),
            request().bearer_auth(&wrong),
            request().bearer_auth(&other_name),
            request().bearer_auth(format!("{TOKEN}x")),
            request().header("authorization", TOKEN),
        ];
        for attempt in attempts {
            let (status, body) = answer(attempt).await;
            assert_eq!((status, &body["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")), "{path}: {body}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bundle_that_does_not_read_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let model = bundle_file("v1", "model.onnx");
    let manifest = String::from_utf8(bundle_file("v1", "edgeflow.yaml")).unwrap();
    let with_manifest = |text: String| part(part(Form::new(), "model.onnx", model.clone()), "edgeflow.yaml", text.into_bytes());
    let mut flipped = model.clone();
    for byte in &mut flipped[..64] {
        *byte ^= 0xff;
    }
    let table: Vec<(&str, Form, &str)> = vec![
        ("truncated", part(Form::new(), "model.onnx", model[..model.len() / 2].to_vec()), "model.onnx is not a readable ONNX model"),
        ("corrupt", part(Form::new(), "model.onnx", flipped), "model.onnx is not a readable ONNX model"),
        ("text", part(Form::new(), "model.onnx", b"hello".to_vec()), "model.onnx is not a readable ONNX model"),
        ("empty", part(Form::new(), "model.onnx", vec![]), "model.onnx is not a readable ONNX model"),
        ("no model", part(Form::new(), "edgeflow.yaml", b"v: 1\n".to_vec()), "no model.onnx"),
        ("nothing", Form::new().text("description", "x"), "no model.onnx"),
        ("wrong image size", with_manifest(manifest.replace("width: 8", "width: 9")), "does not fit model.onnx"),
        ("unknown key", with_manifest(format!("{manifest}\nthreshold: 3\n")), "threshold"),
        ("broken yaml", with_manifest("v: [1".to_owned()), "edgeflow.yaml:"),
        ("foreign part", part(Form::new(), "weights.bin", vec![1]), "\"weights.bin\""),
        ("path", part(Form::new(), "../model.onnx", vec![1]), "no meaning in a bundle"),
        ("twice", part(part(Form::new(), "model.onnx", model.clone()), "model.onnx", model.clone()), "twice"),
    ];
    for (name, form, says) in table {
        let (status, body) = server.register("label-reader", form).await;
        let message = body["error"]["message"].as_str().unwrap_or_else(|| panic!("{name}: {body}"));
        assert_eq!((status, message.contains(says)), (StatusCode::BAD_REQUEST, true), "{name}: {message}");
    }
    let (status, body) = answer(server.request(Method::POST, "/models/m/versions").body("x")).await;
    assert_eq!((status, body["error"]["code"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid")), "{body}");
    let cut = "--b\r\nContent-Disposition: form-data; name=\"model.onnx\"; filename=\"model.onnx\"\r\n\r\nabc";
    let request = server.request(Method::POST, "/models/m/versions").header("content-type", "multipart/form-data; boundary=b").body(cut);
    let (status, body) = answer(request).await;
    assert_eq!(
        (status, body["error"]["message"].as_str().map(|text| text.contains("broke off"))),
        (StatusCode::BAD_REQUEST, Some(true)),
        "{body}"
    );

    assert!(server.get("/models").await["items"].as_array().unwrap().is_empty(), "no partial rows");
    assert_eq!(std::fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0, "no leftovers");
    assert_eq!(std::fs::read_dir(folder.path().join("artifacts")).unwrap().count(), 0, "no bytes nobody refers to");
    server.stop().await;
}

#[tokio::test]
async fn a_bundle_over_the_limit_is_refused_while_it_streams() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(AppOptions { max_model_bytes: 1000, ..options(&folder) }).await;
    let (status, body) = server.register("label-reader", bundle("v1")).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("1000 bytes"), "{body}");
    assert_eq!(std::fs::read_dir(folder.path().join("uploads")).unwrap().count(), 0);
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_refused_can_ask_again_on_the_same_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut answer = [0; 4096];
    for (request, status) in [
        ("POST /api/2.0/mlflow/experiments/search", "401"),
        ("POST /api/v1/models", "401"),
        ("POST /api/v1/enroll", "415"),
        ("POST /api/v1/targets/robot-1/telemetry", "401"),
        ("PUT /api/v1/targets/robot-1/policy", "401"),
        ("POST /api/v1/nothing", "404"),
        ("PATCH /api/v1/models", "405"),
        ("POST /", "405"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.base.trim_start_matches("http://")).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\ncontent-length: 2\r\n\r\n");
        // Clients send the body by itself, after the head.
        for _ in 0..2 {
            stream.write_all(head.as_bytes()).await.unwrap();
            // An early answer would close the connection behind it; on a slow machine this looks away too soon, and never the other way.
            let early = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut answer)).await;
            assert!(early.is_err(), "{request} was answered before its body came");
            stream.write_all(b"{}").await.unwrap();
            let read = stream.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..read]);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
            assert!(!answer.contains("connection: close"), "{request}: {answer}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_refused_body_that_is_large_or_announced_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut answer = [0; 4096];
    for more in ["content-length: 2000000", "content-length: 2\r\nexpect: 100-continue"] {
        let mut stream = tokio::net::TcpStream::connect(server.base.trim_start_matches("http://")).await.unwrap();
        let head = format!("POST /api/v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n{more}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // No body comes at all.
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 401"), "{more}: {}", String::from_utf8_lossy(&answer[..read]));
    }
    server.stop().await;
}
