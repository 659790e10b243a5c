//! The ONNX Runtime backend, through `ort`. One environment per process, loaded from a library at run time.

mod binding;
mod cast;
mod ends;
mod providers;
mod values;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{HasSelectedOutputs, RunOptions};

use self::binding::Bound;
use self::ends::Ends;
use super::backend::{Backend, IoBinding, Session, SessionOptions};
use super::library;
use crate::tensor::{Tensor, TensorSpec};
use crate::{Error, Result};
pub use providers::Provider;

/// The one environment of this process and the library it came from. `ort` itself keeps only a weak reference and
/// refuses a second environment, so this one is never dropped.
static ENVIRONMENT: Mutex<Option<(PathBuf, ort::environment::Environment)>> = Mutex::new(None);

/// ONNX Runtime.
#[derive(Debug)]
pub struct OrtBackend {
    environment: ort::environment::Environment,
    path: PathBuf,
}

impl OrtBackend {
    /// Finds the library as [`library::find`] says and loads it.
    pub fn find(named: &str) -> Result<Self> {
        Self::from_library(&library::find(named)?)
    }

    /// Loads ONNX Runtime from `path`; a later call in the same process must name the same file.
    pub fn from_library(path: &Path) -> Result<Self> {
        let asked = path.canonicalize().map_err(|e| Error::RuntimeUnusable { path: path.to_owned(), reason: e.to_string() })?;
        let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((loaded, environment)) = slot.as_ref() {
            if *loaded != asked {
                return Err(Error::RuntimeFixed { loaded: loaded.clone(), asked });
            }
            return Ok(Self { environment: environment.clone(), path: asked });
        }
        // `init_from` checks the library's version and answers with an error where any other call of `ort` would panic.
        let builder = ort::init_from(&asked).map_err(|e| Error::RuntimeUnusable { path: asked.clone(), reason: unusable(&e) })?;
        let environment = builder
            .with_name("edgeflow")
            .with_telemetry(false)
            .build()
            .map_err(|e| Error::RuntimeUnusable { path: asked.clone(), reason: e.to_string() })?;
        // Without ort's `tracing` feature the runtime writes to stderr itself: warnings about optimisers are noise there.
        environment.set_log_level(ort::logging::LogLevel::Error);
        *slot = Some((asked.clone(), environment.clone()));
        Ok(Self { environment, path: asked })
    }
}

impl OrtBackend {
    /// The environment, for whoever runs sessions of their own on the same library, as the benchmark does.
    pub fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }
}

/// Why a library was refused, without the advice of `ort`'s own message.
fn unusable(error: &ort::LoadDynamicError) -> String {
    match error {
        ort::LoadDynamicError::BadVersion { version_str, .. } => format!("it is version {version_str}, too old"),
        ort::LoadDynamicError::MissingApi { .. } => "it is no onnxruntime (OrtGetApiBase is missing)".to_owned(),
        ort::LoadDynamicError::InvalidVersionString => "its version cannot be read".to_owned(),
        ort::LoadDynamicError::Dlopen { error, .. } => error.to_string(),
    }
}

impl Backend for OrtBackend {
    fn describe(&self) -> String {
        format!("onnxruntime from {}", self.path.display())
    }

    fn check(&self, options: &SessionOptions) -> Result<()> {
        providers::check(&options.providers)
    }

    fn load(&self, onnx: &[u8], options: &SessionOptions) -> Result<Box<dyn Session>> {
        self.check(options)?;
        let refuse = |e: &dyn std::fmt::Display| Error::Session { reason: e.to_string() };
        let providers: Vec<_> = options.providers.iter().filter_map(|p| p.registration()).collect();
        let inner = ort::session::Session::builder(&self.environment)
            .map_err(|e| refuse(&e))?
            .with_execution_providers(providers)
            .map_err(|e| refuse(&e))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|e| refuse(&e))?
            .with_intra_threads(options.intra_op_threads)
            .map_err(|e| refuse(&e))?
            .with_inter_threads(options.inter_op_threads)
            .map_err(|e| refuse(&e))?
            .with_parallel_execution(options.inter_op_threads > 1)
            .map_err(|e| refuse(&e))?
            // A robot's other programs want the cores between two frames.
            .with_intra_op_spinning(false)
            .map_err(|e| refuse(&e))?
            .with_inter_op_spinning(false)
            .map_err(|e| refuse(&e))?
            .commit_from_memory(onnx)
            .map_err(|e| refuse(&e))?;
        let inputs = Ends::inputs(&self.environment, inner.inputs())?;
        let outputs = Ends::outputs(&self.environment, inner.outputs())?;
        let binds = match options.io_binding {
            IoBinding::Auto => options.providers.iter().any(|provider| provider.has_memory_of_its_own()),
            IoBinding::Always => true,
            IoBinding::Never => false,
        };
        let memory = if binds {
            Memory::Bound(Box::new(Bound::new(&inner)?))
        } else {
            Memory::Plain(values::reused(&outputs.specs, &outputs.kinds)?)
        };
        let keeps = !matches!(memory, Memory::Plain(None));
        Ok(Box::new(OrtSession { inputs, outputs, binds, running: Mutex::new(Running { session: inner, memory, keeps }) }))
    }
}

struct OrtSession {
    inputs: Ends,
    outputs: Ends,
    binds: bool,
    running: Mutex<Running>,
}

/// What one run at a time may use.
struct Running {
    session: ort::session::Session,
    memory: Memory,
    /// Whether outputs whose shape is told go into memory that stays; not after the graph has told a wrong one.
    keeps: bool,
}

/// Where a run's inputs and outputs lie.
enum Memory {
    /// Inputs are read where they are. Outputs whose shape the graph tells, if there are any, go into memory that stays.
    Plain(Option<RunOptions<HasSelectedOutputs>>),
    /// Both are bound to memory that stays.
    Bound(Box<Bound>),
}

impl Session for OrtSession {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs.specs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs.specs
    }

    fn binds(&self) -> bool {
        self.binds
    }

    fn run(&self, given: &[Tensor]) -> Result<Vec<Tensor>> {
        // Made before the lock is taken, and dropped when it is free again: others wait for the run alone.
        let views = if self.binds { Vec::new() } else { self.inputs.values(given)? };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { session, memory, keeps } = &mut *running;
        let mut attempt = |keeps: bool| {
            let ran = match memory {
                Memory::Bound(bound) => return bound.run(session, (&self.inputs, &self.outputs), given, keeps),
                Memory::Plain(Some(options)) if keeps => session.run_with_options(views.as_slice(), options),
                Memory::Plain(_) => session.run(views.as_slice()),
            };
            self.outputs.tensors(&ran.map_err(values::failed)?)
        };
        let failed = match attempt(*keeps) {
            Err(error) if *keeps => error,
            ran => return ran,
        };
        // Some graphs give other shapes than they tell, which the runtime itself only warns of. What fails again fails for
        // another reason.
        let outputs = attempt(false)?;
        *keeps = false;
        tracing::debug!(error = %failed, "the graph told a wrong shape: its outputs get memory of their own from now on");
        Ok(outputs)
    }
}
