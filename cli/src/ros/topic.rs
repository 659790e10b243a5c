//! `edgeflow ros topic`.

use clap::{Args, Subcommand, ValueEnum};
use edgeflow_ros::{QosProfile, Queue};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{net::SocketAddr, pin::pin, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    graph::Graph,
    hz::Rate,
    node::is_hidden,
    yaml::{self, Style},
};
use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(super) enum TopicCommand {
    /// The names of all topics.
    #[command(after_help = "Example:\n  edgeflow ros topic list -t")]
    List {
        /// With their types.
        #[arg(short = 't', long)]
        show_types: bool,
        /// Only their number.
        #[arg(short, long)]
        count_topics: bool,
        /// Hidden ones too, whose names have a part that begins with an underscore.
        #[arg(long)]
        include_hidden_topics: bool,
    },
    /// The type of a topic and who uses it.
    #[command(after_help = "Example:\n  edgeflow ros topic info /robot_1/camera/image")]
    Info {
        /// The topic.
        topic: String,
    },
    /// Print the messages of a topic as YAML, `---` after each.
    #[command(after_help = "\
Examples:
  edgeflow ros topic echo /robot_1/inference_node/result
  edgeflow ros topic echo /robot_1/inference_node/status --once
  edgeflow ros topic echo /robot_1/camera/image --no-arr
  edgeflow ros topic echo /robot_1/inference_node/result --field label")]
    Echo(EchoArguments),
    /// Measure how often messages come, once a second.
    #[command(after_help = "Example:\n  edgeflow ros topic hz /robot_1/camera/image")]
    Hz {
        /// The topic.
        topic: String,
        /// Its type, where the graph does not tell.
        #[arg(value_name = "TYPE")]
        type_name: Option<String>,
        /// Messages to average over.
        #[arg(short, long, default_value_t = 10_000)]
        window: usize,
    },
    /// Publish on a topic, once a second unless told otherwise.
    #[command(after_help = "\
`auto` for a header and `now` for a time stand for the present. Published messages are shown as YAML, not as Python.

Examples:
  edgeflow ros topic pub /chatter std_msgs/msg/String '{data: hello}'
  edgeflow ros topic pub --once /chatter std_msgs/msg/String '{data: hello}'
  edgeflow ros topic pub -r 10 /frames sensor_msgs/msg/Image @image.yaml")]
    Pub(PubArguments),
}

#[derive(Args)]
pub(super) struct EchoArguments {
    /// The topic.
    topic: String,
    /// Its type, where the graph does not tell.
    #[arg(value_name = "TYPE")]
    type_name: Option<String>,
    /// Print one message and end.
    #[arg(long)]
    once: bool,
    /// Only this field, by its dotted path.
    #[arg(long, value_name = "PATH")]
    field: Option<String>,
    #[command(flatten)]
    show: ShowArguments,
    #[command(flatten)]
    qos: QosArguments,
}

/// How much of a message is shown.
#[derive(Args, Clone, Copy)]
pub(super) struct ShowArguments {
    /// Whole arrays and strings.
    #[arg(short, long)]
    full_length: bool,
    /// Elements of arrays and characters of strings that are shown.
    #[arg(short = 'l', long, value_name = "N", default_value_t = 128)]
    truncate_length: usize,
    /// Arrays by type and length only.
    #[arg(long)]
    no_arr: bool,
    /// Strings by length only.
    #[arg(long)]
    no_str: bool,
}

impl ShowArguments {
    pub(super) fn style(self) -> Style {
        Style { truncate: (!self.full_length).then_some(self.truncate_length), no_arr: self.no_arr, no_str: self.no_str }
    }
}

#[derive(Args, Clone, Copy)]
struct QosArguments {
    /// Whether every message must arrive.
    #[arg(long, value_enum)]
    qos_reliability: Option<Reliability>,
    /// Whether late subscribers get earlier messages.
    #[arg(long, value_enum)]
    qos_durability: Option<Durability>,
    /// Messages that are kept.
    #[arg(long, value_name = "N")]
    qos_depth: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reliability {
    Reliable,
    #[value(name = "best_effort", alias = "best-effort")]
    BestEffort,
}

#[derive(Clone, Copy, ValueEnum)]
enum Durability {
    Volatile,
    #[value(name = "transient_local", alias = "transient-local")]
    TransientLocal,
}

impl QosArguments {
    fn over(self, mut qos: QosProfile) -> QosProfile {
        qos = match self.qos_reliability {
            Some(Reliability::Reliable) => qos.reliable(),
            Some(Reliability::BestEffort) => qos.best_effort(),
            None => qos,
        };
        qos = match self.qos_durability {
            Some(Durability::Volatile) => qos.volatile(),
            Some(Durability::TransientLocal) => qos.transient_local(),
            None => qos,
        };
        self.qos_depth.map_or(qos, |depth| qos.keep_last(depth))
    }
}

#[derive(Args)]
pub(super) struct PubArguments {
    /// The topic.
    topic: String,
    /// Its type, where the graph does not tell; and the message as YAML, @FILE, or @- for standard input.
    #[arg(value_name = "TYPE|MESSAGE", num_args = 0..=2)]
    rest: Vec<String>,
    /// Messages per second.
    #[arg(short, long, value_name = "HZ", default_value_t = 1.0, value_parser = rate)]
    rate: f64,
    /// Publish one message and end.
    #[arg(short = '1', long, conflicts_with = "times")]
    once: bool,
    /// Publish so many messages and end.
    #[arg(short, long, value_name = "N")]
    times: Option<u64>,
    /// Subscriptions to wait for before the first message; 1 with --once or --times, else 0.
    #[arg(short, long, value_name = "N")]
    wait_matching_subscriptions: Option<usize>,
    /// Longest wait for them, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = rate)]
    max_wait_time: f64,
    /// How long to stay after the last message, seconds, so that the middleware can deliver it.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.1, value_parser = rate)]
    keep_alive: f64,
    #[command(flatten)]
    qos: QosArguments,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("must be a number above 0".to_owned()),
    }
}

pub(super) async fn run(command: TopicCommand, router: SocketAddr) -> Result<(), CliError> {
    let graph = Graph::join(router).await?;
    match command {
        TopicCommand::List { show_types, count_topics, include_hidden_topics } => {
            graph.settle().await;
            let topics = graph.node.get_topic_names_and_types()?;
            let shown = topics.into_iter().filter(|(name, _)| include_hidden_topics || !is_hidden(name)).collect::<Vec<_>>();
            list(&shown, show_types, count_topics)?;
        }
        TopicCommand::Info { topic } => {
            let ty = graph.topic_type(&topic, None).await?;
            graph.settle().await;
            let (publishers, subscriptions) = (graph.node.count_publishers(&topic)?, graph.node.count_subscribers(&topic)?);
            output::line(format!("Type: {ty}\nPublisher count: {publishers}\nSubscription count: {subscriptions}"))?;
        }
        TopicCommand::Echo(arguments) => echo(&graph, arguments).await?,
        TopicCommand::Hz { topic, type_name, window } => hz(&graph, &topic, type_name, window).await?,
        TopicCommand::Pub(arguments) => publish(&graph, arguments).await?,
    }
    graph.leave()
}

/// Prints names, as `ros2 topic list` and `ros2 service list` do.
pub(super) fn list(names: &[(String, Vec<String>)], show_types: bool, count: bool) -> Result<(), CliError> {
    if count {
        return output::line(names.len());
    }
    if output::as_json() {
        let item = |(name, types): &(String, Vec<String>)| serde_json::json!({ "name": name, "types": types });
        return output::line(format!("{:#}", names.iter().map(item).collect::<serde_json::Value>()));
    }
    for (name, types) in names {
        if show_types {
            output::line(format!("{name} [{}]", types.join(", ")))?;
        } else {
            output::line(name)?;
        }
    }
    Ok(())
}

async fn echo(graph: &Graph, arguments: EchoArguments) -> Result<(), CliError> {
    let ty = graph.message_type(&arguments.topic, arguments.type_name).await?;
    let style = arguments.show.style();
    let field = match &arguments.field {
        Some(path) => {
            let field = yaml::field_at(ty, path).map_err(|reason| CliError::Value { what: format!("--field {path}"), reason })?;
            Some((field, format!("/{}", path.replace('.', "/"))))
        }
        None => None,
    };
    // What was latched is shown too; publishers that keep nothing are heard as well.
    let qos = arguments.qos.over(QosProfile::default().transient_local());
    let mut messages = graph.node.subscribe_dynamic(&arguments.topic, ty.name, qos, Queue::all())?;
    let dropped = messages.drop_counter();
    let mut stop = pin!(edgeflow_ros::shutdown_signal());
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            signal = &mut stop => break signal.map_err(CliError::Signals)?,
        };
        let Some(message) = message else { break };
        let text = match &field {
            Some((field, pointer)) => yaml::print_field(field, message.pointer(pointer).unwrap_or(&Value::Null), style),
            None => yaml::print(ty, &message, style),
        };
        output::text(&format!("{text}---\n"))?;
        if arguments.once {
            break;
        }
    }
    if dropped.get() > 0 {
        eprintln!("{} messages were not shown: they came faster than they could be printed", dropped.get());
    }
    Ok(())
}

async fn hz(graph: &Graph, topic: &str, type_name: Option<String>, window: usize) -> Result<(), CliError> {
    let ty = graph.message_type(topic, type_name).await?;
    let mut messages = graph.node.subscribe_dynamic(topic, ty.name, QosProfile::default(), Queue::all())?;
    let begin = Instant::now();
    let mut rate = Rate::new(window);
    let mut news = 0_u64;
    let mut second = interval(Duration::from_secs(1));
    second.tick().await;
    let mut stop = pin!(edgeflow_ros::shutdown_signal());
    loop {
        tokio::select! {
            message = messages.next() => {
                if message.is_none() {
                    return Ok(());
                }
                rate.tick(begin.elapsed());
                news += 1;
            }
            _ = second.tick() => {
                if news == 0 {
                    output::line("no new messages")?;
                } else if rate.is_known() {
                    output::line(&rate)?;
                }
                news = 0;
            }
            signal = &mut stop => return signal.map_err(CliError::Signals),
        }
    }
}

async fn publish(graph: &Graph, arguments: PubArguments) -> Result<(), CliError> {
    let (given, message) = split(arguments.rest);
    let value = yaml::read(message.as_deref())?;
    let ty = graph.message_type(&arguments.topic, given).await?;
    let times = if arguments.once { Some(1) } else { arguments.times };
    let publisher = graph.node.publish_described(&arguments.topic, ty, arguments.qos.over(QosProfile::default()))?;
    let message = || {
        let mut value = value.clone();
        let now = graph.node.now();
        yaml::stamp(ty, &mut value, &json!({"sec": now.sec, "nanosec": now.nanosec}));
        ty.complete(&value)
    };
    message()?;
    let wanted = arguments.wait_matching_subscriptions.unwrap_or(usize::from(times.is_some()));
    let timeout = Duration::from_secs_f64(arguments.max_wait_time);
    let mut stop = pin!(edgeflow_ros::shutdown_signal());
    tokio::select! {
        there = publisher.wait_for_subscribers(wanted, timeout) => {
            if !there {
                let found = publisher.subscriber_count();
                return Err(CliError::NoSubscribers { topic: publisher.topic().to_owned(), found, wanted, timeout });
            }
        }
        signal = &mut stop => return signal.map_err(CliError::Signals),
    }
    output::line("publisher: beginning loop")?;
    let mut ticks = interval(Duration::from_secs_f64(1.0 / arguments.rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    while times.is_none_or(|times| count < times) {
        tokio::select! {
            _ = ticks.tick() => {}
            signal = &mut stop => return signal.map_err(CliError::Signals),
        }
        let value = message()?;
        publisher.publish(&value)?;
        count += 1;
        output::text(&format!("publishing #{count}: {}\n{}\n", ty.name, yaml::print(ty, &value, Style::DEFAULT)))?;
    }
    tokio::time::sleep(Duration::from_secs_f64(arguments.keep_alive)).await;
    Ok(())
}

/// The type and the value among what follows a name: a type has slashes and nothing that YAML needs.
pub(super) fn split(rest: Vec<String>) -> (Option<String>, Option<String>) {
    let mut rest = rest.into_iter();
    match (rest.next(), rest.next()) {
        (Some(only), None) if !is_type(&only) => (None, Some(only)),
        (first, second) => (first, second),
    }
}

fn is_type(text: &str) -> bool {
    let parts = text.split('/').collect::<Vec<_>>();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_told_from_a_value() {
        let split = |given: &[&str]| split(given.iter().map(ToString::to_string).collect());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(split(&[]), (None, None));
        assert_eq!(split(&["std_msgs/msg/String"]), (some("std_msgs/msg/String"), None));
        assert_eq!(split(&["std_msgs/String", "{}"]), (some("std_msgs/String"), some("{}")));
        for value in ["{data: a/b}", "@a/b.yaml", "data: 1", "@-", "/a/b"] {
            assert_eq!(split(&[value]), (None, some(value)), "{value}");
        }
    }
}
