//! A loaded model: bundle, session and everything between a frame and its result.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edgeflow_bundle::{Bundle, Digest, InputSpec, Layout, Manifest, OnnxSchema};
use edgeflow_drift::{Baseline, IMAGE_FEATURES};

use super::backend::{Backend, Session, SessionOptions};
use super::golden;
use crate::decode::{Classification, Decoded, Decoder, Thresholds};
use crate::image::{CheckedFrame, Frame, Placement, Prepared, Preparer, Scratch};
use crate::tensor::{Data, Tensor, TensorSpec, element_count};
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
    preparer: Option<Preparer>,
    decoder: Decoder,
    runner: Mutex<Runner>,
    /// How long runs take; 0 before the first.
    run_ns: AtomicU64,
}

/// Less than this is not worth a thread of its own.
const QUICK: Duration = Duration::from_micros(500);

/// What one frame at a time may use.
struct Runner {
    session: Box<dyn Session>,
    scratch: Scratch,
}

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
        Some(text) => Some((text.clone(), read_baseline(text)?)),
        None => None,
    };
    Ok(Opened { bundle, onnx, baseline })
}

/// Reads `baseline.json`; it may only name features a frame has.
fn read_baseline(text: &str) -> Result<Baseline> {
    let baseline = Baseline::from_json(text)?;
    let unknown = baseline.features.iter().find(|f| !IMAGE_FEATURES.iter().any(|(name, _)| *name == f.name));
    match unknown {
        Some(feature) => {
            let known: Vec<&str> = IMAGE_FEATURES.iter().map(|(name, _)| *name).collect();
            Err(Error::BaselineFeature { name: feature.name.clone(), known: known.join(", ") })
        }
        None => Ok(baseline),
    }
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
        let session = backend.load(&onnx, options)?;
        let rank_known = |spec: &TensorSpec| bundle.schema.input(&spec.name).is_none_or(|input| input.rank_known);
        let inputs = session.inputs().iter().map(|spec| TensorSpec { rank_known: rank_known(spec), ..spec.clone() }).collect::<Vec<_>>();
        let outputs = session.outputs().to_vec();
        for output in outputs.iter().filter(|output| output.element_type.is_none()) {
            tracing::warn!(model = %request.model_name(), output = %output.name, is = %output.type_name, "results will lack this output: it is no tensor and no sequence of maps");
        }
        let manifest = bundle.manifest.as_ref();
        let decoder = Decoder::new(manifest, session.outputs())?;
        let preparer = manifest.and_then(|m| m.input.clone()).map(|input| preparer(input, &inputs)).transpose()?;
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
            preparer,
            decoder,
            runner: Mutex::new(Runner { session, scratch: Scratch::default() }),
            run_ns: AtomicU64::new(0),
        };
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

    /// How its outputs are read.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Whether frames can be fed to this model.
    pub fn takes_images(&self) -> bool {
        self.preparer.is_some()
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
        let Some(preparer) = &self.preparer else {
            return Err(Error::NoImageInput {
                reason: "its bundle has no edgeflow.yaml with `input`; add one, or call ~/infer with the graph's input tensors".into(),
            });
        };
        let began = Instant::now();
        let mut runner = self.runner();
        let Prepared { tensor, placement } = preparer.prepare(frame, &mut runner.scratch)?;
        self.check(std::slice::from_ref(&tensor))?;
        let outputs = runner.session.run(&[tensor])?;
        drop(runner);
        self.took(began.elapsed());
        self.decoded(outputs, Some(&placement), asked)
    }

    /// Runs the model on tensors: each of the graph's inputs once, in any order.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the input that is missing, unknown, doubled or of the wrong type or shape.
    pub fn infer_tensors(&self, tensors: &[Tensor]) -> Result<Inference> {
        self.check(tensors)?;
        self.infer_checked(tensors)
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
        let outputs = self.runner().session.run(tensors);
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

    fn runner(&self) -> MutexGuard<'_, Runner> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an empty frame (or empty tensors) the whole way, so that the first real one finds everything allocated and
    /// a model that cannot run is found out before it serves.
    fn warm_up(&self) -> Result<()> {
        let Some(preparer) = &self.preparer else { return self.warm_up_tensors() };
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
            let Some(ty) = spec.element_type else {
                return Err(Error::Tensor {
                    name: spec.name.clone(),
                    reason: format!("the graph wants {}, which this node cannot feed", spec.type_name),
                });
            };
            let shape: Vec<i64> = spec.shape.iter().map(|d| if *d < 0 { 1 } else { *d }).collect();
            let count = element_count(&shape)
                .ok_or_else(|| Error::Tensor { name: spec.name.clone(), reason: format!("shape {shape:?} is too large") })?;
            tensors.push(Tensor::new(spec.name.clone(), shape, Data::zeros(ty, count))?);
        }
        match self.infer_tensors(&tensors) {
            // One element in an open dimension, or an empty string, may be nothing this graph can take: not its fault.
            Err(Error::Run { reason }) if self.inputs.iter().any(|s| !s.rank_known || s.shape.iter().any(|d| *d < 0)) => {
                tracing::warn!(model = %self.name, %reason, "the warm-up with ones for the graph's open dimensions failed; it is not warmed up");
                Ok(())
            }
            other => other.map(drop),
        }
    }
}

/// The preparer for the graph input a manifest names, or the only one.
fn preparer(input: InputSpec, inputs: &[TensorSpec]) -> Result<Preparer> {
    let spec = match (&input.tensor, inputs) {
        (Some(name), _) => inputs.iter().find(|spec| spec.name == *name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(spec) = spec else {
        let reason = "the graph has other inputs than edgeflow.yaml says; name one of them as `input.tensor`".into();
        return Err(Error::NoImageInput { reason });
    };
    Preparer::new(input, spec)
}

/// Size of the warm-up's frame: one that has to be resized when the manifest resizes, else what the graph wants.
fn warm_up_size(input: &InputSpec, spec: Option<&TensorSpec>) -> (u32, u32) {
    const ANY: u32 = 64;
    if let Some(resize) = input.resize {
        return (resize.width.saturating_mul(2).min(16_384), resize.height.saturating_mul(2).min(16_384));
    }
    let shape = spec.map(|s| s.shape.as_slice()).unwrap_or_default();
    let at = |i: usize| shape.get(i).and_then(|d| u32::try_from(*d).ok()).filter(|d| *d > 0);
    match input.layout {
        Layout::Nchw => (at(3).unwrap_or(ANY), at(2).unwrap_or(ANY)),
        Layout::Nhwc => (at(2).unwrap_or(ANY), at(1).unwrap_or(ANY)),
        Layout::Flat => (at(1).map_or(ANY, |n| n / input.encoding.channels() as u32).max(1), if at(1).is_some() { 1 } else { ANY }),
    }
}

/// The folder of a bundle must exist before anything else is said about it.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Err(Error::NoBundlePath);
    }
    Ok(())
}
