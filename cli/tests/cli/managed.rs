//! Goals of actions, and the states of managed nodes.

use edgeflow_ros::{
    edgeflow_msgs::action::DeployModel::{Action, Feedback, Result as Done},
    lifecycle::{HookError, Lifecycle, Managed},
};
use futures::StreamExt;

use crate::support::{Graph, Running};

const ACTION: &str = "/robot_1/inference_node/deploy_model";
const NODE: &str = "/robot_1/inference_node";

/// Serves the action: an empty path is rejected, "broken" is aborted, "endless" goes on until it is canceled, and
/// every other is achieved.
fn serve_deploy(graph: &Graph) {
    let mut server = graph.node.create_action_server::<Action>("~/deploy_model").unwrap();
    tokio::spawn(async move {
        while let Some(request) = server.next().await {
            if request.goal.bundle_path.is_empty() {
                request.reject();
                continue;
            }
            let goal = request.accept().unwrap();
            goal.feedback(Feedback { status: 2, progress: 0.25 }).unwrap();
            goal.feedback(Feedback { status: 4, progress: 1.0 }).unwrap();
            let message = |text: &str| Done { message: text.to_owned(), ..Default::default() };
            match goal.goal().bundle_path.as_str() {
                "broken" => goal.abort(message("no such bundle")).unwrap(),
                "endless" => {
                    tokio::spawn(async move {
                        goal.canceling().await;
                        goal.canceled(message("stopped")).unwrap();
                    });
                }
                path => {
                    let digest = format!("sha256:{path}");
                    goal.succeed(Done { success: true, digest, swap_gap_us: 7, ..Default::default() }).unwrap();
                }
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_listed_with_who_serves_them() {
    let graph = Graph::start();
    assert_eq!(graph.run(&["ros", "action", "list"]).await.ok(), "");
    serve_deploy(&graph);
    assert_eq!(graph.run(&["ros", "action", "list"]).await.ok(), format!("{ACTION}\n"));
    assert_eq!(graph.run(&["ros", "action", "list", "-t"]).await.ok(), format!("{ACTION} [edgeflow_msgs/action/DeployModel]\n"));
    assert_eq!(graph.run(&["ros", "action", "list", "-c"]).await.ok(), "1\n");
    let info = graph.run(&["ros", "action", "info", ACTION, "-t"]).await.ok();
    assert_eq!(info, format!("Action: {ACTION}\nAction clients: 0\nAction servers: 1\n    {NODE} [edgeflow_msgs/action/DeployModel]\n"));
    let info = graph.run(&["ros", "action", "info", "-c", ACTION]).await.ok();
    assert_eq!(info, format!("Action: {ACTION}\nAction clients: 0\nAction servers: 1\n"));
    let absent = graph.run(&["ros", "action", "info", "/deploy_model"]).await.failed();
    assert!(absent.contains("no action /deploy_model") && absent.contains(ACTION), "{absent}");
    let topics = graph.run(&["ros", "topic", "list"]).await.ok();
    assert!(!topics.contains("_action"), "{topics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_sent_and_followed() {
    let graph = Graph::start();
    serve_deploy(&graph);
    let out = graph.run(&["ros", "action", "send_goal", "--feedback", ACTION, "{bundle_path: '7'}"]).await.ok();
    let (asked, rest) = out.split_once("Goal accepted with ID: ").unwrap();
    assert_eq!(asked, "Sending goal:\n    slot: ''\n    bundle_path: '7'\n    model_name: ''\n    model_version: ''\n    digest: ''\n\n");
    let (id, told) = rest.split_once("\n\n").unwrap();
    assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    assert_eq!(
        told,
        "Feedback:\n    status: 2\n    progress: 0.25\n\nFeedback:\n    status: 4\n    progress: 1.0\n\n\
         Result:\n    success: true\n    message: ''\n    digest: sha256:7\n    swap_gap_us: 7\n\nGoal finished with status: SUCCEEDED\n"
    );
    let typed = ["ros", "action", "send_goal", ACTION, "edgeflow_msgs/action/DeployModel", "{bundle_path: '7'}"];
    let out = graph.run(&typed).await.ok();
    assert!(!out.contains("Feedback:") && out.ends_with("Goal finished with status: SUCCEEDED\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_is_rejected_or_aborted_ends_with_status_1() {
    let graph = Graph::start();
    serve_deploy(&graph);
    let rejected = graph.run(&["ros", "action", "send_goal", ACTION]).await;
    assert_eq!((rejected.code, rejected.err.as_str()), (Some(1), format!("edgeflow: action {ACTION} rejected the goal\n").as_str()));
    let aborted = graph.run(&["ros", "action", "send_goal", ACTION, "{bundle_path: broken}"]).await;
    assert_eq!(aborted.code, Some(1), "{aborted:?}");
    assert!(aborted.out.contains("message: no such bundle\n") && aborted.out.ends_with("status: ABORTED\n"), "{aborted:?}");
    assert!(aborted.err.contains("ABORTED"), "{aborted:?}");
    let misspelt = graph.run(&["ros", "action", "send_goal", ACTION, "{bundle: broken}"]).await.failed();
    assert!(misspelt.contains("\"bundle\"") && misspelt.contains("DeployModel_Goal"), "{misspelt}");
    let absent = graph.run(&["ros", "action", "send_goal", "--timeout", "0.2", "/none", "edgeflow_msgs/action/DeployModel"]).await;
    assert!(absent.code == Some(1) && absent.err.contains("action /none is not available"), "{absent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_cancels_the_goal() {
    let graph = Graph::start();
    serve_deploy(&graph);
    let mut running = Running::start(graph.program(&["ros", "action", "send_goal", "-f", ACTION, "{bundle_path: endless}"]));
    while running.line().await != "    progress: 1.0" {}
    running.press_ctrl_c().await;
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.starts_with("Goal finished")) {
        lines.push(running.line().await);
    }
    assert_eq!(lines[..3], ["", "Canceling goal...", "Result:"]);
    assert!(lines.contains(&"    message: stopped".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "Goal finished with status: CANCELED");
    assert_eq!(running.ended().await, Some(0));
}

struct Stubborn;

impl Managed for Stubborn {
    async fn on_activate(&mut self) -> Result<(), HookError> {
        Err("no camera".into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_node_is_asked_and_told() {
    let graph = Graph::start();
    assert_eq!(graph.run(&["ros", "lifecycle", "nodes"]).await.ok(), "");
    let _lifecycle = Lifecycle::serve(&graph.node, Stubborn).unwrap();
    assert_eq!(graph.run(&["ros", "lifecycle", "nodes"]).await.ok(), format!("{NODE}\n"));
    assert_eq!(graph.run(&["ros", "lifecycle", "nodes", "-c"]).await.ok(), "1\n");
    assert_eq!(graph.run(&["ros", "lifecycle", "get", NODE]).await.ok(), "unconfigured [1]\n");
    assert_eq!(
        graph.run(&["ros", "lifecycle", "list", NODE]).await.ok(),
        "- configure [1]\n\tStart: unconfigured\n\tGoal: configuring\n- shutdown [5]\n\tStart: unconfigured\n\tGoal: shuttingdown\n"
    );
    assert_eq!(graph.run(&["ros", "lifecycle", "set", NODE, "configure"]).await.ok(), "Transitioning successful\n");
    assert_eq!(graph.run(&["ros", "lifecycle", "get"]).await.ok(), format!("{NODE}: inactive [2]\n"));
    let failed = graph.run(&["ros", "lifecycle", "set", NODE, "3"]).await.failed();
    assert!(failed.contains("transitioning failed: activate of /robot_1/inference_node, which is inactive now"), "{failed}");
    let unknown = graph.run(&["ros", "lifecycle", "set", NODE, "deactivate"]).await.failed();
    assert!(unknown.contains("no transition deactivate") && unknown.contains("cleanup [2], activate [3], shutdown [6]"), "{unknown}");
    let all = graph.run(&["ros", "lifecycle", "list", "--all", NODE]).await.ok();
    assert_eq!(all.lines().filter(|line| line.starts_with("- ")).count(), 25, "{all}");
    let absent = graph.run(&["ros", "lifecycle", "get", "inference_node"]).await.failed();
    assert!(absent.contains("no managed node /inference_node") && absent.contains(NODE), "{absent}");
}
