//! The node over the embedded stack: `~/infer` against a service that only echoes, images against bare zenoh, and swaps under full load.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use edgeflow_inference::node::InferenceNode;
use edgeflow_ros::edgeflow_msgs::msg::{InferenceResult, Tensor};
use edgeflow_ros::edgeflow_msgs::srv::{Infer, LoadModel};
use edgeflow_ros::router::Router;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Client, Context, Node, QosProfile, Queue};
use futures::StreamExt;
use zenoh::Wait;
use zenoh::qos::CongestionControl;

use super::support::*;
use super::{figure, median, ratio};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node under load and its neighbour, in two contexts that meet over loopback.
struct Scene {
    node: InferenceNode,
    neighbour: Node,
    contexts: [Context; 2],
    _router: Router,
}

impl Scene {
    async fn new(bundle: &Path) -> Self {
        let router = Router::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let arguments = [
            "--ros-args".to_owned(),
            "-p".to_owned(),
            format!("bundle_path:={}", bundle.display()),
            "-p".to_owned(),
            "qos_overrides./inference_node/image.subscription.reliability:=reliable".to_owned(),
        ];
        let context = Context::builder().arguments(arguments).router(router.addr()).build().unwrap();
        let node = InferenceNode::start(&context).unwrap();
        let around = Context::builder().router(router.addr()).build().unwrap();
        let neighbour = Node::create(&around, "neighbour", "").unwrap();
        let hears = |n: &Node| n.count_subscribers("/inference_node/image").unwrap_or(0) > 0;
        assert!(neighbour.wait_for_graph(PATIENCE, hears).await, "the node is not active");
        Self { node, neighbour, contexts: [context, around], _router: router }
    }

    async fn stop(self) {
        let Self { node, contexts, .. } = self;
        node.stop().await;
        contexts.iter().for_each(|context| context.shutdown().unwrap());
    }
}

#[tokio::main]
pub(super) async fn run() {
    round_trips().await;
    images().await;
    swaps().await;
}

async fn round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = model(&[node("Identity", &["X"], &["Y"])], &[], &[value("X", FLOAT, &[0])], &[value("Y", FLOAT, &[0])]);
    let scene = Scene::new(&bundle(&dir.path().join("same"), &onnx, None)).await;
    // In the node's own process, over the same session: all that differs is what is done with a request.
    let server = Node::create(&scene.contexts[0], "echo", "").unwrap();
    let mut echo = server.create_service::<Infer::Service>("echo").unwrap();
    let served = tokio::spawn(async move {
        while let Some(mut request) = echo.next().await {
            let outputs = std::mem::take(&mut request.message.inputs);
            request.respond(Infer::Response { success: true, outputs, ..Default::default() }).unwrap();
        }
    });
    let infer = scene.neighbour.create_client::<Infer::Service>("inference_node/infer").unwrap();
    let echo = scene.neighbour.create_client::<Infer::Service>("echo").unwrap();
    for client in [&infer, &echo] {
        client.wait_for_service(PATIENCE).await.unwrap();
    }
    for (name, bytes, calls) in [("1k", 1 << 10, 2000), ("1m", 1 << 20, 200)] {
        let x =
            Tensor { name: "X".into(), dtype: Tensor::FLOAT32, shape: vec![bytes as i64 / 4], data: vec![0; bytes], ..Default::default() };
        let request = Infer::Request { inputs: vec![x], ..Default::default() };
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for i in 0..calls {
            let (one, other) = (call(&infer, &request).await, call(&echo, &request).await);
            // The first calls warm up.
            if i >= calls / 10 {
                ours.push(one);
                bare.push(other);
            }
        }
        ratio(&format!("infer_rtt_ratio_{name}"), median(ours), "us/call", &format!("echo_rtt_{name}_us"), median(bare));
    }
    served.abort();
    scene.stop().await;
}

async fn call(client: &Client<Infer::Service>, request: &Infer::Request) -> f64 {
    let began = Instant::now();
    let answer = client.call(request, PATIENCE).await.unwrap();
    assert!(answer.success && answer.outputs.len() == 1, "{}", answer.message);
    began.elapsed().as_secs_f64() * 1e6
}

async fn images() {
    const BYTES: usize = 1 << 20;
    const CALLS: usize = 300;
    let router = Router::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let contexts = [(); 2].map(|()| Context::builder().router(router.addr()).build().unwrap());
    let [here, there] = contexts.each_ref().map(|context| Node::create(context, "camera_or_viewer", "").unwrap());
    let publisher = here.create_publisher::<Image>("image", QosProfile::default()).unwrap();
    let mut images = there.subscribe::<Image>("image", QosProfile::default(), Queue::all()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    let mut image = Image { width: 1024, height: 1024, step: 1024, encoding: "mono8".into(), data: vec![7; BYTES], ..Default::default() };

    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("[\"tcp/{}\"]", listener.local_addr().unwrap());
    drop(listener);
    let open = |key: &str| {
        let mut config = zenoh::Config::default();
        let settings = [
            ("mode", "\"peer\""),
            ("scouting/multicast/enabled", "false"),
            // As rmw_zenoh_cpp and the embedded stack have it unless ZENOH_CONFIG_OVERRIDE turns it on for them.
            ("transport/shared_memory/enabled", "false"),
            ("listen/endpoints", "[]"),
            (key, endpoint.as_str()),
        ];
        for (key, value) in settings {
            config.insert_json5(key, value).unwrap();
        }
        zenoh::open(config).wait().unwrap()
    };
    let (hears, says) = (open("listen/endpoints"), open("connect/endpoints"));
    let heard = hears.declare_subscriber("image").wait().unwrap();
    let bare = says.declare_publisher("image").congestion_control(CongestionControl::Block).wait().unwrap();
    while !bare.matching_status().wait().unwrap().matching() {
        tokio::task::yield_now().await;
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for i in 0..CALLS {
        image.header.stamp.sec = i as i32;
        let began = Instant::now();
        publisher.publish(&image).unwrap();
        let got = images.next().await.unwrap();
        let (one, began) = (began.elapsed(), Instant::now());
        assert!(got.header.stamp.sec == i as i32 && got.data.len() == BYTES);
        // A publisher whose message is kept by the caller has to copy it, as ours has.
        bare.put(image.data.clone()).wait().unwrap();
        let got = heard.recv_async().await.unwrap();
        // In one piece, as whoever reads an image wants it.
        let pixels = got.payload().to_bytes();
        let other = began.elapsed();
        assert_eq!(pixels.len(), BYTES);
        if i >= CALLS / 10 {
            ours.push(one.as_secs_f64() * 1e6);
            theirs.push(other.as_secs_f64() * 1e6);
        }
    }
    ratio("image_1mb_ratio", median(ours), "us/message", "zenoh_1mb_us", median(theirs));
    contexts.iter().for_each(|context| context.shutdown().unwrap());
}

/// Frames come as fast as results do, with a few on their way; meanwhile a hundred models are swapped.
async fn swaps() {
    const SWAPS: usize = 100;
    const ON_THEIR_WAY: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let bundles = [0, 1].map(|i| pixel_bundle(dir.path(), i));
    let scene = Scene::new(&bundles[0]).await;
    let reliable = QosProfile::default().keep_all();
    let camera = scene.neighbour.create_publisher::<Image>("inference_node/image", reliable).unwrap();
    let mut results = scene.neighbour.subscribe::<InferenceResult>("inference_node/result", reliable, Queue::all()).unwrap();
    assert!(camera.wait_for_subscribers(1, PATIENCE).await);
    let hears = |n: &Node| n.count_subscribers("~/result").unwrap_or(0) > 0;
    assert!(scene.node.node().wait_for_graph(PATIENCE, hears).await);
    let load = scene.neighbour.create_client::<LoadModel::Service>("inference_node/load_model").unwrap();
    load.wait_for_service(PATIENCE).await.unwrap();
    // A model must be loaded before the first frame.
    let first = LoadModel::Request { bundle_path: bundles[0].to_str().unwrap().to_owned(), ..Default::default() };
    assert!(load.call(&first, PATIENCE).await.unwrap().success);

    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let frames = tokio::spawn(async move {
        let frame = Image { width: 4, height: 4, step: 4, encoding: "mono8".into(), data: vec![0; 16], ..Default::default() };
        let (mut sent, mut received, mut worst, mut last) = (0, 0, Duration::ZERO, Instant::now());
        loop {
            while sent - received < ON_THEIR_WAY && !*stopped.borrow_and_update() {
                camera.publish(&frame).unwrap();
                sent += 1;
            }
            if sent == received {
                return (sent, received, worst);
            }
            match tokio::time::timeout(Duration::from_secs(5), results.next()).await {
                Ok(Some(_)) => received += 1,
                _ => return (sent, received, worst),
            }
            worst = worst.max(last.elapsed());
            last = Instant::now();
        }
    });
    let (mut failed, mut exchange_us) = (0, 0);
    for i in 1..=SWAPS {
        let bundle_path = bundles[i % 2].to_str().unwrap().to_owned();
        let answer = load.call(&LoadModel::Request { bundle_path, ..Default::default() }, PATIENCE).await.unwrap();
        failed += usize::from(!answer.success);
        exchange_us = exchange_us.max(answer.swap_gap_us);
    }
    stop.send(true).unwrap();
    let (sent, received, worst) = frames.await.unwrap();
    figure("swap_frames", received as f64, "frames");
    figure("swap_failed", failed as f64, "of 100 swaps");
    figure("swap_dropped", (sent - received) as f64, "frames");
    figure("swap_gap_ms", worst.as_secs_f64() * 1e3, "ms between results, worst");
    figure("swap_exchange_us", f64::from(exchange_us), "us, worst");
    scene.stop().await;
}
