//! Moves the log up and documents down, whatever the transport.

use bytes::Bytes;
use edgeflow_wire::{Batch, Class, Hello, LogAck, Upstream, decode, encode};
use std::{error::Error, future::Future, time::Instant};
use tokio::sync::{mpsc, watch};

use crate::{Bandwidth, Effect, LinkEvent, Outbox, Session, Share, Step, Timing, Uplink};

/// What the next append of each class will get, in the order of [`Class::ALL`].
pub type Ends = [u64; 4];

/// How large a batch may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub max_entries: usize,
    /// Most bytes of content before compression; one entry may exceed it alone.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_entries: 500, max_bytes: 256 * 1024 }
    }
}

/// The log as the pump needs it.
pub trait Backlog: Send {
    /// What goes wrong with it.
    type Error: Error + Send + 'static;

    /// Who the log is and where it stands.
    fn hello(&mut self) -> impl Future<Output = Result<Hello, Self::Error>> + Send;

    /// A run of `class` from `from_seq` on.
    fn read(&mut self, class: Class, from_seq: u64, limits: Limits) -> impl Future<Output = Result<Batch, Self::Error>> + Send;

    /// The control plane holds everything of `class` below `next_seq`.
    fn acknowledge(&mut self, class: Class, next_seq: u64) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The control plane's clock stood there when it answered just now, microseconds since the Unix epoch.
    fn server_time(&mut self, _server_us: i64) {}

    /// Begins a new epoch.
    fn new_epoch(&mut self, reason: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Whether the control plane answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkState {
    /// It has answered on the present connection.
    pub connected: bool,
    /// Name of the uplink whose connection that is or last was; empty before the first.
    pub uplink: &'static str,
    /// Why not, for people; empty while connected.
    pub reason: String,
}

/// What came down, for someone else to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An [`Envelope`](edgeflow_wire::Envelope) of desired state.
    Desired(Bytes),
    /// A momentary command.
    Command(Bytes),
}

/// Joins an uplink, a log and those who wait for documents.
#[derive(Debug)]
pub struct Pump<B> {
    /// The log.
    pub backlog: B,
    /// How far the log has grown; its end stops the pump.
    pub ends: watch::Receiver<Ends>,
    /// Told whether the control plane answers.
    pub state: watch::Sender<LinkState>,
    /// Gets what came down.
    pub documents: mpsc::Sender<Document>,
    /// How patient to be.
    pub timing: Timing,
    /// How large a batch may become.
    pub limits: Limits,
    /// How much may be sent.
    pub bandwidth: Bandwidth,
}

impl<B: Backlog> Pump<B> {
    /// Runs until the log's `ends`, the documents' receiver or the uplink end.
    pub async fn run(mut self, uplink: Box<dyn Uplink>) {
        let mut link = uplink.start();
        let mut session = Session::new(self.timing);
        let mut outbox: Option<Outbox> = None;
        let mut name = "";
        // When to say hello (again) on this connection: the log could not say where it stands, or it is another one since.
        let mut greet_at: Option<Instant> = None;
        self.limits.max_bytes = self.limits.max_bytes.min(self.bandwidth.batch_bytes());
        loop {
            if let Some(outbox) = &outbox {
                let (ends, now) = (*self.ends.borrow_and_update(), Instant::now());
                if greet_at.is_some_and(|at| at <= now) || (greet_at.is_none() && session.is_another(ends)) {
                    greet_at = self.greet(&mut session, now).await;
                }
                session.appended(ends);
                if let Err(error) = self.drive(&mut session, outbox).await {
                    tracing::error!(error = &error as &dyn Error, "the edge log does not answer");
                    greet_at = greet_at.or(Some(now + self.timing.resend_after));
                }
            }
            let now = Instant::now();
            // While the bandwidth is spent nothing can be sent, whatever the session wants.
            let wake = self.bandwidth.wait(now).filter(|_| outbox.is_some()).or_else(|| session.next_wake(now));
            let wake = wake.into_iter().chain(greet_at.filter(|_| outbox.is_some())).min();
            let wake = match wake {
                Some(at) => tokio::time::Instant::from_std(at),
                None => tokio::time::Instant::now() + self.timing.resend_after,
            };
            let event = tokio::select! {
                event = link.events.recv() => match event {
                    Some(event) => event,
                    None => return,
                },
                changed = self.ends.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(wake) => continue,
            };
            match event {
                LinkEvent::Up { uplink, outbox: fresh } => {
                    outbox = Some(fresh);
                    name = uplink;
                    greet_at = self.greet(&mut session, Instant::now()).await;
                }
                LinkEvent::Down { reason } => {
                    outbox = None;
                    greet_at = None;
                    session.down();
                    self.tell(false, name, reason);
                }
                LinkEvent::Ack(bytes) => self.heard(&mut session, name, &bytes).await,
                LinkEvent::Desired(bytes) => {
                    if self.documents.send(Document::Desired(bytes)).await.is_err() {
                        return;
                    }
                }
                LinkEvent::Command(bytes) => {
                    if self.documents.send(Document::Command(bytes)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends whatever may be sent now.
    async fn drive(&mut self, session: &mut Session, outbox: &Outbox) -> Result<(), B::Error> {
        // What goes next is decided when it may go, so that something more valuable can still come before it.
        while self.bandwidth.wait(Instant::now()).is_none() {
            let document = match session.next(Instant::now()) {
                Step::Wait(_) => return Ok(()),
                Step::Hello => Upstream::Hello(self.backlog.hello().await?),
                Step::Send { class, from_seq, share } => {
                    let limits = match share {
                        Share::Whole => self.limits,
                        Share::Part => Limits { max_entries: (self.limits.max_entries / 4).max(1), max_bytes: self.limits.max_bytes / 4 },
                    };
                    let batch = self.backlog.read(class, from_seq, limits).await?;
                    if !session.is_of(&batch.epoch) {
                        // Another log since, and no shorter than the one that said hello.
                        let hello = self.backlog.hello().await?;
                        session.up(&hello.epoch, &hello.classes, Instant::now());
                        continue;
                    }
                    let end = batch.entries.last().map(|entry| entry.seq).or(batch.loss.as_ref().map(|loss| loss.last_seq));
                    session.sent(class, end.map_or(from_seq, |last| last + 1));
                    if end.is_none() {
                        continue;
                    }
                    Upstream::Batch(batch)
                }
            };
            match encode(&document) {
                // A full outbox is a connection that does not keep up: the resend time brings it back.
                Ok(bytes) => {
                    self.bandwidth.spend(bytes.len(), Instant::now());
                    outbox.put(bytes);
                }
                Err(error) => tracing::error!(error = &error as &dyn Error, "could not encode a batch"),
            }
        }
        Ok(())
    }

    /// Begins with what the log says of itself. When it says nothing, gives the moment to ask again.
    async fn greet(&mut self, session: &mut Session, now: Instant) -> Option<Instant> {
        match self.backlog.hello().await {
            Ok(hello) => {
                session.up(&hello.epoch, &hello.classes, now);
                None
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "the edge log does not say where it stands");
                Some(now + self.timing.resend_after)
            }
        }
    }

    async fn heard(&mut self, session: &mut Session, uplink: &'static str, bytes: &[u8]) {
        let ack: LogAck = match decode(bytes) {
            Ok(ack) => ack,
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "ignored an acknowledgement that cannot be read");
                return;
            }
        };
        self.backlog.server_time(ack.server_time_us);
        for effect in session.ack(&ack, Instant::now()) {
            match effect {
                Effect::Acknowledge { class, next_seq } => {
                    if let Err(error) = self.backlog.acknowledge(class, next_seq).await {
                        tracing::error!(error = &error as &dyn Error, %class, "could not note an acknowledgement");
                    }
                }
                Effect::NewEpoch { reason } => {
                    tracing::warn!(reason, "the edge log begins a new epoch");
                    match self.backlog.new_epoch(&reason).await {
                        // Should the log not answer now, the answer to the old hello brings us here again.
                        Ok(()) => drop(self.greet(session, Instant::now()).await),
                        Err(error) => tracing::error!(error = &error as &dyn Error, "could not begin a new epoch"),
                    }
                }
            }
        }
        if session.is_open() {
            self.tell(true, uplink, String::new());
        }
    }

    fn tell(&self, connected: bool, uplink: &'static str, reason: String) {
        self.state.send_if_modified(|state| {
            let new = LinkState { connected, uplink, reason };
            let changed = *state != new;
            *state = new;
            changed
        });
    }
}
