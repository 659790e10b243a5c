//! Logged models.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId,
    experiment::Pair,
    logged_model::{LoggedModel, ModelOrder, ModelStatus, NewLoggedModel},
    search::Filter,
};

use crate::{Slice, StoreError};

/// What logged models are searched for.
#[derive(Debug, Clone, Default)]
pub struct ModelSearch {
    /// In these experiments.
    pub experiments: Vec<i64>,
    /// What must hold.
    pub filter: Filter,
    /// Conditions on metrics are about values on one of these datasets, `(name, digest)`; no digest is any, none is all.
    /// Without such a condition there must be some value on one of them.
    pub datasets: Vec<(String, Option<String>)>,
    /// How they are sorted; ties and no order: the newest first.
    pub orders: Vec<ModelOrder>,
}

/// Logged models.
#[async_trait]
pub trait LoggedModelStore: Send + Sync {
    /// Makes one. `Missing` when its experiment is, refused when that is deleted.
    async fn create_logged_model(&self, organisation: &OrganisationId, new: &NewLoggedModel) -> Result<LoggedModel, StoreError>;

    /// One, deleted or not.
    async fn logged_model(&self, organisation: &OrganisationId, id: &str) -> Result<Option<LoggedModel>, StoreError>;

    /// Those that a run logged, deleted or not, the oldest first.
    async fn logged_models_of(&self, organisation: &OrganisationId, run_id: &str) -> Result<Vec<LoggedModel>, StoreError>;

    /// Those that are searched for and not deleted.
    async fn search_logged_models(
        &self,
        organisation: &OrganisationId,
        search: &ModelSearch,
        slice: Slice,
    ) -> Result<Vec<LoggedModel>, StoreError>;

    /// Says whether its files are there. `Missing` when it is not there or deleted.
    async fn finalize_logged_model(
        &self,
        organisation: &OrganisationId,
        id: &str,
        status: ModelStatus,
        message: &str,
        now_ms: i64,
    ) -> Result<LoggedModel, StoreError>;

    /// Deletes one. `Missing` when it never was.
    async fn delete_logged_model(&self, organisation: &OrganisationId, id: &str, now_ms: i64) -> Result<(), StoreError>;

    /// Sets tags. `Missing` when it is not there or deleted.
    async fn set_logged_model_tags(&self, organisation: &OrganisationId, id: &str, tags: &[Pair]) -> Result<(), StoreError>;

    /// Removes a tag. `Missing` when it or the model is not there.
    async fn delete_logged_model_tag(&self, organisation: &OrganisationId, id: &str, key: &str) -> Result<(), StoreError>;

    /// Adds parameters; one that is there with another value is refused.
    async fn log_logged_model_params(&self, organisation: &OrganisationId, id: &str, params: &[Pair]) -> Result<(), StoreError>;
}
