//! The whole node over the embedded ROS stack: a stand-in for the inference node beside it, a control plane above it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use axum::{
    Router,
    extract::{Path as UrlPath, State},
    http::StatusCode,
    routing::get,
};
use common::{ControlPlane, Held, TOKEN};
use edgeflow_bridge::{Bridge, Config, Secret};
use edgeflow_bundle::{BundleFile, Digest, bundle_digest};
use edgeflow_ros::{
    Context, Node, Publisher, QosProfile,
    edgeflow_msgs::{
        msg::{DeploymentStatus, InferenceResult, MissionEvent, ModelInfo, UplinkStatus},
        srv::{GetModelInfo, LoadModel},
    },
    router,
};
use edgeflow_wire::{BundleFileRef, Content, DesiredState, EntryBody, SlotKind, SlotSpec, SlotStatus, Version, WIRE_VERSION};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};

const NAMESPACE: &str = "/robot_1";
const PATIENCE: Duration = Duration::from_secs(30);

type Artifacts = Arc<Mutex<HashMap<String, Vec<u8>>>>;

async fn serve_artifacts(artifacts: Artifacts) -> SocketAddr {
    async fn artifact(State(artifacts): State<Artifacts>, UrlPath(sha): UrlPath<String>) -> (StatusCode, Vec<u8>) {
        match artifacts.lock().unwrap().get(&sha) {
            Some(content) => (StatusCode::OK, content.clone()),
            None => (StatusCode::SERVICE_UNAVAILABLE, Vec::new()),
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/api/v1/artifacts/{sha}", get(artifact)).with_state(artifacts);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn spec(version: &str, content: &[u8]) -> SlotSpec {
    let sha256 = Digest::of(content);
    let file = BundleFile { path: "model.onnx".into(), size_bytes: content.len() as u64, sha256 };
    SlotSpec {
        kind: SlotKind::Model,
        model: "label-reader".into(),
        version: version.into(),
        digest: bundle_digest(&[file]).to_string(),
        files: vec![BundleFileRef { path: "model.onnx".into(), size_bytes: content.len() as u64, sha256: sha256.hex() }],
    }
}

fn desired(target: &str, generation: u64, spec: &SlotSpec) -> DesiredState {
    DesiredState {
        v: WIRE_VERSION,
        target: target.into(),
        version: Version { server_epoch: 1, generation },
        slots: BTreeMap::from([("default".to_owned(), spec.clone())]),
        ..DesiredState::default()
    }
}

/// Says what it is told to load, and that it runs it.
struct InferenceNode {
    context: Context,
    status: Arc<Publisher<DeploymentStatus>>,
    running: Arc<Mutex<ModelInfo>>,
}

/// Bundle digests in the order in which they were to be loaded.
type Loads = Arc<watch::Sender<Vec<String>>>;

impl InferenceNode {
    fn start(router: SocketAddr, loads: &Loads, refusal: Option<&'static str>) -> Self {
        let context = Context::builder().arguments(Vec::new()).router(router).build().unwrap();
        let node = Node::create(&context, "inference_node", NAMESPACE).unwrap();
        let qos = QosProfile::default().keep_last(1).reliable().transient_local();
        let status = Arc::new(node.create_publisher::<DeploymentStatus>("~/status", qos).unwrap());
        let mut load = node.create_service::<LoadModel::Service>("~/load_model").unwrap();
        let mut info = node.create_service::<GetModelInfo::Service>("~/get_model_info").unwrap();
        let running = Arc::new(Mutex::new(ModelInfo::default()));
        let shown = Arc::clone(&running);
        status.publish(&DeploymentStatus::default()).unwrap();
        let (publisher, now_running, loads) = (Arc::clone(&status), Arc::clone(&running), Arc::clone(loads));
        tokio::spawn(async move {
            while let Some(request) = load.next().await {
                let asked = request.message.clone();
                assert!(Path::new(&asked.bundle_path).join("model.onnx").exists(), "{}", asked.bundle_path);
                loads.send_modify(|loads| loads.push(asked.digest.clone()));
                let mut response =
                    LoadModel::Response { digest: now_running.lock().unwrap().digest.clone(), ..LoadModel::Response::default() };
                if let Some(refusal) = refusal {
                    response.message = refusal.into();
                } else {
                    *now_running.lock().unwrap() = ModelInfo {
                        name: asked.model_name,
                        version: asked.model_version,
                        digest: asked.digest.clone(),
                        ..ModelInfo::default()
                    };
                    response = LoadModel::Response { success: true, digest: asked.digest.clone(), swap_gap_us: 42, ..response };
                    publisher.publish(&DeploymentStatus { running_digest: asked.digest, ..DeploymentStatus::default() }).unwrap();
                }
                request.respond(response).unwrap();
            }
        });
        tokio::spawn(async move {
            while let Some(request) = info.next().await {
                let model = running.lock().unwrap().clone();
                request
                    .respond(GetModelInfo::Response { success: !model.digest.is_empty(), model, ..GetModelInfo::Response::default() })
                    .unwrap();
            }
        });
        Self { context, status, running: shown }
    }

    /// What `~/rollback_model` does.
    fn roll_back(&self, to: &SlotSpec) {
        let model = ModelInfo { name: to.model.clone(), version: to.version.clone(), digest: to.digest.clone(), ..ModelInfo::default() };
        let out = std::mem::replace(&mut *self.running.lock().unwrap(), model);
        let mut status = DeploymentStatus {
            slot: "default".into(),
            status: DeploymentStatus::ROLLED_BACK,
            digest: out.digest,
            running_digest: to.digest.clone(),
            reason: "rolled back by hand".into(),
            ..DeploymentStatus::default()
        };
        status.stamp.sec = 7;
        self.status.publish(&status).unwrap();
    }

    fn stop(self) {
        drop(self.status);
        self.context.shutdown().unwrap();
    }
}

struct World {
    _router: router::Router,
    router: SocketAddr,
    dir: tempfile::TempDir,
    plane: ControlPlane,
    artifacts: Artifacts,
    http: SocketAddr,
    loads: Loads,
    slots_file: PathBuf,
}

impl World {
    async fn new() -> Self {
        let ros = router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let artifacts = Artifacts::default();
        Self {
            router: ros.addr(),
            _router: ros,
            dir: tempfile::tempdir().unwrap(),
            plane: ControlPlane::start(Held::default()).await,
            http: serve_artifacts(Arc::clone(&artifacts)).await,
            artifacts,
            loads: Loads::default(),
            slots_file: PathBuf::new(),
        }
    }

    fn inference_node(&self) -> InferenceNode {
        InferenceNode::start(self.router, &self.loads, None)
    }

    fn register(&self, content: &[u8]) {
        self.artifacts.lock().unwrap().insert(Digest::of(content).hex(), content.to_vec());
    }

    fn bridge(&self) -> (Context, Node, Bridge) {
        let context = Context::builder().arguments(Vec::new()).router(self.router).build().unwrap();
        let node = Node::create(&context, "bridge_node", NAMESPACE).unwrap();
        let config = Config {
            robot: "robot-1".into(),
            data_dir: self.dir.path().to_owned(),
            uplinks: vec!["mqtt".into()],
            mqtt: self.plane.address.to_string(),
            http: format!("http://{}", self.http),
            token: Secret::new(TOKEN),
            secure: None,
            zenoh: String::new(),
            bandwidth_kbps: 0,
            inference_node: "inference_node".into(),
            slots_file: self.slots_file.clone(),
            battery_topic: "battery_state".into(),
            summary_period: Duration::from_millis(200),
            drift_period: Duration::ZERO,
            log: edgeflow_edge_log::Options::default(),
            allowed: Default::default(),
            live: Default::default(),
            capture_topics: Vec::new(),
            capture_memory_mb: 64,
            capture_budget_mb: 256,
            survival: Default::default(),
            local_socket: Default::default(),
            local_http_port: None,
        };
        let bridge = Bridge::start(&node, &config, config.uplink().unwrap()).unwrap();
        (context, node, bridge)
    }

    fn loads(&self) -> Vec<String> {
        self.loads.borrow().clone()
    }

    /// Waits until so many loads were asked for.
    async fn until_loaded(&self, count: usize) {
        let mut loads = self.loads.subscribe();
        tokio::time::timeout(PATIENCE, loads.wait_for(|loads| loads.len() >= count)).await.unwrap().unwrap();
    }
}

/// The steps told of one generation: status, running digest and reason.
fn steps(held: &Held, generation: u64) -> Vec<(SlotStatus, String, String)> {
    let steps = held.kinds("deployment_status").into_iter().filter_map(|entry| match entry.content {
        Content::Known(EntryBody::DeploymentStatus(body)) if body.for_version.generation == generation => {
            Some((body.status, body.running_digest, body.reason))
        }
        _ => None,
    });
    steps.collect()
}

fn has(held: &Held, generation: u64, status: SlotStatus) -> bool {
    steps(held, generation).iter().any(|step| step.0 == status)
}

fn faults(held: &Held) -> String {
    held.kinds("fault").iter().map(|entry| serde_json::to_string(&entry.content).unwrap()).collect()
}

fn running_in_state(held: &Held) -> Option<(u64, String)> {
    held.kinds("state").into_iter().rev().find_map(|entry| match entry.content {
        Content::Known(EntryBody::State(state)) => Some((state.observed.version.generation, state.slots["default"].digest.clone())),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_taken_up_and_survives_restarts_of_node_and_bridge() {
    let world = World::new().await;
    let node = world.inference_node();
    let (context, ros, bridge) = world.bridge();
    let content = b"model one".to_vec();
    let spec = spec("1", &content);
    world.register(&content);
    world.plane.declare(desired("robot-1", 1, &spec));
    world.plane.until("generation 1 is active", |held| has(held, 1, SlotStatus::Active)).await;
    {
        let held = world.plane.held.lock().unwrap();
        use SlotStatus::{Active, Downloading, Verifying, Warming};
        let told: Vec<SlotStatus> = steps(&held, 1).iter().map(|step| step.0).collect();
        assert_eq!(told, [Downloading, Verifying, Warming, Active]);
        assert_eq!(steps(&held, 1)[3].1, spec.digest);
    }
    world.plane.until("the state attests it", |held| running_in_state(held) == Some((1, spec.digest.clone()))).await;

    // The inference node dies: it is missed, and when it is back it gets its model again.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.plane.until("it was loaded again", |held| steps(held, 1).iter().filter(|step| step.0 == SlotStatus::Active).count() == 2).await;
    assert_eq!(world.loads(), [spec.digest.clone(), spec.digest.clone()]);

    // The bridge restarts: it knows what shall be, asks what is, and touches nothing.
    bridge.stop().await;
    drop(ros);
    context.shutdown().unwrap();
    let (context, ros, bridge) = world.bridge();
    world.plane.until("it is attested again", |held| steps(held, 1).iter().filter(|step| step.0 == SlotStatus::Active).count() == 3).await;
    assert_eq!(world.loads().len(), 2, "a bundle that runs was loaded again");
    bridge.stop().await;
    drop(ros);
    context.shutdown().unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_the_robot_reaches_the_control_plane() {
    let world = World::new().await;
    let (context, ros, bridge) = world.bridge();
    let robot = Node::create(&context, "sim_robot", NAMESPACE).unwrap();
    let qos = || QosProfile::default().keep_last(100).reliable();
    let missions = robot.create_publisher::<MissionEvent>("mission", qos()).unwrap();
    let results = robot.create_publisher::<InferenceResult>("inference_node/result", qos()).unwrap();
    let latched = QosProfile::default().keep_last(1).reliable().transient_local();
    let mut status = robot.subscribe::<UplinkStatus>("bridge_node/status", latched, edgeflow_ros::Queue::latest()).unwrap();
    assert!(missions.wait_for_subscribers(1, PATIENCE).await && results.wait_for_subscribers(1, PATIENCE).await);
    for sequence in 1..=50 {
        missions.publish(&MissionEvent { sequence, mission_id: "m".into(), kind: 1, ..MissionEvent::default() }).unwrap();
        results.publish(&InferenceResult { model_digest: "sha256:d".into(), latency_us: 100, ..InferenceResult::default() }).unwrap();
    }
    world.plane.until("all missions are stored", |held| held.kinds("mission").len() == 50).await;
    let results_told = |held: &Held| -> u64 {
        let summaries = held.kinds("inference_summary").into_iter().filter_map(|entry| match entry.content {
            Content::Known(EntryBody::InferenceSummary(summary)) => Some(summary.results),
            _ => None,
        });
        summaries.sum()
    };
    world.plane.until("all results are summed up", |held| results_told(held) == 50).await;
    {
        let held = world.plane.held.lock().unwrap();
        let mut sequences: Vec<(u64, u64)> = held
            .kinds("mission")
            .into_iter()
            .filter_map(|entry| match entry.content {
                Content::Known(EntryBody::Mission(mission)) => Some((entry.seq, mission.sequence)),
                _ => None,
            })
            .collect();
        sequences.sort_unstable();
        assert_eq!(sequences.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
        assert!(faults(&held).is_empty(), "{}", faults(&held));
    }
    world.plane.until("the link's coming is told", |held| held.kinds("link").len() == 1).await;
    let shown = tokio::time::timeout(PATIENCE, async {
        while let Some(status) = status.next().await {
            if status.connected && status.classes.iter().any(|class| class.name == "event" && class.acknowledged >= 50) {
                return status;
            }
        }
        panic!("the status ended");
    });
    assert_eq!(shown.await.unwrap().robot, "robot-1");
    bridge.stop().await;
    drop((ros, robot));
    context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_does_not_match_its_digest_fails_and_nothing_is_loaded() {
    let world = World::new().await;
    let node = world.inference_node();
    let (context, _ros, bridge) = world.bridge();
    let good = spec("1", b"model one");
    world.register(b"model one");
    world.plane.declare(desired("robot-1", 1, &good));
    world.plane.until("generation 1 is active", |held| has(held, 1, SlotStatus::Active)).await;

    let bad = spec("2", b"model two");
    world.artifacts.lock().unwrap().insert(Digest::of(b"model two").hex(), b"model 2wo".to_vec());
    world.plane.declare(desired("robot-1", 2, &bad));
    world.plane.until("generation 2 failed", |held| has(held, 2, SlotStatus::Failed)).await;
    let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), 2).pop().unwrap();
    assert!(reason.contains("model.onnx does not match"), "{reason}");
    assert_eq!(running, good.digest, "what ran before does not run any more");
    assert_eq!(world.loads(), std::slice::from_ref(&good.digest));

    // The node restarts meanwhile: what cannot run stays failed, and what ran before serves again.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.plane.until("version 1 serves again", |held| running_in_state(held) == Some((2, good.digest.clone()))).await;
    bridge.stop().await;
    context.shutdown().unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_the_node_refuses_fails_with_the_nodes_words() {
    let world = World::new().await;
    let node = InferenceNode::start(world.router, &world.loads, Some("model.onnx is cut short at byte 9"));
    let (context, _ros, bridge) = world.bridge();
    world.register(b"model one");
    world.plane.declare(desired("robot-1", 1, &spec("1", b"model one")));
    world.plane.until("generation 1 failed", |held| has(held, 1, SlotStatus::Failed)).await;
    let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), 1).pop().unwrap();
    assert_eq!((running.as_str(), reason.as_str()), ("", "model.onnx is cut short at byte 9"));
    assert_eq!(world.loads().len(), 1);
    bridge.stop().await;
    context.shutdown().unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_desired_state_supersedes_a_download_and_lower_or_foreign_ones_are_refused() {
    let world = World::new().await;
    let node = world.inference_node();
    let (context, _ros, bridge) = world.bridge();
    // Version 1 never arrives: its artifact is not there yet.
    world.plane.declare(desired("robot-1", 3, &spec("1", b"model one")));
    world.plane.until("generation 3 is downloading", |held| has(held, 3, SlotStatus::Downloading)).await;
    world.register(b"model two");
    let second = spec("2", b"model two");
    world.plane.declare(desired("robot-1", 4, &second));
    world.plane.until("generation 4 is active", |held| has(held, 4, SlotStatus::Active)).await;

    world.plane.declare(desired("robot-2", 5, &spec("1", b"model one")));
    world.plane.until("the foreign one is refused", |held| faults(held).contains("robot-2")).await;
    world.plane.declare(desired("robot-1", 2, &spec("1", b"model one")));
    world.plane.until("the lower one is refused", |held| faults(held).contains("1/2 came after 1/4")).await;
    {
        let held = world.plane.held.lock().unwrap();
        assert!(steps(&held, 5).is_empty() && steps(&held, 2).is_empty() && !has(&held, 3, SlotStatus::Active));
    }
    assert_eq!(world.loads(), [second.digest]);
    bridge.stop().await;
    context.shutdown().unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_on_the_robot_is_told_and_stands_until_the_next_desired_state() {
    let world = World::new().await;
    let node = world.inference_node();
    let (context, ros, bridge) = world.bridge();
    let (first, second) = (spec("1", b"model one"), spec("2", b"model two"));
    world.register(b"model one");
    world.register(b"model two");
    for (generation, spec) in [(1, &first), (2, &second)] {
        world.plane.declare(desired("robot-1", generation, spec));
        world.plane.until("it is active", |held| has(held, generation, SlotStatus::Active)).await;
    }
    node.roll_back(&first);
    world.plane.until("the rollback is told", |held| has(held, 2, SlotStatus::RolledBack)).await;
    world.plane.until("the state attests it", |held| running_in_state(held) == Some((2, first.digest.clone()))).await;
    {
        let held = world.plane.held.lock().unwrap();
        let (_, running, reason) = steps(&held, 2).pop().unwrap();
        assert_eq!((running, reason.as_str()), (first.digest.clone(), "rolled back by hand"));
    }
    // The node restarts: what it was rolled back to serves again, not what was taken out.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.until_loaded(3).await;
    assert_eq!(world.loads(), [&first, &second, &first].map(|spec| spec.digest.clone()));

    // The bridge restarts: it knows of the rollback, and says so.
    bridge.stop().await;
    drop(ros);
    context.shutdown().unwrap();
    let (context, _ros, bridge) = world.bridge();
    let hellos = |held: &Held| held.kinds("link").len() >= 2;
    world.plane.until("the bridge is back", hellos).await;
    world.plane.until("the state says what it is", |held| last_status(held) == Some(SlotStatus::RolledBack)).await;

    // Another telemetry policy is no word about the model.
    let policy = edgeflow_wire::VersionedPolicy { version: 1, document: serde_json::json!({}) };
    world.plane.declare(DesiredState { policy: Some(policy.clone()), ..desired("robot-1", 3, &second) });
    world.plane.until("the policy is taken up", |held| !held.kinds("policy_status").is_empty()).await;
    world.plane.until("generation 3 is observed", |held| running_in_state(held) == Some((3, first.digest.clone()))).await;
    assert_eq!(last_status(&world.plane.held.lock().unwrap()), Some(SlotStatus::RolledBack));
    assert_eq!(world.loads().len(), 3);

    // A new generation is a new word, even if it asks for the same.
    world.plane.declare(DesiredState { policy: Some(policy), ..desired("robot-1", 4, &second) });
    world.plane.until("generation 4 is active", |held| has(held, 4, SlotStatus::Active)).await;
    assert_eq!(world.loads(), [&first, &second, &first, &second].map(|spec| spec.digest.clone()));
    bridge.stop().await;
    context.shutdown().unwrap();
    node.stop();
}

fn last_status(held: &Held) -> Option<SlotStatus> {
    held.kinds("state").into_iter().rev().find_map(|entry| match entry.content {
        Content::Known(EntryBody::State(state)) => Some(state.slots["default"].status),
        _ => None,
    })
}

/// The newest word about a slot.
fn slot_now(held: &Held, slot: &str) -> Option<edgeflow_wire::SlotState> {
    last_state(held).and_then(|state| state.slots.get(slot).cloned())
}

fn last_state(held: &Held) -> Option<edgeflow_wire::StateBody> {
    held.kinds("state").into_iter().rev().find_map(|entry| match entry.content {
        Content::Known(EntryBody::State(state)) => Some(state),
        _ => None,
    })
}

/// The document with the control plane's vectors: each slot was declared last in the generation that stands beside it.
fn declared(generation: u64, slots: &[(&str, &SlotSpec, u64, u64)]) -> DesiredState {
    let version = |generation| Version { server_epoch: 1, generation };
    let vector = |robot, generation| edgeflow_wire::VersionVector { robot, control: version(generation) };
    DesiredState {
        v: WIRE_VERSION,
        target: "robot-1".into(),
        version: version(generation),
        slots: slots.iter().map(|(name, spec, _, _)| ((*name).to_owned(), (*spec).clone())).collect(),
        vectors: slots.iter().map(|(name, _, robot, control)| ((*name).to_owned(), vector(*robot, *control))).collect(),
        ..DesiredState::default()
    }
}

impl InferenceNode {
    /// What somebody does who calls `~/load_model` by hand.
    fn load_by_hand(&self, digest: &str) {
        let model = ModelInfo { name: "mine".into(), version: "1".into(), digest: digest.into(), ..ModelInfo::default() };
        *self.running.lock().unwrap() = model;
        self.status.publish(&DeploymentStatus { running_digest: digest.into(), ..DeploymentStatus::default() }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_loaded_by_hand_stands_until_somebody_decides_restarts_of_the_bridge_included() {
    let world = World::new().await;
    let node = world.inference_node();
    let (context, ros, bridge) = world.bridge();
    let (first, second) = (spec("1", b"model one"), spec("2", b"model two"));
    world.register(b"model one");
    world.register(b"model two");
    world.plane.declare(declared(1, &[("default", &first, 0, 1)]));
    world.plane.until("it is active", |held| has(held, 1, SlotStatus::Active)).await;

    node.load_by_hand("sha256:mine");
    let changed = |held: &Held| slot_now(held, "default").is_some_and(|slot| slot.local.is_some() && slot.digest == "sha256:mine");
    world.plane.until("the change is told", changed).await;
    let slot = slot_now(&world.plane.held.lock().unwrap(), "default").unwrap();
    let vector = slot.vector.unwrap();
    assert_eq!((vector.robot, vector.control.generation, slot.status), (1, 1, SlotStatus::Active));
    assert!(slot.local.unwrap().what.contains("mine version 1"));
    assert!(faults(&world.plane.held.lock().unwrap()).contains("edgeflow targets resolve"));

    // Something else is declared by somebody who does not know of that; and the bridge restarts.
    world.plane.declare(declared(2, &[("default", &second, 0, 2)]));
    world.plane.until("it is observed", |held| last_state(held).is_some_and(|state| state.observed.version.generation == 2)).await;
    bridge.stop().await;
    drop(ros);
    context.shutdown().unwrap();
    let states = world.plane.held.lock().unwrap().kinds("state").len();
    let (context, _ros, bridge) = world.bridge();
    world.plane.until("it says again what it is", |held| held.kinds("state").len() > states && changed(held)).await;
    assert_eq!(slot_now(&world.plane.held.lock().unwrap(), "default").unwrap().vector, Some(vector), "no new change");
    assert_eq!(world.loads(), std::slice::from_ref(&first.digest), "it was overwritten without a decision");

    // Somebody decides for what is declared.
    world.plane.declare(declared(3, &[("default", &second, 1, 3)]));
    world.plane.until("generation 3 is active", |held| has(held, 3, SlotStatus::Active)).await;
    let follows = |held: &Held| {
        slot_now(held, "default")
            .is_some_and(|slot| slot.local.is_none() && slot.vector.is_some_and(|vector| vector.control.generation == 3))
    };
    world.plane.until("it follows again", follows).await;
    assert_eq!(world.loads(), [first.digest, second.digest]);
    bridge.stop().await;
    context.shutdown().unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_robot_changes_nothing_until_it_is_let_go() {
    let world = World::new().await;
    let node = world.inference_node();
    let (context, _ros, bridge) = world.bridge();
    let (first, second) = (spec("1", b"model one"), spec("2", b"model two"));
    world.register(b"model one");
    world.register(b"model two");
    world.plane.declare(declared(1, &[("default", &first, 0, 1)]));
    world.plane.until("it is active", |held| has(held, 1, SlotStatus::Active)).await;
    let hold = edgeflow_wire::Hold { reason: "audit".into(), by: "administrator".into(), since_us: 5 };
    world.plane.declare(DesiredState { hold: Some(hold.clone()), ..declared(3, &[("default", &second, 0, 2)]) });
    let told =
        |held: &Held| last_state(held).is_some_and(|state| state.observed.version.generation == 3 && state.held.as_ref() == Some(&hold));
    world.plane.until("it says that it is held", told).await;
    let state = last_state(&world.plane.held.lock().unwrap()).unwrap();
    assert_eq!((state.slots["default"].digest.as_str(), state.vector.unwrap().control.generation), (first.digest.as_str(), 1));
    world.plane.declare(declared(4, &[("default", &second, 0, 2)]));
    world.plane.until("generation 4 is active", |held| has(held, 4, SlotStatus::Active)).await;
    assert!(steps(&world.plane.held.lock().unwrap(), 3).is_empty());
    assert_eq!(world.loads(), [first.digest, second.digest]);
    bridge.stop().await;
    context.shutdown().unwrap();
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_applied_by_the_robots_own_command_once_and_edits_of_its_files_stand() {
    let mut world = World::new().await;
    let etc = world.dir.path().join("etc");
    let (script, slots) = (world.dir.path().join("apply.sh"), world.dir.path().join("slots.yaml"));
    std::fs::create_dir(&etc).unwrap();
    // What says "bad" is refused half way; each run leaves a line.
    let runs = world.dir.path().join("runs");
    let text = format!(
        "echo \"$EDGEFLOW_VERSION\" >> {runs}\ncp \"$1\"/* {etc}/\ngrep -q bad \"$1\"/nav.yaml && {{ echo this is bad >&2; exit 1; }}\nexit 0\n",
        runs = runs.display(),
        etc = etc.display()
    );
    std::fs::write(&script, text).unwrap();
    let (script, etc_text) = (script.display().to_string(), etc.display().to_string());
    let setup = serde_json::json!({ "slots": { "nav": {
        "kind": "config", "apply": ["/bin/sh", script], "remove": ["/bin/sh", "-c", format!("rm -f {etc_text}/*")],
        "software": ["/bin/sh", "-c", "echo 7.1"], "watch": etc_text } } });
    std::fs::write(&slots, setup.to_string()).unwrap();
    world.slots_file = slots;
    let config = |version: &str, content: &[u8]| {
        let sha256 = Digest::of(content);
        let file = BundleFile { path: "nav.yaml".into(), size_bytes: content.len() as u64, sha256 };
        SlotSpec {
            kind: SlotKind::Config,
            model: "nav".into(),
            version: version.into(),
            digest: bundle_digest(&[file]).to_string(),
            files: vec![BundleFileRef { path: "nav.yaml".into(), size_bytes: content.len() as u64, sha256: sha256.hex() }],
        }
    };
    let contents: [&[u8]; 3] = [b"speed: 1", b"bad: 2", b"speed: 3"];
    contents.iter().for_each(|content| world.register(content));
    let [one, bad, three] = [("1", contents[0]), ("2", contents[1]), ("3", contents[2])].map(|(version, content)| config(version, content));

    let (context, ros, bridge) = world.bridge();
    world.plane.declare(declared(1, &[("nav", &one, 0, 1)]));
    world.plane.until("it is applied", |held| has(held, 1, SlotStatus::Active)).await;
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), contents[0]);
    let told: Vec<SlotStatus> = steps(&world.plane.held.lock().unwrap(), 1).iter().map(|step| step.0).collect();
    use SlotStatus::{Active, Downloading, Failed, Verifying, Warming};
    assert_eq!(told, [Downloading, Verifying, Warming, Active]);
    world.plane.until("the state attests it", |held| slot_now(held, "nav").is_some_and(|slot| slot.digest == one.digest)).await;
    let state = last_state(&world.plane.held.lock().unwrap()).unwrap();
    assert_eq!((state.slots["nav"].software.as_str(), state.slots["nav"].kind), ("7.1", SlotKind::Config));
    assert_eq!(state.configuration["nav"].digest, one.digest, "the watched folder is the bundle");

    // After a restart it is not applied again.
    bridge.stop().await;
    drop(ros);
    context.shutdown().unwrap();
    let (context, _ros, bridge) = world.bridge();
    world.plane.until("it is attested again", |held| steps(held, 1).iter().filter(|step| step.0 == Active).count() == 2).await;
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "1\n");

    // One that fails half way is taken back.
    world.plane.declare(declared(2, &[("nav", &bad, 0, 2)]));
    world.plane.until("it failed", |held| has(held, 2, Failed)).await;
    let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), 2).pop().unwrap();
    assert_eq!(running, one.digest);
    assert!(reason.contains("this is bad") && reason.contains("applied again"), "{reason}");
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "1\n2\n1\n");
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), contents[0]);

    // Somebody edits the files: that stands, also against what is declared next, until somebody decides.
    std::fs::write(etc.join("nav.yaml"), "speed: 9").unwrap();
    let edited = |held: &Held| slot_now(held, "nav").is_some_and(|slot| slot.local.is_some() && slot.vector.unwrap().robot == 1);
    world.plane.until("the edit is told", edited).await;
    world.plane.declare(declared(3, &[("nav", &three, 0, 3)]));
    world.plane.until("it is observed", |held| last_state(held).is_some_and(|state| state.observed.version.generation == 3)).await;
    let slot = slot_now(&world.plane.held.lock().unwrap(), "nav").unwrap();
    assert_eq!((slot.vector.unwrap().control.generation, slot.model.as_str()), (1, ""), "its digest is that of the edited files");
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), b"speed: 9");
    world.plane.declare(declared(4, &[("nav", &three, 1, 4)]));
    world.plane.until("what is declared is applied", |held| has(held, 4, Active)).await;
    assert_eq!(std::fs::read(etc.join("nav.yaml")).unwrap(), contents[2]);

    // Nothing is declared any more: it is taken away, and a slot that was never set up is refused.
    let gone = declared(5, &[("nav", &three, 1, 5)]);
    world.plane.declare(DesiredState { slots: BTreeMap::from([("mop".into(), three.clone())]), ..gone });
    world.plane.until("it is gone", |held| slot_now(held, "nav").is_some_and(|slot| slot.digest.is_empty())).await;
    assert!(!etc.join("nav.yaml").exists());
    world.plane.until("the unknown one failed", |held| steps(held, 5).iter().any(|step| step.2.contains("no slot \"mop\""))).await;
    bridge.stop().await;
    context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_declared_no_more_leaves_with_the_nodes_lifecycle_and_activity_is_told() {
    use edgeflow_ros::{
        lifecycle::{HookError, Lifecycle, Managed, Transition},
        sensor_msgs::msg::BatteryState,
    };
    struct Forgets(Arc<Mutex<ModelInfo>>);
    impl Managed for Forgets {
        async fn on_cleanup(&mut self) -> Result<(), HookError> {
            *self.0.lock().unwrap() = ModelInfo::default();
            Ok(())
        }
    }
    let world = World::new().await;
    let node = world.inference_node();
    let managed = Node::create(&node.context, "inference_node", NAMESPACE).unwrap();
    let lifecycle = Lifecycle::serve(&managed, Forgets(Arc::clone(&node.running))).unwrap();
    for transition in [Transition::Configure, Transition::Activate] {
        lifecycle.trigger(transition).await.unwrap();
    }
    let (context, ros, bridge) = world.bridge();
    let first = spec("1", b"model one");
    world.register(b"model one");
    world.plane.declare(declared(1, &[("default", &first, 0, 1)]));
    world.plane.until("it is active", |held| has(held, 1, SlotStatus::Active)).await;
    let lifecycle_told = |held: &Held| {
        last_state(held).is_some_and(|state| state.activity.lifecycle.get("/robot_1/inference_node").is_some_and(|label| label == "active"))
    };
    world.plane.until("the lifecycle is told", lifecycle_told).await;

    let robot = Node::create(&context, "sim_robot", NAMESPACE).unwrap();
    let missions = robot.create_publisher::<MissionEvent>("mission", QosProfile::default().keep_last(10).reliable()).unwrap();
    let batteries = robot.create_publisher::<BatteryState>("battery_state", QosProfile::default().keep_last(1).reliable()).unwrap();
    assert!(missions.wait_for_subscribers(1, PATIENCE).await && batteries.wait_for_subscribers(1, PATIENCE).await);
    missions.publish(&MissionEvent { sequence: 1, kind: 0, ..MissionEvent::default() }).unwrap();
    batteries.publish(&BatteryState { power_supply_status: 1, ..BatteryState::default() }).unwrap();
    let busy =
        |held: &Held| last_state(held).is_some_and(|state| (state.activity.mission, state.activity.charging) == (Some(true), Some(true)));
    world.plane.until("mission and charging are told", busy).await;
    missions.publish(&MissionEvent { sequence: 2, kind: 2, ..MissionEvent::default() }).unwrap();
    world
        .plane
        .until("the mission's end is told", |held| last_state(held).is_some_and(|state| state.activity.mission == Some(false)))
        .await;

    let gone = declared(2, &[("default", &first, 0, 2)]);
    world.plane.declare(DesiredState { slots: BTreeMap::new(), ..gone });
    let empty =
        |held: &Held| slot_now(held, "default").is_some_and(|slot| slot.digest.is_empty() && slot.vector.unwrap().control.generation == 2);
    world.plane.until("the model is gone", empty).await;
    assert!(lifecycle.is_active(), "the node takes frames again");
    // What is gone does not come back.
    node.status.publish(&DeploymentStatus::default()).unwrap();
    world.plane.declare(declared(3, &[("default", &first, 0, 3)]));
    world.plane.until("it is declared again", |held| has(held, 3, SlotStatus::Active)).await;
    assert_eq!(world.loads().len(), 2);
    bridge.stop().await;
    drop((ros, robot, lifecycle, managed));
    context.shutdown().unwrap();
    node.stop();
}
