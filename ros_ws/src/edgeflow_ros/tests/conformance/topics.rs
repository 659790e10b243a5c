//! Publishing and subscribing.

use super::{PATIENCE, World, next};
use edgeflow_ros::{Node, QosProfile, Queue, constants, edgeflow_msgs, sensor_msgs, std_msgs};

fn text(data: &str) -> std_msgs::msg::String {
    std_msgs::msg::String { data: data.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_order_between_programs() {
    let world = World::new();
    let (a, b) = (world.program(""), world.program(""));
    let talker = Node::create(&a, "talker", "").unwrap();
    let listener = Node::create(&b, "listener", "").unwrap();
    let mut heard = listener.subscribe::<std_msgs::msg::String>("chatter", QosProfile::default(), Queue::all()).unwrap();
    let publisher = talker.create_publisher("chatter", QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    for i in 0..100 {
        publisher.publish(&text(&i.to_string())).unwrap();
    }
    for i in 0..100 {
        assert_eq!(next(&mut heard).await.data, i.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_subscriber_gets_what_is_latched_and_only_that() {
    let world = World::new();
    let talker = Node::create(&world.program(""), "talker", "").unwrap();
    let latched = talker.create_publisher("latched", QosProfile::default().keep_last(1).transient_local()).unwrap();
    let volatile = talker.create_publisher("volatile", QosProfile::default()).unwrap();
    for data in ["old", "new"] {
        latched.publish(&text(data)).unwrap();
        volatile.publish(&text(data)).unwrap();
    }
    let listener = Node::create(&world.program(""), "listener", "").unwrap();
    let qos = QosProfile::default().keep_last(1).transient_local();
    let mut latecomer = listener.subscribe::<std_msgs::msg::String>("latched", qos, Queue::all()).unwrap();
    let mut nothing = listener.subscribe::<std_msgs::msg::String>("volatile", QosProfile::default(), Queue::all()).unwrap();
    assert_eq!(next(&mut latecomer).await.data, "new");
    // What comes next on the volatile topic is what is published next.
    assert!(volatile.wait_for_subscribers(1, PATIENCE).await);
    volatile.publish(&text("now")).unwrap();
    assert_eq!(next(&mut nothing).await.data, "now");
    latched.publish(&text("newer")).unwrap();
    assert_eq!(next(&mut latecomer).await.data, "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_image_arrives_intact() {
    let world = World::new();
    let camera = Node::create(&world.program(""), "camera", "").unwrap();
    let viewer = Node::create(&world.program(""), "viewer", "").unwrap();
    let mut images = viewer.subscribe::<sensor_msgs::msg::Image>("image", QosProfile::default(), Queue::all()).unwrap();
    let publisher = camera.create_publisher("image", QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    let mut image = sensor_msgs::msg::Image { height: 1024, width: 1024, step: 1024, encoding: "mono8".into(), ..Default::default() };
    image.header.frame_id = "camera".into();
    image.header.stamp = camera.now();
    image.data = (0..1024 * 1024).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    publisher.publish(&image).unwrap();
    assert_eq!(next(&mut images).await, image);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_nested_messages_cross_with_every_kind_of_field() {
    use edgeflow_msgs::msg::{InferenceResult, Tensor};
    let world = World::new();
    let node = Node::create(&world.program(""), "node", "").unwrap();
    let other = Node::create(&world.program(""), "other", "").unwrap();
    let mut results = other.subscribe::<InferenceResult>("result", QosProfile::default(), Queue::all()).unwrap();
    let publisher = node.create_publisher("result", QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    let tensor = Tensor {
        name: "X".into(),
        dtype: constants::edgeflow_msgs::msg::Tensor::INT64,
        shape: vec![1, -1],
        data: vec![1, 2, 3],
        strings: vec!["ä".into(), String::new()],
    };
    let result = InferenceResult {
        class_id: -1,
        score: 0.5,
        scores: vec![0.25; 3],
        outputs: vec![tensor.clone(), tensor],
        latency_us: 7,
        ..Default::default()
    };
    publisher.publish(&result).unwrap();
    assert_eq!(next(&mut results).await, result);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_encoded_is_an_error_and_the_next_one_passes() {
    let world = World::new();
    let node = Node::create(&world.program(""), "node", "").unwrap();
    let publisher = node.create_publisher("pose", QosProfile::default()).unwrap();
    let mut poses =
        node.subscribe::<edgeflow_ros::geometry_msgs::msg::PoseWithCovariance>("pose", QosProfile::default(), Queue::all()).unwrap();
    let good = edgeflow_ros::geometry_msgs::msg::PoseWithCovariance::default();
    let mut bad = good.clone();
    bad.covariance.pop();
    let error = publisher.publish(&bad).unwrap_err().to_string();
    assert!(error.contains("geometry_msgs/msg/PoseWithCovariance") && error.contains("36"), "{error}");
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    publisher.publish(&good).unwrap();
    assert_eq!(next(&mut poses).await, good);
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_private_and_remapped_names_meet() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -r __ns:=/robot_1"), "camera", "").unwrap();
    let inference = world.program("--ros-args -r __ns:=/robot_1 -r __node:=eye -r ~/image:=camera/image");
    let inference = Node::create(&inference, "inference_node", "").unwrap();
    assert_eq!(inference.fully_qualified_name(), "/robot_1/eye");
    let publisher = camera.create_publisher("~/image", QosProfile::default()).unwrap();
    let mut images = inference.subscribe::<std_msgs::msg::String>("~/image", QosProfile::default(), Queue::all()).unwrap();
    assert_eq!((publisher.topic(), images.topic()), ("/robot_1/camera/image", "/robot_1/camera/image"));
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    publisher.publish(&text("seen")).unwrap();
    assert_eq!(next(&mut images).await.data, "seen");
    let error = camera.create_publisher::<std_msgs::msg::String>("a-b", QosProfile::default()).err().unwrap();
    assert!(error.to_string().contains("\"a-b\""), "{error}");
}
