//! What all of them do alike: logging in, tables, refusals.

use super::{edgeflow, ran, start};
use crate::support::{program, run};
use serde_json::Value;

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
