//! Looking, listening, publishing, calling.

use edgeflow_ros::{QosProfile, Queue, edgeflow_msgs, registry, sensor_msgs, std_msgs};
use futures::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Graph, PATIENCE, Running, frame, program, run};

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_the_graph_and_not_ourselves() {
    let graph = Graph::start();
    graph.stream_camera();
    graph.serve_infer();
    assert_eq!(graph.run(&["ros", "node", "list"]).await.ok(), "/robot_1/inference_node\n");
    let topics = graph.run(&["ros", "topic", "list", "-t"]).await.ok();
    assert!(topics.lines().any(|line| line == "/robot_1/camera/image [sensor_msgs/msg/Image]"), "{topics}");
    let topics = graph.run(&["ros", "topic", "list"]).await.ok();
    assert!(topics.lines().any(|line| line == "/robot_1/camera/image"), "{topics}");
    let services = graph.run(&["ros", "service", "list", "-t"]).await.ok();
    assert!(services.lines().any(|line| line == "/robot_1/inference_node/infer [edgeflow_msgs/srv/Infer]"), "{services}");
    assert!(!services.contains("edgeflow_cli"), "{services}");
    let all = graph.run(&["ros", "node", "list", "--all"]).await.ok();
    assert!(all.contains("/_edgeflow_cli_"), "{all}");
    let info = graph.run(&["ros", "topic", "info", "/robot_1/camera/image"]).await.ok();
    assert_eq!(info, "Type: sensor_msgs/msg/Image\nPublisher count: 1\nSubscription count: 0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latched_message_is_shown_to_who_comes_late() {
    let graph = Graph::start();
    let publisher =
        graph.node.create_publisher::<std_msgs::msg::String>("~/status", QosProfile::default().keep_last(1).transient_local()).unwrap();
    publisher.publish(&std_msgs::msg::String { data: "yes".to_owned() }).unwrap();
    assert_eq!(graph.run(&["ros", "topic", "echo", "--once", "/robot_1/inference_node/status"]).await.ok(), "data: 'yes'\n---\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_shown_whole_cut_or_by_field() {
    let graph = Graph::start();
    graph.stream_camera();
    let echo = ["ros", "topic", "echo", "--once", "/robot_1/camera/image"];
    let with = |more: &'static [&'static str]| [&echo[..], more].concat();
    let head = "header:\n  stamp:\n    sec: 7\n    nanosec: 8\n  frame_id: camera\nheight: 3\nwidth: 4\nencoding: mono8\nis_bigendian: 0\nstep: 4\n";
    let whole: String = (0..12).map(|pixel| format!("- {pixel}\n")).collect();
    assert_eq!(graph.run(&echo).await.ok(), format!("{head}data:\n{whole}---\n"));
    assert_eq!(
        graph.run(&with(&["-l", "2"])).await.ok(),
        format!("{}data:\n- 0\n- 1\n- '...'\n---\n", head.replace("camera", "ca...").replace("mono8", "mo..."))
    );
    assert_eq!(graph.run(&with(&["--no-arr"])).await.ok(), format!("{head}data: '<sequence type: uint8, length: 12>'\n---\n"));
    assert_eq!(graph.run(&with(&["--field", "header.stamp"])).await.ok(), "sec: 7\nnanosec: 8\n---\n");
    assert_eq!(graph.run(&with(&["--field", "encoding"])).await.ok(), "mono8\n---\n");
}

/// What echo prints, pub takes: nothing is lost on the way through YAML.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_printed_can_be_published() {
    let graph = Graph::start();
    let sent = edgeflow_msgs::msg::InferenceResult {
        header: frame().header,
        model_name: "it's: a \"name\" # with everything\n".to_owned(),
        model_version: "1".to_owned(),
        label: "true".to_owned(),
        class_id: -3,
        score: f32::NEG_INFINITY,
        scores: vec![0.1, 1e-20, f32::MAX],
        outputs: vec![edgeflow_msgs::msg::Tensor {
            name: "X".to_owned(),
            shape: vec![i64::MIN, i64::MAX],
            data: vec![0, 255],
            ..Default::default()
        }],
        latency_us: u32::MAX,
        ..Default::default()
    };
    let publisher = graph
        .node
        .create_publisher::<edgeflow_msgs::msg::InferenceResult>("~/result", QosProfile::default().keep_last(1).transient_local())
        .unwrap();
    publisher.publish(&sent).unwrap();
    let text = graph.run(&["ros", "topic", "echo", "--once", "--full-length", "/robot_1/inference_node/result"]).await.ok();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.yaml");
    std::fs::write(&file, text).unwrap();

    let mut back = graph.node.subscribe::<edgeflow_msgs::msg::InferenceResult>("/back", QosProfile::default(), Queue::all()).unwrap();
    let out = graph.run(&["ros", "topic", "pub", "-1", "/back", &format!("@{}", file.display())]).await.ok();
    assert!(out.starts_with("publisher: beginning loop\npublishing #1: edgeflow_msgs/msg/InferenceResult\nheader:\n"), "{out}");
    assert_eq!(timeout(PATIENCE, back.next()).await.unwrap().unwrap(), sent);
}

/// A robot's own types: as the node tells that publishes them, or as they are installed.
#[tokio::test(flavor = "multi_thread")]
async fn types_that_were_not_compiled_in_are_shown_and_published() {
    let graph = Graph::start();
    let prefix = tempfile::tempdir().unwrap();
    let share = prefix.path().join("share/grip_msgs");
    std::fs::create_dir_all(share.join("msg")).unwrap();
    std::fs::write(share.join("package.xml"), "<package/>").unwrap();
    std::fs::write(share.join("msg/Grip.msg"), "uint8 state 3\nstring label\n").unwrap();
    let ty = registry::resolve_in(&[prefix.path().to_owned()], "grip_msgs/msg/Grip", None).unwrap();
    let latched = QosProfile::default().keep_last(1).transient_local();
    let publisher = graph.node.publish_described("grip", ty, latched).unwrap();
    publisher.publish(&json!({"label": "mug"})).unwrap();
    assert_eq!(graph.run(&["ros", "topic", "echo", "--once", "/robot_1/grip"]).await.ok(), "state: 3\nlabel: mug\n---\n");

    let publish = ["ros", "topic", "pub", "-1", "/squeeze", "grip_msgs/Grip", "{label: cup}"];
    let said = graph.run(&publish).await.failed();
    assert!(said.contains("grip_msgs/Grip"), "nobody on /squeeze tells what it is: {said}");
    let mut heard = graph.node.subscribe_dynamic("/squeeze", ty.name, QosProfile::default(), Queue::all()).unwrap();
    let installed = |arguments: &[&str]| {
        let mut command = graph.program(arguments);
        command.env("AMENT_PREFIX_PATH", prefix.path());
        run(command)
    };
    installed(&publish).await.ok();
    let message = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!(message, json!({"state": 3, "label": "cup"}), "what is left out has its default");
    assert_eq!(installed(&["ros", "interface", "show", ty.name]).await.ok(), "uint8 state\nstring label\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_repeats_stamps_and_stops() {
    let graph = Graph::start();
    let mut heard = graph.node.subscribe::<sensor_msgs::msg::Image>("/frames", QosProfile::default(), Queue::all()).unwrap();
    let out =
        graph.run(&["ros", "topic", "pub", "-r", "50", "-t", "3", "/frames", "sensor_msgs/Image", "{header: auto, height: 5}"]).await.ok();
    assert_eq!(out.matches("publishing #").count(), 3, "{out}");
    for _ in 0..3 {
        let message = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
        assert!(message.height == 5 && message.header.stamp.sec > 1_700_000_000, "{:?}", message.header);
    }
    let mut running = Running::start(graph.program(&["ros", "topic", "pub", "-r", "50", "/frames", "sensor_msgs/msg/Image"]));
    while !running.line().await.starts_with("publishing #5") {}
    assert_eq!(running.interrupt().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_measured_until_interrupted() {
    let graph = Graph::start();
    graph.stream_camera();
    let mut running = Running::start(graph.program(&["ros", "topic", "hz", "/robot_1/camera/image", "--window", "20"]));
    let line = loop {
        // The machine may be too busy for a first full second.
        let line = running.line().await;
        if line.starts_with("average rate: ") {
            break line;
        }
    };
    let rate: f64 = line.trim_start_matches("average rate: ").parse().unwrap();
    assert!((5.0..500.0).contains(&rate), "{line}");
    let spread = running.line().await;
    assert!(spread.starts_with("\tmin: ") && spread.contains("std dev: "), "{spread}");
    assert_eq!(running.interrupt().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_called_with_yaml_a_file_or_a_live_frame() {
    let graph = Graph::start();
    graph.serve_infer();
    let service = "/robot_1/inference_node/infer";
    let out = graph
        .run(&[
            "ros",
            "service",
            "call",
            service,
            "edgeflow_msgs/srv/Infer",
            "{image: {encoding: rgb8, data: [1, 2]}, inputs: [{name: X}]}",
        ])
        .await
        .ok();
    assert!(out.starts_with("requester: making request:\nslot: ''\nimage:\n  header:\n"), "{out}");
    let (request, response) = out.split_once("\nresponse:\n").unwrap();
    assert!(request.contains("  encoding: rgb8\n") && request.contains("inputs:\n- name: X\n"), "{request}");
    assert!(
        response.starts_with("success: true\nmessage: inputs 1\nresult:\n  header:\n")
            && response.contains("  label: rgb8\n  class_id: 2\n  score: .nan\n  scores:\n  - 0.1\n  - 0.9\n"),
        "{response}"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("request.yaml");
    std::fs::write(&file, request.strip_prefix("requester: making request:\n").unwrap()).unwrap();
    let again = graph.run(&["ros", "service", "call", service, &format!("@{}", file.display())]).await.ok();
    assert_eq!(again, out, "what was printed is what is asked again");

    graph.stream_camera();
    let live = graph.run(&["ros", "service", "call", service, "--from-topic", "/robot_1/camera/image:image"]).await.ok();
    assert!(live.contains("  frame_id: camera\n") && live.contains("  label: mono8\n  class_id: 12\n"), "{live}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_ends_the_program_quietly() {
    let graph = Graph::start();
    graph.stream_camera();
    let mut command = graph.program(&["ros", "topic", "echo", "/robot_1/camera/image"]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_router_serves_until_interrupted() {
    let mut router = Running::start(program(&["ros", "router", "--router", "127.0.0.1:0"]));
    let line = router.line().await;
    let address = line.strip_prefix("ROS router listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
    assert_eq!(router.line().await, format!("for every other program: export EDGEFLOW_ROS_ROUTER={address}"));
    let second = crate::support::run(program(&["ros", "router", "--router", &address])).await.failed();
    assert!(second.contains(&address) && second.contains("EDGEFLOW_ROS_ROUTER"), "{second}");
    let mut list = program(&["ros", "node", "list"]);
    list.env("EDGEFLOW_ROS_ROUTER", &address);
    assert_eq!(crate::support::run(list).await.ok(), "");
    assert_eq!(router.interrupt().await, Some(0));
}
