//! What holds at a broker beyond the contract: who reads and writes what there, and what happens when it dies, is not told of
//! revocations, or is flooded.

use crate::{
    common::evaluation,
    world::{Bridge, CUT, Connection, PATIENCE, Proof, Way, World},
};
use edgeflow_core::{Principal, TargetName};
use edgeflow_identity::{Roots, Tunnel, client_config};
use edgeflow_wire::{Class, ClassPosition, Hello, Upstream, WIRE_VERSION, encode};
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS, Transport, v5};
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::time::timeout;

const LEAVES: [&str; 9] = ["deploy", "telemetry", "telemetry/ack", "command", "command/ack", "alive", "", "#", "+"];

fn topic(robot: &str, leaf: &str) -> String {
    format!("edgeflow/targets/{robot}/{leaf}")
}

/// A robot's first word, in this epoch of its log.
pub(crate) fn hello(epoch: &str) -> Upstream {
    let classes = Class::ALL.map(|class| ClassPosition { class, first_seq: 1, next_seq: 1 });
    let epoch = epoch.to_owned();
    Upstream::Hello(Hello { v: WIRE_VERSION, epoch, software: "test".into(), classes: classes.into(), t_us: 1, boot_us: 1 })
}

fn tunnel(world: &World, proof: &Proof) -> Tunnel {
    let (roots, pem) = (Roots::Ca(fs::read_to_string(&proof.ca).unwrap()), fs::read_to_string(&proof.pem).unwrap());
    let address = world.broker.as_ref().unwrap().address.to_string();
    Tunnel::open(&address, move || client_config(&roots, Some(&pem))).unwrap()
}

/// A client that says and asks for whatever it likes, and keeps what it hears.
struct Raw {
    client: AsyncClient,
    events: EventLoop,
    heard: Vec<String>,
    _tunnel: Tunnel,
}

impl Raw {
    async fn connect(world: &World, proof: &Proof, client_id: &str, will: Option<LastWill>) -> Self {
        let tunnel = tunnel(world, proof);
        let mut options = MqttOptions::new(client_id, tunnel.socket().display().to_string(), 0);
        options.set_transport(Transport::Unix).set_keep_alive(Duration::from_secs(60)).set_max_packet_size(2 << 20, 2 << 20);
        if let Some(will) = will {
            options.set_last_will(will);
        }
        let (client, mut events) = AsyncClient::new(options, 100);
        assert!(matches!(timeout(PATIENCE, events.poll()).await.unwrap().unwrap(), Event::Incoming(Packet::ConnAck(_))));
        Self { client, events, heard: Vec::new(), _tunnel: tunnel }
    }

    /// Polls until the broker answered so many of these.
    async fn answered(&mut self, mut count: usize, is: fn(&Packet) -> bool) {
        while count > 0 {
            match timeout(PATIENCE, self.events.poll()).await.unwrap().unwrap() {
                // An empty one takes away what was retained.
                Event::Incoming(Packet::Publish(publish)) if publish.payload.is_empty() => {}
                Event::Incoming(Packet::Publish(publish)) => self.heard.push(publish.topic),
                Event::Incoming(packet) if is(&packet) => count -= 1,
                _ => {}
            }
        }
    }

    async fn subscribe(&mut self, topic: &str) {
        self.client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
        self.answered(1, |packet| matches!(packet, Packet::SubAck(_))).await;
    }

    async fn publish(&mut self, topic: &str, retain: bool, payload: &[u8]) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).await.unwrap();
        self.answered(1, |packet| matches!(packet, Packet::PubAck(_))).await;
    }

    /// What it has heard once all that the broker had for it is here.
    async fn all_heard(&mut self) -> Vec<String> {
        self.client.subscribe("fence", QoS::AtLeastOnce).await.unwrap();
        self.answered(1, |packet| matches!(packet, Packet::SubAck(_))).await;
        std::mem::take(&mut self.heard)
    }
}

/// Whether a connection lasted long enough to hear what is retained; nothing may be.
async fn hears_nothing(world: &World, proof: &Proof) -> bool {
    let tunnel = tunnel(world, proof);
    let mut options = MqttOptions::new("robot-1", tunnel.socket().display().to_string(), 0);
    options.set_transport(Transport::Unix);
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe(topic("robot-1", "deploy"), QoS::AtLeastOnce).await.unwrap();
    client.subscribe("fence", QoS::AtLeastOnce).await.unwrap();
    let mut answered = 0;
    while answered < 2 {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => assert!(publish.payload.is_empty(), "{publish:?} is still retained"),
            Ok(Event::Incoming(Packet::SubAck(_))) => answered += 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Every verb on every topic of another, wills and wildcards included; 3.1.1 here, 5 below.
#[tokio::test(flavor = "multi_thread")]
async fn one_robot_neither_reads_nor_writes_what_is_anothers() {
    let (world, _) = World::with_broker(true).await;
    world.register().await;
    let (robot, thief) = (world.enrol("robot-2").await, world.enrol("robot-1").await);
    let proof = world.proof(&thief);
    // Its own client id or the other's: the broker goes by the certificate.
    let mut raw = Raw::connect(&world, &proof, "robot-2", None).await;
    let mut victim = world.connect(Way::Broker, &robot).await;
    let everything = ["#", "+/+/+/+", "edgeflow/#", "edgeflow/targets/+/deploy", "$share/g/edgeflow/targets/robot-2/deploy", "$SYS/#"];
    for filter in LEAVES.iter().map(|leaf| topic("robot-2", leaf)).chain(everything.map(str::to_owned)) {
        raw.subscribe(&filter).await;
    }
    for leaf in LEAVES.iter().filter(|leaf| !leaf.contains(['#', '+'])) {
        let forged = encode(&hello(&robot.epoch)).unwrap();
        raw.publish(&topic("robot-2", leaf), false, &forged).await;
        raw.publish(&topic("robot-2", leaf), true, b"").await;
        raw.publish(&topic("robot-2", leaf), true, &forged).await;
        // A will that is due: the connection is lost.
        let will = LastWill::new(topic("robot-2", leaf), if *leaf == "alive" { Vec::new() } else { forged }, QoS::AtLeastOnce, true);
        drop(Raw::connect(&world, &proof, "robot-1", Some(will)).await);
        raw = Raw::connect(&world, &proof, "robot-1", None).await;
        for filter in everything {
            raw.subscribe(filter).await;
        }
    }
    // What is the other's arrives there, once and from the control plane alone.
    let (status, body) = world.server.deploy("1", &["robot-2"]).await;
    assert!(status.is_success(), "{body}");
    assert_eq!(victim.desired().await.version.generation, 1);
    let ack = victim.say(hello(&robot.epoch)).await;
    assert_eq!(ack.epoch, robot.epoch);
    assert!(!victim.hears(Duration::from_millis(200)).await, "the forged ones were answered");
    assert_eq!(world.account("robot-2").await, (0, 0, 0, 0));
    assert_eq!(world.server.get("/targets/robot-2/log").await["refused_batches"], 0);
    assert_eq!(world.server.get("/targets/robot-2").await["online"], true);
    let heard = raw.all_heard().await;
    assert!(heard.is_empty(), "{heard:?}");
    // It does hear what is its own.
    let (status, _) = world.server.deploy("1", &["robot-1"]).await;
    assert!(status.is_success());
    timeout(PATIENCE, async {
        while raw.heard.is_empty() {
            if let Event::Incoming(Packet::Publish(publish)) = raw.events.poll().await.unwrap() {
                raw.heard.push(publish.topic);
            }
        }
    })
    .await
    .unwrap();
    assert!(raw.heard.iter().all(|heard| *heard == topic("robot-1", "deploy")), "{:?}", raw.heard);
    drop(raw);
    drop(victim);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_robot_neither_reads_nor_writes_what_is_anothers_in_mqtt_5() {
    let (world, _) = World::with_broker(true).await;
    world.register().await;
    let (robot, thief) = (world.enrol("robot-2").await, world.enrol("robot-1").await);
    let mut victim = world.connect(Way::Broker, &robot).await;
    let tunnel = tunnel(&world, &world.proof(&thief));
    let connect = |will: Option<v5::mqttbytes::v5::LastWill>| {
        let mut options = v5::MqttOptions::new("robot-2", tunnel.socket().display().to_string(), 0);
        options.set_transport(Transport::Unix);
        if let Some(will) = will {
            options.set_last_will(will);
        }
        v5::AsyncClient::new(options, 100)
    };
    let (client, mut events) = connect(None);
    let (mut heard, mut refused) = (Vec::new(), 0);
    let mut asked = 0;
    for leaf in LEAVES {
        client.subscribe(topic("robot-2", leaf), v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
        asked += 1;
        if leaf.contains(['#', '+']) {
            continue;
        }
        client.publish(topic("robot-2", leaf), v5::mqttbytes::QoS::AtLeastOnce, true, encode(&hello(&robot.epoch)).unwrap()).await.unwrap();
        let will = v5::mqttbytes::v5::LastWill::new(topic("robot-2", leaf), "x", v5::mqttbytes::QoS::AtLeastOnce, true, None);
        let (_other, mut others) = connect(Some(will));
        // Whether it is refused or let in: the will is due when it is gone.
        let _ = timeout(PATIENCE, others.poll()).await.unwrap();
    }
    let mut answered = 0;
    timeout(PATIENCE, async {
        // Each connection of the same name ends the one before, so this one comes again and asks again.
        while answered == 0 || refused == 0 {
            match events.poll().await {
                Ok(v5::Event::Incoming(v5::mqttbytes::v5::Packet::Publish(publish))) => heard.push(publish.topic),
                Ok(v5::Event::Incoming(v5::mqttbytes::v5::Packet::SubAck(_))) => answered += 1,
                Ok(v5::Event::Incoming(v5::mqttbytes::v5::Packet::PubAck(ack))) => {
                    assert_eq!(ack.reason, v5::mqttbytes::v5::PubAckReason::NotAuthorized);
                    refused += 1;
                }
                _ => {}
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{answered} of {asked} answered, {refused} refused"));
    let (status, body) = world.server.deploy("1", &["robot-2"]).await;
    assert!(status.is_success(), "{body}");
    assert_eq!(victim.desired().await.version.generation, 1);
    victim.say(hello(&robot.epoch)).await;
    assert!(!victim.hears(Duration::from_millis(200)).await, "the forged ones were answered");
    assert_eq!(world.account("robot-2").await, (0, 0, 0, 0));
    assert_eq!(world.server.get("/targets/robot-2").await["online"], true);
    assert!(heard.is_empty(), "{heard:?}");
    drop(victim);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_here_is_known_and_a_broker_that_dies_is_joined_again() {
    let (mut world, metrics) = World::with_broker(true).await;
    world.register().await;
    let robot = world.enrol("robot-1").await;
    let mut bridge = Bridge::start(world.uplink(Way::Broker, "robot-1", &world.proof(&robot)));
    bridge.uses("mqtt").await;
    world.until_online("robot-1", true).await;
    bridge.produce(Class::Event, 200).await;
    world.until_stored("robot-1", Class::Event, 200).await;
    world.broker.as_mut().unwrap().kill();
    world.until_online("robot-1", false).await;
    assert_eq!(metrics.robots(), 0);
    bridge.produce(Class::Event, 200).await;
    // Declared while there is no broker, and kept by none.
    world.server.deploy("1", &["robot-1"]).await;
    world.broker.as_mut().unwrap().start_again().await;
    world.until_online("robot-1", true).await;
    world.until_stored("robot-1", Class::Event, 400).await;
    assert_eq!(world.account("robot-1").await, (400, 0, 0, 0));
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=400).collect::<Vec<_>>());
    // The broker holds it for whoever comes.
    let mut another = world.connect(Way::Broker, &robot).await;
    assert_eq!(another.desired().await.version.generation, 1);
    drop((another, bridge));
    world.until_online("robot-1", false).await;
    world.stop().await;
}

/// The broker knows nothing of revocations here: the robot is thrown out whenever it comes, hears nothing and is not heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_robot_is_ignored_and_thrown_out_though_the_broker_lets_it_in() {
    let (world, metrics) = World::with_broker(false).await;
    world.register().await;
    let mut robot = world.enrol("robot-1").await;
    let mut connection = world.connect(Way::Broker, &robot).await;
    connection.say(hello(&robot.epoch)).await;
    world.server.deploy("1", &["robot-1"]).await;
    assert_eq!(connection.desired().await.version.generation, 1);
    world.server.app.revoke_target(&Principal::administrator(), &TargetName::new("robot-1").unwrap()).await.unwrap();
    timeout(CUT, connection.down()).await.expect("still connected");
    for _ in 0..3 {
        connection.up().await;
        let back = Instant::now();
        connection.put(encode(&Upstream::Batch(robot.append(Class::Event, vec![evaluation("sha256:aa", 0.5)]))).unwrap());
        timeout(CUT, connection.down()).await.unwrap_or_else(|_| panic!("in for {:?}", back.elapsed()));
    }
    assert_eq!(metrics.robots(), 0);
    drop(connection);
    // Nothing of it stays at the broker for whoever comes with that certificate.
    let proof = world.proof(&robot);
    timeout(PATIENCE, async {
        // What its last words of before bring about may still end one of these.
        while !hears_nothing(&world, &proof).await {}
    })
    .await
    .expect("its connections never last");
    // The name is given again: who comes may be the one before, since the broker was not told.
    let again = world.enrol("robot-1").await;
    assert_eq!(world.account("robot-1").await.0, 0, "what it said after it was revoked is not stored");
    let mut impostor = Connection::start(&*world.uplink(Way::Broker, "robot-1", &world.proof(&again)));
    impostor.up().await;
    impostor.put(encode(&hello(&again.epoch)).unwrap());
    assert!(!impostor.hears(Duration::from_millis(300)).await);
    drop(impostor);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_robot_delays_no_other_and_is_dropped_beyond_its_share() {
    let (world, metrics) = World::with_broker(true).await;
    let (robot, flooder) = (world.enrol("robot-1").await, world.enrol("robot-2").await);
    let mut connection = world.connect(Way::Broker, &robot).await;
    connection.say(hello(&robot.epoch)).await;
    let resident_kb = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (before_kb, broker_before_kb) = (resident_kb(), world.broker.as_ref().unwrap().resident_kb());
    // Four times as large as any that a bridge makes; nobody waits for their answers.
    let mut flood_robot = world.enrol("robot-3").await;
    let large = flood_robot.append(Class::Event, (0..2_000).map(|n| evaluation("sha256:aa", f64::from(n))).collect());
    let (large, topic) = (encode(&Upstream::Batch(large)).unwrap(), topic("robot-2", "telemetry"));
    let raw = Raw::connect(&world, &world.proof(&flooder), "robot-2", None).await;
    let Raw { client, mut events, _tunnel, .. } = raw;
    let polling = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let flooding = tokio::spawn(async move {
        let until = Instant::now() + Duration::from_secs(6);
        let mut sent = 0_u64;
        while Instant::now() < until && client.publish(&topic, QoS::AtMostOnce, false, large.clone()).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let mut slowest = Duration::ZERO;
    while !flooding.is_finished() {
        let asked = Instant::now();
        // As a bridge does: what is not answered is said again.
        connection.put(encode(&hello(&robot.epoch)).unwrap());
        while !connection.hears(Duration::from_millis(1_500)).await {
            assert!(asked.elapsed() < PATIENCE, "never answered");
            connection.put(encode(&hello(&robot.epoch)).unwrap());
        }
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let sent = flooding.await.unwrap();
    polling.abort();
    let (grown_kb, broker_grown_kb) =
        (resident_kb().saturating_sub(before_kb), world.broker.as_ref().unwrap().resident_kb().saturating_sub(broker_before_kb));
    let dropped = metrics.dropped();
    eprintln!(
        "{sent} sent, {dropped} dropped; another's slowest answer {slowest:?}; grown by {grown_kb} kB, the broker by {broker_grown_kb} kB"
    );
    assert!(sent > 200 && dropped > 0, "{sent} sent, {dropped} dropped: this was no flood");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(grown_kb < 400_000, "{grown_kb} kB");
    drop(connection);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_ends_the_connection_at_the_broker() {
    let (world, metrics) = World::with_broker(true).await;
    let robot = world.enrol("robot-1").await;
    // The control plane is there, too, when it answers.
    world.connect(Way::Broker, &robot).await.say(hello(&robot.epoch)).await;
    let mut raw = Raw::connect(&world, &world.proof(&robot), "robot-1", None).await;
    raw.publish(&topic("robot-1", "telemetry"), false, &vec![b' '; edgeflow_wire::MAX_DOCUMENT_BYTES]).await;
    let too_large = vec![b' '; edgeflow_wire::MAX_DOCUMENT_BYTES + 2_000];
    let mut raw = Raw::connect(&world, &world.proof(&robot), "robot-1", None).await;
    raw.client.publish(topic("robot-1", "telemetry"), QoS::AtLeastOnce, false, too_large).await.unwrap();
    timeout(PATIENCE, async { while raw.events.poll().await.is_ok() {} }).await.expect("it was let in");
    // The first one was let in, and was no document.
    let refused = async {
        while metrics.ended(edgeflow_server::mqtt::Outcome::BadDocument) == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
    world.stop().await;
}
