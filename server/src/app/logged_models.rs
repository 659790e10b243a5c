//! Logged models: what a run wrote, before anybody registers it.

use edgeflow_core::{
    Principal,
    experiment::{Lifecycle, Pair},
    limits::check_key,
    logged_model::{LoggedModel, ModelStatus, NewLoggedModel, check_pairs},
    principal::{Action, Resource},
    run::generated_name,
};
use edgeflow_store::{ModelSearch, Slice};

use crate::app::{App, AppError, auth::random_bytes};

/// A logged model to be made.
#[derive(Debug, Clone, Default)]
pub struct LoggedModelRequest {
    /// Number of its experiment.
    pub experiment: i64,
    /// Its name; one is made up when empty.
    pub name: String,
    /// Kind of model; may be empty.
    pub model_type: String,
    /// The run that logs it; may be empty.
    pub source_run_id: String,
    /// Parameters.
    pub params: Vec<Pair>,
    /// Tags.
    pub tags: Vec<Pair>,
}

impl App {
    /// Makes a logged model, whose files are still to come.
    pub async fn create_logged_model(&self, principal: &Principal, request: LoggedModelRequest) -> Result<LoggedModel, AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        let id = random_bytes::<16>()?;
        let seed = id.iter().fold(0_u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let LoggedModelRequest { experiment, name, model_type, source_run_id, params, tags } = request;
        let name = if name.is_empty() { generated_name(seed) } else { name };
        let id = format!("m-{}", hex::encode(id));
        let new = NewLoggedModel { id, experiment, name, model_type, source_run_id, params, tags, created_ms: self.now_ms() };
        new.validate()?;
        let made = self.stores.logged_models.create_logged_model(&principal.organisation, &new).await?;
        let detail = serde_json::json!({ "name": made.name, "run": made.source_run_id });
        self.record(principal, Action::WriteRun, &format!("logged_model/{}", made.id), detail).await;
        Ok(made)
    }

    /// One logged model; a deleted one only when `deleted` says so.
    pub async fn logged_model(&self, principal: &Principal, id: &str, deleted: bool) -> Result<LoggedModel, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        let found = self.stores.logged_models.logged_model(&principal.organisation, id).await?;
        found
            .filter(|model| deleted || model.lifecycle == Lifecycle::Active)
            .ok_or_else(|| AppError::NotFound { what: "logged model", name: id.to_owned() })
    }

    /// Logged models that are searched for.
    pub async fn logged_models(&self, principal: &Principal, search: &ModelSearch, slice: Slice) -> Result<Vec<LoggedModel>, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        Ok(self.stores.logged_models.search_logged_models(&principal.organisation, search, slice).await?)
    }

    /// Says whether a logged model's files are there.
    pub async fn finalize_logged_model(
        &self,
        principal: &Principal,
        id: &str,
        status: ModelStatus,
        message: &str,
    ) -> Result<LoggedModel, AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        edgeflow_core::limits::check_length("'status_message'", message, edgeflow_core::run::MAX_TAG_VALUE)?;
        Ok(self.stores.logged_models.finalize_logged_model(&principal.organisation, id, status, message, self.now_ms()).await?)
    }

    /// Deletes a logged model.
    pub async fn delete_logged_model(&self, principal: &Principal, id: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        self.stores.logged_models.delete_logged_model(&principal.organisation, id, self.now_ms()).await?;
        let detail = serde_json::json!({ "lifecycle": "deleted" });
        self.record(principal, Action::WriteRun, &format!("logged_model/{id}"), detail).await;
        Ok(())
    }

    /// Sets tags of a logged model.
    pub async fn set_logged_model_tags(&self, principal: &Principal, id: &str, tags: &[Pair]) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_pairs("tag", tags)?;
        Ok(self.stores.logged_models.set_logged_model_tags(&principal.organisation, id, tags).await?)
    }

    /// Removes a tag of a logged model.
    pub async fn delete_logged_model_tag(&self, principal: &Principal, id: &str, key: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_key("tag", key)?;
        Ok(self.stores.logged_models.delete_logged_model_tag(&principal.organisation, id, key).await?)
    }

    /// Adds parameters to a logged model.
    pub async fn log_logged_model_params(&self, principal: &Principal, id: &str, params: &[Pair]) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_pairs("param", params)?;
        Ok(self.stores.logged_models.log_logged_model_params(&principal.organisation, id, params).await?)
    }
}
