//! The wire over MQTT 3.1.1: one connection at a time, each with a client of its own, so that nothing an old one still
//! held can surface on a new one. QoS 1 keeps order and finds dead links; that something arrived, only the control plane
//! itself can say.

use edgeflow_identity::Tunnel;
use edgeflow_wire::Topics;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Packet, QoS, SubscribeFilter,
    SubscribeReasonCode, Transport,
};
use std::{fmt, net::IpAddr, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use crate::{
    Backoff, Link, LinkEvent, Outbox, Uplink, UplinkError,
    link::{Connect, NOBODY_LISTENS, keep_connected},
};

/// Largest document from the control plane, bytes: as large as the wire lets one unfold.
const MAX_INCOMING_BYTES: usize = edgeflow_wire::MAX_DECODED_BYTES;

/// Where the broker is and who connects.
#[derive(Clone)]
pub struct MqttConfig {
    /// `host:port`; without a tunnel on this machine.
    pub address: String,
    /// The way through TLS, with the robot's certificate. It leads to `address`.
    pub tunnel: Option<Tunnel>,
    /// The robot's name: client id and user name.
    pub robot: String,
    /// The robot's token: the password. Not used in a tunnel.
    pub token: String,
    /// After this much silence the broker is asked whether it is there; after as much again the link counts as dead.
    pub keep_alive: Duration,
    /// First delay before connecting again.
    pub retry_first: Duration,
    /// Longest delay before connecting again.
    pub retry_cap: Duration,
}

impl MqttConfig {
    /// The usual patience: 5 s of silence, retries from 100 ms to 3 s.
    pub fn new(address: impl Into<String>, robot: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            robot: robot.into(),
            token: token.into(),
            tunnel: None,
            keep_alive: Duration::from_secs(5),
            retry_first: Duration::from_millis(100),
            retry_cap: Duration::from_secs(3),
        }
    }
}

impl fmt::Debug for MqttConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttConfig").field("address", &self.address).field("robot", &self.robot).finish_non_exhaustive()
    }
}

/// MQTT as an uplink.
#[derive(Debug, Clone)]
pub struct Mqtt {
    config: MqttConfig,
    host: String,
    port: u16,
    topics: Topics,
}

impl Mqtt {
    /// Checks the configuration; connecting begins with [`Uplink::start`].
    ///
    /// # Errors
    /// An address that is malformed or not on this machine, or a name that is not a robot's.
    pub fn new(config: MqttConfig) -> Result<Self, UplinkError> {
        let topics = Topics::new(&config.robot)?;
        let malformed = || UplinkError::Address { address: config.address.clone() };
        let (host, port) = config.address.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().map_err(|_| malformed())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !loopback && config.tunnel.is_none() {
            return Err(UplinkError::NotLoopback { uplink: Self::NAME, address: config.address.clone() });
        }
        Ok(Self { config, host, port, topics })
    }

    fn client(&self) -> (AsyncClient, EventLoop) {
        let mut options = match &self.config.tunnel {
            Some(tunnel) => {
                let mut options = MqttOptions::new(&self.config.robot, tunnel.socket().display().to_string(), 0);
                options.set_transport(Transport::Unix);
                options
            }
            None => {
                let mut options = MqttOptions::new(&self.config.robot, &self.host, self.port);
                options.set_credentials(&self.config.robot, &self.config.token);
                options
            }
        };
        options
            .set_keep_alive(self.config.keep_alive)
            .set_clean_session(true)
            .set_last_will(LastWill::new(self.topics.alive(), [], QoS::AtLeastOnce, true))
            .set_max_packet_size(MAX_INCOMING_BYTES, edgeflow_wire::MAX_DOCUMENT_BYTES);
        let (client, mut events) = AsyncClient::new(options, 32);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(self.config.keep_alive.as_secs().max(1));
        events.set_network_options(network);
        (client, events)
    }
}

impl Connect for Mqtt {
    const NAME: &'static str = "mqtt";

    fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry_first, self.config.retry_cap)
    }

    async fn connection(&self, events: &mpsc::Sender<LinkEvent>, up_since: &mut Option<Instant>) -> String {
        let (client, mut network) = self.client();
        let mut forwarder: Option<AbortOnDrop> = None;
        loop {
            let packet = match network.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(_)) => continue,
                Err(error) => return self.explain(&error),
            };
            let event = match packet {
                Packet::ConnAck(_) => {
                    let topics = [self.topics.deploy(), self.topics.telemetry_ack(), self.topics.command()];
                    if let Err(error) = client.try_subscribe_many(topics.map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce))) {
                        return format!("could not subscribe: {error}");
                    }
                    continue;
                }
                Packet::SubAck(answer) if forwarder.is_none() => {
                    if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                        return "the broker refused a subscription: check that the robot's name and token belong together".to_owned();
                    }
                    // Not before we can hear what whoever hears this will say.
                    if let Err(error) = client.try_publish(self.topics.alive(), QoS::AtLeastOnce, true, "1") {
                        return format!("could not say that the robot is here: {error}");
                    }
                    let (outbox, documents) = Outbox::new();
                    forwarder = Some(AbortOnDrop(tokio::spawn(forward(client.clone(), self.topics.telemetry(), documents))));
                    *up_since = Some(Instant::now());
                    LinkEvent::Up { uplink: Self::NAME, outbox }
                }
                Packet::Publish(publish) if publish.topic == self.topics.telemetry_ack() => LinkEvent::Ack(publish.payload),
                Packet::Publish(publish) if publish.topic == self.topics.deploy() => LinkEvent::Desired(publish.payload),
                Packet::Publish(publish) if publish.topic == self.topics.command() => LinkEvent::Command(publish.payload),
                Packet::Disconnect => return "the broker closed the connection".to_owned(),
                _ => continue,
            };
            if events.send(event).await.is_err() {
                return NOBODY_LISTENS.to_owned();
            }
        }
    }
}

impl Uplink for Mqtt {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn start(&self) -> Link {
        keep_connected(self.clone())
    }
}

/// Publishes what is put into the outbox, in order.
async fn forward(client: AsyncClient, topic: String, mut documents: mpsc::Receiver<Vec<u8>>) {
    while let Some(document) = documents.recv().await {
        if client.publish(&topic, QoS::AtLeastOnce, false, document).await.is_err() {
            return;
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Mqtt {
    /// What TLS says, where it failed, else what MQTT says.
    fn explain(&self, error: &ConnectionError) -> String {
        match (error, self.config.tunnel.as_ref().and_then(Tunnel::failure)) {
            (ConnectionError::ConnectionRefused(_), _) | (_, None) => explain(error),
            (_, Some(failure)) => format!("no connection to the broker: {failure}"),
        }
    }
}

fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized) => {
            "the control plane refused this robot: check robot, and identity_dir or token_file; or enrol it again".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("the broker refused the connection: {code:?}"),
        ConnectionError::NetworkTimeout => "the broker did not answer in time".to_owned(),
        ConnectionError::FlushTimeout => "the network takes no data".to_owned(),
        ConnectionError::Io(error) => format!("no connection to the broker: {error}"),
        ConnectionError::MqttState(error) => format!("the connection was lost: {error}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_addresses_on_this_machine_are_accepted() {
        for address in ["127.0.0.1:1883", "localhost:1", "[::1]:1883", "127.8.9.1:1"] {
            assert!(Mqtt::new(MqttConfig::new(address, "robot-1", "t")).is_ok(), "{address}");
        }
        for address in ["10.0.0.1:1883", "broker.example:1883", "0.0.0.0:1"] {
            let error = Mqtt::new(MqttConfig::new(address, "robot-1", "t")).unwrap_err();
            assert!(matches!(error, UplinkError::NotLoopback { .. }) && error.to_string().contains(address), "{error}");
        }
        for address in ["127.0.0.1", "127.0.0.1:port", ""] {
            assert!(matches!(Mqtt::new(MqttConfig::new(address, "robot-1", "t")), Err(UplinkError::Address { .. })), "{address}");
        }
        assert!(matches!(Mqtt::new(MqttConfig::new("127.0.0.1:1", "Robot 1", "t")), Err(UplinkError::Name(_))));
    }

    #[test]
    fn the_token_is_not_shown() {
        assert!(!format!("{:?}", MqttConfig::new("127.0.0.1:1", "robot-1", "hunter2")).contains("hunter2"));
    }
}
