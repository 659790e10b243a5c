//! The packet path of one connection, fed with bytes: what tests and fuzzing drive, without a socket.

use edgeflow_wire::{Ack, AckOutcome, Class, Envelope, LogAck, Upstream, WIRE_VERSION};
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::broadcast;

use super::{
    handshake,
    limits::Limits,
    metrics::{GatewayMetrics, Outcome},
    packets::Packets,
    port::{Proof, RobotPort},
    session::{Ingesting, Session},
};
use crate::app::Sessions;

/// A control plane that knows every robot, takes everything and holds nothing.
struct Anybody {
    desired: broadcast::Sender<String>,
    revoked: broadcast::Sender<String>,
}

impl RobotPort for Anybody {
    type Robot = String;
    type Error = Infallible;

    async fn authenticate(&self, name: &str, _proof: Proof<'_>) -> Result<Option<String>, Infallible> {
        Ok(Some(name.to_owned()))
    }

    async fn connected(&self, _robot: &String) {}

    async fn disconnected(&self, _robot: &String) {}

    async fn ingest(&self, _robot: &String, document: Upstream) -> Result<LogAck, Infallible> {
        let epoch = match document {
            Upstream::Hello(hello) => hello.epoch,
            Upstream::Batch(batch) => batch.epoch,
        };
        let next = vec![Ack { class: Class::Event, next_seq: 1 }];
        Ok(LogAck { v: WIRE_VERSION, epoch, outcome: AckOutcome::Accepted, next, server_time_us: 0 })
    }

    async fn desired(&self, _robot: &String) -> Result<Option<Envelope>, Infallible> {
        Ok(Some(Envelope { v: WIRE_VERSION, payload: "{}".to_owned(), signatures: Vec::new() }))
    }

    async fn commands(&self, _robot: &String, after: i64) -> Result<Vec<(i64, Envelope)>, Infallible> {
        let envelope = Envelope { v: WIRE_VERSION, payload: "{}".to_owned(), signatures: Vec::new() };
        Ok((after < 1).then_some((1, envelope)).into_iter().collect())
    }

    fn desired_changes(&self) -> broadcast::Receiver<String> {
        self.desired.subscribe()
    }

    fn revocations(&self) -> broadcast::Receiver<String> {
        self.revoked.subscribe()
    }
}

/// Serves a client that sends these bytes and closes; says how the connection ended.
pub async fn feed(bytes: &[u8]) -> Outcome {
    let port = Arc::new(Anybody { desired: broadcast::Sender::new(1), revoked: broadcast::Sender::new(1) });
    let (limits, metrics, sessions) = (Limits::default(), GatewayMetrics::default(), Sessions::new());
    let mut packets = Packets::new(tokio::io::join(bytes, tokio::io::sink()), limits.max_connect_bytes, limits.max_packet_bytes);
    let welcome = match handshake::shake(&mut packets, None, &*port, &limits).await {
        Ok(welcome) => welcome,
        Err(end) => return end.outcome,
    };
    let place = sessions.enter(&welcome.robot);
    packets.set_max_bytes(limits.max_packet_bytes);
    if let Err(end) = packets.push(&Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false))) {
        return end.outcome;
    }
    let mut ingesting = Ingesting::default();
    let end = Session::new(&mut packets, &welcome, port, &limits, &metrics, &place.signals).serve(&mut ingesting).await;
    ingesting.settle().await;
    end.outcome
}
