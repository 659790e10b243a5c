//! Who gets in, and what they may touch.

use rumqttc::{
    ConnectionError, LastWill, QoS,
    mqttbytes::v4::{ConnectReturnCode, Packet},
};

use super::support::{Client, FakePort, PATIENCE, Raw, Seen, eventually, hello, start, start_default};
use crate::mqtt::{Gateway, GatewayError, Limits, Outcome};

#[tokio::test]
async fn a_robot_with_its_token_gets_in_and_others_are_told_why_not() {
    let server = start_default().await;
    Client::connect(server.address, "robot-1").await;

    type Change = fn(&mut rumqttc::MqttOptions) -> &mut rumqttc::MqttOptions;
    const REFUSED: ConnectReturnCode = ConnectReturnCode::BadUserNamePassword;
    let cases: [(&str, Change, ConnectReturnCode, Outcome); 10] = [
        ("robot-1", |o| o.set_credentials("robot-1", "wrong"), REFUSED, Outcome::BadCredentials),
        ("robot-1", |o| o.set_credentials("robot-1", ""), REFUSED, Outcome::BadCredentials),
        ("robot-1", |o| o.set_credentials("robot-1", "token-of-robot-2"), REFUSED, Outcome::BadCredentials),
        ("robot-1", |o| o.set_credentials("", ""), REFUSED, Outcome::BadCredentials),
        // A valid identity of its own does not make it another one.
        ("robot-1", |o| o.set_credentials("robot-2", "token-of-robot-2"), REFUSED, Outcome::BadCredentials),
        ("Robot/#", |o| o, ConnectReturnCode::BadClientId, Outcome::BadCredentials),
        ("+", |o| o, ConnectReturnCode::BadClientId, Outcome::BadCredentials),
        (
            "robot-1",
            |o| o.set_last_will(LastWill::new("edgeflow/targets/robot-2/deploy", "x", QoS::AtLeastOnce, true)),
            ConnectReturnCode::NotAuthorized,
            Outcome::AclViolation,
        ),
        // Nor does the one will that is taken: its own, that it is gone.
        (
            "robot-1",
            |o| o.set_last_will(LastWill::new("edgeflow/targets/robot-2/alive", "", QoS::AtLeastOnce, true)),
            ConnectReturnCode::NotAuthorized,
            Outcome::AclViolation,
        ),
        (
            "robot-1",
            |o| o.set_last_will(LastWill::new("edgeflow/targets/robot-1/alive", "x", QoS::AtLeastOnce, true)),
            ConnectReturnCode::NotAuthorized,
            Outcome::AclViolation,
        ),
    ];
    for (index, (name, change, code, outcome)) in cases.into_iter().enumerate() {
        let before = server.metrics.ended(outcome);
        let mut client = Client::with(server.address, name, change);
        match client.lost().await {
            ConnectionError::ConnectionRefused(refused) => assert_eq!(refused, code, "case {index}"),
            other => panic!("case {index}: {other:?}"),
        }
        eventually(|| server.metrics.ended(outcome) == before + 1).await;
    }
    let others =
        server.port.seen().iter().any(|seen| !matches!(seen, Seen::Connected(name) | Seen::Disconnected(name) if name == "robot-1"));
    assert!(!others, "{:?}", server.port.seen());
}

/// Every verb on every topic of the robot itself and of another one, wildcards included.
#[tokio::test]
async fn a_robot_reaches_its_six_topics_and_nothing_else() {
    let server = start_default().await;
    let mut topics: Vec<String> =
        ["#", "+", "+/+/+/+", "edgeflow/#", "$SYS/#", "$share/x/edgeflow/targets/robot-1/deploy", "other"].map(String::from).into();
    for name in ["robot-1", "robot-2", "+"] {
        for level in ["deploy", "deploy/ack", "telemetry", "telemetry/ack", "command", "command/ack", "alive", "#", "+", "telemetry/#"] {
            topics.push(format!("edgeflow/targets/{name}/{level}"));
        }
    }
    let may_publish = ["telemetry", "command/ack", "alive"].map(|level| format!("edgeflow/targets/robot-1/{level}"));
    let may_subscribe = ["edgeflow/targets/robot-1/deploy", "edgeflow/targets/robot-1/telemetry/ack", "edgeflow/targets/robot-1/command"];
    let payload = edgeflow_wire::encode(&hello("e")).unwrap();
    let mut violations = 0;
    for topic in &topics {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            for retain in [false, true] {
                let mut raw = Raw::robot(server.address, "robot-1", 60).await;
                let mut publish = rumqttc::Publish::new(topic.clone(), qos, payload.clone());
                (publish.retain, publish.pkid) = (retain, u16::from(qos == QoS::AtLeastOnce));
                raw.write(&Packet::Publish(publish)).await;
                if may_publish.contains(topic) {
                    raw.write(&Packet::PingReq).await;
                    let answer = raw.read().await.unwrap();
                    assert!(matches!(answer, Packet::PubAck(_) | Packet::PingResp), "{topic}: {answer:?}");
                } else {
                    raw.closed().await;
                    violations += 1;
                }
            }
        }
        let mut raw = Raw::robot(server.address, "robot-1", 60).await;
        let mut subscribe = rumqttc::Subscribe::new(topic.clone(), QoS::AtLeastOnce);
        subscribe.pkid = 1;
        raw.write(&Packet::Subscribe(subscribe)).await;
        if may_subscribe.contains(&topic.as_str()) {
            assert!(matches!(raw.read().await, Some(Packet::SubAck(_))), "{topic}");
        } else {
            assert_eq!(raw.read().await, None, "{topic}");
            violations += 1;
        }
    }
    eventually(|| server.metrics.ended(Outcome::AclViolation) == violations).await;
}

/// A list of filters is one request: one that is not allowed spoils it, and nothing of it is granted.
#[tokio::test]
async fn one_foreign_filter_among_own_ones_ends_the_connection() {
    let server = start_default().await;
    server.port.set_desired("robot-1", "{}");
    let mut raw = Raw::robot(server.address, "robot-1", 60).await;
    let mut subscribe = rumqttc::Subscribe::new("edgeflow/targets/robot-1/deploy", QoS::AtLeastOnce);
    subscribe.add("edgeflow/targets/robot-2/deploy".into(), QoS::AtLeastOnce).pkid = 1;
    raw.write(&Packet::Subscribe(subscribe)).await;
    assert_eq!(raw.read().await, None);
}

#[tokio::test]
async fn revocation_cuts_the_connection_at_once_and_keeps_the_robot_out() {
    let server = start_default().await;
    let mut one = Client::connect(server.address, "robot-1").await;
    let mut two = Client::connect(server.address, "robot-2").await;
    let before = std::time::Instant::now();
    server.port.revoke("robot-1");
    one.lost().await;
    assert!(before.elapsed().as_secs_f64() < 1.0, "{:?}", before.elapsed());
    assert!(matches!(one.lost().await, ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword)));
    eventually(|| server.metrics.ended(Outcome::Revoked) == 1).await;
    server.port.wait_for(|seen| seen.contains(&Seen::Disconnected("robot-1".into()))).await;
    two.subscribe("deploy").await;
}

#[tokio::test]
async fn a_connection_that_is_one_too_many_is_closed() {
    let server = start(FakePort::new(), Limits { max_connections: 2, ..Limits::default() }).await;
    let _one = Raw::robot(server.address, "robot-1", 60).await;
    let two = Raw::robot(server.address, "robot-2", 60).await;
    let mut three = Raw::open(server.address).await;
    assert_eq!(three.read().await, None);
    assert_eq!(server.metrics.ended(Outcome::TooMany), 1);
    drop(two);
    eventually(|| server.metrics.open() == 1).await;
    Client::connect(server.address, "robot-3").await;
}

#[tokio::test]
async fn only_a_free_loopback_port_is_accepted() {
    for address in ["0.0.0.0:0", "192.0.2.1:1883", "[::]:0"] {
        let error = Gateway::bind(address.parse().unwrap(), Limits::default(), None).await.err().unwrap();
        assert!(matches!(error, GatewayError::NotLoopback { .. }), "{address}: {error}");
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = Gateway::bind(taken.local_addr().unwrap(), Limits::default(), None).await.err().unwrap();
    let message = error.to_string();
    assert!(message.contains(&taken.local_addr().unwrap().to_string()) && message.contains("--mqtt-listen"), "{message}");
    assert!(tokio::time::timeout(PATIENCE, Gateway::bind("[::1]:0".parse().unwrap(), Limits::default(), None)).await.is_ok());
}
