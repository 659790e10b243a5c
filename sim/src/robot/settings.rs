//! The robot's parameters.

use edgeflow_ros::Node;
use std::path::PathBuf;
use std::time::Duration;

use crate::SimError;

/// Values of the parameters of `sim_robot`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Frames per second.
    pub rate_hz: f64,
    /// Seed of what the camera sees and of its noise.
    pub seed: u64,
    /// Whether the camera streams from the start.
    pub streaming: bool,
    /// File with the digits; empty: the built-in ones.
    pub data_file: PathBuf,
    /// `host:port` of the control plane's MQTT door; empty: no proxy.
    pub uplink_mqtt: String,
    /// `host:port` of the control plane's HTTP door; empty: no proxy.
    pub uplink_http: String,
    /// `host:port` of the control plane's zenoh door; empty: no proxy.
    pub uplink_zenoh: String,
    /// Frames between two mission events.
    pub frames_per_mission_step: u64,
}

impl Settings {
    /// Declares the parameters on the node and reads their values.
    ///
    /// # Errors
    /// A value of the wrong type or out of range, or a name nobody knows.
    pub fn declare(node: &Node) -> Result<Self, SimError> {
        Self::read(node).map_err(|source| SimError::Ros { action: "read the parameters".to_owned(), source })
    }

    fn read(node: &Node) -> edgeflow_ros::Result<Self> {
        let text = |name: &str, description: &str| node.declare_parameter(name, String::new(), description);
        let settings = Self {
            rate_hz: node.parameter("rate_hz", 20.0).description("frames per second").range(0.001..=1000.0).read_only()?,
            seed: node
                .parameter("seed", 1i64)
                .description("seed of what the camera sees and of its noise")
                .range(0..=i64::MAX)
                .read_only()?
                .unsigned_abs(),
            streaming: node.declare_parameter("streaming", true, "whether the camera streams from the start")?,
            data_file: text("data_file", "file with the digits the camera sees; empty: the built-in ones")?.into(),
            uplink_mqtt: text("uplink_mqtt", "host:port of the control plane's MQTT door; empty: no proxy")?,
            uplink_http: text("uplink_http", "host:port of the control plane's HTTP door; empty: no proxy")?,
            uplink_zenoh: text("uplink_zenoh", "host:port of the control plane's zenoh door; empty: no proxy")?,
            frames_per_mission_step: node
                .parameter("frames_per_mission_step", 30i64)
                .description("frames between two mission events")
                .range(1..=1_000_000)
                .read_only()?
                .unsigned_abs(),
        };
        node.check_unknown_parameters()?;
        Ok(settings)
    }

    /// Time between two frames.
    pub fn frame_period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate_hz)
    }
}
