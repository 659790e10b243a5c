//! Models and their versions: registered once, never changed.

use edgeflow_bundle::MANIFEST_FILE;
use edgeflow_core::{
    ModelName, OrganisationId, Page, Principal,
    model::{Model, ModelVersion, ModelVersionView, ModelView, NewModelVersion},
    principal::{Action, Resource},
};

use crate::app::{App, AppError, Upload};

/// A model to be made.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// Its name.
    pub name: ModelName,
    /// For people.
    pub description: String,
}

const MAX_DESCRIPTION_BYTES: usize = 16 << 10;

impl App {
    /// Makes a model without versions.
    pub async fn create_model(&self, principal: &Principal, request: ModelRequest) -> Result<ModelView, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        check_description(&request.description)?;
        let model = Model { name: request.name, description: request.description, created_at_us: self.now_us() };
        self.stores.models.create_model(&principal.organisation, &model).await?;
        self.record(principal, Action::WriteModel, &format!("model/{}", model.name), serde_json::Value::Null).await;
        let shown = view(model, Vec::new());
        self.hub.send(&principal.organisation, "model", &shown);
        Ok(shown)
    }

    /// Models by name.
    pub async fn models(&self, principal: &Principal, after: Option<&str>, limit: u32) -> Result<Page<ModelView>, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let models = self.stores.models.models(&principal.organisation, after, limit + 1).await?;
        let page = Page::cut(models, limit, |model| model.name.to_string());
        let mut items = Vec::with_capacity(page.items.len());
        for model in page.items {
            let versions = self.stores.models.model_versions(&principal.organisation, &model.name).await?;
            items.push(view(model, versions));
        }
        Ok(Page { items, next: page.next })
    }

    /// One model with its versions.
    pub async fn model(&self, principal: &Principal, name: &ModelName) -> Result<ModelView, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        self.model_view(&principal.organisation, name).await
    }

    /// One version.
    pub async fn model_version(&self, principal: &Principal, model: &ModelName, version: &str) -> Result<ModelVersionView, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        Ok(self.find_version(&principal.organisation, model, version).await?.view())
    }

    /// Begins to take a bundle.
    pub async fn begin_upload(&self, principal: &Principal) -> Result<Upload, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        Upload::begin(self.artifacts.uploads(), self.max_model_bytes)
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
        let bundle = upload.finish().await?;
        let _gate = self.artifacts.gate().await;
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
        let labels = bundle.labels().to_vec();
        let new = NewModelVersion {
            model: model.clone(),
            digest: bundle.digest.to_string(),
            model_digest: bundle.model_digest.to_string(),
            files: bundle.files,
            schema: bundle.schema,
            labels,
            manifest,
            description,
            created_at_us: self.now_us(),
            created_by: principal.who.to_string(),
        };
        let (version, created) = self.stores.models.create_model_version(&principal.organisation, &new).await?;
        if created {
            let detail = serde_json::json!({ "digest": version.registered.digest });
            self.record(principal, Action::WriteModel, &format!("model/{model}/{}", version.number), detail).await;
            if self.hub.watched() {
                self.hub.send(&principal.organisation, "model", &self.model_view(&principal.organisation, model).await?);
            }
        }
        Ok((version.view(), created))
    }

    async fn model_view(&self, organisation: &OrganisationId, name: &ModelName) -> Result<ModelView, AppError> {
        let model = self.stores.models.model(organisation, name).await?;
        let model = model.ok_or_else(|| AppError::NotFound { what: "model", name: name.to_string() })?;
        let versions = self.stores.models.model_versions(organisation, name).await?;
        Ok(view(model, versions))
    }

    /// The version of that number; an error that says whether the model or the version is unknown.
    pub(crate) async fn find_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        version: &str,
    ) -> Result<ModelVersion, AppError> {
        let models = &self.stores.models;
        if models.model(organisation, model).await?.is_none() {
            return Err(AppError::NotFound { what: "model", name: model.to_string() });
        }
        let missing = || AppError::NotFound { what: "model version", name: format!("{model}/{version}") };
        let number: u32 = version.parse().map_err(|_| missing())?;
        models.model_version(organisation, model, u64::from(number)).await?.ok_or_else(missing)
    }
}

fn check_description(description: &str) -> Result<(), AppError> {
    if description.len() > MAX_DESCRIPTION_BYTES {
        return Err(AppError::TooLarge { what: "the description".to_owned(), limit_bytes: MAX_DESCRIPTION_BYTES as u64 });
    }
    Ok(())
}

fn view(model: Model, versions: Vec<ModelVersion>) -> ModelView {
    ModelView {
        name: model.name.to_string(),
        description: model.description,
        created_at_us: model.created_at_us,
        versions: versions.iter().map(ModelVersion::view).collect(),
    }
}
