//! The node's parameters: one place that declares, describes and checks them.

use edgeflow_ros::Node;

use crate::scene::Style;
use crate::track::Track;
use crate::{Error, Result};

/// What the program prints for `--help`.
pub const USAGE: &str = "\
drift_markers_node: shows drift where it happened, as markers for RViz

usage: drift_markers_node [--help] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE -r __ns:=NAMESPACE --log-level LEVEL]

for instance: drift_markers_node --ros-args -r drift:=inference_node/drift

topics     drift (in), odom (in, nav_msgs/Odometry), pose (in, geometry_msgs/PoseStamped), ~/markers (latched), /diagnostics
parameters
  frame_id        frame of windows whose place is not known; empty: the report's      (\"\")
  max_markers     newest drift windows shown                                          (200)
  size_m          diameter of a column in metres; the rest is in proportion           (0.5)
  lifetime_s      seconds a window is shown; 0: until max_markers newer ones came     (0.0)
  pose_timeout_s  seconds for which the newest pose holds; 0: for ever                (10.0)
";

/// Values of the node's parameters, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the scene looks.
    pub style: Style,
    /// How long the newest pose holds.
    pub pose_timeout_ns: Option<i64>,
}

impl Settings {
    /// Declares them all and refuses values and names that mean nothing.
    ///
    /// # Errors
    /// [`Error::Ros`] for a wrong type or an unknown name, [`Error::Parameter`] for a value out of range.
    pub fn declare(node: &Node) -> Result<Self> {
        let frame_id = node.declare_parameter(
            "frame_id",
            String::new(),
            "Frame of windows whose place is not known. Empty: the frame of the report.",
        )?;
        let max_markers = node.declare_parameter("max_markers", 200i64, "Newest drift windows shown.")?;
        let size_m = node.declare_parameter("size_m", 0.5, "Diameter of a column in metres; everything else is in proportion.")?;
        let lifetime_s =
            node.declare_parameter("lifetime_s", 0.0, "Seconds a window is shown. 0: until max_markers newer ones have come.")?;
        let pose_timeout_s = node.declare_parameter("pose_timeout_s", 10.0, "Seconds for which the newest pose holds. 0: for ever.")?;
        node.check_unknown_parameters()?;
        let max_windows = usize::try_from(max_markers).ok().filter(|count| (1..=10_000).contains(count));
        let max_windows = max_windows.ok_or_else(|| out_of_range("max_markers", format!("{max_markers} is not between 1 and 10000")))?;
        if !(0.001..=1000.0).contains(&size_m) {
            return Err(out_of_range("size_m", format!("{size_m} is not between 0.001 and 1000 metres")));
        }
        let (lifetime_ns, pose_timeout_ns) = (duration("lifetime_s", lifetime_s)?, duration("pose_timeout_s", pose_timeout_s)?);
        Ok(Self { style: Style { size_m, max_windows, lifetime_ns, frame_id }, pose_timeout_ns })
    }

    /// An empty path as fine as what is drawn.
    #[must_use]
    pub fn track(&self) -> Track {
        Track::new(self.style.size_m / 5.0, self.pose_timeout_ns)
    }
}

/// Seconds in nanoseconds; 0 is without end.
fn duration(name: &'static str, seconds: f64) -> Result<Option<i64>> {
    if !(0.0..=1e9).contains(&seconds) {
        return Err(out_of_range(name, format!("{seconds} is not between 0 and 1000000000 seconds")));
    }
    Ok((seconds > 0.0).then_some((seconds * 1e9) as i64))
}

fn out_of_range(name: &'static str, reason: String) -> Error {
    Error::Parameter { name, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_an_end_or_none() {
        assert_eq!((duration("lifetime_s", 0.0).unwrap(), duration("lifetime_s", 1.5).unwrap()), (None, Some(1_500_000_000)));
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let error = duration("lifetime_s", bad).unwrap_err().to_string();
            assert!(error.contains("`lifetime_s`") && error.contains("between 0 and"), "{error}");
        }
    }
}
