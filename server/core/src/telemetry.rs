//! Telemetry channels: the numbers inside entries, as series over time.

use edgeflow_wire::{Content, EntryBody};
use serde::Serialize;

/// One number of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which channel: `accuracy`, `fps`, `max_psi`, or the name of a drift feature.
    pub channel: String,
    /// When, by the robot's clock, microseconds since the Unix epoch.
    pub t_us: i64,
    /// How much, finite.
    pub value: f64,
}

/// A series as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TelemetryView {
    /// Which channel.
    pub channel: String,
    /// Its unit; empty when it has none or it is not known.
    pub unit: String,
    /// Pairs of time (microseconds since the Unix epoch) and value, oldest first.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<(i64, f64)>,
}

/// Unit of a channel; empty when it has none or it is not known.
pub fn unit(channel: &str) -> &'static str {
    match channel {
        "accuracy" | "mean_score" => "1",
        "fps" => "Hz",
        "latency_p50_us" | "latency_p95_us" | "swap_gap_us" => "us",
        _ => "",
    }
}

/// The samples an entry holds. What is not finite is no sample.
pub fn samples(t_us: i64, content: &Content) -> Vec<Sample> {
    if let Content::Known(EntryBody::Points(points)) = content {
        let finite = points.points.iter().filter(|point| point.value.is_finite());
        return finite.map(|point| Sample { channel: points.channel.clone(), t_us: point.t_us, value: point.value }).collect();
    }
    let pairs: Vec<(&str, f64)> = match content {
        Content::Known(EntryBody::Evaluation(evaluation)) => vec![("accuracy", evaluation.accuracy)],
        Content::Known(EntryBody::InferenceSummary(summary)) => {
            let mut pairs = vec![("fps", summary.rate_hz), ("mean_score", summary.mean_score)];
            if summary.results > 0 {
                pairs.push(("latency_p50_us", f64::from(summary.latency_p50_us)));
                pairs.push(("latency_p95_us", f64::from(summary.latency_p95_us)));
            }
            pairs
        }
        Content::Known(EntryBody::DriftReport(report)) => {
            let mut pairs = vec![("max_psi", report.max_psi)];
            pairs.extend(report.features.iter().map(|feature| (feature.name.as_str(), feature.mean)));
            pairs
        }
        _ => Vec::new(),
    };
    let finite = pairs.into_iter().filter(|(_, value)| value.is_finite());
    finite.map(|(channel, value)| Sample { channel: channel.to_owned(), t_us, value }).collect()
}
