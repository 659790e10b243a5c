//! A client with a robot's token that sends what the robot sent before: each document twice and in any order. It takes the place of the
//! robot's own connection, as a second copy of the robot would.

use bytes::BytesMut;
use edgeflow_wire::Topics;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use std::net::SocketAddr;
use std::time::Duration;

/// Most documents of one replay.
const DOCUMENTS: usize = 40;
/// Largest packet, bytes: the gateway's limit.
const MAX_PACKET: usize = 1024 * 1024;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The documents in what a robot's connections sent.
pub(super) fn documents(robot: &str, connections: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let Ok(topics) = Topics::new(robot) else { return Vec::new() };
    let mut documents = Vec::new();
    for sent in connections {
        let mut bytes = BytesMut::from(sent.as_slice());
        while let Ok(packet) = Packet::read(&mut bytes, MAX_PACKET) {
            if let Packet::Publish(publish) = packet
                && publish.topic == topics.telemetry()
            {
                documents.push(publish.payload.to_vec());
            }
        }
    }
    documents
}

/// Sends documents, doubled and out of order; gives how many the broker took.
pub(super) async fn replay(robot: &str, token: &str, broker: SocketAddr, mut documents: Vec<Vec<u8>>, seed: u64) -> usize {
    let mut chance = StdRng::seed_from_u64(seed);
    documents.shuffle(&mut chance);
    documents.truncate(DOCUMENTS);
    let mut doubled: Vec<Vec<u8>> = documents.iter().chain(&documents).cloned().collect();
    if chance.random() {
        doubled.shuffle(&mut chance);
    }
    let Ok(topics) = Topics::new(robot) else { return 0 };
    let mut options = MqttOptions::new(robot, broker.ip().to_string(), broker.port());
    options.set_credentials(robot, token).set_clean_session(true).set_keep_alive(Duration::from_secs(30));
    options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    let (client, mut events) = AsyncClient::new(options, 2 * DOCUMENTS + 2);
    let count = doubled.len();
    for document in doubled {
        if client.try_publish(topics.telemetry(), QoS::AtLeastOnce, false, document).is_err() {
            return 0;
        }
    }
    let mut taken = 0;
    let sending = async {
        while taken < count {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => taken += 1,
                Ok(_) => {}
                // The robot took its place back, or the network is as networks are here.
                Err(error) => return tracing::debug!(robot, %error, "a replay was cut short"),
            }
        }
    };
    drop(tokio::time::timeout(PATIENCE, sending).await);
    taken
}
