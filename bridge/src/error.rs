//! What keeps the bridge from working at all. What may pass is retried and told through the log instead.

use edgeflow_edge_log::LogError;
use std::path::PathBuf;

/// Result of the bridge's own operations.
pub type Result<T, E = BridgeError> = std::result::Result<T, E>;

/// Why the bridge cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A parameter has a value that cannot work.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// ROS refused.
    #[error("could not {action}")]
    Ros {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: edgeflow_ros::Error,
    },
    /// The edge log refused.
    #[error("the edge log failed")]
    Log(#[from] LogError),
    /// The edge log's thread has ended.
    #[error("the edge log is closed")]
    LogClosed,
    /// The uplink cannot be used.
    #[error("the uplink cannot be used")]
    Uplink(#[from] edgeflow_uplink::UplinkError),
    /// The robot's identity cannot be used.
    #[error("parameters identity_dir, mqtt and http")]
    Identity(#[from] edgeflow_identity::IdentityError),
    /// A file or folder of the data directory could not be used.
    #[error("could not {action} {path}: check that it exists, is writable and has space")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The desired state has no JSON form.
    #[error("could not encode the desired state")]
    Encode(#[source] serde_json::Error),
    /// The time since boot cannot be read.
    #[error("could not read the time since boot from {path}")]
    Clock {
        /// Where it was looked for.
        path: &'static str,
    },
    /// The HTTP client cannot be built.
    #[error("could not set up downloads")]
    Http(#[source] reqwest::Error),
}

impl BridgeError {
    pub(crate) fn ros(action: &'static str) -> impl FnOnce(edgeflow_ros::Error) -> Self {
        move |source| Self::Ros { action, source }
    }

    pub(crate) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
