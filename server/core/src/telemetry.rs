//! Telemetry channels: the numbers inside entries, as series over time.

use edgeflow_wire::{Content, EntryBody, FieldWindow, NumberWindow, SampleValue, TopicSampleBody, TopicWindowBody};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::rollup::{BucketView, Resolution, RollUp};

/// One number of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which channel: `accuracy`, `fps`, `max_psi`, the name of a drift feature, or of a topic's field: `/odom:pose.x` for single
    /// values, with `:mean` and the like behind it for windows, with `:STATE` for the share of time spent in a state.
    pub channel: String,
    /// When, by the robot's clock, microseconds since the Unix epoch.
    pub t_us: i64,
    /// How much, finite.
    pub value: f64,
}

/// From when on a channel is kept how finely, microseconds since the Unix epoch; `None`: from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptFrom {
    /// As it came.
    pub raw_us: Option<i64>,
    /// By the minute, or more finely.
    pub minute_us: Option<i64>,
    /// By the hour, or more finely.
    pub hour_us: Option<i64>,
}

impl KeptFrom {
    /// Whether all since then is kept at least so finely.
    pub fn reaches(&self, resolution: Resolution, since_us: i64) -> bool {
        let from = match resolution {
            Resolution::Raw => self.raw_us,
            Resolution::Minute => self.minute_us,
            Resolution::Hour => self.hour_us,
        };
        from.is_none_or(|from| from <= since_us)
    }
}

/// A series as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TelemetryView {
    /// Which channel.
    pub channel: String,
    /// Its unit; empty when it has none or it is not known.
    pub unit: String,
    /// How finely it is shown: `raw`, `minute` or `hour`.
    pub resolution: Resolution,
    /// Pairs of time (microseconds since the Unix epoch) and value, oldest first; of minutes and hours their beginning and mean.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<(i64, f64)>,
    /// The minutes or hours in full, one to a point; none of raw values.
    pub buckets: Vec<BucketView>,
    /// From this time on it is kept as it came; `null`: from its beginning.
    pub raw_from_us: Option<i64>,
    /// From this time on it is kept by the minute or more finely.
    pub minute_from_us: Option<i64>,
    /// From this time on it is kept by the hour or more finely.
    pub hour_from_us: Option<i64>,
}

impl TelemetryView {
    /// Raw values.
    pub fn raw(channel: &str, unit: String, points: Vec<(i64, f64)>, kept: KeptFrom) -> Self {
        Self {
            channel: channel.to_owned(),
            unit,
            resolution: Resolution::Raw,
            points,
            buckets: Vec::new(),
            raw_from_us: kept.raw_us,
            minute_from_us: kept.minute_us,
            hour_from_us: kept.hour_us,
        }
    }

    /// Minutes or hours.
    pub fn rolled_up(channel: &str, unit: String, resolution: Resolution, rollups: &[(i64, RollUp)], kept: KeptFrom) -> Self {
        let points = rollups.iter().map(|(t_us, whole)| (*t_us, whole.mean())).collect();
        let buckets = rollups.iter().map(|(t_us, whole)| BucketView::new(*t_us, whole)).collect();
        Self { resolution, buckets, ..Self::raw(channel, unit, points, kept) }
    }
}

/// A channel that software on the robot named itself, and its unit.
pub fn unit_told(content: &Content) -> Option<(&str, &str)> {
    match content {
        Content::Known(EntryBody::Points(points)) => Some((&points.channel, &points.unit)),
        _ => None,
    }
}

/// Unit of a channel: of our own what we know, else what its robot told; empty when it has none or it is not known.
pub fn unit(channel: &str, told: &BTreeMap<String, String>) -> String {
    let known = match channel {
        "accuracy" | "mean_score" => "1",
        "fps" => "Hz",
        "latency_p50_us" | "latency_p95_us" | "swap_gap_us" => "us",
        _ => return told.get(channel).cloned().unwrap_or_default(),
    };
    known.to_owned()
}

/// The samples an entry holds. What is not finite is no sample.
pub fn samples(t_us: i64, content: &Content) -> Vec<Sample> {
    match content {
        Content::Known(EntryBody::Points(points)) => {
            let finite = points.points.iter().filter(|point| point.value.is_finite());
            return finite.map(|point| Sample { channel: points.channel.clone(), t_us: point.t_us, value: point.value }).collect();
        }
        Content::Known(EntryBody::TopicWindow(window)) => return of_window(window),
        Content::Known(EntryBody::TopicSample(sample)) => return of_sample(t_us, sample),
        _ => {}
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

fn of_window(window: &TopicWindowBody) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |path: &str, what: &str, value: f64| {
        if value.is_finite() {
            samples.push(Sample { channel: format!("{}:{path}:{what}", window.topic), t_us: window.end_us, value });
        }
    };
    for (path, field) in &window.fields {
        match field {
            FieldWindow::Number(NumberWindow { min, max, mean, p50, p95, .. }) => {
                for (what, value) in [("min", min), ("max", max), ("mean", mean), ("p50", p50), ("p95", p95)] {
                    add(path, what, *value);
                }
            }
            FieldWindow::State(states) => {
                let length_us = (window.end_us - window.start_us).max(1) as f64;
                for (state, time) in &states.states {
                    add(path, state, time.us as f64 / length_us);
                }
            }
        }
    }
    samples
}

fn of_sample(t_us: i64, sample: &TopicSampleBody) -> Vec<Sample> {
    let numbers = sample.values.iter().filter_map(|(path, value)| {
        let value = match value {
            SampleValue::Bool(value) => f64::from(u8::from(*value)),
            SampleValue::Number(value) if value.is_finite() => *value,
            SampleValue::Number(_) | SampleValue::Text(_) => return None,
        };
        Some(Sample { channel: format!("{}:{path}", sample.topic), t_us, value })
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn channels(entry: serde_json::Value) -> Vec<(String, f64)> {
        let content: Content = serde_json::from_value(entry).unwrap();
        assert!(matches!(content, Content::Known(_)), "{content:?}");
        samples(7, &content).into_iter().map(|sample| (format!("{}@{}", sample.channel, sample.t_us), sample.value)).collect()
    }

    #[test]
    fn windows_and_single_values_of_topics_become_channels() {
        let number = json!({"as": "number", "count": 2, "min": 1, "max": 3, "mean": 2, "p50": 1, "p95": "NaN", "last": 3});
        let states = json!({"OK": {"us": 750, "entered": 1}, "ERROR": {"us": 250, "entered": 2}});
        let state = json!({"as": "state", "count": 4, "states": states, "unknown_us": 0, "last": "OK"});
        let window = json!({"kind": "topic_window", "body": {"route": "r", "topic": "/d", "policy": "1", "start_us": 1000, "end_us": 2000,
            "messages": 4, "fields": {"v": number, "level": state}}});
        let expected =
            [("/d:level:ERROR", 0.25), ("/d:level:OK", 0.75), ("/d:v:min", 1.0), ("/d:v:max", 3.0), ("/d:v:mean", 2.0), ("/d:v:p50", 1.0)];
        assert_eq!(channels(window), expected.map(|(channel, value)| (format!("{channel}@2000"), value)));
        let sample = json!({"kind": "topic_sample", "body": {"route": "r", "topic": "/b", "policy": "1",
            "values": {"a": true, "b": 0.5, "c": "DRIVING", "d": "NaN"}}});
        assert_eq!(channels(sample), [("/b:a@7".to_owned(), 1.0), ("/b:b@7".to_owned(), 0.5)]);
    }
}
