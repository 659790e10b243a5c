//! What becomes of each message in the log: its class, its moment and its body.

use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport, Evaluation, MissionEvent};
use edgeflow_wire::{Class, DriftFeatureBody, DriftReportBody, EntryBody, EvaluationBody, FaultBody, MissionBody, MissionKind};
use std::collections::BTreeMap;

use crate::clock::stamp_us;

/// Turns drift reports into entries, and knows when a verdict changed.
#[derive(Debug, Default)]
pub struct DriftRecorder {
    /// Verdict of the newest window, per bundle digest.
    flagged: BTreeMap<String, bool>,
}

impl DriftRecorder {
    /// A window is a summary; one whose verdict differs from the window before is an event.
    pub fn entry(&mut self, report: &DriftReport) -> (Class, EntryBody) {
        let before = self.flagged.insert(report.model_digest.clone(), report.flagged).unwrap_or(false);
        // Verdicts of models that are long gone need no memory.
        if self.flagged.len() > 16 {
            self.flagged.retain(|digest, _| *digest == report.model_digest);
        }
        let class = if before == report.flagged { Class::Summary } else { Class::Event };
        (class, EntryBody::DriftReport(drift_body(report)))
    }
}

fn drift_body(report: &DriftReport) -> DriftReportBody {
    DriftReportBody {
        model: report.model_name.clone(),
        model_version: report.model_version.clone(),
        digest: report.model_digest.clone(),
        baseline: report.baseline.clone(),
        window: report.window,
        start_us: stamp_us(&report.window_start),
        end_us: stamp_us(&report.header.stamp),
        false_alarm_rate: report.false_alarm_rate,
        false_alarms_per_day: report.false_alarms_per_day,
        duration_s: report.duration_s,
        flagged: report.flagged,
        max_psi: report.max_psi,
        features: report.features.iter().map(feature_body).collect(),
    }
}

fn feature_body(feature: &DriftFeature) -> DriftFeatureBody {
    DriftFeatureBody {
        name: feature.name.clone(),
        subject: feature.subject.clone(),
        baseline: feature.baseline.clone(),
        n: feature.n,
        n_effective: feature.n_effective,
        mean: feature.mean,
        baseline_mean: feature.baseline_mean,
        std: feature.std,
        baseline_std: feature.baseline_std,
        mean_shift: feature.mean_shift,
        std_ratio: feature.std_ratio,
        location: feature.location,
        location_threshold: feature.location_threshold,
        spread: feature.spread,
        spread_threshold: feature.spread_threshold,
        outside: feature.outside,
        outside_threshold: feature.outside_threshold,
        psi: feature.psi,
        psi_threshold: feature.psi_threshold,
        ks: feature.ks,
        ks_threshold: feature.ks_threshold,
        chi_square: feature.chi_square,
        chi_square_threshold: feature.chi_square_threshold,
        kl: feature.kl,
        js: feature.js,
        wasserstein: feature.wasserstein,
        p_value: feature.p_value,
        p_threshold: feature.p_threshold,
        strongest: feature.strongest.clone(),
        edges: feature.edges.clone(),
        categories: feature.categories.clone(),
        counts: feature.counts.clone(),
        significant: feature.significant,
        flagged: feature.flagged,
    }
}

/// Accuracy so far is a summary.
pub(crate) fn evaluation(message: &Evaluation) -> (Class, EntryBody) {
    let body = EvaluationBody {
        model: message.model_name.clone(),
        model_version: message.model_version.clone(),
        digest: message.model_digest.clone(),
        samples: message.samples,
        correct: message.correct,
        accuracy: message.accuracy,
    };
    (Class::Summary, EntryBody::Evaluation(body))
}

/// A mission's step is an event. One of a kind this version does not know is a fault that keeps its number and its words.
pub(crate) fn mission(message: &MissionEvent) -> (Class, EntryBody) {
    // The constants of MissionEvent.msg.
    let step = match message.kind {
        0 => MissionKind::Started,
        1 => MissionKind::Waypoint,
        2 => MissionKind::Succeeded,
        3 => MissionKind::Failed,
        unknown => {
            let message = format!(
                "mission event {} of {:?} has the unknown kind {unknown} ({}): update the bridge",
                message.sequence, message.mission_id, message.detail
            );
            return (Class::Critical, EntryBody::Fault(FaultBody { source: "mission".to_owned(), message }));
        }
    };
    let body = MissionBody {
        sequence: message.sequence,
        mission_id: message.mission_id.clone(),
        step,
        progress: message.progress,
        detail: message.detail.clone(),
    };
    (Class::Event, EntryBody::Mission(body))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn report(digest: &str, flagged: bool) -> DriftReport {
        DriftReport {
            model_digest: digest.into(),
            flagged,
            features: vec![DriftFeature { name: "brightness".into(), counts: vec![1, 2], ..DriftFeature::default() }],
            ..DriftReport::default()
        }
    }

    #[test]
    fn only_a_change_of_verdict_is_an_event() {
        let mut recorder = DriftRecorder::default();
        let classes: Vec<Class> = [("a", false), ("a", true), ("a", true), ("b", false), ("a", false), ("b", true)]
            .into_iter()
            .map(|(digest, flagged)| recorder.entry(&report(digest, flagged)).0)
            .collect();
        use Class::{Event, Summary};
        assert_eq!(classes, [Summary, Event, Summary, Summary, Event, Event]);
        let (_, EntryBody::DriftReport(body)) = recorder.entry(&report("a", false)) else { panic!("not a drift report") };
        assert_eq!((body.features[0].name.as_str(), &body.features[0].counts[..]), ("brightness", &[1, 2][..]));
    }

    #[test]
    fn a_mission_keeps_its_number_and_an_unknown_kind_is_a_fault() {
        let event = MissionEvent { sequence: 7, kind: 2, mission_id: "m".into(), ..MissionEvent::default() };
        let (class, EntryBody::Mission(body)) = mission(&event) else { panic!("not a mission") };
        assert_eq!((class, body.sequence, body.step), (Class::Event, 7, MissionKind::Succeeded));
        let (class, EntryBody::Fault(fault)) = mission(&MissionEvent { kind: 9, ..event }) else { panic!("not a fault") };
        assert!(class == Class::Critical && fault.message.contains("mission event 7"), "{}", fault.message);
    }
}
