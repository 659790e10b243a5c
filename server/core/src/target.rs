//! A target: one robot that the control plane knows, what it shall be and what it says it is.

use edgeflow_wire::{Class, Content, DesiredState, DriftReportBody, EntryBody, EvaluationBody, InferenceSummaryBody, StateBody};
use edgeflow_wire::{SlotKind, SlotState, SlotStatus, Version, float};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

use crate::{
    CoreError, OrganisationId, TargetName, clock_error,
    policy::{self, TargetPolicyView},
    reconciliation::{self, ActivityView, DifferenceView, HoldView, Standing},
};

/// A robot whose identity was proved. Names are unique over all organisations, because a topic holds nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RobotId {
    /// Whose robot it is.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: TargetName,
}

impl RobotId {
    /// The robot's name, as it stands in topics.
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }
}

impl fmt::Display for RobotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// Most labels of a robot.
pub const MAX_LABELS: usize = 64;
/// Most bytes of a label's key, and of its value.
pub const MAX_LABEL_BYTES: usize = 256;

/// Checks labels as a robot may have them.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), CoreError> {
    let wrong = |reason: String| Err(CoreError::BadLabels { reason });
    if labels.len() > MAX_LABELS {
        return wrong(format!("{} are more than {MAX_LABELS}", labels.len()));
    }
    match labels.iter().find(|(key, value)| key.is_empty() || key.len() > MAX_LABEL_BYTES || value.len() > MAX_LABEL_BYTES) {
        Some((key, _)) => wrong(format!("{key:?} has no key, or a key or value of more than {MAX_LABEL_BYTES} bytes")),
        None => Ok(()),
    }
}

/// An enrolled robot, as declared here.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Whose robot, and its name.
    pub id: RobotId,
    /// Labels for selecting.
    pub labels: BTreeMap<String, String>,
    /// SHA-256 of its token.
    pub token_hash: [u8; 32],
    /// When it was enrolled, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// What it shall be.
    pub desired: DesiredState,
}

/// Where an entry stands among those of one robot: which of two is newer.
///
/// Within one class of one epoch the sequence number says it, whatever the robot's clock did; across classes only the
/// time can; a later epoch is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Order in which the robot's epochs were first seen.
    pub epoch_ordinal: i64,
    /// Class of the entry.
    pub class: Class,
    /// Its sequence number.
    pub seq: u64,
    /// When it happened, by the robot's clock, microseconds since the Unix epoch.
    pub t_us: i64,
}

impl Moment {
    /// Whether this is newer than `other` (or the same).
    pub fn supersedes(&self, other: &Moment) -> bool {
        if self.epoch_ordinal != other.epoch_ordinal {
            return self.epoch_ordinal > other.epoch_ordinal;
        }
        if self.class == other.class { self.seq >= other.seq } else { self.t_us >= other.t_us }
    }
}

/// The newest entry of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest {
    /// Its place.
    pub at: Moment,
    /// When it arrived.
    pub received_us: i64,
    /// What it says.
    pub content: Content,
}

/// Kinds of which the newest entry is kept at hand.
pub const NEWEST_KINDS: [&str; 5] = ["state", "drift_report", "evaluation", "inference_summary", "policy_status"];

/// One slot as the robot last attested it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNow {
    /// Where it is on its way, what serves, and why not something else.
    pub state: SlotState,
    /// Since when status and digest are what they are, by the robot's clock.
    pub since_us: i64,
    /// The entry that said so.
    pub at: Moment,
}

/// What an entry says about slots: name and state. A step towards another bundle leaves what serves as it is.
pub fn slots_of(content: &Content, known: &BTreeMap<String, SlotNow>) -> Vec<(String, SlotState)> {
    match content {
        Content::Known(EntryBody::State(state)) => state.slots.iter().map(|(slot, now)| (slot.clone(), now.clone())).collect(),
        Content::Known(EntryBody::DeploymentStatus(step)) => {
            let before = known.get(&step.slot).map(|now| now.state.clone()).unwrap_or_default();
            let (model, version) = if step.running_digest == step.digest {
                (step.model.clone(), step.model_version.clone())
            } else if before.digest == step.running_digest {
                (before.model.clone(), before.version.clone())
            } else {
                Default::default()
            };
            let (digest, reason) = (step.running_digest.clone(), step.reason.clone());
            vec![(step.slot.clone(), SlotState { kind: step.kind, status: step.status, model, version, digest, reason, ..before })]
        }
        _ => Vec::new(),
    }
}

/// The slot after one more attestation, or `None` when it is older than what is known.
pub fn advance_slot(known: Option<&SlotNow>, state: SlotState, at: Moment) -> Option<SlotNow> {
    match known {
        Some(before) if !at.supersedes(&before.at) => None,
        Some(before) if before.state.status == state.status && before.state.digest == state.digest => {
            Some(SlotNow { state, since_us: before.since_us, at })
        }
        _ => Some(SlotNow { state, since_us: at.t_us, at }),
    }
}

/// All a robot attested, as kept at hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attested {
    /// Kind to the newest entry of it, for [`NEWEST_KINDS`].
    pub newest: BTreeMap<String, Newest>,
    /// Slot name to its state.
    pub slots: BTreeMap<String, SlotNow>,
    /// When we last heard of it, by our clock.
    pub last_seen_us: Option<i64>,
}

impl Attested {
    /// Its newest state report.
    pub fn state(&self) -> Option<(&StateBody, i64)> {
        self.newest.get("state").and_then(|newest| match &newest.content {
            Content::Known(EntryBody::State(state)) => Some((state, newest.at.t_us)),
            _ => None,
        })
    }

    /// Its newest drift report.
    pub fn drift(&self) -> Option<&DriftReportBody> {
        self.newest.get("drift_report").and_then(|newest| match &newest.content {
            Content::Known(EntryBody::DriftReport(report)) => Some(report),
            _ => None,
        })
    }

    /// What is to be added to its stamps so that they are by our clock, microseconds.
    pub fn behind_us(&self) -> i64 {
        let words: Vec<(i64, i64)> = self.newest.values().map(|newest| (newest.at.t_us, newest.received_us)).collect();
        clock_error::behind_us(&words)
    }

    fn evaluation(&self) -> Option<(&EvaluationBody, i64)> {
        self.newest.get("evaluation").and_then(|newest| match &newest.content {
            Content::Known(EntryBody::Evaluation(evaluation)) => Some((evaluation, newest.at.t_us)),
            _ => None,
        })
    }

    fn summary(&self) -> Option<&InferenceSummaryBody> {
        self.newest.get("inference_summary").and_then(|newest| match &newest.content {
            Content::Known(EntryBody::InferenceSummary(summary)) => Some(summary),
            _ => None,
        })
    }
}

/// What shall be in one slot, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DesiredSlotView {
    /// `model`, `map`, `package` or `config`.
    #[schema(value_type = String)]
    pub kind: SlotKind,
    /// Registry name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
}

/// Desired state, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DesiredView {
    /// Incarnation of the control plane.
    pub server_epoch: u64,
    /// Count of changes; 0 while nothing was declared.
    pub generation: u64,
    /// Slot name to what shall be in it.
    pub slots: BTreeMap<String, DesiredSlotView>,
}

/// The newest desired state the robot says it took up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ObservedView {
    /// Incarnation of the control plane.
    pub server_epoch: u64,
    /// Count of changes.
    pub generation: u64,
    /// When it said so, by its clock, microseconds since the Unix epoch.
    pub at_us: i64,
}

/// One slot as the robot attests it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SlotView {
    /// `model`, `map`, `package` or `config`.
    #[schema(value_type = String)]
    pub kind: SlotKind,
    /// `pending`, `downloading`, `verifying`, `warming`, `active`, `failed` or `rolled_back`.
    #[schema(value_type = String)]
    pub status: SlotStatus,
    /// Registry name of the model that serves now; empty when none does.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
    /// Why, when failed or rolled back.
    pub reason: String,
    /// Of a package: the software version that what applies it says is installed; empty when it says none.
    pub software: String,
    /// `follows`, `local` or `conflict`: whether somebody changed it on the robot, and what the control plane did meanwhile.
    pub standing: Standing,
    /// Since when status and digest are so, by the robot's clock, microseconds since the Unix epoch.
    pub since_us: i64,
}

/// Newest word on drift, in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TargetDriftView {
    /// Any feature is flagged.
    pub flagged: bool,
    /// Greatest psi of the features; `"NaN"` and `"Infinity"` where it is no number.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub max_psi: f64,
    /// Windows since the baseline was set.
    pub windows: u64,
    /// End of the window, microseconds since the Unix epoch.
    pub at_us: i64,
}

/// Newest word on accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AccuracyView {
    /// Registry name of the model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
    /// Share of right results, 0 to 1; `"NaN"` before the first.
    #[serde(with = "float")]
    #[schema(value_type = f64)]
    pub accuracy: f64,
    /// Results judged.
    pub samples: u64,
    /// When, by the robot's clock, microseconds since the Unix epoch.
    pub at_us: i64,
}

/// Conditions in Kubernetes' manner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Conditions {
    /// Online, and every declared slot serves what was declared.
    pub ready: bool,
    /// Something declared is not yet there and has not failed.
    pub progressing: bool,
    /// A slot failed or was rolled back, or the robot refuses our desired state as too old.
    pub degraded: bool,
    /// The newest drift window is flagged.
    pub drifted: bool,
}

/// A robot as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TargetView {
    /// Its name.
    pub name: String,
    /// Labels for selecting.
    pub labels: BTreeMap<String, String>,
    /// Whether it has an open session.
    pub online: bool,
    /// When we last heard of it, by our clock, microseconds since the Unix epoch.
    pub last_seen_us: Option<i64>,
    /// What it shall be.
    pub desired: DesiredView,
    /// The newest desired state it took up.
    pub observed: Option<ObservedView>,
    /// Slot name to what it attests.
    pub slots: BTreeMap<String, SlotView>,
    /// Newest word on drift.
    pub drift: Option<TargetDriftView>,
    /// Newest word on accuracy.
    pub accuracy: Option<AccuracyView>,
    /// What it shall report of its topics, and what it says of that.
    pub policy: Option<TargetPolicyView>,
    /// In short.
    pub conditions: Conditions,
    /// Who holds it, so that nothing of it changes; `null` when nobody does.
    pub held: Option<HoldView>,
    /// What is otherwise than declared.
    pub difference: Vec<DifferenceView>,
    /// Slots that both sides have changed without knowing of each other.
    pub conflicts: usize,
    /// What it does.
    pub activity: ActivityView,
    /// Results per second.
    pub fps: Option<f64>,
    /// Median latency of inference, microseconds.
    pub latency_p50_us: Option<u32>,
    /// 95th percentile of latency, microseconds.
    pub latency_p95_us: Option<u32>,
    /// Software version of its bridge.
    pub software: Option<String>,
    /// When it was enrolled, microseconds since the Unix epoch.
    pub created_at_us: i64,
}

/// Whether the robot is where it shall be.
pub fn conditions(desired: &DesiredState, attested: &Attested, online: bool) -> Conditions {
    let observed = attested.state().map(|(state, _)| state.observed.version).unwrap_or_default();
    let mut converged = true;
    let mut degraded = observed > desired.version;
    let mut waiting = false;
    for (slot, spec) in &desired.slots {
        let now = attested.slots.get(slot).map(|now| &now.state);
        let serves = now.is_some_and(|now| now.digest == spec.digest && now.status == SlotStatus::Active);
        let broken = now.is_some_and(|now| matches!(now.status, SlotStatus::Failed | SlotStatus::RolledBack));
        converged &= serves;
        // A failure of an earlier document says nothing about this one.
        let settled = (broken && observed >= desired.version) || reconciliation::lacks(spec.kind, slot, attested).is_some();
        degraded |= settled;
        waiting |= !serves && !settled;
    }
    let drifted = attested.drift().is_some_and(|report| report.flagged);
    Conditions { ready: online && converged && !desired.slots.is_empty(), progressing: waiting, degraded, drifted }
}

/// A robot as it is shown.
pub fn view(target: &Target, attested: &Attested, online: bool) -> TargetView {
    let Version { server_epoch, generation } = target.desired.version;
    let desired = target.desired.slots.iter().map(|(slot, spec)| {
        (
            slot.clone(),
            DesiredSlotView { kind: spec.kind, model: spec.model.clone(), version: spec.version.clone(), digest: spec.digest.clone() },
        )
    });
    let slots = attested.slots.iter().map(|(slot, now)| {
        let standing = reconciliation::slot_standing(&target.desired, slot, Some(&now.state));
        let SlotState { kind, status, model, version, digest, reason, software, .. } = now.state.clone();
        (slot.clone(), SlotView { kind, status, model, version, digest, reason, software, standing, since_us: now.since_us })
    });
    let summary = attested.summary();
    let latency = summary.filter(|summary| summary.results > 0);
    TargetView {
        name: target.id.name.to_string(),
        labels: target.labels.clone(),
        online,
        last_seen_us: attested.last_seen_us,
        desired: DesiredView { server_epoch, generation, slots: desired.collect() },
        observed: attested.state().map(|(state, at_us)| ObservedView {
            server_epoch: state.observed.version.server_epoch,
            generation: state.observed.version.generation,
            at_us,
        }),
        slots: slots.collect(),
        drift: attested.drift().map(|report| TargetDriftView {
            flagged: report.flagged,
            max_psi: report.max_psi,
            windows: report.window,
            at_us: report.end_us,
        }),
        accuracy: attested.evaluation().map(|(evaluation, at_us)| AccuracyView {
            model: evaluation.model.clone(),
            version: evaluation.model_version.clone(),
            digest: evaluation.digest.clone(),
            accuracy: evaluation.accuracy,
            samples: evaluation.samples,
            at_us,
        }),
        policy: policy::brief(target.desired.policy.as_ref(), attested),
        conditions: conditions(&target.desired, attested, online),
        held: reconciliation::held(&target.desired, attested),
        difference: reconciliation::difference(&target.desired, attested),
        conflicts: reconciliation::conflicts(&target.desired, attested)
            .iter()
            .filter(|conflict| conflict.standing == Standing::Conflict)
            .count(),
        activity: attested.state().map(|(state, _)| (&state.activity).into()).unwrap_or_default(),
        fps: summary.map(|summary| summary.rate_hz).filter(|rate_hz| rate_hz.is_finite()),
        latency_p50_us: latency.map(|summary| summary.latency_p50_us),
        latency_p95_us: latency.map(|summary| summary.latency_p95_us),
        software: attested.state().map(|(state, _)| state.software.clone()),
        created_at_us: target.created_at_us,
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
