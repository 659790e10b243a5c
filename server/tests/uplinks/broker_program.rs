//! What docs/mqtt-broker.md has people do, with the programs themselves and in its order.

use crate::{
    broker,
    mosquitto::Mosquitto,
    world::{Connection, PATIENCE, Proof, Way, World},
};
use edgeflow_identity::{BootstrapToken, enrol};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const TOKEN: &str = "administrators-token";

/// `edgeflow-server`, running; dropping it ends it.
struct Program {
    child: Child,
    line: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(data_dir: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgeflow-server"));
        command.arg("--data-dir").arg(data_dir).args(["--tls", "--listen", "127.0.0.1:0", "--local-listen", "127.0.0.1:0"]).args(more);
        command.env("EDGEFLOW_ADMIN_TOKEN", TOKEN).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, line }
    }

    /// Where it says that it listens.
    fn at(&self, scheme: &str) -> String {
        let (_, rest) = self.line.split_once(&format!(" {scheme}://")).unwrap_or_else(|| panic!("no {scheme} in {:?}", self.line));
        rest.split_whitespace().next().unwrap().to_owned()
    }

    fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("http://{}/api/v1{path}", self.at("http"));
        let response = reqwest::Client::new().request(method, url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_set_up_as_its_page_says_and_robots_come_over_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, certificates) = (folder.path().join("data"), tempfile::tempdir().unwrap());
    let program = Program::start(&data, &["--mqtt-listen", "127.0.0.1:0"]);
    // Beside this test, where cargo puts the programs of the workspace.
    let edgeflow = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("edgeflow");
    let mut certify = Command::new(edgeflow);
    certify.args(["broker", "certificate", "--names", "127.0.0.1,localhost", "--out"]).arg(certificates.path());
    certify.env("EDGEFLOW_URL", format!("http://{}", program.at("http"))).env("EDGEFLOW_TOKEN", TOKEN);
    let certified = certify.output().unwrap();
    assert!(certified.status.success(), "{}", String::from_utf8_lossy(&certified.stderr));
    let mosquitto = Mosquitto::start_in(certificates).await;
    program.stop();

    let (broker, reload) = (format!("mqtts://{}", mosquitto.address), mosquitto.reload_program());
    let program = Program::start(&data, &["--mqtt-broker", &broker, "--mqtt-broker-reload", reload.to_str().unwrap()]);
    assert!(program.line.contains(&format!("broker {broker}")) && !program.line.contains("mqtt-listen"), "{}", program.line);
    let token = program.ask(Method::POST, "/targets", json!({ "name": "robot-1" })).await["token"].as_str().unwrap().to_owned();
    let bootstrap = program.ask(Method::POST, "/targets/robot-1/bootstrap", json!({})).await;
    let bootstrap = BootstrapToken::parse(bootstrap["token"].as_str().unwrap(), None).unwrap();
    let identity = folder.path().join("identity");
    enrol(&format!("https://{}", program.at("https")), &bootstrap, &identity, false).await.unwrap();

    let proof = Proof { token, ca: identity.join("ca.pem"), pem: identity.join("robot.pem") };
    let mut robot = Connection::start(&*World::uplink_to(Way::Broker, mosquitto.address, "robot-1", &proof));
    robot.up().await;
    assert_eq!(robot.say(broker::hello("epoch-1")).await.epoch, "epoch-1");
    assert_eq!(program.ask(Method::GET, "/targets/robot-1", Value::Null).await["online"], true);

    program.ask(Method::DELETE, "/targets/robot-1", Value::Null).await;
    tokio::time::timeout(PATIENCE, robot.down()).await.expect("a revoked robot is never cut");
    assert!(!robot.comes_up(Duration::from_secs(2)).await, "a revoked robot came back");
    program.stop();
}
