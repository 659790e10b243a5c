//! Quality of service: as parameters, and where it does not fit.

use super::{PATIENCE, Program, World};
use edgeflow_ros::{
    Durability, EndpointInfo, Error, History, Node, QosProfile, Queue, Reliability,
    std_msgs::msg::{String as Text, UInt32},
};

#[tokio::test(flavor = "multi_thread")]
async fn parameters_change_a_profile_policy_by_policy() {
    let world = World::new();
    let arguments = "--ros-args -r __ns:=/robot_1 -r image:=camera/image \
        -p qos_overrides./robot_1/camera/image.subscription.reliability:=best_effort \
        -p qos_overrides./robot_1/camera/image.subscription.depth:=3 \
        -p qos_overrides./robot_1/map.publisher.history:=keep_all";
    let node = Node::create(&world.program(arguments), "viewer", "").unwrap();
    let image = node.subscription_qos("image", QosProfile::latched(1)).unwrap();
    assert_eq!(image, QosProfile::latched(1).best_effort().keep_last(3));
    assert_eq!(node.subscription_qos("image", QosProfile::latched(1)).unwrap(), image, "a second subscription has the same parameters");
    assert_eq!(node.publisher_qos("map", QosProfile::default()).unwrap().history, History::KeepAll);
    assert_eq!(node.publisher_qos("image", QosProfile::sensor_data()).unwrap(), QosProfile::sensor_data());
    node.check_unknown_parameters().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_none_is_refused_with_those_there_are() {
    let world = World::new();
    for (policy, value, accepted) in [
        ("reliability", "perfect", "reliable, best_effort"),
        ("durability", "eternal", "volatile, transient_local"),
        ("history", "keep_some", "keep_last, keep_all"),
        ("depth", "0", "from 1"),
    ] {
        let parameter = format!("qos_overrides./image.publisher.{policy}");
        let node = Node::create(&world.program(&format!("--ros-args -p {parameter}:={value}")), "camera", "").unwrap();
        let error = node.publisher_qos("image", QosProfile::default()).unwrap_err();
        assert!(matches!(&error, Error::ParameterValue { name, .. } if *name == parameter), "{error}");
        assert!(error.to_string().contains(accepted) && error.to_string().contains(value), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_tells_what_publishers_offer() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -r __ns:=/robot_1"), "camera", "").unwrap();
    let _said = camera.create_publisher::<Text>("said", QosProfile::latched(1)).unwrap();
    let _seen = camera.create_publisher::<Text>("seen", QosProfile::sensor_data()).unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let topics = ["/robot_1/said", "/robot_1/seen"];
    assert!(tool.wait_for_graph(PATIENCE, |tool| topics.iter().all(|t| tool.get_publishers_info(t).unwrap().len() == 1)).await);
    let of = |topic: &str| {
        let EndpointInfo { node, type_name, reliability, durability, .. } = tool.get_publishers_info(topic).unwrap().remove(0);
        assert_eq!((node.as_str(), type_name.as_str()), ("/robot_1/camera", "std_msgs/msg/String"));
        (reliability, durability)
    };
    assert_eq!(of(topics[0]), (Reliability::Reliable, Durability::TransientLocal));
    assert_eq!(of(topics[1]), (Reliability::BestEffort, Durability::Volatile));
}

/// The next warning, and how many of its kind there were up to it.
async fn warning(program: &mut Program, seen: &mut Vec<String>) -> String {
    loop {
        let line = program.line().await;
        if line.starts_with("[WARN]") {
            seen.push(line.clone());
            return line;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_offers_less_is_warned_about_once_by_name_with_the_remedy() {
    let world = World::new();
    let mut listener = world.example("listener", "", &[]);
    let _fits = world.example("talker", "--ros-args -r __node:=fits", &[]);
    let lossy = |name: &str| format!("--ros-args -r __node:={name} -p qos_overrides./chatter.publisher.reliability:=best_effort");
    let mut seen = Vec::new();
    let _first = world.example("talker", &lossy("first"), &[]);
    let text = warning(&mut listener, &mut seen).await;
    for part in ["incompatible QoS on /chatter", "/first publishes best_effort", "/listener asks for reliable"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with("start /listener with -p qos_overrides./chatter.subscription.reliability:=best_effort"), "{text}");
    let _second = world.example("talker", &lossy("second"), &[]);
    let text = warning(&mut listener, &mut seen).await;
    assert!(text.contains("/second publishes best_effort"), "{text}");
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_nobody_keeps_and_types_that_differ_are_warned_about() {
    let world = World::new();
    let mut listener = world.example("listener", "--ros-args -p qos_overrides./chatter.subscription.durability:=transient_local", &[]);
    let node = Node::create(&world.program(""), "forgetful", "").unwrap();
    let publisher = node.create_publisher::<Text>("chatter", QosProfile::default()).unwrap();
    let text = warning(&mut listener, &mut Vec::new()).await;
    for part in ["/forgetful publishes volatile", "/listener asks for transient_local", "durability:=volatile"] {
        assert!(text.contains(part), "{text}");
    }
    drop((publisher, node));
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    assert!(tool.wait_for_graph(PATIENCE, |tool| tool.count_publishers("chatter").unwrap() == 0).await, "Fast DDS has one type a topic");
    let other = Node::create(&world.program(""), "counter", "").unwrap();
    let _numbers = other.create_publisher::<UInt32>("chatter", QosProfile::latched(1)).unwrap();
    let text = warning(&mut listener, &mut Vec::new()).await;
    for part in ["types differ on /chatter", "/counter publishes std_msgs/msg/UInt32", "/listener subscribes std_msgs/msg/String"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_from_a_parameter_is_what_the_graph_shows() {
    let world = World::new();
    let arguments = "--ros-args -p qos_overrides./chatter.publisher.durability:=transient_local";
    let mut talker = world.example("talker", arguments, &[]);
    talker.line().await;
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let latched = |tool: &Node| matches!(tool.get_publishers_info("chatter").unwrap().as_slice(), [one] if one.durability == Durability::TransientLocal);
    assert!(tool.wait_for_graph(PATIENCE, latched).await);
    let mut late = tool.subscribe::<Text>("chatter", QosProfile::latched(10), Queue::all()).unwrap();
    assert!(super::next(&mut late).await.data.starts_with("Hello World"));
}
