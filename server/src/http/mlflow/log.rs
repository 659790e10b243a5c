//! What clients log to runs: metrics, parameters, tags, inputs and outputs.

use axum::{Json, Router, extract::State, routing::post};
use edgeflow_core::{
    dataset::{Dataset, DatasetInput},
    experiment::Pair,
    run::{LogBatch, Metric, ModelLink, NewMetric},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{
    Shared,
    mlflow::{
        MlflowError,
        request::{Ask, double, int64, missing, required},
        runs::RunFields,
        shape::{self, PairFields},
    },
};

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/runs/log-metric", post(log_metric))
        .route("/runs/log-parameter", post(log_parameter))
        .route("/runs/log-batch", post(log_batch))
        .route("/runs/set-tag", post(set_tag))
        .route("/runs/delete-tag", post(delete_tag))
        .route("/runs/log-inputs", post(log_inputs))
        .route("/runs/outputs", post(log_outputs))
        .route("/runs/log-model", post(log_model))
}

type Answer = Result<Json<Value>, MlflowError>;

/// Tag that holds what older clients say of the models they log.
const MODEL_HISTORY_TAG: &str = "mlflow.log-model.history";

#[derive(Deserialize)]
struct MetricFields {
    key: Option<String>,
    #[serde(default, deserialize_with = "double")]
    value: Option<f64>,
    #[serde(default, deserialize_with = "int64")]
    timestamp: Option<i64>,
    #[serde(default, deserialize_with = "int64")]
    step: Option<i64>,
    model_id: Option<String>,
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

impl MetricFields {
    /// `name` says what a field that is missing is called.
    fn read(self, name: impl Fn(&'static str) -> String) -> Result<NewMetric, MlflowError> {
        let absent = |field| missing(&name(field));
        Ok(NewMetric {
            metric: Metric {
                key: self.key.filter(|key| !key.is_empty()).ok_or_else(|| absent("key"))?,
                value: self.value.ok_or_else(|| absent("value"))?,
                timestamp_ms: self.timestamp.ok_or_else(|| absent("timestamp"))?,
                step: self.step.unwrap_or_default(),
            },
            model_id: self.model_id.filter(|id| !id.is_empty()),
            dataset_name: self.dataset_name.unwrap_or_default(),
            dataset_digest: self.dataset_digest.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct LogMetricFields {
    run_id: Option<String>,
    run_uuid: Option<String>,
    key: Option<String>,
    #[serde(default, deserialize_with = "double")]
    value: Option<f64>,
    #[serde(default, deserialize_with = "int64")]
    timestamp: Option<i64>,
    #[serde(default, deserialize_with = "int64")]
    step: Option<i64>,
    model_id: Option<String>,
    dataset_name: Option<String>,
    dataset_digest: Option<String>,
}

async fn log_metric(State(shared): State<Shared>, Ask { who, with }: Ask<LogMetricFields>) -> Answer {
    let LogMetricFields { run_id, run_uuid, key, value, timestamp, step, model_id, dataset_name, dataset_digest } = with;
    let id = RunFields { run_id, run_uuid }.id()?;
    let fields = MetricFields { key, value, timestamp, step, model_id, dataset_name, dataset_digest };
    let metrics = vec![fields.read(str::to_owned)?];
    shared.app.log(&who, &id, LogBatch { metrics, ..LogBatch::default() }).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct PairOfRun {
    #[serde(flatten)]
    run: RunFields,
    #[serde(flatten)]
    pair: PairFields,
}

async fn log_parameter(State(shared): State<Shared>, Ask { who, with }: Ask<PairOfRun>) -> Answer {
    let id = with.run.id()?;
    shared.app.log(&who, &id, LogBatch { params: vec![with.pair.alone()?], ..LogBatch::default() }).await?;
    Ok(Json(json!({})))
}

async fn set_tag(State(shared): State<Shared>, Ask { who, with }: Ask<PairOfRun>) -> Answer {
    let id = with.run.id()?;
    shared.app.log(&who, &id, LogBatch { tags: vec![with.pair.alone()?], ..LogBatch::default() }).await?;
    Ok(Json(json!({})))
}

async fn delete_tag(State(shared): State<Shared>, Ask { who, with }: Ask<PairOfRun>) -> Answer {
    let id = with.run.id()?;
    shared.app.delete_run_tag(&who, &id, &with.pair.alone()?.key).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct BatchFields {
    run_id: Option<String>,
    metrics: Option<Vec<MetricFields>>,
    params: Option<Vec<PairFields>>,
    tags: Option<Vec<PairFields>>,
}

async fn log_batch(State(shared): State<Shared>, Ask { who, with }: Ask<BatchFields>) -> Answer {
    let id = required(with.run_id, "run_id")?;
    let metrics = with.metrics.unwrap_or_default().into_iter().enumerate();
    let batch = LogBatch {
        metrics: metrics.map(|(place, fields)| fields.read(|field| format!("metrics[{place}].{field}"))).collect::<Result<_, _>>()?,
        params: shape::pairs(with.params, "params")?,
        tags: shape::pairs(with.tags, "tags")?,
    };
    shared.app.log(&who, &id, batch).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct DatasetFields {
    name: Option<String>,
    digest: Option<String>,
    source_type: Option<String>,
    source: Option<String>,
    schema: Option<String>,
    profile: Option<String>,
}

#[derive(Deserialize)]
struct DatasetInputFields {
    dataset: Option<DatasetFields>,
    tags: Option<Vec<PairFields>>,
}

#[derive(Deserialize)]
struct ModelFields {
    model_id: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    step: Option<i64>,
}

impl ModelFields {
    fn read((place, fields): (usize, Self)) -> Result<ModelLink, MlflowError> {
        let model_id = fields.model_id.filter(|id| !id.is_empty()).ok_or_else(|| missing(&format!("models[{place}].model_id")))?;
        edgeflow_core::limits::check_length("'model_id'", &model_id, edgeflow_core::limits::MAX_KEY)?;
        Ok(ModelLink { model_id, step: fields.step.unwrap_or_default() })
    }
}

#[derive(Deserialize)]
struct LinkFields {
    run_id: Option<String>,
    datasets: Option<Vec<DatasetInputFields>>,
    models: Option<Vec<ModelFields>>,
}

async fn log_inputs(State(shared): State<Shared>, Ask { who, with }: Ask<LinkFields>) -> Answer {
    let id = required(with.run_id, "run_id")?;
    let datasets = with.datasets.unwrap_or_default().into_iter().enumerate().map(|(place, fields)| {
        let dataset = fields.dataset.ok_or_else(|| missing(&format!("datasets[{place}].dataset")))?;
        let name = dataset.name.filter(|name| !name.is_empty());
        let dataset = Dataset {
            name: name.ok_or_else(|| missing(&format!("datasets[{place}].dataset.name")))?,
            digest: dataset.digest.unwrap_or_default(),
            source_type: dataset.source_type.unwrap_or_default(),
            source: dataset.source.unwrap_or_default(),
            schema: dataset.schema,
            profile: dataset.profile,
        };
        Ok(DatasetInput { dataset, tags: shape::pairs(fields.tags, &format!("datasets[{place}].tags"))? })
    });
    let datasets = datasets.collect::<Result<Vec<_>, MlflowError>>()?;
    let models = with.models.unwrap_or_default().into_iter().enumerate().map(ModelFields::read).collect::<Result<Vec<_>, _>>()?;
    shared.app.log_inputs(&who, &id, &datasets, &models).await?;
    Ok(Json(json!({})))
}

async fn log_outputs(State(shared): State<Shared>, Ask { who, with }: Ask<LinkFields>) -> Answer {
    let id = required(with.run_id, "run_id")?;
    let models = with.models.unwrap_or_default().into_iter().enumerate().map(ModelFields::read).collect::<Result<Vec<_>, _>>()?;
    shared.app.log_outputs(&who, &id, &models).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct ModelJsonFields {
    #[serde(flatten)]
    run: RunFields,
    model_json: Option<String>,
}

/// Clients from before logged models keep the list of a run's models in a tag of it.
async fn log_model(State(shared): State<Shared>, Ask { who, with }: Ask<ModelJsonFields>) -> Answer {
    let id = with.run.id()?;
    let text = required(with.model_json, "model_json")?;
    let model: Value = serde_json::from_str(&text).map_err(|error| MlflowError::invalid(format!("model_json is not JSON: {error}")))?;
    for field in ["artifact_path", "run_id", "flavors", "utc_time_created"] {
        if model.get(field).is_none() {
            return Err(MlflowError::invalid(format!("model_json has no {field:?}")));
        }
    }
    let run = shared.app.run(&who, &id).await?;
    let history = run.tags.iter().find(|tag| tag.key == MODEL_HISTORY_TAG).map(|tag| serde_json::from_str(&tag.value));
    let mut history: Vec<Value> = history
        .transpose()
        .map_err(|error| MlflowError::invalid(format!("the run's tag {MODEL_HISTORY_TAG} is not the list it should be: {error}")))?
        .unwrap_or_default();
    history.push(model);
    let value = Value::from(history).to_string();
    if value.chars().count() > edgeflow_core::run::MAX_TAG_VALUE {
        return Err(MlflowError::invalid(format!("the run's tag {MODEL_HISTORY_TAG} is full: log the model with a current client")));
    }
    shared.app.log(&who, &id, LogBatch { tags: vec![Pair::new(MODEL_HISTORY_TAG, value)], ..LogBatch::default() }).await?;
    Ok(Json(json!({})))
}
