//! Robots: who there are, letting them in, revoking them.

use super::{edgeflow, ran, start};
use crate::support::run;
use serde_json::{Value, json};

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
