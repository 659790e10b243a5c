//! Where what runs comes from, as the control plane tells it: from a robot back to the dataset, and from the dataset to the robots.

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

use super::DemoError;
use super::control_plane::{ControlPlane, PAGE, Page, Version};
use super::stage::Stage;
use super::training::Training;

#[derive(Deserialize)]
struct Lineage {
    intervals: Vec<Interval>,
}

#[derive(Deserialize)]
struct Interval {
    digest: String,
    to_us: Option<i64>,
}

#[derive(Deserialize)]
struct Ran {
    target: String,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Provenance {
    /// Runs that led to it, the one that made it first.
    pub(crate) runs: Vec<ProvenanceRun>,
}

/// A run that led to a bundle.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProvenanceRun {
    /// Its name.
    pub(crate) name: String,
    /// Datasets that went in.
    pub(crate) datasets: Vec<ProvenanceDataset>,
}

/// A dataset that went into a run.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProvenanceDataset {
    /// Its name.
    pub(crate) name: String,
    /// What tells its content from another.
    pub(crate) digest: String,
    /// Whether the model was trained on it.
    pub(crate) trained_on: bool,
}

impl ControlPlane {
    /// Asks one of MLflow's routes, as its clients do; a GET has its question in the path.
    pub(crate) async fn mlflow<T: DeserializeOwned>(&self, method: Method, path: &str, body: &impl Serialize) -> Result<T, DemoError> {
        let path = format!("/api/2.0/mlflow/{path}");
        if method == Method::GET {
            return self.send("GET", &path, self.request_at(method, &path)).await;
        }
        let told = if method == Method::PATCH { "PATCH" } else { "POST" };
        self.send(told, &path, self.request_at(method, &path).json(body)).await
    }

    /// Keeps a file as MLflow's clients do.
    pub(crate) async fn put_artifact(&self, path: &str, bytes: Vec<u8>) -> Result<(), DemoError> {
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
        let request = self.request_at(Method::PUT, &path).body(bytes);
        self.send::<serde_json::Value>("PUT", &path, request).await.map(drop)
    }

    /// What a robot said it runs now, by bundle digest, and where that comes from.
    pub(crate) async fn origin(&self, target: &str) -> Result<Option<(String, Provenance)>, DemoError> {
        let lineage: Lineage = self.get(&format!("/targets/{target}/lineage?limit=1")).await?;
        let Some(now) = lineage.intervals.into_iter().find(|interval| interval.to_us.is_none()) else { return Ok(None) };
        let provenance = self.get(&format!("/lineage/provenance?digest={}", now.digest)).await?;
        Ok(Some((now.digest, provenance)))
    }

    /// Robots that ever ran what was made from a dataset, whichever version.
    pub(crate) async fn ran_from(&self, dataset: &str) -> Result<Vec<String>, DemoError> {
        let ran: Page<Ran> = self.get(&format!("/lineage/robots?dataset={dataset}&limit={PAGE}")).await?;
        Ok(ran.items.into_iter().map(|ran| ran.target).collect())
    }
}

/// Asks what made the model each robot says it runs, and the other way round, which robots ran what came of that dataset.
pub(crate) async fn origins(stage: &mut Stage<'_>, models_dir: &Path, version: &Version) -> Result<((), String), DemoError> {
    let training = Training::read(models_dir, "v2")?;
    let mut told = String::new();
    for name in stage.names() {
        let origin = stage.control_plane.origin(&name).await?;
        let found = origin.as_ref().filter(|(digest, _)| *digest == version.digest).and_then(|(_, provenance)| {
            let run = provenance.runs.first()?;
            Some((run, run.datasets.iter().find(|dataset| dataset.trained_on && dataset.digest == training.trained_on())?))
        });
        match found {
            Some((run, dataset)) => told = format!("run {:?} on {:?} {}", run.name, dataset.name, dataset.digest),
            None => return Err(DemoError::NotHeld(format!("{name} is traced back to {origin:?}, not to {}", training.trained_on()))),
        }
    }
    let ran: BTreeSet<String> = stage.control_plane.ran_from(training.trained_on()).await?.into_iter().collect();
    if ran != stage.names().into_iter().collect() {
        return Err(DemoError::NotHeld(format!("only {ran:?} are known to have run what was made from {}", training.trained_on())));
    }
    Ok(((), format!("{told}; {} robots ran what came of it", ran.len())))
}
