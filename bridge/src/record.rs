//! What becomes of each message in the log: its class, its moment and its body.

use edgeflow_ros::edgeflow_msgs::msg::{Evaluation, MissionEvent};
use edgeflow_wire::{Class, EntryBody, EvaluationBody, FaultBody, MissionBody, MissionKind};

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

/// The step that a number means in MissionEvent.msg; `None` of one this version does not know.
pub(crate) fn step(kind: u8) -> Option<MissionKind> {
    match kind {
        0 => Some(MissionKind::Started),
        1 => Some(MissionKind::Waypoint),
        2 => Some(MissionKind::Succeeded),
        3 => Some(MissionKind::Failed),
        _ => None,
    }
}

/// A mission's step is an event. One of a kind this version does not know is a fault that keeps its number and its words.
pub(crate) fn mission(message: &MissionEvent) -> (Class, EntryBody) {
    let Some(step) = step(message.kind) else {
        let message = format!(
            "mission event {} of {:?} has the unknown kind {} ({}): update the bridge",
            message.sequence, message.mission_id, message.kind, message.detail
        );
        return (Class::Critical, EntryBody::Fault(FaultBody { source: "mission".to_owned(), message }));
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

    #[test]
    fn a_mission_keeps_its_number_and_an_unknown_kind_is_a_fault() {
        let event = MissionEvent { sequence: 7, kind: 2, mission_id: "m".into(), ..MissionEvent::default() };
        let (class, EntryBody::Mission(body)) = mission(&event) else { panic!("not a mission") };
        assert_eq!((class, body.sequence, body.step), (Class::Event, 7, MissionKind::Succeeded));
        let (class, EntryBody::Fault(fault)) = mission(&MissionEvent { kind: 9, ..event }) else { panic!("not a fault") };
        assert!(class == Class::Critical && fault.message.contains("mission event 7"), "{}", fault.message);
    }
}
