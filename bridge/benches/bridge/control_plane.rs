//! The control plane's own program on free ports and a folder of its own.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

const TOKEN: &str = "administrators-token";

pub(crate) struct ControlPlane {
    child: Child,
    dir: TempDir,
    pub(crate) http: String,
    pub(crate) mqtt: String,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(program())
            .args(["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(dir.path())
            .env("EDGEFLOW_ADMIN_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |scheme: &str| line.split_whitespace().find_map(|word| word.strip_prefix(scheme)).unwrap().to_owned();
        Self { child, dir, http: format!("http://{}", address("http://")), mqtt: address("mqtt://") }
    }

    /// Lets a robot in: its token.
    pub(crate) async fn enrol(&self, robot: &str) -> String {
        let answer = reqwest::Client::new()
            .post(format!("{}/api/v1/targets", self.http))
            .bearer_auth(TOKEN)
            .json(&json!({ "name": robot }))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn telemetry_db(&self) -> PathBuf {
        self.dir.path().join("telemetry.db")
    }

    /// Memory the process holds, MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// `edgeflow-server` of the same profile: beside the folder of this program.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("edgeflow-server");
    assert!(program.exists(), "no {}: run `cargo xtask bench bridge`, which builds it", program.display());
    program
}
