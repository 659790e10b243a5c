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
    assert!(tool.wait_for_graph(PATIENCE, |tool| tool.count_publishers("/odd").unwrap() == 1).await);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_what_its_types_consist_of_and_no_lie_is_believed() {
    use edgeflow_ros::{RawType, registry, type_description_interfaces::srv::GetTypeDescription};
    let world = World::new();
    let node = Node::create(&world.program(""), "camera", "/robot_1").unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    assert_eq!(node.name(), "camera");
    let client = tool.create_client::<GetTypeDescription::Service>("/robot_1/camera/get_type_description").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    let image = registry::message("sensor_msgs/msg/Image").unwrap();
    let ask = async |type_name: &str, type_hash: &str| {
        let request = GetTypeDescription::Request { type_name: type_name.into(), type_hash: type_hash.into(), include_type_sources: true };
        client.call(&request, PATIENCE).await.unwrap()
    };
    let answer = ask(image.name, image.hash).await;
    let told = &answer.type_description;
    assert!(answer.successful && told.type_description.type_name == image.name, "{answer:?}");
    assert_eq!(told.type_description.fields.len(), image.fields.len());
    let parts: Vec<&str> = told.referenced_type_descriptions.iter().map(|ty| ty.type_name.as_str()).collect();
    assert_eq!(parts, ["builtin_interfaces/msg/Time", "std_msgs/msg/Header"]);
    let stale = ask(image.name, "RIHS01_00").await;
    assert!(!stale.successful && stale.failure_reason.contains(image.hash), "{stale:?}");
    assert!(ask("no_msgs/msg/Such", "").await.failure_reason.contains("no_msgs/msg/Such"));

    // Who does not know, who is not there, and who is known already.
    let ty = RawType { name: "no_msgs/msg/Such".into(), hash: format!("RIHS01_{}", "0".repeat(64)) };
    let brief = std::time::Duration::from_millis(500);
    let error = tool.fetch_type(&ty, "/robot_1/camera", PATIENCE).await.unwrap_err().to_string();
    assert!(error.starts_with("/robot_1/camera does not describe no_msgs/msg/Such"), "{error}");
    let error = tool.fetch_type(&ty, "/nobody", brief).await.unwrap_err().to_string();
    assert!(error.contains("/nobody") && (error.contains("no service") || error.contains("not answered")), "{error}");
    assert!(std::ptr::eq(tool.fetch_type(&RawType::from(image), "/nobody", brief).await.unwrap(), image));

    // A node of its own making, whose description is of another type.
    let mut requests = node.create_service::<GetTypeDescription::Service>("/liar/get_type_description").unwrap();
    let lie = tokio::spawn(async move {
        let request = next(&mut requests).await;
        let mut told = answer.type_description;
        told.type_description.type_name = "lie_msgs/msg/Lie".into();
        request.respond(GetTypeDescription::Response { successful: true, type_description: told, ..Default::default() }).unwrap();
    });
    let ty = RawType { name: "lie_msgs/msg/Lie".into(), hash: format!("RIHS01_{}", "ab".repeat(32)) };
    let error = tool.fetch_type(&ty, "/liar", PATIENCE).await.unwrap_err().to_string();
    assert!(error.contains("another definition"), "{error}");
    assert!(registry::resolve(&ty.name, None).is_err());
    lie.await.unwrap();
}
