//! Models and their versions. What was registered never changes; what people say about it may.

use edgeflow_bundle::{BundleFile, GraphReport, OnnxSchema, ValueInfo};
use edgeflow_wire::{BundleFileRef, SlotKind, SlotSpec};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{CoreError, ModelName, artifact::ArtifactPath};

/// Tag of a version that says what it is, for whoever does not know kinds: `map`, `package` or `config`. A model has none.
pub const KIND_TAG: &str = "edgeflow.kind";

/// Tags: key to value.
pub type Tags = BTreeMap<String, String>;

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: ModelName,
    /// For people.
    pub description: String,
    /// What people noted of it.
    pub tags: Tags,
    /// Alias to the number of the version it stands for.
    pub aliases: BTreeMap<String, u64>,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who made it.
    pub created_by: String,
    /// When something about it or its versions last changed, microseconds since the Unix epoch.
    pub updated_at_us: i64,
}

impl Model {
    /// A model nobody said anything about yet.
    pub fn new(name: ModelName, created_at_us: i64, created_by: String) -> Self {
        Self {
            name,
            description: String::new(),
            tags: Tags::new(),
            aliases: BTreeMap::new(),
            created_at_us,
            created_by,
            updated_at_us: created_at_us,
        }
    }
}

/// How far a version is, in the words MLflow has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Stage {
    /// Nobody said.
    #[default]
    None,
    /// Being tried.
    Staging,
    /// In use.
    Production,
    /// Was in use.
    Archived,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 4] = [Stage::None, Stage::Staging, Stage::Production, Stage::Archived];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::None => "None",
            Stage::Staging => "Staging",
            Stage::Production => "Production",
            Stage::Archived => "Archived",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = CoreError;

    fn from_str(word: &str) -> Result<Self, CoreError> {
        Stage::ALL.into_iter().find(|stage| stage.as_str().eq_ignore_ascii_case(word)).ok_or_else(|| CoreError::UnknownWord {
            what: "stage",
            word: word.to_owned(),
            expected: "None, Staging, Production or Archived",
        })
    }
}

/// What a robot gets of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionBundle {
    /// What it is; all but a model have no graph, no labels and no manifest.
    pub kind: SlotKind,
    /// Bundle digest, `sha256:` and 64 hex digits: the version's identity.
    pub digest: String,
    /// Digest of `model.onnx` alone; empty of what is no model.
    pub model_digest: String,
    /// Files of the bundle.
    pub files: Vec<BundleFile>,
    /// What the graph takes and gives.
    pub schema: OnnxSchema,
    /// Class names in class order; may be empty.
    pub labels: Vec<String>,
    /// Text of `edgeflow.yaml`, when the bundle has one.
    pub manifest: Option<String>,
    /// What the graph consists of; `None` of versions registered before that was noted.
    pub report: Option<GraphReport>,
}

/// Where a version comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Where its files were logged, as a URI; empty when they were uploaded as a bundle.
    pub source: String,
    /// Where that is among our artifacts; `None` when it is elsewhere.
    pub folder: Option<ArtifactPath>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// Where else that run can be read about.
    pub run_link: Option<String>,
    /// The logged model it is.
    pub model_id: Option<String>,
}

/// A version to be registered. Its number is given by the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModelVersion {
    /// Its model.
    pub model: ModelName,
    /// What a robot gets of it; `None` when no robot can run it.
    pub bundle: Option<VersionBundle>,
    /// Why no robot can run it, or which check of it was not made; empty when there is nothing to say.
    pub note: String,
    /// Where it comes from.
    pub origin: Origin,
    /// For people.
    pub description: String,
    /// What people noted of it.
    pub tags: Tags,
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
    /// What was registered, with the description and tags of now.
    pub registered: NewModelVersion,
    /// How far it is.
    pub stage: Stage,
    /// Names that stand for it.
    pub aliases: Vec<String>,
    /// When something about it last changed, microseconds since the Unix epoch.
    pub updated_at_us: i64,
}

/// A change to what people say about a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionChange {
    /// Another description.
    Description(String),
    /// Another stage; with `archive_others`, versions that are in it now become archived.
    Stage {
        /// Which.
        stage: Stage,
        /// Whether the others give way.
        archive_others: bool,
    },
    /// A tag's value; `None` takes the tag away.
    Tag(String, Option<String>),
}

/// A change to what people say about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChange {
    /// Another description.
    Description(String),
    /// Another name.
    Name(ModelName),
    /// A tag's value; `None` takes the tag away.
    Tag(String, Option<String>),
    /// The version an alias stands for; `None` takes the alias away.
    Alias(String, Option<u64>),
}

impl ModelVersion {
    /// Number as text, which is how it is named everywhere.
    pub fn version(&self) -> String {
        self.number.to_string()
    }

    /// What a robot is told to put into a slot.
    ///
    /// # Errors
    /// [`CoreError::NotDeployable`] says why there is nothing a robot could run.
    pub fn slot_spec(&self) -> Result<SlotSpec, CoreError> {
        let registered = &self.registered;
        let bundle = registered.bundle.as_ref().ok_or_else(|| CoreError::NotDeployable {
            model: registered.model.to_string(),
            version: self.version(),
            reason: registered.note.clone(),
        })?;
        let file = |file: &BundleFile| BundleFileRef { path: file.path.clone(), size_bytes: file.size_bytes, sha256: file.sha256.hex() };
        Ok(SlotSpec {
            kind: bundle.kind,
            model: registered.model.to_string(),
            version: self.version(),
            digest: bundle.digest.clone(),
            files: bundle.files.iter().map(file).collect(),
        })
    }

    /// How it is shown.
    pub fn view(&self) -> ModelVersionView {
        let registered = self.registered.clone();
        let kind = registered.bundle.as_ref().map(|bundle| bundle.kind).unwrap_or_default();
        let onnx = registered.bundle.as_ref().filter(|bundle| bundle.kind.is_model()).map(|bundle| OnnxView::of(&bundle.schema));
        let deployable = registered.bundle.is_some();
        let report = registered.bundle.as_ref().and_then(|bundle| bundle.report.clone()).map(ReportView::from);
        let (digest, model_digest, files, labels, manifest) = registered
            .bundle
            .map(|bundle| (bundle.digest, bundle.model_digest, bundle.files, bundle.labels, bundle.manifest))
            .unwrap_or_default();
        ModelVersionView {
            model: registered.model.to_string(),
            version: self.version(),
            kind,
            deployable,
            note: registered.note,
            digest,
            model_digest,
            size_bytes: files.iter().map(|file| file.size_bytes).sum(),
            files: files
                .into_iter()
                .map(|file| FileView { path: file.path, size_bytes: file.size_bytes, sha256: file.sha256.hex() })
                .collect(),
            onnx,
            report,
            labels,
            manifest,
            description: registered.description,
            stage: self.stage,
            aliases: self.aliases.clone(),
            tags: registered.tags,
            source: registered.origin.source,
            folder: registered.origin.folder.map(|folder| folder.to_string()),
            run_id: registered.origin.run_id,
            model_id: registered.origin.model_id,
            created_at_us: registered.created_at_us,
            created_by: registered.created_by,
            updated_at_us: self.updated_at_us,
        }
    }
}

const MAX_TAG_KEY_BYTES: usize = 250;
const MAX_TAG_VALUE_BYTES: usize = 100 << 10;
const MAX_ALIAS_BYTES: usize = 255;

/// Whether people may note that.
///
/// # Errors
/// [`CoreError::BadTag`] says what is wrong with it.
pub fn check_tag(key: &str, value: &str) -> Result<(), CoreError> {
    let bad = |reason: String| Err(CoreError::BadTag { key: key.chars().take(64).collect(), reason });
    if key.is_empty() || key.len() > MAX_TAG_KEY_BYTES || key.chars().any(char::is_control) {
        return bad(format!("a key has 1 to {MAX_TAG_KEY_BYTES} bytes and no control characters"));
    }
    if value.len() > MAX_TAG_VALUE_BYTES {
        return bad(format!("its value has {} bytes, more than {MAX_TAG_VALUE_BYTES}", value.len()));
    }
    Ok(())
}

/// Whether that may stand for a version. What could be read as a version or a URI may not: `latest`, `v3`, `a/b`.
///
/// # Errors
/// [`CoreError::BadName`] with the rule.
pub fn check_alias(alias: &str) -> Result<(), CoreError> {
    let lower = alias.to_ascii_lowercase();
    let like_a_number = lower.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    let well_formed = !alias.is_empty()
        && alias.len() <= MAX_ALIAS_BYTES
        && alias.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !alias.bytes().all(|byte| byte.is_ascii_digit());
    if well_formed && lower != "latest" && !like_a_number {
        return Ok(());
    }
    Err(CoreError::BadName {
        what: "alias",
        name: alias.chars().take(MAX_ALIAS_BYTES).collect(),
        rule: "use 1 to 255 letters, digits, dots, dashes and underscores; a number, \"latest\" and \"v1\" are versions, not aliases",
    })
}

/// A model as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What people noted of it.
    pub tags: Tags,
    /// Alias to the version it stands for.
    pub aliases: BTreeMap<String, String>,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who made it; empty of models made before that was noted.
    pub created_by: String,
    /// When something about it or its versions last changed, microseconds since the Unix epoch.
    pub updated_at_us: i64,
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
    pub(crate) fn of(value: &ValueInfo) -> Self {
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

/// What a graph consists of and about what it costs: one run, with every open dimension at 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReportView {
    /// Nodes of the graph.
    pub nodes: u64,
    /// Operator to how often it is used.
    pub operators: BTreeMap<String, u64>,
    /// Weights: elements of all initialisers.
    pub parameters: u64,
    /// Multiply-accumulates of convolutions and matrix products.
    pub macs: u64,
    /// Operators whose cost could not be told, to how many: not in `macs`.
    pub unestimated: BTreeMap<String, u64>,
}

impl From<GraphReport> for ReportView {
    fn from(report: GraphReport) -> Self {
        let GraphReport { nodes, operators, parameters, macs, unestimated } = report;
        Self { nodes, operators, parameters, macs, unestimated }
    }
}

/// A model version as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModelVersionView {
    /// Its model.
    pub model: String,
    /// Its number within the model, from 1.
    pub version: String,
    /// `model`, `map`, `package` or `config`.
    #[schema(value_type = String)]
    pub kind: SlotKind,
    /// Whether robots can be told to run it.
    pub deployable: bool,
    /// Why they cannot, or which check of it was not made; empty when there is nothing to say.
    pub note: String,
    /// Bundle digest, `sha256:` and 64 hex digits; empty when it is not deployable.
    pub digest: String,
    /// Digest of `model.onnx` alone; empty when it is not deployable.
    pub model_digest: String,
    /// Sum of the files' sizes.
    pub size_bytes: u64,
    /// Files of the bundle.
    pub files: Vec<FileView>,
    /// What the graph says about itself; `null` when it is not deployable.
    pub onnx: Option<OnnxView>,
    /// What the graph consists of and about what it costs; `null` when it is not deployable, or was registered before that was noted.
    pub report: Option<ReportView>,
    /// Class names in class order; may be empty.
    pub labels: Vec<String>,
    /// Text of `edgeflow.yaml`, when the bundle has one.
    pub manifest: Option<String>,
    /// For people.
    pub description: String,
    /// How far it is.
    pub stage: Stage,
    /// Names that stand for it.
    pub aliases: Vec<String>,
    /// What people noted of it.
    pub tags: Tags,
    /// Where its files were logged, as a URI; empty when they were uploaded as a bundle.
    pub source: String,
    /// Where those are among the artifacts; `null` when they are elsewhere.
    pub folder: Option<String>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// The logged model it is.
    pub model_id: Option<String>,
    /// When it was registered, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who registered it.
    pub created_by: String,
    /// When something about it last changed, microseconds since the Unix epoch.
    pub updated_at_us: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_never_what_a_version_is_called() {
        for alias in ["champion", "prod-eu_1.2", "v", "v1a", "1a"] {
            assert!(check_alias(alias).is_ok(), "{alias}");
        }
        for alias in ["", "latest", "LATEST", "v1", "V12", "3", "a b", "a/b", "ä", &"a".repeat(256)] {
            assert!(check_alias(alias).is_err(), "{alias}");
        }
    }

    #[test]
    fn stages_are_read_in_any_case_and_nothing_else_is_one() {
        assert_eq!("production".parse::<Stage>().unwrap(), Stage::Production);
        assert_eq!("None".parse::<Stage>().unwrap(), Stage::None);
        assert!("prod".parse::<Stage>().unwrap_err().to_string().contains("Staging"));
    }

    #[test]
    fn what_no_robot_can_run_says_why() {
        let registered = NewModelVersion {
            model: ModelName::new("m").unwrap(),
            bundle: None,
            note: "its folder has no ONNX model".into(),
            origin: Origin::default(),
            description: String::new(),
            tags: Tags::new(),
            created_at_us: 1,
            created_by: "administrator".into(),
        };
        let version = ModelVersion { number: 3, registered, stage: Stage::None, aliases: Vec::new(), updated_at_us: 1 };
        let error = version.slot_spec().unwrap_err().to_string();
        assert_eq!(error, "version 3 of m cannot be deployed: its folder has no ONNX model");
        let view = version.view();
        assert!(!view.deployable && view.onnx.is_none() && view.digest.is_empty());
    }
}
