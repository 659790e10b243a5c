//! Where the demo's models come from, logged as a training script with MLflow's client would: experiment, run, datasets, logged
//! model, version. What is logged is the record that `sim/models/train.py` wrote when it made the models; nobody trains here.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use super::DemoError;
use super::control_plane::{ControlPlane, Version};

/// File of the records, beside the bundles.
pub(crate) const RECORD: &str = "training.json";

/// Files of a bundle that a client logs.
const FILES: [&str; 3] = ["model.onnx", "edgeflow.yaml", "baseline.json"];

/// What one training was.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Training {
    /// Which bundle it made.
    #[serde(skip)]
    bundle: String,
    params: BTreeMap<String, String>,
    /// By metric, values by step.
    metrics: BTreeMap<String, Vec<f64>>,
    datasets: Vec<Dataset>,
}

/// A dataset as MLflow's clients describe one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dataset {
    context: String,
    name: String,
    digest: String,
    source_type: String,
    source: String,
    schema: String,
    profile: String,
}

impl Training {
    /// The record of the training that made a bundle.
    pub(crate) fn read(models_dir: &Path, bundle: &str) -> Result<Self, DemoError> {
        let path = models_dir.join(RECORD);
        let failed = |source| DemoError::File { action: "read the record of the training", path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let mut records: BTreeMap<String, Self> = serde_json::from_str(&text).map_err(|error| failed(error.into()))?;
        let missing = || failed(std::io::Error::other(format!("it says nothing of {bundle}: write it again with train.py")));
        let record = records.remove(bundle).ok_or_else(missing)?;
        Ok(Self { bundle: bundle.to_owned(), ..record })
    }

    /// Digest of the dataset that the model was trained on.
    pub(crate) fn trained_on(&self) -> &str {
        self.dataset("training").map_or("", |dataset| &dataset.digest)
    }

    fn dataset(&self, context: &str) -> Option<&Dataset> {
        self.datasets.iter().find(|dataset| dataset.context == context)
    }

    /// Logs the training with the bundle's files, and registers what it made as the model's next version.
    pub(crate) async fn log(&self, to: &ControlPlane, model: &str, folder: &Path, description: &str) -> Result<Version, DemoError> {
        let experiment = experiment(to, model).await?;
        let run = self.begin_run(to, &experiment).await?;
        let datasets: Vec<Value> = self.datasets.iter().map(Dataset::input).collect();
        let _: Value = to.mlflow(Method::POST, "runs/log-inputs", &json!({ "run_id": run, "datasets": datasets })).await?;

        let asked = json!({ "experiment_id": experiment, "name": model, "source_run_id": run, "params": pairs(&self.params) });
        let logged: LoggedModel = to.mlflow(Method::POST, "logged-models", &asked).await?;
        let info = logged.model.info;
        let into = info.artifact_uri.trim_start_matches("mlflow-artifacts:").trim_start_matches('/');
        for name in FILES {
            let path = folder.join(name);
            let bytes = tokio::fs::read(&path).await.map_err(|source| DemoError::File { action: "read the bundle", path, source })?;
            to.put_artifact(&format!("{into}/{name}"), bytes).await?;
        }
        let ready = json!({ "status": "LOGGED_MODEL_READY" });
        let _: Value = to.mlflow(Method::PATCH, &format!("logged-models/{}", info.model_id), &ready).await?;
        let outputs = json!({ "run_id": run, "models": [{ "model_id": info.model_id, "step": 0 }] });
        let _: Value = to.mlflow(Method::POST, "runs/outputs", &outputs).await?;

        let measured = json!({ "run_id": run, "params": pairs(&self.params), "metrics": self.measured(&info.model_id) });
        let _: Value = to.mlflow(Method::POST, "runs/log-batch", &measured).await?;
        let ended = json!({ "run_id": run, "status": "FINISHED", "end_time": now_ms() });
        let _: Value = to.mlflow(Method::POST, "runs/update", &ended).await?;

        let source = format!("models:/{}", info.model_id);
        let asked = json!({ "name": model, "source": source, "run_id": run, "model_id": info.model_id, "description": description });
        let made: Registered = to.mlflow(Method::POST, "model-versions/create", &asked).await?;
        to.version(model, &made.model_version.version).await
    }

    async fn begin_run(&self, to: &ControlPlane, experiment: &str) -> Result<String, DemoError> {
        let note = "Trained beforehand by sim/models/train.py. The demo logs what that script recorded in sim/models/training.json.";
        let tags =
            BTreeMap::from([("mlflow.source.name", "sim/models/train.py"), ("mlflow.source.type", "LOCAL"), ("mlflow.note.content", note)]);
        let name = format!("demo training {}", self.bundle);
        let asked = json!({ "experiment_id": experiment, "run_name": name, "user_id": "edgeflow_demo", "start_time": now_ms(), "tags": pairs(&tags) });
        let made: Run = to.mlflow(Method::POST, "runs/create", &asked).await?;
        Ok(made.run.info.run_id)
    }

    /// Metrics of the model, each with the dataset it was measured on.
    fn measured(&self, model_id: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for (key, values) in &self.metrics {
            let on = self.dataset(if key.starts_with("training") { "training" } else { "evaluation" });
            for (step, value) in values.iter().enumerate() {
                let mut metric = json!({ "key": key, "value": value, "timestamp": now_ms(), "step": step, "model_id": model_id });
                if let Some(dataset) = on {
                    metric["dataset_name"] = json!(dataset.name);
                    metric["dataset_digest"] = json!(dataset.digest);
                }
                all.push(metric);
            }
        }
        all
    }
}

impl Dataset {
    fn input(&self) -> Value {
        let Self { context, name, digest, source_type, source, schema, profile } = self;
        json!({
            "dataset": { "name": name, "digest": digest, "source_type": source_type, "source": source, "schema": schema, "profile": profile },
            "tags": [{ "key": "mlflow.data.context", "value": context }],
        })
    }
}

/// The experiment of that name, and the registered model; both are made when this is the first training.
async fn experiment(to: &ControlPlane, name: &str) -> Result<String, DemoError> {
    #[derive(Deserialize)]
    struct Made {
        experiment_id: String,
    }
    #[derive(Deserialize)]
    struct Found {
        experiment: Made,
    }
    let path = format!("experiments/get-by-name?experiment_name={name}");
    match to.mlflow::<Found>(Method::GET, &path, &json!({})).await {
        Ok(found) => Ok(found.experiment.experiment_id),
        Err(DemoError::Refused { status: 404, .. }) => {
            let made: Made = to.mlflow(Method::POST, "experiments/create", &json!({ "name": name })).await?;
            let _: Value = to.mlflow(Method::POST, "registered-models/create", &json!({ "name": name })).await?;
            Ok(made.experiment_id)
        }
        Err(error) => Err(error),
    }
}

fn pairs<K: AsRef<str>, V: AsRef<str>>(of: &BTreeMap<K, V>) -> Vec<Value> {
    of.iter().map(|(key, value)| json!({ "key": key.as_ref(), "value": value.as_ref() })).collect()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[derive(Deserialize)]
struct Run {
    run: RunBody,
}

#[derive(Deserialize)]
struct RunBody {
    info: RunInfo,
}

#[derive(Deserialize)]
struct RunInfo {
    run_id: String,
}

#[derive(Deserialize)]
struct LoggedModel {
    model: LoggedModelBody,
}

#[derive(Deserialize)]
struct LoggedModelBody {
    info: LoggedModelInfo,
}

#[derive(Deserialize)]
struct LoggedModelInfo {
    model_id: String,
    artifact_uri: String,
}

#[derive(Deserialize)]
struct Registered {
    model_version: RegisteredVersion,
}

#[derive(Deserialize)]
struct RegisteredVersion {
    version: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn models() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
    }

    #[test]
    fn the_record_says_of_every_bundle_what_it_was_trained_on_and_judged_by() {
        for bundle in super::super::args::BUNDLES {
            let training = Training::read(&models(), bundle).unwrap();
            assert_eq!(training.trained_on().len(), 16);
            assert!(training.dataset("evaluation").is_some_and(|dataset| dataset.digest != training.trained_on()));
            assert!(training.params.contains_key("classifier") && training.metrics["accuracy"].len() == 1);
            let measured = training.measured("m-1");
            let on = |key: &str| measured.iter().find(|metric| metric["key"] == key).unwrap()["dataset_digest"].clone();
            assert_eq!(on("training_accuracy"), training.trained_on());
            assert_ne!(on("accuracy"), training.trained_on());
        }
        let network = Training::read(&models(), "v2").unwrap();
        assert_eq!(network.metrics["training_loss"].len(), 60, "a value for each round");
    }

    #[test]
    fn a_record_without_the_bundle_is_named() {
        let error = crate::with_causes(&Training::read(&models(), "v9").unwrap_err());
        assert!(error.contains(RECORD) && error.contains("v9"), "{error}");
    }
}
