//! What can go wrong between a bundle, a frame and a result. One enum for the crate: the node turns each into a
//! service answer or a counted warning, so every message names the thing and says what to do.

use std::path::PathBuf;

/// An error of this crate. Messages are lower case and name the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No ONNX Runtime library where one is looked for.
    #[error(
        "no onnxruntime library found (looked at {looked_at}); `cargo xtask fetch onnxruntime` gets one, or take libonnxruntime.so \
         out of PyPI's onnxruntime wheel and name it by the parameter `onnxruntime` or by ORT_DYLIB_PATH"
    )]
    RuntimeMissing {
        /// The places looked at, in order.
        looked_at: String,
    },
    /// The named file is no usable ONNX Runtime library.
    #[error("cannot load onnxruntime from {path}: {reason}; name a library of version 1.{minimum} or newer by the parameter `onnxruntime` or ORT_DYLIB_PATH", path = path.display(), minimum = crate::engine::library::MINIMUM_MINOR)]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// A second library was asked for in one process.
    #[error("this process already runs onnxruntime from {loaded}; {asked} needs a process of its own", loaded = loaded.display(), asked = asked.display())]
    RuntimeFixed {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// An execution provider the library does not have.
    #[error(
        "this onnxruntime has no execution provider `{asked}`, it offers {offered}; name a library built with it by the parameter `onnxruntime`"
    )]
    ProviderMissing {
        /// The provider asked for.
        asked: &'static str,
        /// Those the library has.
        offered: String,
    },
    /// The bundle cannot be read, is malformed, or contradicts itself.
    #[error("bundle {path} cannot be used: {source}", path = path.display())]
    Bundle {
        /// The bundle's folder.
        path: PathBuf,
        /// What is wrong with it.
        source: edgeflow_bundle::Error,
    },
    /// The bundle is not the one that was asked for.
    #[error("bundle {path} has digest {found}, expected {expected}; download it again or ask for the digest it has", path = path.display())]
    DigestMismatch {
        /// The bundle's folder.
        path: PathBuf,
        /// Digest of what lies there.
        found: String,
        /// Digest asked for.
        expected: String,
    },
    /// A digest string that is none.
    #[error("expected digest: {source}")]
    DigestMalformed {
        /// What is wrong with it.
        source: edgeflow_bundle::Error,
    },
    /// The model file is not the one whose digest was taken a moment before.
    #[error("{path} changed while it was being loaded; write bundles under another name and move them into place", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The runtime refuses the graph.
    #[error("onnxruntime cannot load model.onnx: {reason}; check that the file is whole and that its opset is one this onnxruntime knows")]
    Session {
        /// What the runtime said.
        reason: String,
    },
    /// A graph input or output of a type that nothing here can move.
    #[error("{end} of model.onnx is {is}, which cannot be moved: {remedy}")]
    Unmovable {
        /// Input or output, and its name.
        end: String,
        /// Its type in words.
        is: String,
        /// What to do to the graph.
        remedy: &'static str,
    },
    /// The new session failed its first run.
    #[error("model failed its warm-up with an empty input: {source}")]
    WarmUp {
        /// Why.
        source: Box<Error>,
    },
    /// The graph failed at run time.
    #[error("inference failed: {reason}")]
    Run {
        /// What the runtime said.
        reason: String,
    },
    /// A load without a folder.
    #[error("bundle_path is empty; name a folder with model.onnx")]
    NoBundlePath,
    /// A drift baseline over features that frames and answers do not have.
    #[error("the drift baseline has a feature `{name}`, but what is measured of this model is {known}; build the baseline again")]
    BaselineFeature {
        /// The feature.
        name: String,
        /// Those they have.
        known: String,
    },
    /// None or several of the ways to give a baseline.
    #[error("give one of baseline_path, baseline_json and learn_frames")]
    WhichBaseline,
    /// The model computes something else than the bundle's golden cases say.
    #[error("golden.json case {case}: {reason}; the model does not compute here what it did where the bundle was made")]
    Golden {
        /// Name or number of the case.
        case: String,
        /// What is off, and by how much.
        reason: String,
    },
    /// There is no model to go back to.
    #[error("no previous model is kept: nothing was loaded over another, it was rolled back already, or keep_previous is false")]
    NoPrevious,
    /// Too many requests at once.
    #[error("busy: {limit} requests are being served, which is what max_concurrent_requests allows; ask again later")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// No model is loaded.
    #[error("no model is loaded; call ~/load_model or set the parameter bundle_path")]
    NoModel,
    /// A slot this node does not have.
    #[error("unknown slot `{slot}`; this node has {known}")]
    UnknownSlot {
        /// What was asked for.
        slot: String,
        /// Those there are.
        known: String,
    },
    /// An image that contradicts itself or the manifest.
    #[error("image refused: {reason}")]
    Image {
        /// What is wrong and what to do.
        reason: String,
    },
    /// A message that contradicts itself, or lacks what the manifest takes of it.
    #[error("{kind} refused: {reason}")]
    Message {
        /// Kind of the input, as the manifest says it.
        kind: &'static str,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// A message of a kind the model does not take.
    #[error("this model takes no {given}: {reason}")]
    NoInput {
        /// Kind of what came, as the manifest says it.
        given: &'static str,
        /// Why.
        reason: String,
    },
    /// The model takes tensors only, or its image input cannot be fed.
    #[error("this model takes no images: {reason}")]
    NoImageInput {
        /// Why.
        reason: String,
    },
    /// A tensor that does not fit the graph, or is malformed.
    #[error("tensor `{name}` refused: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong, with what was expected.
        reason: String,
    },
    /// The outputs are not what the manifest says.
    #[error("cannot decode the model's outputs: {reason}")]
    Decode {
        /// What is wrong and what to do.
        reason: String,
    },
    /// The load was called off before the swap.
    #[error("canceled before the swap; what ran before keeps running")]
    Canceled,
    /// The node computes frames only while it is active.
    #[error("the node is not active: `ros2 lifecycle set {node} activate`")]
    NotActive {
        /// Fully-qualified name of the node.
        node: String,
    },
    /// The drift reference cannot be used.
    #[error("drift baseline cannot be used: {source}")]
    Drift {
        /// Why.
        #[from]
        source: edgeflow_drift::Error,
    },
    /// Nothing can be served at this address.
    #[error("http_address {address:?}: {source}; give an address of this machine with a free port, such as 127.0.0.1:8500")]
    HttpAddress {
        /// As given.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// ROS 2 refused something.
    #[error("ros 2: {source}")]
    Ros {
        /// Why.
        #[from]
        source: edgeflow_ros::Error,
    },
    /// A recording that cannot be replayed.
    #[error("recording {path}: {reason}", path = path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A snapshot that is not written.
    #[error("snapshot {path}: {reason}", path = path.display())]
    Snapshot {
        /// The file, or the folder it was to be in.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file or thread could not be had.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried.
        operation: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
