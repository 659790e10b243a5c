//! The control plane's own program on free ports and a folder of its own.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

const TOKEN: &str = "administrators-token";

pub(crate) struct ControlPlane {
    child: Child,
    dir: TempDir,
    client: reqwest::Client,
    pub(crate) http: String,
    pub(crate) mqtt: String,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        Self::serve(tempfile::tempdir().unwrap(), &[])
    }

    /// The same with robots' certificates instead of tokens.
    pub(crate) fn restart_with_tls(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::serve(dir, &["--tls"])
    }

    fn serve(dir: TempDir, more: &[&str]) -> Self {
        let mut child = Command::new(beside("edgeflow-server"))
            .args(["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log", "warn"])
            .args(more)
            .arg("--data-dir")
            .arg(dir.path())
            .env("EDGEFLOW_ADMIN_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |scheme: &str| {
            let word = line.split_whitespace().find(|word| word.starts_with(scheme)).unwrap();
            word.split_once("://").unwrap().1.to_owned()
        };
        Self { child, dir, client: reqwest::Client::new(), http: format!("http://{}", address("http")), mqtt: address("mqtt") }
    }

    /// Lets a robot in: its token.
    pub(crate) async fn enrol(&self, robot: &str) -> String {
        let answer = self
            .client
            .post(format!("{}/api/v1/targets", self.http))
            .bearer_auth(TOKEN)
            .json(&json!({ "name": robot }))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Puts a document of the API.
    pub(crate) async fn put(&self, path: &str, document: &Value) {
        let request = self.client.put(format!("{}/api/v1{path}", self.http)).bearer_auth(TOKEN).json(document);
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
    }

    pub(crate) fn telemetry_db(&self) -> PathBuf {
        self.dir.path().join("telemetry.db")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Memory the process holds, MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        resident_mib(self.child.id())
    }
}

/// Memory a process holds, MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // It may have ended by now: it was restarted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program of the same profile: beside the folder of this one.
pub(crate) fn beside(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join(name);
    assert!(program.exists(), "no {}: run `cargo xtask bench bridge`, which builds it", program.display());
    program
}
