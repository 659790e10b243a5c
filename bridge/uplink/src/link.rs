//! What every transport is: something that comes up, goes down and moves documents in between.

use bytes::Bytes;
use std::{future::Future, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use crate::Backoff;

/// A connection that stood this long was a good one: the next attempt need not wait.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// A way to the control plane.
pub trait Uplink: Send + Sync {
    /// `mqtt`, `zenoh` or `http`.
    fn name(&self) -> &'static str;

    /// Begins to connect, and to connect again whenever the connection is lost, until the link is dropped. Two links of
    /// one uplink take the robot's place from each other.
    fn start(&self) -> Link;
}

/// One connection after the other, for transports that know how to make one.
pub(crate) trait Connect: Send + Sync + 'static {
    /// [`Uplink::name`].
    const NAME: &'static str;

    /// Delays between two attempts.
    fn backoff(&self) -> Backoff;

    /// One connection from its first to its last moment; notes since when it is up. Returns why it ended.
    fn connection(&self, events: &mpsc::Sender<LinkEvent>, up_since: &mut Option<Instant>) -> impl Future<Output = String> + Send;
}

/// A link that connects again and again.
pub(crate) fn keep_connected<C: Connect>(connect: C) -> Link {
    let (sender, receiver) = mpsc::channel(64);
    let task = tokio::spawn(async move {
        let mut backoff = connect.backoff();
        while !sender.is_closed() {
            let mut up_since = None;
            let reason = connect.connection(&sender, &mut up_since).await;
            tracing::debug!(uplink = C::NAME, reason, "the uplink is down");
            if up_since.is_some_and(|since| since.elapsed() >= GOOD_CONNECTION) {
                backoff.reset();
            }
            if sender.send(LinkEvent::Down { reason }).await.is_err() {
                return;
            }
            tokio::time::sleep(backoff.delay()).await;
        }
    });
    Link::new(receiver, task)
}

/// The slowest link that counts as one, bytes per second: about what GPRS leaves in bad weather.
const SLOWEST_BYTES_PER_S: u64 = 500;

/// How long an answer may take to a document of this size.
pub(crate) fn patience_for(bytes: usize, patience: Duration) -> Duration {
    patience + Duration::from_millis(bytes as u64 * 1_000 / SLOWEST_BYTES_PER_S)
}

/// The other end when nobody listens any more.
pub(crate) const NOBODY_LISTENS: &str = "nobody listens any more";

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
        /// Which uplink: one that is made of others says which of them.
        uplink: &'static str,
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
    /// An outbox and the end its transport reads: it can be written to for as long as that end lives. It never needs to hold more than a hello and one batch per class.
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
