//! What every transport is: something that comes up, goes down and moves documents in between.

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

/// A way to the control plane.
pub trait Uplink: Send {
    /// `mqtt`, `zenoh` or `http`.
    fn name(&self) -> &'static str;

    /// Begins to connect, and to connect again whenever the connection is lost, until the link is dropped.
    fn start(self: Box<Self>) -> Link;
}

/// A running uplink. Dropping it ends the connection.
#[derive(Debug)]
pub struct Link {
    /// What happens on it, in order.
    pub events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
}

impl Link {
    /// A link whose events come from `task`.
    pub fn new(events: mpsc::Receiver<LinkEvent>, task: JoinHandle<()>) -> Self {
        Self { events, task }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What happens on a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// A connection stands and hears what the control plane says.
    Up {
        /// Where to put documents for the control plane. It belongs to this connection: nothing put there can surface on
        /// a later one.
        outbox: Outbox,
    },
    /// The connection was lost, or another attempt failed.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// A [`LogAck`](edgeflow_wire::LogAck).
    Ack(Bytes),
    /// An [`Envelope`](edgeflow_wire::Envelope) of desired state.
    Desired(Bytes),
    /// A momentary command.
    Command(Bytes),
}

/// Takes encoded [`Upstream`](edgeflow_wire::Upstream) documents for one connection.
#[derive(Debug, Clone)]
pub struct Outbox(mpsc::Sender<Vec<u8>>);

impl Outbox {
    /// An outbox and the end its transport reads. It never needs to hold more than a hello and one batch per class.
    pub fn new() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (sender, receiver) = mpsc::channel(32);
        (Self(sender), receiver)
    }

    /// Puts a document on its way. False when the connection is gone or does not keep up: what was not acknowledged is
    /// sent again anyway.
    pub fn put(&self, document: Vec<u8>) -> bool {
        self.0.try_send(document).is_ok()
    }
}
