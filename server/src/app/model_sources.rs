//! Versions that come from where MLflow's clients logged a model: the files there become a bundle, if there is an ONNX model
//! among them.

use edgeflow_bundle::{BASELINE_FILE, GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, Piece, whole_model};
use edgeflow_core::{
    ModelName, OrganisationId, Principal,
    artifact::{ArtifactFile, ArtifactPath},
    model::{ModelVersion, NewModelVersion, Origin, Tags, VersionBundle, check_tag},
    model_diff::Background,
    model_source::Source,
    principal::{Action, Resource},
    provenance::{ProvenanceDataset, ProvenanceRun, Via},
};
use futures::StreamExt;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use crate::app::{App, AppError, Upload, bundle_view::bundle_at, models::check_description};

/// A version to be made of what was logged.
#[derive(Debug, Clone)]
pub struct SourceRequest {
    /// Its model, which there must be.
    pub model: ModelName,
    /// Where its files are, as a URI.
    pub source: String,
    /// The run that made it.
    pub run_id: Option<String>,
    /// Where else that run can be read about.
    pub run_link: Option<String>,
    /// The logged model it is.
    pub model_id: Option<String>,
    /// For people.
    pub description: String,
    /// What people note of it.
    pub tags: Tags,
}

/// Files of a logged model that are looked at.
const MOST_FILES: u32 = 10_000;
/// What MLflow writes about a model beside its files.
const DESCRIPTION_FILE: &str = "MLmodel";
const MAX_DESCRIPTION_BYTES: u64 = 4 << 20;
/// Where MLflow puts files that a user wants to have beside a model.
const EXTRA_FILES: &str = "extra_files";
/// Where among a run's artifacts it may keep files of a bundle: the Python package's `log_baseline` puts one there.
const RUN_EXTRAS: &str = "edgeflow";
/// A graph whose weights are beside it is small: this much of one is held while they are put into it.
const MAX_GRAPH_BYTES: u64 = 64 << 20;
/// The tag by which MLflow's clients tell prompts, which they keep as versions of models, from models.
const PROMPT: &str = "mlflow.prompt.is_prompt";

/// Where a source leads.
enum Found {
    /// To somebody else's store.
    Elsewhere,
    /// To a folder of our artifacts.
    Folder(ArtifactPath),
    /// To what is registered already, with what there was to say of it.
    Bundle(Box<VersionBundle>, String),
}

impl Found {
    /// A version that another is made of.
    fn of(version: ModelVersion, origin: &mut Origin) -> Self {
        let NewModelVersion { bundle, note, origin: from, .. } = version.registered;
        origin.run_id = origin.run_id.take().or(from.run_id);
        origin.model_id = origin.model_id.take().or(from.model_id);
        match (from.folder, bundle) {
            (Some(folder), _) => Found::Folder(folder),
            (None, Some(bundle)) => Found::Bundle(Box::new(bundle), note),
            (None, None) => Found::Elsewhere,
        }
    }
}

/// What we need of `MLmodel`.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    flavors: BTreeMap<String, serde_norway::Value>,
}

impl App {
    /// Registers what was logged as the model's next version. A folder with an ONNX model becomes a bundle that robots can run; any
    /// other becomes a version for MLflow's clients, and says so. An ONNX model that does not read is refused.
    pub async fn create_version_of_source(&self, principal: &Principal, request: SourceRequest) -> Result<ModelVersion, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        check_description(&request.description)?;
        for (key, value) in &request.tags {
            check_tag(key, value)?;
        }
        let organisation = &principal.organisation;
        // Said before anything is copied.
        self.find_model(organisation, &request.model).await?;
        let mut origin =
            Origin { source: request.source, folder: None, run_id: request.run_id, run_link: request.run_link, model_id: request.model_id };
        // Held until the version refers to the files.
        let _gate;
        let (bundle, note) = if request.tags.get(PROMPT).is_some_and(|value| value == "true") {
            (None, "it is a prompt of MLflow's, which no robot runs".to_owned())
        } else {
            match self.resolve(organisation, &mut origin).await? {
                Found::Elsewhere => (None, "its files are not on this server: MLflow's clients may reach them, robots do not".to_owned()),
                Found::Bundle(bundle, note) => {
                    _gate = self.artifacts.gate().await;
                    (Some(*bundle), note)
                }
                Found::Folder(folder) => {
                    let extras = self.extras_of_run(organisation, &origin).await?;
                    let gathered = self.gather(organisation, &folder, extras.as_ref()).await?;
                    origin.folder = Some(folder);
                    match gathered {
                        None => (None, "its folder has no ONNX model: MLflow's clients can load it, robots cannot run it".to_owned()),
                        Some(mut upload) => {
                            let read = upload.finish().await?;
                            let note = self.check_loads(upload.folder()).await?;
                            _gate = self.artifacts.gate().await;
                            (Some(self.keep_bundle(&upload, read).await?), note)
                        }
                    }
                }
            }
        };
        let new = NewModelVersion {
            model: request.model,
            bundle,
            note,
            origin,
            description: request.description,
            tags: request.tags,
            created_at_us: self.now_us(),
            created_by: principal.who.to_string(),
        };
        let version = self.stores.models.add_model_version(organisation, &new).await?;
        self.registered(principal, &version).await?;
        Ok(version)
    }

    /// Where a source leads. What it knows of its run and model is noted.
    async fn resolve(&self, organisation: &OrganisationId, origin: &mut Origin) -> Result<Found, AppError> {
        match Source::parse(&origin.source)? {
            Source::Elsewhere => Ok(Found::Elsewhere),
            Source::Artifacts(folder) => match bundle_at(&folder) {
                None => Ok(Found::Folder(folder)),
                Some((digest, _)) => {
                    let version = self.version_of_bundle(organisation, &digest).await?;
                    let version = version.ok_or_else(|| AppError::NotFound { what: "bundle", name: digest.to_string() })?;
                    Ok(Found::of(version, origin))
                }
            },
            Source::Run { run_id, path } => {
                let root = self.run_folder(organisation, &run_id).await?;
                origin.run_id.get_or_insert(run_id);
                match (root, path) {
                    (Some(root), Some(path)) => Ok(Found::Folder(root.join(path.as_str())?)),
                    (Some(root), None) => Ok(Found::Folder(root)),
                    (None, _) => Ok(Found::Elsewhere),
                }
            }
            Source::LoggedModel(id) => {
                let (root, run_id) = self.logged_model_folder(organisation, &id).await?;
                origin.model_id.get_or_insert(id);
                if origin.run_id.is_none() {
                    origin.run_id = run_id;
                }
                Ok(root.map_or(Found::Elsewhere, Found::Folder))
            }
            Source::Version { model, version } => Ok(Found::of(self.find_version(organisation, &model.parse()?, &version).await?, origin)),
        }
    }

    /// Copies what a bundle can be made of; `None` when there is no ONNX model.
    async fn gather(
        &self,
        organisation: &OrganisationId,
        folder: &ArtifactPath,
        extras: Option<&ArtifactPath>,
    ) -> Result<Option<Upload>, AppError> {
        let tree = self.stores.artifacts.artifact_tree(organisation, folder, MOST_FILES).await?;
        if tree.is_empty() {
            return Err(AppError::Invalid(format!("there are no artifacts in {folder}: log the model before registering it")));
        }
        let start = folder.as_str().len() + 1;
        let files: HashMap<&str, &ArtifactFile> =
            tree.iter().map(|file| (file.path.as_str().get(start..).unwrap_or_default(), file)).collect();
        let Some(model) = self.find_onnx(&files).await? else {
            return Ok(None);
        };
        let mut upload = Upload::begin(self.artifacts.uploads(), self.max_model_bytes, edgeflow_wire::SlotKind::Model)?;
        upload.file(MODEL_FILE).await?;
        if let Some(file) = files.get(model.as_str()) {
            self.copy(file, &mut upload).await?;
        }
        let beside = model.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        self.take_weights_in(&mut upload, &beside, &files).await?;
        for name in [MANIFEST_FILE, BASELINE_FILE, GOLDEN_FILE] {
            let places = [format!("{beside}{name}"), name.to_owned(), format!("{EXTRA_FILES}/{name}")];
            let of_run = match extras {
                Some(extras) => self.stores.artifacts.artifact_file(organisation, &extras.join(name)?).await?,
                None => None,
            };
            if let Some(file) = places.iter().find_map(|place| files.get(place.as_str())).copied().or(of_run.as_ref()) {
                upload.file(name).await?;
                self.copy(file, &mut upload).await?;
            }
        }
        Ok(Some(upload))
    }

    /// Puts weights that lie beside the graph into it: a bundle's model is one file.
    async fn take_weights_in(&self, upload: &mut Upload, beside: &str, files: &HashMap<&str, &ArtifactFile>) -> Result<(), AppError> {
        upload.flush().await?;
        let written = AppError::artifact::<std::io::Error>("writing an upload");
        let path = upload.path(MODEL_FILE);
        if tokio::fs::metadata(&path).await.map_err(&written)?.len() > MAX_GRAPH_BYTES {
            return Ok(());
        }
        let graph = tokio::fs::read(&path).await.map_err(&written)?;
        let find = |name: &str| files.get(format!("{beside}{name}").as_str()).copied();
        let pieces = whole_model(&graph, |name| find(name).map(|file| file.size_bytes));
        let Some(pieces) = pieces.map_err(|error| AppError::Invalid(error.to_string()))? else { return Ok(()) };
        upload.again(MODEL_FILE).await?;
        for piece in pieces {
            match piece {
                Piece::Bytes(bytes) => upload.write(&bytes).await?,
                Piece::Weights { file, offset, length } => {
                    let Some(file) = find(&file) else { continue };
                    self.copy_part(file, offset..offset + length, upload).await?;
                }
            }
        }
        Ok(())
    }

    /// Where the ONNX model is: where `MLmodel` says, or the one file that is called like one.
    async fn find_onnx(&self, files: &HashMap<&str, &ArtifactFile>) -> Result<Option<String>, AppError> {
        if let Some(file) = files.get(DESCRIPTION_FILE)
            && file.size_bytes <= MAX_DESCRIPTION_BYTES
        {
            let text = self.artifacts.content(&file.sha256.hex(), file.size_bytes).await?;
            let description: Description =
                serde_norway::from_slice(&text).map_err(|error| AppError::Invalid(format!("{} does not read: {error}", file.path)))?;
            if let Some(data) = description.flavors.get("onnx").and_then(|onnx| onnx.get("data")).and_then(|data| data.as_str()) {
                let inside = format!("{data}/{MODEL_FILE}");
                return match [data, inside.as_str()].into_iter().find(|place| files.contains_key(place)) {
                    Some(place) => Ok(Some(place.to_owned())),
                    None => Err(AppError::Invalid(format!("{} says that the ONNX model is {data:?}, which is not there", file.path))),
                };
            }
        }
        let mut models = files.keys().filter(|name| name.to_ascii_lowercase().ends_with(".onnx"));
        match (models.next(), models.next()) {
            (Some(model), None) => Ok(Some((*model).to_owned())),
            _ => Ok(files.contains_key(MODEL_FILE).then(|| MODEL_FILE.to_owned())),
        }
    }

    async fn copy(&self, file: &ArtifactFile, upload: &mut Upload) -> Result<(), AppError> {
        self.copy_part(file, 0..file.size_bytes, upload).await
    }

    async fn copy_part(&self, file: &ArtifactFile, part: Range<u64>, upload: &mut Upload) -> Result<(), AppError> {
        if part.is_empty() {
            return Ok(());
        }
        let mut stream = self.artifacts.read(&file.sha256.hex(), file.size_bytes, Some(part)).await?.stream;
        while let Some(chunk) = stream.next().await {
            upload.write(&chunk.map_err(AppError::artifact("reading an artifact"))?).await?;
        }
        Ok(())
    }
}

impl App {
    /// Where a run keeps its artifacts; `None` when that is elsewhere.
    async fn run_folder(&self, organisation: &OrganisationId, run_id: &str) -> Result<Option<ArtifactPath>, AppError> {
        let run = self.stores.runs.run(organisation, run_id).await?;
        let run = run.ok_or_else(|| AppError::NotFound { what: "run", name: run_id.to_owned() })?;
        folder_of(&run.info.artifact_uri)
    }

    /// Where the run that made a model keeps what belongs into its bundle, if anywhere: what was logged before the model was, such as its
    /// drift reference.
    async fn extras_of_run(&self, organisation: &OrganisationId, origin: &Origin) -> Result<Option<ArtifactPath>, AppError> {
        let Some(run_id) = &origin.run_id else { return Ok(None) };
        // Clients may name a run of another server, and runs may keep their artifacts elsewhere.
        let Some(run) = self.stores.runs.run(organisation, run_id).await? else { return Ok(None) };
        let root = folder_of(&run.info.artifact_uri).ok().flatten();
        Ok(root.map(|root| root.join(RUN_EXTRAS)).transpose()?)
    }

    /// Where a logged model has its files (`None` when that is elsewhere), and which run logged it.
    async fn logged_model_folder(
        &self,
        organisation: &OrganisationId,
        id: &str,
    ) -> Result<(Option<ArtifactPath>, Option<String>), AppError> {
        let model = self.stores.logged_models.logged_model(organisation, id).await?;
        let model = model.ok_or_else(|| AppError::NotFound { what: "logged model", name: id.to_owned() })?;
        Ok((folder_of(&model.artifact_uri)?, Some(model.source_run_id).filter(|run_id| !run_id.is_empty())))
    }

    /// Adds what is known of the run that made a version.
    pub(crate) async fn run_background(
        &self,
        organisation: &OrganisationId,
        version: &ModelVersion,
        known: &mut Background,
    ) -> Result<(), AppError> {
        let Some(run_id) = &version.registered.origin.run_id else { return Ok(()) };
        // Runs may be removed, and clients may name one of another server.
        let Some(run) = self.stores.runs.run(organisation, run_id).await? else { return Ok(()) };
        let shown = ProvenanceRun::of(run.clone(), Via::Made);
        known.metrics = run.metrics.into_iter().map(|metric| (metric.key, metric.value)).collect();
        known.params = run.params.into_iter().map(|param| (param.key, param.value)).collect();
        // Of one name, what it was judged by must not hide what it was trained on.
        let named = |dataset: ProvenanceDataset| match dataset.trained_on {
            true => (dataset.name, dataset.digest),
            false => (format!("{} ({})", dataset.name, dataset.context), dataset.digest),
        };
        known.datasets = shown.datasets.into_iter().map(named).collect();
        known.code = run.tags.into_iter().find(|tag| tag.key == CODE_TAG).map(|tag| tag.value);
        Ok(())
    }
}

/// The tag in which MLflow's clients note the commit of the code that runs.
const CODE_TAG: &str = "mlflow.source.git.commit";

fn folder_of(uri: &str) -> Result<Option<ArtifactPath>, AppError> {
    match Source::parse(uri)? {
        Source::Artifacts(folder) => Ok(Some(folder)),
        _ => Ok(None),
    }
}
