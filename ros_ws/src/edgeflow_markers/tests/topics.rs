//! The node as its neighbours see it: over topics, with a router of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use edgeflow_markers::node::DriftMarkers;
use edgeflow_ros::diagnostic_msgs::msg::DiagnosticArray;
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::geometry_msgs::msg::PoseStamped;
use edgeflow_ros::nav_msgs::msg::Odometry;
use edgeflow_ros::router::{self, Router};
use edgeflow_ros::visualization_msgs::msg::MarkerArray;
use edgeflow_ros::{Context, Message, Node, Publisher, QosProfile, Queue, Subscription};
use futures::StreamExt;
use support::rviz::Screen;
use support::*;
use tokio::task::JoinHandle;

/// Nothing here takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    router: Router,
    around: Context,
    neighbour: Node,
}

impl World {
    fn new() -> Self {
        let router = Router::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let around = Context::builder().router(router.addr()).build().unwrap();
        let neighbour = Node::create(&around, "neighbour", "/robot_1").unwrap();
        Self { router, around, neighbour }
    }

    fn start(&self, arguments: &str) -> edgeflow_ros::Result<(Context, JoinHandle<()>)> {
        let arguments = arguments.split_whitespace().map(str::to_owned);
        let context = Context::builder().arguments(arguments).router(self.router.addr()).build().unwrap();
        let markers = DriftMarkers::start(&context)?;
        Ok((context, tokio::spawn(markers.run())))
    }

    async fn publisher<T: Message>(&self, topic: &str) -> Publisher<T> {
        let publisher = self.neighbour.create_publisher(topic, QosProfile::default()).unwrap();
        assert!(publisher.wait_for_subscribers(1, PATIENCE).await, "{topic}");
        publisher
    }

    fn markers(&self) -> Subscription<MarkerArray> {
        let latched = QosProfile::default().keep_last(1).transient_local();
        self.neighbour.subscribe("drift_markers_node/markers", latched, Queue::all()).unwrap()
    }
}

async fn next<T: Message>(stream: &mut Subscription<T>) -> T {
    let topic = stream.topic().to_owned();
    tokio::time::timeout(PATIENCE, stream.next()).await.unwrap_or_else(|_| panic!("nothing on {topic}")).expect("the stream goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_become_columns_on_the_odometry_and_a_late_viewer_sees_them_all() {
    let world = World::new();
    let (context, running) = world.start("--ros-args -r __ns:=/robot_1 -r drift:=inference_node/drift").unwrap();
    let odometry = world.publisher::<Odometry>("odom").await;
    let reports = world.publisher::<DriftReport>("inference_node/drift").await;
    for second in 0..=20 {
        let mut message = Odometry { header: header("odom", second * S), ..Odometry::default() };
        message.pose.pose.position.x = second as f64;
        odometry.publish(&message).unwrap();
    }
    // Poses and reports come on topics of their own, so that only the diagnostics say which came first.
    let mut diagnostics = world.neighbour.subscribe::<DiagnosticArray>("/diagnostics", QosProfile::default(), Queue::all()).unwrap();
    let value = |array: &DiagnosticArray, key: &str| array.status[0].values.iter().find(|v| v.key == key).map(|v| v.value.clone());
    while value(&next(&mut diagnostics).await, "poses seen").as_deref() != Some("21") {}

    let mut watching = world.markers();
    let mut seen = Screen::default();
    for window in 1..=4 {
        reports.publish(&report(5 * window, 0.4 * window as f64)).unwrap();
        seen.show(&next(&mut watching).await);
    }
    let columns: Vec<_> = seen.of("drift").map(|c| (c.header.frame_id.as_str(), c.pose.position.x)).collect();
    assert_eq!(columns, [("odom", 5.0), ("odom", 10.0), ("odom", 15.0), ("odom", 20.0)]);
    let mut late = Screen::default();
    late.show(&next(&mut world.markers()).await);
    assert_eq!(late.0, seen.0);

    let drifting = loop {
        let array = next(&mut diagnostics).await;
        if value(&array, "windows seen").as_deref() == Some("4") {
            break array;
        }
    };
    assert_eq!((drifting.status[0].level, drifting.status[0].name.as_str()), (1, "robot_1/drift_markers_node: drift"));
    assert_eq!(drifting.status[0].message, "DRIFTING: brightness: PSI 1.60, threshold 0.50");

    context.shutdown().unwrap();
    running.await.unwrap();
    world.around.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn poses_are_remappable_and_without_any_the_given_frame_is_used() {
    let world = World::new();
    let (posed, first) = world.start("--ros-args -r __ns:=/robot_1 -r pose:=localised").unwrap();
    let poses = world.publisher::<PoseStamped>("localised").await;
    let reports = world.publisher::<DriftReport>("drift").await;
    let mut watching = world.markers();
    let mut pose = PoseStamped { header: header("map", 4 * S), ..PoseStamped::default() };
    pose.pose.position.y = 7.0;
    poses.publish(&pose).unwrap();
    let mut screen = Screen::default();
    // Until the pose has arrived, the window stands at the camera.
    while screen.of("drift").all(|column| column.header.frame_id != "map") {
        reports.publish(&report(5, 0.1)).unwrap();
        screen.show(&next(&mut watching).await);
    }
    assert!(screen.of("drift").any(|column| (column.pose.position.y - 7.0).abs() < 1e-9));
    posed.shutdown().unwrap();
    first.await.unwrap();

    let (framed, second) = world.start("--ros-args -r __ns:=/robot_2 -p frame_id:=base_link -p size_m:=2.0").unwrap();
    let reports = world.publisher::<DriftReport>("/robot_2/drift").await;
    let latched = QosProfile::default().keep_last(1).transient_local();
    let mut watching = world.neighbour.subscribe::<MarkerArray>("/robot_2/drift_markers_node/markers", latched, Queue::all()).unwrap();
    reports.publish(&report(5, 0.1)).unwrap();
    let mut screen = Screen::default();
    screen.show(&next(&mut watching).await);
    let columns: Vec<_> = screen.of("drift").map(|column| (column.header.frame_id.as_str(), column.scale.x)).collect();
    assert_eq!(columns, [("base_link", 2.0)]);
    framed.shutdown().unwrap();
    second.await.unwrap();
    world.around.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_make_no_sense_are_named() {
    let world = World::new();
    for (argument, want) in [
        ("max_markers:=0", "max_markers"),
        ("size_m:=0.0", "must be from 0.001 to 1000.0, got 0.0"),
        ("lifetime_s:=-1.0", "lifetime_s"),
        ("max_marker:=7", "max_marker"),
    ] {
        let error = world.start(&format!("--ros-args -p {argument}")).err().expect(argument).to_string();
        assert!(error.contains(want), "{argument}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_its_parameters_and_stops_when_told() {
    let program = || Command::new(env!("CARGO_BIN_EXE_drift_markers_node"));
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    for parameter in ["frame_id", "max_markers", "size_m", "lifetime_s", "pose_timeout_s"] {
        assert!(help.contains(parameter), "{parameter} is missing in {help}");
    }
    let world = World::new();
    let mut child = program()
        .args(["--ros-args", "-r", "__ns:=/robot_9"])
        .env(router::ENVIRONMENT, world.router.addr().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let there = |node: &Node| node.get_node_names().is_ok_and(|names| names.iter().any(|n| n == "/robot_9/drift_markers_node"));
    assert!(world.neighbour.wait_for_graph(PATIENCE, there).await);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(world.neighbour.wait_for_graph(PATIENCE, |node| !there(node)).await);
    world.around.shutdown().unwrap();
}
