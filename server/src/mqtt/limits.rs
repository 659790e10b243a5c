//! What one connection may take of the process.

use std::time::Duration;

/// Bounds of the gateway. The defaults suit robots on slow links.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections at once, handshakes included. Further ones are closed at once.
    pub max_connections: usize,
    /// Most connections at once that have not said who they are. Further ones are closed at once.
    pub max_handshakes: usize,
    /// Most time from TCP accept, over a TLS handshake if there is one, to an accepted CONNECT.
    pub handshake_timeout: Duration,
    /// Largest CONNECT packet, bytes.
    pub max_connect_bytes: usize,
    /// Largest packet after that, bytes. A batch larger than this must be cut by the robot.
    pub max_packet_bytes: usize,
    /// Most bytes of telemetry a connection may have waiting for ingestion. Beyond it the connection is not read.
    pub max_pending_bytes: usize,
    /// Most messages of telemetry a connection may have waiting for ingestion.
    pub max_pending_messages: usize,
    /// Most messages to a robot that it has not acknowledged. Beyond it the connection is closed.
    pub max_unacknowledged: usize,
    /// Most time a write may take. A client that does not read for so long is closed.
    pub write_timeout: Duration,
    /// Silence that is accepted of a client which asks for no keep-alive, or for a longer one.
    pub max_keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_handshakes: 2_000,
            handshake_timeout: Duration::from_secs(10),
            max_connect_bytes: 4 * 1024,
            max_packet_bytes: edgeflow_wire::MAX_DOCUMENT_BYTES,
            max_pending_bytes: 4 * 1024 * 1024,
            max_pending_messages: 128,
            max_unacknowledged: 1024,
            write_timeout: Duration::from_secs(20),
            max_keep_alive: Duration::from_secs(300),
        }
    }
}
