//! The embedded stack's routers, and the order in which programs start.

use super::{PATIENCE, World, next};
use edgeflow_ros::{Context, Node, QosProfile, Queue, router::Router, std_msgs::msg::String as Text};
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn programs_started_before_the_router_find_each_other_once_it_is_up() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let early = || Context::builder().router(address).build().unwrap();
    let talker = Node::create(&early(), "talker", "").unwrap();
    let listener = Node::create(&early(), "listener", "").unwrap();
    let publisher = talker.create_publisher("said", QosProfile::default()).unwrap();
    let mut heard = listener.subscribe::<Text>("said", QosProfile::default(), Queue::all()).unwrap();
    assert_eq!(publisher.subscriber_count(), 0);
    let _router = Router::start(address).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    publisher.publish(&Text { data: "late but there".into() }).unwrap();
    assert_eq!(next(&mut heard).await.data, "late but there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_cannot_listen_says_where_and_what_to_do() {
    let world = World::new();
    let error = Router::start(world.router.addr()).err().unwrap().to_string();
    assert!(error.contains(&world.router.addr().to_string()) && error.contains("EDGEFLOW_ROS_ROUTER"), "{error}");
    let error = Router::start("0.0.0.0:0".parse().unwrap()).err().unwrap().to_string();
    assert!(error.contains("0.0.0.0:0") && error.contains("loopback"), "{error}");
}
