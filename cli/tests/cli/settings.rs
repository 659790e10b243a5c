//! Where settings come from: flag, environment, file, login, default, in this order.

use axum::{Json, Router, http::HeaderMap, routing::get};
use serde_json::{Value, json};
use std::{fs, path::Path};

use crate::support::{Ran, program, run};

/// A control plane that says who asked it, on a free port.
async fn start() -> String {
    let server = async |headers: HeaderMap| {
        let token = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        Json(json!({ "version": token, "server_epoch": 1 }))
    };
    let routes = Router::new()
        .route("/api/v1/server", get(server))
        .route("/api/v1/targets", get(async || Json(json!({ "items": [], "next": null }))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn ran(home: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = program(arguments);
    command.env("XDG_CONFIG_HOME", home).envs(environment.iter().copied());
    run(command).await
}

/// Value and origin of a setting.
async fn setting(home: &Path, environment: &[(&str, &str)], flags: &[&str], key: &str) -> (Value, String) {
    let arguments: Vec<&str> = [&["--output", "json"], flags, &["config", "show"]].concat();
    let told: Value = serde_json::from_str(&ran(home, environment, &arguments).await.ok()).unwrap();
    let item = told["items"].as_array().unwrap().iter().find(|item| item["key"] == key).unwrap().clone();
    (item["value"].clone(), item["from"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_login() {
    let (folder, url) = (tempfile::tempdir().unwrap(), start().await);
    let home = folder.path();
    assert_eq!(setting(home, &[], &[], "url").await, (json!("http://127.0.0.1:5000"), "default".into()));
    assert_eq!(setting(home, &[], &[], "token").await, (Value::Null, String::new()));

    ran(home, &[("EDGEFLOW_TOKEN", "s3cret")], &["login", &url]).await.ok();
    assert_eq!(setting(home, &[], &[], "url").await, (json!(url), format!("login {}", home.join("edgeflow/login.json").display())));
    let shown = ran(home, &[], &["config", "show"]).await.ok();
    assert!(shown.contains("token") && shown.contains("set") && !shown.contains("s3cret"), "{shown}");

    ran(home, &[], &["config", "set", "url", "http://10.0.0.1:5000/"]).await.ok();
    let file = format!("file {}", home.join("edgeflow/config.json").display());
    assert_eq!(setting(home, &[], &[], "url").await, (json!("http://10.0.0.1:5000"), file));
    assert_eq!(setting(home, &[], &[], "token").await.0, Value::Null, "the login's token is for the login's address");
    let environment = [("EDGEFLOW_URL", "http://10.0.0.2:5000")];
    assert_eq!(setting(home, &environment, &[], "url").await, (json!("http://10.0.0.2:5000"), "environment EDGEFLOW_URL".into()));
    let flags = ["--url", "http://10.0.0.3:5000"];
    assert_eq!(setting(home, &environment, &flags, "url").await, (json!("http://10.0.0.3:5000"), "flag --url".into()));

    // Whoever logs in means that control plane from now on.
    ran(home, &[("EDGEFLOW_TOKEN", "other")], &["login", &url]).await.ok();
    assert_eq!(setting(home, &[], &[], "url").await.0, json!(url));
    ran(home, &[], &["targets", "list"]).await.ok();
}

#[tokio::test]
async fn the_format_is_a_setting_too() {
    let (folder, url) = (tempfile::tempdir().unwrap(), start().await);
    let home = folder.path();
    let known = [("EDGEFLOW_URL", url.as_str()), ("EDGEFLOW_TOKEN", "secret")];
    assert!(ran(home, &known, &["targets", "list"]).await.ok().starts_with("NAME"));
    let set: Value = serde_json::from_str(&ran(home, &[], &["--output", "json", "config", "set", "output", "json"]).await.ok()).unwrap();
    assert_eq!(set["file"], json!(home.join("edgeflow/config.json")));
    assert!(serde_json::from_str::<Value>(&ran(home, &known, &["targets", "list"]).await.ok()).is_ok());
    assert!(ran(home, &known, &["targets", "list", "--output", "table"]).await.ok().starts_with("NAME"));
    let environment = [known[0], known[1], ("EDGEFLOW_OUTPUT", "table")];
    assert!(ran(home, &environment, &["targets", "list"]).await.ok().starts_with("NAME"));
    let odd = ran(home, &[("EDGEFLOW_OUTPUT", "xml")], &["config", "show"]).await.failed();
    assert!(odd.contains("EDGEFLOW_OUTPUT") && odd.contains("table or json"), "{odd}");
    ran(home, &[], &["config", "unset", "output"]).await.ok();
    assert!(ran(home, &known, &["targets", "list"]).await.ok().starts_with("NAME"));
}

#[tokio::test]
async fn values_that_mean_nothing_are_refused_and_a_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    for (key, value, words) in [
        ("url", "fleet.example:5000", "https://fleet.example:5000"),
        ("url", "https://admin:s3cret@fleet.example", "edgeflow login"),
        ("output", "xml", "table or json"),
        ("ca", "/nonexistent/ca.pem", "could not read"),
    ] {
        let error = ran(home, &[], &["config", "set", key, value]).await.failed();
        assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
    }
    assert!(!home.join("edgeflow/config.json").exists(), "nothing was written");
    assert_eq!(ran(home, &[], &["config", "set", "token", "x"]).await.code, Some(2), "secrets have no place there");
    fs::create_dir_all(home.join("edgeflow")).unwrap();
    fs::write(home.join("edgeflow/config.json"), "{\"colour\": 1}").unwrap();
    let error = ran(home, &[], &["config", "show"]).await.failed();
    assert!(error.contains("config.json") && error.contains("colour"), "{error}");
}
