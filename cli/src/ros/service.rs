//! `edgeflow ros service`.

use clap::{Args, Subcommand};
use edgeflow_ros::registry;
use serde_json::json;
use std::{net::SocketAddr, pin::pin, time::Duration};

use super::{
    fill,
    graph::Graph,
    node::is_hidden,
    topic::{ShowArguments, list, split},
    yaml,
};
use crate::{error::CliError, output};

/// Before this, nobody needs to be told that we wait.
pub(super) const SILENT_WAIT: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(super) enum ServiceCommand {
    /// The names of all services.
    #[command(after_help = "Example:\n  edgeflow ros service list -t")]
    List {
        /// With their types.
        #[arg(short = 't', long)]
        show_types: bool,
        /// Only their number.
        #[arg(short, long)]
        count_services: bool,
        /// Hidden ones too, whose names have a part that begins with an underscore.
        #[arg(long)]
        include_hidden_services: bool,
    },
    /// Call a service and print its answer.
    #[command(after_help = "\
Request and response are shown as YAML, which `@FILE` reads again, not as Python.

Examples:
  edgeflow ros service call /robot_1/inference_node/get_model_info
  edgeflow ros service call /robot_1/sim_robot/set_camera edgeflow_msgs/srv/SetCamera '{streaming: true, exposure: 1.0}'
  edgeflow ros service call /robot_1/inference_node/infer edgeflow_msgs/srv/Infer @request.yaml
  edgeflow ros service call /robot_1/inference_node/infer --from-topic /robot_1/camera/image:image")]
    Call(CallArguments),
}

#[derive(Args)]
pub(super) struct CallArguments {
    /// The service.
    service: String,
    /// Its type, where the graph does not tell; and the request as YAML, @FILE, or @- for standard input.
    #[arg(value_name = "TYPE|REQUEST", num_args = 0..=2)]
    rest: Vec<String>,
    /// Fill a field of the request with the next message of a topic.
    #[arg(long, value_name = "TOPIC:FIELD")]
    from_topic: Vec<String>,
    /// Longest wait for the service, for a message of --from-topic, and for the answer, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    timeout: f64,
    #[command(flatten)]
    show: ShowArguments,
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e6 => Ok(seconds),
        _ => Err("must be a number of seconds above 0".to_owned()),
    }
}

pub(super) async fn run(command: ServiceCommand, router: SocketAddr) -> Result<(), CliError> {
    let graph = Graph::join(router).await?;
    match command {
        ServiceCommand::List { show_types, count_services, include_hidden_services } => {
            graph.settle().await;
            let services = graph.node.get_service_names_and_types()?;
            let shown = services.into_iter().filter(|(name, _)| include_hidden_services || !is_hidden(name)).collect::<Vec<_>>();
            list(&shown, show_types, count_services)?;
        }
        ServiceCommand::Call(arguments) => {
            let stop = pin!(edgeflow_ros::shutdown_signal());
            tokio::select! {
                called = call(&graph, arguments) => called?,
                signal = stop => signal.map_err(CliError::Signals)?,
            }
        }
    }
    graph.leave()
}

async fn call(graph: &Graph, arguments: CallArguments) -> Result<(), CliError> {
    let timeout = Duration::from_secs_f64(arguments.timeout);
    let (given, request) = split(arguments.rest);
    let mut request = yaml::read(request.as_deref())?;
    let type_name = graph.service_type(&arguments.service, given).await?;
    let ty = registry::service(&type_name)?;
    for spec in &arguments.from_topic {
        fill::from_topic(graph, ty.request(), &mut request, spec, timeout).await?;
    }
    let now = graph.node.now();
    yaml::stamp(ty.request(), &mut request, &json!({"sec": now.sec, "nanosec": now.nanosec}));
    let request = ty.request().complete(&request)?;

    let client = graph.node.create_dynamic_client(&arguments.service, &type_name)?;
    if client.wait_for_service(SILENT_WAIT.min(timeout)).await.is_err() {
        eprintln!("waiting for service to become available...");
        client.wait_for_service(timeout).await?;
    }
    let style = arguments.show.style();
    output::text(&format!("requester: making request:\n{}\n", yaml::print(ty.request(), &request, style)))?;
    let response = client.call(&request, timeout).await?;
    output::text(&format!("response:\n{}", yaml::print(ty.response(), &response, style)))
}
