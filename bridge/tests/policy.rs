//! A telemetry policy on a real robot: `bridge_node` as a program, publishers beside it, a control plane above it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use common::{ControlPlane, Held, TOKEN};
use edgeflow_ros::{
    Context, Node, QosProfile, Queue,
    builtin_interfaces::msg::Time,
    diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus},
    edgeflow_msgs::msg::{MissionEvent, RouteStatus, UplinkStatus},
    nav_msgs::msg::Odometry,
    registry, router,
    sensor_msgs::msg::{BatteryState, LaserScan},
    std_msgs::msg::Header,
};
use edgeflow_wire::{
    Class, Content, DesiredState, EntryBody, FieldWindow, PolicyOutcome, PolicyStatusBody, SampleValue, TopicSampleBody, TopicWindowBody,
    Version, VersionedPolicy, WIRE_VERSION,
};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The program; dropping it kills it.
struct Program(Child);

impl Program {
    /// As a service manager ends it: what was gathered is recorded.
    fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

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
    generation: u64,
}

impl World {
    async fn new() -> Self {
        let ros = router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), TOKEN).unwrap();
        let context = Context::builder().arguments(Vec::new()).router(ros.addr()).build().unwrap();
        let robot = Node::create(&context, "robot", "/robot_1").unwrap();
        let plane = ControlPlane::start(Held::default()).await;
        Self { router: ros.addr(), _router: ros, dir, plane, context, robot, generation: 0 }
    }

    fn bridge(&self) -> Program {
        let data = self.dir.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge_node"));
        command.args(["--ros-args", "-r", "__ns:=/robot_1", "-p", "robot:=robot-1", "-p", "uplinks:=[mqtt]"]);
        for (name, value) in [
            ("data_dir", data.display().to_string()),
            ("token_file", self.dir.path().join("token").display().to_string()),
            ("mqtt", self.plane.address.to_string()),
        ] {
            command.args(["-p", &format!("{name}:={value}")]);
        }
        command.env(router::ENVIRONMENT, self.router.to_string()).env("AMENT_PREFIX_PATH", self.dir.path().join("ros"));
        Program(command.stdin(Stdio::null()).spawn().unwrap())
    }

    fn declare(&mut self, version: u64, document: Value) {
        self.generation += 1;
        self.plane.declare(DesiredState {
            v: WIRE_VERSION,
            target: "robot-1".into(),
            version: Version { server_epoch: 1, generation: self.generation },
            policy: Some(VersionedPolicy { version, document }),
            ..DesiredState::default()
        });
    }

    /// The status, once it is as wanted.
    async fn status(&self, what: &str, wanted: impl Fn(&UplinkStatus) -> bool) -> UplinkStatus {
        let latched = QosProfile::default().keep_last(1).reliable().transient_local();
        let mut statuses = self.robot.subscribe::<UplinkStatus>("bridge_node/status", latched, Queue::latest()).unwrap();
        let mut last = None;
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(status) = statuses.next().await {
                if wanted(&status) {
                    return status;
                }
                last = Some(status);
            }
            panic!("the status ended");
        });
        found.await.unwrap_or_else(|_| panic!("waited in vain until {what}: {last:#?}"))
    }
}

fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies").join(name);
    serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bodies(held: &Held, kind: &str) -> Vec<EntryBody> {
    let known = held.kinds(kind).into_iter().filter_map(|entry| match entry.content {
        Content::Known(body) => Some(body),
        Content::Unknown { .. } => None,
    });
    known.collect()
}

fn windows(held: &Held, route: &str) -> Vec<TopicWindowBody> {
    let windows = bodies(held, "topic_window").into_iter().filter_map(|body| match body {
        EntryBody::TopicWindow(window) if window.route == route => Some(window),
        _ => None,
    });
    windows.collect()
}

fn samples(held: &Held, route: &str) -> Vec<TopicSampleBody> {
    let samples = bodies(held, "topic_sample").into_iter().filter_map(|body| match body {
        EntryBody::TopicSample(sample) if sample.route == route => Some(sample),
        _ => None,
    });
    samples.collect()
}

fn word(held: &Held, version: u64) -> Option<PolicyStatusBody> {
    let mut words: Vec<PolicyStatusBody> = bodies(held, "policy_status")
        .into_iter()
        .filter_map(|body| match body {
            EntryBody::PolicyStatus(status) if status.version == version => Some(status),
            _ => None,
        })
        .collect();
    assert!(words.len() <= 1, "told more than once: {words:?}");
    words.pop()
}

fn faults(held: &Held) -> Vec<(String, String)> {
    let faults = bodies(held, "fault").into_iter().filter_map(|body| match body {
        EntryBody::Fault(fault) if fault.source.starts_with("route ") => Some((fault.source, fault.message)),
        _ => None,
    });
    faults.collect()
}

fn odometry(x: f64) -> Odometry {
    let mut message = Odometry::default();
    message.pose.pose.position.x = x;
    message
}

fn route<'a>(status: &'a UplinkStatus, name: &str) -> Option<&'a RouteStatus> {
    status.routes.iter().find(|route| route.route == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_rules_while_everything_runs_and_a_bad_one_leaves_it_in_force() {
    let mut world = World::new().await;
    let odom = world.robot.create_publisher::<Odometry>("odom", QosProfile::default()).unwrap();
    let bridge = world.bridge();
    world.plane.until("the bridge is there", |held| held.hellos > 0).await;
    assert_eq!(odom.subscriber_count(), 0, "nothing leaves a robot without a policy");

    // The first example, with shorter windows.
    let mut document = example("position.yaml");
    document["routes"][0]["window"]["period_s"] = json!(0.5);
    world.declare(1, document.clone());
    world.plane.until("it is acknowledged", |held| word(held, 1).is_some()).await;
    assert!(odom.wait_for_subscribers(1, PATIENCE).await);
    (1..=100).for_each(|n| odom.publish(&odometry(f64::from(n))).unwrap());
    let total = |held: &Held| windows(held, "position").iter().map(|window| window.messages).sum::<u64>();
    world.plane.until("all messages are summed up", |held| total(held) == 100).await;
    {
        let held = world.plane.held.lock().unwrap();
        let all = windows(&held, "position");
        let numbers: Vec<_> = all
            .iter()
            .map(|window| match &window.fields["pose.pose.position.x"] {
                FieldWindow::Number(numbers) => numbers.clone(),
                FieldWindow::State(state) => panic!("{state:?}"),
            })
            .collect();
        assert_eq!(numbers.iter().map(|window| window.count).sum::<u64>(), 100);
        assert_eq!((numbers[0].min, numbers.last().unwrap().max, numbers.last().unwrap().last), (1.0, 100.0, 100.0));
        assert!(all.iter().all(|window| window.topic == "/robot_1/odom" && window.policy == 1 && window.end_us > window.start_us));
    }
    let status = world.status("forwarded and acknowledged", |status| {
        route(status, "position").is_some_and(|route| route.forwarded > 0 && route.acknowledged == route.forwarded)
    });
    let status = status.await;
    let position = route(&status, "position").unwrap();
    assert_eq!((status.policy_version, position.received, position.publishers), (1, 100, 1));
    assert_eq!(position.type_, "nav_msgs/msg/Odometry");

    // A bad one is refused whole, also over a restart.
    let mut bad = document.clone();
    bad["routes"][0]["window"]["period_s"] = json!("soon");
    world.declare(2, bad);
    world.plane.until("it is refused", |held| word(held, 2).is_some()).await;
    let refused = word(&world.plane.held.lock().unwrap(), 2).unwrap();
    assert_eq!((refused.outcome, refused.ruling), (PolicyOutcome::Refused, 1));
    assert!(refused.reason.starts_with("routes[0].window.period_s: invalid type"), "{}", refused.reason);
    odom.publish(&odometry(0.0)).unwrap();
    world.plane.until("the old one goes on", |held| total(held) == 101).await;
    bridge.stop();
    let bridge = world.bridge();
    let shown = world.status("the refusal is shown after a restart", |status| status.policy_error.contains("version 2")).await;
    assert_eq!(shown.policy_version, 1);
    world.status("it is subscribed again", |status| route(status, "position").is_some_and(|route| !route.topic.is_empty())).await;
    odom.publish(&odometry(0.0)).unwrap();
    world.plane.until("the old one goes on after a restart", |held| total(held) == 102).await;

    // The next one is applied while the route runs: a window that is open is not cut, and its entry has the new version.
    document["max_entries_per_s"] = json!(100);
    world.declare(3, document);
    world.plane.until("it rules", |held| word(held, 3).is_some_and(|word| word.ruling == 3)).await;
    odom.publish(&odometry(7.0)).unwrap();
    world.plane.until("it goes on", |held| windows(held, "position").iter().any(|window| window.policy == 3)).await;
    let again = world.status("it rules", |status| status.policy_version == 3).await;
    assert!(again.policy_error.is_empty() && route(&again, "position").unwrap().received >= 2, "the route was not begun anew");

    // No policy, no report.
    world.declare(4, json!({}));
    world.plane.until("it rules", |held| word(held, 4).is_some()).await;
    world.status("no route is left", |status| status.policy_version == 4 && status.routes.is_empty()).await;
    bridge.stop();
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn states_and_changes_are_reported_and_what_cannot_be_is_a_fault_beside_what_runs() {
    let mut world = World::new().await;
    let qos = QosProfile::default;
    let diagnostics = world.robot.create_publisher::<DiagnosticArray>("/diagnostics", qos()).unwrap();
    let battery = world.robot.create_publisher::<BatteryState>("battery", qos()).unwrap();
    let scan = world.robot.create_publisher::<LaserScan>("front/scan", qos().best_effort()).unwrap();
    let bridge = world.bridge();
    // The second and the third example together, and two routes that cannot run.
    let mut document = example("health.yaml");
    document["routes"][1]["window"]["period_s"] = json!(0.5);
    let mut routes = document["routes"].as_array().unwrap().clone();
    let mut lidar = example("lidar.yaml")["routes"][0].clone();
    lidar["samples"]["max_hz"] = json!(1);
    routes.push(lidar);
    routes.push(json!({"name": "typo", "allow": ["battery"], "fields": ["voltag"], "window": {"period_s": 1}}));
    routes.push(json!({"name": "foreign", "allow": ["other"], "fields": ["x"], "window": {"period_s": 1}}));
    world.declare(1, json!({"routes": routes}));
    world.plane.until("it rules", |held| word(held, 1).is_some()).await;
    assert!(diagnostics.wait_for_subscribers(1, PATIENCE).await);
    assert!(battery.wait_for_subscribers(1, PATIENCE).await && scan.wait_for_subscribers(1, PATIENCE).await);

    let level = |levels: &[u8]| DiagnosticArray {
        header: Header { stamp: Time { sec: 1, nanosec: 0 }, ..Header::default() },
        status: levels.iter().map(|level| DiagnosticStatus { level: *level, ..DiagnosticStatus::default() }).collect(),
    };
    // The bridge's own diagnostics are on this topic too: the worst of them is OK or WARN.
    diagnostics.publish(&level(&[0, 2, 1])).unwrap();
    diagnostics.publish(&level(&[0, 2])).unwrap();
    let worst = |held: &Held| -> Vec<String> {
        let values = samples(held, "worst-level").into_iter().map(|sample| match &sample.values["status[*].level"] {
            SampleValue::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        });
        values.collect()
    };
    world.plane.until("the worst level is an event", |held| worst(held).iter().filter(|level| *level == "ERROR").count() == 1).await;

    battery.publish(&BatteryState { power_supply_status: 1, percentage: 0.5, ..BatteryState::default() }).unwrap();
    let charging = |held: &Held| {
        windows(held, "battery")
            .iter()
            .filter_map(|window| match &window.fields["power_supply_status"] {
                FieldWindow::State(state) => state.states.get("CHARGING").map(|time| time.us),
                FieldWindow::Number(_) => None,
            })
            .sum::<i64>()
    };
    world.plane.until("a second of charging, though it was said once", |held| charging(held) > 1_000_000).await;

    let near = |nearest: f32| LaserScan { ranges: vec![9.0, f32::INFINITY, nearest], ..LaserScan::default() };
    let distances = |held: &Held| -> Vec<f64> {
        let values = samples(held, "nearest").into_iter().map(|sample| match &sample.values["ranges[*]"] {
            SampleValue::Number(value) => *value,
            other => panic!("{other:?}"),
        });
        values.collect()
    };
    for nearest in [2.0, 2.05, 1.0, 3.0, 1.5] {
        scan.publish(&near(nearest)).unwrap();
    }
    world.plane.until("first and last are there", |held| distances(held).last() == Some(&1.5)).await;
    assert_eq!(distances(&world.plane.held.lock().unwrap()), [2.0, 1.5], "at most one a second, and the last change");

    world.plane.until("what cannot be is told", |held| !faults(held).is_empty()).await;
    let said = faults(&world.plane.held.lock().unwrap());
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, "route typo on /robot_1/battery");
    assert!(said[0].1.contains("no field \"voltag\": sensor_msgs/msg/BatteryState has the fields"), "{}", said[0].1);
    let status = world.status("all is shown", |status| status.routes.len() >= 5).await;
    assert!(route(&status, "typo").unwrap().problem.contains("voltag") && route(&status, "foreign").unwrap().topic.is_empty());
    bridge.stop();
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_brings_more_for_a_while_and_then_as_little_as_before() {
    let mut world = World::new().await;
    let odom = world.robot.create_publisher::<Odometry>("odom", QosProfile::default()).unwrap();
    let missions = world.robot.create_publisher::<MissionEvent>("mission", QosProfile::default().reliable()).unwrap();
    let bridge = world.bridge();
    let closer = json!({"name": "odom", "allow": ["odom"], "fields": ["pose.pose.position.x"], "samples": {"max_hz": 100}});
    let escalation = json!({"name": "closer", "when": {"kind": "fault", "source": "mission"}, "for_s": 5, "routes": [closer]});
    world.declare(1, json!({ "escalations": [escalation] }));
    world.plane.until("it rules", |held| word(held, 1).is_some()).await;
    assert!(missions.wait_for_subscribers(1, PATIENCE).await);
    assert_eq!(odom.subscriber_count(), 0, "nothing more without a reason");
    // A kind of step that the bridge does not know is a fault.
    missions.publish(&MissionEvent { sequence: 1, kind: 9, ..MissionEvent::default() }).unwrap();
    // It lasts a few seconds: what comes in them is heard however late we know that somebody listens.
    let drive = async {
        loop {
            odom.publish(&odometry(1.25)).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = world.plane.until("more is reported", |held| !samples(held, "escalation/closer/odom").is_empty()) => {}
        () = drive => {}
    }
    {
        let held = world.plane.held.lock().unwrap();
        assert!(held.entries.iter().any(|((_, class), entries)| *class == Class::Detail && !entries.is_empty()));
    }
    world.plane.until("it is over", |held| held.kinds("escalation").len() == 2).await;
    world.status("no route is left", |status| status.routes.is_empty()).await;
    bridge.stop();
    world.context.shutdown().unwrap();
}

/// As rosidl installs it beside the interface.
fn install(prefix: &Path) {
    let share = prefix.join("share/gripper_msgs");
    std::fs::create_dir_all(share.join("msg")).unwrap();
    std::fs::write(share.join("package.xml"), "<package/>").unwrap();
    let field = |name: &str, type_id: u8| json!({"name": name, "default_value": "", "type": {"type_id": type_id, "capacity": 0, "string_capacity": 0, "nested_type_name": ""}});
    let hash = format!("RIHS01_{}", "ab".repeat(32));
    let description = json!({
        "type_description_msg": {
            "type_description": {"type_name": "gripper_msgs/msg/Grip", "fields": [field("name", 17), field("state", 3), field("force_n", 11 + 144)]},
            "referenced_type_descriptions": []
        },
        "type_hashes": [{"type_name": "gripper_msgs/msg/Grip", "hash_string": hash}]
    });
    std::fs::write(share.join("msg/Grip.json"), description.to_string()).unwrap();
    std::fs::write(share.join("msg/Grip.msg"), "uint8 STATE_OPEN=0\nuint8 STATE_SHUT=1\nstring name\nuint8 state\nfloat64[] force_n\n")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_was_not_compiled_in_is_read_by_its_installed_description() {
    let mut world = World::new().await;
    let prefix = world.dir.path().join("ros");
    install(&prefix);
    let ty = registry::resolve_in(&[prefix], "gripper_msgs/msg/Grip", None).unwrap();
    let grips = world.robot.publish_described("grip", ty, QosProfile::default()).unwrap();
    let bridge = world.bridge();
    let fields = json!([{"path": "state", "as": "state"}, {"path": "force_n[*]", "reduce": "max"}, "name"]);
    world.declare(1, json!({"routes": [{"name": "grip", "allow": ["**"], "type": "gripper_msgs/msg/Grip", "fields": fields, "samples": {"max_hz": 100}}]}));
    assert!(grips.wait_for_subscribers(1, PATIENCE).await);
    grips.publish(&json!({"name": "left", "state": 1, "force_n": [0.5, 7.25]})).unwrap();
    world.plane.until("it is reported", |held| samples(held, "grip").len() == 1).await;
    let sample = samples(&world.plane.held.lock().unwrap(), "grip").remove(0);
    let expected = json!({"state": "SHUT", "force_n[*]": 7.25, "name": "left"});
    assert_eq!(serde_json::to_value(&sample.values).unwrap(), expected);
    bridge.stop();
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_known_to_its_publisher_only_is_learned_from_it() {
    use edgeflow_ros::RawType;
    let mut world = World::new().await;
    // Here, and not where the bridge looks; and without a description: the interface file alone.
    let here = tempfile::tempdir().unwrap();
    let share = here.path().join("share/remote_msgs");
    std::fs::create_dir_all(share.join("msg")).unwrap();
    std::fs::write(share.join("package.xml"), "<package/>").unwrap();
    std::fs::write(share.join("msg/Joint.msg"), "float64 angle\nstring<=8 name\n").unwrap();
    std::fs::write(share.join("msg/Arm.msg"), "std_msgs/Header header\nJoint[] joints\nbool stopped\n").unwrap();
    let ty = registry::resolve_in(&[here.path().to_owned()], "remote_msgs/msg/Arm", None).unwrap();
    let arm = world.robot.publish_described("arm", ty, QosProfile::default()).unwrap();
    // A type that nobody can describe, its publisher neither.
    let odd = RawType { name: "unheard_msgs/msg/Of".into(), hash: format!("RIHS01_{}", "5a".repeat(32)) };
    let _odd = world.robot.create_raw_publisher("odd", &odd, QosProfile::default()).unwrap();
    let bridge = world.bridge();
    let arms = json!({"name": "arm", "allow": ["arm"], "fields": [{"path": "joints[*].angle", "reduce": "max"}, "stopped", "joints[1].name"], "samples": {"max_hz": 100}});
    let odds = json!({"name": "odd", "allow": ["odd"], "fields": ["x"], "window": {"period_s": 1}});
    world.declare(1, json!({"routes": [arms, odds]}));
    assert!(arm.wait_for_subscribers(1, PATIENCE).await);
    let joints = json!([{"angle": 0.5, "name": "elbow"}, {"angle": 1.25, "name": "wrist"}]);
    arm.publish(&json!({"header": {"frame_id": "base"}, "joints": joints, "stopped": true})).unwrap();
    world.plane.until("it is reported", |held| samples(held, "arm").len() == 1).await;
    let sample = samples(&world.plane.held.lock().unwrap(), "arm").remove(0);
    let expected = json!({"joints[*].angle": 1.25, "stopped": true, "joints[1].name": "wrist"});
    assert_eq!(serde_json::to_value(&sample.values).unwrap(), expected);
    let shown = world.status("the other is a problem", |status| route(status, "odd").is_some_and(|route| !route.problem.is_empty())).await;
    let problem = &route(&shown, "odd").unwrap().problem;
    assert!(problem.contains("unheard_msgs/msg/Of") && problem.contains("/robot_1/robot does not describe"), "{problem}");
    bridge.stop();
    world.context.shutdown().unwrap();
}
