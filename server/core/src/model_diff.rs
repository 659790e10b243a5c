//! What differs between two versions.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ModelVersion, TensorView};

/// What is known of a version beside what was registered: of the run that made it, and the drift reference in its bundle.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Background {
    /// The latest value of each metric of its run.
    pub metrics: BTreeMap<String, f64>,
    /// Parameters of its run.
    pub params: BTreeMap<String, String>,
    /// Datasets that went into its run: name to digest. One that it was judged by has its context behind the name.
    pub datasets: BTreeMap<String, String>,
    /// The code it was made with, as the run's client says.
    pub code: Option<String>,
    /// Drift reference: feature to mean and standard deviation.
    pub baseline: Option<BTreeMap<String, Feature>>,
}

/// One feature of a drift reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Feature {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub std: f64,
}

/// A value before and after; `null` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Change<T> {
    /// In the first version.
    pub before: Option<T>,
    /// In the second.
    pub after: Option<T>,
}

impl<T: PartialEq> Change<T> {
    /// The change, when there is one.
    pub fn of(before: Option<T>, after: Option<T>) -> Option<Self> {
        (before != after).then_some(Self { before, after })
    }
}

/// One of the two versions, in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Side {
    /// Its model.
    pub model: String,
    /// Its number.
    pub version: String,
    /// Its bundle digest; empty when it is not deployable.
    pub digest: String,
    /// Digest of `model.onnx` alone; empty when it is not deployable.
    pub model_digest: String,
    /// Sum of the files' sizes.
    pub size_bytes: u64,
    /// The run that made it.
    pub run_id: Option<String>,
    /// When it was registered, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who registered it.
    pub created_by: String,
}

/// What differs between two versions. What is the same in both is left out.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ModelDiff {
    /// The first version.
    pub before: Side,
    /// The second version.
    pub after: Side,
    /// Whether a robot that takes the first takes the second without a change: same inputs, same outputs.
    pub compatible: bool,
    /// Inputs by name.
    pub inputs: BTreeMap<String, Change<TensorView>>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, Change<TensorView>>,
    /// Facts of the graph: `opset`, `producer`, `nodes`, `parameters`, `macs`.
    pub graph: BTreeMap<String, Change<String>>,
    /// How often operators are used.
    pub operators: BTreeMap<String, Change<u64>>,
    /// Class names, when they differ.
    pub labels: Option<Change<Vec<String>>>,
    /// Files of the bundle: path to SHA-256.
    pub files: BTreeMap<String, Change<String>>,
    /// Text of `edgeflow.yaml`, when it differs.
    pub manifest: Option<Change<String>>,
    /// Metrics of the runs.
    pub metrics: BTreeMap<String, Change<f64>>,
    /// Parameters of the runs.
    pub params: BTreeMap<String, Change<String>>,
    /// Datasets of the runs: name to digest. One that a model was judged by has its context behind the name, such as `digits (eval)`.
    pub datasets: BTreeMap<String, Change<String>>,
    /// Code of the runs, when it differs.
    pub code: Option<Change<String>>,
    /// Features of the drift references.
    pub baseline: BTreeMap<String, Change<Feature>>,
    /// Tags.
    pub tags: BTreeMap<String, Change<String>>,
}

/// What differs between two versions.
pub fn diff(before: (&ModelVersion, &Background), after: (&ModelVersion, &Background)) -> ModelDiff {
    let ((first, known), (second, known_after)) = (before, after);
    let (a, b) = (first.view(), second.view());
    let tensors = |version: &crate::model::ModelVersionView, outputs: bool| -> BTreeMap<String, TensorView> {
        let onnx = version.onnx.as_ref();
        let list = onnx.map(|onnx| if outputs { &onnx.outputs } else { &onnx.inputs });
        list.into_iter().flatten().map(|tensor| (tensor.name.clone(), tensor.clone())).collect()
    };
    let inputs = changes(&tensors(&a, false), &tensors(&b, false));
    let outputs = changes(&tensors(&a, true), &tensors(&b, true));
    let files = |version: &crate::model::ModelVersionView| -> BTreeMap<String, String> {
        version.files.iter().map(|file| (file.path.clone(), file.sha256.clone())).collect()
    };
    let operators =
        |version: &crate::model::ModelVersionView| version.report.as_ref().map(|report| report.operators.clone()).unwrap_or_default();
    ModelDiff {
        compatible: a.deployable && b.deployable && inputs.is_empty() && outputs.is_empty(),
        inputs,
        outputs,
        graph: changes(&facts(&a), &facts(&b)),
        operators: changes(&operators(&a), &operators(&b)),
        labels: Change::of(Some(a.labels.clone()), Some(b.labels.clone())),
        files: changes(&files(&a), &files(&b)),
        manifest: Change::of(a.manifest.clone(), b.manifest.clone()),
        metrics: changes(&known.metrics, &known_after.metrics),
        params: changes(&known.params, &known_after.params),
        datasets: changes(&known.datasets, &known_after.datasets),
        code: Change::of(known.code.clone(), known_after.code.clone()),
        baseline: changes(&known.baseline.clone().unwrap_or_default(), &known_after.baseline.clone().unwrap_or_default()),
        tags: changes(&a.tags, &b.tags),
        before: side(a),
        after: side(b),
    }
}

fn side(version: crate::model::ModelVersionView) -> Side {
    Side {
        model: version.model,
        version: version.version,
        digest: version.digest,
        model_digest: version.model_digest,
        size_bytes: version.size_bytes,
        run_id: version.run_id,
        created_at_us: version.created_at_us,
        created_by: version.created_by,
    }
}

fn facts(version: &crate::model::ModelVersionView) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    if let Some(onnx) = &version.onnx {
        facts.insert("opset".to_owned(), onnx.opset.to_string());
        facts.insert("producer".to_owned(), onnx.producer.clone());
    }
    if let Some(report) = &version.report {
        for (name, count) in [("nodes", report.nodes), ("parameters", report.parameters), ("macs", report.macs)] {
            facts.insert(name.to_owned(), count.to_string());
        }
    }
    facts
}

fn changes<T: Clone + PartialEq>(before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) -> BTreeMap<String, Change<T>> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| Change::of(before.get(name).cloned(), after.get(name).cloned()).map(|change| (name.clone(), change));
    names.into_iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<T: Clone>(entries: &[(&str, T)]) -> BTreeMap<String, T> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    #[test]
    fn only_what_differs_is_told_with_both_sides() {
        let found = changes(&map(&[("a", 1), ("b", 2), ("c", 3)]), &map(&[("b", 2), ("c", 4), ("d", 5)]));
        let told = found.into_iter().map(|(name, change)| (name, change.before, change.after)).collect::<Vec<_>>();
        assert_eq!(told, [("a".to_owned(), Some(1), None), ("c".to_owned(), Some(3), Some(4)), ("d".to_owned(), None, Some(5))]);
    }
}
