//! `edgeflow-server` as people start and stop it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeflow-server"));
    for name in [
        "EDGEFLOW_ADMIN_TOKEN",
        "EDGEFLOW_CONFIG",
        "EDGEFLOW_DATA_DIR",
        "EDGEFLOW_LISTEN",
        "EDGEFLOW_MQTT_LISTEN",
        "EDGEFLOW_TLS",
        "EDGEFLOW_TLS_NAMES",
        "EDGEFLOW_LOG",
    ] {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(data_dir).args(["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that was started; dropping it ends it.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it and reads its first line.
    fn start(mut command: Command) -> (Self, String) {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        (Self { child, out }, line)
    }

    /// Ends it; whether it ended well, and what else it had said.
    fn stop(mut self, signal: &str) -> (bool, String) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (status.success(), rest)
    }
}

fn refused(mut command: Command) -> String {
    let Output { status, stderr, stdout } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && stdout.is_empty(), "{stderr}");
    stderr
}

#[test]
fn it_says_where_it_listens_and_ends_well_on_both_signals() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        command.env("EDGEFLOW_ADMIN_TOKEN", "a-long-enough-token");
        let (running, line) = Running::start(command);
        let rest = line.strip_prefix("edgeflow-server listening on http://127.0.0.1:").unwrap_or_else(|| panic!("{line:?}"));
        let (http, mqtt) = rest.trim_end().split_once(" mqtt://127.0.0.1:").unwrap();
        assert!(http.parse::<u16>().unwrap() > 0 && mqtt.parse::<u16>().unwrap() > 0);
        let (ended_well, more) = running.stop(signal);
        assert!(ended_well, "{signal}");
        assert_eq!(more, "", "a token that was given is not shown");
    }
}

#[test]
fn with_tls_it_listens_anywhere_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeflow-server"));
    command.arg("--data-dir").arg(folder.path()).args(["--tls", "--tls-names", "fleet.example,10.0.0.7"]);
    command.args(["--listen", "0.0.0.0:0", "--mqtt-listen", "0.0.0.0:0"]).env("EDGEFLOW_ADMIN_TOKEN", "a-long-enough-token");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (running, line) = Running::start(command);
    assert!(line.starts_with("edgeflow-server listening on https://0.0.0.0:") && line.contains(" mqtts://0.0.0.0:"), "{line:?}");
    assert!(folder.path().join("authority/ca.pem").exists());
    assert!(running.stop("-TERM").0);
}

#[test]
fn a_token_is_made_once_and_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = Running::start(program(folder.path()));
    let (_, shown) = first.stop("-TERM");
    let token = shown.strip_prefix("admin token (shown once): ").unwrap_or_else(|| panic!("{shown:?}"));
    assert_eq!(token.trim_end().len(), 64);
    let (second, _) = Running::start(program(folder.path()));
    assert_eq!(second.stop("-TERM").1, "");
}

#[test]
fn a_second_server_on_the_same_folder_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, _) = Running::start(program(folder.path()));
    let stderr = refused(program(folder.path()));
    assert!(stderr.contains("another edgeflow-server is running on") && stderr.contains("--data-dir"), "{stderr}");
}

#[test]
fn what_is_in_its_way_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = folder.path().join("bad.toml");
    std::fs::write(&config, "listen_on = \"127.0.0.1:1\"\n").unwrap();
    let address = address.to_string();
    let config = config.display().to_string();
    let table: Vec<(Vec<&str>, Vec<&str>)> = vec![
        (vec!["--listen", &address], vec![&address, "taken", "--listen"]),
        (vec!["--mqtt-listen", &address], vec![&address, "--mqtt-listen"]),
        (vec!["--listen", "0.0.0.0:0"], vec!["0.0.0.0:0", "loopback"]),
        (vec!["--mqtt-listen", "0.0.0.0:0"], vec!["0.0.0.0:0", "loopback"]),
        (vec!["--config", &config], vec!["listen_on", "bad.toml", "mqtt_listen"]),
        (vec!["--config", "/nowhere/x.toml"], vec!["/nowhere/x.toml"]),
        (vec!["--log", "=="], vec!["=="]),
    ];
    for (flags, says) in table {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgeflow-server"));
        command.arg("--data-dir").arg(folder.path());
        for (flag, default) in [("--listen", "127.0.0.1:0"), ("--mqtt-listen", "127.0.0.1:0")] {
            if !flags.contains(&flag) {
                command.args([flag, default]);
            }
        }
        command.args(&flags);
        let stderr = refused(command);
        for piece in says {
            assert!(stderr.contains(piece), "{flags:?}: {stderr}");
        }
        assert!(stderr.starts_with("edgeflow-server: ") && !stderr.contains("panicked"), "{stderr}");
    }
    let mut short = program(folder.path());
    short.env("EDGEFLOW_ADMIN_TOKEN", "short");
    assert!(refused(short).contains("fewer than 8 characters"));
}
