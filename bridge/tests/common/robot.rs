//! A robot: the ROS graph, `bridge_node` as a program on it, and a control plane above.

#![allow(missing_docs)]

use super::{ControlPlane, Held, TOKEN};
use edgeflow_ros::{
    Context, Node, QosProfile, Queue,
    diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus},
    router,
};
use edgeflow_wire::{
    Command as Given, CommandStatusBody, Content, DesiredState, Entry, EntryBody, Envelope, PolicyOutcome, PolicyStatusBody, Version,
    VersionedPolicy, WIRE_VERSION,
};
use futures::StreamExt;
use serde_json::Value;
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program; dropping it kills it, as a power cut does.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct World {
    _router: router::Router,
    router: SocketAddr,
    pub dir: tempfile::TempDir,
    pub plane: ControlPlane,
    pub context: Context,
    pub robot: Node,
    generation: u64,
}

impl World {
    pub async fn new() -> Self {
        let ros = router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let context = Context::builder().arguments(Vec::new()).router(ros.addr()).build().unwrap();
        let robot = Node::create(&context, "robot", "/robot_1").unwrap();
        let plane = ControlPlane::start(Held::default()).await;
        Self { router: ros.addr(), _router: ros, dir, plane, context, robot, generation: 0 }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn bridge(&self, parameters: &[(&str, &str)]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge_node"));
        command.args(["--ros-args", "-r", "__ns:=/robot_1", "-p", "robot:=robot-1", "-p", "uplinks:=[mqtt]"]);
        let (data, token) = (self.data().display().to_string(), self.dir.path().join("token").display().to_string());
        let mqtt = self.plane.address.to_string();
        let ours = [("data_dir", data.as_str()), ("token_file", token.as_str()), ("mqtt", mqtt.as_str())];
        for (name, value) in ours.iter().chain(parameters) {
            command.args(["-p", &format!("{name}:={value}")]);
        }
        Program(command.env(router::ENVIRONMENT, self.router.to_string()).stdin(Stdio::null()).spawn().unwrap())
    }

    pub fn declare(&mut self, version: u64, document: Value) {
        self.generation += 1;
        self.plane.declare(DesiredState {
            v: WIRE_VERSION,
            target: "robot-1".into(),
            version: Version { server_epoch: 1, generation: self.generation },
            policy: Some(VersionedPolicy { version, document }),
            ..DesiredState::default()
        });
    }

    /// Declares a policy and waits for the robot's word, which is this.
    pub async fn apply(&mut self, version: u64, document: Value) -> PolicyStatusBody {
        self.declare(version, document);
        self.plane.until("the policy is answered", |held| word(held, version).is_some()).await;
        word(&self.plane.held.lock().unwrap(), version).unwrap()
    }

    /// The same of one that must be applied.
    pub async fn rule(&mut self, version: u64, document: Value) {
        let word = self.apply(version, document).await;
        assert_eq!(word.outcome, PolicyOutcome::Applied, "{}", word.reason);
    }

    /// Gives a command. The control plane's clock stands near 0.
    pub fn give(&self, id: &str, action: Value) {
        let target = "robot-1".to_owned();
        let command = Given { v: WIRE_VERSION, id: id.into(), target, issued_us: 1, expires_us: 600_000_000, action };
        let payload = serde_json::to_string(&command).unwrap();
        self.plane.command(Envelope { v: WIRE_VERSION, payload, signatures: Vec::new() });
    }

    /// Waits for the robot's word on a command.
    pub async fn ended(&self, id: &str) -> CommandStatusBody {
        self.plane.until("the command has ended", |held| !words(held, id).is_empty()).await;
        words(&self.plane.held.lock().unwrap(), id).remove(0)
    }

    /// The bridge's diagnostics, once something of them is as wanted: what is known without a link.
    pub async fn diagnostics<T>(&self, what: &str, wanted: impl Fn(&[DiagnosticStatus]) -> Option<T>) -> T {
        let mut all = self.robot.subscribe::<DiagnosticArray>("/diagnostics", QosProfile::default(), Queue::latest()).unwrap();
        let mut last = Vec::new();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(array) = all.next().await {
                if let Some(found) = wanted(&array.status) {
                    return found;
                }
                last = array.status;
            }
            panic!("the diagnostics ended");
        });
        found.await.unwrap_or_else(|_| panic!("waited in vain for {what}: {last:#?}"))
    }

    /// One of them.
    pub async fn diagnosed(&self, name: &str, wanted: impl Fn(&DiagnosticStatus) -> bool) -> DiagnosticStatus {
        let name = format!("robot_1/bridge_node: {name}");
        self.diagnostics(&name, |all| all.iter().find(|status| status.name == name && wanted(status)).cloned()).await
    }
}

/// A value of a diagnostic, as a number.
pub fn counted(status: &DiagnosticStatus, key: &str) -> u64 {
    status.values.iter().find(|pair| pair.key == key).unwrap().value.parse().unwrap()
}

pub fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Entries of a kind with their bodies.
pub fn known(held: &Held, kind: &str) -> Vec<(Entry, EntryBody)> {
    let known = held.kinds(kind).into_iter().filter_map(|entry| match entry.content.clone() {
        Content::Known(body) => Some((entry, body)),
        Content::Unknown { .. } => None,
    });
    known.collect()
}

pub fn faults(held: &Held) -> Vec<(String, String)> {
    let faults = known(held, "fault").into_iter().filter_map(|(_, body)| match body {
        EntryBody::Fault(fault) => Some((fault.source, fault.message)),
        _ => None,
    });
    faults.collect()
}

fn word(held: &Held, version: u64) -> Option<PolicyStatusBody> {
    known(held, "policy_status").into_iter().find_map(|(_, body)| match body {
        EntryBody::PolicyStatus(status) if status.version == version => Some(status),
        _ => None,
    })
}

pub fn words(held: &Held, id: &str) -> Vec<CommandStatusBody> {
    let words = known(held, "command_status").into_iter().filter_map(|(_, body)| match body {
        EntryBody::CommandStatus(status) if status.id == id => Some(status),
        _ => None,
    });
    words.collect()
}
