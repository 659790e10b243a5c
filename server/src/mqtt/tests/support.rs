//! A control plane made of maps, a gateway on a free port, and clients.

use bytes::BytesMut;
use edgeflow_wire::{Ack, AckOutcome, Class, Envelope, Hello, LogAck, Upstream, WIRE_VERSION};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, QoS,
    mqttbytes::v4::{Connect, Packet, Publish},
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, broadcast, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::mqtt::{Gateway, GatewayMetrics, Limits, Proof, RobotPort};

/// Nothing in these tests takes longer unless it is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What the gateway told the control plane, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Connected(String),
    Disconnected(String),
    Ingested(String, String),
}

#[derive(Default)]
struct Held {
    desired: HashMap<String, Envelope>,
    revoked: HashSet<String>,
    commands: Vec<(String, i64, Envelope)>,
}

/// Any robot `name` with the token `token-of-{name}` is known.
pub(super) struct FakePort {
    held: Mutex<Held>,
    seen: watch::Sender<Vec<Seen>>,
    desired: broadcast::Sender<String>,
    revocations: broadcast::Sender<String>,
    /// One permit per document that may be ingested, when gated.
    gate: Option<Semaphore>,
    /// The control plane that fails.
    broken: bool,
}

impl FakePort {
    pub(super) fn new() -> Self {
        Self {
            held: Mutex::default(),
            seen: watch::Sender::new(Vec::new()),
            desired: broadcast::Sender::new(64),
            revocations: broadcast::Sender::new(64),
            gate: None,
            broken: false,
        }
    }

    /// Ingests one document per permit that is added to [`FakePort::gate`].
    pub(super) fn gated() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::new() }
    }

    pub(super) fn broken() -> Self {
        Self { broken: true, ..Self::new() }
    }

    pub(super) fn allow(&self, documents: usize) {
        self.gate.as_ref().unwrap().add_permits(documents);
    }

    pub(super) fn set_desired(&self, robot: &str, payload: &str) {
        let envelope = Envelope { v: WIRE_VERSION, payload: payload.to_owned(), signatures: Vec::new() };
        self.held.lock().unwrap().desired.insert(robot.to_owned(), envelope);
        let _ = self.desired.send(robot.to_owned());
    }

    /// Gives a command; its number counts from 1.
    pub(super) fn give(&self, robot: &str, payload: &str) {
        let envelope = Envelope { v: WIRE_VERSION, payload: payload.to_owned(), signatures: Vec::new() };
        let mut held = self.held.lock().unwrap();
        let number = held.commands.len() as i64 + 1;
        held.commands.push((robot.to_owned(), number, envelope));
        drop(held);
        let _ = self.desired.send(robot.to_owned());
    }

    pub(super) fn revoke(&self, robot: &str) {
        self.held.lock().unwrap().revoked.insert(robot.to_owned());
        let _ = self.revocations.send(robot.to_owned());
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    pub(super) async fn wait_for(&self, what: impl FnMut(&Vec<Seen>) -> bool) {
        let mut seen = self.seen.subscribe();
        timeout(PATIENCE, seen.wait_for(what)).await.expect("the control plane never saw it").unwrap();
    }

    fn saw(&self, what: Seen) {
        self.seen.send_modify(|seen| seen.push(what));
    }
}

impl RobotPort for FakePort {
    type Robot = String;
    type Error = String;

    async fn authenticate(&self, name: &str, proof: Proof<'_>) -> Result<Option<String>, String> {
        let proved = match proof {
            Proof::Token(token) => token == format!("token-of-{name}"),
            Proof::Certificate(presented) => presented.name == name,
        };
        let known = proved && !self.held.lock().unwrap().revoked.contains(name);
        Ok(known.then(|| name.to_owned()))
    }

    async fn connected(&self, robot: &String) {
        self.saw(Seen::Connected(robot.clone()));
    }

    async fn disconnected(&self, robot: &String) {
        self.saw(Seen::Disconnected(robot.clone()));
    }

    async fn ingest(&self, robot: &String, document: Upstream) -> Result<LogAck, String> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if self.broken {
            return Err("the disk is full".to_owned());
        }
        let epoch = match document {
            Upstream::Hello(hello) => hello.epoch,
            Upstream::Batch(batch) => batch.epoch,
        };
        self.saw(Seen::Ingested(robot.clone(), epoch.clone()));
        let next = vec![Ack { class: Class::Event, next_seq: 1 }];
        Ok(LogAck { v: WIRE_VERSION, epoch, outcome: AckOutcome::Accepted, next, server_time_us: 5 })
    }

    async fn commands(&self, robot: &String, after: i64) -> Result<Vec<(i64, Envelope)>, String> {
        let held = self.held.lock().unwrap();
        let commands = held.commands.iter().filter(|(of, number, _)| of == robot && *number > after);
        Ok(commands.map(|(_, number, envelope)| (*number, envelope.clone())).collect())
    }

    async fn desired(&self, robot: &String) -> Result<Option<Envelope>, String> {
        Ok(self.held.lock().unwrap().desired.get(robot).cloned())
    }

    fn desired_changes(&self) -> broadcast::Receiver<String> {
        self.desired.subscribe()
    }

    fn revocations(&self) -> broadcast::Receiver<String> {
        self.revocations.subscribe()
    }
}

pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) port: Arc<FakePort>,
    pub(super) metrics: GatewayMetrics,
    pub(super) shutdown: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

pub(super) async fn start(port: FakePort, limits: Limits) -> Running {
    let gateway = Gateway::bind("127.0.0.1:0".parse().unwrap(), limits, None).await.unwrap();
    let (address, metrics) = (gateway.address(), gateway.metrics());
    let (port, shutdown) = (Arc::new(port), CancellationToken::new());
    let task = tokio::spawn(gateway.serve(port.clone(), shutdown.clone()));
    Running { address, port, metrics, shutdown, task }
}

pub(super) async fn start_default() -> Running {
    start(FakePort::new(), Limits::default()).await
}

/// A `rumqttc` client that is driven by the test.
pub(super) struct Client {
    pub(super) mqtt: AsyncClient,
    pub(super) events: EventLoop,
    pub(super) name: String,
}

impl Client {
    pub(super) fn with(address: SocketAddr, name: &str, change: impl FnOnce(&mut MqttOptions) -> &mut MqttOptions) -> Self {
        let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
        options.set_credentials(name, format!("token-of-{name}"));
        options.set_max_packet_size(64 * 1024 * 1024, 64 * 1024 * 1024);
        change(&mut options);
        let (mqtt, events) = AsyncClient::new(options, 1000);
        Self { mqtt, events, name: name.to_owned() }
    }

    /// A client that is connected.
    pub(super) async fn connect(address: SocketAddr, name: &str) -> Self {
        let mut client = Self::with(address, name, |options| options);
        client.incoming(|packet| matches!(packet, Packet::ConnAck(_))).await;
        client
    }

    pub(super) fn topic(&self, level: &str) -> String {
        format!("edgeflow/targets/{}/{level}", self.name)
    }

    pub(super) async fn subscribe(&mut self, level: &str) {
        self.mqtt.subscribe(self.topic(level), QoS::AtLeastOnce).await.unwrap();
        self.incoming(|packet| matches!(packet, Packet::SubAck(_))).await;
    }

    pub(super) async fn send(&mut self, document: &Upstream) {
        self.mqtt.publish(self.topic("telemetry"), QoS::AtLeastOnce, false, edgeflow_wire::encode(document).unwrap()).await.unwrap();
    }

    /// Waits for a packet that fits.
    pub(super) async fn incoming(&mut self, mut fits: impl FnMut(&Packet) -> bool) -> Packet {
        let name = self.name.clone();
        let wait = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(packet)) if fits(&packet) => return packet,
                    Ok(_) => {}
                    Err(error) => panic!("{name} lost its connection: {error:?}"),
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("the packet never came")
    }

    pub(super) async fn message(&mut self, level: &str) -> Publish {
        let topic = self.topic(level);
        match self.incoming(|packet| matches!(packet, Packet::Publish(publish) if publish.topic == topic)).await {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn log_ack(&mut self) -> LogAck {
        edgeflow_wire::decode(&self.message("telemetry/ack").await.payload).unwrap()
    }

    /// Waits until the connection fails.
    pub(super) async fn lost(&mut self) -> ConnectionError {
        let wait = async {
            loop {
                if let Err(error) = self.events.poll().await {
                    return error;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("the connection never failed")
    }
}

pub(super) fn hello(epoch: &str) -> Upstream {
    let (epoch, software) = (epoch.to_owned(), "test".to_owned());
    Upstream::Hello(Hello { v: WIRE_VERSION, epoch, software, classes: Vec::new(), t_us: 1, boot_us: 1 })
}

/// A socket without a client's manners.
pub(super) struct Raw {
    pub(super) stream: TcpStream,
    input: BytesMut,
}

impl Raw {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), input: BytesMut::new() }
    }

    /// Connected as `name`, with CONNACK read.
    pub(super) async fn robot(address: SocketAddr, name: &str, keep_alive_s: u16) -> Self {
        let mut raw = Self::open(address).await;
        let mut connect = Connect::new(name);
        connect.keep_alive = keep_alive_s;
        connect.set_login(name, format!("token-of-{name}"));
        raw.write(&Packet::Connect(connect)).await;
        assert!(matches!(raw.read().await, Some(Packet::ConnAck(_))));
        raw
    }

    pub(super) async fn write(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next packet; `None` when the server has closed.
    pub(super) async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Ok(packet) = Packet::read(&mut self.input, usize::MAX) {
                return Some(packet);
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await.expect("the server neither wrote nor closed") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads until the server closes.
    pub(super) async fn closed(&mut self) {
        while self.read().await.is_some() {}
    }
}

/// Waits for a counter. Ends are counted a moment before sockets close, but a client may see its end first.
pub(super) async fn eventually(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it never came to hold");
}
