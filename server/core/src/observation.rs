//! What robots report of how well they work, one line to a report: what gates of rollouts look at, for many robots at once.

use edgeflow_wire::{
    ApplicationEventBody, Content, DriftReportBody, EntryBody, EvaluationBody, InferenceSummaryBody, MissionBody, MissionKind,
};

use crate::TargetName;

/// Name of the application event by which software on a robot says that a person had to help.
pub const INTERVENTION: &str = "intervention";

/// One report, by its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Kind of the entry that says so.
    pub kind: &'static str,
    /// What it is about began, microseconds since the Unix epoch, by the robot's clock.
    pub begin_us: i64,
    /// The robot said so.
    pub t_us: i64,
    /// Bundle digest it is about; empty of missions and interventions.
    pub digest: String,
    /// Frames it stands for; 1 of missions and interventions, all frames so far of an evaluation.
    pub frames: u64,
    /// Its numbers: of an inference summary rate, median and 95th percentile of latency, and share of frames without an answer; of an
    /// evaluation the right ones so far; of a drift window whether inputs and outputs are flagged, and how far each is beyond its threshold; of
    /// a mission whether it succeeded.
    pub numbers: [Option<f64>; 4],
}

/// What an entry says of how well its robot works, if it does.
pub fn observe(t_us: i64, content: &Content) -> Option<Observation> {
    let Content::Known(body) = content else { return None };
    match body {
        EntryBody::InferenceSummary(summary) => inference(t_us, summary),
        EntryBody::Evaluation(evaluation) => evaluated(t_us, evaluation),
        EntryBody::DriftReport(report) => Some(drift(t_us, report)),
        EntryBody::Mission(mission) => ended(t_us, mission),
        EntryBody::ApplicationEvent(ApplicationEventBody { name, .. }) if name == INTERVENTION => {
            Some(once("application_event", t_us, 1.0))
        }
        _ => None,
    }
}

fn once(kind: &'static str, t_us: i64, number: f64) -> Observation {
    Observation { kind, begin_us: t_us, t_us, digest: String::new(), frames: 1, numbers: [Some(number), None, None, None] }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn inference(t_us: i64, summary: &InferenceSummaryBody) -> Option<Observation> {
    let failed = summary.failed.unwrap_or_default();
    let frames = summary.results.saturating_add(failed);
    let latency = |us: u32| (summary.results > 0).then(|| f64::from(us));
    (frames > 0).then(|| Observation {
        kind: "inference_summary",
        begin_us: t_us.saturating_sub(summary.period_us.max(0)),
        t_us,
        digest: summary.digest.clone(),
        frames,
        numbers: [
            finite(summary.rate_hz),
            latency(summary.latency_p50_us),
            latency(summary.latency_p95_us),
            summary.failed.map(|failed| failed as f64 / frames as f64),
        ],
    })
}

fn evaluated(t_us: i64, evaluation: &EvaluationBody) -> Option<Observation> {
    (evaluation.samples > 0 && evaluation.correct <= evaluation.samples).then(|| Observation {
        kind: "evaluation",
        begin_us: t_us,
        t_us,
        digest: evaluation.digest.clone(),
        frames: evaluation.samples,
        numbers: [Some(evaluation.correct as f64), None, None, None],
    })
}

fn drift(t_us: i64, report: &DriftReportBody) -> Observation {
    let of = |subject: &'static str| report.features.iter().filter(move |feature| feature.subject == subject);
    let flagged = |subject| of(subject).map(|feature| f64::from(u8::from(feature.flagged))).reduce(f64::max);
    let beyond = |subject| {
        let parts = of(subject).filter_map(|feature| {
            let (_, value, threshold) = feature.leading();
            // Where nothing would be significant, nothing is.
            if threshold == f64::INFINITY { Some(0.0) } else { finite(value / threshold) }
        });
        parts.reduce(f64::max)
    };
    Observation {
        kind: "drift_report",
        begin_us: report.start_us,
        t_us,
        digest: report.digest.clone(),
        frames: report.features.iter().map(|feature| feature.n).max().unwrap_or_default(),
        numbers: [flagged("input"), flagged("output"), beyond("input"), beyond("output")],
    }
}

fn ended(t_us: i64, mission: &MissionBody) -> Option<Observation> {
    match mission.step {
        MissionKind::Succeeded => Some(once("mission", t_us, 1.0)),
        MissionKind::Failed => Some(once("mission", t_us, 0.0)),
        MissionKind::Started | MissionKind::Waypoint => None,
    }
}

/// Where the numbers of a metric are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A number of a kind of observation.
    Number {
        /// Kind.
        kind: &'static str,
        /// Which of [`Observation::numbers`].
        at: usize,
    },
    /// Differences of successive evaluations.
    Evaluations,
    /// Interventions an hour, by the minute, of minutes in which the robot reported anything.
    Interventions,
    /// Telemetry channel `sensor_health`; of robots without it, the shares of time that diagnostics were `OK`, as topic windows of a
    /// policy have them.
    SensorHealth,
    /// A telemetry channel.
    Channel(String),
}

impl Source {
    /// Of the metric of this name.
    pub fn of(metric: &str) -> Self {
        let number = |kind, at| Source::Number { kind, at };
        match metric {
            "fps" => number("inference_summary", 0),
            "latency_p50_us" => number("inference_summary", 1),
            "latency_p95_us" => number("inference_summary", 2),
            "error_rate" => number("inference_summary", 3),
            "accuracy" => Source::Evaluations,
            "input_drift" => number("drift_report", 0),
            "output_drift" => number("drift_report", 1),
            "input_drift_ratio" => number("drift_report", 2),
            "output_drift_ratio" => number("drift_report", 3),
            "mission_success" => number("mission", 0),
            "interventions" => Source::Interventions,
            "sensor_health" => Source::SensorHealth,
            channel => Source::Channel(channel.to_owned()),
        }
    }
}

/// Unit of a metric; empty when it has none or it is the robot's own.
pub fn unit(metric: &str) -> &'static str {
    match metric {
        "accuracy" | "error_rate" | "mission_success" | "input_drift" | "output_drift" | "sensor_health" => "1",
        "fps" => "Hz",
        "latency_p50_us" | "latency_p95_us" => "us",
        "interventions" => "1/h",
        _ => "",
    }
}

/// Of which frames reports are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frames {
    /// Of all.
    All,
    /// Those that this bundle digest answered.
    Of(String),
    /// Those that another one answered.
    NotOf(String),
}

/// Which time of a robot is looked at, microseconds since the Unix epoch, by its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotWindow {
    /// Which robot.
    pub target: TargetName,
    /// What began then or later.
    pub from_us: i64,
    /// And ended then or earlier.
    pub to_us: i64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn of(entry: serde_json::Value) -> Option<Observation> {
        let content: Content = serde_json::from_value(entry).unwrap();
        assert!(matches!(content, Content::Known(_)), "{content:?}");
        observe(10_000_000, &content)
    }

    #[test]
    fn inference_counts_the_frames_without_an_answer() {
        let summary = json!({"period_us": 5_000_000, "results": 90, "rate_hz": 18.0, "latency_p50_us": 5, "latency_p95_us": 9, "mean_score": "NaN",
            "digest": "d", "failed": 10});
        let seen = of(json!({"kind": "inference_summary", "body": summary})).unwrap();
        assert_eq!((seen.begin_us, seen.frames, seen.digest.as_str()), (5_000_000, 100, "d"));
        assert_eq!(seen.numbers, [Some(18.0), Some(5.0), Some(9.0), Some(0.1)]);
        let older = json!({"period_us": 1, "results": 0, "rate_hz": 0.0, "latency_p50_us": 0, "latency_p95_us": 0, "mean_score": "NaN", "digest": "d"});
        assert_eq!(of(json!({"kind": "inference_summary", "body": older})), None);
    }

    #[test]
    fn drift_tells_inputs_from_outputs() {
        let feature = |name: &str, subject: &str, psi: f64, flagged: bool| {
            json!({"name": name, "subject": subject, "n": 100, "n_effective": 80.0, "mean": 1.0, "baseline_mean": 2.0, "std": 1.0, "baseline_std": 1.0,
                "psi": psi, "psi_threshold": 0.4, "ks": 0.1, "ks_threshold": "Infinity", "edges": [1.0], "counts": [40, 60], "flagged": flagged})
        };
        let features = [feature("a", "input", 0.1, false), feature("b", "input", 0.2, false), feature("c", "output", 0.8, true)];
        let report = json!({"model": "m", "model_version": "1", "digest": "d", "baseline": "bundle", "window": 1, "start_us": 3, "end_us": 8,
            "false_alarm_rate": 0.01, "flagged": true, "max_psi": 0.8, "features": features});
        let seen = of(json!({"kind": "drift_report", "body": report})).unwrap();
        assert_eq!((seen.begin_us, seen.t_us, seen.frames), (3, 10_000_000, 100));
        assert_eq!(seen.numbers, [Some(0.0), Some(1.0), Some(0.5), Some(2.0)]);
    }

    #[test]
    fn missions_count_when_they_end_and_people_when_they_help() {
        let mission = |step: &str| json!({"kind": "mission", "body": {"sequence": 1, "mission_id": "m", "step": step, "progress": 1.0}});
        assert_eq!(of(mission("started")), None);
        assert_eq!(of(mission("succeeded")).unwrap().numbers[0], Some(1.0));
        assert_eq!(of(mission("failed")).unwrap().numbers[0], Some(0.0));
        let event = |name: &str| json!({"kind": "application_event", "body": {"source": "operator", "name": name}});
        assert_eq!(of(event("intervention")).unwrap().kind, "application_event");
        assert_eq!(of(event("battery_swapped")), None);
    }
}
