//! A loaded model: bundle, session and everything between a frame and its result.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edgeflow_bundle::{Bundle, Digest, MANIFEST_FILE, Manifest, OnnxSchema};
use edgeflow_drift::Baseline;

use super::backend::{Backend, Session, SessionOptions};
use super::feed::{Feed, warm_up_size};
use super::{golden, movable};
use crate::adapt::{Adapter, Cloud};
use crate::decode::{Classification, Decoded, Decoder, Thresholds};
use crate::image::{CheckedFrame, Frame, Placement, Prepared, Scratch};
use crate::tensor::{Data, Tensor, TensorSpec, element_count};
use crate::watch::Measures;
use crate::{Error, Result};

/// Which bundle to load and what it is called.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// The bundle's folder.
    pub path: PathBuf,
    /// Registry name; empty: the folder's name.
    pub name: String,
    /// Registry version; may be empty.
    pub version: String,
    /// Digest the bundle must have; `None`: not checked.
    pub expected: Option<Digest>,
}

impl LoadRequest {
    /// The model's name: as given, else the folder's.
    pub fn model_name(&self) -> String {
        if self.name.is_empty() {
            return self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        }
        self.name.clone()
    }
}

/// What one run gave.
#[derive(Clone, Debug)]
pub struct Inference {
    /// What they mean, by the manifest.
    pub decoded: Decoded,
    /// The graph's outputs, in its order.
    pub outputs: Vec<Tensor>,
}

impl Inference {
    /// The class, when the manifest says that there is one.
    pub fn classification(&self) -> Option<&Classification> {
        match &self.decoded {
            Decoded::Classification(class) => Some(class),
            _ => None,
        }
    }
}

/// A model that can take frames.
pub struct Model {
    /// Registry name.
    pub name: String,
    /// Registry version.
    pub version: String,
    /// Bundle digest: the model's identity everywhere.
    pub digest: Digest,
    /// Digest of `model.onnx` alone.
    pub model_digest: Digest,
    /// What the graph states about itself.
    pub schema: OnnxSchema,
    /// Class names in class order.
    pub labels: Vec<String>,
    /// The drift reference, and its very text.
    pub baseline: Option<(String, Baseline)>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    feed: Option<Feed>,
    /// Graph inputs that are the same for every message.
    constants: Vec<Tensor>,
    decoder: Decoder,
    session: Box<dyn Session>,
    /// What frames are prepared with, one at a time; the next while one runs.
    scratch: Mutex<Scratch>,
    /// How long runs take; 0 before the first.
    run_ns: AtomicU64,
}

/// Less than this is not worth a thread of its own.
const QUICK: Duration = Duration::from_micros(500);

/// A bundle that was read and found whole, with the model's bytes.
pub(super) struct Opened {
    pub(super) bundle: Bundle,
    onnx: Vec<u8>,
    baseline: Option<(String, Baseline)>,
}

/// Reads a bundle and checks it against the digest asked for.
pub(super) fn open(request: &LoadRequest) -> Result<Opened> {
    let path = &request.path;
    let refuse = |source| Error::Bundle { path: path.clone(), source };
    let bundle = Bundle::open(path).map_err(refuse)?;
    if let Some(expected) = request.expected.filter(|e| *e != bundle.digest) {
        return Err(Error::DigestMismatch { path: path.clone(), found: bundle.digest.to_string(), expected: expected.to_string() });
    }
    let file = path.join(edgeflow_bundle::MODEL_FILE);
    let onnx = std::fs::read(&file).map_err(|source| refuse(edgeflow_bundle::Error::Read { path: file.clone(), source }))?;
    // What is run is what was hashed, even if somebody writes to the folder meanwhile.
    if Digest::of(&onnx) != bundle.model_digest {
        return Err(Error::Changed { path: file });
    }
    let baseline = match &bundle.baseline {
        Some(text) => Some((text.clone(), Baseline::from_json(text)?)),
        None => None,
    };
    Ok(Opened { bundle, onnx, baseline })
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, version, digest, .. } = self;
        f.debug_struct("Model").field("name", name).field("version", version).field("digest", digest).finish_non_exhaustive()
    }
}

impl Model {
    /// Builds a session for an opened bundle, runs it once on nothing and then on what the bundle knows the answer of.
    pub(super) fn build(request: &LoadRequest, opened: Opened, backend: &dyn Backend, options: &SessionOptions) -> Result<Self> {
        let Opened { bundle, onnx, baseline } = opened;
        let session = backend.load(&onnx, options).map_err(|error| movable::explained(error, &bundle.schema))?;
        let rank_known = |spec: &TensorSpec| bundle.schema.input(&spec.name).is_none_or(|input| input.rank_known);
        let inputs = session.inputs().iter().map(|spec| TensorSpec { rank_known: rank_known(spec), ..spec.clone() }).collect::<Vec<_>>();
        let outputs = session.outputs().to_vec();
        movable::check(&request.model_name(), &inputs, &outputs)?;
        let mut manifest = bundle.manifest;
        if let Some(manifest) = manifest.as_mut().filter(|_| !options.labels.is_empty()) {
            manifest.labels.clone_from(&options.labels);
        }
        let manifest = manifest.as_ref();
        let decoder = Decoder::new(manifest, session.outputs())?;
        let feed = manifest.and_then(|m| m.input.clone()).map(|input| Feed::new(input, &inputs)).transpose()?;
        let constants = manifest.map(|m| m.constants.as_slice()).unwrap_or_default().iter();
        let constants = constants.map(|written| golden::input(written, &inputs, MANIFEST_FILE)).collect::<Result<_>>()?;
        let model = Self {
            name: request.model_name(),
            version: request.version.clone(),
            digest: bundle.digest,
            model_digest: bundle.model_digest,
            labels: manifest.map(|m: &Manifest| m.labels.clone()).unwrap_or_default(),
            schema: bundle.schema,
            baseline,
            inputs,
            outputs,
            feed,
            constants,
            decoder,
            session,
            scratch: Mutex::default(),
            run_ns: AtomicU64::new(0),
        };
        // A baseline over what is not measured would be found out only with the first frame.
        Measures::of(&model, model.baseline.as_ref().map(|(_, baseline)| baseline))?;
        model.warm_up().map_err(|source| Error::WarmUp { source: Box::new(source) })?;
        if let Some(golden) = &bundle.golden {
            golden::check(golden, &model.inputs, |tensors| {
                model.check(tensors)?;
                model.run(tensors)
            })?;
        }
        Ok(model)
    }

    /// What the graph takes, in its order.
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// What the graph gives, in its order.
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Whether inputs and outputs are bound to memory that stays.
    pub fn binds(&self) -> bool {
        self.session.binds()
    }

    /// How its outputs are read.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Whether frames can be fed to this model.
    pub fn takes_images(&self) -> bool {
        matches!(self.feed, Some(Feed::Image(_)))
    }

    /// Whether the manifest describes messages that are fed to this model.
    pub fn has_feed(&self) -> bool {
        self.feed.is_some()
    }

    /// What turns messages into the graph's input, where the manifest describes a kind that is no image.
    pub fn table(&self) -> Option<&Adapter> {
        match &self.feed {
            Some(Feed::Table(adapter)) => Some(adapter),
            _ => None,
        }
    }

    /// As [`Model::table`], for a message of the kind `given`.
    ///
    /// # Errors
    /// [`Error::NoInput`] when the manifest describes no such input; `given` is the kind of what came.
    pub fn adapter(&self, given: &'static str) -> Result<&Adapter> {
        let reason = match &self.feed {
            Some(Feed::Table(adapter)) => return Ok(adapter),
            Some(Feed::Image(_)) => "its edgeflow.yaml describes image",
            None => "its bundle has no edgeflow.yaml with `input`; add one, or send the graph's input tensors",
        };
        Err(Error::NoInput { given, reason: reason.to_owned() })
    }

    /// Runs the model on the points of a scan, with thresholds in place of the manifest's where `asked` has any.
    ///
    /// # Errors
    /// As [`Model::adapter`], [`Adapter::cloud`] and [`Model::infer_table`].
    pub fn infer_cloud(&self, cloud: &Cloud<'_>, asked: &Thresholds) -> Result<Inference> {
        self.infer_table(self.adapter("point_cloud")?.cloud(cloud)?.tensor, asked)
    }

    /// Runs the model on a tensor that its [`Adapter`] made, with thresholds as for [`Model::infer_cloud`].
    ///
    /// # Errors
    /// [`Error::Tensor`] when its size does not fit the graph; [`Error::Run`] and [`Error::Decode`] from the run itself.
    pub fn infer_table(&self, tensor: Tensor, asked: &Thresholds) -> Result<Inference> {
        self.infer_tensors_with(&self.with_constants(tensor), asked)
    }

    /// The graph's inputs: one that was made of a message, and those that are always the same.
    fn with_constants(&self, tensor: Tensor) -> Vec<Tensor> {
        std::iter::once(tensor).chain(self.constants.iter().cloned()).collect()
    }

    /// Runs the model on one frame.
    ///
    /// # Errors
    /// [`Error::NoImageInput`] when the manifest describes no image input; [`Error::Tensor`] when the frame's size
    /// does not fit the graph; [`Error::Run`] and [`Error::Decode`] from the run itself.
    pub fn infer_frame(&self, frame: &CheckedFrame<'_>) -> Result<Inference> {
        self.infer_frame_with(frame, &Thresholds::default())
    }

    /// As [`Model::infer_frame`], with thresholds in place of the manifest's.
    ///
    /// # Errors
    /// As [`Model::infer_frame`].
    pub fn infer_frame_with(&self, frame: &CheckedFrame<'_>, asked: &Thresholds) -> Result<Inference> {
        let preparer = match &self.feed {
            Some(Feed::Image(preparer)) => preparer,
            Some(Feed::Table(adapter)) => {
                return Err(Error::NoImageInput { reason: format!("its edgeflow.yaml describes {}", adapter.spec().kind()) });
            }
            None => {
                return Err(Error::NoImageInput {
                    reason: "its bundle has no edgeflow.yaml with `input`; add one, or call ~/infer with the graph's input tensors".into(),
                });
            }
        };
        let began = Instant::now();
        let Prepared { tensor, placement } = preparer.prepare(frame, &mut self.scratch())?;
        let tensors = self.with_constants(tensor);
        self.check(&tensors)?;
        let outputs = self.session.run(&tensors)?;
        self.took(began.elapsed());
        self.decoded(outputs, Some(&placement), asked)
    }

    /// Runs the model on tensors: each of the graph's inputs once, in any order.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the input that is missing, unknown, doubled or of the wrong type or shape.
    pub fn infer_tensors(&self, tensors: &[Tensor]) -> Result<Inference> {
        self.infer_tensors_with(tensors, &Thresholds::default())
    }

    /// As [`Model::infer_tensors`], with thresholds in place of the manifest's.
    ///
    /// # Errors
    /// As [`Model::infer_tensors`].
    pub fn infer_tensors_with(&self, tensors: &[Tensor], asked: &Thresholds) -> Result<Inference> {
        self.check(tensors)?;
        self.decoded(self.run(tensors)?, None, asked)
    }

    /// Checks tensors against the graph.
    ///
    /// # Errors
    /// As [`Model::infer_tensors`].
    pub fn check(&self, tensors: &[Tensor]) -> Result<()> {
        for (i, tensor) in tensors.iter().enumerate() {
            let refuse = |reason: String| Err(Error::Tensor { name: tensor.name.clone(), reason });
            let Some(spec) = self.inputs.iter().find(|spec| spec.name == tensor.name) else {
                let names: Vec<&str> = self.inputs.iter().map(|s| s.name.as_str()).collect();
                return refuse(format!("the graph has no such input; it takes {}", names.join(", ")));
            };
            if tensors[..i].iter().any(|t| t.name == tensor.name) {
                return refuse("it is given twice".into());
            }
            spec.check(tensor)?;
        }
        match self.inputs.iter().find(|spec| !tensors.iter().any(|t| t.name == spec.name)) {
            Some(missing) => {
                let reason = format!("it is missing; the graph wants {}", missing.wanted());
                Err(Error::Tensor { name: missing.name.clone(), reason })
            }
            None => Ok(()),
        }
    }

    /// As [`Model::infer_tensors`], for tensors that were checked.
    pub(super) fn infer_checked(&self, tensors: &[Tensor]) -> Result<Inference> {
        self.decoded(self.run(tensors)?, None, &Thresholds::default())
    }

    /// The graph's outputs for tensors that were checked.
    pub(super) fn run(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>> {
        let began = Instant::now();
        let outputs = self.session.run(tensors);
        self.took(began.elapsed());
        outputs
    }

    /// What a run's outputs mean; `placement` says where the frame was, if there was one.
    pub(super) fn decoded(&self, outputs: Vec<Tensor>, placement: Option<&Placement>, asked: &Thresholds) -> Result<Inference> {
        Ok(Inference { decoded: self.decoder.decode(&outputs, placement, asked)?, outputs })
    }

    /// Whether every input and output has an open first dimension, so that requests can be put behind each other. A graph whose
    /// rows depend on each other looks the same.
    pub fn rows_are_free(&self) -> bool {
        let free = |spec: &TensorSpec| spec.rank_known && spec.shape.first() == Some(&-1) && !spec.type_name.starts_with("seq");
        !self.inputs.is_empty() && self.inputs.iter().chain(&self.outputs).all(free)
    }

    /// Whether a run lately took so little that it may happen on a thread that others wait for.
    pub fn is_quick(&self) -> bool {
        self.run_ns.load(Ordering::Relaxed) < QUICK.as_nanos() as u64
    }

    /// How long runs lately took, on average.
    pub fn typical_run(&self) -> Duration {
        Duration::from_nanos(self.run_ns.load(Ordering::Relaxed))
    }

    fn took(&self, run: Duration) {
        let (ns, before) = (run.as_nanos() as u64, self.run_ns.load(Ordering::Relaxed));
        // A moving average over about eight runs; that two threads may overwrite each other does not matter.
        self.run_ns.store(if before == 0 { ns } else { before - before / 8 + ns / 8 }, Ordering::Relaxed);
    }

    fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an empty frame (or empty tensors) the whole way, so that the first real one finds everything allocated and
    /// a model that cannot run is found out before it serves.
    fn warm_up(&self) -> Result<()> {
        let preparer = match &self.feed {
            Some(Feed::Image(preparer)) => preparer,
            Some(Feed::Table(adapter)) => {
                return self.forgiving(self.infer_table(adapter.zeros()?, &Thresholds::default()), adapter.is_open());
            }
            None => return self.warm_up_tensors(),
        };
        let (width, height) = warm_up_size(preparer.input(), self.inputs.iter().find(|s| s.name == preparer.tensor()));
        let encoding = preparer.input().encoding;
        let step = width * (encoding.channels() * encoding.channel_bytes()) as u32;
        let data = vec![0; step as usize * height as usize];
        let frame = Frame { width, height, step, encoding: encoding.name(), is_bigendian: false, data: &data };
        self.infer_frame(&frame.check()?).map(drop)
    }

    fn warm_up_tensors(&self) -> Result<()> {
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for spec in &self.inputs {
            let ty = spec.element_type.ok_or_else(|| movable::refused("input", spec))?;
            let shape: Vec<i64> = spec.shape.iter().map(|d| if *d < 0 { 1 } else { *d }).collect();
            let count = element_count(&shape)
                .ok_or_else(|| Error::Tensor { name: spec.name.clone(), reason: format!("shape {shape:?} is too large") })?;
            tensors.push(Tensor::new(spec.name.clone(), shape, Data::zeros(ty, count))?);
        }
        let is_open = self.inputs.iter().any(|s| !s.rank_known || s.shape.iter().any(|d| *d < 0));
        self.forgiving(self.infer_tensors(&tensors), is_open)
    }

    /// So many elements in an open dimension, or an empty string, may be nothing this graph can take: not its fault.
    fn forgiving(&self, ran: Result<Inference>, is_open: bool) -> Result<()> {
        match ran {
            Err(Error::Run { reason }) if is_open => {
                tracing::warn!(model = %self.name, %reason, "the warm-up with guesses for the graph's open dimensions failed; it is not warmed up");
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

/// The folder of a bundle must exist before anything else is said about it.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Err(Error::NoBundlePath);
    }
    Ok(())
}
