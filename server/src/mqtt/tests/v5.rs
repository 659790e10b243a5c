//! MQTT 5: the same robots, the same rules, and a reason in words when a connection ends.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{
        Connect, ConnectProperties, ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, Login, Packet, PubAckReason, Publish,
        PublishProperties, Subscribe, SubscribeProperties, SubscribeReasonCode, UnsubAckReason, Unsubscribe,
    },
};
use std::{net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::support::{FakePort, PATIENCE, eventually, hello, start, start_default};
use crate::mqtt::{Limits, Outcome};

/// A socket that speaks MQTT 5.
struct Raw {
    stream: TcpStream,
    input: BytesMut,
}

impl Raw {
    async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), input: BytesMut::new() }
    }

    async fn connect(address: SocketAddr, name: &str, properties: Option<ConnectProperties>, will: Option<LastWill>) -> (Self, Packet) {
        let mut raw = Self::open(address).await;
        let connect = Connect { keep_alive: 60, client_id: name.to_owned(), clean_start: true, properties };
        raw.write(&Packet::Connect(connect, will, Some(Login::new(name, format!("token-of-{name}"))))).await;
        let answer = raw.read().await.expect("an answer to CONNECT");
        (raw, answer)
    }

    async fn robot(address: SocketAddr, name: &str) -> Self {
        let (raw, answer) = Self::connect(address, name, None, None).await;
        assert!(matches!(&answer, Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success), "{answer:?}");
        raw
    }

    async fn write(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next packet; `None` when the server has closed.
    async fn read(&mut self) -> Option<Packet> {
        loop {
            if let Ok(packet) = Packet::read(&mut self.input, None) {
                return Some(packet);
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await.expect("the server neither wrote nor closed") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The reason it is disconnected with; the connection is closed then.
    async fn disconnected(&mut self) -> (DisconnectReasonCode, String) {
        let mut last = None;
        while let Some(packet) = self.read().await {
            last = Some(packet);
        }
        match last {
            Some(Packet::Disconnect(said)) => (said.reason_code, said.properties.unwrap().reason_string.unwrap()),
            other => panic!("closed after {other:?}"),
        }
    }
}

fn publish(topic: &str, payload: Vec<u8>, properties: Option<PublishProperties>) -> Packet {
    let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, properties);
    publish.pkid = 7;
    Packet::Publish(publish)
}

fn subscribe(topics: &[&str], properties: Option<SubscribeProperties>) -> Packet {
    let mut subscribe = Subscribe::new_many(topics.iter().map(|topic| Filter::new(*topic, QoS::ExactlyOnce)), properties);
    subscribe.pkid = 3;
    Packet::Subscribe(subscribe)
}

#[tokio::test]
async fn a_robot_does_with_mqtt_5_what_it_does_with_3() {
    let server = start_default().await;
    server.port.set_desired("robot-1", "{}");
    let (mut raw, answer) = Raw::connect(server.address, "robot-1", None, None).await;
    let Packet::ConnAck(ack) = answer else { panic!("{answer:?}") };
    let offered = ack.properties.unwrap();
    assert_eq!((offered.max_qos, offered.session_expiry_interval, offered.wildcard_subscription_available), (Some(1), Some(0), Some(0)));
    assert_eq!(offered.max_packet_size, Some(1024 * 1024));
    raw.write(&subscribe(&["edgeflow/targets/robot-1/deploy", "edgeflow/targets/robot-1/telemetry/ack"], None)).await;
    let Some(Packet::SubAck(ack)) = raw.read().await else { panic!("no SUBACK") };
    assert_eq!(ack.return_codes, [SubscribeReasonCode::Success(QoS::AtLeastOnce); 2]);
    let Some(Packet::Publish(desired)) = raw.read().await else { panic!("no desired state") };
    assert_eq!((&desired.topic[..], desired.retain), (&b"edgeflow/targets/robot-1/deploy"[..], true));
    raw.write(&publish("edgeflow/targets/robot-1/telemetry", edgeflow_wire::encode(&hello("e5")).unwrap(), None)).await;
    let Some(Packet::PubAck(ack)) = raw.read().await else { panic!("no PUBACK") };
    assert_eq!((ack.pkid, ack.reason), (7, PubAckReason::Success));
    let Some(Packet::Publish(answer)) = raw.read().await else { panic!("no acknowledgement") };
    assert_eq!(edgeflow_wire::decode::<edgeflow_wire::LogAck>(&answer.payload).unwrap().epoch, "e5");
    let mut leave = Unsubscribe::new("edgeflow/targets/robot-1/deploy", None);
    leave.filters.push("edgeflow/targets/robot-1/command".into());
    leave.pkid = 9;
    raw.write(&Packet::Unsubscribe(leave)).await;
    let Some(Packet::UnsubAck(ack)) = raw.read().await else { panic!("no UNSUBACK") };
    assert_eq!(ack.reasons, [UnsubAckReason::Success; 2], "one for each filter");
    raw.write(&Packet::PingReq(rumqttc::v5::mqttbytes::v5::PingReq)).await;
    assert!(matches!(raw.read().await, Some(Packet::PingResp(_))));
    // The shortest goodbye there is.
    raw.stream.write_all(&[0xe0, 0x00]).await.unwrap();
    assert_eq!(raw.read().await, None);
    eventually(|| server.metrics.ended(Outcome::Closed) == 1).await;
}

#[tokio::test]
async fn a_robot_reaches_its_own_topics_only_and_is_told_so() {
    let server = start_default().await;
    let own = |level: &str| format!("edgeflow/targets/robot-1/{level}");
    let mut topics: Vec<String> = ["#", "edgeflow/#", "$share/g/edgeflow/targets/robot-1/deploy"].map(String::from).into();
    for name in ["robot-1", "robot-2", "+"] {
        for level in ["deploy", "deploy/ack", "telemetry", "telemetry/ack", "command", "command/ack", "#"] {
            topics.push(format!("edgeflow/targets/{name}/{level}"));
        }
    }
    let (publishes, subscribes) = ([own("telemetry"), own("command/ack")], [own("deploy"), own("telemetry/ack"), own("command")]);
    let payload = edgeflow_wire::encode(&hello("e")).unwrap();
    for topic in &topics {
        if !publishes.contains(topic) {
            let mut raw = Raw::robot(server.address, "robot-1").await;
            raw.write(&publish(topic, payload.clone(), None)).await;
            let (code, reason) = raw.disconnected().await;
            assert!(
                code == DisconnectReasonCode::NotAuthorized && reason.contains("may not publish") && reason.contains(topic),
                "{topic}: {code:?} {reason}"
            );
        }
        if !subscribes.contains(topic) {
            let mut raw = Raw::robot(server.address, "robot-1").await;
            raw.write(&subscribe(&[topic], None)).await;
            let (code, reason) = raw.disconnected().await;
            assert!(
                code == DisconnectReasonCode::NotAuthorized && reason.contains("may not subscribe") && reason.contains(topic),
                "{topic}: {code:?} {reason}"
            );
        }
        let will = LastWill::new(topic.clone(), "x", QoS::AtLeastOnce, true, None);
        let (_raw, answer) = Raw::connect(server.address, "robot-1", None, Some(will)).await;
        assert!(matches!(&answer, Packet::ConnAck(ack) if ack.code == ConnectReturnCode::NotAuthorized), "{topic}: {answer:?}");
    }
    let mut stranger = Raw::open(server.address).await;
    let connect = Connect { keep_alive: 60, client_id: "robot-1".into(), clean_start: true, properties: None };
    stranger.write(&Packet::Connect(connect, None, Some(Login::new("robot-1", "wrong")))).await;
    let answer = stranger.read().await;
    assert!(matches!(&answer, Some(Packet::ConnAck(ack)) if ack.code == ConnectReturnCode::BadUserNamePassword), "{answer:?}");
}

#[tokio::test]
async fn what_is_not_available_is_refused_with_its_reason() {
    let server = start(FakePort::new(), Limits { max_packet_bytes: 10_000, ..Limits::default() }).await;
    let alias = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
    let id = SubscribeProperties { id: Some(5), user_properties: Vec::new() };
    let cases = [
        (publish("edgeflow/targets/robot-1/telemetry", vec![1], Some(alias)), DisconnectReasonCode::ProtocolError, "alias"),
        (subscribe(&["edgeflow/targets/robot-1/deploy"], Some(id)), DisconnectReasonCode::ProtocolError, "identifiers"),
        (publish("edgeflow/targets/robot-1/telemetry", vec![1; 10_001], None), DisconnectReasonCode::PacketTooLarge, "10000"),
        (publish("edgeflow/targets/robot-1/telemetry", b"not a document".to_vec(), None), DisconnectReasonCode::PayloadFormatInvalid, ""),
    ];
    for (packet, code, says) in cases {
        let mut raw = Raw::robot(server.address, "robot-1").await;
        raw.write(&packet).await;
        let (said, reason) = raw.disconnected().await;
        assert!(said == code && reason.contains(says), "{said:?} {reason}");
    }
    // Nor does it send more than is taken.
    server.port.set_desired("robot-2", &"x".repeat(5_000));
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(64);
    let (mut raw, answer) = Raw::connect(server.address, "robot-2", Some(properties), None).await;
    assert!(matches!(&answer, Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success), "{answer:?}");
    raw.write(&subscribe(&["edgeflow/targets/robot-2/deploy"], None)).await;
    assert!(matches!(raw.read().await, Some(Packet::SubAck(_))));
    assert_eq!(raw.disconnected().await.0, DisconnectReasonCode::PacketTooLarge);
    eventually(|| server.metrics.ended(Outcome::PacketTooLarge) == 2).await;
}

#[tokio::test]
async fn a_revoked_robot_and_one_that_is_replaced_hear_why() {
    let server = start_default().await;
    let mut first = Raw::robot(server.address, "robot-1").await;
    let mut second = Raw::robot(server.address, "robot-1").await;
    assert_eq!(first.disconnected().await.0, DisconnectReasonCode::SessionTakenOver);
    let before = Instant::now();
    server.port.revoke("robot-1");
    let (code, reason) = second.disconnected().await;
    assert!(code == DisconnectReasonCode::NotAuthorized && reason.contains("Revoked"), "{code:?} {reason}");
    assert!(before.elapsed().as_secs_f64() < 1.0, "{:?}", before.elapsed());
}
