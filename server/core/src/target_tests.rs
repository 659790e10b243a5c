//! What a robot's attestations add up to.

use super::*;
use crate::{SlotName, desired};
use edgeflow_wire::{DeploymentStatusBody, ObservedState, SlotKind, SlotSpec};

fn moment(class: Class, seq: u64, t_us: i64) -> Moment {
    Moment { epoch_ordinal: 1, class, seq, t_us }
}

fn slot(status: SlotStatus, digest: &str) -> SlotState {
    SlotState { status, model: "m".into(), version: digest.into(), digest: digest.into(), ..SlotState::default() }
}

fn declared(digest: &str, generations: u64) -> DesiredState {
    let spec = SlotSpec { kind: SlotKind::Model, model: "m".into(), version: "1".into(), digest: digest.into(), files: vec![] };
    let empty = desired::empty(&TargetName::new("r1").unwrap());
    (0..generations).fold(empty, |doc, _| desired::with_slot(&doc, 1, &SlotName::default_slot(), spec.clone()).unwrap())
}

fn attested(observed: u64, state: SlotState) -> Attested {
    let at = moment(Class::Event, 1, 5);
    let body = StateBody {
        observed: ObservedState { version: Version { server_epoch: 1, generation: observed } },
        slots: BTreeMap::from([("default".to_owned(), state.clone())]),
        software: "0".into(),
        ..StateBody::default()
    };
    let newest = Newest { at, received_us: 6, content: EntryBody::State(body).into() };
    Attested {
        newest: BTreeMap::from([("state".to_owned(), newest)]),
        slots: BTreeMap::from([("default".to_owned(), SlotNow { state, since_us: 5, at })]),
        last_seen_us: Some(6),
    }
}

#[test]
fn within_a_class_the_sequence_decides_across_classes_the_clock_and_across_epochs_the_epoch() {
    assert!(moment(Class::Event, 2, 0).supersedes(&moment(Class::Event, 1, 100)), "a clock that was set back");
    assert!(!moment(Class::Summary, 9, 50).supersedes(&moment(Class::Event, 1, 100)));
    assert!(moment(Class::Critical, 1, 100).supersedes(&moment(Class::Event, 7, 99)));
    assert!(Moment { epoch_ordinal: 2, ..moment(Class::Event, 1, 0) }.supersedes(&moment(Class::Event, 9, 100)));
}

#[test]
fn ready_means_online_and_serving_what_was_declared() {
    let doc = declared("a", 1);
    let ready = conditions(&doc, &attested(1, slot(SlotStatus::Active, "a")), true);
    assert_eq!(ready, Conditions { ready: true, progressing: false, degraded: false, drifted: false });
    assert!(!conditions(&doc, &attested(1, slot(SlotStatus::Active, "a")), false).ready);
    let other = conditions(&doc, &attested(1, slot(SlotStatus::Active, "b")), true);
    assert!(!other.ready && other.progressing && !other.degraded);
    let nothing = conditions(&declared("a", 0), &Attested::default(), true);
    assert_eq!(nothing, Conditions { ready: false, progressing: false, degraded: false, drifted: false });
}

#[test]
fn a_failure_degrades_until_a_newer_document_is_declared() {
    let failed = attested(1, slot(SlotStatus::Failed, "b"));
    let now = conditions(&declared("a", 1), &failed, true);
    assert!(now.degraded && !now.progressing && !now.ready);
    let later = conditions(&declared("a", 2), &failed, true);
    assert!(!later.degraded && later.progressing);
}

#[test]
fn a_robot_ahead_of_us_shows_as_degraded() {
    assert!(conditions(&declared("a", 1), &attested(5, slot(SlotStatus::Active, "a")), true).degraded);
}

#[test]
fn a_step_towards_another_bundle_leaves_what_serves_as_it_is() {
    let before = attested(1, slot(SlotStatus::Active, "a"));
    let step = DeploymentStatusBody {
        for_version: Version { server_epoch: 1, generation: 2 },
        slot: "default".into(),
        status: SlotStatus::Downloading,
        model: "m".into(),
        model_version: "b".into(),
        digest: "b".into(),
        running_digest: "a".into(),
        ..DeploymentStatusBody::default()
    };
    let slots = slots_of(&EntryBody::DeploymentStatus(step).into(), &before.slots);
    let (name, state) = &slots[0];
    assert_eq!((name.as_str(), state.version.as_str(), state.status), ("default", "a", SlotStatus::Downloading));
    let now = advance_slot(before.slots.get("default"), state.clone(), moment(Class::Critical, 1, 9)).unwrap();
    assert_eq!(now.since_us, 9);
    let again = advance_slot(Some(&now), state.clone(), moment(Class::Critical, 2, 12)).unwrap();
    assert_eq!(again.since_us, 9, "since it began, not since it was said again");
    assert_eq!(advance_slot(Some(&now), slot(SlotStatus::Active, "a"), moment(Class::Event, 3, 7)), None, "older news");
}
