//! A control plane with every door, and robots' ends of the uplinks to them.

use crate::{
    common::{Robot, Server, bundle, options},
    mosquitto::Mosquitto,
    secure::Doors,
};
use edgeflow_bridge::{Clock, LogHandle, LogThread, Recorder};
use edgeflow_core::{Principal, TargetName};
use edgeflow_server::{
    mqtt::{BrokerDoor, Gateway, GatewayMetrics, Limits as GatewayLimits},
    zenoh::ZenohDoor,
};
use edgeflow_uplink::{
    Bandwidth, Http, HttpConfig, Limits, Link, LinkEvent, LinkState, Mqtt, MqttConfig, Outbox, Pump, Timing, Uplink, Zenoh, ZenohConfig,
};
use edgeflow_wire::{Class, Command, DesiredState, EntryBody, Envelope, FaultBody, LogAck, Upstream, decode, encode};
use serde_json::Value;
use std::{collections::VecDeque, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a revoked robot may still be connected: what is promised.
pub(crate) const CUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Mqtt,
    Http,
    Zenoh,
    /// MQTT over TLS with certificates.
    Mqtts,
    /// HTTP over TLS with certificates.
    Https,
    /// MQTT with certificates, through Debian's mosquitto.
    Broker,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Mqtt | Way::Mqtts | Way::Broker => "mqtt",
            Way::Http | Way::Https => "http",
            Way::Zenoh => "zenoh",
        }
    }
}

/// With what a robot proves who it is.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) token: String,
    pub(crate) ca: PathBuf,
    /// Key and certificate.
    pub(crate) pem: PathBuf,
}

/// A control plane.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) mqtt: SocketAddr,
    pub(crate) zenoh: Option<SocketAddr>,
    pub(crate) secure: Doors,
    pub(crate) broker: Option<Mosquitto>,
    stop: CancellationToken,
    doors: Vec<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl World {
    /// With MQTT and HTTP.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(options(&folder)).await;
        let gateway = Gateway::bind("127.0.0.1:0".parse().unwrap(), GatewayLimits::default(), None).await.unwrap();
        let (mqtt, stop) = (gateway.address(), CancellationToken::new());
        let doors = vec![tokio::spawn(gateway.serve(server.app.clone(), stop.clone()))];
        let secure = Doors::open(&server.app, &stop).await;
        Self { server, mqtt, zenoh: None, secure, broker: None, stop, doors, folder }
    }

    /// With zenoh too.
    pub(crate) async fn with_zenoh() -> Self {
        let mut world = Self::start().await;
        let router = ZenohDoor::open(world.server.app.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        world.zenoh = Some(router.address());
        world.server.app.set_zenoh_address(router.address());
        world.doors.push(tokio::spawn(router.serve(world.stop.clone())));
        world
    }

    /// With a broker of its own, too; whether that is told of revoked certificates.
    pub(crate) async fn with_broker(reload: bool) -> (Self, GatewayMetrics) {
        let mut world = Self::start().await;
        let broker = Mosquitto::start(&world.server.app).await;
        let door = BrokerDoor::open(world.server.app.clone(), broker.options(reload), GatewayLimits::default()).unwrap();
        let metrics = door.metrics();
        world.doors.push(tokio::spawn(door.serve(world.stop.clone())));
        world.broker = Some(broker);
        let heard = async {
            while metrics.open() == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, heard).await.expect("the control plane never comes to the broker");
        (world, metrics)
    }

    /// With what this uplink needs.
    pub(crate) async fn of(way: Way) -> Self {
        match way {
            Way::Zenoh => Self::with_zenoh().await,
            Way::Broker => Self::with_broker(true).await.0,
            _ => Self::start().await,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for door in self.doors {
            door.await.unwrap();
        }
        self.secure.closed().await;
        self.server.stop().await;
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.server.base.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// A robot with its token and its certificate.
    pub(crate) async fn enrol(&self, name: &str) -> Robot {
        let robot = self.server.enrol(name).await;
        let app = &self.server.app;
        let target = TargetName::new(name).unwrap();
        let bootstrap = app.bootstrap_target(&Principal::administrator(), &target, None).await.unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let identity = app.enrol_identity(&bootstrap.token, &request).await.unwrap();
        std::fs::write(self.pem(name), key.serialize_pem() + &identity.certificate).unwrap();
        robot
    }

    fn pem(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    /// What an enrolled robot was given.
    pub(crate) fn proof(&self, robot: &Robot) -> Proof {
        let ca = self.server.app.authority().files().ca;
        Proof { token: robot.token.clone(), ca, pem: self.pem(robot.id.name.as_str()) }
    }

    /// What somebody made up.
    pub(crate) fn forged(&self, name: &str) -> Proof {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let pem = self.pem(&format!("forged-{name}"));
        std::fs::write(&pem, key.serialize_pem() + &params.self_signed(&key).unwrap().pem()).unwrap();
        Proof { token: format!("{name}.nonsense"), ca: self.server.app.authority().files().ca, pem }
    }

    /// The robot's end of an uplink that leads to this address.
    pub(crate) fn uplink_to(way: Way, address: SocketAddr, robot: &str, proof: &Proof) -> Box<dyn Uplink> {
        let (retry_first, retry_cap) = (Duration::from_millis(10), Duration::from_millis(50));
        let (address, token) = (address.to_string(), &proof.token);
        match way {
            Way::Mqtt => Box::new(Mqtt::new(MqttConfig { retry_first, retry_cap, ..MqttConfig::new(address, robot, token) }).unwrap()),
            Way::Http => {
                let address = format!("http://{address}");
                Box::new(Http::new(HttpConfig { retry_first, retry_cap, ..HttpConfig::new(address, robot, token) }).unwrap())
            }
            Way::Zenoh => {
                let config = ZenohConfig::new(address, robot, &proof.ca, &proof.pem, &proof.pem);
                Box::new(Zenoh::new(ZenohConfig { retry_first, retry_cap, patience: Duration::from_secs(2), ..config }).unwrap())
            }
            Way::Mqtts | Way::Https | Way::Broker => crate::secure::uplink_to(way, address.parse().unwrap(), robot, proof),
        }
    }

    /// The robot's end of an uplink to this control plane.
    pub(crate) fn uplink(&self, way: Way, robot: &str, proof: &Proof) -> Box<dyn Uplink> {
        let address = match way {
            Way::Mqtt => self.mqtt,
            Way::Http => self.http(),
            Way::Zenoh => self.zenoh.unwrap(),
            Way::Broker => self.broker.as_ref().unwrap().address,
            Way::Mqtts | Way::Https => return self.secure.uplink(way, robot, proof),
        };
        Self::uplink_to(way, address, robot, proof)
    }

    /// A robot's connection, up.
    pub(crate) async fn connect(&self, way: Way, robot: &Robot) -> Connection {
        let mut connection = Connection::start(&*self.uplink(way, robot.id.name.as_str(), &self.proof(robot)));
        connection.up().await;
        connection
    }

    /// Registers a model.
    pub(crate) async fn register(&self) {
        let (status, body) = self.server.register("label-reader", bundle("v1")).await;
        assert!(status.is_success(), "{body}");
    }

    /// The control plane's account of a robot's log: stored, duplicated, missing, lost.
    pub(crate) async fn account(&self, robot: &str) -> (u64, u64, u64, u64) {
        let entries = self.server.get(&format!("/targets/{robot}/log")).await["entries"].clone();
        let count = |name: &str| entries[name].as_u64().unwrap_or_else(|| panic!("no {name} in {entries}"));
        (count("stored"), count("duplicated"), count("missing"), count("lost_recorded"))
    }

    /// Every stored sequence number of a class, in the order of arrival.
    pub(crate) async fn seqs(&self, robot: &str, class: Class) -> Vec<u64> {
        let (mut seqs, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/targets/{robot}/entries?class={class}&order=asc&limit=1000{after}");
            let page = self.server.get(&path).await;
            let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value}"));
            seqs.extend(page["items"].as_array().unwrap().iter().map(|entry| number(&entry["seq"])));
            let Some(next) = page["next"].as_str() else { return seqs };
            after = format!("&after={next}");
        }
    }

    /// Waits until so many robots wait for news by HTTP.
    pub(crate) async fn until_waiting(&self, count: usize) {
        let line = format!("edgeflow_http_waiting {count}");
        let wait = async {
            while !self.server.app.metrics().encode().unwrap().lines().any(|found| found == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {line}"));
    }

    /// Waits until so many entries of a class are stored.
    pub(crate) async fn until_stored(&self, robot: &str, class: Class, count: usize) {
        let stored = async || {
            let log = self.server.get(&format!("/targets/{robot}/log")).await;
            let of_class = log["classes"].as_array().unwrap().iter().filter(|account| account["class"] == class.as_str());
            of_class.map(|account| account["stored"].as_u64().unwrap()).sum::<u64>() >= count as u64
        };
        if !self.until(stored).await {
            panic!("{count} entries never came: {:?}", self.account(robot).await);
        }
    }

    /// Waits until a robot is here, or is not.
    pub(crate) async fn until_online(&self, robot: &str, online: bool) {
        let is = async || self.server.get(&format!("/targets/{robot}")).await["online"] == online;
        assert!(self.until(is).await, "{robot} never has online: {online}");
    }

    /// Looks whether something holds, and again at every change that watchers are told of; `false` when it never does.
    async fn until(&self, holds: impl AsyncFn() -> bool) -> bool {
        let mut changes = self.server.app.watch(&Principal::administrator()).await.unwrap();
        let wait = async {
            while !holds().await {
                // One that lags has missed some, which is a change, too.
                let _ = changes.recv().await;
            }
        };
        timeout(PATIENCE, wait).await.is_ok()
    }
}

/// A robot's connection, document by document.
pub(crate) struct Connection {
    link: Link,
    outbox: Option<Outbox>,
    heard: VecDeque<LinkEvent>,
}

impl Connection {
    pub(crate) fn start(uplink: &dyn Uplink) -> Self {
        Self { link: uplink.start(), outbox: None, heard: VecDeque::new() }
    }

    /// The next event that `pick` takes; others are kept.
    async fn next<T>(&mut self, what: &str, patience: Duration, pick: impl Fn(&LinkEvent) -> Option<T>) -> Option<T> {
        if let Some((at, picked)) = self.heard.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?))) {
            self.heard.remove(at);
            return Some(picked);
        }
        let wait = async {
            loop {
                let event = self.link.events.recv().await.unwrap_or_else(|| panic!("the link ended before {what}"));
                match pick(&event) {
                    Some(picked) => return picked,
                    None => self.heard.push_back(event),
                }
            }
        };
        timeout(patience, wait).await.ok()
    }

    async fn must<T>(&mut self, what: &str, pick: impl Fn(&LinkEvent) -> Option<T>) -> T {
        let picked = self.next(what, PATIENCE, pick).await;
        picked.unwrap_or_else(|| panic!("never {what}; heard {:?}", self.heard))
    }

    pub(crate) async fn up(&mut self) {
        let outbox = self.must("up", |event| if let LinkEvent::Up { outbox, .. } = event { Some(outbox.clone()) } else { None });
        self.outbox = Some(outbox.await);
    }

    /// Why it went down.
    pub(crate) async fn down(&mut self) -> String {
        self.outbox = None;
        self.must("down", |event| if let LinkEvent::Down { reason } = event { Some(reason.clone()) } else { None }).await
    }

    pub(crate) fn put(&self, document: Vec<u8>) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.put(document))
    }

    /// Says something and hears the answer.
    pub(crate) async fn say(&mut self, upstream: Upstream) -> LogAck {
        assert!(self.put(encode(&upstream).unwrap()));
        self.answer().await
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> LogAck {
        let ack = self.must("an answer", |event| if let LinkEvent::Ack(bytes) = event { Some(bytes.clone()) } else { None }).await;
        decode(&ack).unwrap()
    }

    pub(crate) async fn desired(&mut self) -> DesiredState {
        let pick = |event: &LinkEvent| if let LinkEvent::Desired(bytes) = event { Some(bytes.clone()) } else { None };
        let envelope: Envelope = decode(&self.must("a desired state", pick).await).unwrap();
        decode(envelope.payload.as_bytes()).unwrap()
    }

    pub(crate) async fn command(&mut self) -> Command {
        let pick = |event: &LinkEvent| if let LinkEvent::Command(bytes) = event { Some(bytes.clone()) } else { None };
        let envelope: Envelope = decode(&self.must("a command", pick).await).unwrap();
        decode(envelope.payload.as_bytes()).unwrap()
    }

    /// Whether an answer comes within this time.
    pub(crate) async fn hears(&mut self, patience: Duration) -> bool {
        self.next("an answer", patience, |event| matches!(event, LinkEvent::Ack(_)).then_some(())).await.is_some()
    }

    /// Whether it comes up within this time.
    pub(crate) async fn comes_up(&mut self, patience: Duration) -> bool {
        self.next("up", patience, |event| matches!(event, LinkEvent::Up { .. }).then_some(())).await.is_some()
    }
}

/// A robot with a log, as the bridge runs it.
pub(crate) struct Bridge {
    pub(crate) recorder: Recorder,
    pub(crate) state: watch::Receiver<LinkState>,
    pump: JoinHandle<()>,
    _thread: LogThread,
    _folder: tempfile::TempDir,
}

impl Bridge {
    pub(crate) fn start(uplink: Box<dyn Uplink>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new().unwrap();
        let (log, thread) = LogHandle::open(folder.path(), edgeflow_edge_log::Options::default(), clock).unwrap();
        let state = watch::Sender::new(LinkState::default());
        let (documents, mut incoming) = mpsc::channel(4);
        tokio::spawn(async move { while incoming.recv().await.is_some() {} });
        let pump = Pump {
            backlog: log.clone(),
            ends: log.ends(),
            state: state.clone(),
            documents,
            timing: Timing { resend_after: Duration::from_secs(2), between_epochs: Duration::from_millis(50), ..Timing::default() },
            limits: Limits { max_entries: 50, max_bytes: 64 * 1024 },
            bandwidth: Bandwidth::unlimited(),
        };
        let recorder = Recorder::new(log, clock);
        Self { recorder, state: state.subscribe(), pump: tokio::spawn(pump.run(uplink)), _thread: thread, _folder: folder }
    }

    pub(crate) async fn produce(&self, class: Class, entries: usize) {
        for n in 0..entries {
            let body = FaultBody { source: "test".into(), message: n.to_string() };
            self.recorder.record_now(class, EntryBody::Fault(body)).await;
        }
    }

    /// Waits until the control plane answers by this uplink.
    pub(crate) async fn uses(&mut self, uplink: &str) {
        let state = self.state.wait_for(|state| state.connected && state.uplink == uplink);
        if timeout(PATIENCE, state).await.is_err() {
            panic!("{uplink} is never used: {:?}", self.state.borrow());
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.pump.abort();
    }
}
