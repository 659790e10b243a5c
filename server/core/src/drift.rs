//! Drift over the fleet: each robot's newest word on its inputs.

use edgeflow_wire::DriftReportBody;
use serde::Serialize;

use crate::TargetName;

/// One feature, in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct DriftFeatureView {
    /// Feature name.
    pub name: String,
    /// Population stability index; `null` when it is not finite.
    pub psi: Option<f64>,
    /// Its significance threshold at the window's effective sample size.
    pub psi_threshold: Option<f64>,
    /// Kolmogorov-Smirnov distance.
    pub ks: Option<f64>,
    /// Its significance threshold.
    pub ks_threshold: Option<f64>,
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
    /// Greatest psi of the features; `null` when it is not finite.
    pub max_psi: Option<f64>,
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
    let features = report.features.iter().map(|feature| DriftFeatureView {
        name: feature.name.clone(),
        psi: finite(feature.psi),
        psi_threshold: finite(feature.psi_threshold),
        ks: finite(feature.ks),
        ks_threshold: finite(feature.ks_threshold),
        flagged: feature.flagged,
    });
    DriftView {
        target: target.to_string(),
        flagged: report.flagged,
        max_psi: finite(report.max_psi),
        windows: report.window,
        features: features.collect(),
        model: report.model.clone(),
        version: report.model_version.clone(),
        digest: report.digest.clone(),
        baseline: report.baseline.clone(),
        at_us: report.end_us,
    }
}

/// JSON has no NaN and no infinity.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
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
