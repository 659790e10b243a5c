//! A robot gets its certificate: once, for a token that was made for it, and renews it in its own name only.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Server, answer,
    clock::{DAY_US, StoodClock},
    options,
};
use edgeflow_server::app::{App, TargetRequest};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn request() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
}

async fn bootstrap(server: &Server, name: &str) -> String {
    let (status, body) = server.post(&format!("/targets/{name}/bootstrap"), json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

async fn enroll(server: &Server, token: &str) -> (StatusCode, Value) {
    answer(server.anonymous(Method::POST, "/api/v1/enroll").json(&json!({ "token": token, "csr": request() }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gets_one_certificate_even_when_two_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.enrol("robot-1").await;
    let mut enrolments = server.app.enrolments();
    let token = bootstrap(&server, "robot-1").await;
    let fingerprint = token.rsplit('.').next().unwrap();
    assert_eq!(fingerprint, server.app.authority().fingerprint().to_string());
    let (one, two) = tokio::join!(enroll(&server, &token), enroll(&server, &token));
    let mut statuses = [one.0, two.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::UNAUTHORIZED], "{one:?} {two:?}");
    let (won, lost) = if one.0 == StatusCode::CREATED { (one.1, two.1) } else { (two.1, one.1) };
    assert!(lost["error"]["message"].as_str().unwrap().contains("was used"), "{lost}");
    assert_eq!(won["name"], "robot-1");
    assert_eq!(won["ca"], server.app.authority().ca_pem());
    assert_eq!(won["document_keys"][0]["key_id"].as_str().unwrap().len(), 16);
    assert_eq!(enrolments.recv().await.unwrap().as_str(), "robot-1");
    let list = server.get("/targets/robot-1/certificates").await;
    assert_eq!(
        (list.as_array().unwrap().len(), &list[0]["not_after_us"], &list[0]["revoked_at_us"]),
        (1, &won["not_after_us"], &Value::Null)
    );
    let audit = server.get("/audit").await;
    let acts: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|item| (item["who"].as_str().unwrap(), item["action"].as_str().unwrap())).collect();
    assert_eq!(acts[..2], [("robot:robot-1", "issue_certificate"), ("administrator", "bootstrap_target")]);
    assert!(!audit.to_string().contains(token.split('.').nth(1).unwrap()), "a token is not on record");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_nothing_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    let token = bootstrap(&server, "robot-1").await;
    let guess = format!("robot-1.{}", "0".repeat(64));
    for wrong in ["", "robot-1", &guess, &robot.token, &token.replace("robot-1", "robot-2")] {
        let (status, body) = enroll(&server, wrong).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}: {body}");
    }
    let malformed = json!({ "token": token, "csr": "not a request" });
    let (status, body) = answer(server.anonymous(Method::POST, "/api/v1/enroll").json(&malformed)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let (status, _) = enroll(&server, &token).await;
    assert_eq!(status, StatusCode::CREATED, "a request that could not be read has not used the token up");
    for lifetime_s in [0, 86_401] {
        let (status, body) = server.post("/targets/robot-1/bootstrap", json!({ "lifetime_s": lifetime_s })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(server.post("/targets/ghost/bootstrap", json!({})).await.0, StatusCode::NOT_FOUND);
    // A robot makes no tokens, and a revoked one's are gone.
    let own = server.anonymous(Method::POST, "/api/v1/targets/robot-1/bootstrap").bearer_auth(&robot.token).json(&json!({}));
    assert_eq!(answer(own).await.0, StatusCode::FORBIDDEN);
    let token = bootstrap(&server, "robot-1").await;
    assert_eq!(answer(server.request(Method::DELETE, "/targets/robot-1")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(enroll(&server, &token).await.0, StatusCode::UNAUTHORIZED);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_renews_in_its_own_name_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    server.enrol("robot-2").await;
    for (target, expected) in [("robot-1", StatusCode::CREATED), ("robot-2", StatusCode::FORBIDDEN)] {
        let path = format!("/api/v1/targets/{target}/certificates");
        let renew = server.anonymous(Method::POST, &path).bearer_auth(&robot.token).json(&json!({ "csr": request() }));
        let (status, body) = answer(renew).await;
        assert_eq!(status, expected, "{target}: {body}");
    }
    assert!(server.get("/targets/robot-2/certificates").await.as_array().unwrap().is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_renewed_shows_before_it_ends() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), StoodClock::at(1_800_000_000_000_000));
    let app = App::open(options(&folder), clock.clone()).await.unwrap();
    let administrator = edgeflow_core::Principal::administrator();
    for name in ["robot-1", "robot-2"] {
        let name: edgeflow_core::TargetName = name.parse().unwrap();
        app.enrol_target(&administrator, TargetRequest { name: name.clone(), labels: Default::default() }).await.unwrap();
        let token = app.bootstrap_target(&administrator, &name, None).await.unwrap().token;
        app.enrol_identity(&token, &request()).await.unwrap();
    }
    let expiring = async || {
        app.look_at_certificates().await.unwrap();
        let metrics = app.metrics().encode().unwrap();
        metrics.lines().find_map(|line| line.strip_prefix("edgeflow_certificates_expiring ").map(str::to_owned)).unwrap()
    };
    assert_eq!(expiring().await, "0");
    clock.wait_us(22 * DAY_US);
    assert_eq!(expiring().await, "0");
    clock.wait_us(2 * DAY_US);
    assert_eq!(expiring().await, "2");
    let robot = edgeflow_core::Principal::robot(administrator.organisation.clone(), "robot-1".parse().unwrap());
    app.renew_identity(&robot, &"robot-1".parse().unwrap(), &request()).await.unwrap();
    assert_eq!(expiring().await, "1");
    app.close().await;
}
