//! Clients that are broken, slow or hostile: each costs itself its connection, and nobody else anything.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use rumqttc::{
    QoS,
    mqttbytes::v4::{Connect, Packet, PubAck, PubRel},
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

use super::support::{Client, FakePort, Raw, Seen, eventually, hello, start, start_default};
use crate::mqtt::{Limits, Outcome};

#[tokio::test]
async fn silence_instead_of_a_handshake_is_cut_and_delays_nobody() {
    let server = start(FakePort::new(), Limits { handshake_timeout: Duration::from_millis(300), ..Limits::default() }).await;
    let mut silent = Vec::new();
    for index in 0..50 {
        let mut raw = Raw::open(server.address).await;
        // Some say nothing, some begin a CONNECT and stop.
        raw.stream.write_all(&[0x10, 0x20, 0x00, 0x04, b'M'][..index % 6]).await.unwrap();
        silent.push(raw);
    }
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.subscribe("telemetry/ack").await;
    robot.send(&hello("x")).await;
    assert_eq!(robot.log_ack().await.epoch, "x");
    for mut raw in silent {
        raw.closed().await;
    }
    eventually(|| server.metrics.ended(Outcome::HandshakeTimeout) == 50).await;
}

#[tokio::test]
async fn a_half_open_connection_ends_by_keep_alive() {
    let server = start_default().await;
    let before = std::time::Instant::now();
    let mut raw = Raw::robot(server.address, "robot-1", 1).await;
    raw.closed().await;
    let waited = before.elapsed().as_secs_f64();
    assert!((1.4..5.0).contains(&waited), "{waited} s");
    eventually(|| server.metrics.ended(Outcome::KeepAlive) == 1).await;
    assert_eq!(server.port.seen(), [Seen::Connected("robot-1".into()), Seen::Disconnected("robot-1".into())]);
}

#[tokio::test]
async fn keep_alive_cannot_be_switched_off() {
    let server = start(FakePort::new(), Limits { max_keep_alive: Duration::from_millis(200), ..Limits::default() }).await;
    for keep_alive_s in [0, u16::MAX] {
        Raw::robot(server.address, "robot-1", keep_alive_s).await.closed().await;
    }
    eventually(|| server.metrics.ended(Outcome::KeepAlive) == 2).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_delays_nobody() {
    let server = start(FakePort::new(), Limits { write_timeout: Duration::from_millis(500), ..Limits::default() }).await;
    let mut slow = Raw::robot(server.address, "robot-1", 60).await;
    let mut subscribe = rumqttc::Subscribe::new("edgeflow/targets/robot-1/deploy", QoS::AtLeastOnce);
    subscribe.pkid = 1;
    slow.write(&Packet::Subscribe(subscribe)).await;
    assert!(matches!(slow.read().await, Some(Packet::SubAck(_))));
    // More than the sockets' buffers hold, and incompressible.
    let mut random = SmallRng::seed_from_u64(1);
    let mut large = vec![0; 14_000_000];
    random.fill(&mut large[..]);
    let large: String = large.into_iter().map(|byte: u8| char::from(b'0' + (byte & 63))).collect();
    server.port.set_desired("robot-1", &large);

    let mut robot = Client::connect(server.address, "robot-2").await;
    robot.subscribe("telemetry/ack").await;
    let mut rounds = 0;
    while server.metrics.ended(Outcome::SlowClient) == 0 {
        robot.send(&hello("x")).await;
        assert_eq!(robot.log_ack().await.epoch, "x");
        rounds += 1;
    }
    assert!(rounds > 10, "robot 2 got {rounds} answers while robot 1 did not read");
    server.port.wait_for(|seen| seen.contains(&Seen::Disconnected("robot-1".into()))).await;
}

#[tokio::test]
async fn a_client_that_never_acknowledges_is_cut() {
    let server = start(FakePort::new(), Limits { max_unacknowledged: 8, ..Limits::default() }).await;
    let mut raw = Raw::robot(server.address, "robot-1", 60).await;
    let mut subscribe = rumqttc::Subscribe::new("edgeflow/targets/robot-1/telemetry/ack", QoS::AtLeastOnce);
    subscribe.pkid = 1;
    raw.write(&Packet::Subscribe(subscribe)).await;
    let payload = edgeflow_wire::encode(&hello("x")).unwrap();
    for _ in 0..9 {
        raw.write(&Packet::Publish(rumqttc::Publish::new("edgeflow/targets/robot-1/telemetry", QoS::AtMostOnce, payload.clone()))).await;
    }
    let mut ids = Vec::new();
    while let Some(packet) = raw.read().await {
        if let Packet::Publish(publish) = packet {
            ids.push(publish.pkid);
        }
    }
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8]);
    eventually(|| server.metrics.ended(Outcome::SlowClient) == 1).await;
}

#[tokio::test]
async fn packets_over_the_limit_are_refused_before_they_are_read() {
    let server = start(FakePort::new(), Limits { max_packet_bytes: 10_000, ..Limits::default() }).await;
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.mqtt.publish(robot.topic("telemetry"), QoS::AtLeastOnce, false, vec![0; 10_001]).await.unwrap();
    robot.lost().await;
    eventually(|| server.metrics.ended(Outcome::PacketTooLarge) == 1).await;

    // The header alone is enough, and a stranger gets less than a robot.
    let mut raw = Raw::robot(server.address, "robot-2", 60).await;
    raw.stream.write_all(&[0x32, 0xff, 0xff, 0xff, 0x7f]).await.unwrap();
    raw.closed().await;
    let mut stranger = Raw::open(server.address).await;
    let mut connect = Connect::new("robot-3");
    connect.set_login("robot-3", "x".repeat(5_000));
    stranger.write(&Packet::Connect(connect)).await;
    stranger.closed().await;
    eventually(|| server.metrics.ended(Outcome::PacketTooLarge) == 3).await;
}

#[tokio::test]
async fn packets_that_have_no_place_here_end_the_connection() {
    let server = start_default().await;
    let mut qos2 = rumqttc::Publish::new("edgeflow/targets/robot-1/telemetry", QoS::ExactlyOnce, "x");
    qos2.pkid = 1;
    let packets = [Packet::Connect(Connect::new("robot-1")), Packet::Publish(qos2), Packet::PubRel(PubRel::new(1)), Packet::PingResp];
    let count = packets.len() as u64;
    for packet in packets {
        let mut raw = Raw::robot(server.address, "robot-1", 60).await;
        // An acknowledgement nobody waits for is harmless.
        raw.write(&Packet::PubAck(PubAck::new(77))).await;
        raw.write(&packet).await;
        assert_eq!(raw.read().await, None, "{packet:?}");
    }
    let mut first = Raw::open(server.address).await;
    first.write(&Packet::PingReq).await;
    assert_eq!(first.read().await, None);
    eventually(|| server.metrics.ended(Outcome::ProtocolError) == count + 1).await;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_not_acknowledged() {
    let server = start_default().await;
    let bomb = zstd_of_zeros();
    let documents: [&[u8]; 4] = [b"", b"not json", br#"{"type":"batch"}"#, &bomb];
    for (index, document) in documents.into_iter().enumerate() {
        let mut robot = Client::connect(server.address, "robot-1").await;
        robot.mqtt.publish(robot.topic("telemetry"), QoS::AtLeastOnce, false, document).await.unwrap();
        robot.lost().await;
        eventually(|| server.metrics.ended(Outcome::BadDocument) == index as u64 + 1).await;
    }
    assert!(!server.port.seen().iter().any(|seen| matches!(seen, Seen::Ingested(..))));
}

/// A few hundred bytes that unfold to more than the wire allows: a JSON string of 20 MB.
fn zstd_of_zeros() -> Vec<u8> {
    edgeflow_wire::encode(&"0".repeat(20_000_000)).unwrap()
}

/// Seeded noise, and valid packets with bytes flipped, before and after the handshake: no panic, no hang, and the next robot is served.
#[tokio::test]
async fn garbage_ends_its_connection_and_nothing_else() {
    let server = start(FakePort::new(), Limits { handshake_timeout: Duration::from_millis(200), ..Limits::default() }).await;
    let mut random = SmallRng::seed_from_u64(20);
    for round in 0..300_u32 {
        let mut raw = if round % 2 == 0 { Raw::open(server.address).await } else { Raw::robot(server.address, "robot-1", 60).await };
        let mut bytes: Vec<u8> = (0..random.random_range(1..200)).map(|_| random.random()).collect();
        if round % 3 == 0 {
            // A plausible SUBSCRIBE, PUBLISH or CONNECT with a length that fits, and noise inside.
            bytes[0] = [0x82, 0x32, 0x10][round as usize / 3 % 3];
            bytes.insert(1, 0x7f);
            bytes.resize(129, 0);
        }
        // The server may have closed already.
        let _ = raw.stream.write_all(&bytes).await;
        let _ = raw.stream.shutdown().await;
        raw.closed().await;
    }
    eventually(|| server.metrics.open() == 0).await;
    Client::connect(server.address, "robot-2").await.subscribe("deploy").await;
}
