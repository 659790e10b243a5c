//! `edgeflow ros lifecycle`.

use clap::{Args, Subcommand};
use edgeflow_ros::{
    Service,
    lifecycle_msgs::{
        msg::{State, Transition, TransitionDescription},
        srv::{ChangeState, GetAvailableTransitions, GetState},
    },
    names,
};
use std::{net::SocketAddr, time::Duration};

use super::{
    graph::{Graph, PATIENCE},
    node::is_hidden,
    service::seconds,
};
use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(super) enum LifecycleCommand {
    /// The names of all managed nodes.
    #[command(after_help = "Example:\n  edgeflow ros lifecycle nodes")]
    Nodes {
        /// Hidden ones too, whose names begin with an underscore.
        #[arg(short, long)]
        all: bool,
        /// Only their number.
        #[arg(short, long)]
        count_nodes: bool,
    },
    /// The state of a managed node, or of all.
    #[command(after_help = "Example:\n  edgeflow ros lifecycle get /robot_1/inference_node")]
    Get {
        /// The node.
        node: Option<String>,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// What a managed node can be told in its state.
    #[command(after_help = "Example:\n  edgeflow ros lifecycle list /robot_1/inference_node")]
    List {
        /// The node.
        node: String,
        /// Every transition there is.
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Tell a managed node, and wait until it has done it.
    #[command(after_help = "\
Examples:
  edgeflow ros lifecycle set /robot_1/inference_node configure
  edgeflow ros lifecycle set /robot_1/inference_node 3")]
    Set {
        /// The node.
        node: String,
        /// A transition's label, or its number.
        transition: String,
        #[command(flatten)]
        wait: WaitArguments,
    },
}

#[derive(Args, Clone, Copy)]
pub(super) struct WaitArguments {
    /// Longest wait for the node's answer, seconds: it may have a model to load.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    timeout: f64,
}

pub(super) async fn run(command: LifecycleCommand, router: SocketAddr) -> Result<(), CliError> {
    let graph = Graph::join(router).await?;
    let stop = edgeflow_ros::shutdown_signal();
    tokio::select! {
        ran = act(&graph, command) => ran?,
        signal = stop => signal.map_err(CliError::Signals)?,
    }
    graph.leave()
}

async fn act(graph: &Graph, command: LifecycleCommand) -> Result<(), CliError> {
    match command {
        LifecycleCommand::Nodes { all, count_nodes } => {
            graph.settle().await;
            let nodes = managed(graph, all)?;
            if count_nodes { output::line(nodes.len()) } else { output::lines(nodes) }
        }
        LifecycleCommand::Get { node: Some(node), wait } => {
            let node = Managed::find(graph, &node, wait).await?;
            output::line(shown(&node.state().await?))
        }
        LifecycleCommand::Get { node: None, wait } => {
            graph.settle().await;
            for name in managed(graph, false)? {
                let node = Managed::find(graph, &name, wait).await?;
                output::line(format!("{name}: {}", shown(&node.state().await?)))?;
            }
            Ok(())
        }
        LifecycleCommand::List { node, all, wait } => {
            let node = Managed::find(graph, &node, wait).await?;
            let service = if all { "get_transition_graph" } else { "get_available_transitions" };
            for TransitionDescription { transition, start_state, goal_state } in node.transitions(service).await? {
                let Transition { id, label } = transition;
                output::line(format!("- {label} [{id}]\n\tStart: {}\n\tGoal: {}", start_state.label, goal_state.label))?;
            }
            Ok(())
        }
        LifecycleCommand::Set { node, transition, wait } => set(&Managed::find(graph, &node, wait).await?, &transition).await,
    }
}

async fn set(node: &Managed<'_>, wanted: &str) -> Result<(), CliError> {
    let known: Vec<_> = node.transitions("get_available_transitions").await?.into_iter().map(|t| t.transition).collect();
    let by_label = known.iter().find(|transition| transition.label == wanted);
    let Some(transition) = by_label.or_else(|| known.iter().find(|transition| transition.id.to_string() == wanted)) else {
        let possible = known.iter().map(|t| format!("{} [{}]", t.label, t.id)).collect::<Vec<_>>().join(", ");
        let possible = if possible.is_empty() { "none".to_owned() } else { possible };
        return Err(CliError::UnknownTransition { node: node.name.clone(), transition: wanted.to_owned(), possible });
    };
    let request = ChangeState::Request { transition: transition.clone() };
    if node.ask::<ChangeState::Service>("change_state", request).await?.success {
        return output::line("Transitioning successful");
    }
    let state = node.state().await?.label;
    Err(CliError::Transition { node: node.name.clone(), transition: transition.label.clone(), state })
}

/// Nodes which tell their state.
fn managed(graph: &Graph, all: bool) -> Result<Vec<String>, CliError> {
    let services = graph.node.get_service_names_and_types()?;
    let tells = |name: &String| {
        services.get(&format!("{name}/get_state")).is_some_and(|types| types.iter().any(|ty| ty == "lifecycle_msgs/srv/GetState"))
    };
    let mut names: Vec<_> = graph.node.get_node_names()?.into_iter().filter(|name| (all || !is_hidden(name)) && tells(name)).collect();
    names.dedup();
    Ok(names)
}

/// As `ros2 lifecycle get` prints a state.
fn shown(state: &State) -> String {
    format!("{} [{}]", state.label, state.id)
}

/// A managed node to talk to.
struct Managed<'a> {
    graph: &'a Graph,
    name: String,
    timeout: Duration,
}

impl<'a> Managed<'a> {
    /// Waits until it is there.
    async fn find(graph: &'a Graph, name: &str, wait: WaitArguments) -> Result<Self, CliError> {
        let name = names::expand("node", name, "/", graph.node.name())?;
        let known = || managed(graph, true).unwrap_or_default();
        if !graph.node.wait_for_graph(PATIENCE, |_| known().contains(&name)).await {
            let others = managed(graph, false)?.join(" or ");
            let hint = if others.is_empty() {
                " on the graph, nor any other".to_owned()
            } else {
                format!(" on the graph: did you mean {others}?")
            };
            return Err(CliError::NotOnGraph { kind: "managed node", name, hint });
        }
        Ok(Self { graph, name, timeout: Duration::from_secs_f64(wait.timeout) })
    }

    async fn ask<S: Service>(&self, service: &str, request: S::Request) -> Result<S::Response, CliError> {
        let client = self.graph.node.create_client::<S>(&format!("{}/{service}", self.name))?;
        client.wait_for_service(self.timeout).await?;
        Ok(client.call(&request, self.timeout).await?)
    }

    async fn state(&self) -> Result<State, CliError> {
        Ok(self.ask::<GetState::Service>("get_state", GetState::Request {}).await?.current_state)
    }

    async fn transitions(&self, service: &str) -> Result<Vec<TransitionDescription>, CliError> {
        let request = GetAvailableTransitions::Request {};
        Ok(self.ask::<GetAvailableTransitions::Service>(service, request).await?.available_transitions)
    }
}
