//! What holds of every route of MLflow's clients: who may ask, errors in MLflow's shape, and what is not served said by name.

#![allow(clippy::unwrap_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Server, TOKEN, answer, options};
use reqwest::{Method, StatusCode};

#[tokio::test]
async fn errors_have_mlflows_shape_and_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    for (method, path, status, code) in [
        (Method::POST, "/api/2.0/mlflow/no-such-thing/create", StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND"),
        (Method::GET, "/api/3.0/mlflow/no-such-thing", StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND"),
        (Method::POST, "/api/3.0/mlflow/traces", StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
        (Method::GET, "/ajax-api/3.0/mlflow/gateway/secrets/list", StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
    ] {
        let (given, body) = answer(server.anonymous(method.clone(), path)).await;
        assert_eq!((given, body["error_code"].as_str()), (StatusCode::UNAUTHORIZED, Some("UNAUTHENTICATED")), "{path}: {body}");
        let (given, body) = answer(server.anonymous(method, path).bearer_auth(TOKEN)).await;
        assert_eq!((given, body["error_code"].as_str()), (status, Some(code)), "{path}: {body}");
        assert!(body["message"].as_str().unwrap().contains(path), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_token_may_come_as_the_password_of_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let asked = || server.anonymous(Method::GET, "/api/2.0/mlflow/no-such-thing");
    assert_eq!(answer(asked().basic_auth("anyone", Some(TOKEN))).await.0, StatusCode::NOT_FOUND);
    assert_eq!(answer(asked().basic_auth(TOKEN, Some("wrong"))).await.0, StatusCode::UNAUTHORIZED);
    server.stop().await;
}
