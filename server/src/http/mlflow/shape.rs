//! Runs, metrics and tags in the shape of MLflow's JSON.

use edgeflow_core::{
    dataset::DatasetInput,
    experiment::{Pair, View},
    run::{Metric, ModelLink, Run, RunInfo},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::http::mlflow::{
    MlflowError,
    request::{missing, required},
};

/// A parameter or tag as it is sent.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PairFields {
    key: Option<String>,
    value: Option<String>,
}

impl PairFields {
    /// With its key; `list` and `place` name it when there is none.
    fn read(self, list: &str, place: usize) -> Result<Pair, MlflowError> {
        match self.key {
            Some(key) if !key.is_empty() => Ok(Pair { key, value: self.value.unwrap_or_default() }),
            _ => Err(missing(&format!("{list}[{place}].key"))),
        }
    }

    /// The fields of a request that sets one.
    pub(crate) fn alone(self) -> Result<Pair, MlflowError> {
        Ok(Pair { key: required(self.key, "key")?, value: self.value.unwrap_or_default() })
    }
}

/// Parameters or tags of a list.
pub(crate) fn pairs(fields: Option<Vec<PairFields>>, list: &str) -> Result<Vec<Pair>, MlflowError> {
    fields.unwrap_or_default().into_iter().enumerate().map(|(place, pair)| pair.read(list, place)).collect()
}

/// A list as it is shown: one without items is not there.
pub(crate) fn put<T: Serialize>(object: &mut Map<String, Value>, name: &str, items: Vec<T>) {
    if !items.is_empty() {
        object.insert(name.to_owned(), json!(items));
    }
}

/// A double as protobuf's JSON writes it.
pub(crate) fn double(value: f64) -> Value {
    match value {
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

/// Which lifecycles a search sees.
pub(crate) fn view(word: Option<&str>) -> Result<View, MlflowError> {
    match word {
        None | Some("" | "ACTIVE_ONLY") => Ok(View::Active),
        Some("DELETED_ONLY") => Ok(View::Deleted),
        Some("ALL") => Ok(View::All),
        Some(word) => Err(MlflowError::invalid(format!("unknown view {word:?}: use ACTIVE_ONLY, DELETED_ONLY or ALL"))),
    }
}

/// Numbers of experiments.
pub(crate) fn experiments(ids: &[String]) -> Result<Vec<i64>, MlflowError> {
    ids.iter().map(|id| Ok(edgeflow_core::experiment::number(id)?)).collect()
}

pub(crate) fn metric(metric: &Metric) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("key".to_owned(), json!(metric.key));
    shown.insert("value".to_owned(), double(metric.value));
    shown.insert("timestamp".to_owned(), json!(metric.timestamp_ms));
    shown.insert("step".to_owned(), json!(metric.step));
    shown
}

pub(crate) fn info(info: &RunInfo) -> Value {
    let mut shown = json!({
        "run_id": info.id,
        "run_uuid": info.id,
        "run_name": info.name,
        "experiment_id": info.experiment.to_string(),
        "user_id": info.user,
        "status": info.status.as_str(),
        "start_time": info.start_ms,
        "artifact_uri": info.artifact_uri,
        "lifecycle_stage": info.lifecycle.as_str(),
    });
    if let (Some(end_ms), Some(object)) = (info.end_ms, shown.as_object_mut()) {
        object.insert("end_time".to_owned(), json!(end_ms));
    }
    shown
}

pub(crate) fn run(run: &Run) -> Value {
    let mut data = Map::new();
    put(&mut data, "metrics", run.metrics.iter().map(metric).collect());
    put(&mut data, "params", run.params.iter().collect());
    put(&mut data, "tags", run.tags.iter().collect());
    let mut inputs = Map::new();
    put(&mut inputs, "dataset_inputs", run.datasets.iter().map(dataset_input).collect());
    put(&mut inputs, "model_inputs", run.model_inputs.iter().map(|link| json!({ "model_id": link.model_id })).collect());
    let mut outputs = Map::new();
    let out = |link: &ModelLink| json!({ "model_id": link.model_id, "step": link.step });
    put(&mut outputs, "model_outputs", run.model_outputs.iter().map(out).collect());
    json!({ "info": info(&run.info), "data": data, "inputs": inputs, "outputs": outputs })
}

fn dataset_input(input: &DatasetInput) -> Value {
    let dataset = &input.dataset;
    let mut described = json!({
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    });
    for (name, text) in [("schema", &dataset.schema), ("profile", &dataset.profile)] {
        if let Some(text) = text {
            described[name] = json!(text);
        }
    }
    json!({ "tags": input.tags, "dataset": described })
}
