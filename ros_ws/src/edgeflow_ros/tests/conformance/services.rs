//! Serving and calling.

use super::{PATIENCE, World, next};
use edgeflow_ros::{Context, Error, Node, edgeflow_msgs::srv::SetUplink, std_srvs::srv::Empty, std_srvs::srv::SetBool};
use futures::{StreamExt, future::join_all};
use std::{sync::Arc, time::Duration};

fn nodes(world: &World) -> (Context, Node, Node) {
    let server = world.program("");
    let (server_node, client_node) =
        (Node::create(&server, "server", "").unwrap(), Node::create(&world.program(""), "client", "").unwrap());
    (server, server_node, client_node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered() {
    let world = World::new();
    let (_, server, client) = nodes(&world);
    let mut requests = server.create_service::<SetUplink::Service>("~/set_uplink").unwrap();
    assert_eq!(requests.name(), "/server/set_uplink");
    let client = client.create_client::<SetUplink::Service>("server/set_uplink").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    let serve = async {
        let request = next(&mut requests).await;
        let message = format!("connected {}", request.message.connected);
        request.respond(SetUplink::Response { success: true, message }).unwrap();
    };
    let request = SetUplink::Request { connected: true };
    let (response, ()) = tokio::join!(client.call(&request, PATIENCE), serve);
    assert_eq!(response.unwrap(), SetUplink::Response { success: true, message: "connected true".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_get_each_their_own_answer_in_whatever_order() {
    const CALLS: usize = 40;
    let world = World::new();
    let (_, server, client) = nodes(&world);
    let requests = server.create_service::<SetBool::Service>("flip").unwrap();
    let client = Arc::new(client.create_client::<SetBool::Service>("flip").unwrap());
    client.wait_for_service(PATIENCE).await.unwrap();
    // Answered only once all are here, last come first served.
    let serve = async {
        let mut all: Vec<_> = requests.take(CALLS).collect().await;
        while let Some(request) = all.pop() {
            let data = request.message.data;
            request.respond(SetBool::Response { success: !data, message: String::new() }).unwrap();
        }
    };
    let calls = (0..CALLS).map(|i| {
        let client = client.clone();
        async move { client.call(&SetBool::Request { data: i % 3 == 0 }, PATIENCE).await.unwrap().success }
    });
    let (answers, ()) = tokio::join!(join_all(calls), serve);
    assert_eq!(answers, (0..CALLS).map(|i| i % 3 != 0).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_requests_and_responses_pass() {
    let world = World::new();
    let (_, server, client) = nodes(&world);
    let mut requests = server.create_service::<Empty::Service>("reset").unwrap();
    let client = client.create_client::<Empty::Service>("reset").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    let serve = async { next(&mut requests).await.respond(Empty::Response {}).unwrap() };
    let request = Empty::Request {};
    let (response, ()) = tokio::join!(client.call(&request, PATIENCE), serve);
    assert_eq!(response.unwrap(), Empty::Response {});
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_absent_silent_or_gone_is_named() {
    let world = World::new();
    let (context, server, client) = nodes(&world);
    let client = client.create_client::<SetBool::Service>("flip").unwrap();
    let short = Duration::from_millis(50);
    let error = client.wait_for_service(short).await.unwrap_err();
    assert!(matches!(&error, Error::ServiceUnavailable { name, .. } if name == "/flip"), "{error}");
    let error = client.call(&SetBool::Request::default(), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, Error::ServiceCall { name, .. } if name == "/flip"), "{error}");

    let requests = server.create_service::<SetBool::Service>("flip").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    let error = client.call(&SetBool::Request::default(), short).await.unwrap_err();
    assert!(matches!(&error, Error::ServiceTimeout { name, .. } if name == "/flip"), "{error}");

    context.shutdown().unwrap();
    assert!(requests.collect::<Vec<_>>().await.len() <= 1);
    let error = client.call(&SetBool::Request::default(), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, Error::ServiceCall { name, .. } if name == "/flip"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_follow_remaps() {
    let world = World::new();
    let (_, server, _) = nodes(&world);
    let mut requests = server.create_service::<SetBool::Service>("/other/flip").unwrap();
    let node = Node::create(&world.program("--ros-args -r flip:=/other/flip"), "client", "").unwrap();
    let client = node.create_client::<SetBool::Service>("flip").unwrap();
    assert_eq!(client.name(), "/other/flip");
    client.wait_for_service(PATIENCE).await.unwrap();
    let serve = async { next(&mut requests).await.respond(SetBool::Response::default()).unwrap() };
    let request = SetBool::Request::default();
    let (response, ()) = tokio::join!(client.call(&request, PATIENCE), serve);
    assert!(!response.unwrap().success);
}
