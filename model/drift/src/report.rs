//! What a closed window says. Field for field `edgeflow_msgs/DriftReport`, but for what only the node knows.

use crate::BaselineSource;

/// One closed drift window: `edgeflow_msgs/DriftReport` without the model's name, version and digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Number of this window since the baseline was set, from 1.
    pub window: u64,
    /// Stamp of the window's first frame, as it was pushed.
    pub start_ns: i64,
    /// Stamp of the window's last frame, as it was pushed.
    pub end_ns: i64,
    /// Where the baseline comes from.
    pub baseline: BaselineSource,
    /// Chance per window, over all features and statistics, of a false significance.
    pub false_alarm_rate: f64,
    /// One per feature, in the baseline's order.
    pub features: Vec<FeatureReport>,
    /// Any feature is flagged.
    pub flagged: bool,
    /// Greatest psi of the features; 0 when no feature had a value.
    pub max_psi: f64,
}

/// One feature of a closed window: `edgeflow_msgs/DriftFeature`, and the statistics that describe without alarming.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureReport {
    /// Feature name.
    pub name: String,
    /// Frames in the window that had the feature.
    pub n: u64,
    /// Independent values they amount to, after autocorrelation.
    pub n_effective: f64,
    /// Mean of the window, in the feature's unit; NaN without values.
    pub mean: f64,
    /// Mean of the baseline.
    pub baseline_mean: f64,
    /// Standard deviation of the window; NaN with fewer than 2 values.
    pub std: f64,
    /// Standard deviation of the baseline.
    pub baseline_std: f64,
    /// Population stability index; NaN without values.
    pub psi: f64,
    /// psi above this is significant.
    pub psi_threshold: f64,
    /// Kolmogorov-Smirnov distance over the bins, 0 to 1; NaN without values.
    pub ks: f64,
    /// ks above this is significant.
    pub ks_threshold: f64,
    /// Kullback-Leibler divergence of the window from the baseline, in nats.
    pub kl: f64,
    /// Jensen-Shannon divergence, in nats, 0 to ln 2.
    pub js: f64,
    /// Wasserstein-1 distance over the bins' interior, in the feature's unit.
    pub wasserstein: f64,
    /// Interior bin edges.
    pub edges: Vec<f64>,
    /// Frames per bin.
    pub counts: Vec<u64>,
    /// This window alone is beyond a threshold.
    pub significant: bool,
    /// Set by two significant windows in a row, cleared by two in a row that are not.
    pub flagged: bool,
}
