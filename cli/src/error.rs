//! What can go wrong on the command line: what failed, with what, and what to do.

use edgeflow_ros::GoalStatus;
use std::{io, net::SocketAddr, time::Duration};

/// Error of this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The door to ROS refused.
    #[error(transparent)]
    Ros(#[from] edgeflow_ros::Error),
    /// The robot's identity, or the way to the control plane.
    #[error(transparent)]
    Identity(#[from] edgeflow_identity::IdentityError),
    /// An https:// address without a CA to check it with.
    #[error(
        "EDGEFLOW_CA is not set: name the file with the control plane's CA certificate there (authority/ca.pem of its data folder, or ca.pem of an enrolled robot)"
    )]
    NoCa,
    /// The edge log cannot be read.
    #[error(transparent)]
    EdgeLog(#[from] edgeflow_edge_log::LogError),
    /// The edge log is not whole.
    #[error(
        "{path} is damaged, problems found: {problems} (listed above); the bridge sets a damaged log aside when it starts and begins a new epoch"
    )]
    Damaged {
        /// The log.
        path: String,
        /// How many things are wrong.
        problems: usize,
    },
    /// An MCAP file that cannot be written.
    #[error("could not write {path} as MCAP")]
    Mcap {
        /// The path as given.
        path: String,
        /// Why.
        #[source]
        source: mcap::McapError,
    },
    /// Nothing listens where the router should be.
    #[error(
        "no ROS router answers at {address}: start the robots (`cargo xtask demo`) or a router of your own (`edgeflow ros router`), or name another one with EDGEFLOW_ROS_ROUTER=HOST:PORT"
    )]
    NoRouter {
        /// Where it was looked for.
        address: SocketAddr,
    },
    /// A name that is not on the graph.
    #[error("there is no {kind} {name}{hint}")]
    NotOnGraph {
        /// `topic`, `service`, `action` or `managed node`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Similar names, or what to do.
        hint: String,
    },
    /// A topic, service or action that is used with more than one type.
    #[error("{kind} {name} has the types {types}: say which one")]
    ManyTypes {
        /// `topic`, `service` or `action`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its types.
        types: String,
    },
    /// Input that is not YAML.
    #[error("{what} is not YAML")]
    Yaml {
        /// Where it came from.
        what: String,
        /// Where it is wrong.
        #[source]
        source: serde_norway::Error,
    },
    /// YAML that no message can be made of.
    #[error("{what}: {reason}")]
    Value {
        /// Where it came from.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// Data that no baseline can be made of, or a baseline that contradicts itself.
    #[error(transparent)]
    Baseline(#[from] edgeflow_drift::Error),
    /// A file, or part of one, that is not what it should be.
    #[error("{path}: {reason}")]
    Input {
        /// The path as given, or the part.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A declaration that contradicts itself.
    #[error("{}", problems.join("\n  "))]
    Declaration {
        /// Each with file, line, column and place.
        problems: Vec<String>,
    },
    /// A rollout that ended without success.
    #[error("rollout {id} ended as {phase}: {reason}")]
    Rollout {
        /// Which.
        id: String,
        /// How.
        phase: String,
        /// Why.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("could not read {path}")]
    Read {
        /// The path as given.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that cannot be written, or is there already.
    #[error("could not write {path}")]
    Write {
        /// The path as given.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A `--from-topic` that does not fit.
    #[error("--from-topic {given}: {reason}")]
    FromTopic {
        /// As given.
        given: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing was published in time.
    #[error("nothing was published on {topic} within {timeout:?}: is its publisher running and not paused?")]
    NoMessage {
        /// The topic.
        topic: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// Nobody listens.
    #[error("{topic} has {found} of {wanted} subscriptions after {timeout:?}: start the subscriber, or publish anyway with -w 0")]
    NoSubscribers {
        /// The topic.
        topic: String,
        /// How many there are.
        found: usize,
        /// How many were waited for.
        wanted: usize,
        /// How long was waited.
        timeout: Duration,
    },
    /// A goal that was accepted and not achieved.
    #[error("the goal of {action} is {status}: its result is above")]
    Goal {
        /// The action.
        action: String,
        /// How it ended.
        status: GoalStatus,
    },
    /// The server of an action does not cancel our goal.
    #[error("the server of {action} does not cancel the goal: it has ended, or is past the point of no return")]
    NotCanceled {
        /// The action.
        action: String,
    },
    /// Text that is no value of a parameter.
    #[error("the value of parameter {name}: {reason}")]
    ParameterText {
        /// The parameter.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A managed node that cannot be told that.
    #[error("{node} has no transition {transition} in its state: possible are {possible}")]
    UnknownTransition {
        /// The node.
        node: String,
        /// As given.
        transition: String,
        /// What it can be told.
        possible: String,
    },
    /// A managed node that did not do what it was told.
    #[error("transitioning failed: {transition} of {node}, which is {state} now; its log says why")]
    Transition {
        /// The node.
        node: String,
        /// What it was told.
        transition: String,
        /// Where it is.
        state: String,
    },
    /// Signals cannot be listened for.
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
    /// Standard output is gone.
    #[error("could not write the output")]
    Output(#[source] io::Error),
    /// No token for the control plane.
    #[error(
        "EDGEFLOW_TOKEN is not set: put the administrator's token there (the control plane prints it at its first start), or `edgeflow login`"
    )]
    NoToken,
    /// The control plane does not answer.
    #[error("no answer from the control plane at {url}: is edgeflow-server running there? EDGEFLOW_URL names another")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The control plane refused.
    #[error("the control plane says: {message} ({status})")]
    Refused {
        /// Its words.
        message: String,
        /// HTTP status.
        status: u16,
    },
    /// The control plane answered something else than expected.
    #[error("could not understand the control plane's answer to {path}: check that both have the same version")]
    Answer {
        /// What was asked.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A command that was not done.
    #[error("command {id} is {state}{}", if message.is_empty() { String::new() } else { format!(": {message}") })]
    Command {
        /// Its id.
        id: String,
        /// Its state.
        state: String,
        /// Why, in the robot's words.
        message: String,
    },
    /// Checks that failed.
    #[error("checks that failed: {failed} of {checks}; each has its remedy above")]
    Unwell {
        /// How many.
        failed: usize,
        /// Of how many.
        checks: usize,
    },
    /// A deployment that did not reach every robot.
    #[error("deployment {id} is {state}: `edgeflow events` and the dashboard say why")]
    Deployment {
        /// Its id.
        id: String,
        /// Its state.
        state: String,
    },
}

/// The error and what caused it, in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
