//! Where a model comes from: the runs that led to it, and the datasets those took in.
//!
//! A run leads to another when a model that came out of it went into the other, and when it is the other's parent: what a parent was
//! given its children were given too.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::{
    dataset::DatasetInput,
    experiment::Pair,
    model::ModelVersion,
    run::{CONTEXT_TAG, Run},
};

/// Most runs of one provenance, the nearest.
pub const MAX_RUNS: u32 = 100;
/// What begins the context of a dataset that a model was not trained on but judged by.
pub const JUDGED_BY: [&str; 3] = ["eval", "test", "valid"];
/// The tag of a run that names its parent.
pub const PARENT_TAG: &str = "mlflow.parentRunId";

/// A registered version, as lineage names it. Deleted ones are told too: a robot may have run them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Registered {
    /// Registry name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Digest of the bundle; `null` when no robot can run it.
    pub digest: Option<String>,
    /// The run that made it, when that is known.
    pub run_id: Option<String>,
    /// The logged model it is.
    pub model_id: Option<String>,
    /// When it was registered, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// By whom.
    pub created_by: String,
    /// Whether it was deleted since.
    pub deleted: bool,
}

impl Registered {
    /// A version, in short.
    pub fn of(version: &ModelVersion, deleted: bool) -> Self {
        let registered = &version.registered;
        Self {
            model: registered.model.to_string(),
            version: version.version(),
            digest: registered.bundle.as_ref().map(|bundle| bundle.digest.clone()),
            run_id: registered.origin.run_id.clone(),
            model_id: registered.origin.model_id.clone(),
            created_at_us: registered.created_at_us,
            created_by: registered.created_by.clone(),
            deleted,
        }
    }
}

/// How a run is part of a provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// It made the model.
    Made,
    /// A model of its went in.
    Model,
    /// It is a parent.
    Parent,
}

/// A dataset that went in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProvenanceDataset {
    /// Its name.
    pub name: String,
    /// What tells its content from another, as the client computed it.
    pub digest: String,
    /// Kind of its source.
    pub source_type: String,
    /// Where it comes from, mostly JSON.
    pub source: String,
    /// What it was for, such as `training`; empty when nobody said.
    pub context: String,
    /// Whether the model was trained on it: unless the context says that it was judged by it.
    pub trained_on: bool,
}

/// The latest value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProvenanceMetric {
    /// Of which metric.
    pub key: String,
    /// Its value. What JSON has no number for is spelled out: `"NaN"`, `"Infinity"`.
    #[serde(with = "edgeflow_wire::float")]
    #[schema(value_type = f64)]
    pub value: f64,
    /// At which step of the training.
    pub step: i64,
}

/// A run that led to a model.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProvenanceRun {
    /// Its id.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// Id of its experiment.
    pub experiment_id: String,
    /// Who began it, as the client says.
    pub user: String,
    /// Where it is, such as `FINISHED`.
    pub status: String,
    /// When it began, microseconds since the Unix epoch.
    pub started_at_us: i64,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// How it led there.
    pub via: Via,
    /// The commit of its code; empty when nobody said.
    pub commit: String,
    /// The script or notebook; empty when nobody said.
    pub entry_point: String,
    /// Its parameters.
    pub params: BTreeMap<String, String>,
    /// The latest value of each metric.
    pub metrics: Vec<ProvenanceMetric>,
    /// What went in.
    pub datasets: Vec<ProvenanceDataset>,
}

/// Where the bundle of one digest comes from.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Provenance {
    /// Digest of the bundle.
    pub digest: String,
    /// What it is registered as, the newest first.
    pub versions: Vec<Registered>,
    /// Runs that led to it, the nearest first.
    pub runs: Vec<ProvenanceRun>,
}

/// Whether a model was trained on a dataset of this context.
pub fn is_trained_on(context: &str) -> bool {
    let context = context.to_lowercase();
    !JUDGED_BY.iter().any(|judged| context.starts_with(judged))
}

impl ProvenanceRun {
    /// From a run.
    pub fn of(run: Run, via: Via) -> Self {
        let info = run.info;
        let tag = |key: &str| value(&run.tags, key);
        Self {
            via,
            commit: tag("mlflow.source.git.commit"),
            entry_point: tag("mlflow.source.name"),
            run_id: info.id,
            name: info.name,
            experiment_id: info.experiment.to_string(),
            user: info.user,
            status: info.status.as_str().to_owned(),
            started_at_us: info.start_ms.saturating_mul(1_000),
            ended_at_us: info.end_ms.map(|ms| ms.saturating_mul(1_000)),
            params: run.params.into_iter().map(|pair| (pair.key, pair.value)).collect(),
            metrics: run
                .metrics
                .into_iter()
                .map(|metric| ProvenanceMetric { key: metric.key, value: metric.value, step: metric.step })
                .collect(),
            datasets: run.datasets.into_iter().map(ProvenanceDataset::of).collect(),
        }
    }

    /// A dataset that a run took in, and what for.
    pub fn dataset(input: &DatasetInput) -> ProvenanceDataset {
        ProvenanceDataset::of(input.clone())
    }
}

impl ProvenanceDataset {
    fn of(input: DatasetInput) -> Self {
        let context = value(&input.tags, CONTEXT_TAG);
        let dataset = input.dataset;
        Self {
            trained_on: is_trained_on(&context),
            context,
            name: dataset.name,
            digest: dataset.digest,
            source_type: dataset.source_type,
            source: dataset.source,
        }
    }
}

fn value(pairs: &[Pair], key: &str) -> String {
    pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_is_trained_on_unless_its_context_says_otherwise() {
        for context in ["", "training", "train", "Fine-tuning"] {
            assert!(is_trained_on(context), "{context}");
        }
        for context in ["eval", "Evaluation", "test", "validation", "valid"] {
            assert!(!is_trained_on(context), "{context}");
        }
    }
}
