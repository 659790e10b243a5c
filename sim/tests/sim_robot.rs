//! A simulated robot on a ROS graph of its own, with the test as its inference node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use edgeflow_ros::edgeflow_msgs::msg::{Evaluation, GroundTruth, InferenceResult, MissionEvent};
use edgeflow_ros::edgeflow_msgs::srv::{SetCamera, SetUplink};
use edgeflow_ros::nav_msgs::msg::Odometry;
use edgeflow_ros::router::Router;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Client, Context, Message, Node, QosProfile, Queue, Subscription};
use edgeflow_sim::camera::Camera;
use edgeflow_sim::robot::{Settings, SimRobot, Uplink};
use futures::StreamExt;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A graph with one robot that streams only when told to, and the test's node beside it.
struct World {
    node: Node,
    set_camera: Client<SetCamera::Service>,
    first_line: String,
    context: Context,
    _robot: tokio::task::JoinHandle<()>,
    _uplink: Uplink,
    _router: Router,
}

impl World {
    async fn start(uplink_mqtt: &str) -> Self {
        let router = Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let context = Context::builder().router(router.addr()).build().unwrap();
        let settings = Settings {
            rate_hz: 200.0,
            seed: 5,
            streaming: false,
            data_file: PathBuf::new(),
            uplink_mqtt: uplink_mqtt.to_owned(),
            uplink_http: String::new(),
            uplink_zenoh: String::new(),
            frames_per_mission_step: 10,
        };
        let robot_node = Node::create(&context, "sim_robot", "/robot_1").unwrap();
        let robot = SimRobot::new(&robot_node, &settings, Camera::open(&settings.data_file, settings.seed).unwrap()).unwrap();
        let uplink = Uplink::start(&robot_node, &settings).await.unwrap();
        let robot = tokio::spawn(async move { robot.run().await.unwrap() });
        let node = Node::create(&context, "inference_node", "/robot_1").unwrap();
        let set_camera = node.create_client("sim_robot/set_camera").unwrap();
        let first_line = uplink.first_line();
        Self { node, set_camera, first_line, context, _robot: robot, _uplink: uplink, _router: router }
    }

    fn subscribe<T: Message>(&self, topic: &str) -> Subscription<T> {
        self.node.subscribe(topic, QosProfile::default().keep_last(1000).reliable(), Queue::all()).unwrap()
    }

    async fn wired(&self, topic: &str) {
        let topic = format!("/robot_1/{topic}");
        assert!(self.node.wait_for_graph(PATIENCE, |node| node.count_publishers(&topic).is_ok_and(|count| count == 1)).await, "{topic}");
    }

    async fn camera(&self, streaming: bool, reset_counters: bool) -> u64 {
        let request = SetCamera::Request { streaming, exposure: 1.0, blur_px: 0.0, reset_counters };
        self.set_camera.wait_for_service(PATIENCE).await.unwrap();
        let response = self.set_camera.call(&request, PATIENCE).await.unwrap();
        assert!(response.success, "{}", response.message);
        response.frames_in
    }
}

async fn next<T: Message>(messages: &mut Subscription<T>) -> T {
    tokio::time::timeout(PATIENCE, messages.next()).await.expect("a message in time").expect("the graph stands")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_camera_has_published_exactly_what_it_counts_and_each_frame_has_its_truth() {
    let world = World::start("").await;
    let (mut images, mut truths, mut missions, mut odometry) = (
        world.subscribe::<Image>("camera/image"),
        world.subscribe::<GroundTruth>("ground_truth"),
        world.subscribe::<MissionEvent>("mission"),
        world.subscribe::<Odometry>("odom"),
    );
    for topic in ["camera/image", "ground_truth", "mission", "odom"] {
        world.wired(topic).await;
    }
    assert_eq!(world.camera(true, true).await, 0);
    let mut frames = Vec::new();
    while frames.len() < 45 {
        frames.push(next(&mut images).await);
    }
    let counted = world.camera(false, false).await;
    assert!(counted >= 45);
    while (frames.len() as u64) < counted {
        frames.push(next(&mut images).await);
    }
    // The counter is exact and stands still: the same again, a while of a hundred frames' time later.
    assert!(tokio::time::timeout(Duration::from_millis(500), images.next()).await.is_err(), "a frame came after the pause");
    assert_eq!(world.camera(false, true).await, counted);
    assert_eq!(world.camera(false, false).await, 0);

    for frame in &frames {
        let truth = next(&mut truths).await;
        assert_eq!((frame.width, frame.height, frame.step, frame.data.len()), (96, 96, 96, 96 * 96));
        assert_eq!((frame.encoding.as_str(), frame.header.frame_id.as_str()), ("mono8", "camera"));
        assert_eq!(truth.header.stamp, frame.header.stamp);
        assert_eq!(truth.label, truth.class_id.to_string());
        let odometry = next(&mut odometry).await;
        assert_eq!((odometry.header.stamp, odometry.header.frame_id.as_str()), (frame.header.stamp.clone(), "odom"));
        let q = &odometry.pose.pose.orientation;
        assert!((q.z * q.z + q.w * q.w - 1.0).abs() < 1e-9, "{q:?}");
    }
    assert!(frames.windows(2).all(|pair| stamp(&pair[0]) < stamp(&pair[1])), "stamps rise strictly");
    for sequence in 1..=counted.div_ceil(10) {
        assert_eq!(next(&mut missions).await.sequence, sequence);
    }
    world.context.shutdown().unwrap();
}

fn stamp(image: &Image) -> (i32, u32) {
    (image.header.stamp.sec, image.header.stamp.nanosec)
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_joined_to_truth_and_told_per_digest() {
    let world = World::start("").await;
    let mut images = world.subscribe::<Image>("camera/image");
    let mut truths = world.subscribe::<GroundTruth>("ground_truth");
    let mut evaluations = world.subscribe::<Evaluation>("evaluation");
    let results = world.node.create_publisher::<InferenceResult>("inference_node/result", QosProfile::default().keep_last(100)).unwrap();
    for topic in ["camera/image", "ground_truth", "evaluation"] {
        world.wired(topic).await;
    }
    assert!(results.wait_for_subscribers(1, PATIENCE).await);
    world.camera(true, true).await;
    // The first 30 frames by a model that is right, the next 20 by one that is always wrong.
    for number in 0..50 {
        let (image, truth) = (next(&mut images).await, next(&mut truths).await);
        let (digest, class_id) = if number < 30 { ("sha256:good", truth.class_id) } else { ("sha256:bad", (truth.class_id + 1) % 10) };
        let result = InferenceResult { header: image.header, model_digest: digest.into(), class_id, ..InferenceResult::default() };
        results.publish(&result).unwrap();
    }
    // And one for a frame that never was.
    results.publish(&InferenceResult { model_digest: "sha256:bad".into(), ..InferenceResult::default() }).unwrap();
    world.camera(false, false).await;

    let mut told = HashMap::new();
    while told.get("sha256:good") != Some(&(30, 30)) || told.get("sha256:bad") != Some(&(20, 0)) {
        let evaluation = next(&mut evaluations).await;
        assert!(evaluation.results_joined <= evaluation.frames_in && evaluation.unmatched <= 1);
        assert_eq!(evaluation.accuracy, evaluation.correct as f64 / evaluation.samples as f64);
        told.insert(evaluation.model_digest, (evaluation.samples, evaluation.correct));
    }
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_shows_nothing_is_refused_and_changes_nothing() {
    let world = World::start("").await;
    world.set_camera.wait_for_service(PATIENCE).await.unwrap();
    let request = SetCamera::Request { streaming: true, exposure: 0.0, blur_px: 0.0, reset_counters: true };
    let response = world.set_camera.call(&request, PATIENCE).await.unwrap();
    assert!(!response.success && response.message.contains("exposure 0"), "{}", response.message);
    assert_eq!(world.camera(false, false).await, 0);
    world.context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_cuts_and_restores_the_uplink() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::start(&upstream.local_addr().unwrap().to_string()).await;
    let address = world.first_line.split_whitespace().find_map(|word| word.strip_prefix("mqtt=")).unwrap().to_owned();
    assert!(world.first_line.ends_with(" http=none zenoh=none"), "{}", world.first_line);
    let set_uplink = world.node.create_client::<SetUplink::Service>("sim_robot/set_uplink").unwrap();
    set_uplink.wait_for_service(PATIENCE).await.unwrap();
    let mut robot = TcpStream::connect(&address).await.unwrap();
    let (mut control_plane, _) = upstream.accept().await.unwrap();
    robot.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    control_plane.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");

    assert!(set_uplink.call(&SetUplink::Request { connected: false }, PATIENCE).await.unwrap().success);
    assert!(matches!(robot.read(&mut heard).await, Ok(0) | Err(_)), "the robot's side is closed");
    assert!(matches!(control_plane.read(&mut heard).await, Ok(0) | Err(_)), "the control plane's side is closed");

    assert!(set_uplink.call(&SetUplink::Request { connected: true }, PATIENCE).await.unwrap().success);
    let mut robot = TcpStream::connect(&address).await.unwrap();
    let (mut control_plane, _) = upstream.accept().await.unwrap();
    robot.write_all(b"again").await.unwrap();
    control_plane.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"again");
    world.context.shutdown().unwrap();
}
