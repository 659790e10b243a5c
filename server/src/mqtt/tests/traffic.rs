//! What well-behaved robots experience.

use edgeflow_wire::{AckOutcome, Envelope};
use std::pin::pin;
use tokio::{task::JoinSet, time::timeout};

use super::support::{Client, FakePort, PATIENCE, Raw, Seen, eventually, hello, start, start_default};
use crate::mqtt::{Limits, Outcome};
use rumqttc::{QoS, mqttbytes::v4::Packet};

fn ingested(seen: &[Seen]) -> Vec<&str> {
    seen.iter().filter_map(|seen| if let Seen::Ingested(_, epoch) = seen { Some(epoch.as_str()) } else { None }).collect()
}

#[tokio::test]
async fn a_document_is_ingested_then_acknowledged_twice() {
    let server = start_default().await;
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.subscribe("telemetry/ack").await;
    robot.send(&hello("first")).await;
    let mut puback = false;
    let topic = robot.topic("telemetry/ack");
    let packet = robot
        .incoming(|packet| {
            puback |= matches!(packet, Packet::PubAck(_));
            matches!(packet, Packet::Publish(publish) if publish.topic == topic)
        })
        .await;
    let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
    assert_eq!((publish.qos, publish.retain), (QoS::AtLeastOnce, false));
    let ack: edgeflow_wire::LogAck = edgeflow_wire::decode(&publish.payload).unwrap();
    assert_eq!((ack.epoch.as_str(), ack.outcome), ("first", AckOutcome::Accepted));
    assert!(puback);
    assert_eq!(server.port.seen(), [Seen::Connected("robot-1".into()), Seen::Ingested("robot-1".into(), "first".into())]);
}

/// Nothing is acknowledged before it is durable, order is kept, and pings are answered meanwhile.
#[tokio::test]
async fn documents_wait_for_their_turn_without_stopping_the_heartbeat() {
    let port = FakePort::gated();
    let server = start(port, Limits::default()).await;
    let mut raw = Raw::robot(server.address, "robot-1", 60).await;
    for index in 1..=50_u16 {
        let payload = edgeflow_wire::encode(&hello(&index.to_string())).unwrap();
        let mut publish = rumqttc::Publish::new("edgeflow/targets/robot-1/telemetry", QoS::AtLeastOnce, payload);
        publish.pkid = index;
        raw.write(&Packet::Publish(publish)).await;
    }
    raw.write(&Packet::PingReq).await;
    assert_eq!(raw.read().await, Some(Packet::PingResp), "an acknowledgement came before its document was durable");
    server.port.allow(50);
    for index in 1..=50_u16 {
        assert!(matches!(raw.read().await, Some(Packet::PubAck(ack)) if ack.pkid == index));
    }
    let expected: Vec<String> = (1..=50).map(|index: u16| index.to_string()).collect();
    assert_eq!(ingested(&server.port.seen()), expected);
}

/// A robot that sends faster than its documents are taken waits in its own socket, and loses nothing.
#[tokio::test]
async fn what_a_robot_sends_too_fast_stays_outside_and_arrives_in_order() {
    let port = FakePort::gated();
    let server = start(port, Limits { max_pending_messages: 4, ..Limits::default() }).await;
    let mut robot = Client::with(server.address, "robot-1", |options| options.set_inflight(200));
    robot.subscribe("telemetry/ack").await;
    for index in 0..200 {
        robot.send(&hello(&index.to_string())).await;
    }
    let mut other = Client::connect(server.address, "robot-2").await;
    other.subscribe("telemetry/ack").await;
    // One is being ingested, four wait, and up to one read's worth of packets is in the buffer: the counter stands still.
    let driver = tokio::spawn(async move {
        for index in 0..200 {
            assert_eq!(robot.log_ack().await.epoch, index.to_string());
        }
    });
    eventually(|| server.metrics.telemetry.get() == 5).await;
    server.port.allow(1);
    server.port.wait_for(|seen| ingested(seen).len() == 1).await;
    eventually(|| server.metrics.telemetry.get() == 6).await;
    server.port.allow(199);
    timeout(PATIENCE, driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn desired_state_is_there_on_subscribing_and_again_when_it_changes() {
    let server = start_default().await;
    let mut early = Client::connect(server.address, "robot-2").await;
    early.subscribe("deploy").await;

    server.port.set_desired("robot-1", "generation 1");
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.subscribe("deploy").await;
    let first = robot.message("deploy").await;
    assert!(first.retain);
    assert_eq!(edgeflow_wire::decode::<Envelope>(&first.payload).unwrap().payload, "generation 1");

    server.port.set_desired("robot-1", "generation 2");
    let second = robot.message("deploy").await;
    assert!(!second.retain);
    assert_eq!(edgeflow_wire::decode::<Envelope>(&second.payload).unwrap().payload, "generation 2");

    // Robot 2 had none when it subscribed, and what it gets first is its own.
    server.port.set_desired("robot-2", "its own");
    assert_eq!(edgeflow_wire::decode::<Envelope>(&early.message("deploy").await.payload).unwrap().payload, "its own");

    robot.mqtt.unsubscribe(robot.topic("deploy")).await.unwrap();
    robot.incoming(|packet| matches!(packet, Packet::UnsubAck(_))).await;
    server.port.set_desired("robot-1", "generation 3");
    robot.subscribe("telemetry/ack").await;
    robot.send(&hello("x")).await;
    let next = robot.incoming(|packet| matches!(packet, Packet::Publish(_))).await;
    assert!(matches!(next, Packet::Publish(publish) if publish.topic.ends_with("telemetry/ack")), "unsubscribed and still told");
}

#[tokio::test]
async fn a_new_connection_takes_over_and_the_robot_stays_online() {
    let port = FakePort::gated();
    let server = start(port, Limits::default()).await;
    let mut old = Client::connect(server.address, "robot-1").await;
    old.send(&hello("old")).await;
    old.events.poll().await.unwrap();
    eventually(|| server.metrics.telemetry.get() == 1).await;

    let mut new = Client::with(server.address, "robot-1", |o| o);
    // The old one is cut at once; the new one's turn comes when the document of the old one is through, so that order
    // holds across connections.
    {
        let mut connecting = pin!(new.incoming(|packet| matches!(packet, Packet::ConnAck(_))));
        tokio::select! {
            packet = &mut connecting => panic!("{packet:?} before its turn"),
            _ = old.lost() => {}
        }
        server.port.allow(2);
        connecting.await;
    }
    new.subscribe("telemetry/ack").await;
    new.send(&hello("new")).await;
    assert_eq!(new.log_ack().await.epoch, "new");
    let online = Seen::Connected("robot-1".into());
    let ingested = |epoch: &str| Seen::Ingested("robot-1".into(), epoch.into());
    assert_eq!(server.port.seen(), [online.clone(), ingested("old"), online, ingested("new")]);
    assert_eq!((server.metrics.ended(Outcome::TakenOver), server.metrics.robots()), (1, 1));
}

#[tokio::test]
async fn a_robot_that_leaves_or_breaks_off_is_offline() {
    let server = start_default().await;
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.mqtt.disconnect().await.unwrap();
    robot.lost().await;
    server.port.wait_for(|seen| seen.ends_with(&[Seen::Disconnected("robot-1".into())])).await;
    drop(Client::connect(server.address, "robot-2").await);
    server.port.wait_for(|seen| seen.ends_with(&[Seen::Disconnected("robot-2".into())])).await;
    eventually(|| server.metrics.open() == 0).await;
    assert_eq!(server.metrics.robots(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_robots_are_served_at_once() {
    let server = start_default().await;
    let mut robots = JoinSet::new();
    for index in 0..200 {
        let address = server.address;
        robots.spawn(async move {
            let mut robot = Client::connect(address, &format!("robot-{index}")).await;
            robot.subscribe("telemetry/ack").await;
            robot.subscribe("deploy").await;
            for round in 0..5 {
                let epoch = format!("{index}-{round}");
                robot.send(&hello(&epoch)).await;
                assert_eq!(robot.log_ack().await.epoch, epoch);
            }
            robot
        });
    }
    let mut robots = robots.join_all().await;
    assert_eq!(server.metrics.robots(), 200);
    for robot in &robots {
        server.port.set_desired(&robot.name, &robot.name);
    }
    for robot in &mut robots {
        let envelope: Envelope = edgeflow_wire::decode(&robot.message("deploy").await.payload).unwrap();
        assert_eq!(envelope.payload, robot.name);
    }
    drop(robots);
    eventually(|| server.metrics.open() == 0).await;
}

#[tokio::test]
async fn shutting_down_finishes_what_is_being_ingested() {
    let port = FakePort::gated();
    let server = start(port, Limits::default()).await;
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.send(&hello("last")).await;
    robot.events.poll().await.unwrap();
    eventually(|| server.metrics.telemetry.get() == 1).await;
    server.shutdown.cancel();
    robot.lost().await;
    server.port.allow(1);
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(ingested(&server.port.seen()), ["last"]);
    assert_eq!(server.port.seen().last(), Some(&Seen::Disconnected("robot-1".into())));
}

#[tokio::test]
async fn a_control_plane_that_fails_acknowledges_nothing() {
    let server = start(FakePort::broken(), Limits::default()).await;
    let mut robot = Client::connect(server.address, "robot-1").await;
    robot.subscribe("telemetry/ack").await;
    robot.send(&hello("x")).await;
    robot.lost().await;
    eventually(|| server.metrics.ended(Outcome::ServerError) == 1).await;
}

#[tokio::test]
async fn commands_are_delivered_to_their_robot_once_a_connection_and_bring_no_desired_state_again() {
    let server = start_default().await;
    server.port.set_desired("robot-1", "one");
    server.port.give("robot-1", "first");
    server.port.give("robot-2", "another robot's");
    let payload = |packet: Packet| {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        let envelope: Envelope = edgeflow_wire::decode(&publish.payload).unwrap();
        (publish.topic.rsplit('/').next().unwrap().to_owned(), envelope.payload)
    };
    let mut expected = vec!["first".to_owned()];
    for connection in 0..2 {
        let mut robot = Client::connect(server.address, "robot-1").await;
        robot.subscribe("command").await;
        for command in &expected {
            let heard = payload(robot.incoming(|packet| matches!(packet, Packet::Publish(_))).await);
            assert_eq!(heard, ("command".to_owned(), command.clone()));
        }
        robot.subscribe("deploy").await;
        let heard = payload(robot.incoming(|packet| matches!(packet, Packet::Publish(_))).await);
        assert_eq!(heard, ("deploy".to_owned(), "one".to_owned()));
        let next = format!("next {connection}");
        server.port.give("robot-1", &next);
        let heard = payload(robot.incoming(|packet| matches!(packet, Packet::Publish(_))).await);
        assert_eq!(heard, ("command".to_owned(), next.clone()), "and nothing that was heard before");
        expected.push(next);
    }
}
