//! What the gateway needs of the control plane. `App` implements it; tests do with a few maps.

use edgeflow_core::identity::Presented;
use edgeflow_wire::{Envelope, LogAck, Upstream};
use std::{fmt, future::Future, hash::Hash};
use tokio::sync::broadcast;

/// What proves who a robot is.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// Its token, on a connection of this machine.
    Token(&'a str),
    /// Its certificate, which the TLS handshake found to be ours and in time.
    Certificate(&'a Presented),
}

/// The control plane as the gateway sees it.
pub trait RobotPort: Send + Sync + 'static {
    /// Identity of a robot in the control plane.
    type Robot: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static;
    /// Why a call failed. Shown in logs only.
    type Error: fmt::Display + Send + 'static;

    /// The robot of that name, if `proof` proves it, or `None`. Must take the same time whatever is wrong with a token.
    fn authenticate(&self, name: &str, proof: Proof<'_>) -> impl Future<Output = Result<Option<Self::Robot>, Self::Error>> + Send;

    /// The robot is connected now. Always followed by [`RobotPort::disconnected`], unless a newer connection of the same
    /// robot comes first and calls this again.
    fn connected(&self, robot: &Self::Robot) -> impl Future<Output = ()> + Send;

    /// The robot is not connected any more.
    fn disconnected(&self, robot: &Self::Robot) -> impl Future<Output = ()> + Send;

    /// Takes a hello or a batch. It is durable when this returns. Calls for one robot never overlap and come in the order
    /// in which the robot sent them.
    fn ingest(&self, robot: &Self::Robot, document: Upstream) -> impl Future<Output = Result<LogAck, Self::Error>> + Send;

    /// The newest desired state of the robot, if it ever had one.
    fn desired(&self, robot: &Self::Robot) -> impl Future<Output = Result<Option<Envelope>, Self::Error>> + Send;

    /// Commands that the robot has not said anything of and may still run, with numbers above `after`, oldest first.
    fn commands(&self, robot: &Self::Robot, after: i64) -> impl Future<Output = Result<Vec<(i64, Envelope)>, Self::Error>> + Send;

    /// Robots whose desired state has changed or who have a new command, sent after that can be read with
    /// [`RobotPort::desired`] and [`RobotPort::commands`].
    fn desired_changes(&self) -> broadcast::Receiver<Self::Robot>;

    /// Robots that lost their right to connect, sent after [`RobotPort::authenticate`] began to refuse them.
    fn revocations(&self) -> broadcast::Receiver<Self::Robot>;
}
