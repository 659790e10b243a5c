//! The control plane in this process, and around it what a robot is made of.

use crate::common::{Server, answer, bundle, options};
use edgeflow_ros::{
    Client, Context, Node, QosProfile, Queue,
    edgeflow_msgs::{
        msg::DeploymentStatus,
        srv::{GetModelInfo, LoadModel},
    },
    router::Router,
};
use edgeflow_server::{
    background,
    mqtt::{Gateway, Limits},
};
use edgeflow_sim::{
    demo::{
        args::Paths,
        launch::{Launch, Uplink},
        processes::Program,
    },
    proxy::{Link, Proxy},
};
use futures::StreamExt;
use reqwest::{Method, StatusCode, multipart};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) server: Server,
    /// Between the robot and the control plane.
    pub(crate) link: Link,
    /// Digests of versions 1, 2 and 3 of the label reader.
    pub(crate) digests: Vec<String>,
    pub(crate) node: Node,
    /// Bundles that the inference node began to serve, in order.
    served: Arc<Mutex<Vec<String>>>,
    context: Context,
    load: Client<LoadModel::Service>,
    info: Client<GetModelInfo::Service>,
    programs: [Program; 2],
    running: Vec<Child>,
    doors: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
    _proxies: [Proxy; 2],
    _router: Router,
}

impl World {
    /// Three versions of a model are registered, and robot-1, which has a slot `nav-config`, serves the first of them.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(options(&folder)).await;
        let stop = CancellationToken::new();
        let gateway = Gateway::bind("127.0.0.1:0".parse().unwrap(), Limits::default(), None).await.unwrap();
        let mqtt = gateway.address().to_string();
        let doors = vec![
            tokio::spawn(gateway.serve(server.app.clone(), stop.clone())),
            tokio::spawn(background::step_rollouts(server.app.clone(), stop.clone())),
        ];
        let mut digests = Vec::new();
        for version in ["v1", "v2", "v3"] {
            let (status, registered) = server.register("label-reader", bundle(version)).await;
            assert_eq!(status, StatusCode::CREATED, "{registered}");
            digests.push(registered["digest"].as_str().unwrap().to_owned());
        }
        let token = server.enrol("robot-1").await.token;
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, token).unwrap();

        let link = Link::new();
        let mqtt = Proxy::start(mqtt, &link).await.unwrap();
        let http = Proxy::start(server.base.strip_prefix("http://").unwrap().to_owned(), &link).await.unwrap();
        let uplink = Uplink { mqtt: mqtt.local_addr().to_string(), http: http.local_addr().to_string(), zenoh: String::new() };
        let router = Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        // Beside this test, where cargo puts the programs of the workspace.
        let bin_dir = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
        let paths = Paths {
            bin_dir: bin_dir.clone(),
            data_dir: folder.path().to_owned(),
            models_dir: PathBuf::new(),
            data_file: None,
            onnxruntime: None,
        };
        let launch = Launch { paths: &paths, router: router.addr(), rate_hz: 20.0, drift_window_frames: 100 };
        let mut bridge = launch.bridge_node("robot-1", &folder.path().join("bridge"), &token_file, &uplink);
        for parameter in [format!("slots_file:={}", slots(folder.path()).display()), "summary_period_s:=1.0".to_owned()] {
            bridge.args.extend(["-p".to_owned(), parameter].map(OsString::from));
        }
        let programs = [launch.inference_node("robot-1"), bridge];
        for program in &programs {
            assert!(program.path.exists(), "{} is not built: cargo build --workspace --bins", program.path.display());
        }

        let context = Context::builder().router(router.addr()).build().unwrap();
        let node = Node::create(&context, "operator", "/robot_1").unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let latched = QosProfile::default().keep_last(1).reliable().transient_local();
        let mut statuses = node.subscribe::<DeploymentStatus>("inference_node/status", latched, Queue::all()).unwrap();
        let noted = Arc::clone(&served);
        tokio::spawn(async move {
            while let Some(status) = statuses.next().await {
                if status.status == DeploymentStatus::ACTIVE {
                    noted.lock().unwrap().push(status.running_digest);
                }
            }
        });
        let (load, info) =
            (node.create_client("inference_node/load_model").unwrap(), node.create_client("inference_node/get_model_info").unwrap());
        let running = programs.iter().map(start).collect();
        let (_proxies, _router) = ([mqtt, http], router);
        let world =
            Self { server, link, digests, node, served, context, load, info, programs, running, doors, stop, folder, _proxies, _router };
        world.deploy("label-reader", "1", "default").await;
        world.until_serves(0).await;
        world
    }

    pub(crate) async fn stop(self) {
        let Self { server, link, context, running, doors, stop, .. } = self;
        for mut program in running {
            program.kill().await.unwrap();
        }
        link.cut().await;
        context.shutdown().unwrap();
        stop.cancel();
        for door in doors {
            door.await.unwrap();
        }
        server.stop().await;
    }

    /// Kills the bridge without warning and starts it again.
    pub(crate) async fn crash_bridge(&mut self) {
        self.running[1].kill().await.unwrap();
        self.running[1] = start(&self.programs[1]);
    }

    pub(crate) async fn robot(&self) -> Value {
        self.server.get("/targets/robot-1").await
    }

    /// Waits until something is so of the robot at the control plane, and answers the robot as it is then.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_at("/targets/robot-1", what, holds).await
    }

    /// The same of anything.
    pub(crate) async fn until_at(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut changes = self.server.app.watch(&edgeflow_core::Principal::administrator()).await.unwrap();
        let wait = async {
            loop {
                let found = self.server.get(path).await;
                if holds(&found) {
                    return found;
                }
                // One that lags has missed some, which is a change, too.
                let _ = changes.recv().await;
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("never {what}: {:#}", self.server.get(path).await),
        }
    }

    /// Waits until the robot attests that it serves this version, as is declared.
    pub(crate) async fn until_serves(&self, version: usize) -> Value {
        let digest = &self.digests[version];
        let serves = |robot: &Value| {
            let slot = &robot["slots"]["default"];
            slot["digest"] == **digest && slot["status"] == "active" && robot["difference"] == json!([])
        };
        self.until(&format!("version {} served", version + 1), serves).await
    }

    /// Cuts the link, and waits until the control plane has noticed.
    pub(crate) async fn cut(&self) {
        self.link.cut().await;
        self.until("offline", |robot| robot["online"] == false).await;
    }

    pub(crate) async fn deploy(&self, model: &str, version: &str, slot: &str) {
        let (status, said) = self.try_deploy(model, version, slot).await;
        assert_eq!(status, StatusCode::CREATED, "{said}");
    }

    pub(crate) async fn try_deploy(&self, model: &str, version: &str, slot: &str) -> (StatusCode, Value) {
        self.server.post("/deployments", json!({ "model": model, "version": version, "targets": ["robot-1"], "slot": slot })).await
    }

    /// What somebody does at the robot who calls `~/load_model` by hand.
    pub(crate) async fn load_by_hand(&self, version: usize) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../sim/models/v{}", version + 1));
        let request = LoadModel::Request {
            bundle_path: path.canonicalize().unwrap().display().to_string(),
            model_name: "label-reader".into(),
            model_version: (version + 1).to_string(),
            ..LoadModel::Request::default()
        };
        let loaded = self.load.call(&request, PATIENCE).await.unwrap();
        assert!(loaded.success, "{}", loaded.message);
        assert_eq!(loaded.digest, self.digests[version]);
    }

    /// The version that really serves frames, as the node says.
    pub(crate) async fn serving(&self) -> usize {
        let digest = self.info.call(&GetModelInfo::Request::default(), PATIENCE).await.unwrap().model.digest;
        self.digests.iter().position(|known| *known == digest).unwrap()
    }

    /// The versions that the node began to serve, in order.
    pub(crate) fn served(&self) -> Vec<usize> {
        let served = self.served.lock().unwrap();
        served.iter().map(|digest| self.digests.iter().position(|known| known == digest).unwrap()).collect()
    }

    /// The local API of the bridge, as `edgeflow hold` uses it.
    pub(crate) async fn at_robot(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().unix_socket(self.folder.path().join("bridge/bridge.sock")).build().unwrap();
        let ask = async {
            loop {
                match client.request(method.clone(), format!("http://bridge/v1{path}")).json(&body).send().await {
                    Ok(response) => return response,
                    // A bridge that has just begun opens it in a moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let response = timeout(PATIENCE, ask).await.expect("the bridge's local API is never there");
        let (status, text) = (response.status(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The file that slot `nav-config` applies.
    pub(crate) fn nav_file(&self) -> PathBuf {
        self.folder.path().join("etc/nav.yaml")
    }

    /// Registers a configuration of this one file.
    pub(crate) async fn register_config(&self, content: &str) -> Value {
        let form = multipart::Form::new().part("nav.yaml", multipart::Part::text(content.to_owned()));
        let (status, version) = answer(self.server.request(Method::POST, "/models/nav/versions?kind=config").multipart(form)).await;
        assert_eq!(status, StatusCode::CREATED, "{version}");
        version
    }
}

fn start(program: &Program) -> Child {
    let mut command = Command::new(&program.path);
    command.args(&program.args).envs(program.env.iter().cloned()).env("RUST_LOG", "warn,edgeflow_bridge=info").stdin(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

/// Declares a slot whose bundle is copied to a folder that is watched.
fn slots(folder: &Path) -> PathBuf {
    let etc = folder.join("etc");
    std::fs::create_dir(&etc).unwrap();
    let copy = format!("cp \"$1\"/* {}/", etc.display());
    let slots = json!({ "slots": { "nav-config": { "kind": "config", "apply": ["/bin/sh", "-c", copy, "apply"], "watch": etc } } });
    let path = folder.join("slots.yaml");
    std::fs::write(&path, slots.to_string()).unwrap();
    path
}
