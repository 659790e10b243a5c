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
    /// Frames between two mission events.
    pub frames_per_mission_step: u64,
}

impl Settings {
    /// Declares the parameters on the node and reads their values.
    pub fn declare(node: &Node) -> Result<Self, SimError> {
        let ros = |source| SimError::Ros { action: "read the parameters".to_owned(), source };
        let settings = Self {
            rate_hz: node.declare_parameter("rate_hz", 20.0, "frames per second").map_err(ros)?,
            seed: unsigned(node, "seed", 1, "seed of what the camera sees and of its noise")?,
            streaming: node.declare_parameter("streaming", true, "whether the camera streams from the start").map_err(ros)?,
            data_file: node
                .declare_parameter("data_file", String::new(), "file with the digits the camera sees; empty: the built-in ones")
                .map_err(ros)?
                .into(),
            uplink_mqtt: node
                .declare_parameter("uplink_mqtt", String::new(), "host:port of the control plane's MQTT door; empty: no proxy")
                .map_err(ros)?,
            uplink_http: node
                .declare_parameter("uplink_http", String::new(), "host:port of the control plane's HTTP door; empty: no proxy")
                .map_err(ros)?,
            frames_per_mission_step: unsigned(node, "frames_per_mission_step", 30, "frames between two mission events")?,
        };
        node.check_unknown_parameters().map_err(ros)?;
        settings.checked()
    }

    fn checked(self) -> Result<Self, SimError> {
        let wrong = |name, value: String, remedy| Err(SimError::Parameter { name, value, remedy });
        if !(self.rate_hz > 0.0 && self.rate_hz <= 1000.0) {
            return wrong("rate_hz", self.rate_hz.to_string(), "give frames per second, above 0 and at most 1000");
        }
        if self.frames_per_mission_step == 0 {
            return wrong("frames_per_mission_step", "0".to_owned(), "give at least 1");
        }
        Ok(self)
    }

    /// Time between two frames.
    pub fn frame_period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate_hz)
    }
}

fn unsigned(node: &Node, name: &'static str, default: i64, description: &str) -> Result<u64, SimError> {
    let ros = |source| SimError::Ros { action: "read the parameters".to_owned(), source };
    let value = node.declare_parameter(name, default, description).map_err(ros)?;
    value.try_into().map_err(|_| SimError::Parameter { name, value: value.to_string(), remedy: "give 0 or more" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings() -> Settings {
        Settings {
            rate_hz: 20.0,
            seed: 1,
            streaming: true,
            data_file: PathBuf::new(),
            uplink_mqtt: String::new(),
            uplink_http: String::new(),
            frames_per_mission_step: 30,
        }
    }

    #[test]
    fn values_a_robot_cannot_work_with_are_named_with_the_remedy() {
        assert_eq!(settings().checked().unwrap().frame_period(), Duration::from_millis(50));
        let wrong = [
            ("rate_hz", Settings { rate_hz: 0.0, ..settings() }),
            ("rate_hz", Settings { rate_hz: f64::NAN, ..settings() }),
            ("frames_per_mission_step", Settings { frames_per_mission_step: 0, ..settings() }),
        ];
        for (name, settings) in wrong {
            let error = settings.checked().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("give"), "{error}");
        }
    }
}
