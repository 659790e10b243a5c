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
    /// What the window lasted, seconds, to where the next one begins.
    pub duration_s: f64,
    /// Where the baseline comes from: the model's bundle if any of the features does.
    pub baseline: BaselineSource,
    /// False flags per day that were allowed, over all features.
    pub false_alarms_per_day: f64,
    /// What that is per window of this duration.
    pub false_alarm_rate: f64,
    /// One per feature, in the baseline's order.
    pub features: Vec<FeatureReport>,
    /// Any feature is flagged.
    pub flagged: bool,
    /// Greatest psi of the features; 0 when no feature had a value.
    pub max_psi: f64,
}

/// One feature of a closed window: `edgeflow_msgs/DriftFeature`.
///
/// Statistics that can alarm have a threshold at the window's effective sample size; NaN where the feature does not have
/// the statistic, infinite where no value would be significant.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureReport {
    /// Feature name.
    pub name: String,
    /// Where its baseline comes from.
    pub baseline: BaselineSource,
    /// Frames in the window that had the feature.
    pub n: u64,
    /// Independent values they amount to, after autocorrelation.
    pub n_effective: f64,
    /// Mean of the window, in the feature's unit; NaN without values, and where there are categories.
    pub mean: f64,
    /// Mean of the baseline.
    pub baseline_mean: f64,
    /// Standard deviation of the window; NaN with fewer than 2 values, and where there are categories.
    pub std: f64,
    /// Standard deviation of the baseline.
    pub baseline_std: f64,
    /// How far the mean has moved, in standard deviations of the baseline; NaN where that is 0.
    pub mean_shift: f64,
    /// Standard deviation of the window over that of the baseline; NaN where that is 0.
    pub std_ratio: f64,
    /// Mean mid-rank in the baseline less 1/2, -1/2 to 1/2; NaN without values, and where there are categories.
    pub location: f64,
    /// A location beyond this in either direction is significant.
    pub location_threshold: f64,
    /// Spread in ranks of the baseline, -1 to 2; NaN without values, and where there are categories.
    pub spread: f64,
    /// A spread beyond this in either direction is significant.
    pub spread_threshold: f64,
    /// Share of values outside the baseline's range, 0 to 1.
    pub outside: f64,
    /// outside above this is significant.
    pub outside_threshold: f64,
    /// Population stability index; NaN without values.
    pub psi: f64,
    /// psi above this is significant.
    pub psi_threshold: f64,
    /// Kolmogorov-Smirnov distance over the bins, 0 to 1; NaN without values, and where there are categories.
    pub ks: f64,
    /// ks above this is significant.
    pub ks_threshold: f64,
    /// Pearson's chi-square over bins or categories, against the baseline's shares; NaN without values.
    pub chi_square: f64,
    /// chi_square above this is significant; NaN for a numeric feature.
    pub chi_square_threshold: f64,
    /// Kullback-Leibler divergence of the window from the baseline, in nats.
    pub kl: f64,
    /// Jensen-Shannon divergence, in nats, 0 to ln 2.
    pub js: f64,
    /// Wasserstein-1 distance over the bins' interior, in the feature's unit; NaN where there are categories.
    pub wasserstein: f64,
    /// Interior bin edges; none where there are categories.
    pub edges: Vec<f64>,
    /// Names of the bins where there are categories; the last is of all others.
    pub categories: Vec<String>,
    /// Frames per bin.
    pub counts: Vec<u64>,
    /// Chance of a window as unlike the baseline as this one when nothing has drifted, over the feature's statistics.
    pub p_value: f64,
    /// A p_value at or below this is significant in this window.
    pub p_threshold: f64,
    /// The statistic that chance explains least, such as `location`; empty without values.
    pub strongest: &'static str,
    /// This window alone is beyond chance.
    pub significant: bool,
    /// Set by two significant windows in a row, cleared by two in a row that are not.
    pub flagged: bool,
}
