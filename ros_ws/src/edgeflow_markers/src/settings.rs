//! The node's parameters: one place that declares, describes and checks them.

use edgeflow_ros::{DeclaredParameter, Node, Result};

use crate::scene::Style;
use crate::track::Track;

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

/// Longest duration of a parameter, seconds: thirty years.
const LONGEST_S: f64 = 1e9;

/// The node's parameters.
pub struct Settings {
    frame_id: DeclaredParameter<String>,
    size_m: DeclaredParameter<f64>,
    lifetime_s: DeclaredParameter<f64>,
    max_markers: i64,
    pose_timeout_s: f64,
}

impl Settings {
    /// Declares them all. What a viewer sees can be changed while the node runs; what is remembered cannot.
    ///
    /// # Errors
    /// A value of another type or out of range, or a name nobody declared.
    pub fn declare(node: &Node) -> Result<Self> {
        let frame_id = node.parameter("frame_id", String::new());
        let frame_id = frame_id.description("Frame of windows whose place is not known. Empty: the frame of the report.").declare()?;
        let size_m = node.parameter("size_m", 0.5).range(0.001..=1000.0);
        let size_m = size_m.description("Diameter of a column in metres; everything else is in proportion.").declare()?;
        let lifetime_s = node.parameter("lifetime_s", 0.0).range(0.0..=LONGEST_S);
        let lifetime_s = lifetime_s.description("Seconds a window is shown. 0: until max_markers newer ones have come.").declare()?;
        let max_markers = node.parameter("max_markers", 200).range(1..=10_000).description("Newest drift windows shown.").read_only()?;
        let pose_timeout_s = node.parameter("pose_timeout_s", 10.0).range(0.0..=LONGEST_S);
        let pose_timeout_s = pose_timeout_s.description("Seconds for which the newest pose holds. 0: for ever.").read_only()?;
        node.check_unknown_parameters()?;
        Ok(Self { frame_id, size_m, lifetime_s, max_markers, pose_timeout_s })
    }

    /// How the scene looks at present.
    #[must_use]
    pub fn style(&self) -> Style {
        Style {
            size_m: self.size_m.get(),
            // Within the range above.
            max_windows: usize::try_from(self.max_markers).unwrap_or(1),
            lifetime_ns: nanoseconds(self.lifetime_s.get()),
            frame_id: self.frame_id.get(),
        }
    }

    /// An empty path as fine as what is drawn.
    #[must_use]
    pub fn track(&self) -> Track {
        Track::new(self.size_m.get() / 5.0, nanoseconds(self.pose_timeout_s))
    }
}

/// 0 is without end.
fn nanoseconds(seconds: f64) -> Option<i64> {
    (seconds > 0.0).then_some((seconds * 1e9) as i64)
}
