//! The listener, and each connection from accept to farewell.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info, info_span, warn};

use edgeflow_core::identity::Presented;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet};

use super::{
    handshake::{self, Welcome},
    limits::Limits,
    metrics::{GatewayMetrics, Outcome},
    packets::{End, Packets},
    port::RobotPort,
    session::{Ingesting, Session},
};
use crate::{
    app::Sessions,
    tls::{self, Stream},
};

/// After a failed accept (no file descriptors left, mostly) the listener rests for so long.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address is not of this machine alone.
    #[error(
        "mqtt cannot listen on {address} without TLS: only loopback addresses such as 127.0.0.1:1883 are allowed; set tls = true (--tls)"
    )]
    NotLoopback {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The operating system refuses the address.
    #[error("mqtt cannot listen on {address}: stop what uses the port, or choose another with --mqtt-listen (port 0 takes a free one)")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The robots' door, listening but not serving yet.
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    metrics: GatewayMetrics,
}

struct Shared<P: RobotPort> {
    port: Arc<P>,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    metrics: GatewayMetrics,
    sessions: Sessions<P::Robot>,
}

impl Gateway {
    /// Listens on an address; without TLS on a loopback one only. Port 0 takes a free one.
    pub async fn bind(address: SocketAddr, limits: Limits, tls: Option<TlsAcceptor>) -> Result<Self, GatewayError> {
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(GatewayError::NotLoopback { address });
        }
        let bind = |source| GatewayError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address, limits, tls, metrics: GatewayMetrics::default() })
    }

    /// The address robots connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The gateway's counters.
    pub fn metrics(&self) -> GatewayMetrics {
        self.metrics.clone()
    }

    /// Serves robots until `shutdown`, then ends every connection and waits for documents that are being ingested.
    pub async fn serve<P: RobotPort>(self, port: Arc<P>, shutdown: CancellationToken) {
        let changes = port.desired_changes();
        let revocations = port.revocations();
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        let handshakes = Arc::new(Semaphore::new(self.limits.max_handshakes));
        let shared = Arc::new(Shared { port, limits: self.limits, tls: self.tls, metrics: self.metrics, sessions: Sessions::new() });
        let connections = TaskTracker::new();
        let accept = async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, peer)) => {
                        shared.metrics.accepted.inc();
                        let free = (slots.clone().try_acquire_owned(), handshakes.clone().try_acquire_owned());
                        let (Ok(slot), Ok(handshake)) = free else {
                            shared.metrics.count_end(Outcome::TooMany);
                            let (connections, handshakes) = (shared.limits.max_connections, shared.limits.max_handshakes);
                            warn!(%peer, connections, handshakes, "too many mqtt connections: closed one");
                            continue;
                        };
                        let (shared, shutdown) = (shared.clone(), shutdown.clone());
                        connections.spawn(async move {
                            shared.metrics.open.inc();
                            connection(&shared, stream, handshake, shutdown).instrument(info_span!("mqtt", %peer)).await;
                            shared.metrics.open.dec();
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "could not accept an mqtt connection");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = shared.sessions.follow(changes, revocations) => {}
            () = shutdown.cancelled() => {}
        }
        drop(self.listener);
        shared.sessions.end_all(Outcome::Shutdown);
        connections.close();
        connections.wait().await;
    }
}

async fn connection<P: RobotPort>(shared: &Shared<P>, stream: TcpStream, handshake: OwnedSemaphorePermit, shutdown: CancellationToken) {
    // Acknowledgements are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        warn!(%error, "could not switch off Nagle's algorithm");
    }
    let mut secured = None;
    // Heard from before the proof is looked at, so that no revocation falls between the two.
    let mut revocations = shared.port.revocations();
    let timeout = shared.limits.handshake_timeout;
    let shake = async {
        let (stream, presented) = secure(shared.tls.as_ref(), stream).await?;
        let packets = secured.insert(Packets::new(stream, shared.limits.max_connect_bytes, shared.limits.max_packet_bytes));
        handshake::shake(packets, presented.as_ref(), &*shared.port, &shared.limits).await
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(timeout, shake) => shaken,
        () = shutdown.cancelled() => Ok(Err(End::new(Outcome::Shutdown, "the server stops"))),
    };
    drop(handshake);
    let end = match (shaken, &mut secured) {
        (Ok(Ok(welcome)), Some(packets)) => robot(shared, packets, welcome, &mut revocations).await,
        (Ok(Ok(_)), None) => End::new(Outcome::Broken, "there is no connection"),
        (Ok(Err(end)), _) => end,
        (Err(_), _) => End::new(Outcome::HandshakeTimeout, format!("no CONNECT within {timeout:?}")),
    };
    shared.metrics.count_end(end.outcome);
    match end.outcome {
        Outcome::Closed | Outcome::Shutdown | Outcome::Broken | Outcome::TakenOver => info!(reason = end.reason, "connection ended"),
        outcome => warn!(?outcome, reason = end.reason, "connection ended"),
    }
    if let Some(packets) = &mut secured {
        packets.close().await;
    }
}

/// The TLS handshake, where there is one, and what the robot presented in it.
async fn secure(tls: Option<&TlsAcceptor>, stream: TcpStream) -> Result<(Stream, Option<Presented>), End> {
    let Some(acceptor) = tls else { return Ok((Stream::Plain(stream), None)) };
    let refuse = |reason: String| End::new(Outcome::BadTls, reason);
    let stream = acceptor.accept(stream).await.map_err(|error| refuse(format!("no TLS handshake: {error}")))?;
    let presented = tls::presented(&stream).ok_or_else(|| refuse("the certificate names nobody".to_owned()))?;
    Ok((Stream::Tls(Box::new(stream)), Some(presented)))
}

async fn robot<P: RobotPort>(
    shared: &Shared<P>,
    packets: &mut Packets<Stream>,
    welcome: Welcome<P::Robot>,
    revocations: &mut broadcast::Receiver<P::Robot>,
) -> End {
    let place = shared.sessions.enter(&welcome.robot);
    if revoked(revocations, &welcome.robot) {
        shared.sessions.end(&welcome.robot, Outcome::Revoked);
    }
    let mut ingesting = Ingesting::default();
    let mut turn = None;
    let served = async {
        turn = Some(place.turn().await);
        shared.port.connected(&welcome.robot).await;
        shared.metrics.robots.inc();
        info!(robot = welcome.name, "robot connected");
        packets.set_max_bytes(shared.limits.max_packet_bytes);
        if let Err(end) = packets.push(&Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false))) {
            return end;
        }
        Session::new(packets, &welcome, shared.port.clone(), &shared.limits, &shared.metrics, &place.signals).serve(&mut ingesting).await
    };
    let end = tokio::select! {
        biased;
        outcome = place.signals.ended() => End::new(outcome, format!("ended by the server: {outcome:?}")),
        () = expiry(welcome.until) => End::new(Outcome::Expired, "the robot's certificate has expired"),
        end = served => end,
    };
    // Cut first: what is being ingested may take its time.
    packets.farewell(&end).await;
    packets.close().await;
    ingesting.settle().await;
    if turn.is_some() {
        shared.metrics.robots.dec();
    }
    // Still in turn, so that a connection which comes now reports the robot as there after this one reported it as gone.
    if shared.sessions.is_newest(&welcome.robot, &place) {
        shared.port.disconnected(&welcome.robot).await;
        shared.sessions.forget(&welcome.robot, &place);
    }
    drop(turn);
    End { reason: format!("{}: {}", welcome.name, end.reason), ..end }
}

async fn expiry(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn revoked<R: Clone + PartialEq>(revocations: &mut broadcast::Receiver<R>, robot: &R) -> bool {
    loop {
        match revocations.try_recv() {
            Ok(other) if other == *robot => return true,
            Ok(_) => {}
            Err(broadcast::error::TryRecvError::Lagged(_)) => return true,
            Err(_) => return false,
        }
    }
}
