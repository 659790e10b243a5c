//! `edgeflow ros`: what `ros2` does for someone who looks, listens and calls, with its names, flags and output.

mod action;
mod fill;
mod graph;
mod hz;
mod interface;
mod lifecycle;
mod node;
mod param;
mod service;
mod topic;
mod yaml;

pub(crate) use graph::Graph;

use clap::{Args, Subcommand};
use edgeflow_ros::router;
use std::net::SocketAddr;

use crate::{error::CliError, output};

/// Arguments of `edgeflow ros`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  edgeflow ros node list
  edgeflow ros topic hz /robot_1/camera/image
  edgeflow ros service call /robot_1/inference_node/get_model_info
  edgeflow ros action send_goal --feedback /robot_1/inference_node/deploy_model '{bundle_path: /var/lib/models/7}'
  edgeflow ros param describe /robot_1/inference_node queue_depth
  edgeflow ros lifecycle set /robot_1/inference_node activate
  edgeflow ros service call /robot_1/inference_node/infer --from-topic /robot_1/camera/image:image")]
pub(crate) struct RosArguments {
    /// Address of the ROS router.
    #[arg(long, global = true, value_name = "HOST:PORT", env = router::ENVIRONMENT, default_value_t = router::DEFAULT_ADDRESS)]
    router: SocketAddr,
    #[command(subcommand)]
    command: RosCommand,
}

#[derive(Subcommand)]
enum RosCommand {
    /// The nodes of the graph.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Topics: list, listen, measure, publish.
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Services: list, call.
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Actions: list, ask for a goal.
    #[command(subcommand)]
    Action(action::ActionCommand),
    /// Managed nodes: their states, and what they can be told.
    #[command(subcommand)]
    Lifecycle(lifecycle::LifecycleCommand),
    /// Parameters: list, read, set, describe.
    #[command(subcommand)]
    Param(param::ParamCommand),
    /// Message, service and action types.
    #[command(subcommand)]
    Interface(interface::InterfaceCommand),
    /// Run the router through which the programs of this machine find each other, until Ctrl-C.
    #[command(after_help = "Examples:\n  edgeflow ros router\n  edgeflow ros --router 0.0.0.0:7447 router")]
    Router,
}

/// Runs a command.
pub(crate) async fn run(arguments: RosArguments) -> Result<(), CliError> {
    match arguments.command {
        RosCommand::Node(command) => node::run(&command, arguments.router).await,
        RosCommand::Topic(command) => topic::run(command, arguments.router).await,
        RosCommand::Service(command) => service::run(command, arguments.router).await,
        RosCommand::Action(command) => action::run(command, arguments.router).await,
        RosCommand::Lifecycle(command) => lifecycle::run(command, arguments.router).await,
        RosCommand::Param(command) => param::run(command, arguments.router).await,
        RosCommand::Interface(command) => interface::run(&command),
        RosCommand::Router => run_router(arguments.router).await,
    }
}

async fn run_router(listen: SocketAddr) -> Result<(), CliError> {
    let router = router::Router::start(listen)?;
    output::line(format!("ROS router listening on {}", router.addr()))?;
    if router.addr() != router::DEFAULT_ADDRESS {
        output::line(format!("for every other program: export {}={}", router::ENVIRONMENT, router.addr()))?;
    }
    edgeflow_ros::shutdown_signal().await.map_err(CliError::Signals)
}
