//! Models, their versions, and the audit trail beside them.

use async_trait::async_trait;
use edgeflow_core::{
    ModelName, OrganisationId,
    audit::{AuditRecord, NewAudit},
    model::{Model, ModelChange, ModelVersion, NewModelVersion, VersionChange},
};

use crate::StoreError;

/// Models and their versions. What was deleted is gone from every answer; a model of the same name made later is another one.
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// Makes a model. `Taken` when there is one of that name.
    async fn create_model(&self, organisation: &OrganisationId, model: &Model) -> Result<(), StoreError>;

    /// One model.
    async fn model(&self, organisation: &OrganisationId, name: &ModelName) -> Result<Option<Model>, StoreError>;

    /// Models by name, beyond `after`.
    async fn models(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Model>, StoreError>;

    /// Changes what is said about a model, and answers with it as it is then. `Missing` when there is no such model, or no such
    /// version for an alias; `Taken` when another model has the new name.
    async fn change_model(
        &self,
        organisation: &OrganisationId,
        name: &ModelName,
        change: &ModelChange,
        at_us: i64,
    ) -> Result<Model, StoreError>;

    /// Deletes a model with its versions; their bytes are doubted. `Missing` when there is none.
    async fn delete_model(&self, organisation: &OrganisationId, name: &ModelName, at_us: i64) -> Result<(), StoreError>;

    /// Registers a bundle under the model's next number, making the model when missing. A bundle that is a version of this model
    /// already is that version, the newest if there are several: it comes back with `false`.
    async fn create_model_version(&self, organisation: &OrganisationId, new: &NewModelVersion) -> Result<(ModelVersion, bool), StoreError>;

    /// Registers a version under the model's next number, whatever there is already. `Missing` when there is no such model.
    async fn add_model_version(&self, organisation: &OrganisationId, new: &NewModelVersion) -> Result<ModelVersion, StoreError>;

    /// One version.
    async fn model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
    ) -> Result<Option<ModelVersion>, StoreError>;

    /// All versions of a model (`None`: of every model), newest first within a model.
    async fn model_versions(&self, organisation: &OrganisationId, model: Option<&ModelName>) -> Result<Vec<ModelVersion>, StoreError>;

    /// Changes what is said about a version, and answers with it as it is then. `Missing` when there is none.
    async fn change_model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
        change: &VersionChange,
        at_us: i64,
    ) -> Result<ModelVersion, StoreError>;

    /// Deletes a version with its aliases; its bytes are doubted, and its number never comes again. `Missing` when there is none.
    async fn delete_model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
        at_us: i64,
    ) -> Result<(), StoreError>;

    /// Size in bytes of the artifact with that SHA-256 (64 hex digits), if a version of the organisation refers to it.
    async fn artifact(&self, organisation: &OrganisationId, sha256: &str) -> Result<Option<u64>, StoreError>;
}

/// The audit trail. It only grows.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends one act.
    async fn append_audit(&self, organisation: &OrganisationId, new: &NewAudit) -> Result<(), StoreError>;

    /// Acts on any of these things, newest first, at most `limit`.
    async fn audit_of(&self, organisation: &OrganisationId, resources: &[String], limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// Acts, newest first, older than `before`.
    async fn audit(&self, organisation: &OrganisationId, before: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;
}
