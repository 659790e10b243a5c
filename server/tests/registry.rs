//! The registry as MLflow's clients and people use it: models, versions, aliases, stages, tags; what was logged becomes what a robot
//! can be told to run, and what a robot is told to run stays.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Server, TOKEN, answer, bundle, bundle_file, options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What a version says where nothing can load it.
const NOT_LOADED: &str = "its file was read, but not loaded: this server has no check_model program";

async fn ask(server: &Server, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    answer(server.anonymous(method, &format!("/api/2.0/mlflow/{path}")).bearer_auth(TOKEN).json(&body)).await
}

async fn done(server: &Server, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = ask(server, method, path, body).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn refused(server: &Server, method: Method, path: &str, body: Value, code: &str) -> String {
    let (status, answer) = ask(server, method, path, body).await;
    assert!(status.is_client_error() && answer["error_code"] == code, "{path}: {status} {answer}");
    answer["message"].as_str().unwrap().to_owned()
}

async fn log(server: &Server, path: &str, content: Vec<u8>) {
    let put = server.anonymous(Method::PUT, &format!("/api/2.0/mlflow-artifacts/artifacts/{path}")).bearer_auth(TOKEN).body(content);
    assert_eq!(answer(put).await.0, StatusCode::OK, "{path}");
}

/// A folder as `mlflow.onnx.log_model` leaves it.
async fn log_onnx(server: &Server, folder: &str, version: &str) -> String {
    log(server, &format!("{folder}/MLmodel"), b"flavors:\n  onnx:\n    data: model.onnx\n  python_function: {}\n".to_vec()).await;
    log(server, &format!("{folder}/model.onnx"), bundle_file(version, "model.onnx")).await;
    log(server, &format!("{folder}/requirements.txt"), b"onnx\n".to_vec()).await;
    format!("mlflow-artifacts:/{folder}")
}

#[tokio::test]
async fn models_are_registered_described_and_found_over_mlflows_routes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let tags = json!([{ "key": "team", "value": "vision" }]);
    let made =
        done(&server, Method::POST, "registered-models/create", json!({ "name": "Größe 1", "tags": tags, "description": "d" })).await;
    let made = &made["registered_model"];
    assert_eq!(
        (&made["name"], &made["tags"], &made["aliases"], &made["latest_versions"]),
        (&json!("Größe 1"), &tags, &json!([]), &json!([]))
    );
    assert!(made["creation_timestamp"].as_i64().unwrap() > 1_600_000_000_000, "milliseconds");
    refused(&server, Method::POST, "registered-models/create", json!({ "name": "Größe 1" }), "RESOURCE_ALREADY_EXISTS").await;
    for bad in ["", "a/b", "a:1", " a", "a\n"] {
        refused(&server, Method::POST, "registered-models/create", json!({ "name": bad }), "INVALID_PARAMETER_VALUE").await;
    }
    let gone = refused(&server, Method::GET, "registered-models/get?name=nothing", json!({}), "RESOURCE_DOES_NOT_EXIST").await;
    assert!(gone.contains("nothing"), "{gone}");

    done(&server, Method::POST, "registered-models/create", json!({ "name": "reader" })).await;
    let found = |filter: &'static str, order: &'static str| {
        let body = json!({ "filter": filter, "order_by": [order], "max_results": 10 });
        let server = &server;
        async move {
            let answer = done(server, Method::POST, "registered-models/search", body).await;
            answer["registered_models"]
                .as_array()
                .unwrap()
                .iter()
                .map(|model| model["name"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(found("", "name ASC").await, ["Größe 1", "reader"]);
    assert_eq!(found("name ILIKE 'GRÖ%'", "name").await, ["Größe 1"]);
    assert_eq!(found("tags.team = 'vision'", "name").await, ["Größe 1"]);
    let bad = refused(&server, Method::GET, "registered-models/search?filter=nmae%3D'x'", json!({}), "INVALID_PARAMETER_VALUE").await;
    assert!(bad.contains("nmae") && bad.contains("character 1"), "{bad}");
    let page = done(&server, Method::GET, "registered-models/search?max_results=1", json!({})).await;
    let token = page["next_page_token"].as_str().unwrap();
    let next = done(&server, Method::GET, &format!("registered-models/search?max_results=1&page_token={token}"), json!({})).await;
    assert_eq!((&next["registered_models"][0]["name"], &next["next_page_token"]), (&json!("reader"), &Value::Null));
    refused(&server, Method::GET, "registered-models/search?page_token=xyz", json!({}), "INVALID_PARAMETER_VALUE").await;
    refused(&server, Method::GET, "registered-models/search?max_results=0", json!({}), "INVALID_PARAMETER_VALUE").await;

    done(&server, Method::POST, "registered-models/set-tag", json!({ "name": "reader", "key": "k", "value": "v" })).await;
    done(&server, Method::PATCH, "registered-models/update", json!({ "name": "reader", "description": "reads" })).await;
    let renamed = done(&server, Method::POST, "registered-models/rename", json!({ "name": "reader", "new_name": "label reader" })).await;
    let renamed = &renamed["registered_model"];
    assert_eq!(
        (&renamed["name"], &renamed["description"], &renamed["tags"][0]["value"]),
        (&json!("label reader"), &json!("reads"), &json!("v"))
    );
    refused(
        &server,
        Method::POST,
        "registered-models/rename",
        json!({ "name": "label reader", "new_name": "Größe 1" }),
        "RESOURCE_ALREADY_EXISTS",
    )
    .await;
    done(&server, Method::DELETE, "registered-models/delete-tag", json!({ "name": "label reader", "key": "k" })).await;
    done(&server, Method::DELETE, "registered-models/delete", json!({ "name": "label reader" })).await;
    refused(&server, Method::GET, "registered-models/get?name=label+reader", json!({}), "RESOURCE_DOES_NOT_EXIST").await;
    assert_eq!(server.get("/models/Gr%C3%B6%C3%9Fe%201").await["tags"], json!({ "team": "vision" }), "the native routes know the same");
    server.stop().await;
}

#[tokio::test]
async fn what_was_logged_is_deployed_and_stays_while_a_robot_shall_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    done(&server, Method::POST, "registered-models/create", json!({ "name": "label-reader" })).await;
    let source = log_onnx(&server, "0/models/m-1/artifacts", "v1").await;
    log(&server, "0/models/m-1/artifacts/extra_files/edgeflow.yaml", bundle_file("v1", "edgeflow.yaml")).await;
    log(&server, "0/models/m-1/artifacts/baseline.json", bundle_file("v1", "baseline.json")).await;
    let create =
        |source: String| json!({ "name": "label-reader", "source": source, "run_id": "abc", "tags": [{ "key": "k", "value": "v" }] });
    let made = done(&server, Method::POST, "model-versions/create", create(source.clone())).await;
    let made = &made["model_version"];
    assert_eq!(
        (&made["version"], &made["status"], &made["source"], &made["run_id"], &made["current_stage"], &made["status_message"]),
        (&json!("1"), &json!("READY"), &json!(source), &json!("abc"), &json!("None"), &json!(NOT_LOADED))
    );
    let again = done(&server, Method::POST, "model-versions/create", create(source.clone())).await;
    assert_eq!(again["model_version"]["version"], "2", "MLflow makes a version each time");

    // The same files as a bundle are the same bundle.
    let (status, pushed) = server.register("label-reader", bundle("v1")).await;
    assert_eq!((status, &pushed["version"]), (StatusCode::OK, &json!("2")));
    let native = server.get("/models/label-reader/versions/1").await;
    assert_eq!(
        (&native["digest"], &native["deployable"], &native["folder"]),
        (&pushed["digest"], &json!(true), &json!("0/models/m-1/artifacts"))
    );
    assert_eq!((&native["run_id"], &native["tags"]["k"], &native["onnx"]["opset"]), (&json!("abc"), &json!("v"), &pushed["onnx"]["opset"]));
    let uri = done(&server, Method::GET, "model-versions/get-download-uri?name=label-reader&version=1", json!({})).await;
    assert_eq!(uri["artifact_uri"], json!(source));
    let file = server.anonymous(Method::GET, "/model-versions/get-artifact?name=label-reader&version=1&path=requirements.txt");
    assert_eq!(file.bearer_auth(TOKEN).send().await.unwrap().text().await.unwrap(), "onnx\n");

    done(&server, Method::POST, "registered-models/alias", json!({ "name": "label-reader", "alias": "champion", "version": "1" })).await;
    let (status, deployment) = server.deploy("@champion", &["robot-1"]).await;
    assert_eq!((status, &deployment["version"]), (StatusCode::CREATED, &json!("1")), "{deployment}");
    robot.converge(&server.app).await;
    assert_eq!(server.get("/targets/robot-1").await["slots"]["default"]["digest"], native["digest"]);

    let version = json!({ "name": "label-reader", "version": "1" });
    let told = refused(&server, Method::DELETE, "model-versions/delete", version.clone(), "INVALID_PARAMETER_VALUE").await;
    assert!(told.contains("robot-1") && told.contains("deploy another version"), "{told}");
    refused(&server, Method::DELETE, "registered-models/delete", json!({ "name": "label-reader" }), "INVALID_PARAMETER_VALUE").await;
    let (status, body) = answer(server.request(Method::DELETE, "/models/label-reader/versions/1")).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    let (status, _) = answer(server.request(Method::PATCH, "/models/label-reader").json(&json!({ "name": "other" }))).await;
    assert_eq!(status, StatusCode::CONFLICT);

    assert_eq!(server.deploy("2", &["robot-1"]).await.0, StatusCode::CREATED);
    done(&server, Method::DELETE, "model-versions/delete", version).await;
    refused(&server, Method::GET, "model-versions/get?name=label-reader&version=1", json!({}), "RESOURCE_DOES_NOT_EXIST").await;
    let gone =
        refused(&server, Method::GET, "registered-models/alias?name=label-reader&alias=champion", json!({}), "INVALID_PARAMETER_VALUE")
            .await;
    assert!(gone.contains("champion"), "{gone}");
    server.stop().await;
}

/// Nothing but a bundle was uploaded; the folder that clients download is made of it.
#[tokio::test]
async fn a_pushed_bundle_is_a_folder_to_mlflows_clients() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (_, pushed) = server.register("label-reader", bundle("v1")).await;
    let hex = pushed["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let root = format!("bundles/{hex}");
    let uri = done(&server, Method::GET, "model-versions/get-download-uri?name=label-reader&version=1", json!({})).await;
    assert_eq!(uri["artifact_uri"], json!(format!("mlflow-artifacts:/{root}")));

    let at = |method, path: &str| server.anonymous(method, &format!("/api/2.0/mlflow-artifacts/artifacts{path}")).bearer_auth(TOKEN);
    let (_, listed) = answer(at(Method::GET, &format!("?path={root}"))).await;
    let names: Vec<_> = listed["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["MLmodel", "baseline.json", "edgeflow.yaml", "model.onnx", "requirements.txt"]);
    let (_, nothing) = answer(at(Method::GET, &format!("?path={root}/MLmodel"))).await;
    assert_eq!(nothing["files"], json!([]));
    let got = async |path: String| at(Method::GET, &path).send().await.unwrap();
    assert_eq!(got(format!("/{root}/model.onnx")).await.bytes().await.unwrap(), bundle_file("v1", "model.onnx"));
    let described = got(format!("/{root}/MLmodel")).await;
    let length = described.content_length().unwrap();
    let text = described.text().await.unwrap();
    assert!(text.contains("data: model.onnx") && text.contains(&hex) && text.len() as u64 == length, "{text}");
    let part = at(Method::GET, &format!("/{root}/MLmodel")).header("range", "bytes=2-6").send().await.unwrap();
    assert_eq!((part.status(), part.text().await.unwrap().as_str()), (StatusCode::PARTIAL_CONTENT, &text[2..7]));
    let file = server.anonymous(Method::GET, "/model-versions/get-artifact?name=label-reader&version=1&path=MLmodel");
    assert_eq!(file.bearer_auth(TOKEN).send().await.unwrap().text().await.unwrap(), text);

    // Clients that fetch large files in parts ask for an address of each.
    for name in ["model.onnx", "MLmodel"] {
        let asked = server.anonymous(Method::GET, &format!("/api/2.0/mlflow-artifacts/presigned/{root}/{name}")).bearer_auth(TOKEN);
        let (status, address) = answer(asked).await;
        assert_eq!(status, StatusCode::OK, "{address}");
        let opened = reqwest::get(address["url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
        let whole = got(format!("/{root}/{name}")).await.bytes().await.unwrap();
        assert!(opened == whole && address["file_size"] == json!(whole.len()), "{name}");
    }

    // It is nobody's to change, and only bundles that are registered are there.
    for method in [Method::PUT, Method::DELETE] {
        let (status, body) = answer(at(method, &format!("/{root}/model.onnx")).body("x")).await;
        assert!(status == StatusCode::BAD_REQUEST && body["message"].as_str().unwrap().contains("never changes"), "{body}");
    }
    for path in [format!("/{root}/other"), format!("/bundles/{}/MLmodel", "ab".repeat(32))] {
        assert_eq!(got(path.clone()).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(
        server.anonymous(Method::GET, &format!("/api/2.0/mlflow-artifacts/artifacts/{root}/MLmodel")).send().await.unwrap().status(),
        401
    );

    // Logged without an MLmodel: the same. Of another version: its bundle.
    log(&server, "0/r/artifacts/plain/model.onnx", bundle_file("v2", "model.onnx")).await;
    let create = |source: &str| json!({ "name": "label-reader", "source": source });
    done(&server, Method::POST, "model-versions/create", create("mlflow-artifacts:/0/r/artifacts/plain")).await;
    let uri = done(&server, Method::GET, "model-versions/get-download-uri?name=label-reader&version=2", json!({})).await;
    assert!(uri["artifact_uri"].as_str().unwrap().starts_with("mlflow-artifacts:/bundles/"), "{uri}");
    for source in ["models:/label-reader/1", &format!("mlflow-artifacts:/{root}")] {
        let copied = done(&server, Method::POST, "model-versions/create", create(source)).await;
        let version = copied["model_version"]["version"].as_str().unwrap();
        let native = server.get(&format!("/models/label-reader/versions/{version}")).await;
        assert_eq!((&native["digest"], &native["deployable"]), (&pushed["digest"], &json!(true)), "{source}");
    }
    // It goes with the last version of the bundle.
    for version in ["1", "3", "4"] {
        assert_eq!(got(format!("/{root}/model.onnx")).await.status(), StatusCode::OK, "before {version} is deleted");
        done(&server, Method::DELETE, "model-versions/delete", json!({ "name": "label-reader", "version": version })).await;
    }
    assert_eq!(got(format!("/{root}/model.onnx")).await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn what_no_robot_can_run_says_so_and_what_does_not_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.enrol("robot-1").await;
    done(&server, Method::POST, "registered-models/create", json!({ "name": "label-reader" })).await;
    log(&server, "0/r/artifacts/sk/MLmodel", b"flavors:\n  sklearn: {}\n".to_vec()).await;
    log(&server, "0/r/artifacts/sk/model.pkl", vec![1, 2, 3]).await;
    let create = |source: &str| json!({ "name": "label-reader", "source": source });
    let made = done(&server, Method::POST, "model-versions/create", create("mlflow-artifacts:/0/r/artifacts/sk")).await;
    assert!(made["model_version"]["status_message"].as_str().unwrap().contains("no ONNX model"), "{made}");
    let (status, body) = server.deploy("1", &["robot-1"]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"]["message"].as_str().unwrap().contains("cannot be deployed: its folder has no ONNX model"), "{body}");
    let native = server.get("/models/label-reader/versions/1").await;
    assert_eq!((&native["deployable"], &native["onnx"], &native["digest"]), (&json!(false), &Value::Null, &json!("")));

    let made = done(&server, Method::POST, "model-versions/create", create("s3://bucket/model")).await;
    assert!(made["model_version"]["status_message"].as_str().unwrap().contains("not on this server"), "{made}");
    let uri = done(&server, Method::GET, "model-versions/get-download-uri?name=label-reader&version=2", json!({})).await;
    assert_eq!(uri["artifact_uri"], "s3://bucket/model");

    log(&server, "0/r/artifacts/cut/model.onnx", bundle_file("v1", "model.onnx")[..500].to_vec()).await;
    log(&server, "0/r/artifacts/lost/MLmodel", b"flavors:\n  onnx:\n    data: other.onnx\n".to_vec()).await;
    log(&server, "0/r/artifacts/odd/MLmodel", b"flavors: [1".to_vec()).await;
    for (source, words) in [
        ("mlflow-artifacts:/0/r/artifacts/cut", "not a readable ONNX model"),
        ("mlflow-artifacts:/0/r/artifacts/lost", "other.onnx"),
        ("mlflow-artifacts:/0/r/artifacts/odd", "does not read"),
        ("mlflow-artifacts:/0/r/artifacts/nothing", "no artifacts"),
        ("mlflow-artifacts:/0/../../etc", "leads out"),
        ("/etc/passwd", "one machine"),
        ("file:///etc/passwd", "one machine"),
    ] {
        let message = refused(&server, Method::POST, "model-versions/create", create(source), "INVALID_PARAMETER_VALUE").await;
        assert!(message.contains(words), "{source}: {message}");
    }
    refused(&server, Method::POST, "model-versions/create", json!({ "name": "none", "source": "s3://b/m" }), "RESOURCE_DOES_NOT_EXIST")
        .await;
    let prompt = json!({ "name": "label-reader", "source": "dummy", "tags": [{ "key": "mlflow.prompt.is_prompt", "value": "true" }] });
    assert_eq!(done(&server, Method::POST, "model-versions/create", prompt).await["model_version"]["version"], "3");
    server.stop().await;
}

#[tokio::test]
async fn versions_are_staged_tagged_aliased_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    for name in ["a", "b"] {
        done(&server, Method::POST, "registered-models/create", json!({ "name": name })).await;
        for run in ["r1", "r2"] {
            done(&server, Method::POST, "model-versions/create", json!({ "name": name, "source": "s3://b/m", "run_id": run })).await;
        }
    }
    let version = |extra: Value| {
        let mut body = json!({ "name": "a", "version": "1" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    done(
        &server,
        Method::POST,
        "model-versions/transition-stage",
        version(json!({ "stage": "production", "archive_existing_versions": true })),
    )
    .await;
    let body = json!({ "name": "a", "version": "2", "stage": "Production", "archive_existing_versions": "true" });
    let staged = done(&server, Method::POST, "model-versions/transition-stage", body).await;
    assert_eq!(staged["model_version"]["current_stage"], "Production");
    refused(&server, Method::POST, "model-versions/transition-stage", version(json!({ "stage": "prod" })), "INVALID_PARAMETER_VALUE").await;
    let latest = done(&server, Method::POST, "registered-models/get-latest-versions", json!({ "name": "a" })).await;
    let latest = latest["model_versions"].as_array().unwrap().iter();
    assert_eq!(
        latest.map(|one| (one["version"].clone(), one["current_stage"].clone())).collect::<Vec<_>>(),
        [(json!("2"), json!("Production")), (json!("1"), json!("Archived"))]
    );

    done(&server, Method::POST, "model-versions/set-tag", version(json!({ "key": "ok", "value": "yes" }))).await;
    done(&server, Method::PATCH, "model-versions/update", version(json!({ "description": "first" }))).await;
    done(&server, Method::POST, "registered-models/alias", version(json!({ "alias": "champion" }))).await;
    for bad in ["latest", "v2", "1", "a b"] {
        refused(&server, Method::POST, "registered-models/alias", version(json!({ "alias": bad })), "INVALID_PARAMETER_VALUE").await;
    }
    refused(
        &server,
        Method::POST,
        "registered-models/alias",
        json!({ "name": "a", "alias": "x", "version": "9" }),
        "RESOURCE_DOES_NOT_EXIST",
    )
    .await;
    let by_alias = done(&server, Method::GET, "registered-models/alias?name=a&alias=champion", json!({})).await;
    let one = &by_alias["model_version"];
    assert_eq!(
        (&one["version"], &one["aliases"], &one["description"], &one["tags"][0]["value"]),
        (&json!("1"), &json!(["champion"]), &json!("first"), &json!("yes"))
    );
    let model = done(&server, Method::GET, "registered-models/get?name=a", json!({})).await;
    assert_eq!(model["registered_model"]["aliases"], json!([{ "alias": "champion", "version": "1" }]));

    let found = |query: &'static str| {
        let server = &server;
        async move {
            let answer = done(server, Method::GET, &format!("model-versions/search?{query}"), json!({})).await;
            let versions = answer["model_versions"].as_array().unwrap().iter();
            versions.map(|one| format!("{}{}", one["name"].as_str().unwrap(), one["version"].as_str().unwrap())).collect::<Vec<_>>()
        }
    };
    assert_eq!(found("").await, ["a2", "a1", "b2", "b1"]);
    assert_eq!(found("filter=name%3D'b'&order_by=version_number+ASC").await, ["b1", "b2"]);
    assert_eq!(found("filter=run_id%3D'r1'").await, ["a1", "b1"]);
    assert_eq!(found("filter=tags.ok%3D'yes'").await, ["a1"]);
    assert_eq!(found("filter=run_id+IN+('r1','r2')&max_results=3").await.len(), 3);
    done(&server, Method::DELETE, "model-versions/delete-tag", version(json!({ "key": "ok" }))).await;
    done(&server, Method::DELETE, "registered-models/alias", json!({ "name": "a", "alias": "champion" })).await;
    assert_eq!(found("filter=tags.ok%3D'yes'").await, [""; 0]);
    refused(&server, Method::GET, "model-versions/get?name=a&version=one", json!({}), "INVALID_PARAMETER_VALUE").await;
    server.stop().await;
}

#[tokio::test]
async fn the_native_routes_change_what_is_said_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.register("reader", bundle("v1")).await;
    let send = |method: Method, path: &'static str, body: Value| {
        let request = server.request(method, path).json(&body);
        async move { answer(request).await }
    };
    let (status, model) = send(Method::PATCH, "/models/reader", json!({ "name": "Reader 2", "description": "reads" })).await;
    assert_eq!((status, &model["name"], &model["description"]), (StatusCode::OK, &json!("Reader 2"), &json!("reads")));
    send(Method::PUT, "/models/Reader%202/tags/team", json!({ "value": "vision" })).await;
    let (_, model) = send(Method::PUT, "/models/Reader%202/aliases/champion", json!({ "version": "1" })).await;
    assert_eq!((&model["tags"], &model["aliases"]), (&json!({ "team": "vision" }), &json!({ "champion": "1" })));
    let (status, version) = send(Method::PATCH, "/models/Reader%202/versions/@champion", json!({ "stage": "Staging" })).await;
    assert_eq!((status, &version["stage"], &version["aliases"]), (StatusCode::OK, &json!("Staging"), &json!(["champion"])));
    let (_, version) = send(Method::PUT, "/models/Reader%202/versions/1/tags/ok", json!({ "value": "yes" })).await;
    assert_eq!(version["tags"], json!({ "ok": "yes" }));
    for (method, path, body, expected) in [
        (Method::PATCH, "/models/Reader%202", json!({}), StatusCode::BAD_REQUEST),
        (Method::PATCH, "/models/Reader%202", json!({ "digest": "x" }), StatusCode::UNPROCESSABLE_ENTITY),
        (Method::PATCH, "/models/Reader%202/versions/1", json!({ "stage": "prod" }), StatusCode::BAD_REQUEST),
        (Method::PATCH, "/models/Reader%202/versions/2", json!({ "stage": "None" }), StatusCode::NOT_FOUND),
        (Method::PUT, "/models/Reader%202/aliases/v1", json!({ "version": "1" }), StatusCode::BAD_REQUEST),
        (Method::PUT, "/models/none/aliases/a", json!({ "version": "1" }), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(send(method.clone(), path, body.clone()).await.0, expected, "{method} {path} {body}");
    }
    let (_, model) = send(Method::DELETE, "/models/Reader%202/aliases/champion", json!({})).await;
    assert_eq!(model["aliases"], json!({}));
    assert_eq!(send(Method::DELETE, "/models/Reader%202/versions/1", json!({})).await.0, StatusCode::NO_CONTENT);
    let (_, again) = server.register("Reader 2", bundle("v1")).await;
    assert_eq!(again["version"], "2", "a number never comes again");
    assert_eq!(send(Method::DELETE, "/models/Reader%202", json!({})).await.0, StatusCode::NO_CONTENT);
    assert_eq!(server.get("/models").await["items"], json!([]));
    let robot = server.enrol("robot-1").await;
    let as_robot = server.anonymous(Method::PATCH, "/api/v1/models/reader").bearer_auth(&robot.token).json(&json!({ "description": "x" }));
    assert_eq!(answer(as_robot).await.0, StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test]
async fn two_versions_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    for version in ["v1", "v2"] {
        server.register("reader", bundle(version)).await;
    }
    let report = server.get("/models/reader/versions/1").await["report"].clone();
    assert_eq!((&report["nodes"], &report["unestimated"]), (&json!(1), &json!({})), "a forest is one operator: {report}");
    let diff = server.get("/models/reader/versions/1/diff?with=2").await;
    assert_eq!((&diff["before"]["version"], &diff["after"]["version"], &diff["compatible"]), (&json!("1"), &json!("2"), &json!(true)));
    assert!(diff["files"]["model.onnx"]["before"] != diff["files"]["model.onnx"]["after"] && diff["inputs"] == json!({}), "{diff}");
    assert!(diff["baseline"].is_object() && diff["labels"].is_null(), "{diff}");
    let same = server.get("/models/reader/versions/1/diff?with=1").await;
    assert!(["files", "inputs", "outputs", "graph", "operators", "baseline", "tags"].iter().all(|part| same[*part] == json!({})), "{same}");
    let (status, _) = answer(server.request(Method::GET, "/models/reader/versions/1/diff?with=3")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = answer(server.request(Method::GET, "/models/reader/versions/1/diff")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    server.stop().await;
}

/// A program in the place of check_model.
fn checker(folder: &tempfile::TempDir, script: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.path().join("checker");
    let text = format!("#!/bin/sh\ntest -f \"$1/model.onnx\" || exit 9\n{script}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_graph_that_does_not_load_is_refused_with_why() {
    for (script, status, words) in [
        ("exit 0", StatusCode::CREATED, ""),
        ("echo 'no such operator: Frobnicate' >&2; exit 1", StatusCode::BAD_REQUEST, "no such operator: Frobnicate"),
        ("echo 'input Y is a map' >&2; exit 3", StatusCode::CREATED, "an inference node cannot serve it: input Y is a map"),
        ("echo 'no library' >&2; exit 2", StatusCode::CREATED, "there is no ONNX Runtime"),
        ("kill -SEGV $$", StatusCode::BAD_REQUEST, "takes the runtime down"),
        ("test -z \"$HOME$EDGEFLOW_ADMIN_TOKEN\" || exit 1; head -c 1000000 /dev/zero >&2", StatusCode::CREATED, ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model_check = Some(checker(&folder, script));
        let server = Server::start(edgeflow_server::app::AppOptions { model_check, ..options(&folder) }).await;
        let (answered, body) = server.register("reader", bundle("v1")).await;
        assert_eq!(answered, status, "{script}: {body}");
        let said = if status == StatusCode::CREATED { &body["note"] } else { &body["error"]["message"] };
        assert!(said.as_str().unwrap().contains(words) && (said == "") == words.is_empty(), "{script}: {body}");
        if status != StatusCode::CREATED {
            assert_eq!(server.get("/models").await["items"], json!([]), "nothing of it was kept");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_make_the_same_name_one_does_and_versions_count_up_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let server = std::sync::Arc::new(Server::start(options(&folder)).await);
    let at_once = |path: &'static str, body: Value| {
        let server = server.clone();
        async move {
            let asked = (0..16).map(|_| {
                let (server, body) = (server.clone(), body.clone());
                tokio::spawn(async move { ask(&server, Method::POST, path, body).await })
            });
            futures::future::join_all(asked.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        }
    };
    let made = at_once("registered-models/create", json!({ "name": "reader" })).await;
    let (done, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(|(status, _)| *status == StatusCode::OK);
    assert_eq!((done.len(), refused.len()), (1, 15));
    assert!(refused.iter().all(|(_, body)| body["error_code"] == "RESOURCE_ALREADY_EXISTS"), "{refused:?}");
    let made = at_once("model-versions/create", json!({ "name": "reader", "source": "s3://bucket/model" })).await;
    let mut numbers: Vec<u32> = made.iter().map(|(_, body)| body["model_version"]["version"].as_str().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    std::sync::Arc::into_inner(server).unwrap().stop().await;
}
