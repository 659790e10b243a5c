//! The node's parameters: one place that declares, describes and checks them.

use edgeflow_drift::Config;
use edgeflow_ros::{Node, QosProfile};

use crate::Result;

/// What the program prints for `--help`.
pub const USAGE: &str = "\
inference_node: runs an ONNX model on camera frames and swaps models between two frames

usage: inference_node [--help] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE -r __ns:=NAMESPACE --log-level LEVEL]

for instance: inference_node --ros-args -p bundle_path:=models/v1 -r '~/image:=camera/image'

topics     ~/image (in, sensor_msgs/Image), ~/tensors (in, edgeflow_msgs/TensorList), ~/result, ~/drift, ~/status (latched)
services   ~/infer, ~/load_model, ~/get_model_info
actions    ~/deploy_model
lifecycle  configure loads bundle_path, activate takes frames, deactivate takes none, cleanup frees the model
parameters
  autostart               configure and activate without being told                               (true)
  bundle_path             folder with model.onnx, loaded by configure; empty: ~/load_model        (\"\")
  model_name              registry name of that model; empty: the folder's name                   (\"\")
  model_version           registry version of that model                                          (\"\")
  queue_policy            all: every frame in order; latest: only the newest                      (all)
  queue_depth             frames that may wait; what does not fit is dropped and counted          (1000)
  qos_overrides.TOPIC.subscription.reliability and its like, for ~/image and ~/tensors (sensor data), ~/result and ~/drift
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
    /// Go to active without being told.
    pub autostart: bool,
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
    /// Quality of service of the camera.
    pub image_qos: QosProfile,
    /// Of the other inputs.
    pub tensors_qos: QosProfile,
    /// Of results.
    pub result_qos: QosProfile,
    /// Of drift reports.
    pub drift_qos: QosProfile,
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
    /// A value of the wrong type or out of range, or a name nobody knows.
    pub fn declare(node: &Node) -> Result<Self> {
        let text = |name: &str, default: &str| node.parameter(name, default.to_owned());
        let whole = |name: &str, default: i64| node.parameter(name, default);
        let queue_depth = whole("queue_depth", 1000)
            .description("Frames that may wait; what does not fit is dropped and counted.")
            .range(1..=100_000)
            .read_only()? as usize;
        let params = Self {
            // Best effort meets every camera.
            image_qos: node.subscription_qos("~/image", QosProfile::sensor_data().keep_last(queue_depth))?,
            tensors_qos: node.subscription_qos("~/tensors", QosProfile::sensor_data().keep_last(queue_depth))?,
            result_qos: node.publisher_qos("~/result", QosProfile::default().keep_last(100))?,
            drift_qos: node.publisher_qos("~/drift", QosProfile::default().keep_last(10))?,
            autostart: node
                .parameter("autostart", true)
                .description("Configure and activate by itself. False: wait for the lifecycle services, as under a lifecycle manager.")
                .read_only()?,
            bundle_path: text("bundle_path", "")
                .description("Folder with model.onnx, loaded when the node is configured. Empty: wait for ~/load_model.")
                .read_only()?,
            model_name: text("model_name", "")
                .description("Registry name of the model at bundle_path. Empty: the folder's name.")
                .read_only()?,
            model_version: text("model_version", "").description("Registry version of the model at bundle_path.").read_only()?,
            queue_policy: match text("queue_policy", "all")
                .description("Frames that wait while the model is busy: all in order, or only the latest.")
                .choices(&["all", "latest"])
                .read_only()?
                .as_str()
            {
                "latest" => QueuePolicy::Latest,
                _ => QueuePolicy::All,
            },
            queue_depth,
            drift: Config {
                window_frames: whole("drift_window_frames", 100)
                    .description("Frames per drift window.")
                    .range(20..=1_000_000)
                    .read_only()? as u64,
                false_alarm_rate: node
                    .parameter("drift_false_alarm_rate", 0.001)
                    .description("Chance per window, over all features, of a false significance.")
                    .range(1e-9..=0.5)
                    .read_only()?,
            },
            drift_baseline_frames: whole("drift_baseline_frames", 1000)
                .description("Frames to learn a drift baseline from when the bundle has none.")
                .range(100..=1_000_000)
                .read_only()? as u64,
            intra_op_threads: whole("intra_op_threads", 1)
                .description("Threads ONNX Runtime uses inside one operator.")
                .range(1..=256)
                .read_only()? as usize,
            onnxruntime: text("onnxruntime", "")
                .description("Path of libonnxruntime.so. Empty: ORT_DYLIB_PATH, else beside the executable.")
                .read_only()?,
        };
        node.check_unknown_parameters()?;
        Ok(params)
    }
}
