//! Drift where it happened: every drift window becomes a column on the robot's path, coloured by how far the window is
//! beyond chance.
//!
//! [`severity`], [`track`] and [`scene`] are pure and decide what is drawn; [`node`] puts them behind topics. RViz and
//! Foxglove both draw what comes out.

mod diagnostics;
pub mod node;
pub mod scene;
mod settings;
pub mod severity;
pub mod track;

pub use settings::Settings;

/// Nanoseconds since the epoch of a ROS stamp.
#[must_use]
pub fn nanoseconds(stamp: &edgeflow_ros::builtin_interfaces::msg::Time) -> i64 {
    i64::from(stamp.sec) * 1_000_000_000 + i64::from(stamp.nanosec)
}
