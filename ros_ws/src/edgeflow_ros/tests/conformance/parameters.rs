//! Parameters, as `ros2 param` sees them and as the command line gives them.

use super::{PATIENCE, World};
use edgeflow_ros::{
    Error, Node, Service,
    constants::rcl_interfaces::msg::ParameterType,
    rcl_interfaces::{
        msg::{Parameter, ParameterValue},
        srv::{DescribeParameters, GetParameters, ListParameters, SetParameters},
    },
};

/// One call of a node's parameter service.
async fn ask<S: Service>(node: &Node, service: &str, request: S::Request) -> S::Response {
    let client = node.create_client::<S>(service).unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    client.call(&request, PATIENCE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_services_list_get_describe_and_refuse_to_set() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -p rate_hz:=30 -r __ns:=/robot_1"), "camera", "").unwrap();
    assert_eq!(camera.declare_parameter("rate_hz", 20.0, "frames per second").unwrap(), 30.0);
    assert_eq!(camera.declare_parameter("label", "left".to_string(), "which").unwrap(), "left");
    let tool = Node::create(&world.program(""), "tool", "").unwrap();

    let listed = ask::<ListParameters::Service>(&tool, "/robot_1/camera/list_parameters", ListParameters::Request::default()).await;
    let mut names = listed.result.names;
    names.sort();
    assert_eq!(names, ["label", "rate_hz", "use_sim_time"]);

    let names = vec!["rate_hz".to_string(), "label".to_string(), "absent".to_string()];
    let got = ask::<GetParameters::Service>(&tool, "/robot_1/camera/get_parameters", GetParameters::Request { names }).await;
    assert_eq!((got.values[0].type_, got.values[0].double_value), (ParameterType::PARAMETER_DOUBLE, 30.0));
    assert_eq!(got.values[1].string_value, "left");
    assert_eq!(got.values[2].type_, ParameterType::PARAMETER_NOT_SET);

    let described = ask::<DescribeParameters::Service>(
        &tool,
        "/robot_1/camera/describe_parameters",
        DescribeParameters::Request { names: vec!["rate_hz".into()] },
    )
    .await;
    let descriptor = &described.descriptors[0];
    assert_eq!((descriptor.description.as_str(), descriptor.read_only), ("frames per second", true));

    let value = ParameterValue { type_: ParameterType::PARAMETER_DOUBLE, double_value: 5.0, ..Default::default() };
    let parameters = vec![Parameter { name: "rate_hz".into(), value }];
    let set = ask::<SetParameters::Service>(&tool, "/robot_1/camera/set_parameters", SetParameters::Request { parameters }).await;
    assert!(!set.results[0].successful && set.results[0].reason.contains("read-only"), "{:?}", set.results);
    let got =
        ask::<GetParameters::Service>(&tool, "/robot_1/camera/get_parameters", GetParameters::Request { names: vec!["rate_hz".into()] })
            .await;
    assert_eq!(got.values[0].double_value, 30.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_arguments_set_parameters_and_the_later_wins() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("robot.yaml");
    std::fs::write(
        &file,
        "/**:\n  ros__parameters: {seed: 1, names: [a, b]}\n/robot_1/camera:\n  ros__parameters: {seed: 2, nested: {deep: true}}\n",
    )
    .unwrap();
    let program = |rest: &str| world.program(&format!("--ros-args -r __ns:=/robot_1 --params-file {} {rest}", file.display()));
    let camera = Node::create(&program(""), "camera", "").unwrap();
    assert_eq!(camera.declare_parameter("seed", 0i64, "").unwrap(), 2);
    assert_eq!(camera.declare_parameter("names", Vec::<String>::new(), "").unwrap(), ["a", "b"]);
    assert!(camera.declare_parameter("nested.deep", false, "").unwrap());
    camera.check_unknown_parameters().unwrap();
    let camera = Node::create(&program("-p camera:seed:=3"), "camera", "").unwrap();
    assert_eq!(camera.declare_parameter("seed", 0i64, "").unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_unknown_names_and_doubles_are_refused_by_name() {
    let world = World::new();
    let node = Node::create(&world.program("--ros-args -p rate_hz:=fast -p rate:=3"), "camera", "").unwrap();
    let error = node.declare_parameter("rate_hz", 20.0, "").unwrap_err();
    assert!(matches!(&error, Error::ParameterType { .. }), "{error}");
    assert_eq!(error.to_string(), "parameter rate_hz of /camera must be a double, got the string \"fast\"");
    node.declare_parameter("seed", 1i64, "").unwrap();
    assert!(node.declare_parameter("seed", 1i64, "").unwrap_err().to_string().contains("declared already"));
    let error = node.check_unknown_parameters().unwrap_err().to_string();
    assert_eq!(error, "/camera has no parameter rate, rate_hz; its parameters are seed, use_sim_time");
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_time_is_refused_rather_than_ignored() {
    let world = World::new();
    let error = Node::create(&world.program("--ros-args -p use_sim_time:=true"), "camera", "").err().unwrap();
    assert!(error.to_string().contains("use_sim_time"), "{error}");
}
