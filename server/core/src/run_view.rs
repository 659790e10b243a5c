//! Experiments, runs and logged models as the native API shows them: times in microseconds, as everywhere there.

use serde::Serialize;

use crate::{
    dataset::DatasetInput,
    experiment::{Experiment, Lifecycle, Pair},
    logged_model::{LoggedModel, ModelStatus},
    run::{CONTEXT_TAG, Metric, ModelLink, Run, RunStatus},
};

/// Milliseconds since the Unix epoch as microseconds.
fn us(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}

/// An experiment as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ExperimentView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where the artifacts of its runs are kept.
    pub artifact_location: String,
    /// Whether it is there.
    pub lifecycle: Lifecycle,
    /// Its tags, by key.
    pub tags: Vec<Pair>,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// When it was last changed.
    pub updated_at_us: i64,
}

impl From<Experiment> for ExperimentView {
    fn from(experiment: Experiment) -> Self {
        Self {
            id: experiment.number.to_string(),
            name: experiment.name,
            artifact_location: experiment.artifact_location,
            lifecycle: experiment.lifecycle,
            tags: experiment.tags,
            created_at_us: us(experiment.created_ms),
            updated_at_us: us(experiment.updated_ms),
        }
    }
}

/// A value of a metric as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct MetricView {
    /// Of which metric.
    pub key: String,
    /// The value. What JSON has no number for is spelled out: `"NaN"`, `"Infinity"`.
    #[serde(with = "edgeflow_wire::float")]
    #[schema(value_type = f64)]
    pub value: f64,
    /// At which step of the training.
    pub step: i64,
    /// When it was measured, microseconds since the Unix epoch.
    pub t_us: i64,
}

impl From<Metric> for MetricView {
    fn from(metric: Metric) -> Self {
        Self { key: metric.key, value: metric.value, step: metric.step, t_us: us(metric.timestamp_ms) }
    }
}

/// A dataset that went into a run, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DatasetView {
    /// Its name.
    pub name: String,
    /// What tells one content from another, as the client computed it.
    pub digest: String,
    /// For what it went in: `training`, `eval`, ...; empty when the client did not say.
    pub context: String,
    /// Kind of source.
    pub source_type: String,
    /// Where it comes from, mostly JSON.
    pub source: String,
    /// Its columns or tensors, mostly JSON.
    pub schema: Option<String>,
    /// Counts and summaries, mostly JSON.
    pub profile: Option<String>,
}

impl From<DatasetInput> for DatasetView {
    fn from(DatasetInput { dataset, tags }: DatasetInput) -> Self {
        let context = tags.into_iter().find(|tag| tag.key == CONTEXT_TAG).map(|tag| tag.value).unwrap_or_default();
        Self {
            name: dataset.name,
            digest: dataset.digest,
            context,
            source_type: dataset.source_type,
            source: dataset.source,
            schema: dataset.schema,
            profile: dataset.profile,
        }
    }
}

/// A logged model beside a run, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelLinkView {
    /// Id of the logged model.
    pub id: String,
    /// At which step it came out; 0 for what went in.
    pub step: i64,
}

impl From<ModelLink> for ModelLinkView {
    fn from(link: ModelLink) -> Self {
        Self { id: link.model_id, step: link.step }
    }
}

/// A run as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunView {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its experiment.
    pub experiment: String,
    /// Its name; several runs may share one.
    pub name: String,
    /// Who began it, as the client says.
    pub user: String,
    /// Where it is.
    pub status: RunStatus,
    /// Whether it is there.
    pub lifecycle: Lifecycle,
    /// When it began, microseconds since the Unix epoch.
    pub started_at_us: i64,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// Where its artifacts are.
    pub artifact_uri: String,
    /// Version of the code, as the client says: the tag `mlflow.source.git.commit`.
    pub code_version: Option<String>,
    /// The latest value of each metric, by key.
    pub metrics: Vec<MetricView>,
    /// Parameters, by key.
    pub params: Vec<Pair>,
    /// Tags, by key.
    pub tags: Vec<Pair>,
    /// Datasets that went in.
    pub datasets: Vec<DatasetView>,
    /// Logged models that went in.
    pub model_inputs: Vec<ModelLinkView>,
    /// Logged models that came out.
    pub model_outputs: Vec<ModelLinkView>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let code_version = run.tags.iter().find(|tag| tag.key == "mlflow.source.git.commit").map(|tag| tag.value.clone());
        Self {
            id: run.info.id,
            experiment: run.info.experiment.to_string(),
            name: run.info.name,
            user: run.info.user,
            status: run.info.status,
            lifecycle: run.info.lifecycle,
            started_at_us: us(run.info.start_ms),
            ended_at_us: run.info.end_ms.map(us),
            artifact_uri: run.info.artifact_uri,
            code_version,
            metrics: run.metrics.into_iter().map(MetricView::from).collect(),
            params: run.params,
            tags: run.tags,
            datasets: run.datasets.into_iter().map(DatasetView::from).collect(),
            model_inputs: run.model_inputs.into_iter().map(ModelLinkView::from).collect(),
            model_outputs: run.model_outputs.into_iter().map(ModelLinkView::from).collect(),
        }
    }
}

/// A value of a metric of one of several runs.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RunMetricView {
    /// Of which run.
    pub run: String,
    /// The value.
    #[serde(flatten)]
    pub metric: MetricView,
}

/// What was measured of a logged model, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModelMetricView {
    /// By which run.
    pub run: String,
    /// On which dataset; empty when the client did not say.
    pub dataset: String,
    /// Digest of that dataset.
    pub dataset_digest: String,
    /// The value.
    #[serde(flatten)]
    pub metric: MetricView,
}

/// A logged model as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LoggedModelView {
    /// Its id.
    pub id: String,
    /// Its experiment.
    pub experiment: String,
    /// Its name; several may share one.
    pub name: String,
    /// Kind of model, as the client says; may be empty.
    pub model_type: String,
    /// The run that logged it; may be empty.
    pub source_run: String,
    /// Whether its files are there.
    pub status: ModelStatus,
    /// Why not; may be empty.
    pub status_message: String,
    /// Whether it is there.
    pub lifecycle: Lifecycle,
    /// Where its files are.
    pub artifact_uri: String,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// When it was last changed.
    pub updated_at_us: i64,
    /// Parameters, by key.
    pub params: Vec<Pair>,
    /// Tags, by key.
    pub tags: Vec<Pair>,
    /// What was measured of it.
    pub metrics: Vec<ModelMetricView>,
}

impl From<LoggedModel> for LoggedModelView {
    fn from(model: LoggedModel) -> Self {
        let metrics = model.metrics.into_iter().map(|measured| ModelMetricView {
            run: measured.run_id,
            dataset: measured.dataset_name,
            dataset_digest: measured.dataset_digest,
            metric: measured.metric.into(),
        });
        Self {
            id: model.id,
            experiment: model.experiment.to_string(),
            name: model.name,
            model_type: model.model_type,
            source_run: model.source_run_id,
            status: model.status,
            status_message: model.status_message,
            lifecycle: model.lifecycle,
            artifact_uri: model.artifact_uri,
            created_at_us: us(model.created_ms),
            updated_at_us: us(model.updated_ms),
            params: model.params,
            tags: model.tags,
            metrics: metrics.collect(),
        }
    }
}
