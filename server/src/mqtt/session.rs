//! One robot's connection: its packets in order, its documents into the control plane, answers and desired state back.
//!
//! Everything happens in one task, so nothing of one robot can overtake itself, and nothing of it can hold up another.

use bytes::Bytes;
use edgeflow_wire::LogAck;
use rumqttc::mqttbytes::{
    QoS,
    v4::{Packet, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode, UnsubAck, Unsubscribe},
};
use std::{
    collections::{HashSet, VecDeque},
    future::pending,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::{
    acl::{Inbound, Outbound},
    handshake::Welcome,
    limits::Limits,
    metrics::{GatewayMetrics, Outcome},
    packets::{End, Packets},
    port::RobotPort,
};
use crate::app::{Signals, decode_upstream};

pub(super) struct Session<'a, S, P: RobotPort> {
    packets: &'a mut Packets<S>,
    welcome: &'a Welcome<P::Robot>,
    port: Arc<P>,
    limits: &'a Limits,
    metrics: &'a GatewayMetrics,
    signals: &'a Signals,
    /// QoS granted, when subscribed.
    subscriptions: [Option<QoS>; 3],
    waiting: VecDeque<Publish>,
    waiting_bytes: usize,
    /// Packet identifiers of messages the robot has not acknowledged.
    unacknowledged: HashSet<u16>,
    last_packet_id: u16,
    /// What was sent last of the desired state, so that a command does not bring it again.
    desired_sent: Option<u64>,
    /// Number of the newest command that was sent.
    commands_sent: i64,
}

/// The document that is being ingested. It runs to its end even when the connection does not.
#[derive(Default)]
pub(super) struct Ingesting {
    task: Option<JoinHandle<Result<LogAck, End>>>,
    /// What to acknowledge when it is done.
    packet_id: u16,
    bytes: usize,
}

impl Ingesting {
    async fn done(&mut self) -> Result<LogAck, End> {
        match &mut self.task {
            Some(task) => {
                let outcome = task.await;
                self.task = None;
                outcome.unwrap_or_else(|error| Err(End::new(Outcome::ServerError, format!("ingestion broke off: {error}"))))
            }
            None => pending().await,
        }
    }

    /// Waits for the last document without a connection to answer on.
    pub(super) async fn settle(&mut self) {
        if self.task.is_some()
            && let Err(end) = self.done().await
        {
            debug!(reason = end.reason, "the last document of a closed connection was not ingested");
        }
    }
}

impl<'a, S, P> Session<'a, S, P>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: RobotPort,
{
    pub(super) fn new(
        packets: &'a mut Packets<S>,
        welcome: &'a Welcome<P::Robot>,
        port: Arc<P>,
        limits: &'a Limits,
        metrics: &'a GatewayMetrics,
        signals: &'a Signals,
    ) -> Self {
        Self {
            packets,
            welcome,
            port,
            limits,
            metrics,
            signals,
            subscriptions: [None; 3],
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            unacknowledged: HashSet::new(),
            last_packet_id: 0,
            desired_sent: None,
            commands_sent: 0,
        }
    }

    /// Serves the connection until it ends. Dropping this loses nothing that was acknowledged.
    pub(super) async fn serve(mut self, ingesting: &mut Ingesting) -> End {
        match self.serve_inner(ingesting).await {
            Ok(()) => End::new(Outcome::Closed, "closed by the robot"),
            Err(end) => {
                if !matches!(end.outcome, Outcome::SlowClient | Outcome::Broken) {
                    // Answers to what came before the fault still count.
                    let _ = self.packets.flush(self.limits.write_timeout).await;
                }
                end
            }
        }
    }

    async fn serve_inner(&mut self, ingesting: &mut Ingesting) -> Result<(), End> {
        let mut heard = Instant::now();
        loop {
            while self.has_room(ingesting)
                && let Some(packet) = self.packets.parse()?
            {
                // What came before a revocation counts, nothing that is looked at after it.
                if let Some(outcome) = self.signals.outcome() {
                    return Err(End::new(outcome, "ended by the server before the next packet"));
                }
                if self.handle(packet).await? {
                    return Ok(());
                }
            }
            if ingesting.task.is_none()
                && let Some(publish) = self.waiting.pop_front()
            {
                self.waiting_bytes -= publish.payload.len();
                *ingesting = self.ingest(publish);
            }
            self.packets.flush(self.limits.write_timeout).await?;
            let has_room = self.has_room(ingesting);
            tokio::select! {
                acknowledgement = ingesting.done() => self.answer(ingesting.packet_id, &acknowledgement?)?,
                () = self.signals.desired.notified() => {
                    if self.subscriptions[Outbound::Deploy as usize].is_some() {
                        self.send_desired(false).await?;
                    }
                    self.send_commands().await?;
                }
                filled = self.packets.fill(), if has_room => {
                    heard = Instant::now();
                    if !filled? {
                        return Ok(());
                    }
                }
                () = sleep_until(heard + self.welcome.keep_alive), if has_room => {
                    return Err(End::new(Outcome::KeepAlive, format!("nothing heard for {:?}", self.welcome.keep_alive)));
                }
            }
            if !has_room {
                // Silence is ours while we do not listen.
                heard = Instant::now();
            }
        }
    }

    /// Whether more may be read. A robot that sends faster than its documents are ingested waits in its own socket.
    fn has_room(&self, ingesting: &Ingesting) -> bool {
        let bytes = self.waiting_bytes + ingesting.task.as_ref().map_or(0, |_| ingesting.bytes);
        self.waiting.len() < self.limits.max_pending_messages && bytes < self.limits.max_pending_bytes
    }

    /// Handles one packet. `true` when it was the last.
    async fn handle(&mut self, packet: Packet) -> Result<bool, End> {
        match packet {
            Packet::Publish(publish) => self.publish(publish)?,
            Packet::PubAck(PubAck { pkid }) => {
                self.unacknowledged.remove(&pkid);
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe).await?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe)?,
            Packet::PingReq => self.packets.push(&Packet::PingResp)?,
            Packet::Disconnect => return Ok(true),
            other => {
                let kind = format!("{other:?}");
                let kind = kind.split(['(', ' ']).next().unwrap_or_default();
                return Err(End::new(Outcome::ProtocolError, format!("a robot does not send {kind} here")));
            }
        }
        Ok(false)
    }

    fn publish(&mut self, publish: Publish) -> Result<(), End> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(End::new(Outcome::ProtocolError, "QoS 2 is not served: publish with QoS 1"));
        }
        match self.welcome.acl.publish(&publish.topic) {
            Some(Inbound::Telemetry) => {
                self.metrics.telemetry.inc();
                self.metrics.telemetry_bytes.inc_by(publish.payload.len() as u64);
                self.waiting_bytes += publish.payload.len();
                self.waiting.push_back(publish);
                Ok(())
            }
            Some(Inbound::CommandAck | Inbound::Alive) => {
                // The truth about a command is an entry of the edge log, and its connection says that a robot is here: both copies
                // only tell an external broker.
                self.acknowledge(publish.qos, publish.pkid)
            }
            None => Err(End::new(Outcome::AclViolation, format!("may not publish on {:?}", publish.topic))),
        }
    }

    fn acknowledge(&mut self, qos: QoS, pkid: u16) -> Result<(), End> {
        if qos == QoS::AtLeastOnce { self.packets.push(&Packet::PubAck(PubAck::new(pkid))) } else { Ok(()) }
    }

    async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), End> {
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut wants_desired = false;
        for filter in &subscribe.filters {
            let Some(outbound) = self.welcome.acl.subscribe(&filter.path) else {
                return Err(End::new(Outcome::AclViolation, format!("may not subscribe to {:?}", filter.path)));
            };
            let granted = if filter.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            self.subscriptions[outbound as usize] = Some(granted);
            wants_desired |= outbound == Outbound::Deploy;
            codes.push(SubscribeReasonCode::Success(granted));
        }
        self.packets.push(&Packet::SubAck(SubAck::new(subscribe.pkid, codes)))?;
        if wants_desired {
            self.desired_sent = None;
            self.send_desired(true).await?;
        }
        self.send_commands().await
    }

    fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), End> {
        for topic in &unsubscribe.topics {
            if let Some(outbound) = self.welcome.acl.subscribe(topic) {
                self.subscriptions[outbound as usize] = None;
            }
        }
        self.packets.push(&Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)))
    }

    fn ingest(&self, publish: Publish) -> Ingesting {
        let (port, robot) = (self.port.clone(), self.welcome.robot.clone());
        let packet_id = publish.pkid;
        let bytes = publish.payload.len();
        let task = tokio::spawn(async move {
            match decode_upstream(publish.payload).await {
                Ok(document) => port
                    .ingest(&robot, document)
                    .await
                    .map_err(|error| End::new(Outcome::ServerError, format!("could not ingest: {error}; the robot sends it again"))),
                Err(reason) => Err(End::new(Outcome::BadDocument, reason)),
            }
        });
        Ingesting { task: Some(task), packet_id, bytes }
    }

    fn answer(&mut self, packet_id: u16, acknowledgement: &LogAck) -> Result<(), End> {
        if packet_id != 0 {
            self.packets.push(&Packet::PubAck(PubAck::new(packet_id)))?;
        }
        let payload = edgeflow_wire::encode(acknowledgement).map_err(|error| End::new(Outcome::ServerError, error.to_string()))?;
        self.send(Outbound::TelemetryAck, payload, false)
    }

    async fn send_desired(&mut self, retained: bool) -> Result<(), End> {
        let desired = self.port.desired(&self.welcome.robot).await;
        let desired = desired.map_err(|error| End::new(Outcome::ServerError, format!("could not read the desired state: {error}")))?;
        let Some(envelope) = desired else { return Ok(()) };
        let content = content(&envelope);
        if self.desired_sent.replace(content) == Some(content) {
            return Ok(());
        }
        let payload = edgeflow_wire::encode(&envelope).map_err(|error| End::new(Outcome::ServerError, error.to_string()))?;
        self.send(Outbound::Deploy, payload, retained)
    }

    /// Sends the commands that came since, if the robot wants to hear of any.
    async fn send_commands(&mut self) -> Result<(), End> {
        if self.subscriptions[Outbound::Command as usize].is_none() {
            return Ok(());
        }
        let commands = self.port.commands(&self.welcome.robot, self.commands_sent).await;
        let commands = commands.map_err(|error| End::new(Outcome::ServerError, format!("could not read the commands: {error}")))?;
        for (number, envelope) in commands {
            let payload = edgeflow_wire::encode(&envelope).map_err(|error| End::new(Outcome::ServerError, error.to_string()))?;
            self.send(Outbound::Command, payload, false)?;
            self.commands_sent = number;
        }
        Ok(())
    }

    fn send(&mut self, outbound: Outbound, payload: Vec<u8>, retain: bool) -> Result<(), End> {
        let Some(qos) = self.subscriptions[outbound as usize] else { return Ok(()) };
        let mut publish = Publish::from_bytes(self.welcome.acl.topic(outbound), qos, Bytes::from(payload));
        publish.retain = retain;
        if qos == QoS::AtLeastOnce {
            publish.pkid = self.packet_id()?;
        }
        self.metrics.sent.inc();
        self.packets.push(&Packet::Publish(publish))
    }

    fn packet_id(&mut self) -> Result<u16, End> {
        let most = self.limits.max_unacknowledged.min(self.packets.receive_maximum());
        if self.unacknowledged.len() >= most {
            return Err(End::new(Outcome::SlowClient, format!("{} messages were not acknowledged", self.unacknowledged.len())));
        }
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            if self.last_packet_id != 0 && self.unacknowledged.insert(self.last_packet_id) {
                return Ok(self.last_packet_id);
            }
        }
    }
}

/// What tells one desired state from the next.
fn content(envelope: &edgeflow_wire::Envelope) -> u64 {
    let mut hasher = DefaultHasher::new();
    envelope.payload.hash(&mut hasher);
    hasher.finish()
}
