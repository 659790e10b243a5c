//! Models, their versions, and the audit trail beside them.

use async_trait::async_trait;
use edgeflow_core::{
    ModelName, OrganisationId,
    audit::{AuditRecord, NewAudit},
    model::{Model, ModelVersion, NewModelVersion},
};

use crate::StoreError;

/// Models and their immutable versions.
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// Makes a model. `Taken` when there is one of that name.
    async fn create_model(&self, organisation: &OrganisationId, model: &Model) -> Result<(), StoreError>;

    /// One model.
    async fn model(&self, organisation: &OrganisationId, name: &ModelName) -> Result<Option<Model>, StoreError>;

    /// Models by name, beyond `after`.
    async fn models(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Model>, StoreError>;

    /// Registers a version under the model's next number, making the model when missing. A bundle that is a version of
    /// this model already is that version: it comes back with `false`.
    async fn create_model_version(&self, organisation: &OrganisationId, new: &NewModelVersion) -> Result<(ModelVersion, bool), StoreError>;

    /// One version.
    async fn model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
    ) -> Result<Option<ModelVersion>, StoreError>;

    /// All versions of a model, newest first.
    async fn model_versions(&self, organisation: &OrganisationId, model: &ModelName) -> Result<Vec<ModelVersion>, StoreError>;

    /// Size in bytes of the artifact with that SHA-256 (64 hex digits), if a version of the organisation refers to it.
    async fn artifact(&self, organisation: &OrganisationId, sha256: &str) -> Result<Option<u64>, StoreError>;
}

/// The audit trail. It only grows.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends one act.
    async fn append_audit(&self, organisation: &OrganisationId, new: &NewAudit) -> Result<(), StoreError>;

    /// Acts, newest first, older than `before`.
    async fn audit(&self, organisation: &OrganisationId, before: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;
}
