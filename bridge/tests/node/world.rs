//! A stand-in for the inference node, a bridge beside it, a control plane above.

use crate::common::{ControlPlane, Held, TOKEN};
use axum::{
    Router,
    extract::{Path as UrlPath, State},
    http::StatusCode,
    routing::get,
};
use edgeflow_bridge::{Bridge, Config, Secret};
use edgeflow_bundle::{BundleFile, Digest, bundle_digest};
use edgeflow_ros::{
    Context, Node, Publisher, QosProfile,
    edgeflow_msgs::{
        msg::{DeploymentStatus, ModelInfo},
        srv::{GetModelInfo, LoadModel},
    },
    router,
};
use edgeflow_wire::{
    BundleFileRef, Content, DesiredState, EntryBody, SlotKind, SlotSpec, SlotState, SlotStatus, StateBody, Version, VersionVector,
    WIRE_VERSION,
};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};

pub(crate) const NAMESPACE: &str = "/robot_1";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Artifacts = Arc<Mutex<HashMap<String, Vec<u8>>>>;

pub(crate) async fn serve_artifacts(artifacts: Artifacts) -> SocketAddr {
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

/// A bundle of one file.
pub(crate) fn bundle(kind: SlotKind, name: &str, version: &str, (path, content): (&str, &[u8])) -> SlotSpec {
    let (sha256, size_bytes) = (Digest::of(content), content.len() as u64);
    let file = BundleFile { path: path.into(), size_bytes, sha256 };
    SlotSpec {
        kind,
        model: name.into(),
        version: version.into(),
        digest: bundle_digest(&[file]).to_string(),
        files: vec![BundleFileRef { path: path.into(), size_bytes, sha256: sha256.hex() }],
    }
}

/// A model.
pub(crate) fn spec(version: &str, content: &[u8]) -> SlotSpec {
    bundle(SlotKind::Model, "label-reader", version, ("model.onnx", content))
}

pub(crate) fn desired(target: &str, generation: u64, spec: &SlotSpec) -> DesiredState {
    DesiredState {
        v: WIRE_VERSION,
        target: target.into(),
        version: Version { server_epoch: 1, generation },
        slots: BTreeMap::from([("default".to_owned(), spec.clone())]),
        ..DesiredState::default()
    }
}

/// Says what it is told to load, and that it runs it.
pub(crate) struct InferenceNode {
    pub(crate) context: Context,
    pub(crate) status: Arc<Publisher<DeploymentStatus>>,
    pub(crate) running: Arc<Mutex<ModelInfo>>,
}

/// Bundle digests in the order in which they were to be loaded.
pub(crate) type Loads = Arc<watch::Sender<Vec<String>>>;

impl InferenceNode {
    pub(crate) fn start(router: SocketAddr, loads: &Loads, refusal: Option<&'static str>) -> Self {
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
    pub(crate) fn roll_back(&self, to: &SlotSpec) {
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

    pub(crate) fn stop(self) {
        drop(self.status);
        self.context.shutdown().unwrap();
    }
}

pub(crate) struct World {
    _router: router::Router,
    pub(crate) router: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) plane: ControlPlane,
    pub(crate) artifacts: Artifacts,
    http: SocketAddr,
    pub(crate) loads: Loads,
    pub(crate) slots_file: PathBuf,
}

/// A bridge, running.
pub(crate) struct Robot {
    pub(crate) context: Context,
    node: Node,
    bridge: Bridge,
}

impl Robot {
    /// Ends it as the program does.
    pub(crate) async fn stop(self) {
        self.bridge.stop().await;
        drop(self.node);
        self.context.shutdown().unwrap();
    }
}

impl World {
    pub(crate) async fn new() -> Self {
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

    /// A robot that serves the first of two registered models, declared in generation 1.
    pub(crate) async fn serving() -> (Self, InferenceNode, Robot, [SlotSpec; 2]) {
        let world = Self::new().await;
        let (node, robot) = (world.inference_node(), world.bridge());
        let models: [(&str, &[u8]); 2] = [("1", b"model one"), ("2", b"model two")];
        let models = models.map(|(version, content)| {
            world.register(content);
            spec(version, content)
        });
        world.plane.declare(declared(1, &[("default", &models[0], 0, 1)]));
        world.plane.until("the first model is active", |held| has(held, 1, SlotStatus::Active)).await;
        (world, node, robot, models)
    }

    /// Declares what a bridge that does not run took up as the last thing it did.
    pub(crate) fn taken_up(&self, state: DesiredState) {
        std::fs::write(self.dir.path().join("desired.json"), serde_json::to_vec(&state).unwrap()).unwrap();
        self.plane.declare(state);
    }

    /// Bridges that begin after this have these slots.
    pub(crate) fn declare_slots(&mut self, slots: serde_json::Value) {
        self.slots_file = self.dir.path().join("slots.yaml");
        std::fs::write(&self.slots_file, serde_json::json!({ "slots": slots }).to_string()).unwrap();
    }

    pub(crate) fn inference_node(&self) -> InferenceNode {
        InferenceNode::start(self.router, &self.loads, None)
    }

    pub(crate) fn register(&self, content: &[u8]) {
        self.artifacts.lock().unwrap().insert(Digest::of(content).hex(), content.to_vec());
    }

    pub(crate) fn bridge(&self) -> Robot {
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
        Robot { context, node, bridge }
    }

    pub(crate) fn loads(&self) -> Vec<String> {
        self.loads.borrow().clone()
    }

    /// Waits until so many loads were asked for.
    pub(crate) async fn until_loaded(&self, count: usize) {
        let mut loads = self.loads.subscribe();
        tokio::time::timeout(PATIENCE, loads.wait_for(|loads| loads.len() >= count)).await.unwrap().unwrap();
    }
}

/// The steps told of one generation: status, running digest and reason.
pub(crate) fn steps(held: &Held, generation: u64) -> Vec<(SlotStatus, String, String)> {
    let steps = held.kinds("deployment_status").into_iter().filter_map(|entry| match entry.content {
        Content::Known(EntryBody::DeploymentStatus(body)) if body.for_version.generation == generation => {
            Some((body.status, body.running_digest, body.reason))
        }
        _ => None,
    });
    steps.collect()
}

pub(crate) fn has(held: &Held, generation: u64, status: SlotStatus) -> bool {
    steps(held, generation).iter().any(|step| step.0 == status)
}

pub(crate) fn faults(held: &Held) -> String {
    held.kinds("fault").iter().map(|entry| serde_json::to_string(&entry.content).unwrap()).collect()
}

pub(crate) fn running_in_state(held: &Held) -> Option<(u64, String)> {
    held.kinds("state").into_iter().rev().find_map(|entry| match entry.content {
        Content::Known(EntryBody::State(state)) => Some((state.observed.version.generation, state.slots["default"].digest.clone())),
        _ => None,
    })
}

pub(crate) fn last_status(held: &Held) -> Option<SlotStatus> {
    held.kinds("state").into_iter().rev().find_map(|entry| match entry.content {
        Content::Known(EntryBody::State(state)) => Some(state.slots["default"].status),
        _ => None,
    })
}

/// The newest word about a slot.
pub(crate) fn slot_now(held: &Held, slot: &str) -> Option<SlotState> {
    last_state(held).and_then(|state| state.slots.get(slot).cloned())
}

pub(crate) fn last_state(held: &Held) -> Option<StateBody> {
    held.kinds("state").into_iter().rev().find_map(|entry| match entry.content {
        Content::Known(EntryBody::State(state)) => Some(state),
        _ => None,
    })
}

/// The document with the control plane's vectors: each slot was declared last in the generation that stands beside it.
pub(crate) fn declared(generation: u64, slots: &[(&str, &SlotSpec, u64, u64)]) -> DesiredState {
    let version = |generation| Version { server_epoch: 1, generation };
    let vector = |robot, generation| VersionVector { robot, control: version(generation) };
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
    pub(crate) fn load_by_hand(&self, digest: &str) {
        let model = ModelInfo { name: "mine".into(), version: "1".into(), digest: digest.into(), ..ModelInfo::default() };
        *self.running.lock().unwrap() = model;
        self.status.publish(&DeploymentStatus { running_digest: digest.into(), ..DeploymentStatus::default() }).unwrap();
    }
}
