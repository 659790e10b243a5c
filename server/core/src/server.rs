//! The control plane itself.

use serde::Serialize;

/// What is durable about the control plane as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Incarnation of its memory, from 1; rises when it is restored from a backup, so that its desired states win again.
    pub server_epoch: u64,
    /// When its data folder was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
}

/// What the control plane says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ServerView {
    /// Software version.
    pub version: String,
    /// See [`ServerIdentity::server_epoch`].
    pub server_epoch: u64,
    /// Where robots connect, `host:port`; `null` when no broker runs.
    pub mqtt_address: Option<String>,
    /// Where robots connect by zenoh, `host:port`; `null` when they cannot.
    pub zenoh_address: Option<String>,
    /// When this process started, microseconds since the Unix epoch.
    pub started_at_us: i64,
}
