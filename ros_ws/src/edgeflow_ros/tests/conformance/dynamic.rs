//! Types known by name at run time.

use super::{PATIENCE, World, next};
use edgeflow_ros::{Node, QosProfile, Queue, edgeflow_msgs::msg::DriftReport, std_srvs::srv::SetBool};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn typed_and_run_time_types_read_each_other() {
    let world = World::new();
    let node = Node::create(&world.program(""), "node", "").unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    const TYPE: &str = "edgeflow_msgs/msg/DriftReport";

    let mut values = tool.subscribe_dynamic("drift", TYPE, QosProfile::default(), Queue::all()).unwrap();
    let publisher = node.create_publisher("drift", QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    let mut report =
        DriftReport { baseline: "bundle".into(), max_psi: f64::INFINITY, window: u64::MAX, flagged: true, ..Default::default() };
    report.header.stamp.sec = -5;
    report.features = vec![edgeflow_ros::edgeflow_msgs::msg::DriftFeature {
        name: "brightness".into(),
        edges: vec![0.1, 0.2],
        counts: vec![1, 2, 3],
        ..Default::default()
    }];
    publisher.publish(&report).unwrap();
    let value = next(&mut values).await;
    assert_eq!(value["header"]["stamp"], json!({"sec": -5, "nanosec": 0}));
    assert_eq!((&value["window"], &value["max_psi"], &value["flagged"]), (&json!(u64::MAX), &json!(".inf"), &json!(true)));
    assert_eq!(value["features"][0]["counts"], json!([1, 2, 3]));

    let mut reports = node.subscribe::<DriftReport>("again", QosProfile::default(), Queue::all()).unwrap();
    let publisher = tool.create_dynamic_publisher("again", TYPE, QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    publisher.publish(&value).unwrap();
    assert_eq!(next(&mut reports).await, report);
    let error = publisher.publish(&json!({"flaged": true})).unwrap_err().to_string();
    assert!(error.contains("flaged") && error.contains(TYPE), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_called_by_type_name() {
    let world = World::new();
    let node = Node::create(&world.program(""), "node", "").unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let mut requests = node.create_service::<SetBool::Service>("flip").unwrap();
    let client = tool.create_dynamic_client("/flip", "std_srvs/srv/SetBool").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    let serve = async {
        let request = next(&mut requests).await;
        let data = request.message.data;
        request.respond(SetBool::Response { success: data, message: "done".into() }).unwrap();
    };
    let request = json!({"data": true});
    let (response, ()) = tokio::join!(client.call(&request, PATIENCE), serve);
    assert_eq!(response.unwrap(), json!({"success": true, "message": "done"}));
    assert!(client.call(&json!({"dat": true}), PATIENCE).await.unwrap_err().to_string().contains("\"dat\""));
    assert!(tool.create_dynamic_client("/flip", "std_srvs/srv/Flip").err().unwrap().to_string().contains("std_srvs/srv/Flip"));
}

#[cfg(not(feature = "r2r"))] // which carries no type that was not compiled in
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_type_that_nobody_knows_are_carried_octet_by_octet() {
    use edgeflow_ros::RawType;
    let world = World::new();
    let node = Node::create(&world.program(""), "node", "").unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let ty = RawType { name: "unheard_msgs/msg/Of".into(), hash: format!("RIHS01_{}", "5a".repeat(32)) };
    let mut bodies = tool.subscribe_opaque("odd", &ty, QosProfile::default(), Queue::all()).unwrap();
    let publisher = node.create_raw_publisher("odd", &ty, QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    let found = tool.get_publishers_info("/odd").unwrap();
    assert_eq!((found[0].type_name.as_str(), found[0].type_hash.as_deref()), (ty.name.as_str(), Some(ty.hash.as_str())));
    for length in [0, 1, 3, 70_000] {
        let body: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        publisher.publish(&body).unwrap();
        assert_eq!(next(&mut bodies).await, body);
    }
    let wrong = RawType { hash: "RIHS01_zz".into(), ..ty };
    let error = tool.create_raw_publisher("odd", &wrong, QosProfile::default()).err().unwrap().to_string();
    assert!(error.contains("unheard_msgs/msg/Of"), "{error}");
}
