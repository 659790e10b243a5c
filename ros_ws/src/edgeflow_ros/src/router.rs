//! The router of the embedded stack: one process per machine runs it (`rmw_zenohd`'s place), and
//! every program finds the others through it.

use crate::error::{Error, Result};
use hiroz::config::RouterConfigBuilder;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use zenoh::Wait;

/// Environment variable with the router's address, for instance `127.0.0.1:7447`.
pub const ENVIRONMENT: &str = "EDGEFLOW_ROS_ROUTER";

/// Address of the router where nothing else is said; the same as `rmw_zenoh_cpp`'s.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7447);

/// A running router. Dropping it stops it.
pub struct Router {
    session: zenoh::Session,
    address: SocketAddr,
}

impl Router {
    /// Listens on `listen`; port 0 picks a free one. Loopback only, as long as robots have no certificates.
    ///
    /// # Errors
    /// An address that is taken, or not of this machine's loopback.
    pub fn start(listen: SocketAddr) -> Result<Self> {
        let fail = |reason: String| Error::Router { address: listen.to_string(), reason };
        if !listen.ip().is_loopback() {
            return Err(fail("only loopback addresses are allowed: it has no access control".into()));
        }
        let mut attempts = if listen.port() == 0 { 16 } else { 1 };
        loop {
            attempts -= 1;
            // Asked here rather than of zenoh, which takes no port 0 and whose error does not say that the port is taken.
            let address = TcpListener::bind(listen)
                .and_then(|l| l.local_addr())
                .map_err(|e| fail(format!("{e}; does another router run? Set {ENVIRONMENT} to a free port")))?;
            match Self::listen(address) {
                Ok(session) => return Ok(Self { session, address }),
                Err(_) if attempts > 0 => {}
                Err(e) => return Err(fail(e.to_string())),
            }
        }
    }

    fn listen(address: SocketAddr) -> zenoh::Result<zenoh::Session> {
        let config = RouterConfigBuilder::new().with_listen_endpoint(&format!("tcp/{address}")).build_config()?;
        zenoh::open(config).wait()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Err(error) = self.session.close().wait() {
            tracing::warn!(address = %self.address, %error, "the ROS router did not close cleanly");
        }
    }
}
