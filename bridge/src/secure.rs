//! How this robot proves who it is: with the identity that `edgeflow enroll` made, through a tunnel to each door of the
//! control plane.

use edgeflow_identity::{Identity, IdentityError, Tunnel, split_https};
use std::path::Path;

/// An identity and the ways it opens.
#[derive(Debug, Clone)]
pub struct Secure {
    /// Who the robot is.
    pub identity: Identity,
    /// To the MQTT broker.
    pub mqtt: Tunnel,
    /// To HTTP.
    pub http: Tunnel,
    /// `https://host:port` of the control plane.
    pub server: String,
    /// The same for HTTP clients inside the tunnel.
    pub base: String,
}

impl Secure {
    /// Opens the identity in a folder, and tunnels to `mqtt` (`host:port`) and `http` (`https://host:port`). Certificates are
    /// read anew at each connection, so a renewed one counts at once.
    ///
    /// # Errors
    /// Says which file or address cannot be used.
    pub fn open(folder: &Path, mqtt: &str, http: &str) -> Result<Self, IdentityError> {
        let identity = Identity::open(folder)?;
        let (authority, base) = split_https(http)?;
        let tunnel = |address: &str| {
            let identity = identity.clone();
            Tunnel::open(address, move || identity.client_config())
        };
        let (mqtt, http_tunnel) = (tunnel(mqtt)?, tunnel(&authority)?);
        Ok(Self { identity, mqtt, http: http_tunnel, server: http.to_owned(), base })
    }
}
