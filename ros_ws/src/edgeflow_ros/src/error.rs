//! What can go wrong at the door, each naming the thing and, where there is one, the remedy.

use std::time::Duration;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command-line argument after `--ros-args` is malformed or unknown.
    #[error("ROS argument {argument}: {reason}")]
    Argument {
        /// The argument as given.
        argument: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A command-line argument before `--ros-args`, where a node has none.
    #[error("unknown argument `{argument}`; settings go behind --ros-args, see --help")]
    UnknownArgument {
        /// The argument as given.
        argument: String,
    },
    /// The interfaces that are installed are not those which this program was built with: they would disagree about memory.
    #[error(
        "{type_name} as installed in {share} is not what this program was built with (type hash {installed}, not {compiled}): \
         build this program again, or source the workspace it was built in"
    )]
    Interfaces {
        /// Fully-qualified name of the type.
        type_name: String,
        /// Folder of its package in the installation.
        share: String,
        /// Type hash of what is installed.
        installed: String,
        /// Type hash of what this program was built with.
        compiled: String,
    },
    /// A parameter file cannot be read or does not have the form of one.
    #[error("parameter file {path}: {reason}")]
    ParameterFile {
        /// Path as given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A node, topic or service name breaks the rules for ROS names.
    #[error("{kind} name \"{name}\": {reason}")]
    Name {
        /// "node", "namespace", "topic" or "service".
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The rule it breaks.
        reason: String,
    },
    /// A parameter was given a value it may not have.
    #[error("parameter {name} of {node} {reason}")]
    ParameterValue {
        /// Fully-qualified name of the node.
        node: String,
        /// Parameter.
        name: String,
        /// What it must be, and what came.
        reason: String,
    },
    /// A node did not take the value it was to set a parameter to.
    #[error("set parameter {name} of {node}: {reason}")]
    ParameterRefused {
        /// Fully-qualified name of the node.
        node: String,
        /// Parameter.
        name: String,
        /// Its words.
        reason: String,
    },
    /// A parameter cannot be declared.
    #[error("declare parameter {name} of {node}: {reason}")]
    ParameterDeclaration {
        /// Fully-qualified name of the node.
        node: String,
        /// Parameter.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Parameters were given that the node does not have.
    #[error("{node} has no parameter {unknown}; its parameters are {known}")]
    UnknownParameters {
        /// Fully-qualified name of the node.
        node: String,
        /// The given names nobody declared.
        unknown: String,
        /// The declared names.
        known: String,
    },
    /// No generated type has this name.
    #[error("no {kind} type \"{name}\" is known{hint}")]
    UnknownType {
        /// "message", "service" or "action".
        kind: &'static str,
        /// The name as given.
        name: String,
        /// Similar names, or empty.
        hint: String,
    },
    /// The description of an installed type cannot be used.
    #[error("the description of {type_name} in {path} cannot be used: {reason}")]
    Description {
        /// The type.
        type_name: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing that is installed lets rcl handle a type that was not compiled in.
    #[error(
        "{type_name} was not compiled in, and {library} of its package cannot be used: {reason}; install {} and source its workspace",
        type_name.split('/').next().unwrap_or_default()
    )]
    TypeSupport {
        /// The type.
        type_name: String,
        /// The library in which its type support was looked for.
        library: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody tells what a published type consists of.
    #[error("{node} does not describe {type_name}: {reason}")]
    NotDescribed {
        /// The type.
        type_name: String,
        /// Who was asked.
        node: String,
        /// What came of it.
        reason: String,
    },
    /// A type is published, or installed, with another definition than the one known here.
    #[error(
        "{type_name} has another definition where it comes from (type hash {published}) than here ({known}): \
         build this program with the same interfaces, or start it again if they were installed since"
    )]
    OtherDefinition {
        /// The type.
        type_name: String,
        /// Hash of the other definition.
        published: String,
        /// Hash of ours.
        known: String,
    },
    /// A value does not fit the type it is meant for.
    #[error("{path}: {reason}")]
    Value {
        /// Where in the message, for instance `std_msgs/msg/Header.stamp.sec`.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// Bytes on the wire are not a message of the expected type.
    #[error("decode {type_name}: {reason}")]
    Decode {
        /// Message type.
        type_name: String,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A message cannot be put on the wire.
    #[error("encode {type_name}: {reason}")]
    Encode {
        /// Message type.
        type_name: String,
        /// What is wrong with the message.
        reason: String,
    },
    /// A service did not appear in time.
    #[error("service {name} is not available after {timeout:?}: is its node running, and in this domain?")]
    ServiceUnavailable {
        /// Fully-qualified name of the service.
        name: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// A service did not answer in time.
    #[error("service {name} did not answer within {timeout:?}")]
    ServiceTimeout {
        /// Fully-qualified name of the service.
        name: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// A service call ended without an answer.
    #[error("call service {name}: {reason}")]
    ServiceCall {
        /// Fully-qualified name of the service.
        name: String,
        /// What the stack said.
        reason: String,
    },
    /// No server of an action appeared in time.
    #[error("action {name} is not available after {timeout:?}: is its node running, and in this domain?")]
    ActionUnavailable {
        /// Fully-qualified name of the action.
        name: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The server of an action does not want a goal.
    #[error("action {name} rejected the goal")]
    GoalRejected {
        /// Fully-qualified name of the action.
        name: String,
    },
    /// A goal has not ended in time.
    #[error("goal {goal} of action {name} has not ended within {timeout:?}")]
    GoalTimeout {
        /// Fully-qualified name of the action.
        name: String,
        /// The goal's id.
        goal: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The server of an action has forgotten a goal.
    #[error("action {name} does not know the goal {goal}: its result was kept for a while only, or its node was started again")]
    GoalUnknown {
        /// Fully-qualified name of the action.
        name: String,
        /// The goal's id.
        goal: String,
    },
    /// The server of an action does not cancel a goal.
    #[error("goal {goal} of action {name} is not canceled: {reason}")]
    CancelRejected {
        /// Fully-qualified name of the action.
        name: String,
        /// The goal's id.
        goal: String,
        /// What the server answered.
        reason: &'static str,
    },
    /// A managed node cannot be told that now.
    #[error("transition {transition} of {node} is not possible in state {state}: possible are {possible}")]
    TransitionRefused {
        /// Fully-qualified name of the node.
        node: String,
        /// What it was told.
        transition: String,
        /// Where it is.
        state: &'static str,
        /// What it can be told there.
        possible: String,
    },
    /// A hook of a managed node did not do what it should.
    #[error("transition {transition} of {node} failed, it is {state} now: {reason}")]
    TransitionFailed {
        /// Fully-qualified name of the node.
        node: String,
        /// What it was told.
        transition: &'static str,
        /// What the hook said.
        reason: String,
        /// Where the node is now.
        state: &'static str,
    },
    /// The router's address cannot be listened on or connected to.
    #[error("ROS router at {address}: {reason}")]
    Router {
        /// Address as given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The context was shut down.
    #[error("{operation}: the ROS context has been shut down")]
    ShutDown {
        /// What was attempted.
        operation: String,
    },
    /// The stack behind the door failed.
    #[error("{operation}: {reason}")]
    Stack {
        /// What was attempted.
        operation: String,
        /// What the stack said.
        reason: String,
    },
    /// This stack cannot do that.
    #[error("{operation} is not supported by the {stack} stack: {remedy}")]
    Unsupported {
        /// What was attempted.
        operation: String,
        /// Name of the stack.
        stack: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
}

impl Error {
    pub(crate) fn stack(operation: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Stack { operation: operation.into(), reason: reason.to_string() }
    }
}
