//! The node's parameters: one place that declares, describes and checks them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use edgeflow_drift::Config;
use edgeflow_ros::{DeclaredParameter, Node, QosProfile};

use super::decoding::DecodingParameters;
use super::slots::{DEFAULT_SLOT, parameter, topic};
use super::snapshot::SnapshotParameters;
use super::vision::VisionQos;
use crate::Result;
use crate::engine::{IoBinding, Limits, LoadRequest, Provider, SessionOptions};

/// What the program prints for `--help`.
pub const USAGE: &str = "\
inference_node: runs an ONNX model on camera frames and swaps models between two frames

usage: inference_node [--help] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE -r __ns:=NAMESPACE --log-level LEVEL]

for instance: inference_node --ros-args -p bundle_path:=models/v1 -r '~/image:=camera/image'

topics (those of a slot other than `default` are below ~/SLOT/)
  ~/image in sensor_msgs/Image; sensor data (best effort), keep last `queue_depth`
      frames, in any of the encodings below
  ~/image/compressed in sensor_msgs/CompressedImage; sensor data (best effort), keep last `queue_depth`
      frames as JPEG or PNG
  ~/tensors in edgeflow_msgs/TensorList; sensor data (best effort), keep last `queue_depth`
      the graph's input tensors, for models that take no images
  ~/points in sensor_msgs/PointCloud2; sensor data (best effort), keep last `queue_depth`
      scans
  ~/imu in sensor_msgs/Imu; sensor data (best effort), keep last `queue_depth`
      samples, gathered into windows
  ~/joint_states in sensor_msgs/JointState; sensor data (best effort), keep last `queue_depth`
      states of joints, gathered into windows
  ~/array in std_msgs/Float32MultiArray; sensor data (best effort), keep last `queue_depth`
      arrays, gathered into windows
  ~/result out edgeflow_msgs/InferenceResult; reliable, 100
      one for each frame, scan, window or list of tensors that was processed, in order, with its header; the raw outputs where no decoder applies
  ~/classification out vision_msgs/Classification; reliable, 100; while the model's outputs are decoded so
      the best classes of a frame, with their scores
  ~/detections out vision_msgs/Detection2DArray; reliable, 100; while the model's outputs are decoded so
      boxes in the pixels of the frame as the camera sent it, best first
  ~/segmentation out sensor_msgs/Image; reliable, 10; while the model's outputs are decoded so
      label image of the frame's size, `mono8` or, with more than 255 classes, `16UC1`, whose greatest number is no class
  ~/annotated out sensor_msgs/Image; sensor data (best effort), 5; while the model's outputs are decoded to one of the three
      the frame as `rgb8` with boxes, class or label image drawn in; drawn only when somebody subscribes
  ~/vision_info out vision_msgs/VisionInfo; reliable, latched; while the model has labels
      the model, and the topic where its labels are
  ~/label_info out vision_msgs/LabelInfo; reliable, latched; while the model has labels
      the labels by number, and the least score
  ~/drift out edgeflow_msgs/DriftReport; reliable, 10
      one for each window of frames, scans or samples
  ~/status out edgeflow_msgs/DeploymentStatus; reliable, latched
      PENDING, VERIFYING, WARMING, ACTIVE, FAILED, ROLLED_BACK
  ~/shadow out edgeflow_msgs/ShadowResult; reliable, 10; while a shadow runs
      how the shadow model did on a frame beside the active one
  /diagnostics out diagnostic_msgs/DiagnosticArray; reliable, 10
      once a second: model, rate, latency percentiles, frames dropped and refused, drift
  ~/transition_event out lifecycle_msgs/TransitionEvent; reliable, 10
      each change of the lifecycle's state
services
  ~/infer edgeflow_msgs/Infer
      runs the active model once, on an image (as it is, or as JPEG or PNG) or on the graph's input tensors; gives the raw outputs too
  ~/load_model edgeflow_msgs/LoadModel
      loads a bundle beside the running model and swaps it in between two frames
  ~/rollback_model edgeflow_msgs/RollbackModel
      puts the model that ran before back, at once: it is still in memory
  ~/set_shadow edgeflow_msgs/SetShadow
      runs a second model on the same frames, to compare; an empty path ends it
  ~/save_snapshot edgeflow_msgs/SaveSnapshot
      writes the newest frames, with their results and drift reports, to an MCAP file
  ~/reset_drift edgeflow_msgs/ResetDrift
      begins the drift watch anew: an empty window, nothing flagged, and what was learnt is learnt anew
  ~/set_baseline edgeflow_msgs/SetBaseline
      holds frames against another drift baseline: from a file, a text, or learnt from the next frames; a bad one is refused and the
      old one stays
  ~/get_model_info edgeflow_msgs/GetModelInfo
      name, version, digests and labels of the active model; what its graph says: inputs and outputs with types and shapes, operator
      sets, producer, metadata
actions
  ~/deploy_model edgeflow_msgs/DeployModel
      as `~/load_model`, with feedback for each step, and a cancel that is honoured until the swap
lifecycle  configure loads bundle_path, activate takes frames, deactivate takes none, cleanup frees the model
parameters
  autostart               configure and activate without being told                               (true)
  bundle_path             folder with model.onnx, loaded by configure; empty: ~/load_model        (\"\")
  model_name              registry name of that model; empty: the folder's name                   (\"\")
  model_version           registry version of that model                                          (\"\")
  queue_policy            all: every frame in order; latest: only the newest                      (all)
  queue_depth             frames that may wait; what does not fit is dropped and counted          (1000)
  qos_overrides.TOPIC.subscription.reliability and its like, for what comes in (sensor data) and, with .publisher., for what goes out
  score_threshold         least score of what is decoded; -1: the manifest's                      (-1)
  iou_threshold           greatest overlap of two detections of one class; -1: the manifest's     (-1)
  max_detections          most detections of a frame; -1: the manifest's                          (-1)
  top_k                   most classes in ~/classification; -1: the manifest's                    (-1)
  labels                  class names, from the next load on; one empty name: the manifest's      ([\"\"])
  drift_window_frames     frames per drift window, at least 20                                    (100)
  drift_window_s          seconds after which a window closes although it is not full; 0: never   (0.0)
  drift_false_alarms_per_day  false flags per day, over all features                              (0.1)
  drift_baseline_frames   frames to learn a baseline from when the bundle has none, at least 100  (1000)
  slots                   model slots; topics of all but `default` are below ~/SLOT/              ([default])
  SLOT.bundle_path        and its like, from bundle_path to model_version and score_threshold to labels: of a slot other than `default`
  execution_providers     of cpu, cuda, tensorrt, openvino, in the order of preference            ([cpu])
  intra_op_threads        threads inside one operator                                             (1)
  inter_op_threads        operators at the same time, in a graph with branches                    (1)
  io_binding              bind inputs and outputs to memory that stays: auto, always, never       (auto)
  keep_previous           keep what a load replaces, for ~/rollback_model                         (true)
  max_concurrent_requests requests at the same time; more are answered with `busy`                (64)
  batch_max               rows in one run when requests come together; 1: no batching             (1)
  batch_deadline_us       how long a request waits for others                                     (1000)
  snapshot_frames         newest frames kept for ~/save_snapshot; 0: none                         (100)
  snapshot_max_bytes      most memory of these frames                                             (33554432)
  snapshot_dir            where snapshots go; empty: edgeflow/snapshots in ROS_HOME or ~/.ros     (\"\")
  snapshot_on_drift       save the frames around a flag of drift                                  (false)
  snapshot_after_frames   frames after the flag                                                   (30)
  snapshot_keep           files of flags that stay, newest first                                  (10)
  http_address            address to serve HTTP at, without authentication; empty: no HTTP        (\"\")
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

/// Which frames wait, and how many.
#[derive(Clone, Debug)]
pub struct QueueParameters {
    policy: DeclaredParameter<String>,
    depth: DeclaredParameter<i64>,
}

impl QueueParameters {
    /// Policy and depth as they are set now.
    pub fn get(&self) -> (QueuePolicy, usize) {
        // Names were checked when they were set.
        let policy = if self.policy.get() == "latest" { QueuePolicy::Latest } else { QueuePolicy::All };
        (policy, self.depth.get() as usize)
    }

    /// Tells of policy and depth whenever one is set; ends with the node.
    pub async fn follow(mut self, tell: impl Fn(QueuePolicy, usize)) {
        loop {
            let set = tokio::select! {
                set = self.policy.changed() => set.map(drop),
                set = self.depth.changed() => set.map(drop),
            };
            if set.is_none() {
                return;
            }
            let (policy, depth) = self.get();
            tell(policy, depth);
        }
    }
}

/// Values of the node's parameters, checked.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Go to active without being told.
    pub autostart: bool,
    /// What each slot is told.
    pub slots: Vec<SlotParameters>,
    /// Which frames wait.
    pub queue: QueueParameters,
    /// Drift windows.
    pub drift: DriftParameters,
    /// How sessions are built.
    pub session: SessionParameters,
    /// How requests are served.
    pub requests: RequestParameters,
    /// What snapshots are made of.
    pub(crate) snapshot: SnapshotParameters,
    /// Where HTTP is served; empty: nowhere.
    pub http_address: String,
    /// Library named by the user; empty: search.
    pub onnxruntime: String,
}

/// Parameters of one slot.
#[derive(Clone, Debug)]
pub struct SlotParameters {
    /// Its name.
    pub name: String,
    /// Bundle that configure loads.
    pub bundle: BundleParameters,
    /// Quality of service of the camera.
    pub image_qos: QosProfile,
    /// Of a camera that compresses.
    pub compressed_qos: QosProfile,
    /// Of tensors.
    pub tensors_qos: QosProfile,
    /// Of scans.
    pub points_qos: QosProfile,
    /// Of the inertial measurement unit.
    pub imu_qos: QosProfile,
    /// Of joint states.
    pub joint_states_qos: QosProfile,
    /// Of arrays.
    pub array_qos: QosProfile,
    /// Of results.
    pub result_qos: QosProfile,
    /// Of drift reports.
    pub drift_qos: QosProfile,
    /// Of what outputs mean.
    pub vision_qos: VisionQos,
    /// How outputs are read.
    pub decoding: DecodingParameters,
}

/// The bundle that configure loads.
#[derive(Clone, Debug)]
pub struct BundleParameters {
    path: DeclaredParameter<String>,
    name: DeclaredParameter<String>,
    version: DeclaredParameter<String>,
}

impl BundleParameters {
    /// As it is set now; `None` when none is named.
    pub fn request(&self) -> Option<LoadRequest> {
        let path = self.path.get();
        (!path.is_empty()).then(|| LoadRequest { path: path.into(), name: self.name.get(), version: self.version.get(), expected: None })
    }
}

/// How sessions are built from the next load on.
#[derive(Clone, Debug)]
pub struct SessionParameters {
    execution_providers: DeclaredParameter<Vec<String>>,
    intra_op_threads: DeclaredParameter<i64>,
    inter_op_threads: DeclaredParameter<i64>,
    io_binding: DeclaredParameter<String>,
    /// Whether a load keeps what it replaces.
    pub keep_previous: DeclaredParameter<bool>,
}

impl SessionParameters {
    /// As they are set now; classes are called what the manifest calls them.
    pub fn options(&self) -> SessionOptions {
        SessionOptions {
            labels: Vec::new(),
            // Names were checked when they were set.
            providers: self.execution_providers.get().iter().filter_map(|name| Provider::from_name(name)).collect(),
            intra_op_threads: self.intra_op_threads.get() as usize,
            inter_op_threads: self.inter_op_threads.get() as usize,
            io_binding: IoBinding::from_name(&self.io_binding.get()).unwrap_or_default(),
        }
    }
}

/// Drift windows, from the next one on.
#[derive(Clone, Debug)]
pub struct DriftParameters {
    window_frames: DeclaredParameter<i64>,
    window_s: DeclaredParameter<f64>,
    false_alarms_per_day: DeclaredParameter<f64>,
    baseline_frames: DeclaredParameter<i64>,
}

impl DriftParameters {
    /// As they are set now.
    pub fn config(&self) -> Config {
        Config {
            window_frames: self.window_frames.get() as u64,
            window_s: self.window_s.get(),
            false_alarms_per_day: self.false_alarms_per_day.get(),
        }
    }

    /// Frames a learnt baseline takes.
    pub fn baseline_frames(&self) -> u64 {
        self.baseline_frames.get() as u64
    }
}

/// How requests are served.
#[derive(Clone, Debug)]
pub struct RequestParameters {
    max_concurrent: DeclaredParameter<i64>,
    batch_max: DeclaredParameter<i64>,
    batch_deadline_us: DeclaredParameter<i64>,
}

impl RequestParameters {
    /// Limits as they are set now.
    pub fn limits(&self) -> Arc<Limits> {
        let limits = Arc::default();
        self.copy(&limits);
        limits
    }

    fn copy(&self, limits: &Limits) {
        limits.max_concurrent.store(self.max_concurrent.get() as usize, Ordering::Relaxed);
        limits.batch_max.store(self.batch_max.get() as usize, Ordering::Relaxed);
        limits.batch_deadline_us.store(self.batch_deadline_us.get() as u64, Ordering::Relaxed);
    }

    /// Copies a value over whenever one is set; ends with the node.
    pub async fn follow(mut self, limits: Arc<Limits>) {
        loop {
            let set = tokio::select! {
                set = self.max_concurrent.changed() => set,
                set = self.batch_max.changed() => set,
                set = self.batch_deadline_us.changed() => set,
            };
            if set.is_none() {
                return;
            }
            self.copy(&limits);
        }
    }
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
            .declare()?;
        let slots = node
            .parameter("slots", vec![DEFAULT_SLOT.to_owned()])
            .description("Model slots of this node. The topics of `default` are the node's own, those of any other are below ~/SLOT/.")
            .constraints("names of lower-case letters, digits and underscores, each once")
            .validate(|names| check_slots(names))
            .read_only()?;
        let params = Self {
            autostart: node
                .parameter("autostart", true)
                .description("Configure and activate by itself. False: wait for the lifecycle services, as under a lifecycle manager.")
                .read_only()?,
            slots: slots.iter().map(|slot| SlotParameters::declare(node, slot, queue_depth.get() as usize)).collect::<Result<_>>()?,
            queue: QueueParameters {
                policy: text("queue_policy", "all")
                    .description("Frames that wait while the model is busy: all in order, or only the latest.")
                    .choices(&["all", "latest"])
                    .declare()?,
                depth: queue_depth,
            },
            drift: DriftParameters {
                window_frames: whole("drift_window_frames", 100)
                    .description("Frames per drift window, from the next one on.")
                    .range(20..=1_000_000)
                    .declare()?,
                window_s: node
                    .parameter("drift_window_s", 0.0)
                    .description("Seconds of stamps after which a drift window closes although it is not full, once it has 20 frames. 0: never.")
                    .range(0.0..=86_400.0)
                    .declare()?,
                false_alarms_per_day: node
                    .parameter("drift_false_alarms_per_day", 0.1)
                    .description("Drift flags per day that may be false, over all features of a slot.")
                    .range(1e-6..=1000.0)
                    .declare()?,
                baseline_frames: whole("drift_baseline_frames", 1000)
                    .description("Frames to learn the drift baseline of a feature from that the bundle has none for.")
                    .range(100..=1_000_000)
                    .declare()?,
            },
            session: SessionParameters {
                execution_providers: node
                    .parameter("execution_providers", vec!["cpu".to_owned()])
                    .description("What may run a model's operators, in the order of preference, from the next load on. The CPU takes what is left.")
                    .constraints("of cpu, cuda, tensorrt, openvino, as far as the ONNX Runtime library brings them")
                    .validate(|names| check_providers(names))
                    .declare()?,
                intra_op_threads: whole("intra_op_threads", 1)
                    .description("Threads ONNX Runtime uses inside one operator, from the next load on.")
                    .range(1..=256)
                    .declare()?,
                inter_op_threads: whole("inter_op_threads", 1)
                    .description("Operators ONNX Runtime runs at the same time in a graph with branches, from the next load on.")
                    .range(1..=256)
                    .declare()?,
                io_binding: text("io_binding", "auto")
                    .description("Bind inputs and outputs to memory that stays, from the next load on. auto: where a provider has memory of its own (cuda, tensorrt); on a CPU it costs a copy of the inputs.")
                    .choices(&IoBinding::NAMES)
                    .declare()?,
                keep_previous: node
                    .parameter("keep_previous", true)
                    .description("Keep the model that a load replaces in memory, for ~/rollback_model. From the next load on.")
                    .declare()?,
            },
            requests: RequestParameters {
                max_concurrent: whole("max_concurrent_requests", 64)
                    .description("Requests served at the same time in one slot; more are answered with `busy`.")
                    .range(1..=10_000)
                    .declare()?,
                batch_max: whole("batch_max", 1)
                    .description("Rows that run as one batch when requests come together, for graphs with an open first dimension whose rows do not depend on each other. 1: no batching.")
                    .range(1..=1024)
                    .declare()?,
                batch_deadline_us: whole("batch_deadline_us", 1000)
                    .description("How long a request waits for others to share a batch with, microseconds.")
                    .range(0..=1_000_000)
                    .declare()?,
            },
            snapshot: SnapshotParameters::declare(node)?,
            http_address: text("http_address", "")
                .description("Address to serve HTTP at, such as 127.0.0.1:8500. There is no authentication: keep it on the machine. Empty: no HTTP.")
                .read_only()?,
            onnxruntime: text("onnxruntime", "")
                .description("Path of libonnxruntime.so. Empty: ORT_DYLIB_PATH, else beside the executable.")
                .read_only()?,
        };
        node.check_unknown_parameters()?;
        Ok(params)
    }
}

impl SlotParameters {
    fn declare(node: &Node, slot: &str, queue_depth: usize) -> Result<Self> {
        let text = |name: &str, description: &str| node.parameter(&parameter(slot, name), String::new()).description(description).declare();
        let bundle = BundleParameters {
            path: text("bundle_path", "Folder with model.onnx, loaded when the node is configured. Empty: wait for ~/load_model.")?,
            name: text("model_name", "Registry name of the model at bundle_path. Empty: the folder's name.")?,
            version: text("model_version", "Registry version of the model at bundle_path.")?,
        };
        // Best effort meets every camera.
        let input = QosProfile::sensor_data().keep_last(queue_depth);
        Ok(Self {
            name: slot.to_owned(),
            bundle,
            image_qos: node.subscription_qos(&topic(slot, "image"), input)?,
            compressed_qos: node.subscription_qos(&topic(slot, "image/compressed"), input)?,
            tensors_qos: node.subscription_qos(&topic(slot, "tensors"), input)?,
            points_qos: node.subscription_qos(&topic(slot, "points"), input)?,
            imu_qos: node.subscription_qos(&topic(slot, "imu"), input)?,
            joint_states_qos: node.subscription_qos(&topic(slot, "joint_states"), input)?,
            array_qos: node.subscription_qos(&topic(slot, "array"), input)?,
            result_qos: node.publisher_qos(&topic(slot, "result"), QosProfile::default().keep_last(100))?,
            drift_qos: node.publisher_qos(&topic(slot, "drift"), QosProfile::default().keep_last(10))?,
            vision_qos: VisionQos::declare(node, slot)?,
            decoding: DecodingParameters::declare(node, slot)?,
        })
    }
}

fn check_slots(names: &[String]) -> std::result::Result<(), String> {
    if names.is_empty() {
        return Err("must name at least one slot".to_owned());
    }
    for (i, name) in names.iter().enumerate() {
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Err(format!("slot \"{name}\" must be lower-case letters, digits and underscores, and begin with a letter"));
        }
        if names[..i].contains(name) {
            return Err(format!("slot \"{name}\" is named twice"));
        }
    }
    Ok(())
}

fn check_providers(names: &[String]) -> std::result::Result<(), String> {
    match names.iter().find(|name| Provider::from_name(name).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(format!("must be of {}, got \"{unknown}\"", Provider::ALL.map(Provider::name).join(", "))),
    }
}
