//! The HTTP routes, as a client sees them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use edgeflow_inference::Error;
use edgeflow_inference::engine::{Limits, LoadRequest, Requests};
use edgeflow_inference::http::{Served, bind, router};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::load;
use super::support::*;

struct Scene {
    router: Router,
    active: Arc<AtomicBool>,
    limits: Arc<Limits>,
    _dir: tempfile::TempDir,
}

/// `default`: the pixel model, version 4. `adder`: sum = a + b and the strings of `names` again.
fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let adder = model(
        &[node("Add", &["a", "b"], &["sum"]), node("Identity", &["names"], &["same"])],
        &[],
        &[value("a", INT64, &[0]), value("b", INT64, &[0]), value("names", STRING, &[0])],
        &[value("sum", INT64, &[0]), value("same", STRING, &[0])],
    );
    let active = Arc::new(AtomicBool::new(true));
    let limits = Arc::new(Limits::default());
    let slots = [("default", pixel_bundle(dir.path(), 1)), ("adder", bundle(&dir.path().join("adder"), &adder, None))];
    let served = slots.map(|(name, path)| {
        let engine = Arc::new(engine());
        let request = LoadRequest { version: "4".into(), name: format!("{name}-model"), ..request(&path) };
        load(&engine, &request).unwrap();
        let gate = Arc::clone(&active);
        Served {
            name: name.into(),
            requests: Arc::new(Requests::new(Arc::clone(&engine), Arc::clone(&limits))),
            engine,
            available: Arc::new(move || if gate.load(Ordering::Relaxed) { Ok(()) } else { Err(Error::NotActive { node: "/n".into() }) }),
            frames: Arc::new(|| vec![("result", 7)]),
        }
    });
    Scene { router: router(served.into()), active, limits, _dir: dir }
}

impl Scene {
    async fn send(&self, request: Request<Body>) -> (StatusCode, Option<usize>, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let json = response.headers().get("inference-header-content-length").map(|l| l.to_str().unwrap().parse().unwrap());
        (response.status(), json, to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, _, body) = self.send(Request::get(path).body(Body::empty()).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap();
        let (status, _, body) = self.send(request).await;
        (status, serde_json::from_slice(&body).unwrap())
    }
}

#[tokio::test]
async fn plain_json_and_bytes_are_answered_with_class_and_outputs() {
    let scene = scene();
    let want = json!({"slot": "default", "model": "default-model", "version": "4", "label": "b", "class_id": 1, "score": 2.5,
        "outputs": {"probabilities": [[0.0, 2.5, 0.0, 0.25]]}});
    for inputs in [json!([[0, 0.5, 0, 0.25]]), json!({"X": [[0, 0.5, 0, 0.25]]})] {
        let (status, mut answer) = scene.post("/infer", json!({"inputs": inputs})).await;
        assert!(answer.as_object_mut().unwrap().remove("digest").unwrap().as_str().unwrap().starts_with("sha256:"));
        assert_eq!((status, &answer), (StatusCode::OK, &want));
    }
    let bytes: Vec<u8> = [0.0f32, 0.5, 0.0, 0.25].iter().flat_map(|x| x.to_le_bytes()).collect();
    for path in ["/infer", "/infer?shape=1,4", "/infer?slot=default"] {
        let request = Request::post(path).header("content-type", "application/octet-stream").body(Body::from(bytes.clone())).unwrap();
        let (status, _, body) = scene.send(request).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &answer["outputs"]), (StatusCode::OK, &want["outputs"]), "{path}");
    }
    let (_, answer) = scene.post("/infer?slot=adder", json!({"inputs": {"a": [1, 2], "b": [3, 4], "names": ["x"]}})).await;
    assert_eq!(answer["outputs"], json!({"sum": [4, 6], "same": ["x"]}));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_right_status() {
    let scene = scene();
    let good = json!({"inputs": [[0, 0, 0, 0]]});
    for (path, body, status, want) in [
        ("/infer", json!({"inputs": [[0, 0]]}), 400, "expected float32 of shape [-1, 4] (-1 is free), got float32 of shape [1, 2]"),
        ("/infer", json!({"inputs": [[0, 0], [0]]}), 400, "different lengths"),
        ("/infer", json!({"inputs": {"Y": [[0]]}}), 400, "tensor `Y` refused: the graph has no such input; it takes X"),
        ("/infer", json!({"inputs": {"X": [["a"]]}}), 400, "tensor `X` refused: \"a\" is no float32"),
        ("/infer", json!({"inputs": [[{}]]}), 400, "tensor `X` refused: invalid type: map, expected float32 elements in lists"),
        ("/infer", json!({"inputs": 1}), 400, "expected float32 of shape [-1, 4] (-1 is free), got float32 of shape []"),
        ("/infer", json!({}), 400, "the body is not understood: missing field `inputs`"),
        ("/infer", json!([1]), 400, "the body is not understood: invalid type: sequence, expected an object with `inputs`"),
        ("/infer?slot=adder", json!({"inputs": [1]}), 400, "the body is not understood: `inputs` must be an object of input names"),
        ("/infer", json!({"input": [[0]]}), 400, "unknown field `input`"),
        ("/infer?slot=faces", good.clone(), 404, "unknown slot `faces`; this node has default, adder"),
        ("/infer?slt=adder", good.clone(), 400, "slt"),
        ("/infer?slot=adder", json!({"inputs": {"a": [1], "b": [1]}}), 400, "tensor `names` refused: it is missing"),
        ("/infer?slot=adder", json!({"inputs": {"a": [1], "b": [1, 2, 3], "names": []}}), 200, ""),
        ("/infer?slot=adder", json!({"inputs": {"a": [1, 2], "b": [1, 2, 3], "names": []}}), 500, "inference failed"),
        ("/v2/models/faces/infer", good.clone(), 404, "no model `faces`: name what runs here, or a slot (default, adder)"),
        ("/v2/models/default/versions/3/infer", good.clone(), 404, "no version `3` of `default`: version `4` runs"),
        ("/v2/models/default/infer", good.clone(), 400, "the request is not understood"),
        ("/nowhere", good.clone(), 404, "no such route"),
    ] {
        let (got, answer) = scene.post(path, body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got.as_u16() == status && error.contains(want), "{path}: {got} {answer}");
    }
    for (body, want) in [
        (r#"{"inputs": [[0, 0, 0, 0]]"#, "the body is not understood: EOF"),
        (r#"{"inputs": [[0, 0, 0, 0]]} {}"#, "the body is not understood: trailing characters"),
        (r#"{"inputs": [[0, 0, 0,]]}"#, "the body is not understood: trailing comma"),
        (r#"{"inputs": [[0, 0, 0, 0]], "inputs": [[1]]}"#, "the body is not understood: duplicate field `inputs`"),
        (r#"{"inputs": {"X": [[0, 0, 0, 0]], "X": [[0, 0, 0, 0]]}}"#, "tensor `X` refused: it is given twice"),
        ("", "the body is not understood: EOF"),
    ] {
        let (status, _, answer) = scene.send(Request::post("/infer").body(Body::from(body)).unwrap()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(status == StatusCode::BAD_REQUEST && answer.contains(want), "{body}: {answer}");
    }
    // A body in pieces is one body.
    let pieces = [r#"{"inp"#, r#"uts": [[0, 0.5,"#, " 0, 0.25]]}"].map(Ok::<_, std::convert::Infallible>);
    let body = Body::from_stream(futures::stream::iter(pieces));
    let (status, _, answer) = scene.send(Request::post("/infer").body(body).unwrap()).await;
    assert!(status == StatusCode::OK && String::from_utf8(answer).unwrap().contains("[[0.0,2.5,0.0,0.25]]"));
    scene.limits.max_concurrent.store(0, Ordering::Relaxed);
    let (status, answer) = scene.post("/infer", good.clone()).await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && answer["error"].as_str().unwrap().starts_with("busy"), "{answer}");
    scene.active.store(false, Ordering::Relaxed);
    let (status, answer) = scene.post("/infer", good).await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && answer["error"].as_str().unwrap().contains("not active"), "{answer}");
    assert!(matches!(bind("nowhere"), Err(Error::HttpAddress { .. })));
    let (_taken, address) = bind("127.0.0.1:0").unwrap();
    let error = bind(&address.to_string()).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("free port"), "{error}");
}

#[tokio::test]
async fn the_protocol_describes_models_and_says_when_they_are_ready() {
    let scene = scene();
    assert_eq!(scene.get("/v2").await.1["extensions"], json!(["binary_tensor_data"]));
    let described = json!({"name": "default-model", "versions": ["4"], "platform": "onnxruntime_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 4]}]});
    assert_eq!(scene.get("/v2/models/default-model").await, (StatusCode::OK, described.clone()));
    assert_eq!(scene.get("/v2/models/default-model/versions/4").await, (StatusCode::OK, described));
    for (path, active, inactive) in [
        ("/v2/health/live", 200, 200),
        ("/v2/health/ready", 200, 503),
        ("/v2/models/adder/ready", 200, 503),
        ("/v2/models/adder/versions/4/ready", 200, 503),
        ("/v2/models/adder/versions/5/ready", 404, 404),
        ("/v2/models/faces/ready", 404, 404),
    ] {
        scene.active.store(true, Ordering::Relaxed);
        assert_eq!(scene.get(path).await.0.as_u16(), active, "{path}");
        scene.active.store(false, Ordering::Relaxed);
        assert_eq!(scene.get(path).await.0.as_u16(), inactive, "{path}");
    }
}

#[tokio::test]
async fn tensors_of_the_protocol_go_as_json_and_as_bytes() {
    let scene = scene();
    let tensor = |name: &str, datatype: &str, data: Value| json!({"name": name, "shape": [2], "datatype": datatype, "data": data});
    let inputs = [tensor("a", "INT64", json!([1, 2])), tensor("b", "INT64", json!([3, 4])), tensor("names", "BYTES", json!(["x", "zü"]))];
    let (status, answer) = scene.post("/v2/models/adder/infer", json!({"id": "one", "inputs": inputs})).await;
    let outputs = [tensor("sum", "INT64", json!([4, 6])), tensor("same", "BYTES", json!(["x", "zü"]))];
    assert_eq!((status, &answer), (StatusCode::OK, &json!({"model_name": "adder", "model_version": "4", "id": "one", "outputs": outputs})));

    // `a` and `names` as bytes, `b` as JSON; `same` comes back as bytes.
    let mut bytes: Vec<u8> = [1i64, 2].iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes.extend([1, 0, 0, 0, b'x', 3, 0, 0, 0, b'z', 0xc3, 0xbc]);
    let binary = |name: &str, datatype: &str, size: usize| json!({"name": name, "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": size}});
    let head = json!({
        "inputs": [binary("a", "INT64", 16), inputs[1], binary("names", "BYTES", 12)],
        "outputs": [{"name": "same", "parameters": {"binary_data": true}}, {"name": "sum"}],
    })
    .to_string();
    let send = async |head: &str, bytes: &[u8]| {
        let body = [head.as_bytes(), bytes].concat();
        let request = Request::post("/v2/models/adder/infer").header("inference-header-content-length", head.len());
        scene.send(request.body(Body::from(body)).unwrap()).await
    };
    let (status, json, body) = send(&head, &bytes).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let (json, rest) = body.split_at(json.unwrap());
    let answer: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(answer["outputs"], json!([binary("same", "BYTES", 12), outputs[0]]));
    assert_eq!(rest, &bytes[16..]);

    for (head, bytes, want) in [
        (head.clone(), &bytes[..20], "binary_data_size is 12, but only 4 bytes are left"),
        (head.clone(), &[&bytes[..], &[0]].concat()[..], "1 bytes behind the JSON belong to no input"),
        (head.replace("INT64", "INT128"), &bytes[..], "datatype `INT128`"),
        (head.replace("\"name\":\"sum\"", "\"name\":\"product\""), &bytes[..], "no output `product`; there are sum, same"),
    ] {
        let (status, _, body) = send(&head, bytes).await;
        let error = String::from_utf8_lossy(&body).into_owned();
        assert!(status == StatusCode::BAD_REQUEST && error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn metrics_count_requests_by_outcome() {
    let scene = scene();
    scene.post("/infer", json!({"inputs": [[0, 0, 0, 0]]})).await;
    scene.post("/infer", json!({"inputs": [[0]]})).await;
    let (_, _, body) = scene.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    let text = String::from_utf8(body).unwrap();
    for line in [
        "edgeflow_inference_requests_total{slot=\"default\",outcome=\"served\"} 1",
        "edgeflow_inference_requests_total{slot=\"default\",outcome=\"failed\"} 1",
        "edgeflow_inference_frames_total{slot=\"adder\",outcome=\"result\"} 7",
        "edgeflow_inference_model{slot=\"adder\",name=\"adder-model\",version=\"4\",digest=\"sha256:",
        "edgeflow_inference_run_seconds{slot=\"default\"} ",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}
