//! One connection to the broker: its reader and its writer run beside each other, so that what is to be said does not hold up what is heard.

use bytes::Bytes;
use rumqttc::mqttbytes::{
    Protocol, QoS,
    v4::{Connect, ConnectReturnCode, Packet, PubAck, Publish, Subscribe, SubscribeFilter},
};
use rustls::ClientConfig;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{Empty, Join, ReadHalf, Sink, WriteHalf},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::address::Address;
use crate::mqtt::{
    limits::Limits,
    metrics::Outcome,
    packets::{End, Packets},
};

/// After so much silence the broker is asked whether it is there; after as much again it is not.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Packets that wait to be written.
const WAITING: usize = 256;
/// Messages that the broker has not acknowledged.
const IN_FLIGHT: usize = 100;
/// Packets are written together up to this size.
const GATHER_BYTES: usize = 64 * 1024;

type Input = Packets<Join<ReadHalf<TlsStream<TcpStream>>, Sink>>;
type Output = Packets<Join<Empty, WriteHalf<TlsStream<TcpStream>>>>;

/// What was published with QoS 1 and not acknowledged.
struct InFlight {
    free: Semaphore,
    ids: Mutex<(u16, HashSet<u16>)>,
}

/// Where packets to the broker go. Clones share one connection.
#[derive(Clone)]
pub(super) struct Outbox {
    packets: mpsc::Sender<Packet>,
    in_flight: Arc<InFlight>,
}

/// The connection is no more.
#[derive(Debug)]
pub(super) struct Gone;

impl Outbox {
    /// Publishes, once there is room. With QoS 1 the broker says that it has it; that the robot does is never known from here.
    pub(super) async fn publish(&self, topic: String, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), Gone> {
        let mut publish = Publish::from_bytes(topic, qos, Bytes::from(payload));
        publish.retain = retain;
        if qos == QoS::AtLeastOnce {
            self.in_flight.free.acquire().await.map_err(|_| Gone)?.forget();
            publish.pkid = self.in_flight.take();
        }
        self.packets.send(Packet::Publish(publish)).await.map_err(|_| Gone)
    }
}

impl InFlight {
    fn take(&self) -> u16 {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, taken) = &mut *ids;
        loop {
            *last = last.wrapping_add(1);
            if *last != 0 && taken.insert(*last) {
                return *last;
            }
        }
    }

    fn free(&self, id: u16) {
        if self.ids.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&id) {
            self.free.add_permits(1);
        }
    }
}

/// A connection that the broker accepted.
pub(super) struct Link {
    input: Input,
    pub(super) outbox: Outbox,
}

/// Its other half, which runs beside it.
pub(super) struct Writer {
    output: Output,
    packets: mpsc::Receiver<Packet>,
    in_flight: Arc<InFlight>,
    write_timeout: Duration,
}

/// Connects within the time of a handshake.
pub(super) async fn connect(address: &Address, tls: Arc<ClientConfig>, client_id: &str, limits: &Limits) -> Result<(Link, Writer), End> {
    let broken = |error: std::io::Error| End::new(Outcome::Broken, format!("no connection to {}:{}: {error}", address.host, address.port));
    let connect = async {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let stream = TlsConnector::from(tls).connect(address.name.clone(), stream).await;
        let stream = stream.map_err(|error| End::new(Outcome::BadTls, format!("no TLS with {}: {error}", address.host)))?;
        let (reader, writer) = tokio::io::split(stream);
        // Our own documents may be larger than what robots may send.
        let mut input = Packets::client(tokio::io::join(reader, tokio::io::sink()), 2 * limits.max_packet_bytes);
        let mut output = Packets::client(tokio::io::join(tokio::io::empty(), writer), limits.max_packet_bytes);
        output.push(&Packet::Connect(Connect {
            protocol: Protocol::V4,
            keep_alive: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
            client_id: client_id.to_owned(),
            clean_session: true,
            last_will: None,
            login: None,
        }))?;
        output.flush(limits.write_timeout).await?;
        match next(&mut input).await? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {}
            Packet::ConnAck(ack) => return Err(End::new(Outcome::BadCredentials, format!("the broker refuses us: {:?}", ack.code))),
            other => return Err(End::new(Outcome::ProtocolError, format!("the broker answers {other:?} to CONNECT"))),
        }
        Ok((input, output))
    };
    let (input, output) = timeout(limits.handshake_timeout, connect)
        .await
        .unwrap_or_else(|_| Err(End::new(Outcome::HandshakeTimeout, "the broker does not answer in time")))?;
    let (packets, waiting) = mpsc::channel(WAITING);
    let in_flight = Arc::new(InFlight { free: Semaphore::new(IN_FLIGHT), ids: Mutex::default() });
    let writer = Writer { output, packets: waiting, in_flight: in_flight.clone(), write_timeout: limits.write_timeout };
    Ok((Link { input, outbox: Outbox { packets, in_flight } }, writer))
}

async fn next(input: &mut Input) -> Result<Packet, End> {
    loop {
        if let Some(packet) = input.parse()? {
            return Ok(packet);
        }
        if !input.fill().await? {
            return Err(End::new(Outcome::Closed, "the broker closed the connection"));
        }
    }
}

impl Link {
    /// Asks for topics and waits until the broker granted all of them; what it sends already is `heard`.
    pub(super) async fn subscribe(&mut self, filters: Vec<SubscribeFilter>, mut heard: impl FnMut(Publish)) -> Result<(), End> {
        let subscribe = Packet::Subscribe(Subscribe { pkid: 1, filters });
        self.outbox.packets.send(subscribe).await.map_err(|_| End::new(Outcome::Broken, "the connection was lost"))?;
        loop {
            match self.packet().await? {
                Packet::SubAck(ack) if ack.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure) => {
                    return Err(End::new(Outcome::BadCredentials, "the broker refuses a subscription: look at its access list"));
                }
                Packet::SubAck(_) => return Ok(()),
                Packet::Publish(publish) => heard(publish),
                _ => {}
            }
        }
    }

    /// The next message.
    pub(super) async fn message(&mut self) -> Result<Publish, End> {
        loop {
            if let Packet::Publish(publish) = self.packet().await? {
                return Ok(publish);
            }
        }
    }

    /// The next packet, after what it asks for was done. Must be polled for the connection to live.
    async fn packet(&mut self) -> Result<Packet, End> {
        let silence = KEEP_ALIVE * 2;
        let packet = timeout_at(Instant::now() + silence, next(&mut self.input))
            .await
            .map_err(|_| End::new(Outcome::KeepAlive, format!("nothing heard of the broker for {silence:?}")))??;
        match &packet {
            Packet::PubAck(ack) => self.outbox.in_flight.free(ack.pkid),
            Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                let ack = Packet::PubAck(PubAck::new(publish.pkid));
                self.outbox.packets.send(ack).await.map_err(|_| End::new(Outcome::Broken, "the connection was lost"))?;
            }
            _ => {}
        }
        Ok(packet)
    }
}

impl Drop for Writer {
    /// Whoever waits to say something has nobody to say it to.
    fn drop(&mut self) {
        self.in_flight.free.close();
    }
}

impl Writer {
    /// Writes until the connection breaks or nobody has anything to say any more; then says goodbye.
    pub(super) async fn run(mut self) -> End {
        self.write().await
    }

    async fn write(&mut self) -> End {
        loop {
            let packet = match timeout(KEEP_ALIVE, self.packets.recv()).await {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    if self.output.push(&Packet::Disconnect).is_ok() {
                        let _ = self.output.flush(self.write_timeout).await;
                    }
                    self.output.close().await;
                    return End::new(Outcome::Closed, "closed by us");
                }
                Err(_) => Packet::PingReq,
            };
            if let Err(end) = self.send(packet).await {
                return end;
            }
        }
    }

    async fn send(&mut self, packet: Packet) -> Result<(), End> {
        self.output.push(&packet)?;
        while self.output.unwritten() < GATHER_BYTES
            && let Ok(more) = self.packets.try_recv()
        {
            self.output.push(&more)?;
        }
        self.output.flush(self.write_timeout).await
    }
}
