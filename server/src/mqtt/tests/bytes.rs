//! Bytes that nobody meant: the packet path ends a connection for a reason of the client's, and never by a panic or without end.

use bytes::BytesMut;
use edgeflow_wire::{Batch, Class, Hello, Upstream, WIRE_VERSION, encode};
use proptest::{prelude::*, sample::Index};
use rumqttc::mqttbytes::{
    QoS,
    v4::{Connect, Login, Packet, PubAck, Publish, Subscribe, Unsubscribe},
};
use std::time::Duration;

use crate::mqtt::{Outcome, feed::feed};

fn fed(bytes: &[u8]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), feed(bytes)).await.expect("it never ended") })
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, usize::MAX).unwrap();
    bytes.to_vec()
}

/// What a robot sends, packet by packet.
fn packets() -> Vec<Vec<u8>> {
    let mut connect = Connect::new("robot-1");
    connect.login = Some(Login::new("robot-1", "t"));
    let topic = |level: &str| format!("edgeflow/targets/robot-1/{level}");
    let publish = |document: &Upstream| {
        let mut publish = Publish::new(topic("telemetry"), QoS::AtLeastOnce, encode(document).unwrap());
        publish.pkid = 7;
        Packet::Publish(publish)
    };
    let hello = Hello { v: WIRE_VERSION, epoch: "e".into(), software: "s".into(), classes: Vec::new(), t_us: 1, boot_us: 2 };
    let batch = Batch { v: WIRE_VERSION, epoch: "e".into(), class: Class::Event, loss: None, entries: Vec::new() };
    let mut subscribe = Subscribe::new(topic("deploy"), QoS::AtLeastOnce);
    subscribe.pkid = 1;
    let mut unsubscribe = Unsubscribe::new(topic("deploy"));
    unsubscribe.pkid = 2;
    let packets = [
        Packet::Connect(connect),
        Packet::Subscribe(subscribe),
        publish(&Upstream::Hello(hello)),
        Packet::PingReq,
        Packet::PubAck(PubAck::new(1)),
        publish(&Upstream::Batch(batch)),
        Packet::Unsubscribe(unsubscribe),
        Packet::Disconnect,
    ];
    packets.iter().map(written).collect()
}

#[test]
fn what_a_robot_sends_is_served_to_its_end() {
    assert_eq!(fed(&packets().concat()), Outcome::Closed);
    assert_eq!(fed(&[]), Outcome::Closed);
    assert_eq!(fed(&[0xf0, 0]), Outcome::ProtocolError);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_the_connection_for_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..300), after_connect in any::<bool>()) {
        let bytes = if after_connect { [packets()[0].as_slice(), &bytes].concat() } else { bytes };
        prop_assert_ne!(fed(&bytes), Outcome::ServerError);
    }

    #[test]
    fn packets_in_any_order_with_bytes_changed_or_missing_end_the_connection_for_a_reason(
        order in proptest::collection::vec(any::<Index>(), 0..12),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        cut in any::<Index>(),
    ) {
        let packets = packets();
        let mut bytes = packets[0].clone();
        for which in order {
            bytes.extend(which.get(&packets));
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(2 * bytes.len()).max(1));
        prop_assert_ne!(fed(&bytes), Outcome::ServerError);
    }
}
