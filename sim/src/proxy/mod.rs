//! The robot's network as something a test can cut.
//!
//! A robot reaches its control plane only through these TCP proxies, so cutting one is what the robot would see if its
//! radio went away: every connection breaks at once and no new one comes up. The bridge is not told and not changed.

use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::SimError;

/// One switch for any number of proxies: a robot has one radio, whatever protocols cross it.
#[derive(Debug, Clone)]
pub struct Link {
    connected: Arc<watch::Sender<bool>>,
    connections: TaskTracker,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link that is up.
    pub fn new() -> Self {
        Self { connected: Arc::new(watch::Sender::new(true)), connections: TaskTracker::new() }
    }

    /// Whether traffic passes.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Lets traffic pass. Connections that were cut stay dead: whoever wants one opens it anew.
    pub fn restore(&self) {
        self.set(true);
    }

    /// Breaks every connection and refuses new ones; returns once the last one is closed.
    pub async fn cut(&self) {
        self.set(false);
        self.connections.close();
        self.connections.wait().await;
        self.connections.reopen();
    }

    /// Connections that pass traffic now.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    fn set(&self, connected: bool) {
        // Receivers take any change for a cut, so setting what is set already must not look like one.
        self.connected.send_if_modified(|now| std::mem::replace(now, connected) != connected);
    }

    /// Resolves once the link is cut; also when it has been cut and restored in between.
    async fn until_cut(mut connected: watch::Receiver<bool>) {
        // The receiver was made while the link was up, so any change since then is a cut.
        if connected.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A TCP listener on loopback that forwards to one upstream while its [`Link`] is up. Stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    local: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and forwards to `upstream` (`host:port`), which need not be up yet.
    pub async fn start(upstream: String, link: &Link) -> Result<Self, SimError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(SimError::ProxyListen)?;
        let local = listener.local_addr().map_err(SimError::ProxyListen)?;
        let accepting = tokio::spawn(accept(listener, upstream, link.clone()));
        Ok(Self { local, accepting })
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

async fn accept(listener: TcpListener, upstream: String, link: Link) {
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
        let connected = link.connected.subscribe();
        // The port stays ours while cut (another program could take it), so refusing is closing with a reset.
        if !*connected.borrow() {
            refuse(client);
            continue;
        }
        let upstream = upstream.clone();
        link.connections.spawn(async move {
            tokio::select! {
                () = Link::until_cut(connected) => {}
                () = forward(client, &upstream) => {}
            }
        });
    }
}

fn refuse(client: TcpStream) {
    if let Err(error) = client.set_zero_linger() {
        tracing::debug!(%error, "could not reset a refused connection");
    }
}

async fn forward(mut client: TcpStream, upstream: &str) {
    let mut server = match TcpStream::connect(upstream).await {
        Ok(server) => server,
        Err(error) => {
            tracing::debug!(%error, upstream, "nobody listens behind the uplink proxy");
            return refuse(client);
        }
    };
    for stream in [&client, &server] {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not turn off Nagle's algorithm");
        }
    }
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        tracing::debug!(%error, upstream, "a proxied connection broke");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// An upstream that echoes.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn says_back(stream: &mut TcpStream, text: &[u8]) -> bool {
        if stream.write_all(text).await.is_err() {
            return false;
        }
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await.is_ok_and(|_| answer == text)
    }

    /// Whether the other side has closed or reset the connection.
    async fn is_dead(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_a_half_close_is_carried() {
        let link = Link::new();
        let proxy = Proxy::start(echo().await, &link).await.unwrap();
        let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
        let payload = vec![7; 300_000];
        let (mut read, mut write) = client.split();
        let (sent, received) = tokio::join!(
            async {
                write.write_all(&payload).await?;
                write.shutdown().await
            },
            async {
                let mut answer = Vec::new();
                read.read_to_end(&mut answer).await.map(|_| answer)
            }
        );
        sent.unwrap();
        assert_eq!(received.unwrap(), payload);
    }

    #[tokio::test]
    async fn a_cut_closes_every_connection_of_every_proxy_before_it_returns() {
        let link = Link::new();
        let mqtt = Proxy::start(echo().await, &link).await.unwrap();
        let http = Proxy::start(echo().await, &link).await.unwrap();
        let mut a = TcpStream::connect(mqtt.local_addr()).await.unwrap();
        let mut b = TcpStream::connect(http.local_addr()).await.unwrap();
        assert!(says_back(&mut a, b"one").await && says_back(&mut b, b"two").await);
        assert_eq!(link.open_connections(), 2);

        link.cut().await;

        assert_eq!(link.open_connections(), 0);
        assert!(!link.is_connected());
        assert!(is_dead(&mut a).await && is_dead(&mut b).await);
    }

    #[tokio::test]
    async fn a_cut_link_refuses_new_connections_until_it_is_restored() {
        let link = Link::new();
        let proxy = Proxy::start(echo().await, &link).await.unwrap();
        link.cut().await;
        let refused = TcpStream::connect(proxy.local_addr()).await;
        if let Ok(mut stream) = refused {
            assert!(is_dead(&mut stream).await);
        }
        assert_eq!(link.open_connections(), 0);

        link.restore();
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        assert!(says_back(&mut stream, b"again").await);
        // A second cut works like the first.
        link.cut().await;
        assert!(is_dead(&mut stream).await);
    }

    #[tokio::test]
    async fn an_upstream_that_is_down_is_a_refused_connection_and_not_the_end_of_the_proxy() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        drop(taken);
        let link = Link::new();
        let proxy = Proxy::start(address.to_string(), &link).await.unwrap();
        let mut first = TcpStream::connect(proxy.local_addr()).await.unwrap();
        assert!(is_dead(&mut first).await);
        let mut second = TcpStream::connect(proxy.local_addr()).await.unwrap();
        assert!(is_dead(&mut second).await);
    }
}
