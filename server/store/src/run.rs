//! Runs and what is logged to them.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId,
    dataset::{DatasetInput, DatasetSummary},
    experiment::{Lifecycle, View},
    run::{LogBatch, Metric, ModelLink, NewRun, Run, RunChange, RunInfo},
    search::{Filter, Order},
};

use crate::{Slice, StoreError};

/// Runs. Whatever changes one says `Missing` when it is not there and refuses when it is deleted.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Makes one. `Missing` when its experiment is, refused when that is deleted.
    async fn create_run(&self, organisation: &OrganisationId, new: &NewRun) -> Result<Run, StoreError>;

    /// One, deleted or not, with all that was logged to it.
    async fn run(&self, organisation: &OrganisationId, id: &str) -> Result<Option<Run>, StoreError>;

    /// Those of these experiments that the filter holds of, sorted; ties and no order: the last begun first.
    async fn search_runs(
        &self,
        organisation: &OrganisationId,
        experiments: &[i64],
        view: View,
        filter: &Filter,
        orders: &[Order],
        slice: Slice,
    ) -> Result<Vec<Run>, StoreError>;

    /// Changes one.
    async fn update_run(&self, organisation: &OrganisationId, id: &str, change: &RunChange) -> Result<RunInfo, StoreError>;

    /// Deletes one or brings it back; that it is so already is no error.
    async fn set_run_lifecycle(&self, organisation: &OrganisationId, id: &str, lifecycle: Lifecycle) -> Result<(), StoreError>;

    /// Logs a batch, whole or not at all. Sent again it changes nothing; a parameter with another value is refused.
    async fn log(&self, organisation: &OrganisationId, id: &str, batch: LogBatch) -> Result<(), StoreError>;

    /// Removes a tag. `Missing` when it is not there.
    async fn delete_run_tag(&self, organisation: &OrganisationId, id: &str, key: &str) -> Result<(), StoreError>;

    /// Says what went in. What was said before stands.
    async fn log_inputs(
        &self,
        organisation: &OrganisationId,
        id: &str,
        datasets: &[DatasetInput],
        models: &[ModelLink],
    ) -> Result<(), StoreError>;

    /// Says which logged models came out. What was said before stands.
    async fn log_outputs(&self, organisation: &OrganisationId, id: &str, models: &[ModelLink]) -> Result<(), StoreError>;

    /// Every value of a metric by time, step and value.
    async fn metric_history(&self, organisation: &OrganisationId, id: &str, key: &str, slice: Slice) -> Result<Vec<Metric>, StoreError>;

    /// Steps at which a metric of any of these runs has values, within bounds.
    async fn metric_steps(
        &self,
        organisation: &OrganisationId,
        ids: &[String],
        key: &str,
        within: (i64, i64),
    ) -> Result<Vec<i64>, StoreError>;

    /// The last value at each of these steps, by run and step.
    async fn metric_at_steps(
        &self,
        organisation: &OrganisationId,
        ids: &[String],
        key: &str,
        steps: &[i64],
    ) -> Result<Vec<(String, Metric)>, StoreError>;

    /// Datasets of these experiments, by experiment and name.
    async fn datasets(&self, organisation: &OrganisationId, experiments: &[i64], limit: u32) -> Result<Vec<DatasetSummary>, StoreError>;
}
