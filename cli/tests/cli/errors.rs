//! What goes wrong names the thing and the remedy.

use edgeflow_ros::QosProfile;

use crate::support::{Graph, program, run};

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_with_their_remedy() {
    let graph = Graph::start();
    graph.serve_infer();
    graph.stream_camera();
    let silent = graph.node.create_publisher::<edgeflow_ros::sensor_msgs::msg::Image>("/silent", QosProfile::default()).unwrap();
    let infer = "/robot_1/inference_node/infer";
    let cases: [(&[&str], &[&str]); 15] = [
        (&["topic", "echo", "/camera/image"], &["no topic /camera/image", "did you mean /robot_1/camera/image"]),
        (&["topic", "echo", "/nothing"], &["no topic /nothing", "edgeflow ros topic list", "say its type"]),
        (
            &["topic", "echo", "/robot_1/camera/image", "sensor_msgs/msg/Imag"],
            &["\"sensor_msgs/msg/Imag\"", "did you mean", "sensor_msgs/msg/Image or"],
        ),
        (&["topic", "echo", "/robot_1/camera/image", "--field", "hight"], &["--field hight", "header, height, width"]),
        (&["topic", "echo", "not a name"], &["not a name"]),
        (&["topic", "pub", "/x", "std_msgs/msg/String", "{dta: 1}"], &["\"dta\"", "std_msgs/msg/String", "fields data"]),
        (&["topic", "pub", "/x", "std_msgs/msg/UInt8", "{data: 256}"], &["UInt8.data", "0 to 255"]),
        (&["topic", "pub", "/x", "std_msgs/msg/String", "{data: [}"], &["not YAML"]),
        (&["topic", "pub", "/x", "std_msgs/msg/String", "@no-such-file.yaml"], &["could not read no-such-file.yaml"]),
        (
            &["topic", "pub", "-1", "--max-wait-time", "0.2", "/nobody", "std_msgs/msg/String"],
            &["/nobody has 0 of 1 subscriptions", "-w 0"],
        ),
        (
            &["service", "call", "/robot_2/inference_node/infer"],
            &["no service /robot_2/inference_node/infer", "did you mean /robot_1/inference_node/infer"],
        ),
        (&["service", "call", "/gone", "std_srvs/srv/Trigger", "--timeout", "0.2"], &["service /gone is not available"]),
        (&["service", "call", infer, "{imag: {}}"], &["\"imag\"", "image, inputs"]),
        (&["service", "call", infer, "--from-topic", "/robot_1/camera/image:inputs"], &["inputs is a list"]),
        (
            &["service", "call", infer, "--from-topic", "/silent:image", "--timeout", "0.3"],
            &["nothing was published on /silent", "not paused"],
        ),
    ];
    for (arguments, parts) in cases {
        let ran = graph.run(&[&["ros"], arguments].concat()).await;
        let waited = ran.err.replacen("waiting for service to become available...\n", "", 1);
        let error = crate::support::Ran { err: waited, ..ran }.failed();
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: {part:?} is not in {error}");
        }
    }
    drop(silent);
}

#[tokio::test]
async fn a_router_that_is_not_there_is_said_at_once() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    for command in [&["node", "list"][..], &["topic", "echo", "/x"], &["service", "call", "/x"]] {
        let error = run(program(&[&["ros", "--router", &closed], command].concat())).await.failed();
        assert!(error.contains(&closed) && error.contains("edgeflow ros router") && error.contains("EDGEFLOW_ROS_ROUTER"), "{error}");
    }
}

#[tokio::test]
async fn usage_is_explained_with_examples() {
    for arguments in [
        &["ros", "topic", "pub", "--rate", "0", "/x"][..],
        &["ros", "topic", "echo"],
        &["nonsense"],
        &["ros", "--router", "here", "node", "list"],
    ] {
        let ran = run(program(arguments)).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    }
    for arguments in [
        &["--help"][..],
        &["ros", "--help"],
        &["ros", "topic", "echo", "--help"],
        &["ros", "topic", "pub", "--help"],
        &["ros", "service", "call", "--help"],
    ] {
        let help = run(program(arguments)).await.ok();
        assert!(help.contains("Examples:\n  edgeflow "), "{help}");
    }
    let help = run(program(&["ros", "service", "call", "--help"])).await.ok();
    assert!(help.contains("not as Python"), "{help}");
}

#[tokio::test]
async fn types_are_shown_without_a_graph() {
    let shown = run(program(&["ros", "interface", "show", "edgeflow_msgs/srv/Infer"])).await.ok();
    assert_eq!(
        shown,
        "string slot\nsensor_msgs/Image image\nsensor_msgs/CompressedImage compressed_image\nedgeflow_msgs/Tensor[] inputs\n---\nbool success\nstring message\nedgeflow_msgs/InferenceResult result\nedgeflow_msgs/Tensor[] outputs\n"
    );
    assert!(run(program(&["ros", "interface", "show", "std_msgs/msg/Strin"])).await.failed().contains("did you mean std_msgs/msg/String"));
}
