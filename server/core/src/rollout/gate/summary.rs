//! The numbers of an arm, as they are shown and as expressions see them. Every report counts as many times as the frames it stands
//! for.

use super::super::{MetricSummary, Reported, Samples};

/// Numbers of one metric of one arm; all 0 of nothing.
pub fn summarise(samples: &Samples) -> MetricSummary {
    summarise_until(samples, i64::MAX)
}

/// The same, of what was reported until then.
pub(super) fn summarise_until(samples: &Samples, until_us: i64) -> MetricSummary {
    let seen = samples.of.values().map(|reports| until(reports, until_us));
    let robots = seen.clone().filter(|reports| !reports.is_empty()).count() as u64;
    let mut values: Vec<(f64, u64)> = seen.flatten().map(|report| (report.value, report.frames)).collect();
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let n: u64 = values.iter().map(|(_, frames)| frames).sum();
    let (Some(least), Some(greatest)) = (values.first(), values.last()) else { return MetricSummary::default() };
    let whole = n.max(1) as f64;
    let mean = values.iter().map(|(value, frames)| value * *frames as f64).sum::<f64>() / whole;
    let squares = values.iter().map(|(value, frames)| (value - mean).powi(2) * *frames as f64).sum::<f64>();
    let quantile = |part: f64| {
        let mut below = 0;
        let at = values.iter().find(|(_, frames)| {
            below += frames;
            below as f64 >= part * whole
        });
        at.unwrap_or(greatest).0
    };
    let std = if n > 1 { (squares / (whole - 1.0)).sqrt() } else { 0.0 };
    MetricSummary { n, robots, mean, std, p50: quantile(0.5), p95: quantile(0.95), min: least.0, max: greatest.0 }
}

/// A robot's reports until then.
pub(super) fn until(reports: &[Reported], until_us: i64) -> &[Reported] {
    let end = reports.partition_point(|report| report.t_us <= until_us);
    reports.get(..end).unwrap_or_default()
}
