//! What one robot's reports say of its mean, and how far that can be trusted: successive reports of a robot are alike, so they amount
//! to fewer independent ones.

use edgeflow_drift::null::effective_size;

use super::super::Reported;

/// What kind of number a metric is: it says how little chance can leave of its scatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Share of frames: each is right or wrong.
    ShareOfFrames,
    /// Share of reports: each is 0 or 1.
    ShareOfReports,
    /// An amount.
    Amount,
}

impl Measure {
    /// What a metric is.
    pub fn of(metric: &str) -> Self {
        match metric {
            // Of missions, each stands for one frame.
            "accuracy" | "error_rate" | "mission_success" => Measure::ShareOfFrames,
            "input_drift" | "output_drift" => Measure::ShareOfReports,
            _ => Measure::Amount,
        }
    }
}

/// Fewer reports are not cut into batches.
const FEW_REPORTS: usize = 16;

/// Mean of one robot's reports, each as often as the frames it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobotMean {
    /// In the metric's unit.
    pub mean: f64,
    /// Frames (or reports of metrics that are not per frame).
    pub frames: f64,
    /// Variance of the mean, of what the robot's own reports scatter; `None` when they are too few to say.
    pub variance: Option<f64>,
    /// Degrees of freedom of `variance`.
    pub freedom: f64,
    /// Variance that even independent samples would leave: of a share `p (1 - p) / n` with two successes and failures added
    /// (Agresti and Caffo 2000), so that a robot without a failure is not taken for one that never fails. 0 of an amount.
    pub least: f64,
}

impl RobotMean {
    /// Of a robot's reports in order of time; `None` of none.
    ///
    /// The variance is that of a ratio, `n / (n - 1) * sum (w (x - mean))^2 / (sum w)^2` over reports `x` of `w` frames, times
    /// `n / effective size` at the lag-1 autocorrelation of `w (x - mean)`; or that of batch means (Schmeiser 1982) where it is
    /// greater: what counting noise hides from one report to the next, such as a slow change of the light, shows there.
    pub fn of(reports: &[Reported], measure: Measure) -> Option<Self> {
        let frames: f64 = reports.iter().map(|report| report.frames as f64).sum();
        if frames <= 0.0 {
            return None;
        }
        let mean = reports.iter().map(|report| report.value * report.frames as f64).sum::<f64>() / frames;
        let scores: Vec<f64> = reports.iter().map(|report| report.frames as f64 * (report.value - mean)).collect();
        let squares: f64 = scores.iter().map(|score| score * score).sum();
        let n = reports.len() as f64;
        let lagged: f64 = scores.iter().zip(scores.iter().skip(1)).map(|(a, b)| a * b).sum();
        // Of scores that do not scatter there is no correlation to be told.
        let alike = if squares > 0.0 { lagged / squares } else { 0.0 };
        let size = effective_size(reports.len() as u64, alike);
        let units = match measure {
            Measure::ShareOfFrames => frames,
            Measure::ShareOfReports => n,
            Measure::Amount => f64::INFINITY,
        };
        let smoothed = (mean * units + 1.0) / (units + 2.0);
        let least = if units.is_finite() { (smoothed * (1.0 - smoothed)).max(0.0) / units } else { 0.0 };
        if n < 2.0 {
            return Some(Self { mean, frames, variance: None, freedom: 0.0, least });
        }
        let alone = (n / (n - 1.0) * squares / (frames * frames) * n / size, (size - 1.0).max(0.0));
        let (variance, freedom) = batched(&scores, frames).filter(|batched| batched.0 > alone.0).unwrap_or(alone);
        Some(Self { mean, frames, variance: Some(variance.max(least)), freedom, least })
    }
}

/// Variance of the mean and its degrees of freedom from the means of batches of successive reports, as many as their square root;
/// `None` of few.
fn batched(scores: &[f64], frames: f64) -> Option<(f64, f64)> {
    if scores.len() < FEW_REPORTS {
        return None;
    }
    let batches = scores.len().isqrt();
    let sum = |k: usize| scores.get(k * scores.len() / batches..(k + 1) * scores.len() / batches).unwrap_or_default().iter().sum::<f64>();
    let squares: f64 = (0..batches).map(|k| sum(k).powi(2)).sum();
    let k = batches as f64;
    Some((k / (k - 1.0) * squares / (frames * frames), k - 1.0))
}
