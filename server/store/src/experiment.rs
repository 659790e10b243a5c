//! Experiments.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId,
    experiment::{Experiment, Lifecycle, NewExperiment, Pair, View},
    search::{Filter, Order},
};

use crate::StoreError;

/// Which part of a sorted list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// How many to leave out first.
    pub offset: u64,
    /// At most so many.
    pub limit: u32,
}

/// Experiments. Names are one of their kind, also those of deleted ones.
#[async_trait]
pub trait ExperimentStore: Send + Sync {
    /// Makes the experiment every organisation has, unless it is there.
    async fn ensure_default_experiment(&self, organisation: &OrganisationId, created_ms: i64) -> Result<(), StoreError>;

    /// Makes one under the next number. `Taken` when there is one of that name.
    async fn create_experiment(&self, organisation: &OrganisationId, new: &NewExperiment) -> Result<Experiment, StoreError>;

    /// One, deleted or not.
    async fn experiment(&self, organisation: &OrganisationId, number: i64) -> Result<Option<Experiment>, StoreError>;

    /// The one of that name, deleted or not.
    async fn experiment_by_name(&self, organisation: &OrganisationId, name: &str) -> Result<Option<Experiment>, StoreError>;

    /// Those that the filter holds of, sorted; without an order the newest first.
    async fn search_experiments(
        &self,
        organisation: &OrganisationId,
        view: View,
        filter: &Filter,
        orders: &[Order],
        slice: Slice,
    ) -> Result<Vec<Experiment>, StoreError>;

    /// Gives one another name. `Missing`, `Taken`, or refused when it is deleted.
    async fn rename_experiment(&self, organisation: &OrganisationId, number: i64, name: &str, now_ms: i64) -> Result<(), StoreError>;

    /// Deletes one with its runs, or brings both back. Refused when it is so already.
    async fn set_experiment_lifecycle(
        &self,
        organisation: &OrganisationId,
        number: i64,
        lifecycle: Lifecycle,
        now_ms: i64,
    ) -> Result<(), StoreError>;

    /// Sets a tag. `Missing`, or refused when the experiment is deleted.
    async fn set_experiment_tag(&self, organisation: &OrganisationId, number: i64, tag: &Pair) -> Result<(), StoreError>;

    /// Removes a tag. `Missing` when the experiment or the tag is, refused when the experiment is deleted.
    async fn delete_experiment_tag(&self, organisation: &OrganisationId, number: i64, key: &str) -> Result<(), StoreError>;
}
