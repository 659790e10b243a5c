//! The node as its neighbours see it: over topics, services, an action and its lifecycle, on a router of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adapted;
mod deploy;
mod digits;
mod drift;
mod lifecycle;
mod manners;
mod serving;
mod slots;
mod snapshot;
#[path = "../support/mod.rs"]
mod support;
mod vision;
mod watched;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgeflow_inference::node::InferenceNode;
use edgeflow_ros::edgeflow_msgs::msg::{DeploymentStatus, DriftReport, InferenceResult};
use edgeflow_ros::edgeflow_msgs::srv::{GetModelInfo, Infer, LoadModel};
use edgeflow_ros::router::Router;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Client, Context, Node, Publisher, QosProfile, Queue, Subscription};
use futures::StreamExt;

/// Nothing here takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node under test and everything a neighbour needs to talk to it.
struct Scene {
    node: InferenceNode,
    camera: Publisher<Image>,
    results: Subscription<InferenceResult>,
    drift: Subscription<DriftReport>,
    status: Subscription<DeploymentStatus>,
    load: Arc<Client<LoadModel::Service>>,
    infer: Client<Infer::Service>,
    info: Client<GetModelInfo::Service>,
    neighbour: Node,
    // After everything that uses it.
    contexts: [Context; 2],
    _router: Router,
}

impl Scene {
    async fn new(parameters: &[(&str, &str)]) -> Self {
        let scene = Self::joined(parameters).await;
        assert!(scene.camera.wait_for_subscribers(1, PATIENCE).await);
        scene
    }

    /// The node may not be active yet.
    async fn joined(parameters: &[(&str, &str)]) -> Self {
        let router = Router::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut arguments = vec!["--ros-args".to_owned()];
        // Every frame is counted here.
        let reliable = ("qos_overrides./inference_node/image.subscription.reliability", "reliable");
        for (name, value) in std::iter::once(&reliable).chain(parameters) {
            arguments.extend(["-p".to_owned(), format!("{name}:={value}")]);
        }
        let context = Context::builder().arguments(arguments).router(router.addr()).build().unwrap();
        let node = InferenceNode::start(&context).unwrap();
        let around = Context::builder().router(router.addr()).build().unwrap();
        let neighbour = Node::create(&around, "neighbour", "").unwrap();
        let reliable = QosProfile::default().keep_all();
        let camera = neighbour.create_publisher("inference_node/image", reliable).unwrap();
        let results = neighbour.subscribe("inference_node/result", reliable, Queue::all()).unwrap();
        let drift = neighbour.subscribe("inference_node/drift", reliable, Queue::all()).unwrap();
        let status = neighbour.subscribe("inference_node/status", QosProfile::default().transient_local(), Queue::all()).unwrap();
        let load = Arc::new(neighbour.create_client("inference_node/load_model").unwrap());
        let infer = neighbour.create_client("inference_node/infer").unwrap();
        let info = neighbour.create_client("inference_node/get_model_info").unwrap();
        let heard = |node: &Node| ["result", "drift", "status"].iter().all(|t| node.count_subscribers(&format!("~/{t}")).unwrap_or(0) > 0);
        assert!(node.node().wait_for_graph(PATIENCE, heard).await);
        load.wait_for_service(PATIENCE).await.unwrap();
        infer.wait_for_service(PATIENCE).await.unwrap();
        info.wait_for_service(PATIENCE).await.unwrap();
        Self { node, camera, results, drift, status, load, infer, info, neighbour, contexts: [context, around], _router: router }
    }

    async fn loaded(bundle: &Path, parameters: &[(&str, &str)]) -> Self {
        let mut all = vec![("bundle_path", bundle.to_str().unwrap()), ("model_name", "pixels"), ("model_version", "'1'")];
        all.extend(parameters);
        let mut scene = Self::new(&all).await;
        let active = scene.status_until(DeploymentStatus::ACTIVE).await;
        assert_eq!((active.model_name.as_str(), active.model_version.as_str()), ("pixels", "1"));
        assert_eq!(active.digest, active.running_digest);
        scene
    }

    async fn status_until(&mut self, wanted: u8) -> DeploymentStatus {
        loop {
            let status = next(&mut self.status).await;
            if status.status == wanted {
                return status;
            }
        }
    }

    fn shoot(&self, stamp: i32, image: Image) {
        let mut image = image;
        image.header.stamp.sec = stamp;
        image.header.frame_id = "camera".into();
        self.camera.publish(&image).unwrap();
    }

    async fn call_load(&self, path: &Path, digest: &str) -> LoadModel::Response {
        let request = LoadModel::Request {
            bundle_path: path.to_str().unwrap().to_owned(),
            model_name: "pixels".into(),
            model_version: "2".into(),
            digest: digest.into(),
            ..Default::default()
        };
        self.load.call(&request, PATIENCE).await.unwrap()
    }

    async fn stop(self) -> edgeflow_inference::node::Counters {
        let Self { node, contexts, .. } = self;
        let counters = node.stop().await;
        contexts.iter().for_each(|c| c.shutdown().unwrap());
        counters
    }
}

async fn next<T: edgeflow_ros::Message>(stream: &mut Subscription<T>) -> T {
    let topic = stream.topic().to_owned();
    tokio::time::timeout(PATIENCE, stream.next()).await.unwrap_or_else(|_| panic!("nothing on {topic}")).expect("the stream goes on")
}

fn gray(level: u8) -> Image {
    Image { width: 4, height: 4, step: 4, encoding: "mono8".into(), data: vec![level; 16], ..Default::default() }
}
