//! A control plane small enough for a test: an MQTT 3.1.1 endpoint of its own that keeps what the contract tells it to
//! keep, and can be cut, emptied or made to refuse.

#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::panic)]

pub mod robot;

use bytes::BytesMut;
use edgeflow_wire::{Ack, AckOutcome, Class, DesiredState, Entry, Envelope, LogAck, Topics, Upstream, WIRE_VERSION, decode, encode};
use rumqttc::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

pub const TOKEN: &str = "hunter2";
const MAX: usize = 1024 * 1024;

/// What the control plane holds.
#[derive(Debug, Default)]
pub struct Held {
    /// Entries in the order in which they were stored, per epoch and class.
    pub entries: BTreeMap<(String, Class), Vec<Entry>>,
    pub positions: BTreeMap<(String, Class), u64>,
    /// Sequence numbers recorded as lost.
    pub lost: BTreeMap<(String, Class), u64>,
    pub hellos: usize,
    pub batches: usize,
    /// Batches after which the connection is cut: before they are stored, or before they are answered.
    pub cut_before: Vec<usize>,
    pub cut_after: Vec<usize>,
    /// Epochs that are refused.
    pub refused: Vec<String>,
    pub desired: Option<DesiredState>,
    /// Delivered on every connection, as long as the robot is there.
    pub commands: Vec<Envelope>,
}

impl Held {
    pub fn kinds(&self, kind: &str) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries.values().flatten().filter(|entry| entry.content.kind() == kind).cloned().collect();
        entries.sort_by_key(|entry| entry.t_us);
        entries
    }

    fn next(&self, epoch: &str, class: Class) -> u64 {
        self.positions.get(&(epoch.to_owned(), class)).copied().unwrap_or(1)
    }

    fn answer(&self, epoch: &str, classes: &[Class], outcome: AckOutcome) -> LogAck {
        let next = classes.iter().map(|class| Ack { class: *class, next_seq: self.next(epoch, *class) }).collect();
        LogAck { v: WIRE_VERSION, epoch: epoch.to_owned(), outcome, next, server_time_us: 0 }
    }

    fn take(&mut self, document: Upstream) -> LogAck {
        let (epoch, classes) = match &document {
            Upstream::Hello(hello) => (hello.epoch.clone(), Class::ALL.to_vec()),
            Upstream::Batch(batch) => (batch.epoch.clone(), vec![batch.class]),
        };
        if self.refused.contains(&epoch) {
            return self.answer(&epoch, &[], AckOutcome::EpochRefused { reason: "cloned".into() });
        }
        let Upstream::Batch(batch) = document else {
            self.hellos += 1;
            return self.answer(&epoch, &classes, AckOutcome::Accepted);
        };
        self.batches += 1;
        let key = (epoch.clone(), batch.class);
        let mut next = self.next(&epoch, batch.class);
        if let Some(loss) = &batch.loss
            && loss.first_seq <= next
            && next <= loss.last_seq
        {
            *self.lost.entry(key.clone()).or_default() += loss.last_seq + 1 - next;
            next = loss.last_seq + 1;
        }
        for entry in batch.entries {
            if entry.seq > next {
                return self.answer(&epoch, &classes, AckOutcome::OutOfOrder);
            }
            if entry.seq == next {
                self.entries.entry(key.clone()).or_default().push(entry);
                next += 1;
            }
        }
        self.positions.insert(key, next);
        self.answer(&epoch, &classes, AckOutcome::Accepted)
    }
}

/// A running control plane.
#[derive(Clone)]
pub struct ControlPlane {
    pub address: SocketAddr,
    pub held: Arc<Mutex<Held>>,
    /// Counts every change, for tests that wait.
    pub changes: watch::Sender<u64>,
    /// Desired states to publish on the live connection.
    publish: watch::Sender<u64>,
    cut: watch::Sender<u64>,
    away: Arc<AtomicBool>,
}

impl ControlPlane {
    pub async fn start(held: Held) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            held: Arc::new(Mutex::new(held)),
            changes: watch::Sender::new(0),
            publish: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            away: Arc::default(),
        };
        let serving = this.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = serving.clone();
                if serving.away.load(Ordering::SeqCst) {
                    continue;
                }
                // Whatever ends a connection, the next one is as good.
                tokio::spawn(async move { drop(serving.serve(stream).await) });
            }
        });
        this
    }

    /// Publishes a desired state now and, as a retained message is, on every later connection.
    pub fn declare(&self, state: DesiredState) {
        self.held.lock().unwrap().desired = Some(state);
        self.publish.send_modify(|count| *count += 1);
    }

    /// Gives a command now and, as one that is not settled, on every later connection.
    pub fn command(&self, command: Envelope) {
        self.held.lock().unwrap().commands.push(command);
        self.publish.send_modify(|count| *count += 1);
    }

    /// Cuts the live connection.
    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Leaves, connections and all, or is there again.
    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
        if away {
            self.cut();
        }
    }

    /// Waits until something holds of what is held. A test that waits in vain is ended by the test runner, so this gives up
    /// first and shows what there is.
    pub async fn until(&self, what: &str, condition: impl Fn(&Held) -> bool) {
        let mut changes = self.changes.subscribe();
        let wait = async {
            while !condition(&self.held.lock().unwrap()) {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.is_err() {
            panic!("waited in vain until {what}: {:#?}", self.held.lock().unwrap());
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (mut publish, mut cut) = (self.publish.subscribe(), self.cut.subscribe());
        let (answers, mut outgoing) = mpsc::unbounded_channel::<Packet>();
        let mut incoming = BytesMut::new();
        let mut topics: Option<Topics> = None;
        loop {
            while let Ok(packet) = Packet::read(&mut incoming, MAX) {
                match packet {
                    Packet::Connect(connect) => {
                        let good =
                            connect.login.as_ref().is_some_and(|login| login.password == TOKEN && login.username == connect.client_id);
                        let code = if good { ConnectReturnCode::Success } else { ConnectReturnCode::BadUserNamePassword };
                        topics = Some(Topics::new(&connect.client_id)?);
                        answers.send(Packet::ConnAck(ConnAck::new(code, false)))?;
                    }
                    Packet::Subscribe(subscribe) => {
                        let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); subscribe.filters.len()];
                        answers.send(Packet::SubAck(SubAck::new(subscribe.pkid, codes)))?;
                        publish.mark_changed();
                    }
                    Packet::Publish(message) => {
                        answers.send(Packet::PubAck(PubAck::new(message.pkid)))?;
                        // What a robot says of itself being there is no document.
                        if topics.as_ref().is_some_and(|topics| message.topic != topics.telemetry()) {
                            continue;
                        }
                        let Some(ack) = self.ingest(&message.payload) else { return Ok(()) };
                        let topic = topics.as_ref().ok_or("no connect")?.telemetry_ack();
                        answers.send(publish_packet(topic, encode(&ack)?))?;
                    }
                    Packet::PingReq => answers.send(Packet::PingResp)?,
                    _ => {}
                }
            }
            tokio::select! {
                read = stream.read_buf(&mut incoming) => if read? == 0 { return Ok(()) },
                Some(packet) = outgoing.recv() => {
                    let mut bytes = BytesMut::new();
                    packet.write(&mut bytes, MAX)?;
                    stream.write_all(&bytes).await?;
                }
                _ = publish.changed() => {
                    let desired = self.held.lock().unwrap().desired.clone();
                    if let (Some(state), Some(topics)) = (desired, &topics) {
                        let envelope = Envelope { v: WIRE_VERSION, payload: serde_json::to_string(&state)?, signatures: Vec::new() };
                        answers.send(publish_packet(topics.deploy(), encode(&envelope)?))?;
                    }
                    let commands = self.held.lock().unwrap().commands.clone();
                    if let Some(topics) = &topics {
                        for command in &commands {
                            answers.send(publish_packet(topics.command(), encode(command)?))?;
                        }
                    }
                }
                _ = cut.changed() => return Ok(()),
            }
        }
    }

    /// The answer, or nothing when the connection is to be cut here.
    fn ingest(&self, bytes: &[u8]) -> Option<LogAck> {
        let mut held = self.held.lock().unwrap();
        let document: Upstream = decode(bytes).unwrap();
        let number = held.batches + 1;
        if matches!(document, Upstream::Batch(_)) {
            if held.cut_before.contains(&number) {
                held.cut_before.retain(|at| *at != number);
                return None;
            }
            if held.cut_after.contains(&number) {
                held.take(document);
                return None;
            }
        }
        let ack = held.take(document);
        drop(held);
        self.changes.send_modify(|count| *count += 1);
        Some(ack)
    }
}

fn publish_packet(topic: String, payload: Vec<u8>) -> Packet {
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
    publish.pkid = 1;
    Packet::Publish(publish)
}
