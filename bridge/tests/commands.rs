//! Commands on a real robot: `bridge_node` as a program, services beside it, a control plane above it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use common::{ControlPlane, Held, TOKEN};
use edgeflow_ros::{
    Context, Node, QosProfile, Queue, registry, router,
    std_msgs::msg::String as Text,
    std_srvs::srv::{SetBool, Trigger},
};
use edgeflow_wire::{Command as Given, CommandOutcome, CommandStatusBody, Content, EntryBody, Envelope, WIRE_VERSION};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The program; dropping it kills it, as a power cut does.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct World {
    _router: router::Router,
    router: SocketAddr,
    dir: tempfile::TempDir,
    plane: ControlPlane,
    context: Context,
    robot: Node,
}

impl World {
    async fn new() -> Self {
        let ros = router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let context = Context::builder().arguments(Vec::new()).router(ros.addr()).build().unwrap();
        let robot = Node::create(&context, "robot", "/robot_1").unwrap();
        Self { router: ros.addr(), _router: ros, dir, plane: ControlPlane::start(Held::default()).await, context, robot }
    }

    fn bridge(&self) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge_node"));
        command.args(["--ros-args", "-r", "__ns:=/robot_1", "-p", "robot:=robot-1", "-p", "uplinks:=[mqtt]"]);
        command.args(["-p", "command_services:=[reset, gate/*]", "-p", "command_topics:=[said]"]);
        for (name, value) in [
            ("data_dir", self.dir.path().join("data").display().to_string()),
            ("token_file", self.dir.path().join("token").display().to_string()),
            ("mqtt", self.plane.address.to_string()),
        ] {
            command.args(["-p", &format!("{name}:={value}")]);
        }
        command.env("AMENT_PREFIX_PATH", self.dir.path().join("ros"));
        Program(command.env(router::ENVIRONMENT, self.router.to_string()).stdin(Stdio::null()).spawn().unwrap())
    }

    /// Gives a command. The control plane's clock stands near 0.
    fn give(&self, id: &str, expires_us: i64, action: Value) {
        let target = "robot-1".to_owned();
        let command = Given { v: WIRE_VERSION, id: id.into(), target, issued_us: 1, expires_us, action };
        let payload = serde_json::to_string(&command).unwrap();
        self.plane.command(Envelope { v: WIRE_VERSION, payload, signatures: Vec::new() });
    }
}

const SOON: i64 = 600_000_000;

fn words(held: &Held, id: &str) -> Vec<CommandStatusBody> {
    let words = held.kinds("command_status").into_iter().filter_map(|entry| match entry.content {
        Content::Known(EntryBody::CommandStatus(status)) if status.id == id => Some(status),
        _ => None,
    });
    words.collect()
}

fn ended(held: &Held, id: &str) -> Option<CommandOutcome> {
    words(held, id).first().map(|status| status.outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_however_often_it_is_delivered_and_whatever_stops() {
    let world = World::new().await;
    let mut resets = world.robot.create_service::<Trigger::Service>("reset").unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Some(request) = resets.next().await {
            let number = counted.fetch_add(1, Relaxed) + 1;
            request.respond(Trigger::Response { success: true, message: format!("reset {number}") }).unwrap();
        }
    });
    // Takes calls and never answers.
    let mut gate = world.robot.create_service::<SetBool::Service>("gate/open").unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&opened);
    let held_back = tokio::spawn(async move {
        let mut requests = Vec::new();
        while let Some(request) = gate.next().await {
            asked.fetch_add(1, Relaxed);
            requests.push(request);
        }
    });

    let bridge = world.bridge();
    world.give("once", SOON, json!({"kind": "call_service", "service": "reset", "type": "std_srvs/srv/Trigger"}));
    world.plane.until("it is done", |held| ended(held, "once") == Some(CommandOutcome::Done)).await;
    assert_eq!(words(&world.plane.held.lock().unwrap(), "once")[0].result, json!({"success": true, "message": "reset 1"}));
    world.plane.cut();
    world.plane.until("delivered again, it is only told again", |held| words(held, "once").len() >= 2).await;

    world.give("stuck", SOON, json!({"kind": "call_service", "service": "gate/open", "type": "std_srvs/srv/SetBool", "request": {"data": true}, "timeout_s": 600}));
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while opened.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    drop(bridge);
    let bridge = world.bridge();
    world.plane.until("nobody knows what came of it", |held| ended(held, "stuck") == Some(CommandOutcome::Interrupted)).await;
    world.plane.until("both were delivered again", |held| words(held, "once").len() >= 3 && words(held, "stuck").len() >= 2).await;
    assert_eq!((calls.load(Relaxed), opened.load(Relaxed)), (1, 1), "a command ran twice");
    drop(bridge);
    held_back.abort();
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_allowed_in_time_and_understood_is_done() {
    let world = World::new().await;
    let mut said = world.robot.subscribe::<Text>("said", QosProfile::default(), Queue::all()).unwrap();
    let _bridge = world.bridge();
    world.plane.until("the bridge is there", |held| held.hellos > 0).await;
    let publish =
        |topic: &str, message: Value| json!({"kind": "publish", "topic": topic, "type": "std_msgs/msg/String", "message": message});
    world.give("forbidden", SOON, publish("cmd_vel", json!({})));
    world.give("foreign", SOON, publish("/robot_2/said", json!({})));
    world.give("service", SOON, json!({"kind": "call_service", "service": "gate/deep/open", "type": "std_srvs/srv/Trigger"}));
    world.give("late", -1, publish("said", json!({"data": "late"})));
    world.give("unknown", SOON, json!({"kind": "dance"}));
    world.give("misfit", SOON, publish("said", json!({"dat": "x"})));
    world.give("nobody", SOON, json!({"kind": "call_service", "service": "reset", "type": "std_srvs/srv/Trigger", "timeout_s": 0.5}));
    let live = json!({"kind": "live", "session": "a-1", "for_s": 60, "from_robot": ["said"], "max_hz": 5, "max_kbps": 100});
    world.give("live", SOON, live);
    world.give("no-live", SOON, json!({"kind": "end_live", "session": "a-1"}));
    world.give("good", SOON, publish("said", json!({"data": "hello"})));
    for (id, outcome, why) in [
        ("forbidden", CommandOutcome::Refused, "command_topics"),
        ("foreign", CommandOutcome::Refused, "command_topics"),
        ("service", CommandOutcome::Refused, "command_services"),
        ("late", CommandOutcome::Expired, "after its expiry"),
        ("unknown", CommandOutcome::Refused, "unknown variant `dance`"),
        ("misfit", CommandOutcome::Refused, "\"dat\""),
        ("nobody", CommandOutcome::Failed, "is not available"),
        ("live", CommandOutcome::Refused, "identity_dir"),
        ("no-live", CommandOutcome::Done, "no such session"),
        ("good", CommandOutcome::Done, ""),
    ] {
        world.plane.until(id, |held| ended(held, id).is_some()).await;
        let word = words(&world.plane.held.lock().unwrap(), id).remove(0);
        assert!(word.outcome == outcome && word.message.contains(why), "{word:?}");
    }
    let heard = tokio::time::timeout(std::time::Duration::from_secs(20), said.next()).await.unwrap().unwrap();
    assert_eq!(heard.data, "hello", "nothing else was published");
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_type_that_is_only_installed_is_published_with_its_defaults() {
    let world = World::new().await;
    let prefix = world.dir.path().join("ros");
    let share = prefix.join("share/squeeze_msgs");
    std::fs::create_dir_all(share.join("msg")).unwrap();
    std::fs::write(share.join("package.xml"), "<package/>").unwrap();
    std::fs::write(share.join("msg/Squeeze.msg"), "float64 force_n 2.5\nstring hand \"left\"\nuint8[] fingers [1, 2]\n").unwrap();
    let ty = registry::resolve_in(&[prefix], "squeeze_msgs/msg/Squeeze", None).unwrap();
    let mut said = world.robot.subscribe_dynamic("said", ty.name, QosProfile::default(), Queue::all()).unwrap();
    let _bridge = world.bridge();
    let publish = |ty: &str| json!({"kind": "publish", "topic": "said", "type": ty, "message": {"hand": "right"}});
    world.give("squeeze", SOON, publish(ty.name));
    world.give("unknown", SOON, publish("squeeze_msgs/msg/Press"));
    for (id, outcome) in [("squeeze", CommandOutcome::Done), ("unknown", CommandOutcome::Refused)] {
        world.plane.until(id, |held| ended(held, id).is_some()).await;
        let word = words(&world.plane.held.lock().unwrap(), id).remove(0);
        assert_eq!(word.outcome, outcome, "{word:?}");
    }
    let heard = tokio::time::timeout(std::time::Duration::from_secs(20), said.next()).await.unwrap().unwrap();
    assert_eq!(heard, json!({"force_n": 2.5, "hand": "right", "fingers": [1, 2]}));
    world.context.shutdown().unwrap();
}
