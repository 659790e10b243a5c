//! The ONNX Runtime backend, through `ort`. One environment per process, loaded from a library at run time.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use super::backend::{Backend, Session, SessionOptions};
use super::library;
use crate::tensor::{Data, ElementType, Tensor, TensorSpec};
use crate::{Error, Result};

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

    fn load(&self, onnx: &[u8], options: &SessionOptions) -> Result<Box<dyn Session>> {
        let refuse = |e: &dyn std::fmt::Display| Error::Session { reason: e.to_string() };
        let inner = ort::session::Session::builder(&self.environment)
            .map_err(|e| refuse(&e))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|e| refuse(&e))?
            .with_intra_threads(options.intra_op_threads)
            .map_err(|e| refuse(&e))?
            // A robot's other programs want the cores between two frames.
            .with_intra_op_spinning(false)
            .map_err(|e| refuse(&e))?
            .commit_from_memory(onnx)
            .map_err(|e| refuse(&e))?;
        let inputs = inner.inputs().iter().map(spec).collect();
        let outputs = inner.outputs().iter().map(spec).collect();
        Ok(Box::new(OrtSession { inner, inputs, outputs }))
    }
}

struct OrtSession {
    inner: ort::session::Session,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

impl Session for OrtSession {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let failed = |e: ort::Error| Error::Run { reason: e.to_string() };
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for tensor in inputs {
            values.push((Cow::Borrowed(tensor.name.as_str()), to_value(tensor).map_err(failed)?));
        }
        let outputs = self.inner.run(values).map_err(failed)?;
        let mut tensors = Vec::with_capacity(self.outputs.len());
        for spec in &self.outputs {
            let (Some(ty), Some(value)) = (spec.element_type, outputs.get(&spec.name)) else { continue };
            tensors.push(from_value(&spec.name, ty, value).map_err(failed)?);
        }
        Ok(tensors)
    }
}

/// A view of a tensor's data as the runtime's value; nothing is copied but strings.
fn to_value(tensor: &Tensor) -> std::result::Result<SessionInputValue<'_>, ort::Error> {
    let shape = tensor.shape.as_slice();
    macro_rules! view {
        ($v:expr) => {
            TensorRef::from_array_view((shape, $v.as_slice()))?.into()
        };
    }
    Ok(match &tensor.data {
        Data::F32(v) => view!(v),
        Data::F64(v) => view!(v),
        Data::U8(v) => view!(v),
        Data::I8(v) => view!(v),
        Data::U16(v) => view!(v),
        Data::I16(v) => view!(v),
        Data::U32(v) => view!(v),
        Data::I32(v) => view!(v),
        Data::U64(v) => view!(v),
        Data::I64(v) => view!(v),
        Data::Bool(v) => view!(v),
        Data::String(v) => ort::value::Tensor::from_string_array((shape, v.as_slice()))?.into(),
    })
}

fn from_value(name: &str, ty: ElementType, value: &DynValue) -> std::result::Result<Tensor, ort::Error> {
    macro_rules! copy {
        ($variant:ident, $t:ty) => {{
            let (shape, data) = value.try_extract_tensor::<$t>()?;
            (shape.to_vec(), Data::$variant(data.to_vec()))
        }};
    }
    let (shape, data) = match ty {
        ElementType::F32 => copy!(F32, f32),
        ElementType::F64 => copy!(F64, f64),
        ElementType::U8 => copy!(U8, u8),
        ElementType::I8 => copy!(I8, i8),
        ElementType::U16 => copy!(U16, u16),
        ElementType::I16 => copy!(I16, i16),
        ElementType::U32 => copy!(U32, u32),
        ElementType::I32 => copy!(I32, i32),
        ElementType::U64 => copy!(U64, u64),
        ElementType::I64 => copy!(I64, i64),
        ElementType::Bool => copy!(Bool, bool),
        ElementType::String => {
            let (shape, strings) = value.try_extract_strings()?;
            (shape.to_vec(), Data::String(strings))
        }
    };
    Ok(Tensor { name: name.to_owned(), shape, data })
}

fn spec(outlet: &ort::value::Outlet) -> TensorSpec {
    let (element_type, shape, type_name) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let element_type = element_type(*ty);
            let type_name = element_type.map_or_else(|| ty.to_string(), |t| t.to_string());
            (element_type, shape.to_vec(), type_name)
        }
        other => (None, Vec::new(), other.to_string()),
    };
    TensorSpec { name: outlet.name().to_owned(), element_type, type_name, shape }
}

fn element_type(ty: TensorElementType) -> Option<ElementType> {
    Some(match ty {
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Int64 => ElementType::I64,
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::String => ElementType::String,
        _ => return None,
    })
}
