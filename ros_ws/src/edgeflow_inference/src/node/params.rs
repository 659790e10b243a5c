//! The node's parameters: one place that declares, describes and checks them.

use edgeflow_drift::Config;
use edgeflow_ros::Node;

use crate::{Error, Result};

/// What the program prints for `--help`.
pub const USAGE: &str = "\
inference_node: runs an ONNX model on camera frames and swaps models between two frames

usage: inference_node [--help] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE -r __ns:=NAMESPACE --log-level LEVEL]

for instance: inference_node --ros-args -p bundle_path:=models/v1 -r '~/image:=camera/image'

topics     ~/image (in, sensor_msgs/Image), ~/result, ~/drift, ~/status (latched)
services   ~/infer, ~/load_model, ~/get_model_info
parameters
  bundle_path             folder with model.onnx, loaded at start; empty: wait for ~/load_model   (\"\")
  model_name              registry name of that model; empty: the folder's name                   (\"\")
  model_version           registry version of that model                                          (\"\")
  queue_policy            all: every frame in order; latest: only the newest                      (all)
  queue_depth             frames that may wait; what does not fit is dropped and counted          (1000)
  image_reliability       reliable or best_effort; a reliable one hears no best-effort camera     (reliable)
  drift_window_frames     frames per drift window, at least 20                                    (100)
  drift_false_alarm_rate  chance of a false significance per window                               (0.001)
  drift_baseline_frames   frames to learn a baseline from when the bundle has none, at least 100  (1000)
  intra_op_threads        threads inside one operator                                             (1)
  onnxruntime             path of libonnxruntime.so; empty: ORT_DYLIB_PATH, else beside the program
";

/// Which frames wait while the model is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePolicy {
    /// Every frame in order; when the queue is full the newest is dropped.
    All,
    /// The newest frame only.
    Latest,
}

/// Values of the node's parameters, checked.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Bundle to load at start; empty: none.
    pub bundle_path: String,
    /// Its registry name.
    pub model_name: String,
    /// Its registry version.
    pub model_version: String,
    /// Which frames wait.
    pub queue_policy: QueuePolicy,
    /// How many may.
    pub queue_depth: usize,
    /// Reliable subscription of the camera.
    pub image_reliable: bool,
    /// Drift windows.
    pub drift: Config,
    /// Frames a learnt baseline takes.
    pub drift_baseline_frames: u64,
    /// Threads inside one operator.
    pub intra_op_threads: usize,
    /// Library named by the user; empty: search.
    pub onnxruntime: String,
}

impl Parameters {
    /// Declares them all and refuses values and names that mean nothing.
    ///
    /// # Errors
    /// [`Error::Ros`] for a wrong type or an unknown name, [`Error::Parameter`] for a value out of range.
    pub fn declare(node: &Node) -> Result<Self> {
        let text = |name: &str, default: &str, description: &str| node.declare_parameter(name, default.to_owned(), description);
        let bundle_path = text("bundle_path", "", "Folder with model.onnx, loaded at start. Empty: wait for ~/load_model.")?;
        let model_name = text("model_name", "", "Registry name of the model at bundle_path. Empty: the folder's name.")?;
        let model_version = text("model_version", "", "Registry version of the model at bundle_path.")?;
        let queue_policy =
            text("queue_policy", "all", "Frames that wait while the model is busy: \"all\" in order, or only the \"latest\".")?;
        let queue_depth =
            node.declare_parameter("queue_depth", 1000i64, "Frames that may wait; what does not fit is dropped and counted.")?;
        let image_reliability = text(
            "image_reliability",
            "reliable",
            "QoS of ~/image: \"reliable\" or \"best_effort\". A reliable subscription hears no best-effort camera.",
        )?;
        let window_frames = node.declare_parameter("drift_window_frames", 100i64, "Frames per drift window, at least 20.")?;
        let false_alarm_rate =
            node.declare_parameter("drift_false_alarm_rate", 0.001f64, "Chance per window, over all features, of a false significance.")?;
        let baseline_frames = node.declare_parameter(
            "drift_baseline_frames",
            1000i64,
            "Frames to learn a drift baseline from when the bundle has none, at least 100.",
        )?;
        let intra_op_threads = node.declare_parameter("intra_op_threads", 1i64, "Threads ONNX Runtime uses inside one operator.")?;
        let onnxruntime = text("onnxruntime", "", "Path of libonnxruntime.so. Empty: ORT_DYLIB_PATH, else beside the executable.")?;
        node.check_unknown_parameters()?;
        Ok(Self {
            bundle_path,
            model_name,
            model_version,
            queue_policy: match queue_policy.as_str() {
                "all" => QueuePolicy::All,
                "latest" => QueuePolicy::Latest,
                other => return Err(out_of_range("queue_policy", format!("`{other}` is neither `all` nor `latest`"))),
            },
            queue_depth: count("queue_depth", queue_depth, 1, 100_000)? as usize,
            image_reliable: match image_reliability.as_str() {
                "reliable" => true,
                "best_effort" => false,
                other => return Err(out_of_range("image_reliability", format!("`{other}` is neither `reliable` nor `best_effort`"))),
            },
            drift: Config { window_frames: count("drift_window_frames", window_frames, 20, 1_000_000)?, false_alarm_rate },
            drift_baseline_frames: count("drift_baseline_frames", baseline_frames, 100, 1_000_000)?,
            intra_op_threads: count("intra_op_threads", intra_op_threads, 1, 256)? as usize,
            onnxruntime,
        })
    }
}

fn out_of_range(name: &str, reason: String) -> Error {
    Error::Parameter { name: name.to_owned(), reason }
}

fn count(name: &str, value: i64, low: u64, high: u64) -> Result<u64> {
    u64::try_from(value)
        .ok()
        .filter(|v| (low..=high).contains(v))
        .ok_or_else(|| out_of_range(name, format!("{value} is not between {low} and {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        assert_eq!(count("queue_depth", 7, 1, 10).unwrap(), 7);
        for bad in [0, -1, 11] {
            let err = count("queue_depth", bad, 1, 10).unwrap_err().to_string();
            assert_eq!(err, format!("parameter `queue_depth`: {bad} is not between 1 and 10"));
        }
    }
}
