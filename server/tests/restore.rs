//! A control plane is put back from a backup: what robots had sent after it is on record as forgotten, nothing is doubled, they follow it
//! again, and who was revoked after it stays out. The server is the program itself, on a folder that is copied and lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

use edgeflow_bridge::{Clock, DesiredStore, LogHandle, LogThread, Offer, Recorder, Trust};
use edgeflow_identity::{BootstrapToken, Identity, Tunnel, enrol};
use edgeflow_uplink::{Backlog, Bandwidth, Document, Limits, LinkState, Mqtt, MqttConfig, Pump, Timing};
use edgeflow_wire::{Class, EntryBody, FaultBody, Version};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

const TOKEN: &str = "administrators-token";
/// Nothing here takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, on its folder and its ports.
struct Server {
    child: Child,
    https: String,
    mqtts: String,
    local: String,
    client: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(folder: &Path, listen: [&str; 3], more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgeflow-server"));
        command.arg("--data-dir").arg(folder).arg("--tls").args(more).env("EDGEFLOW_ADMIN_TOKEN", TOKEN);
        for (flag, address) in ["--listen", "--mqtt-listen", "--local-listen"].iter().zip(listen) {
            command.args([flag, address]);
        }
        let log = std::fs::File::options().create(true).append(true).open(folder.with_extension("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = |scheme: &str| {
            let (_, rest) = line.split_once(&format!(" {scheme}://")).unwrap_or_else(|| panic!("no {scheme} in {line:?}"));
            rest.split_whitespace().next().unwrap().to_owned()
        };
        Self { child, https: at("https"), mqtts: at("mqtts"), local: at("http"), client: Client::new() }
    }

    /// Without a goodbye.
    fn kill(mut self) -> [String; 3] {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        [self.https.clone(), self.mqtts.clone(), self.local.clone()]
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("http://{}/api/v1{path}", self.local)).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Declares another desired state, by a policy of so many entries a second.
    async fn declare(&self, entries_per_s: u32) {
        let (status, body) = self.ask(Method::PUT, "/targets/robot-1/policy", Some(json!({ "max_entries_per_s": entries_per_s }))).await;
        assert!(status.is_success(), "{body}");
    }

    async fn seqs(&self) -> Vec<u64> {
        let (mut seqs, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/targets/robot-1/entries?class=event&order=asc&limit=1000{after}")).await;
            let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap();
            seqs.extend(page["items"].as_array().unwrap().iter().map(|entry| number(&entry["seq"])));
            let Some(next) = page["next"].as_str() else { return seqs };
            after = format!("&after={next}");
        }
    }
}

/// A robot with its log, its identity and what it was told.
struct Robot {
    log: LogHandle,
    recorder: Recorder,
    state: watch::Receiver<LinkState>,
    told: watch::Receiver<Option<Version>>,
    tasks: [JoinHandle<()>; 2],
    _thread: LogThread,
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn enrolled(server: &Server, name: &str, folder: &Path) -> Identity {
    let (status, body) = server.ask(Method::POST, "/targets", Some(json!({ "name": name }))).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let (_, body) = server.ask(Method::POST, &format!("/targets/{name}/bootstrap"), Some(json!({}))).await;
    let token = BootstrapToken::parse(body["token"].as_str().unwrap(), None).unwrap();
    enrol(&format!("https://{}", server.https), &token, &folder.join(name).join("identity"), false).await.unwrap()
}

impl Robot {
    fn start(server: &Server, identity: &Identity, folder: &Path) -> Self {
        let (name, clock) = (identity.robot().to_owned(), Clock::new().unwrap());
        let folder = folder.join(&name);
        let (log, thread) = LogHandle::open(&folder.join("log"), edgeflow_edge_log::Options::default(), clock).unwrap();
        let tunnel_identity = identity.clone();
        let tunnel = Tunnel::open(&server.mqtts, move || tunnel_identity.client_config()).unwrap();
        let (retry_first, retry_cap) = (Duration::from_millis(10), Duration::from_millis(200));
        let config = MqttConfig { tunnel: Some(tunnel), retry_first, retry_cap, ..MqttConfig::new(&server.mqtts, &name, "") };
        let (state, (documents, mut incoming)) = (watch::Sender::new(LinkState::default()), mpsc::channel(4));
        let (told, version) = watch::channel(None);
        let keys = identity.documents().clone();
        let desired = tokio::spawn(async move {
            let (_keys, pinned) = watch::channel(keys);
            let mut store = DesiredStore::open(&folder, &name, Trust::Pinned(pinned)).unwrap();
            while let Some(document) = incoming.recv().await {
                if let Document::Desired(bytes) = document {
                    let offer = store.offer(&bytes).unwrap();
                    assert!(!matches!(offer, Offer::Refused { .. }), "{offer:?}");
                    told.send_replace(store.accepted().map(|desired| desired.version));
                }
            }
        });
        let pump = Pump {
            backlog: log.clone(),
            ends: log.ends(),
            state: state.clone(),
            documents,
            timing: Timing { resend_after: Duration::from_secs(2), between_epochs: Duration::from_millis(50), ..Timing::default() },
            limits: Limits { max_entries: 50, max_bytes: 64 * 1024 },
            bandwidth: Bandwidth::unlimited(),
        };
        let pump = tokio::spawn(pump.run(Box::new(Mqtt::new(config).unwrap())));
        let recorder = Recorder::new(log.clone(), clock);
        Self { log, recorder, state: state.subscribe(), told: version, tasks: [desired, pump], _thread: thread }
    }

    async fn produce(&self, entries: usize) {
        for n in 0..entries {
            let body = FaultBody { source: "test".into(), message: n.to_string() };
            self.recorder.record_now(Class::Event, EntryBody::Fault(body)).await;
        }
    }

    /// Waits until the control plane has acknowledged all up to `next_seq`, and this disk has forgotten it.
    async fn trimmed(&mut self, next_seq: u64) {
        let wait = async {
            loop {
                let hello = self.log.hello().await.unwrap();
                let event = hello.classes.iter().find(|class| class.class == Class::Event).unwrap();
                if (event.first_seq, event.next_seq) == (next_seq, next_seq) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never trimmed to {next_seq}"));
    }

    async fn follows(&mut self, version: Version) {
        let told = timeout(PATIENCE, self.told.wait_for(|told| *told == Some(version))).await.map(|told| told.is_ok());
        assert_eq!(told, Ok(true), "it follows {:?}, not {version:?}", self.told.borrow());
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// As docs/backup.md has it, while the server runs.
fn back_up(data: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in ["fleet.db", "registry.db", "telemetry.db"] {
        let database = rusqlite::Connection::open(data.join(file)).unwrap();
        database.execute("VACUUM INTO ?1", [to.join(file).to_str().unwrap()]).unwrap();
    }
    for folder in ["authority", "artifacts"] {
        copy(&data.join(folder), &to.join(folder));
    }
}

struct Restored {
    server: Server,
    robot: Robot,
    revoked: Identity,
    folder: tempfile::TempDir,
}

/// Robots sync, a backup is taken, more is synced and trimmed, one robot is revoked, the folder is lost and put back.
async fn restored(with_list: bool) -> Restored {
    edgeflow_server::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let (data, backup, robots) = (folder.path().join("data"), folder.path().join("backup"), folder.path().join("robots"));
    let server = Server::start(&data, ["127.0.0.1:0"; 3], &[]);
    let identity = enrolled(&server, "robot-1", &robots).await;
    let revoked = enrolled(&server, "robot-2", &robots).await;
    let mut robot = Robot::start(&server, &identity, &robots);
    robot.produce(200).await;
    robot.trimmed(201).await;
    server.declare(1).await;
    robot.follows(Version { server_epoch: 1, generation: 1 }).await;
    back_up(&data, &backup);

    robot.produce(300).await;
    robot.trimmed(501).await;
    for entries_per_s in 2..5 {
        server.declare(entries_per_s).await;
    }
    robot.follows(Version { server_epoch: 1, generation: 4 }).await;
    let (status, _) = server.ask(Method::DELETE, "/targets/robot-2", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let list = server.client.get(format!("http://{}/api/v1/revoked.pem", server.local)).send().await.unwrap().text().await.unwrap();
    assert!(list.contains("BEGIN X509 CRL"), "{list}");
    let list_file: PathBuf = folder.path().join("revoked.pem");
    std::fs::write(&list_file, list).unwrap();

    let at = server.kill();
    // Written while nobody was there.
    robot.produce(100).await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    let list_file = list_file.display().to_string();
    let more = if with_list { vec!["--restored", "--revocations", &list_file] } else { vec!["--restored"] };
    let server = Server::start(&data, [&at[0], &at[1], &at[2]], &more);
    Restored { server, robot, revoked, folder }
}

async fn comes_in(server: &Server, identity: &Identity) -> bool {
    let identity = identity.clone();
    let name = identity.robot().to_owned();
    let tunnel = Tunnel::open(&server.https, move || identity.client_config()).unwrap();
    let request = tunnel.http().build().unwrap().get(format!("http://{}/api/v1/targets/{name}", server.https));
    timeout(PATIENCE, request.send()).await.unwrap().is_ok_and(|response| response.status().is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_after_the_backup_is_on_record_as_forgotten_and_robots_follow_again() {
    let Restored { server, mut robot, revoked, folder: _folder } = restored(true).await;
    let connected = robot.state.wait_for(|state| state.connected);
    timeout(PATIENCE, connected).await.expect("it never comes back").unwrap();
    robot.trimmed(601).await;
    let entries = server.get("/targets/robot-1/log").await["entries"].clone();
    assert_eq!((&entries["stored"], &entries["duplicated"]), (&json!(300), &json!(0)), "{entries}");
    assert_eq!((&entries["missing"], &entries["lost_recorded"]), (&json!(0), &json!(300)), "{entries}");
    assert_eq!(server.seqs().await, (1..=200).chain(501..=600).collect::<Vec<_>>());
    let losses = server.get("/targets/robot-1/losses").await["items"].clone();
    let told: Vec<_> =
        losses.as_array().unwrap().iter().map(|loss| format!("{} {}..{}", loss["cause"], loss["first_seq"], loss["last_seq"])).collect();
    assert_eq!(told, [r#""server_rewound" 201..500"#], "{losses}");
    // What it knows is of a later generation and an earlier epoch.
    robot.follows(Version { server_epoch: 2, generation: 1 }).await;
    server.declare(9).await;
    robot.follows(Version { server_epoch: 2, generation: 2 }).await;

    assert!(!comes_in(&server, &revoked).await, "it was revoked after the backup, and the list says so");
    let (status, _) = server.ask(Method::GET, "/targets/robot-2", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// What `--revocations` is for, and that the server says so.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_list_a_restore_forgets_revocations_and_says_so() {
    let Restored { server, revoked, folder, .. } = restored(false).await;
    assert!(comes_in(&server, &revoked).await);
    let log = std::fs::read_to_string(folder.path().join("data.log")).unwrap();
    assert!(log.contains("revoked after the backup") && log.contains("--revocations"), "{log}");
}
