//! Versions of models: registered once, never changed but in what people say about them.

use edgeflow_bundle::{BASELINE_FILE, Bundle, BundleFile, GraphReport, MANIFEST_FILE, MODEL_FILE, OnnxSchema, bundle_digest};
use edgeflow_core::{
    ModelName, OrganisationId, Principal,
    model::{KIND_TAG, ModelVersion, ModelVersionView, NewModelVersion, Origin, Tags, VersionBundle, VersionChange, check_tag},
    model_diff::{Background, Feature, ModelDiff, diff},
    model_search,
    principal::{Action, Resource},
    search::{Filter, Order},
};

use edgeflow_wire::SlotKind;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::app::{
    App, AppError, Upload,
    models::{check_description, unreadable},
};

/// Baselines are smaller.
const MAX_BASELINE_BYTES: u64 = 16 << 20;

/// What a comparison takes of `baseline.json`.
#[derive(Deserialize)]
struct Baseline {
    features: Vec<BaselineFeature>,
}

#[derive(Deserialize)]
struct BaselineFeature {
    name: String,
    /// Categories have neither.
    mean: Option<f64>,
    std: Option<f64>,
}

impl Baseline {
    fn features(self) -> BTreeMap<String, Feature> {
        let feature = |found: BaselineFeature| Some((found.name, Feature { mean: found.mean?, std: found.std? }));
        self.features.into_iter().filter_map(feature).collect()
    }
}

impl App {
    /// One version, by its number or `@` and an alias.
    pub async fn model_version(&self, principal: &Principal, model: &ModelName, version: &str) -> Result<ModelVersionView, AppError> {
        Ok(self.registered_version(principal, model, version).await?.view())
    }

    /// One version as it is, by its number or `@` and an alias.
    pub async fn registered_version(&self, principal: &Principal, model: &ModelName, version: &str) -> Result<ModelVersion, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        self.find_version(&principal.organisation, model, version).await
    }

    /// Versions that a filter holds of, sorted: those from `from` on, at most `limit`, and whether there are more.
    pub async fn search_model_versions(
        &self,
        principal: &Principal,
        filter: &str,
        order: &[String],
        from: usize,
        limit: usize,
    ) -> Result<(Vec<ModelVersion>, bool), AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let filter = Filter::parse(filter, &model_search::VERSIONS).map_err(unreadable)?;
        let order = Order::parse_all(order, &model_search::VERSIONS).map_err(unreadable)?;
        let found = model_search::versions(self.stores.models.model_versions(&principal.organisation, None).await?, &filter, &order);
        let more = found.len() > from.saturating_add(limit);
        Ok((found.into_iter().skip(from).take(limit).collect(), more))
    }

    /// What differs between two versions, of one model or two.
    pub async fn diff_models(
        &self,
        principal: &Principal,
        before: (&ModelName, &str),
        after: (&ModelName, &str),
    ) -> Result<ModelDiff, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let organisation = &principal.organisation;
        let first = self.find_version(organisation, before.0, before.1).await?;
        let second = self.find_version(organisation, after.0, after.1).await?;
        let (known, known_after) = (self.background_of(organisation, &first).await?, self.background_of(organisation, &second).await?);
        Ok(diff((&first, &known), (&second, &known_after)))
    }

    pub(crate) async fn background_of(&self, organisation: &OrganisationId, version: &ModelVersion) -> Result<Background, AppError> {
        let mut known = Background::default();
        let files = version.registered.bundle.iter().flat_map(|bundle| &bundle.files);
        if let Some(file) = files.clone().find(|file| file.path == BASELINE_FILE && file.size_bytes <= MAX_BASELINE_BYTES) {
            let text = self.artifacts.content(&file.sha256.hex(), file.size_bytes).await?;
            // It was not looked into when it was registered: one that says something else is no reference.
            known.baseline = serde_json::from_slice::<Baseline>(&text).ok().map(Baseline::features);
        }
        self.run_background(organisation, version, &mut known).await?;
        Ok(known)
    }

    /// Begins to take a bundle.
    pub async fn begin_upload(&self, principal: &Principal, kind: SlotKind) -> Result<Upload, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        Upload::begin(self.artifacts.uploads(), self.max_model_bytes, kind)
    }

    /// Registers an uploaded bundle as the model's next version; `false` when it is a version of the model already.
    ///
    /// The files are kept first and the row is written last, so a crash in between leaves bytes nobody refers to, never
    /// a version without its bytes.
    pub async fn create_model_version(
        &self,
        principal: &Principal,
        model: &ModelName,
        mut upload: Upload,
        description: String,
    ) -> Result<(ModelVersionView, bool), AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        check_description(&description)?;
        let (mut note, mut tags, kind) = (String::new(), Tags::new(), upload.kind());
        let bundle = if kind.is_model() {
            let bundle = upload.finish().await?;
            note = self.check_loads(upload.folder()).await?;
            Ok(bundle)
        } else {
            tags.insert(KIND_TAG.to_owned(), kind.to_string());
            Err(upload.finish_files().await?)
        };
        let _gate = self.artifacts.gate().await;
        let bundle = match bundle {
            Ok(bundle) => self.keep_bundle(&upload, bundle).await?,
            Err(files) => self.keep_files(&upload, files).await?,
        };
        let new = NewModelVersion {
            model: model.clone(),
            bundle: Some(bundle),
            note,
            origin: Origin::default(),
            description,
            tags,
            created_at_us: self.now_us(),
            created_by: principal.who.to_string(),
        };
        let (version, created) = self.stores.models.create_model_version(&principal.organisation, &new).await?;
        if created {
            self.registered(principal, &version).await?;
        }
        Ok((version.view(), created))
    }

    /// Keeps the files of what is no model; the caller holds the gate of artifacts until something refers to them.
    async fn keep_files(&self, upload: &Upload, files: Vec<BundleFile>) -> Result<VersionBundle, AppError> {
        for file in &files {
            self.stores.artifacts.doubt_artifact(&file.sha256, self.now_us()).await?;
            self.artifacts.keep(&upload.path(&file.path), file).await?;
        }
        Ok(VersionBundle {
            kind: upload.kind(),
            digest: bundle_digest(&files).to_string(),
            model_digest: String::new(),
            labels: Vec::new(),
            files,
            schema: OnnxSchema::default(),
            manifest: None,
            report: None,
        })
    }

    /// Keeps the files of a bundle that was read; the caller holds the gate of artifacts until something refers to them.
    pub(crate) async fn keep_bundle(&self, upload: &Upload, bundle: Bundle) -> Result<VersionBundle, AppError> {
        for file in &bundle.files {
            self.stores.artifacts.doubt_artifact(&file.sha256, self.now_us()).await?;
            self.artifacts.keep(&upload.path(&file.path), file).await?;
        }
        let manifest = if bundle.manifest.is_some() {
            let text = tokio::fs::read_to_string(upload.path(MANIFEST_FILE)).await;
            Some(text.map_err(AppError::artifact("reading an upload"))?)
        } else {
            None
        };
        let model = upload.path(MODEL_FILE);
        let report = tokio::task::spawn_blocking(move || std::fs::File::open(model).map(GraphReport::read)).await;
        let report = report.map_err(AppError::artifact("reading an upload"))?.map_err(AppError::artifact("reading an upload"))?;
        Ok(VersionBundle {
            kind: SlotKind::Model,
            report: Some(report.map_err(|error| AppError::Invalid(error.to_string()))?),
            digest: bundle.digest.to_string(),
            model_digest: bundle.model_digest.to_string(),
            labels: bundle.labels().to_vec(),
            files: bundle.files,
            schema: bundle.schema,
            manifest,
        })
    }

    /// Puts a new version on record and tells watchers.
    pub(crate) async fn registered(&self, principal: &Principal, version: &ModelVersion) -> Result<(), AppError> {
        let registered = &version.registered;
        let digest = registered.bundle.as_ref().map(|bundle| bundle.digest.as_str());
        let detail = serde_json::json!({ "digest": digest, "run_id": registered.origin.run_id });
        let resource = format!("model/{}/{}", registered.model, version.number);
        self.record(principal, Action::WriteModel, &resource, detail).await;
        self.tell_of_model(&principal.organisation, &registered.model).await
    }

    async fn tell_of_model(&self, organisation: &OrganisationId, model: &ModelName) -> Result<(), AppError> {
        if self.hub.watched() {
            self.hub.send(organisation, "model", &self.model_view(organisation, model).await?);
        }
        Ok(())
    }

    /// Changes what is said about a version.
    pub async fn change_model_version(
        &self,
        principal: &Principal,
        model: &ModelName,
        version: &str,
        change: VersionChange,
    ) -> Result<ModelVersion, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        let detail = match &change {
            VersionChange::Description(description) => {
                check_description(description)?;
                serde_json::json!({ "description": description })
            }
            VersionChange::Tag(key, _) if key == KIND_TAG => {
                return Err(AppError::Invalid(format!("the tag {KIND_TAG:?} says what was registered, which never changes")));
            }
            VersionChange::Tag(key, value) => {
                check_tag(key, value.as_deref().unwrap_or_default())?;
                serde_json::json!({ "tag": key, "value": value })
            }
            VersionChange::Stage { stage, archive_others } => serde_json::json!({ "stage": stage, "archive_others": archive_others }),
        };
        let number = self.find_version(&principal.organisation, model, version).await?.number;
        let now_us = self.now_us();
        let changed = self.stores.models.change_model_version(&principal.organisation, model, number, &change, now_us).await?;
        self.record(principal, Action::WriteModel, &format!("model/{model}/{number}"), detail).await;
        self.tell_of_model(&principal.organisation, model).await?;
        Ok(changed)
    }

    /// Deletes a version. Refused while a robot is told to run it.
    pub async fn delete_model_version(&self, principal: &Principal, model: &ModelName, version: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        let _telling = self.telling.write().await;
        let number = self.find_version(&principal.organisation, model, version).await?.number;
        self.refuse_if_told(&principal.organisation, model, Some(number), "deleted").await?;
        self.stores.models.delete_model_version(&principal.organisation, model, number, self.now_us()).await?;
        let detail = serde_json::json!({ "deleted": true });
        self.record(principal, Action::WriteModel, &format!("model/{model}/{number}"), detail).await;
        self.tell_of_model(&principal.organisation, model).await
    }

    /// The version of that number or `@alias`; an error that says whether the model or the version is unknown.
    pub(crate) async fn find_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        version: &str,
    ) -> Result<ModelVersion, AppError> {
        let models = &self.stores.models;
        let known = models.model(organisation, model).await?;
        let known = known.ok_or_else(|| AppError::NotFound { what: "model", name: model.to_string() })?;
        let missing = || AppError::NotFound { what: "model version", name: format!("{model}/{version}") };
        let number = match version.strip_prefix('@') {
            Some(alias) => *known.aliases.get(alias).ok_or_else(missing)?,
            None => u64::from(version.parse::<u32>().map_err(|_| missing())?),
        };
        models.model_version(organisation, model, number).await?.ok_or_else(missing)
    }
}
