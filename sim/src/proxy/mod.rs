//! The robot's network as something a test can break.
//!
//! A robot reaches its control plane only through these TCP proxies, so cutting one is what the robot would see if its
//! radio went away: every connection breaks at once and no new one comes up. The bridge is not told and not changed. Besides a cut
//! there are the ways in which networks fail that are harder on a protocol: see [`Condition`].

mod carry;
mod link;
mod recording;
#[cfg(test)]
mod tests;

pub use link::{Condition, Link};
pub use recording::Recording;

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::SimError;
use carry::carry;
use link::until_broken;

/// A TCP listener on loopback that forwards to one upstream as its [`Link`] lets it. Stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    local: SocketAddr,
    upstream: watch::Sender<String>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and forwards to `upstream` (`host:port`), which need not be up yet.
    pub async fn start(upstream: String, link: &Link) -> Result<Self, SimError> {
        Self::recording(upstream, link, Recording::none()).await
    }

    /// The same, keeping what clients send.
    pub async fn recording(upstream: String, link: &Link, recording: Recording) -> Result<Self, SimError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(SimError::ProxyListen)?;
        let local = listener.local_addr().map_err(SimError::ProxyListen)?;
        let upstream = watch::Sender::new(upstream);
        let accepting = tokio::spawn(accept(listener, upstream.subscribe(), link.clone(), recording));
        Ok(Self { local, upstream, accepting })
    }

    /// Forwards new connections to another upstream: a server that came back on another port.
    pub fn set_upstream(&self, upstream: String) {
        self.upstream.send_replace(upstream);
    }

    /// Where the robot finds its control plane.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: watch::Receiver<String>, link: Link, recording: Recording) {
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                // A connection that died while it waited, or no descriptor left: either passes, and must not spin.
                tracing::warn!(%error, "the uplink proxy could not accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let state = link.watch();
        let now = *state.borrow();
        // The port stays ours while cut (another program could take it), so refusing is closing with a reset.
        if matches!(now.condition, Condition::Cut | Condition::Refusing) {
            reset(&client);
            continue;
        }
        let (upstream, through, recording) = (upstream.clone(), link.clone(), recording.clone());
        link.connections.spawn(async move {
            let (mut client, mut server) = (client, None);
            let by_reset = tokio::select! {
                by_reset = until_broken(state, now.breaks) => by_reset,
                () = forward(&mut client, &mut server, &upstream, &through, &recording) => false,
            };
            if by_reset {
                reset(&client);
                server.iter().for_each(reset);
            }
        });
    }
}

/// Lets the connection end with RST when it is dropped.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "could not reset a connection");
    }
}

async fn forward(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    upstream: &watch::Receiver<String>,
    link: &Link,
    recording: &Recording,
) {
    // Not even the handshake reaches the other side while nothing passes.
    drop(link.watch().wait_for(|state| state.condition != Condition::HalfOpen).await);
    let upstream = upstream.borrow().clone();
    let server = match TcpStream::connect(&upstream).await {
        Ok(stream) => server.insert(stream),
        Err(error) => {
            tracing::debug!(%error, upstream, "nobody listens behind the uplink proxy");
            return reset(client);
        }
    };
    for stream in [&*client, &*server] {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not turn off Nagle's algorithm");
        }
    }
    let mut kept = recording.connection();
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let up = carry(client_read, server_write, link.watch(), link.next_seed(), |bytes| kept.note(bytes));
    let down = carry(server_read, client_write, link.watch(), link.next_seed(), |_| {});
    if let Err(error) = tokio::try_join!(up, down) {
        tracing::debug!(%error, upstream, "a proxied connection broke");
    }
}
