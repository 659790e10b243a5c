//! Experiments: made, searched, renamed, deleted with their runs and restored.

use edgeflow_core::{
    CoreError, Principal,
    experiment::{Experiment, Lifecycle, NewExperiment, Pair, View, check_name, check_tag},
    limits::check_key,
    principal::{Action, Resource},
    search::{Filter, Order},
};
use edgeflow_store::{Slice, StoreError};

use crate::app::{App, AppError};

/// An experiment to be made.
#[derive(Debug, Clone)]
pub struct ExperimentRequest {
    /// Its name, one of its kind.
    pub name: String,
    /// Where the artifacts of its runs are kept; the control plane keeps them when not given.
    pub artifact_location: Option<String>,
    /// Its tags.
    pub tags: Vec<Pair>,
}

impl App {
    /// Now, as MLflow's clients count.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Makes an experiment.
    pub async fn create_experiment(&self, principal: &Principal, request: ExperimentRequest) -> Result<Experiment, AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        let ExperimentRequest { name, artifact_location, tags } = request;
        let artifact_location = artifact_location.filter(|location| !location.is_empty());
        let new = NewExperiment { name, artifact_location, tags, created_ms: self.now_ms() };
        new.validate()?;
        let made = self.stores.experiments.create_experiment(&principal.organisation, &new).await?;
        let detail = serde_json::json!({ "name": made.name });
        self.record(principal, Action::WriteRun, &format!("experiment/{}", made.number), detail).await;
        Ok(made)
    }

    /// One experiment, deleted or not.
    pub async fn experiment(&self, principal: &Principal, number: i64) -> Result<Experiment, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        let found = self.stores.experiments.experiment(&principal.organisation, number).await?;
        found.ok_or_else(|| AppError::NotFound { what: "experiment", name: number.to_string() })
    }

    /// The experiment of that name, deleted or not.
    pub async fn experiment_by_name(&self, principal: &Principal, name: &str) -> Result<Experiment, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        let found = self.stores.experiments.experiment_by_name(&principal.organisation, name).await?;
        found.ok_or_else(|| AppError::NotFound { what: "experiment", name: name.to_owned() })
    }

    /// Experiments that a filter holds of.
    pub async fn experiments(
        &self,
        principal: &Principal,
        view: View,
        filter: &Filter,
        orders: &[Order],
        slice: Slice,
    ) -> Result<Vec<Experiment>, AppError> {
        self.permit(principal, Action::ReadRun, Resource::Organisation).await?;
        Ok(self.stores.experiments.search_experiments(&principal.organisation, view, filter, orders, slice).await?)
    }

    /// Gives an experiment another name.
    pub async fn rename_experiment(&self, principal: &Principal, number: i64, name: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_name(name)?;
        self.stores.experiments.rename_experiment(&principal.organisation, number, name, self.now_ms()).await?;
        self.record(principal, Action::WriteRun, &format!("experiment/{number}"), serde_json::json!({ "name": name })).await;
        Ok(())
    }

    /// Deletes an experiment with its runs, or restores both.
    pub async fn set_experiment_lifecycle(&self, principal: &Principal, number: i64, lifecycle: Lifecycle) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        let changed = self.stores.experiments.set_experiment_lifecycle(&principal.organisation, number, lifecycle, self.now_ms()).await;
        changed.map_err(|error| match (error, lifecycle) {
            (StoreError::Refused(CoreError::WrongState { name, .. }), Lifecycle::Deleted) => {
                AppError::NotFound { what: "active experiment", name }
            }
            (StoreError::Refused(CoreError::WrongState { name, .. }), Lifecycle::Active) => {
                AppError::NotFound { what: "deleted experiment", name }
            }
            (error, _) => error.into(),
        })?;
        let detail = serde_json::json!({ "lifecycle": lifecycle.as_str() });
        self.record(principal, Action::WriteRun, &format!("experiment/{number}"), detail).await;
        Ok(())
    }

    /// Sets a tag of an experiment.
    pub async fn set_experiment_tag(&self, principal: &Principal, number: i64, tag: &Pair) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_tag(tag)?;
        Ok(self.stores.experiments.set_experiment_tag(&principal.organisation, number, tag).await?)
    }

    /// Removes a tag of an experiment.
    pub async fn delete_experiment_tag(&self, principal: &Principal, number: i64, key: &str) -> Result<(), AppError> {
        self.permit(principal, Action::WriteRun, Resource::Organisation).await?;
        check_key("tag", key)?;
        Ok(self.stores.experiments.delete_experiment_tag(&principal.organisation, number, key).await?)
    }
}
