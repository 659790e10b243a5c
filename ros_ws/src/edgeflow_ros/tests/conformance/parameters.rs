//! Parameters, as `ros2 param` sees them and as the command line gives them.

use super::{PATIENCE, World, eventually, next};
use edgeflow_ros::{
    Error, Node, QosProfile, Queue, Service,
    builtin_interfaces::msg::Time,
    constants::rcl_interfaces::msg::ParameterType,
    rcl_interfaces::{
        msg::{Parameter, ParameterEvent, ParameterValue},
        srv::{DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters, SetParametersAtomically},
    },
    rosgraph_msgs::msg::Clock,
};

/// One call of a node's parameter service.
async fn ask<S: Service>(node: &Node, service: &str, request: S::Request) -> S::Response {
    let client = node.create_client::<S>(service).unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    client.call(&request, PATIENCE).await.unwrap()
}

fn integer(name: &str, value: i64) -> Parameter {
    let value = ParameterValue { type_: ParameterType::PARAMETER_INTEGER, integer_value: value, ..Default::default() };
    Parameter { name: name.into(), value }
}

fn string(name: &str, value: &str) -> Parameter {
    let value = ParameterValue { type_: ParameterType::PARAMETER_STRING, string_value: value.into(), ..Default::default() };
    Parameter { name: name.into(), value }
}

fn boolean(name: &str, value: bool) -> Parameter {
    let value = ParameterValue { type_: ParameterType::PARAMETER_BOOL, bool_value: value, ..Default::default() };
    Parameter { name: name.into(), value }
}

/// Sets one parameter of `/robot_1/camera`; why not, if not.
async fn set(tool: &Node, parameter: Parameter) -> Result<(), String> {
    let request = SetParameters::Request { parameters: vec![parameter] };
    let result = ask::<SetParameters::Service>(tool, "/robot_1/camera/set_parameters", request).await.results.remove(0);
    if result.successful { Ok(()) } else { Err(result.reason) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_services_list_get_and_describe() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -p rate_hz:=30 -r __ns:=/robot_1"), "camera", "").unwrap();
    let rate = camera.parameter("rate_hz", 20.0).description("frames per second").range(0.5..=240.0).read_only().unwrap();
    assert_eq!(rate, 30.0);
    camera.parameter("exposure.mode", "auto".to_string()).choices(&["auto", "fixed"]).declare().unwrap();
    camera.parameter("depth", 4i64).range(1..=8).declare().unwrap();
    let gains = camera.parameter("gains", vec![1.0, 2.0]).read_only().unwrap();
    assert_eq!(gains, [1.0, 2.0]);
    let tool = Node::create(&world.program(""), "tool", "").unwrap();

    let listed = ask::<ListParameters::Service>(&tool, "/robot_1/camera/list_parameters", ListParameters::Request::default()).await;
    assert_eq!(listed.result.names, ["depth", "exposure.mode", "gains", "rate_hz", "use_sim_time"]);
    assert_eq!(listed.result.prefixes, ["exposure"]);

    let names: Vec<_> = ["rate_hz", "exposure.mode", "gains", "absent"].map(String::from).into();
    let got = ask::<GetParameters::Service>(&tool, "/robot_1/camera/get_parameters", GetParameters::Request { names: names.clone() }).await;
    assert_eq!((got.values[0].type_, got.values[0].double_value), (ParameterType::PARAMETER_DOUBLE, 30.0));
    assert_eq!(got.values[1].string_value, "auto");
    assert_eq!(got.values[2].double_array_value, [1.0, 2.0]);
    assert_eq!(got.values[3].type_, ParameterType::PARAMETER_NOT_SET);
    let types = ask::<GetParameterTypes::Service>(&tool, "/robot_1/camera/get_parameter_types", GetParameterTypes::Request { names }).await;
    assert_eq!(types.types, got.values.iter().map(|v| v.type_).collect::<Vec<_>>());

    let names = ["rate_hz", "depth", "exposure.mode"].map(String::from).into();
    let request = DescribeParameters::Request { names };
    let described = ask::<DescribeParameters::Service>(&tool, "/robot_1/camera/describe_parameters", request).await.descriptors;
    assert_eq!((described[0].description.as_str(), described[0].read_only), ("frames per second", true));
    assert_eq!((described[0].floating_point_range[0].from_value, described[0].floating_point_range[0].to_value), (0.5, 240.0));
    assert_eq!((described[1].integer_range[0].from_value, described[1].integer_range[0].to_value, described[1].read_only), (1, 8, false));
    assert_eq!((described[2].type_, described[2].additional_constraints.as_str()), (ParameterType::PARAMETER_STRING, "one of auto, fixed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_may_not_be_is_refused_with_the_reason_and_nothing_changes() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -r __ns:=/robot_1"), "camera", "").unwrap();
    camera.declare_parameter("fixed", 1i64, "").unwrap();
    let depth = camera.parameter("depth", 4i64).range(1..=8).declare().unwrap();
    let mode = camera.parameter("mode", "auto".to_string()).choices(&["auto", "fixed"]).declare().unwrap();
    let even = |v: &i64| if v % 2 == 0 { Ok(()) } else { Err(format!("{v} is odd")) };
    let pairs = camera.parameter("pairs", 2i64).validate(even).declare().unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    for (parameter, reason) in [
        (integer("fixed", 2), "parameter fixed is read-only"),
        (integer("absent", 2), "parameter absent is not declared"),
        (integer("depth", 9), "parameter depth: must be from 1 to 8, got 9"),
        (string("depth", "x"), "parameter depth: must be an integer, got the string \"x\""),
        (string("mode", "loud"), "parameter mode: must be one of auto, fixed, got \"loud\""),
        (integer("pairs", 3), "parameter pairs: 3 is odd"),
        (Parameter { name: "depth".into(), ..Default::default() }, "parameter depth cannot be deleted"),
    ] {
        let refused = set(&tool, parameter).await.unwrap_err();
        assert!(refused.starts_with(reason), "{refused}");
    }
    // All or nothing: the first would be fine.
    let request = SetParametersAtomically::Request { parameters: vec![integer("depth", 5), integer("pairs", 3)] };
    let result = ask::<SetParametersAtomically::Service>(&tool, "/robot_1/camera/set_parameters_atomically", request).await.result;
    assert_eq!((result.successful, result.reason.as_str()), (false, "parameter pairs: 3 is odd"));
    assert_eq!((depth.get(), mode.get().as_str(), pairs.get()), (4, "auto", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_may_be_is_set_at_run_time_and_announced() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -r __ns:=/robot_1"), "camera", "").unwrap();
    let mut depth = camera.parameter("depth", 4i64).range(1..=8).declare().unwrap();
    let rate = camera.parameter("rate_hz", 20.0).declare().unwrap();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let qos = QosProfile::default().keep_last(1000);
    let mut events = tool.subscribe::<ParameterEvent>("/parameter_events", qos, Queue::all()).unwrap();
    assert!(tool.wait_for_graph(PATIENCE, |tool| tool.count_publishers("/parameter_events").is_ok_and(|n| n >= 2)).await);
    // An integer is as good as a double, as on the command line.
    let request = SetParametersAtomically::Request { parameters: vec![integer("depth", 5), integer("rate_hz", 30)] };
    let result = ask::<SetParametersAtomically::Service>(&tool, "/robot_1/camera/set_parameters_atomically", request).await.result;
    assert!(result.successful, "{}", result.reason);
    assert_eq!(depth.changed().await, Some(5));
    assert_eq!((depth.get(), rate.get()), (5, 30.0));
    let event = loop {
        let event = next(&mut events).await;
        if !event.changed_parameters.is_empty() {
            break event;
        }
    };
    assert_eq!(event.node, "/robot_1/camera");
    let changed: Vec<_> = event.changed_parameters.iter().map(|p| (p.name.as_str(), p.value.type_)).collect();
    assert_eq!(changed, [("depth", ParameterType::PARAMETER_INTEGER), ("rate_hz", ParameterType::PARAMETER_DOUBLE)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_time_is_that_of_the_clock_topic_while_the_parameter_says_so() {
    let world = World::new();
    let camera = Node::create(&world.program("--ros-args -p use_sim_time:=true -r __ns:=/robot_1"), "camera", "").unwrap();
    let simulator = Node::create(&world.program(""), "simulator", "").unwrap();
    let clock = simulator.create_publisher::<Clock>("/clock", QosProfile::default().keep_last(1)).unwrap();
    assert_eq!((camera.is_time_simulated(), camera.now()), (true, Time::default()));
    assert!(clock.wait_for_subscribers(1, PATIENCE).await);
    clock.publish(&Clock { clock: Time { sec: 7, nanosec: 5 } }).unwrap();
    eventually("simulated time", || camera.now() == Time { sec: 7, nanosec: 5 }).await;
    set(&simulator, boolean("use_sim_time", false)).await.unwrap();
    assert!(camera.now().sec > 1_000_000_000, "{:?}", camera.now());
    set(&simulator, boolean("use_sim_time", true)).await.unwrap();
    assert!(clock.wait_for_subscribers(1, PATIENCE).await);
    eventually("time that goes on", || {
        clock.publish(&Clock { clock: Time { sec: 8, nanosec: 0 } }).unwrap();
        camera.now().sec == 8
    })
    .await;
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
    assert!(matches!(&error, Error::ParameterValue { .. }), "{error}");
    assert_eq!(error.to_string(), "parameter rate_hz of /camera must be a double, got the string \"fast\"");
    node.declare_parameter("seed", 1i64, "").unwrap();
    assert!(node.declare_parameter("seed", 1i64, "").unwrap_err().to_string().contains("declared already"));
    let error = node.check_unknown_parameters().unwrap_err().to_string();
    assert_eq!(error, "/camera has no parameter rate, rate_hz; its parameters are seed, use_sim_time");
}
