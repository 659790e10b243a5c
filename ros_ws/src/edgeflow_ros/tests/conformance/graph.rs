//! What programs see of each other, and how they leave.

use super::{PATIENCE, R2R, World, eventually};
use edgeflow_ros::{Error, Node, QosProfile, Queue, std_msgs, std_srvs::srv::Trigger};
use futures::StreamExt;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_topics_and_services_are_seen_with_their_types() {
    let world = World::new();
    let robot = Node::create(&world.program("--ros-args -r __ns:=/robot_1"), "camera", "").unwrap();
    let publisher = robot.create_publisher::<std_msgs::msg::String>("said", QosProfile::default()).unwrap();
    let _subscription = robot.subscribe::<std_msgs::msg::String>("said", QosProfile::default(), Queue::all()).unwrap();
    let _service = robot.create_service::<Trigger::Service>("~/go").unwrap();
    let tool = Node::create(&world.program(""), "tool", "/").unwrap();
    let complete = |tool: &Node| tool.get_node_names().unwrap().len() == 2 && tool.count_publishers("/robot_1/said").unwrap() == 1;
    assert!(tool.wait_for_graph(PATIENCE, complete).await);
    assert_eq!(tool.get_node_names().unwrap(), ["/robot_1/camera", "/tool"]);
    assert_eq!(tool.get_topic_names_and_types().unwrap()["/robot_1/said"], ["std_msgs/msg/String"]);
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    if R2R {
        let (services, subscribers) = (tool.get_service_names_and_types(), tool.count_subscribers("/robot_1/said"));
        assert!(matches!((services, subscribers), (Err(Error::Unsupported { .. }), Err(Error::Unsupported { .. }))));
    } else {
        let served = |tool: &Node| tool.get_service_names_and_types().unwrap().contains_key("/robot_1/camera/go");
        assert!(tool.wait_for_graph(PATIENCE, served).await);
        assert_eq!(tool.get_service_names_and_types().unwrap()["/robot_1/camera/go"], ["std_srvs/srv/Trigger"]);
        assert_eq!(tool.count_subscribers("/robot_1/said").unwrap(), 1);
    }
    assert_eq!(tool.count_publishers("/robot_1/said").unwrap(), 1);
    assert_eq!(tool.count_publishers("/nobody").unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_leaves_when_it_and_its_endpoints_are_dropped() {
    let world = World::new();
    let context = world.program("");
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let node = Node::create(&context, "guest", "").unwrap();
    let publisher = node.create_publisher::<std_msgs::msg::String>("said", QosProfile::default()).unwrap();
    let there = |tool: &Node| tool.get_node_names().unwrap().contains(&"/guest".to_string());
    assert!(tool.wait_for_graph(PATIENCE, |tool| there(tool) && tool.count_publishers("said").unwrap() == 1).await);
    drop((node.clone(), node));
    drop(publisher);
    assert!(tool.wait_for_graph(PATIENCE, |tool| !there(tool) && tool.count_publishers("said").unwrap() == 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_leaves_at_once_ends_streams_and_refuses_further_calls() {
    let world = World::new();
    let context = world.program("");
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let node = Node::create(&context, "guest", "").unwrap();
    let publisher = node.create_publisher::<std_msgs::msg::String>("said", QosProfile::default()).unwrap();
    let subscription = node.subscribe::<std_msgs::msg::String>("heard", QosProfile::default(), Queue::all()).unwrap();
    let requests = node.create_service::<Trigger::Service>("go").unwrap();
    let there = |tool: &Node| tool.get_node_names().unwrap().contains(&"/guest".to_string());
    assert!(tool.wait_for_graph(PATIENCE, there).await);
    let streams = tokio::spawn(async move { (subscription.count().await, requests.count().await) });
    context.shutdown().unwrap();
    context.shutdown().unwrap();
    assert!(tool.wait_for_graph(PATIENCE, |tool| !there(tool)).await);
    assert_eq!(tokio::time::timeout(PATIENCE, streams).await.unwrap().unwrap(), (0, 0));
    let error = publisher.publish(&std_msgs::msg::String::default()).unwrap_err();
    assert!(matches!(error, Error::ShutDown { .. }), "{error}");
    assert!(matches!(Node::create(&context, "again", "").err(), Some(Error::ShutDown { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_of_the_same_router_are_one_graph_and_names_are_checked() {
    let world = World::new();
    let context = world.program("");
    for (name, namespace, part) in [("a-b", "", "node name \"a-b\""), ("a", "/b-c", "namespace name \"/b-c\""), ("", "", "node name \"\"")]
    {
        let error = Node::create(&context, name, namespace).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let node = Node::create(&context, "a", "b").unwrap();
    assert_eq!((node.fully_qualified_name(), node.name(), node.namespace()), ("/b/a", "a", "/b"));
    eventually("the node itself", || node.get_node_names().unwrap() == ["/b/a"]).await;
}
