//! `edgeflow ros action`.

use clap::{Args, Subcommand};
use edgeflow_ros::{
    DynamicClient, DynamicSubscription, GoalId, GoalStatus, QosProfile, Queue,
    registry::{self, ActionDescription, TypeDescription},
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use serde_json::{Value, json};
use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use super::{
    graph::{self, Graph},
    service::{SILENT_WAIT, seconds},
    topic::{ShowArguments, list, split},
    yaml::{self, Style},
};
use crate::{error::CliError, output};

/// A goal may take as long as it takes.
const UNTIL_IT_ENDS: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Subcommand)]
pub(super) enum ActionCommand {
    /// The names of all actions.
    #[command(after_help = "Example:\n  edgeflow ros action list -t")]
    List {
        /// With their types.
        #[arg(short = 't', long)]
        show_types: bool,
        /// Only their number.
        #[arg(short, long)]
        count_actions: bool,
    },
    /// Who serves an action and who uses it.
    #[command(after_help = "Example:\n  edgeflow ros action info /robot_1/inference_node/deploy_model -t")]
    Info {
        /// The action.
        action: String,
        /// With the type.
        #[arg(short = 't', long)]
        show_types: bool,
        /// Only their numbers.
        #[arg(short, long)]
        count: bool,
    },
    /// Ask for a goal and wait until it has ended. Ctrl-C asks to cancel it, and once more leaves it alone.
    #[command(
        name = "send_goal",
        after_help = "\
Ends with status 1 when the goal is rejected or not achieved.

Examples:
  edgeflow ros action send_goal --feedback /robot_1/inference_node/deploy_model '{bundle_path: /var/lib/models/7}'
  edgeflow ros action send_goal /robot_1/inference_node/deploy_model edgeflow_msgs/action/DeployModel @goal.yaml"
    )]
    SendGoal(GoalArguments),
}

#[derive(Args)]
pub(super) struct GoalArguments {
    /// The action.
    action: String,
    /// Its type, where the graph does not tell; and the goal as YAML, @FILE, or @- for standard input.
    #[arg(value_name = "TYPE|GOAL", num_args = 0..=2)]
    rest: Vec<String>,
    /// Show what the goal tells on its way.
    #[arg(short, long)]
    feedback: bool,
    /// Longest wait for the server, and for its answer whether it accepts, seconds. The goal itself may take longer.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    timeout: f64,
    #[command(flatten)]
    show: ShowArguments,
}

pub(super) async fn run(command: ActionCommand, router: SocketAddr) -> Result<(), CliError> {
    let graph = Graph::join(router).await?;
    match command {
        ActionCommand::List { show_types, count_actions } => {
            graph.settle().await;
            let actions = graph::actions(&graph.node)?.into_iter().collect::<Vec<_>>();
            list(&actions, show_types, count_actions)?;
        }
        ActionCommand::Info { action, show_types, count } => info(&graph, &action, show_types, count).await?,
        ActionCommand::SendGoal(arguments) => send_goal(&graph, arguments).await?,
    }
    graph.leave()
}

/// The nodes at both ends of the feedback, as `ros2 action info` finds them.
async fn info(graph: &Graph, action: &str, show_types: bool, count: bool) -> Result<(), CliError> {
    let ty = graph.action_type(action, None).await?;
    graph.settle().await;
    let name = graph.node.resolve_topic(action)?;
    let feedback = format!("{name}/_action/feedback");
    let (clients, servers) = (graph.node.get_subscriptions_info(&feedback)?, graph.node.get_publishers_info(&feedback)?);
    output::line(format!("Action: {name}"))?;
    for (role, endpoints) in [("clients", clients), ("servers", servers)] {
        output::line(format!("Action {role}: {}", endpoints.len()))?;
        for endpoint in endpoints.iter().filter(|_| !count) {
            let ty = if show_types { format!(" [{ty}]") } else { String::new() };
            output::line(format!("    {}{ty}", endpoint.node))?;
        }
    }
    Ok(())
}

/// One goal of an action whose type is known by name.
struct Goal {
    name: String,
    ty: &'static ActionDescription,
    id: GoalId,
    send_goal: DynamicClient,
    cancel_goal: DynamicClient,
    get_result: Arc<DynamicClient>,
    feedback: DynamicSubscription,
}

impl Goal {
    fn new(graph: &Graph, action: &str, ty: &'static ActionDescription) -> Result<Self, CliError> {
        let (node, name) = (&graph.node, graph.node.resolve_topic(action)?);
        let part = |part: &str| format!("{name}/_action/{part}");
        Ok(Self {
            ty,
            id: GoalId::random(),
            send_goal: node.create_dynamic_client(&part("send_goal"), &ty.send_goal())?,
            cancel_goal: node.create_dynamic_client(&part("cancel_goal"), "action_msgs/srv/CancelGoal")?,
            get_result: Arc::new(node.create_dynamic_client(&part("get_result"), &ty.get_result())?),
            feedback: node.subscribe_dynamic(&part("feedback"), ty.feedback_message().name, QosProfile::default(), Queue::all())?,
            name,
        })
    }

    async fn wait_for_server(&self, timeout: Duration) -> Result<(), CliError> {
        let services = [&self.send_goal, &self.cancel_goal, &self.get_result];
        let all = async {
            for service in services {
                service.wait_for_service(timeout).await?;
            }
            Ok::<_, edgeflow_ros::Error>(())
        };
        let unavailable = || edgeflow_ros::Error::ActionUnavailable { name: self.name.clone(), timeout };
        tokio::time::timeout(timeout, all).await.map_err(|_| unavailable())?.map_err(|_| unavailable().into())
    }

    fn id_value(&self) -> Value {
        json!({"uuid": self.id.as_bytes()})
    }

    /// Whether the server accepts.
    async fn ask(&self, goal: &Value, timeout: Duration) -> Result<bool, CliError> {
        let request = json!({"goal_id": self.id_value(), "goal": goal});
        Ok(self.send_goal.call(&request, timeout).await?["accepted"] == true)
    }

    /// Whether the server consents.
    async fn cancel(&self, timeout: Duration) -> Result<bool, CliError> {
        let request = json!({"goal_info": {"goal_id": self.id_value()}});
        let response = self.cancel_goal.call(&request, timeout).await?;
        Ok(response["goals_canceling"].as_array().is_some_and(|goals| !goals.is_empty()))
    }

    /// What is told of this goal in a message of feedback.
    fn own(&self, message: &Value) -> Option<Value> {
        (message["goal_id"] == self.id_value()).then(|| message["feedback"].clone())
    }
}

async fn send_goal(graph: &Graph, arguments: GoalArguments) -> Result<(), CliError> {
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let style = arguments.show.style();
    let (given, goal) = split(arguments.rest);
    let mut value = yaml::read(goal.as_deref())?;
    let mut stop = edgeflow_ros::shutdown_signal().boxed();
    let accept = async {
        let type_name = graph.action_type(&arguments.action, given).await?;
        let ty = registry::action(&type_name)?;
        let now = graph.node.now();
        yaml::stamp(ty.goal(), &mut value, &json!({"sec": now.sec, "nanosec": now.nanosec}));
        let value = ty.goal().complete(&value)?;
        let goal = Goal::new(graph, &arguments.action, ty)?;
        if goal.wait_for_server(SILENT_WAIT.min(timeout)).await.is_err() {
            eprintln!("waiting for an action server to become available...");
            goal.wait_for_server(timeout).await?;
        }
        output::text(&format!("Sending goal:\n{}\n", indented(ty.goal(), &value, style)))?;
        if !goal.ask(&value, timeout).await? {
            return Err(CliError::Ros(edgeflow_ros::Error::GoalRejected { name: goal.name }));
        }
        Ok(goal)
    };
    let mut goal = tokio::select! {
        goal = accept => goal?,
        signal = &mut stop => return signal.map_err(CliError::Signals),
    };
    output::line(format!("Goal accepted with ID: {}\n", goal.id))?;
    follow(&mut goal, arguments.feedback, style, timeout, stop).await
}

async fn follow(
    goal: &mut Goal,
    show_feedback: bool,
    style: Style,
    timeout: Duration,
    mut stop: BoxFuture<'static, std::io::Result<()>>,
) -> Result<(), CliError> {
    let show = |goal: &Goal, message: &Value| match goal.own(message) {
        Some(feedback) if show_feedback => output::text(&format!("Feedback:\n{}\n", indented(goal.ty.feedback(), &feedback, style))),
        _ => Ok(()),
    };
    let request = json!({"goal_id": goal.id_value()});
    let result = goal.get_result.clone();
    let mut result = pin!(result.call(&request, UNTIL_IT_ENDS));
    let mut canceling = false;
    let response = loop {
        tokio::select! {
            // What was told before the end is shown before the end.
            biased;
            Some(message) = goal.feedback.next() => show(goal, &message)?,
            response = &mut result => break response?,
            signal = &mut stop => {
                signal.map_err(CliError::Signals)?;
                if canceling {
                    return Ok(());
                }
                canceling = true;
                stop = edgeflow_ros::shutdown_signal().boxed();
                output::line("Canceling goal...")?;
                let consents = tokio::select! {
                    consents = goal.cancel(timeout) => consents?,
                    signal = &mut stop => return signal.map_err(CliError::Signals),
                };
                if !consents {
                    return Err(CliError::NotCanceled { action: goal.name.clone() });
                }
            }
        }
    };
    while let Some(Some(message)) = goal.feedback.next().now_or_never() {
        show(goal, &message)?;
    }
    let status = response["status"].as_i64().and_then(|code| i8::try_from(code).ok()).map_or(GoalStatus::Unknown, GoalStatus::from_code);
    if !status.is_terminal() {
        return Err(CliError::Ros(edgeflow_ros::Error::GoalUnknown { name: goal.name.clone(), goal: goal.id.to_string() }));
    }
    output::text(&format!("Result:\n{}\nGoal finished with status: {status}\n", indented(goal.ty.result(), &response["result"], style)))?;
    match status {
        GoalStatus::Succeeded => Ok(()),
        GoalStatus::Canceled if canceling => Ok(()),
        status => Err(CliError::Goal { action: goal.name.clone(), status }),
    }
}

/// A value with four spaces before each line.
fn indented(ty: &TypeDescription, value: &Value, style: Style) -> String {
    yaml::print(ty, value, style).lines().map(|line| format!("    {line}\n")).collect()
}
