//! `edgeflow ros param`.

use clap::{Args, Subcommand};
use edgeflow_ros::{
    ParameterClient, ParameterValue,
    constants::rcl_interfaces::msg::ParameterType,
    names,
    rcl_interfaces::msg::{FloatingPointRange, IntegerRange, ParameterDescriptor},
};
use std::{fmt::Write, net::SocketAddr, time::Duration};

use super::{
    graph::{Graph, PATIENCE},
    node::is_hidden,
    service::seconds,
};
use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(super) enum ParamCommand {
    /// The names of a node's parameters, or of every node's.
    #[command(after_help = "Example:\n  edgeflow ros param list /robot_1/inference_node")]
    List {
        /// The node.
        node: Option<String>,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// A parameter's value.
    #[command(after_help = "Example:\n  edgeflow ros param get /robot_1/inference_node queue_depth")]
    Get {
        /// The node.
        node: String,
        /// The parameter.
        name: String,
        /// The value alone.
        #[arg(long)]
        hide_type: bool,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Change a parameter while the node runs.
    #[command(after_help = "\
Examples:
  edgeflow ros param set /robot_1/inference_node use_sim_time true
  edgeflow ros param set /talker words '[one, two]'")]
    Set {
        /// The node.
        node: String,
        /// The parameter.
        name: String,
        /// Its new value, in YAML.
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// What is declared of parameters: type, description, constraints.
    #[command(after_help = "Example:\n  edgeflow ros param describe /robot_1/inference_node queue_depth")]
    Describe {
        /// The node.
        node: String,
        /// The parameters; none: all of them.
        names: Vec<String>,
        /// A table in Markdown, with the values as defaults: what a package's README wants.
        #[arg(long)]
        markdown: bool,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// Every parameter's value, as a file for `--params-file`.
    #[command(after_help = "Example:\n  edgeflow ros param dump /robot_1/inference_node > robot_1.yaml")]
    Dump {
        /// The node.
        node: String,
        #[command(flatten)]
        wait: WaitArguments,
    },
}

#[derive(Args, Clone, Copy)]
pub(super) struct WaitArguments {
    /// Longest wait for the node's answer, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    timeout: f64,
}

pub(super) async fn run(command: ParamCommand, router: SocketAddr) -> Result<(), CliError> {
    let graph = Graph::join(router).await?;
    act(&graph, command).await?;
    graph.leave()
}

async fn act(graph: &Graph, command: ParamCommand) -> Result<(), CliError> {
    match command {
        ParamCommand::List { node: Some(node), wait } => {
            let (_, parameters) = find(graph, &node, wait).await?;
            parameters.names().await?.iter().try_for_each(|name| output::line(format!("  {name}")))
        }
        ParamCommand::List { node: None, wait } => {
            graph.settle().await;
            for node in nodes(graph)?.iter().filter(|name| !is_hidden(name)) {
                let (_, parameters) = find(graph, node, wait).await?;
                output::line(format!("{node}:"))?;
                parameters.names().await?.iter().try_for_each(|name| output::line(format!("  {name}")))?;
            }
            Ok(())
        }
        ParamCommand::Get { node, name, hide_type, wait } => {
            let (node, parameters) = find(graph, &node, wait).await?;
            let known = existing(&node, &parameters, vec![name]).await?;
            let Some(value) = parameters.get(&known).await?.into_iter().flatten().next() else {
                return output::line("Parameter not set.");
            };
            output::line(if hide_type { plain(&value) } else { with_type(&value) })
        }
        ParamCommand::Set { node, name, value, wait } => {
            let value = ParameterValue::parse(&value).map_err(|reason| CliError::ParameterText { name: name.clone(), reason })?;
            let (_, parameters) = find(graph, &node, wait).await?;
            parameters.set(&name, &value).await?;
            output::line("Set parameter successful")
        }
        ParamCommand::Describe { node, names, markdown, wait } => {
            let (node, parameters) = find(graph, &node, wait).await?;
            let names = existing(&node, &parameters, names).await?;
            let described = parameters.describe(&names).await?;
            if !markdown {
                return described.iter().try_for_each(|descriptor| output::text(&description(descriptor)));
            }
            let values = parameters.get(&names).await?;
            output::text(&table(described.iter().zip(&values)))
        }
        ParamCommand::Dump { node, wait } => {
            let (node, parameters) = find(graph, &node, wait).await?;
            let names = parameters.names().await?;
            let values = parameters.get(&names).await?;
            let mut text = format!("{node}:\n  ros__parameters:\n");
            for (name, value) in names.iter().zip(&values).filter_map(|(name, value)| Some((name, value.as_ref()?))) {
                let _ = writeln!(text, "    {name}: {}", yaml(value));
            }
            output::text(&text)
        }
    }
}

/// Nodes with parameters.
fn nodes(graph: &Graph) -> Result<Vec<String>, CliError> {
    let services = graph.node.get_service_names_and_types()?;
    Ok(services.keys().filter_map(|name| name.strip_suffix("/list_parameters")).map(str::to_owned).collect())
}

/// A node's full name and its parameters, once it is there.
async fn find(graph: &Graph, name: &str, wait: WaitArguments) -> Result<(String, ParameterClient), CliError> {
    let name = names::expand("node", name, "/", graph.node.name())?;
    let known = || nodes(graph).unwrap_or_default();
    if !graph.node.wait_for_graph(PATIENCE, |_| known().contains(&name)).await {
        let others = nodes(graph)?.into_iter().filter(|name| !is_hidden(name)).collect::<Vec<_>>().join(" or ");
        let hint =
            if others.is_empty() { " on the graph, nor any other".to_owned() } else { format!(" on the graph: did you mean {others}?") };
        return Err(CliError::NotOnGraph { kind: "node with parameters", name, hint });
    }
    let parameters = ParameterClient::new(&graph.node, &name, Duration::from_secs_f64(wait.timeout))?;
    Ok((name, parameters))
}

/// The names, if the node has them all; those of all its parameters, if none is asked for.
async fn existing(node: &str, parameters: &ParameterClient, names: Vec<String>) -> Result<Vec<String>, CliError> {
    let known = parameters.names().await?;
    if names.is_empty() {
        return Ok(known);
    }
    match names.iter().find(|name| !known.contains(name)) {
        Some(unknown) => {
            let hint = format!(" in {node}: `edgeflow ros param list {node}` shows what there is");
            Err(CliError::NotOnGraph { kind: "parameter", name: unknown.clone(), hint })
        }
        None => Ok(names),
    }
}

/// As `ros2 param get --hide-type` prints it.
fn plain(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        ParameterValue::String(value) => value.clone(),
        other => other.to_string(),
    }
}

/// As `ros2 param get` prints it.
fn with_type(value: &ParameterValue) -> String {
    let kind = match value {
        ParameterValue::Bool(_) => "Boolean value is",
        ParameterValue::Integer(_) => "Integer value is",
        ParameterValue::Double(_) => "Double value is",
        ParameterValue::String(_) => "String value is",
        ParameterValue::BoolArray(_) => "Boolean values are",
        ParameterValue::IntegerArray(_) => "Integer values are",
        ParameterValue::DoubleArray(_) => "Double values are",
        ParameterValue::StringArray(_) => "String values are",
    };
    format!("{kind}: {}", plain(value))
}

/// As a parameter file has it.
fn yaml(value: &ParameterValue) -> String {
    // Strings as JSON has them are YAML, whatever is in them.
    match value {
        ParameterValue::String(value) => serde_json::Value::from(value.as_str()).to_string(),
        ParameterValue::StringArray(values) => serde_json::Value::from(values.as_slice()).to_string(),
        ParameterValue::Double(value) if value.is_nan() => ".nan".to_owned(),
        ParameterValue::Double(value) if value.is_infinite() => if *value > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        other => other.to_string(),
    }
}

fn type_name(code: u8) -> &'static str {
    match code {
        ParameterType::PARAMETER_BOOL => "boolean",
        ParameterType::PARAMETER_INTEGER => "integer",
        ParameterType::PARAMETER_DOUBLE => "double",
        ParameterType::PARAMETER_STRING => "string",
        ParameterType::PARAMETER_BYTE_ARRAY => "byte array",
        ParameterType::PARAMETER_BOOL_ARRAY => "boolean array",
        ParameterType::PARAMETER_INTEGER_ARRAY => "integer array",
        ParameterType::PARAMETER_DOUBLE_ARRAY => "double array",
        ParameterType::PARAMETER_STRING_ARRAY => "string array",
        _ => "not set",
    }
}

/// As `ros2 param describe` prints it.
fn description(of: &ParameterDescriptor) -> String {
    let mut text = format!("Parameter name: {}\n  Type: {}\n", of.name, type_name(of.type_));
    let mut line = |line: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{line}");
    };
    if !of.description.is_empty() {
        line(format_args!("  Description: {}", of.description));
    }
    line(format_args!("  Constraints:"));
    if of.read_only {
        line(format_args!("    Read only: true"));
    }
    for IntegerRange { from_value, to_value, .. } in &of.integer_range {
        line(format_args!("    Min value: {from_value}\n    Max value: {to_value}"));
    }
    for FloatingPointRange { from_value, to_value, .. } in &of.floating_point_range {
        line(format_args!("    Min value: {from_value:?}\n    Max value: {to_value:?}"));
    }
    if !of.additional_constraints.is_empty() {
        line(format_args!("    Additional constraints: {}", of.additional_constraints));
    }
    text
}

/// A row for each parameter. A star behind the name: it can be set while the node runs.
fn table<'a>(parameters: impl Iterator<Item = (&'a ParameterDescriptor, &'a Option<ParameterValue>)>) -> String {
    let mut text = "| parameter | type | default | what |\n| --- | --- | --- | --- |\n".to_owned();
    for (of, value) in parameters {
        let integers = of.integer_range.iter().map(|r| match r.to_value {
            i64::MAX => format!("at least {}", r.from_value),
            to => format!("{} to {to}", r.from_value),
        });
        let doubles = of.floating_point_range.iter().map(|r| format!("{:?} to {:?}", r.from_value, r.to_value));
        let constraints = Some(of.additional_constraints.clone()).filter(|text| !text.is_empty());
        let allowed: String = integers.chain(doubles).chain(constraints).map(|allowed| format!(" ({allowed})")).collect();
        let value = value.as_ref().map(|value| format!("`{value}`")).unwrap_or_default();
        let star = if of.read_only { "" } else { " \\*" };
        let _ =
            writeln!(text, "| `{}`{star} | {} | {value} | {}{allowed} |", of.name, type_name(of.type_), of.description.replace('|', "\\|"));
    }
    text
}
