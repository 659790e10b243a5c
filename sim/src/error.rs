//! What can go wrong in a simulated robot.

use crate::digits::DigitsError;

/// Errors of the simulation.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No port of loopback could be opened for the robot's uplink.
    #[error("could not listen on loopback for the robot's uplink")]
    ProxyListen(#[source] std::io::Error),
    /// ROS refused something.
    #[error("could not {action}")]
    Ros {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: edgeflow_ros::Error,
    },
    /// The digits the camera shows could not be read.
    #[error("the camera has nothing to look at: pass another file with the parameter data_file, or none for the built-in digits")]
    Digits(#[source] DigitsError),
    /// There are no digits for testing.
    #[error("the camera has nothing to look at: the digits have none that are kept apart for testing")]
    NoDigits,
}

/// The error and everything that caused it, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
