//! MQTT 5 in the words of 3.1.1: what robots need of it is the same, so one session serves both and this file translates.
//!
//! What 5 adds and a robot could use, it may use: reasons, properties, `Receive Maximum`, `Maximum Packet Size`. What would need memory
//! of ours (stored sessions, topic aliases, subscription identifiers, shared subscriptions, wildcards) is declared as not available
//! in CONNACK, and a client that uses it all the same is told so in DISCONNECT.

use bytes::{Buf, BytesMut};
use rumqttc::{
    mqttbytes::{Protocol, QoS, v4},
    v5::mqttbytes::{Error, QoS as QoS5, v5},
};
use std::collections::VecDeque;

use super::{metrics::Outcome, packets::End};

/// A DISCONNECT without a reason, which the codec does not read.
const GOODBYE: [u8; 2] = [0xe0, 0x00];
/// Most characters of a reason that is sent.
const MAX_REASON_CHARS: usize = 200;

/// The protocol level of a CONNECT, as soon as it has arrived.
pub(super) fn level(input: &[u8]) -> Option<u8> {
    // The length takes one to four bytes, the last of which is below 128.
    let length = input.get(1..)?.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    input.get(1 + length..)?.get(6).copied()
}

/// What a connection that speaks MQTT 5 agreed on.
pub(super) struct V5 {
    /// Largest packet we take, as told in CONNACK.
    takes_bytes: usize,
    /// Largest packet the client takes.
    max_bytes: usize,
    /// Most messages the client takes without acknowledging.
    receive_maximum: usize,
    /// How many filters each UNSUBSCRIBE had that waits for its answer.
    unsubscribed: VecDeque<usize>,
}

impl V5 {
    pub(super) fn new(takes_bytes: usize) -> Self {
        Self { takes_bytes, max_bytes: usize::MAX, receive_maximum: usize::from(u16::MAX), unsubscribed: VecDeque::new() }
    }

    pub(super) fn receive_maximum(&self) -> usize {
        self.receive_maximum
    }

    /// The next whole packet among the bytes that have arrived.
    pub(super) fn read(&mut self, input: &mut BytesMut, max_bytes: usize) -> Result<Option<v4::Packet>, End> {
        if input.starts_with(&GOODBYE) {
            input.advance(GOODBYE.len());
            return Ok(Some(v4::Packet::Disconnect));
        }
        let max = u32::try_from(max_bytes).unwrap_or(u32::MAX);
        match v5::Packet::read(input, Some(max)) {
            Ok(packet) => self.understand(packet).map(Some),
            Err(Error::InsufficientBytes(_)) => Ok(None),
            Err(Error::PayloadSizeLimitExceeded { pkt_size, max }) => Err(End::new(
                Outcome::PacketTooLarge,
                format!("a packet of {pkt_size} bytes is over the limit of {max}: send smaller batches"),
            )),
            Err(error) => Err(wrong(format!("not MQTT 5: {error}"))),
        }
    }

    fn understand(&mut self, packet: v5::Packet) -> Result<v4::Packet, End> {
        Ok(match packet {
            v5::Packet::Connect(connect, will, login) => v4::Packet::Connect(self.connect(connect, will, login)?),
            v5::Packet::Publish(publish) => {
                if publish.properties.as_ref().is_some_and(|properties| properties.topic_alias.is_some()) {
                    return Err(wrong("topic aliases are not available: the maximum is 0"));
                }
                v4::Packet::Publish(v4::Publish {
                    dup: publish.dup,
                    qos: from_v5(publish.qos),
                    retain: publish.retain,
                    topic: text(&publish.topic)?,
                    pkid: publish.pkid,
                    payload: publish.payload,
                })
            }
            v5::Packet::PubAck(ack) => v4::Packet::PubAck(v4::PubAck::new(ack.pkid)),
            v5::Packet::Subscribe(subscribe) => {
                if subscribe.properties.as_ref().is_some_and(|properties| properties.id.is_some()) {
                    return Err(wrong("subscription identifiers are not available"));
                }
                let filters = subscribe.filters.into_iter().map(|filter| v4::SubscribeFilter::new(filter.path, from_v5(filter.qos)));
                v4::Packet::Subscribe(v4::Subscribe { pkid: subscribe.pkid, filters: filters.collect() })
            }
            v5::Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribed.push_back(unsubscribe.filters.len());
                v4::Packet::Unsubscribe(v4::Unsubscribe { pkid: unsubscribe.pkid, topics: unsubscribe.filters })
            }
            v5::Packet::PingReq(_) => v4::Packet::PingReq,
            v5::Packet::Disconnect(_) => v4::Packet::Disconnect,
            other => {
                let kind = format!("{other:?}");
                return Err(wrong(format!("a robot does not send {} here", kind.split(['(', ' ']).next().unwrap_or_default())));
            }
        })
    }

    fn connect(&mut self, connect: v5::Connect, will: Option<v5::LastWill>, login: Option<v5::Login>) -> Result<v4::Connect, End> {
        if let Some(properties) = connect.properties {
            if properties.authentication_method.is_some() {
                return Err(wrong("extended authentication is not available: come with a certificate"));
            }
            self.receive_maximum = properties.receive_maximum.map_or(self.receive_maximum, usize::from);
            self.max_bytes = properties.max_packet_size.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(self.max_bytes);
        }
        let last_will = match will {
            Some(will) => {
                Some(v4::LastWill { topic: text(&will.topic)?, message: will.message, qos: from_v5(will.qos), retain: will.retain })
            }
            None => None,
        };
        Ok(v4::Connect {
            protocol: Protocol::V5,
            keep_alive: connect.keep_alive,
            client_id: connect.client_id,
            clean_session: connect.clean_start,
            last_will,
            login: login.map(|login| v4::Login { username: login.username, password: login.password }),
        })
    }

    /// Puts a packet behind what is still to be written.
    pub(super) fn write(&mut self, packet: &v4::Packet, output: &mut BytesMut) -> Result<(), End> {
        let packet = match packet {
            v4::Packet::ConnAck(ack) => v5::Packet::ConnAck(self.connack(ack)),
            v4::Packet::Publish(publish) => {
                let mut message = v5::Publish::new(publish.topic.clone(), to_v5(publish.qos), publish.payload.clone(), None);
                (message.retain, message.pkid, message.dup) = (publish.retain, publish.pkid, publish.dup);
                v5::Packet::Publish(message)
            }
            v4::Packet::PubAck(ack) => v5::Packet::PubAck(v5::PubAck::new(ack.pkid, None)),
            v4::Packet::SubAck(ack) => {
                let code = |code: &v4::SubscribeReasonCode| match code {
                    v4::SubscribeReasonCode::Success(qos) => v5::SubscribeReasonCode::Success(to_v5(*qos)),
                    v4::SubscribeReasonCode::Failure => v5::SubscribeReasonCode::NotAuthorized,
                };
                let return_codes = ack.return_codes.iter().map(code).collect();
                v5::Packet::SubAck(v5::SubAck { pkid: ack.pkid, return_codes, properties: None })
            }
            v4::Packet::UnsubAck(ack) => {
                let filters = self.unsubscribed.pop_front().unwrap_or(1);
                let reasons = vec![v5::UnsubAckReason::Success; filters];
                v5::Packet::UnsubAck(v5::UnsubAck { pkid: ack.pkid, reasons, properties: None })
            }
            v4::Packet::PingResp => v5::Packet::PingResp(v5::PingResp),
            other => return Err(End::new(Outcome::ServerError, format!("{other:?} is not for robots"))),
        };
        if packet.size() > self.max_bytes {
            let (bytes, most) = (packet.size(), self.max_bytes);
            return Err(End::new(Outcome::PacketTooLarge, format!("the client takes {most} bytes, and {bytes} are to be sent")));
        }
        encode(&packet, output)
    }

    fn connack(&self, ack: &v4::ConnAck) -> v5::ConnAck {
        let code = match ack.code {
            v4::ConnectReturnCode::Success => v5::ConnectReturnCode::Success,
            v4::ConnectReturnCode::RefusedProtocolVersion => v5::ConnectReturnCode::UnsupportedProtocolVersion,
            v4::ConnectReturnCode::BadClientId => v5::ConnectReturnCode::ClientIdentifierNotValid,
            v4::ConnectReturnCode::ServiceUnavailable => v5::ConnectReturnCode::ServerUnavailable,
            v4::ConnectReturnCode::BadUserNamePassword => v5::ConnectReturnCode::BadUserNamePassword,
            v4::ConnectReturnCode::NotAuthorized => v5::ConnectReturnCode::NotAuthorized,
        };
        let properties = (ack.code == v4::ConnectReturnCode::Success).then(|| v5::ConnAckProperties {
            session_expiry_interval: Some(0),
            receive_max: None,
            max_qos: Some(1),
            retain_available: None,
            max_packet_size: u32::try_from(self.takes_bytes).ok(),
            assigned_client_identifier: None,
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: Some(0),
            subscription_identifiers_available: Some(0),
            shared_subscription_available: Some(0),
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        });
        v5::ConnAck { session_present: false, code, properties }
    }

    /// Tells the client why its connection ends.
    pub(super) fn farewell(&self, end: &End, output: &mut BytesMut) -> Result<(), End> {
        let reason_code = match end.outcome {
            Outcome::BadTls | Outcome::BadCredentials | Outcome::AclViolation | Outcome::Revoked | Outcome::Expired => {
                v5::DisconnectReasonCode::NotAuthorized
            }
            Outcome::ProtocolError => v5::DisconnectReasonCode::ProtocolError,
            Outcome::PacketTooLarge => v5::DisconnectReasonCode::PacketTooLarge,
            Outcome::KeepAlive => v5::DisconnectReasonCode::KeepAliveTimeout,
            Outcome::SlowClient => v5::DisconnectReasonCode::ReceiveMaximumExceeded,
            Outcome::TakenOver => v5::DisconnectReasonCode::SessionTakenOver,
            Outcome::BadDocument => v5::DisconnectReasonCode::PayloadFormatInvalid,
            Outcome::TooMany => v5::DisconnectReasonCode::QuotaExceeded,
            Outcome::Shutdown => v5::DisconnectReasonCode::ServerShuttingDown,
            Outcome::Closed | Outcome::Broken | Outcome::HandshakeTimeout | Outcome::ServerError => {
                v5::DisconnectReasonCode::UnspecifiedError
            }
        };
        // What went wrong inside is for the log, not for whoever is connected.
        let reason = if end.outcome == Outcome::ServerError { "the control plane failed; its log says why" } else { &end.reason };
        let mut reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        if reason.is_empty() {
            "ended by the server".clone_into(&mut reason);
        }
        // The codec writes a DISCONNECT without properties too short, so it always has one.
        let properties = v5::DisconnectProperties {
            session_expiry_interval: None,
            reason_string: Some(reason),
            user_properties: Vec::new(),
            server_reference: None,
        };
        let packet = v5::Packet::Disconnect(v5::Disconnect { reason_code, properties: Some(properties) });
        if packet.size() > self.max_bytes { Ok(()) } else { encode(&packet, output) }
    }
}

fn encode(packet: &v5::Packet, output: &mut BytesMut) -> Result<(), End> {
    let written = packet.write(output, None).map(drop);
    written.map_err(|error| End::new(Outcome::ServerError, format!("could not encode a packet: {error}")))
}

fn wrong(reason: impl Into<String>) -> End {
    End::new(Outcome::ProtocolError, reason)
}

fn text(bytes: &[u8]) -> Result<String, End> {
    String::from_utf8(bytes.to_vec()).map_err(|_| wrong("a topic is not UTF-8"))
}

fn from_v5(qos: QoS5) -> QoS {
    match qos {
        QoS5::AtMostOnce => QoS::AtMostOnce,
        QoS5::AtLeastOnce => QoS::AtLeastOnce,
        QoS5::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn to_v5(qos: QoS) -> QoS5 {
    match qos {
        QoS::AtMostOnce => QoS5::AtMostOnce,
        QoS::AtLeastOnce => QoS5::AtLeastOnce,
        QoS::ExactlyOnce => QoS5::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    #[test]
    fn the_level_of_a_connect_is_found_as_soon_as_it_is_there() {
        for length in [&[0x10_u8][..], &[0x90, 0x01], &[0x90, 0x80, 0x01], &[0x90, 0x80, 0x80, 0x01]] {
            let connect = [&[0x10], length, &[0, 4, b'M', b'Q', b'T', b'T', 5, 2]].concat();
            for cut in 0..connect.len() {
                let known = (cut >= connect.len() - 1).then_some(5);
                assert_eq!(level(&connect[..cut]), known, "{length:?} cut at {cut}");
            }
        }
        assert_eq!(level(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    /// Seeded noise, and packets of every kind with bytes changed or missing: an error, or more is waited for, never a panic.
    #[test]
    fn no_bytes_make_the_codec_panic() {
        let mut random = SmallRng::seed_from_u64(5);
        for round in 0..200_000_u32 {
            let mut bytes: Vec<u8> = (0..random.random_range(2..80)).map(|_| random.random()).collect();
            if round % 4 != 0 {
                // A known kind, of a length that fits.
                bytes[0] = (random.random_range(1..=14) << 4) | [0, 2][random.random_range(0..2)];
                bytes[1] = (bytes.len() - 2) as u8;
            }
            if round % 8 == 1 && bytes.len() > 14 {
                bytes[0] = 0x10;
                bytes[2..9].copy_from_slice(&[0, 4, b'M', b'Q', b'T', b'T', 5]);
            }
            let _ = V5::new(1_000).read(&mut BytesMut::from(&bytes[..]), 1_000);
        }
    }
}
