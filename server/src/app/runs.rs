//! Runs: begun, logged to, searched, ended. What is logged to them is not put on record one by one; that they began, were
//! deleted and restored is.

use edgeflow_core::{
    Principal,
    dataset::{DatasetInput, DatasetSummary},
    experiment::{Lifecycle, Pair, View},
    limits::check_key,
    principal::{Action, Resource},
    run::{LogBatch, Metric, ModelLink, NewRun, Run, RunChange, RunInfo, generated_name, sampled_steps},
    search::{Filter, Order},
};
use edgeflow_store::Slice;

use crate::app::{App, AppError, auth::random_bytes};

/// Most datasets or models of one request.
const MAX_LINKS: usize = 1000;

/// A run to be begun.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// Number of its experiment.
    pub experiment: i64,
    /// Its name; one is made up when empty.
    pub name: String,
    /// Who begins it, as the client says.
    pub user: String,
    /// When it begins, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Its tags.
    pub tags: Vec<Pair>,
}

impl App {
    /// Begins a run.
    pub async fn create_run(&self, principal: &Principal, request: RunRequest) -> Result<Run, AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        let id = random_bytes::<16>()?;
        let seed = id.iter().fold(0_u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let RunRequest { experiment, name, user, start_ms, tags } = request;
        let new = NewRun { id: hex::encode(id), experiment, name, user, start_ms, tags }.validated(|| generated_name(seed))?;
        let run = self.stores.runs.create_run(&principal.organisation, &new).await?;
        let detail = serde_json::json!({ "experiment": experiment.to_string(), "name": run.info.name });
        self.record(principal, Action::WriteRun, &format!("run/{}", run.info.id), detail).await;
        Ok(run)
    }

    /// One run, deleted or not.
    pub async fn run(&self, principal: &Principal, id: &str) -> Result<Run, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        let found = self.stores.runs.run(&principal.organisation, id).await?;
        found.ok_or_else(|| AppError::NotFound { what: "run", name: id.to_owned() })
    }

    /// Runs of experiments that a filter holds of.
    pub async fn runs(
        &self,
        principal: &Principal,
        experiments: &[i64],
        view: View,
        filter: &Filter,
        orders: &[Order],
        slice: Slice,
    ) -> Result<Vec<Run>, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        Ok(self.stores.runs.search_runs(&principal.organisation, experiments, view, filter, orders, slice).await?)
    }

    /// Changes a run's state, end or name.
    pub async fn update_run(&self, principal: &Principal, id: &str, change: &RunChange) -> Result<RunInfo, AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        if let Some(name) = &change.name {
            edgeflow_core::limits::check_length("the run's name", name, edgeflow_core::run::MAX_TAG_VALUE)?;
        }
        Ok(self.stores.runs.update_run(&principal.organisation, id, change).await?)
    }

    /// Deletes a run, or restores it.
    pub async fn set_run_lifecycle(&self, principal: &Principal, id: &str, lifecycle: Lifecycle) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        self.stores.runs.set_run_lifecycle(&principal.organisation, id, lifecycle).await?;
        let detail = serde_json::json!({ "lifecycle": lifecycle.as_str() });
        self.record(principal, Action::WriteRun, &format!("run/{id}"), detail).await;
        Ok(())
    }

    /// Logs metrics, parameters and tags.
    pub async fn log(&self, principal: &Principal, id: &str, batch: LogBatch) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        Ok(self.stores.runs.log(&principal.organisation, id, batch.validated()?).await?)
    }

    /// Removes a tag of a run.
    pub async fn delete_run_tag(&self, principal: &Principal, id: &str, key: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_key("tag", key)?;
        Ok(self.stores.runs.delete_run_tag(&principal.organisation, id, key).await?)
    }

    /// Says which datasets and logged models went into a run.
    pub async fn log_inputs(
        &self,
        principal: &Principal,
        id: &str,
        datasets: &[DatasetInput],
        models: &[ModelLink],
    ) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_count("datasets", datasets.len())?;
        check_count("models", models.len())?;
        for DatasetInput { dataset, tags } in datasets {
            dataset.validate()?;
            edgeflow_core::logged_model::check_pairs("dataset tag", tags)?;
        }
        Ok(self.stores.runs.log_inputs(&principal.organisation, id, datasets, models).await?)
    }

    /// Says which logged models came out of a run.
    pub async fn log_outputs(&self, principal: &Principal, id: &str, models: &[ModelLink]) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_count("models", models.len())?;
        Ok(self.stores.runs.log_outputs(&principal.organisation, id, models).await?)
    }

    /// Every value of a metric of a run, by time.
    pub async fn metric_history(&self, principal: &Principal, id: &str, key: &str, slice: Slice) -> Result<Vec<Metric>, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        Ok(self.stores.runs.metric_history(&principal.organisation, id, key, slice).await?)
    }

    /// A metric of several runs at no more than `most` steps, evenly spread, with both ends.
    pub async fn sampled_metric(
        &self,
        principal: &Principal,
        ids: &[String],
        key: &str,
        within: (i64, i64),
        most: usize,
    ) -> Result<Vec<(String, Metric)>, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        let steps = self.stores.runs.metric_steps(&principal.organisation, ids, key, within).await?;
        Ok(self.stores.runs.metric_at_steps(&principal.organisation, ids, key, &sampled_steps(&steps, most)).await?)
    }

    /// Datasets that went into runs of these experiments.
    pub async fn datasets(&self, principal: &Principal, experiments: &[i64], limit: u32) -> Result<Vec<DatasetSummary>, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        Ok(self.stores.runs.datasets(&principal.organisation, experiments, limit).await?)
    }
}

fn check_count(what: &str, count: usize) -> Result<(), AppError> {
    if count > MAX_LINKS {
        return Err(AppError::Invalid(format!("a request has at most {MAX_LINKS} {what}, this one has {count}: send several")));
    }
    Ok(())
}
