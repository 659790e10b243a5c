//! Parameters of a node, as `ros2 param` shows and sets them.

use edgeflow_ros::DeclaredParameter;

use crate::support::Graph;

const NODE: &str = "/robot_1/inference_node";

/// A node with a parameter that can be changed and one that cannot.
fn declared(graph: &Graph) -> DeclaredParameter<f64> {
    graph.node.parameter("label", "a \"quoted\" one".to_owned()).description("What | is shown.").read_only().unwrap();
    graph.node.parameter("rate_hz", 20.0).description("Frames per second.").range(0.1..=100.0).declare().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_listed_and_read() {
    let graph = Graph::start();
    let _rate = declared(&graph);
    let listed = graph.run(&["ros", "param", "list", NODE]).await.ok();
    assert_eq!(listed, "  label\n  rate_hz\n  use_sim_time\n");
    assert_eq!(graph.run(&["ros", "param", "list"]).await.ok(), format!("{NODE}:\n{listed}"));
    assert_eq!(graph.run(&["ros", "param", "get", NODE, "rate_hz"]).await.ok(), "Double value is: 20.0\n");
    assert_eq!(graph.run(&["ros", "param", "get", NODE, "label", "--hide-type"]).await.ok(), "a \"quoted\" one\n");
    assert_eq!(graph.run(&["ros", "param", "get", NODE, "use_sim_time"]).await.ok(), "Boolean value is: False\n");
    let unknown = graph.run(&["ros", "param", "get", NODE, "rate"]).await.failed();
    assert!(unknown.contains("no parameter rate in") && unknown.contains("param list"), "{unknown}");
    let absent = graph.run(&["ros", "param", "list", "/robot_2/inference_node"]).await.failed();
    assert!(absent.contains("/robot_2/inference_node") && absent.contains(&format!("did you mean {NODE}?")), "{absent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_is_set_or_refused_with_the_nodes_reason() {
    let graph = Graph::start();
    let rate = declared(&graph);
    assert_eq!(graph.run(&["ros", "param", "set", NODE, "rate_hz", "5"]).await.ok(), "Set parameter successful\n");
    assert_eq!(rate.get(), 5.0);
    for (name, value, reason) in
        [("rate_hz", "-1", "0.1"), ("rate_hz", "fast", "double"), ("label", "b", "read-only"), ("rate_hz", "{a: 1}", "scalar")]
    {
        let refused = graph.run(&["ros", "param", "set", NODE, name, value]).await.failed();
        assert!(refused.contains(name) && refused.contains(reason), "{refused}");
    }
    assert_eq!(rate.get(), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_described_in_words_and_as_a_table() {
    let graph = Graph::start();
    let _rate = declared(&graph);
    assert_eq!(
        graph.run(&["ros", "param", "describe", NODE, "rate_hz", "label"]).await.ok(),
        "Parameter name: rate_hz\n  Type: double\n  Description: Frames per second.\n  Constraints:\n    Min value: 0.1\n    Max value: 100.0\n\
         Parameter name: label\n  Type: string\n  Description: What | is shown.\n  Constraints:\n    Read only: true\n"
    );
    let table = graph.run(&["ros", "param", "describe", NODE, "rate_hz", "label", "--markdown"]).await.ok();
    let rows: Vec<_> = table.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "| `rate_hz` \\* | double | `20.0` | Frames per second. (0.1 to 100.0) |",
            "| `label` | string | `\"a \"quoted\" one\"` | What \\| is shown. |"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_a_parameter_file() {
    let graph = Graph::start();
    let _rate = declared(&graph);
    let dump = graph.run(&["ros", "param", "dump", NODE]).await.ok();
    assert_eq!(
        dump,
        format!("{NODE}:\n  ros__parameters:\n    label: \"a \\\"quoted\\\" one\"\n    rate_hz: 20.0\n    use_sim_time: false\n")
    );
}
