//! From the first byte to a robot that is who it says.

use edgeflow_core::identity::Presented;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, LastWill, Packet};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    acl::{Acl, Inbound},
    limits::Limits,
    metrics::Outcome,
    packets::{End, Packets},
    port::{Proof, RobotPort},
};
use crate::tls::remaining;

/// A client that proved to be a robot. It has had no answer to its CONNECT yet.
pub(super) struct Welcome<R> {
    pub(super) robot: R,
    pub(super) name: String,
    pub(super) acl: Acl,
    pub(super) keep_alive: Duration,
    /// When its certificate expires.
    pub(super) until: Option<Instant>,
}

/// Reads CONNECT and checks it, against what was presented in a TLS handshake if there was one. The caller bounds the time.
pub(super) async fn shake<S, P>(
    packets: &mut Packets<S>,
    presented: Option<&Presented>,
    port: &P,
    limits: &Limits,
) -> Result<Welcome<P::Robot>, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: RobotPort,
{
    let connect = loop {
        match packets.parse()? {
            Some(Packet::Connect(connect)) => break connect,
            Some(_) => return Err(End::new(Outcome::ProtocolError, "the first packet is not CONNECT")),
            None if packets.fill().await? => {}
            None => return Err(End::new(Outcome::Closed, "closed before CONNECT")),
        }
    };
    match check(&connect, presented, port, limits).await {
        Ok(welcome) => Ok(welcome),
        Err((code, end)) => {
            packets.push(&Packet::ConnAck(ConnAck::new(code, false)))?;
            packets.flush(limits.write_timeout).await?;
            Err(end)
        }
    }
}

async fn check<P: RobotPort>(
    connect: &Connect,
    presented: Option<&Presented>,
    port: &P,
    limits: &Limits,
) -> Result<Welcome<P::Robot>, (ConnectReturnCode, End)> {
    let refuse = |code, outcome, reason: String| Err((code, End::new(outcome, reason)));
    let name = connect.client_id.as_str();
    let acl = match Acl::new(name) {
        Ok(acl) => acl,
        Err(error) => return refuse(ConnectReturnCode::BadClientId, Outcome::BadCredentials, error.to_string()),
    };
    // One will makes no difference: that the robot is gone, in words for an external broker.
    let foreign = |will: &&LastWill| acl.publish(&will.topic) != Some(Inbound::Alive) || !will.message.is_empty();
    if let Some(will) = connect.last_will.as_ref().filter(foreign) {
        let reason = format!("{name} has a will on {:?}: wills are not served, facts travel in the edge log", will.topic);
        return refuse(ConnectReturnCode::NotAuthorized, Outcome::AclViolation, reason);
    }
    let (proof, refusal) = match presented {
        Some(presented) if presented.name != name => {
            let reason = format!("the certificate of {:?} does not make its owner {name:?}", presented.name);
            return refuse(ConnectReturnCode::NotAuthorized, Outcome::BadCredentials, reason);
        }
        Some(presented) => (Proof::Certificate(presented), ConnectReturnCode::NotAuthorized),
        None => {
            let Some(login) = connect.login.as_ref().filter(|login| login.username == name) else {
                let reason = format!("{name} did not give its name as user name and its token as password");
                return refuse(ConnectReturnCode::BadUserNamePassword, Outcome::BadCredentials, reason);
            };
            (Proof::Token(&login.password), ConnectReturnCode::BadUserNamePassword)
        }
    };
    match port.authenticate(name, proof).await {
        Ok(Some(robot)) => {
            let until = presented.map(|presented| Instant::now() + remaining(presented));
            Ok(Welcome { robot, name: name.to_owned(), acl, keep_alive: keep_alive(connect.keep_alive, limits), until })
        }
        Ok(None) => refuse(refusal, Outcome::BadCredentials, format!("unknown or revoked robot, or wrong token, for {name:?}")),
        Err(error) => {
            refuse(ConnectReturnCode::ServiceUnavailable, Outcome::ServerError, format!("could not check who {name} is: {error}"))
        }
    }
}

/// Silence that is accepted: one and a half times what the client asked for (MQTT 3.1.1, section 3.1.2.10).
fn keep_alive(asked_s: u16, limits: &Limits) -> Duration {
    match asked_s {
        0 => limits.max_keep_alive,
        seconds => (Duration::from_secs(u64::from(seconds)) * 3 / 2).min(limits.max_keep_alive),
    }
}
