//! Operators: made by the administrator, known by name.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::common::{Server, answer, options};

#[tokio::test]
async fn an_operator_acts_under_their_own_name_until_they_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (status, made) = server.post("/operators", json!({ "name": "ada" })).await;
    assert_eq!((status, &made["name"]), (StatusCode::CREATED, &json!("ada")), "{made}");
    let token = made["token"].as_str().unwrap();
    assert_eq!(server.post("/operators", json!({ "name": "ada" })).await.0, StatusCode::CONFLICT);
    assert_eq!(server.post("/operators", json!({ "name": "Ada L" })).await.0, StatusCode::BAD_REQUEST);
    let listed = server.get("/operators").await;
    assert_eq!((&listed[0]["name"], &listed[0]["created_by"]), (&json!("ada"), &json!("administrator")));
    assert!(!listed.to_string().contains(token));

    let ada = |method: Method, path: &str| server.anonymous(method, &format!("/api/v1{path}")).bearer_auth(token);
    let (status, body) = answer(ada(Method::POST, "/targets").json(&json!({ "name": "robot-1" }))).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let audit = server.get("/audit").await;
    assert_eq!((&audit["items"][0]["who"], &audit["items"][0]["action"]), (&json!("operator:ada"), &json!("enrol_target")));
    for (method, path) in [(Method::POST, "/operators"), (Method::DELETE, "/operators/ada")] {
        let (status, body) = answer(ada(method, path).json(&json!({ "name": "eve" }))).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::FORBIDDEN, &json!("denied")), "{path}");
    }
    let forged = format!("{}0", &token[..token.len() - 1]);
    let forged = if forged == token { format!("{}1", &token[..token.len() - 1]) } else { forged };
    for wrong in [forged.as_str(), "op_ada.", "op_nobody.00"] {
        let (status, _) = answer(server.anonymous(Method::GET, "/api/v1/targets").bearer_auth(wrong)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}");
    }

    assert_eq!(answer(server.request(Method::DELETE, "/operators/ada")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(answer(server.request(Method::DELETE, "/operators/ada")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(answer(ada(Method::GET, "/targets")).await.0, StatusCode::UNAUTHORIZED);
    server.stop().await;
}
