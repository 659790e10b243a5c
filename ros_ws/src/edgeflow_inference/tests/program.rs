//! The program `inference_node`: help, unknown arguments, and leaving when told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use edgeflow_ros::router::{self, Router};
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Context, Node, QosProfile};

const PATIENCE: Duration = Duration::from_secs(60);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_inference_node"))
}

#[test]
fn help_lists_every_parameter() {
    let output = program().arg("--help").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for parameter in [
        "bundle_path",
        "~/detections",
        "score_threshold",
        "labels",
        "queue_policy",
        "queue_depth",
        "qos_overrides",
        "drift_window_frames",
        "onnxruntime",
    ] {
        assert!(text.contains(parameter), "{parameter} is missing in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_end_it_cleanly() {
    let router = Router::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let context = Context::builder().router(router.addr()).build().unwrap();
    let watcher = Node::create(&context, "watcher", "").unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut child = program()
            .args(["--ros-args", "-r", "__ns:=/robot_9"])
            .env(router::ENVIRONMENT, router.addr().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let there = |node: &Node| node.get_node_names().is_ok_and(|names| names.iter().any(|n| n == "/robot_9/inference_node"));
        let served = |node: &Node| node.get_service_names_and_types().is_ok_and(|s| s.contains_key("/robot_9/inference_node/load_model"));
        assert!(watcher.wait_for_graph(PATIENCE, |n| there(n) && served(n)).await, "the node joins the graph");
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(watcher.wait_for_graph(PATIENCE, |n| !there(n)).await, "the node leaves the graph");
    }
    context.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_not_know_is_an_error() {
    let router = Router::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    for (arguments, want) in [
        (vec!["--bundle", "x"], "unknown argument `--bundle`"),
        (vec!["--ros-args", "-p", "bundle:=x"], "no parameter bundle"),
        (vec!["--ros-args", "-p", "onnxruntime:=/nowhere.so"], "no onnxruntime library found (looked at /nowhere.so)"),
    ] {
        let mut command = program();
        command.args(&arguments).env(router::ENVIRONMENT, router.addr().to_string());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(want), "{arguments:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_offers_less_than_is_asked_for_is_warned_about_with_the_remedy() {
    let router = Router::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let context = Context::builder().router(router.addr()).build().unwrap();
    let driver = Node::create(&context, "camera_driver", "").unwrap();
    let _lossy = driver.create_publisher::<Image>("/camera/image", QosProfile::sensor_data()).unwrap();
    let mut child = program()
        .args(["--ros-args", "-r", "~/image:=/camera/image"])
        .args(["-p", "qos_overrides./camera/image.subscription.reliability:=reliable"])
        .env(router::ENVIRONMENT, router.addr().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let warned = tokio::task::spawn_blocking(move || log.lines().map_while(Result::ok).find(|line| line.contains("incompatible QoS")));
    let warned = tokio::time::timeout(PATIENCE, warned).await;
    // Only then: the reader ends with the child.
    child.kill().unwrap();
    child.wait().unwrap();
    let warning = warned.expect("no warning in time").unwrap().expect("the node ended");
    for part in [
        "incompatible QoS on /camera/image",
        "/camera_driver publishes best_effort",
        "/inference_node asks for reliable",
        "-p qos_overrides./camera/image.subscription.reliability:=best_effort",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
    context.shutdown().unwrap();
}
