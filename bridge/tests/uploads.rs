//! Captures on their way from a real robot to a real control plane, over a link that is cut.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_identity::{BootstrapToken, Identity, Roots, Tunnel, client_config, enrol};
use edgeflow_ros::{Context, Node, QosProfile, router, sensor_msgs::msg::Image};
use edgeflow_server::{
    app::{App, AppOptions, SystemClock},
    http,
    tls::{self, ClientCertificate},
};
use reqwest::{
    Client, Method, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "administrator";
const PATIENCE: Duration = Duration::from_secs(60);

/// The program; dropping it kills it, as a power cut does.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network in front of the control plane: it lets so many bytes upwards, and then breaks every connection.
#[derive(Clone)]
struct Network {
    address: SocketAddr,
    left: Arc<AtomicU64>,
    carried: Arc<AtomicU64>,
}

impl Network {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Self { address: listener.local_addr().unwrap(), left: Arc::new(AtomicU64::new(u64::MAX)), carried: Arc::default() };
        let serving = network.clone();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().carry(near, to));
            }
        });
        network
    }

    async fn carry(self, near: TcpStream, to: SocketAddr) {
        let Ok(far) = TcpStream::connect(to).await else { return };
        let ((mut up, mut down), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
        let upwards = async {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let read = up.read(&mut buffer).await.unwrap_or(0);
                let left = self.left.load(SeqCst);
                if read == 0 {
                    return;
                }
                if left < read as u64 {
                    self.left.store(0, SeqCst);
                    return;
                }
                self.left.store(if left == u64::MAX { left } else { left - read as u64 }, SeqCst);
                self.carried.fetch_add(read as u64, SeqCst);
                if to_far.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = upwards => {}
            _ = tokio::io::copy(&mut from_far, &mut down) => {}
        }
    }
}

struct World {
    _router: router::Router,
    router: SocketAddr,
    dir: tempfile::TempDir,
    app: Arc<App>,
    shutdown: CancellationToken,
    server: SocketAddr,
    network: Network,
    /// Folder of the robot's certificate, where it has one.
    identity: Option<PathBuf>,
    context: Context,
    camera: edgeflow_ros::Publisher<Image>,
}

impl World {
    async fn new() -> Self {
        Self::with(false).await
    }

    /// The robot enrolled, and knows only the door where certificates are shown.
    async fn secure() -> Self {
        Self::with(true).await
    }

    async fn with(secure: bool) -> Self {
        let ros = router::Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let model_check = Some(Path::new(env!("CARGO_BIN_EXE_bridge_node")).with_file_name("check_model"));
        let options = AppOptions { model_check, ..AppOptions::new(dir.path().join("server")) };
        let app = App::open(options, Arc::new(SystemClock)).await.unwrap();
        app.ensure_admin_token(Some(TOKEN)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (served, stop) = (app.clone(), shutdown.clone());
        tokio::spawn(async move { http::serve(listener, served, stop).await.unwrap() });
        let context = Context::builder().arguments(Vec::new()).router(ros.addr()).build().unwrap();
        let robot = Node::create(&context, "robot", "/robot_1").unwrap();
        let camera = robot.create_publisher::<Image>("camera", QosProfile::default()).unwrap();
        let door = if secure { Self::door(&app, &shutdown).await } else { server };
        let network = Network::start(door).await;
        let identity = secure.then(|| dir.path().join("identity"));
        let world = Self { router: ros.addr(), _router: ros, dir, app, shutdown, server, network, identity, context, camera };
        let enrolled = world.api(Method::POST, "/targets", json!({"name": "robot-1"})).await;
        if let Some(identity) = &world.identity {
            let bootstrap = world.api(Method::POST, "/targets/robot-1/bootstrap", json!({})).await;
            let token = BootstrapToken::parse(bootstrap["token"].as_str().unwrap(), None).unwrap();
            enrol(&world.secure_url(), &token, identity, false).await.unwrap();
        } else {
            std::fs::write(world.dir.path().join("token"), enrolled["token"].as_str().unwrap()).unwrap();
        }
        world
    }

    /// The control plane's TLS door.
    async fn door(app: &Arc<App>, shutdown: &CancellationToken) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tls::acceptor(app.authority(), ClientCertificate::Optional, &[b"http/1.1"]).unwrap();
        tokio::spawn(http::serve_tls(listener, acceptor, None, app.clone(), shutdown.clone()));
        address
    }

    /// The way there over the network that may be cut.
    fn secure_url(&self) -> String {
        format!("https://{}", self.network.address)
    }

    /// Someone at a desk, who knows the CA and has the administrator's token.
    fn person(&self) -> (Tunnel, Client) {
        let roots = Roots::Ca(self.app.authority().ca_pem().to_owned());
        let tunnel = Tunnel::open(&self.network.address.to_string(), move || client_config(&roots, None)).unwrap();
        let client = tunnel.http().build().unwrap();
        (tunnel, client)
    }

    async fn api(&self, method: Method, path: &str, body: Value) -> Value {
        let request = Client::new().request(method, format!("http://{}/api/v1{path}", self.server)).bearer_auth(TOKEN);
        let response = if body.is_null() { request } else { request.json(&body) }.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    async fn captures(&self) -> Vec<Value> {
        self.api(Method::GET, "/targets/robot-1/captures", Value::Null).await["items"].as_array().unwrap().clone()
    }

    async fn events(&self, kind: &str) -> Vec<Value> {
        let all = self.api(Method::GET, "/targets/robot-1/entries?limit=1000", Value::Null).await;
        all["items"].as_array().unwrap().iter().filter(|entry| entry["kind"] == kind).cloned().collect()
    }

    /// Asks until something is there.
    async fn until<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}: {:#?}", self.captures().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn bridge(&self, parameters: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge_node"));
        command.args(["--ros-args", "-r", "__ns:=/robot_1", "-p", "robot:=robot-1", "-p", "uplinks:=[http]"]);
        let (proof, http) = match &self.identity {
            Some(identity) => (("identity_dir", identity.display().to_string()), self.secure_url()),
            None => (("token_file", self.dir.path().join("token").display().to_string()), format!("http://{}", self.network.address)),
        };
        let data_dir = self.dir.path().join("data").display().to_string();
        for (name, value) in [("data_dir", data_dir), proof, ("http", http), ("capture_topics", "[camera]".to_owned())] {
            command.args(["-p", &format!("{name}:={value}")]);
        }
        for parameter in parameters {
            command.args(["-p", parameter]);
        }
        Program(command.env(router::ENVIRONMENT, self.router.to_string()).stdin(Stdio::null()).spawn().unwrap())
    }

    fn spool(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("data/captures")).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "mcap")).collect()
    }

    /// Rules a policy that captures the camera, and fills the ring.
    async fn record(&self) {
        self.record_images((0..8).map(|seed| noise(500_000, seed))).await;
    }

    async fn record_images(&self, images: impl Iterator<Item = Image>) {
        let policy = json!({"capture": {"allow": ["camera"], "before_s": 600, "after_s": 1, "max_mb": 16}});
        self.api(Method::PUT, "/targets/robot-1/policy", policy).await;
        assert!(self.camera.wait_for_subscribers(1, PATIENCE).await);
        for image in images {
            self.camera.publish(&image).unwrap();
        }
    }

    /// Gives the command and waits for its result.
    async fn capture(&self) -> Value {
        let given =
            self.api(Method::POST, "/targets/robot-1/commands", json!({"action": {"kind": "capture", "reason": "odd noise"}})).await;
        let path = format!("/targets/robot-1/commands/{}", given["id"].as_str().unwrap());
        let ended = self.until("the command's end", async |world: &Self| {
            let command = world.api(Method::GET, &path, Value::Null).await;
            (command["state"] != "pending").then_some(command)
        });
        let ended = ended.await;
        assert_eq!(ended["state"], "done", "{ended}");
        ended["result"].clone()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.context.shutdown().unwrap();
        self.app.close().await;
    }
}

/// An image that no compression makes smaller.
fn noise(bytes: usize, seed: u64) -> Image {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    Image { height: 1, width: bytes as u32, data: (0..bytes).map(|_| next()).collect(), ..Image::default() }
}

/// A camera frame in which nothing is to be seen.
fn frame(seed: u64) -> Image {
    Image { height: 96, width: 96, step: 96, encoding: "mono8".into(), ..noise(96 * 96, seed) }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn size(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_arrives_over_a_link_that_is_cut_in_the_middle_and_by_a_robot_that_is_killed() {
    let world = World::new().await;
    let bridge = world.bridge(&["bandwidth_kbps:=16000"]);
    world.record().await;
    // Two cuts while it goes upwards: the first of the network, the second of the robot.
    world.until("a subscription", async |world: &World| (world.events("policy_status").await.len() == 1).then_some(())).await;
    world.network.left.store(1_500_000, SeqCst);
    let given = world.api(Method::POST, "/targets/robot-1/commands", json!({"action": {"kind": "capture", "reason": "odd noise"}})).await;
    world.until("the cut", async |world: &World| (world.network.left.load(SeqCst) == 0).then_some(())).await;
    let [file] = world.spool().try_into().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 3_500_000, "{}", bytes.len());
    let received = async |world: &World| world.captures().await.first().and_then(|one| one["received_bytes"].as_u64()).unwrap_or_default();
    let before = received(&world).await;
    assert!(before > 0 && before < 1_500_000, "{before}");
    let on_its_way = world.captures().await.remove(0);
    assert_eq!((on_its_way["place"].as_str(), on_its_way["size_bytes"].as_u64()), (Some("uploading"), Some(bytes.len() as u64)));
    let path = format!("http://{}/api/v1/targets/robot-1/captures/{}", world.server, on_its_way["id"].as_str().unwrap());
    let early = Client::new().get(&path).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(early.status(), StatusCode::CONFLICT, "not before all of it is there and is what was offered");

    world.network.carried.store(0, SeqCst);
    world.network.left.store(u64::MAX, SeqCst);
    let half = bytes.len() as u64 * 2 / 3;
    let further = async |world: &World| Some(received(world).await).filter(|received| *received > half);
    let reached = world.until("more of it", further).await;
    drop(bridge);
    let resumed = world.network.carried.swap(0, SeqCst);
    let _bridge = world.bridge(&[]);
    world.until("all of it", async |world: &World| (world.captures().await[0]["place"] == "stored").then_some(())).await;
    world.until("the room on the robot", async |world: &World| world.spool().is_empty().then_some(())).await;
    let rest = world.network.carried.load(SeqCst);
    // What was there was not sent again, but for a part that was under way.
    assert!(resumed < bytes.len() as u64 - before + 700_000, "{resumed} of {} after {before}", bytes.len());
    assert!(rest < bytes.len() as u64 - reached + 700_000, "{rest} of {} after {reached}", bytes.len());

    let fetched = Client::new().get(&path).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(fetched.headers()["content-type"], "application/octet-stream");
    assert!(fetched.bytes().await.unwrap() == bytes, "as the robot wrote it");
    let part = Client::new().get(&path).bearer_auth(TOKEN).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!((part.status(), part.bytes().await.unwrap().as_ref()), (StatusCode::PARTIAL_CONTENT, &bytes[100..200]));
    let told = world.until("the robot's word", async |world: &World| {
        let told = world.events("capture").await;
        (told.len() >= 2).then_some(told)
    });
    let mut states: Vec<String> = told.await.iter().map(|entry| entry["body"]["state"].as_str().unwrap().to_owned()).collect();
    states.sort();
    assert_eq!(states, ["recorded", "uploaded"]);
    assert_eq!(world.captures().await[0]["sha256"], json!(sha256(&bytes)));
    let ended = world.api(Method::GET, &format!("/targets/robot-1/commands/{}", given["id"].as_str().unwrap()), Value::Null).await;
    assert_eq!((&ended["state"], &ended["result"]["sha256"]), (&json!("done"), &json!(sha256(&bytes))), "{ended}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_goes_over_mutual_tls_through_a_cut_and_is_what_people_download() {
    let world = World::secure().await;
    let _bridge = world.bridge(&["bandwidth_kbps:=16000"]);
    world.record().await;
    world.until("a subscription", async |world: &World| (world.events("policy_status").await.len() == 1).then_some(())).await;
    world.network.left.store(1_500_000, SeqCst);
    world.api(Method::POST, "/targets/robot-1/commands", json!({"action": {"kind": "capture", "reason": "odd noise"}})).await;
    world.until("the cut", async |world: &World| (world.network.left.load(SeqCst) == 0).then_some(())).await;
    let [file] = world.spool().try_into().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 3_500_000, "{}", bytes.len());
    world.network.left.store(u64::MAX, SeqCst);
    world.until("all of it", async |world: &World| (world.captures().await.first()?["place"] == "stored").then_some(())).await;
    world.until("the room on the robot", async |world: &World| world.spool().is_empty().then_some(())).await;
    let stored = world.captures().await.remove(0);
    assert_eq!((stored["sha256"].as_str(), stored["size_bytes"].as_u64()), (Some(sha256(&bytes).as_str()), Some(bytes.len() as u64)));

    let (_tunnel, person) = world.person();
    let url = format!("http://{}/api/v1/targets/robot-1/captures/{}", world.network.address, stored["id"].as_str().unwrap());
    let fetched = person.get(&url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(fetched.status(), StatusCode::OK);
    assert!(fetched.bytes().await.unwrap() == bytes, "as the robot wrote it");
    assert_eq!(person.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "nobody without a word of who it is");
    // It was the certificate that let the robot in, and its name is on record beside what it sent.
    let audit = world.api(Method::GET, "/audit?limit=1000", Value::Null).await;
    let whos: Vec<&str> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["detail"]["capture"] == stored["id"])
        .map(|item| item["who"].as_str().unwrap())
        .collect();
    assert_eq!(whos, ["administrator", "robot:robot-1"], "{audit}");
    assert!(!world.dir.path().join("token").exists());
    // Revoked, it sends nothing more.
    let revoked = Client::new().delete(format!("http://{}/api/v1/targets/robot-1", world.server)).bearer_auth(TOKEN).send().await.unwrap();
    assert!(revoked.status().is_success(), "{revoked:?}");
    let robot = Identity::open(world.identity.as_ref().unwrap()).unwrap();
    let tunnel = Tunnel::open(&world.network.address.to_string(), move || robot.client_config()).unwrap();
    let offered = tunnel.http().build().unwrap().post(url.rsplit_once('/').unwrap().0).json(&stored).send().await;
    assert!(offered.as_ref().map_or(true, |answer| answer.status() == StatusCode::UNAUTHORIZED), "{offered:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_keeps_to_the_bandwidth_and_what_was_damaged_is_told_and_removed() {
    let world = World::new().await;
    // 2 Mbit/s: the 4 MB of a capture take 16 seconds.
    let bridge = world.bridge(&["bandwidth_kbps:=2000"]);
    world.record().await;
    let result = world.capture().await;
    let began = (Instant::now(), world.network.carried.load(SeqCst));
    let enough = async |world: &World| (world.network.carried.load(SeqCst) - began.1 > 1_200_000).then_some(());
    world.until("a good part of it", enough).await;
    let (seconds, carried) = (began.0.elapsed().as_secs_f64(), world.network.carried.load(SeqCst) - began.1);
    // A second's worth may be saved up, and a part goes whole.
    assert!((carried as f64) < 250_000.0 * (seconds + 1.0) * 1.1 + 300_000.0, "{carried} bytes in {seconds} s");
    assert!(seconds > 2.0, "{carried} bytes in {seconds} s");
    drop(bridge);
    // A bit rots on the robot's disk behind what was sent.
    let file = world.spool().remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    assert_eq!((result["size_bytes"].as_u64(), result["sha256"].as_str()), (Some(size(&file)), Some(sha256(&bytes).as_str())));
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let _bridge = world.bridge(&[]);
    let refused = world.until("the refusal", async |world: &World| {
        world.events("capture").await.into_iter().find(|entry| entry["body"]["state"] == "refused")
    });
    let refused = refused.await;
    assert!(refused["body"]["message"].as_str().unwrap().contains("damaged on the robot's disk"), "{refused}");
    assert_eq!(refused["class"], "critical");
    let gone = world.captures().await.remove(0);
    assert_eq!((&gone["place"], &gone["gone_why"]), (&json!("gone"), &json!("mismatch")));
    world.until("the room on the robot", async |world: &World| world.spool().is_empty().then_some(())).await;
    world.stop().await;
}

/// What a robot recorded is what a candidate must answer before any robot gets it: the whole way, with the program that replays.
#[tokio::test(flavor = "multi_thread")]
async fn a_capture_of_a_robot_is_replayed_before_a_rollout_tells_any() {
    const FRAMES: u64 = 40;
    let replay = Path::new(env!("CARGO_BIN_EXE_bridge_node")).with_file_name("replay_model");
    assert!(replay.is_file(), "{} is not built: cargo build --workspace --bins", replay.display());
    let world = World::new().await;
    let _bridge = world.bridge(&[]);
    world.record_images((0..FRAMES).map(frame)).await;
    let result = world.capture().await;
    world.until("all of it", async |world: &World| (world.captures().await.first()?["place"] == "stored").then_some(())).await;
    let capture = world.captures().await.remove(0);
    assert_eq!((&capture["id"], capture["messages"].as_u64()), (&result["capture"], Some(FRAMES)), "{capture} {result}");

    for version in ["v1", "v2"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/models").join(version);
        let form = ["model.onnx", "edgeflow.yaml", "baseline.json"]
            .into_iter()
            .fold(Form::new(), |form, name| form.part(name, Part::bytes(std::fs::read(folder.join(name)).unwrap()).file_name(name)));
        let url = format!("http://{}/api/v1/models/label-reader/versions", world.server);
        let made = Client::new().post(&url).bearer_auth(TOKEN).multipart(form).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED, "{}", made.text().await.unwrap());
    }
    let replayed = async |version: &str, agreement: f64| {
        let spec = json!({ "release": { "kind": "model", "name": "label-reader", "version": version }, "on_failure": "pause",
            "replay": { "recording": capture["id"], "against": "2", "min_agreement": agreement, "min_frames": FRAMES } });
        let id = world.api(Method::POST, "/rollouts", spec).await["id"].as_str().unwrap().to_owned();
        let said = world.until("the replay", async |world: &World| {
            world.app.step_rollouts().await.unwrap();
            let view = world.api(Method::GET, &format!("/rollouts/{id}"), Value::Null).await;
            view["history"].as_array().unwrap().iter().find(|entry| entry["happened"] == "replayed").cloned()
        });
        let said = said.await["evidence"][0].clone();
        world.api(Method::POST, &format!("/rollouts/{id}/abort"), json!({})).await;
        said
    };
    let same = replayed("2", 1.0).await;
    let numbers = &same["updated"]["agreement"];
    assert_eq!((&same["verdict"], &numbers["n"], &numbers["mean"]), (&json!("pass"), &json!(FRAMES), &json!(1.0)), "{same}");
    assert!(same["reason"].as_str().unwrap().contains("frames of /robot_1/camera"), "{same}");
    let other = replayed("1", 1.0).await;
    assert_eq!((&other["verdict"], &other["updated"]["agreement"]["n"]), (&json!("fail"), &json!(FRAMES)), "{other}");
    world.stop().await;
}
