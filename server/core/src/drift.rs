//! Drift over the fleet: each robot's newest word on its inputs and its model's outputs.

use edgeflow_wire::{DriftReportBody, float};
use serde::Serialize;

use crate::TargetName;

/// One feature, in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DriftFeatureView {
    /// Feature name.
    pub name: String,
    /// `input` or `output`: of what the model sees, or of what it says.
    pub subject: String,
    /// The statistic that chance explains least, such as `location` or `psi`.
    pub statistic: String,
    /// Its magnitude. What JSON has no number for is spelled out: `"NaN"`, `"Infinity"`.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub value: f64,
    /// Its significance threshold at the window's effective sample size.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub threshold: f64,
    /// Population stability index. What JSON has no number for is spelled out: `"NaN"`, `"Infinity"`.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub psi: f64,
    /// Its significance threshold at the window's effective sample size.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub psi_threshold: f64,
    /// Kolmogorov-Smirnov distance.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub ks: f64,
    /// Its significance threshold.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub ks_threshold: f64,
    /// Whether the feature is flagged.
    pub flagged: bool,
}

/// A robot's newest drift window, in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DriftView {
    /// Whose inputs.
    pub target: String,
    /// Any feature is flagged.
    pub flagged: bool,
    /// Greatest psi of the features.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub max_psi: f64,
    /// Windows since the baseline was set.
    pub windows: u64,
    /// Per feature.
    pub features: Vec<DriftFeatureView>,
    /// Registry name of the model the baseline belongs to.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
    /// `bundle` or `learnt`.
    pub baseline: String,
    /// End of the window, microseconds since the Unix epoch.
    pub at_us: i64,
}

/// A robot's newest report as it is shown.
pub fn view(target: &TargetName, report: &DriftReportBody) -> DriftView {
    let features = report.features.iter().map(|feature| {
        let (statistic, value, threshold) = feature.leading();
        DriftFeatureView {
            name: feature.name.clone(),
            subject: feature.subject.clone(),
            statistic: statistic.to_owned(),
            value,
            threshold,
            psi: feature.psi,
            psi_threshold: feature.psi_threshold,
            ks: feature.ks,
            ks_threshold: feature.ks_threshold,
            flagged: feature.flagged,
        }
    });
    DriftView {
        target: target.to_string(),
        flagged: report.flagged,
        max_psi: report.max_psi,
        windows: report.window,
        features: features.collect(),
        model: report.model.clone(),
        version: report.model_version.clone(),
        digest: report.digest.clone(),
        baseline: report.baseline.clone(),
        at_us: report.end_us,
    }
}

/// A robot's newest drift windows in full.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DriftReportsView {
    /// Whose inputs.
    pub target: String,
    /// Newest first, as the robot reported them.
    #[schema(value_type = Vec<Object>)]
    pub reports: Vec<DriftReportBody>,
}
