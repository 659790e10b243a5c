//! What can go wrong before the node runs.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter has a value that makes no sense.
    #[error("parameter `{name}`: {reason}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is wrong and what to give instead.
        reason: String,
    },
    /// The ROS stack refused.
    #[error(transparent)]
    Ros(#[from] edgeflow_ros::Error),
}

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
