//! Models and their immutable versions.

use edgeflow_bundle::{BundleFile, OnnxSchema, ValueInfo};
use edgeflow_wire::{BundleFileRef, SlotKind, SlotSpec};
use serde::Serialize;

use crate::ModelName;

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: ModelName,
    /// For people.
    pub description: String,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
}

/// A version to be registered. Its number is given by the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModelVersion {
    /// Its model; made when missing.
    pub model: ModelName,
    /// Bundle digest, `sha256:` and 64 hex digits: the version's identity.
    pub digest: String,
    /// Digest of `model.onnx` alone.
    pub model_digest: String,
    /// Files of the bundle.
    pub files: Vec<BundleFile>,
    /// What the graph takes and gives.
    pub schema: OnnxSchema,
    /// Class names in class order; may be empty.
    pub labels: Vec<String>,
    /// Text of `edgeflow.yaml`, when the bundle has one.
    pub manifest: Option<String>,
    /// For people.
    pub description: String,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
}

/// A registered version.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelVersion {
    /// Its number within the model, from 1.
    pub number: u64,
    /// What was registered.
    pub registered: NewModelVersion,
}

impl ModelVersion {
    /// Number as text, which is how it is named everywhere.
    pub fn version(&self) -> String {
        self.number.to_string()
    }

    /// What a robot is told to put into a slot.
    pub fn slot_spec(&self) -> SlotSpec {
        let files = &self.registered.files;
        SlotSpec {
            kind: SlotKind::Model,
            model: self.registered.model.to_string(),
            version: self.version(),
            digest: self.registered.digest.clone(),
            files: files
                .iter()
                .map(|file| BundleFileRef { path: file.path.clone(), size_bytes: file.size_bytes, sha256: file.sha256.hex() })
                .collect(),
        }
    }

    /// How it is shown.
    pub fn view(&self) -> ModelVersionView {
        let registered = &self.registered;
        let spec = self.slot_spec();
        ModelVersionView {
            model: spec.model,
            version: spec.version,
            digest: spec.digest,
            model_digest: registered.model_digest.clone(),
            size_bytes: registered.files.iter().map(|file| file.size_bytes).sum(),
            files: spec
                .files
                .into_iter()
                .map(|file| FileView { path: file.path, size_bytes: file.size_bytes, sha256: file.sha256 })
                .collect(),
            onnx: OnnxView::of(&registered.schema),
            labels: registered.labels.clone(),
            manifest: registered.manifest.clone(),
            description: registered.description.clone(),
            created_at_us: registered.created_at_us,
            created_by: registered.created_by.clone(),
        }
    }
}

/// A model as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Its versions, newest first.
    pub versions: Vec<ModelVersionView>,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileView {
    /// Path inside the bundle.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the content, 64 hex digits: its address under `/api/v1/artifacts/`.
    pub sha256: String,
}

/// Input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TensorView {
    /// Name in the graph.
    pub name: String,
    /// `tensor`, `sequence`, `map`, ...
    pub kind: String,
    /// Element type, such as `float32`.
    pub elem_type: String,
    /// Dimensions; `null` where the graph leaves one open.
    pub shape: Vec<Option<i64>>,
}

impl TensorView {
    fn of(value: &ValueInfo) -> Self {
        Self {
            name: value.name.clone(),
            kind: value.kind.name().to_owned(),
            elem_type: value.elem_type.name().to_owned(),
            shape: value.shape.clone(),
        }
    }
}

/// What an ONNX graph says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OnnxView {
    /// What the graph takes.
    pub inputs: Vec<TensorView>,
    /// What the graph gives.
    pub outputs: Vec<TensorView>,
    /// Version of the default operator set; 0 when the graph uses none of it.
    pub opset: i64,
    /// Program that wrote it, as it calls itself.
    pub producer: String,
    /// Version of the ONNX format.
    pub ir_version: i64,
}

impl OnnxView {
    fn of(schema: &OnnxSchema) -> Self {
        Self {
            inputs: schema.inputs.iter().map(TensorView::of).collect(),
            outputs: schema.outputs.iter().map(TensorView::of).collect(),
            opset: schema.opset,
            producer: schema.producer.clone(),
            ir_version: schema.ir_version,
        }
    }
}

/// A model version as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModelVersionView {
    /// Its model.
    pub model: String,
    /// Its number within the model, from 1.
    pub version: String,
    /// Bundle digest, `sha256:` and 64 hex digits.
    pub digest: String,
    /// Digest of `model.onnx` alone.
    pub model_digest: String,
    /// Sum of the files' sizes.
    pub size_bytes: u64,
    /// Files of the bundle.
    pub files: Vec<FileView>,
    /// What the graph says about itself.
    pub onnx: OnnxView,
    /// Class names in class order; may be empty.
    pub labels: Vec<String>,
    /// Text of `edgeflow.yaml`, when the bundle has one.
    pub manifest: Option<String>,
    /// For people.
    pub description: String,
    /// When it was registered, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who registered it.
    pub created_by: String,
}
