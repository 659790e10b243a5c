//! Live sessions: a robot with its graph, a desk with its own, and `edgeflow live` between them.

mod ends;

use crate::world::{PATIENCE, World};
use edgeflow_bridge::{Allowed, Bridge, Config, LiveRules, Secret, Secure};
use edgeflow_core::{Principal, TargetName};
use edgeflow_identity::{BootstrapToken, enrol, make_key};
use edgeflow_ros::{Context, Node, QosProfile, Queue, RawPublisher, RawSubscription, RawType, router::Router};
use edgeflow_server::app::LiveOrder;
use edgeflow_uplink::live::{LiveConfig, LiveEnd, LiveHeard, Pem};
use edgeflow_wire::{Class, LiveKeys, Topics};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use zenoh::{Config as ZenohConfig, Session};

/// A graph and a node in it.
struct Graph {
    router: Router,
    context: Context,
    node: Node,
}

impl Graph {
    fn start(name: &str) -> Self {
        let router = Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let context = Context::builder().router(router.addr()).build().unwrap();
        let node = Node::create(&context, name, "").unwrap();
        Self { router, context, node }
    }

    fn publisher(&self, topic: &str, ty: &RawType) -> RawPublisher {
        self.node.create_raw_publisher(topic, ty, QosProfile::default()).unwrap()
    }

    fn subscription(&self, topic: &str, ty: &RawType) -> RawSubscription {
        self.node.subscribe_opaque(topic, ty, QosProfile::default(), Queue::all()).unwrap()
    }
}

/// A robot with a bridge, enrolled, whose uplink is MQTT: live sessions have a connection of their own.
struct Robot {
    graph: Graph,
    bridge: Bridge,
    folder: tempfile::TempDir,
    bridge_context: Context,
}

impl Robot {
    async fn start(world: &World, live: LiveRules) -> Self {
        Self::start_at(world, live, world.zenoh.unwrap().to_string()).await
    }

    /// One that looks for the router there.
    async fn start_at(world: &World, live: LiveRules, zenoh: String) -> Self {
        world.server.enrol("robot-1").await;
        let name = TargetName::new("robot-1").unwrap();
        let token = world.server.app.bootstrap_target(&Principal::administrator(), &name, None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("identity");
        let token = BootstrapToken::parse(&token.token, None).unwrap();
        enrol(&format!("https://{}", world.secure.https), &token, &identity, false).await.unwrap();
        let (mqtt, http) = (world.secure.mqtts.to_string(), format!("https://{}", world.secure.https));
        let config = Config {
            robot: "robot-1".into(),
            data_dir: folder.path().join("data"),
            uplinks: vec!["mqtt".into()],
            secure: Some(Secure::open(&identity, &mqtt, &http).unwrap()),
            mqtt,
            http,
            zenoh,
            bandwidth_kbps: 0,
            token: Secret::new(""),
            allowed: Allowed::default(),
            live,
            capture_topics: Vec::new(),
            capture_memory_mb: 64,
            capture_budget_mb: 256,
            inference_node: "inference_node".into(),
            slots_file: Default::default(),
            battery_topic: String::new(),
            summary_period: Duration::from_secs(60),
            drift_period: Duration::from_secs(60),
            log: edgeflow_edge_log::Options::default(),
            local_socket: folder.path().join("socket"),
            local_http_port: None,
            survival: Default::default(),
        };
        let graph = Graph::start("arm");
        let bridge_context = Context::builder().router(graph.router.addr()).build().unwrap();
        let node = Node::create(&bridge_context, "bridge_node", "").unwrap();
        let bridge = Bridge::start(&node, &config, config.uplink().unwrap()).unwrap();
        until_let_in(world, &identity.join("robot.pem")).await;
        Self { graph, bridge, folder, bridge_context }
    }

    async fn stop(self) -> tempfile::TempDir {
        self.bridge.stop().await;
        self.bridge_context.shutdown().unwrap();
        self.graph.context.shutdown().unwrap();
        self.folder
    }
}

/// Waits until the router knows a robot that has just enrolled.
async fn until_let_in(world: &World, pem: &std::path::Path) {
    let wait = async {
        loop {
            let session = raw(world, pem).await;
            let news = session.get("edgeflow/targets/robot-1/deploy").timeout(Duration::from_millis(500)).await.unwrap();
            let answered = matches!(news.recv_async().await, Ok(reply) if reply.result().is_ok());
            session.close().await.unwrap();
            if answered {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the router never let the robot in");
}

/// A session that does what it likes, with somebody's certificate.
async fn raw(world: &World, pem: &std::path::Path) -> Session {
    let config = json!({
        "mode": "client",
        "connect": { "endpoints": [format!("tls/{}", world.zenoh.unwrap())], "timeout_ms": 10_000 },
        "listen": { "endpoints": [] },
        "scouting": { "multicast": { "enabled": false } },
        "transport": { "shared_memory": { "enabled": false }, "link": { "tls": {
            "root_ca_certificate": world.server.app.authority().files().ca, "enable_mtls": true,
            "connect_certificate": pem, "connect_private_key": pem,
        } } },
    });
    zenoh::open(ZenohConfig::from_json5(&config.to_string()).unwrap()).await.unwrap()
}

fn odd() -> RawType {
    RawType { name: "unheard_msgs/msg/Of".into(), hash: format!("RIHS01_{}", "5a".repeat(32)) }
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// `edgeflow live`, running.
struct Live {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

fn edgeflow(world: &World, desk: &Graph, arguments: &[&str]) -> Command {
    // Beside this test, where cargo puts the programs of the workspace.
    let path = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("edgeflow");
    assert!(path.exists(), "{} is not built: cargo build --workspace --bin edgeflow", path.display());
    let mut command = Command::new(path);
    command.arg("live").args(arguments).env("EDGEFLOW_URL", &world.server.base).env("EDGEFLOW_TOKEN", crate::common::TOKEN);
    command.env("EDGEFLOW_ROS_ROUTER", desk.router.addr().to_string()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Live {
    fn start(world: &World, desk: &Graph, arguments: &[&str]) -> Self {
        let mut child = edgeflow(world, desk, arguments).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line with this in it.
    async fn says(&mut self, what: &str) -> String {
        let find = async {
            let mut said = Vec::new();
            loop {
                match self.lines.next_line().await.unwrap() {
                    Some(line) if line.contains(what) => return line,
                    Some(line) => said.push(line),
                    None => {
                        let mut errors = String::new();
                        self.child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
                        panic!("it ended before {what:?}: {said:?} {errors}");
                    }
                }
            }
        };
        timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("it never said {what:?}"))
    }

    async fn interrupt(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
        self.says("it was ended here").await;
        assert!(timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success());
    }
}

async fn next(bodies: &mut RawSubscription) -> Vec<u8> {
    timeout(PATIENCE, bodies.next()).await.expect("nothing came").unwrap()
}

/// Publishes until it arrives: the first messages may go before everybody knows of everybody.
async fn arrives(publisher: &RawPublisher, bodies: &mut RawSubscription, body: &[u8]) {
    let come = async {
        loop {
            publisher.publish(body).unwrap();
            if let Ok(Some(came)) = timeout(Duration::from_millis(200), bodies.next()).await {
                assert_eq!(came, body);
                // Others of the same may be on their way.
                while let Ok(Some(came)) = timeout(Duration::from_millis(300), bodies.next()).await {
                    assert_eq!(came, body);
                }
                return;
            }
        }
    };
    timeout(PATIENCE, come).await.expect("it never arrived");
}

fn rules(from_robot: &[&str], to_robot: &[&str]) -> LiveRules {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    LiveRules { from_robot: owned(from_robot), to_robot: owned(to_robot), max_kbps: 100_000 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_that_does_not_reach_the_router_says_so() {
    let world = World::with_zenoh().await;
    // Held, so that nobody else takes it, and never listened on.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = held.local_addr().unwrap().to_string();
    let robot = Robot::start_at(&world, rules(&["**"], &[]), nobody.clone()).await;
    let (_, _, id) = order_of(&world, "robot-1", 60.0, 100).await;
    let word = word(&world, &id).await;
    let message = word["message"].as_str().unwrap();
    assert!(word["state"] == "failed" && message.contains("zenoh router") && message.contains(&nobody), "{word}");
    // Nor does one open a session with a robot that has no certificate.
    world.server.enrol("robot-2").await;
    let order = json!({"csr": "", "from_robot": ["/a"], "for_s": 60, "max_hz": 1, "max_kbps": 1});
    let (status, body) = world.server.post("/targets/robot-2/live", order).await;
    assert!(status == 409 && body.to_string().contains("edgeflow enroll"), "{body}");
    robot.stop().await;
    world.stop().await;
}

/// Waits for an entry of a robot's log about a session's end.
async fn ended_entry(world: &World) -> Value {
    let find = async {
        loop {
            let page = world.server.get("/targets/robot-1/entries?class=event&order=asc&limit=1000").await;
            let found = page["items"].as_array().unwrap().iter().find(|entry| entry["kind"] == "live" && entry["body"]["active"] == false);
            if let Some(entry) = found {
                return entry["body"].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, find).await.expect("no entry of the session's end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_an_unknown_type_appears_at_the_desk_and_one_of_the_desk_on_the_robot() {
    let world = World::with_zenoh().await;
    let robot = Robot::start(&world, rules(&["arm/*", "/camera/**"], &["/arm/command"])).await;
    let desk = Graph::start("desk");
    let (state, secret) = (robot.graph.publisher("/arm/state", &odd()), robot.graph.publisher("/secret", &odd()));
    let mut commands = robot.graph.subscription("/arm/command", &odd());
    // What was said before anybody looked, and is kept for those who come later.
    let latched = QosProfile::default().keep_last(1).reliable().transient_local();
    let map = robot.graph.node.create_raw_publisher("/arm/map", &odd(), latched).unwrap();
    map.publish(b"the map").unwrap();

    // What is not allowed is refused by its name, in each direction by itself.
    for (arguments, names) in [
        (["robot-1", "/secret"].as_slice(), ["/secret", "live_from_robot"]),
        (&["robot-1", "--to-robot", "/arm/state"], ["/arm/state", "live_to_robot"]),
        (&["robot-1", "/arm/command", "--to-robot", "/arm/command"], ["/arm/command", "twice"]),
        (&["robot-1", "/arm/command", "--to-robot", "arm/command"], ["/arm/command", "both directions"]),
    ] {
        let output = timeout(PATIENCE, edgeflow(&world, &desk, arguments).output()).await.unwrap().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && names.iter().all(|name| error.contains(name)), "{arguments:?}: {error}");
    }
    let (status, body_) = world.server.post("/targets/robot-1/commands", json!({"action": {"kind": "end_live", "session": "x"}})).await;
    assert!(status == 400 && body_.to_string().contains("/live"), "{body_}");

    let arguments =
        ["robot-1", "/arm/state", "/arm/map", "--to-robot", "/arm/command", "--for", "5m", "--max-hz", "1000", "--max-kbps", "100000"];
    let mut live = Live::start(&world, &desk, &arguments);
    live.says("live session").await;
    live.says("/arm/state [unheard_msgs/msg/Of] -> /robot_1/arm/state").await;
    let mut seen = desk.subscription("/robot_1/arm/state", &odd());
    arrives(&state, &mut seen, b"first").await;
    assert!(desk.node.wait_for_graph(PATIENCE, |node| node.count_publishers("/robot_1/arm/state").unwrap() == 1).await);
    let found = desk.node.get_publishers_info("/robot_1/arm/state").unwrap();
    assert_eq!((found[0].type_name.as_str(), found[0].type_hash.as_deref()), (odd().name.as_str(), Some(odd().hash.as_str())));
    for length in [0, 1, 3, 70_000, 900_000] {
        state.publish(&body(length)).unwrap();
        assert!(next(&mut seen).await == body(length), "{length}");
    }
    let steer = desk.publisher("/robot_1/arm/command", &odd());
    arrives(&steer, &mut commands, b"left").await;
    for length in [2, 50_000] {
        steer.publish(&body(length)).unwrap();
        assert!(next(&mut commands).await == body(length), "{length}");
    }
    drop(secret);

    // Nobody here was there when it was said, nor when it came.
    let mut maps = desk.node.subscribe_opaque("/robot_1/arm/map", &odd(), latched, Queue::all()).unwrap();
    assert_eq!(next(&mut maps).await, b"the map");

    let listed = world.server.get("/targets/robot-1/live").await;
    assert_eq!(listed[0]["from_robot"], json!(["/arm/state", "/arm/map"]));
    live.interrupt().await;
    let gone = |node: &Node| node.count_subscribers("/arm/state").is_ok_and(|count| count == 0);
    assert!(robot.graph.node.wait_for_graph(PATIENCE, gone).await, "the robot still listens");
    assert_eq!(world.server.get("/targets/robot-1/live").await, json!([]));
    let entry = ended_entry(&world).await;
    assert_eq!((&entry["reason"], entry["topics"][0]["hash"].as_str()), (&json!("it was ended by command"), Some(odd().hash.as_str())));

    // Somebody else ends a session: its operator learns of it and is out.
    let mut live = Live::start(&world, &desk, &["robot-1", "/arm/state"]);
    live.says("live session").await;
    let list = timeout(PATIENCE, edgeflow(&world, &desk, &["robot-1", "--list"]).output()).await.unwrap().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let session = list.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(list.contains("/arm/state") && list.lines().count() == 2, "{list}");
    let ended = timeout(PATIENCE, edgeflow(&world, &desk, &["robot-1", "--end", session]).output()).await.unwrap().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    live.says("was ended").await;
    assert!(timeout(PATIENCE, live.child.wait()).await.unwrap().unwrap().success());
    let audit = world.server.get("/audit?limit=1000").await;
    let acts: Vec<&Value> = audit["items"].as_array().unwrap().iter().filter(|record| record["action"] == "live").collect();
    assert!(acts.iter().any(|act| act["detail"]["to_robot"] == json!(["/arm/command"])), "{acts:?}");
    assert!(acts.iter().any(|act| act["detail"]["ended"] == true), "{acts:?}");
    robot.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_and_bytes_hold_and_what_was_left_out_is_counted() {
    let world = World::with_zenoh().await;
    let robot = Robot::start(&world, rules(&["**"], &[])).await;
    let desk = Graph::start("desk");
    let (quick, large) = (robot.graph.publisher("/quick", &odd()), robot.graph.publisher("/large", &odd()));
    let mut seen = desk.subscription("/robot_1/quick", &odd());
    let seconds = 10;
    // 5 messages a second of each; of /large three a second are all that the bytes allow.
    let arguments = ["robot-1", "/quick", "/large", "--for", "10s", "--max-hz", "5", "--max-kbps", "1000"];
    let mut live = Live::start(&world, &desk, &arguments);
    live.says("live session").await;
    let publish = async {
        let mut count = 0_u32;
        loop {
            quick.publish(&count.to_le_bytes()).unwrap();
            large.publish(&body(40_000)).unwrap();
            count += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = tokio::select! {
        _ = async { live.says("its time is over").await } => ended_entry(&world).await,
        () = publish => unreachable!(),
    };
    let count = |topic: usize, what: &str| ended["topics"][topic]["counts"][what].as_u64().unwrap();
    for topic in [0, 1] {
        assert!(count(topic, "forwarded") >= 3 && count(topic, "forwarded") <= 5 * seconds + 1, "{ended}");
        let waiting = count(topic, "received") - count(topic, "forwarded") - count(topic, "left_out");
        assert!(waiting <= 1 && count(topic, "left_out") > 2 * count(topic, "forwarded"), "{ended}");
    }
    let bytes = count(0, "bytes") + count(1, "bytes");
    assert!(bytes <= 125_000 * seconds + 12_500 + 40_000, "{ended}");
    // The newest wins: what came rises, with gaps.
    let mut numbers = Vec::new();
    while let Ok(Some(came)) = timeout(Duration::from_millis(500), seen.next()).await {
        numbers.push(u32::from_le_bytes(came.try_into().unwrap()));
    }
    assert!(numbers.len() >= 3 && numbers.windows(2).all(|pair| pair[1] > pair[0] + 2), "{numbers:?}");
    robot.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_at_its_deadline_with_the_control_plane_gone() {
    let world = World::with_zenoh().await;
    let robot = Robot::start(&world, rules(&["**"], &[])).await;
    let state = robot.graph.publisher("/state", &odd());
    let (config, keys) = order(&world, "robot-1", 15.0).await;
    let mut end = LiveEnd::operator(&config, keys).await.unwrap();
    let hears = async {
        loop {
            state.publish(b"x").unwrap();
            match timeout(Duration::from_millis(100), end.heard()).await {
                Ok(LiveHeard::Message { body, .. }) => return assert_eq!(body, b"x"),
                Ok(LiveHeard::Lost) => panic!("lost"),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, hears).await.expect("nothing is forwarded");
    world.stop().await;
    end.close().await;
    // It goes on trying to connect, and listens to nothing meanwhile; the deadline ends that.
    let log = robot.folder.path().join("data");
    let over = async {
        while !entries(&log).iter().any(|entry| entry.contains("its time is over")) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, over).await.expect("the session does not end");
    assert_eq!(robot.graph.node.count_subscribers("/state").unwrap(), 0);
    robot.stop().await;
}

/// What a robot's log says of live sessions.
fn entries(data_dir: &std::path::Path) -> Vec<String> {
    let entries = edgeflow_edge_log::LogInspector::open(data_dir).unwrap().entries(Class::Event, 1, 1_000, 1 << 20).unwrap();
    entries.iter().filter(|entry| entry.content.kind() == "live").map(|entry| serde_json::to_string(&entry.content).unwrap()).collect()
}

/// A session that was opened, without a person.
async fn order(world: &World, robot: &str, for_s: f64) -> (LiveConfig, LiveKeys) {
    let (config, keys, _) = order_of(world, robot, for_s, 1_000).await;
    (config, keys)
}

/// The same, and the id of its command.
async fn order_of(world: &World, robot: &str, for_s: f64, max_kbps: u32) -> (LiveConfig, LiveKeys, String) {
    let key = make_key("whatever").unwrap();
    let csr = key.request_pem.clone();
    let order = LiveOrder { csr, from_robot: vec!["/state".into()], to_robot: vec![], for_s, max_hz: 50.0, max_kbps };
    let opened = world.server.app.open_live(&Principal::administrator(), &TargetName::new(robot).unwrap(), order).await.unwrap();
    let config = LiveConfig {
        address: world.zenoh.unwrap().to_string(),
        ca: Pem::Text(opened.ca),
        certificate: Pem::Text(opened.certificate),
        key: Pem::Text(key.key_pem),
    };
    (config, LiveKeys::of(&Topics::new(robot).unwrap(), &opened.session.session).unwrap(), opened.command.id)
}

/// What the robot says of a session.
async fn word(world: &World, id: &str) -> Value {
    let find = async {
        loop {
            let command = world.server.get(&format!("/targets/robot-1/commands/{id}")).await;
            if command["state"] != "pending" {
                return command;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, find).await.expect("the robot says nothing")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_has_so_many_sessions_and_so_many_bytes_and_no_more() {
    let world = World::with_zenoh().await;
    let robot = Robot::start(&world, LiveRules { max_kbps: 1_000, ..rules(&["**"], &[]) }).await;
    let ask = async |max_kbps: u32| {
        let (_, keys, id) = order_of(&world, "robot-1", 600.0, max_kbps).await;
        (keys, word(&world, &id).await)
    };
    let (_, first) = ask(400).await;
    assert_eq!((&first["state"], &first["result"]["max_kbps"]), (&json!("done"), &json!(400)), "{first}");
    let (keys, second) = ask(2_000).await;
    assert_eq!(second["result"]["max_kbps"], 600, "what is left: {second}");
    let (_, third) = ask(1).await;
    assert!(third["state"] == "refused" && third["message"].as_str().unwrap().contains("live_max_kbps, 1000"), "{third}");

    // One that ends makes room.
    let session = keys.here().rsplit('/').nth(1).unwrap().to_owned();
    world.server.app.end_live(&Principal::administrator(), &TargetName::new("robot-1").unwrap(), &session, false).await.unwrap();
    ended_entry(&world).await;
    for _ in 0..3 {
        let (_, more) = ask(100).await;
        assert_eq!(more["state"], "done", "{more}");
    }
    let (_, fifth) = ask(100).await;
    assert!(fifth["state"] == "refused" && fifth["message"].as_str().unwrap().contains("4 live sessions"), "{fifth}");
    robot.stop().await;
    world.stop().await;
}
