//! What a rollout sees of its robots: what is declared for them, what they attest, what they do.

use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    reconciliation::{self, Standing},
    rollout::{Busy, Release, RobotSeen, Rollout, policy_text, slot_text},
    target::{Attested, Target},
};
use edgeflow_wire::{Content, EntryBody, PolicyOutcome, SlotState, SlotStatus};
use std::collections::{BTreeMap, BTreeSet};

use crate::app::{App, AppError};

/// Entries that say it.
const KINDS: [&str; 2] = ["state", "policy_status"];
/// Robots that are read at once.
const CHUNK: usize = 500;
/// After a start robots may take so long to come back before they count as offline, microseconds.
pub(crate) const COME_BACK_US: i64 = 30_000_000;

impl App {
    /// What is seen of these robots. Those of whom it is not known yet whether they are online are left out.
    pub(crate) async fn see_robots(
        &self,
        organisation: &OrganisationId,
        rollout: &Rollout,
        names: &[TargetName],
    ) -> Result<BTreeMap<TargetName, RobotSeen>, AppError> {
        let mut seen = BTreeMap::new();
        for names in names.chunks(CHUNK) {
            seen.extend(self.see_some(organisation, rollout, names).await?);
        }
        Ok(seen)
    }

    async fn see_some(
        &self,
        organisation: &OrganisationId,
        rollout: &Rollout,
        names: &[TargetName],
    ) -> Result<BTreeMap<TargetName, RobotSeen>, AppError> {
        let (targets, attested) = tokio::try_join!(
            self.stores.targets.targets_named(organisation, names),
            self.stores.entries.attested_of(organisation, names, &KINDS)
        )?;
        let targets: BTreeMap<&TargetName, &Target> = targets.iter().map(|target| (&target.id.name, target)).collect();
        let (nothing, starting) = (Attested::default(), self.now_us() < self.started_at_us.saturating_add(COME_BACK_US));
        let seen = names.iter().filter_map(|name| {
            let online = self.presence.is_online(&RobotId { organisation: organisation.clone(), name: name.clone() });
            let target = targets.get(name);
            if starting && !online && target.is_some() {
                return None;
            }
            Some((name.clone(), robot_seen(rollout, target.copied(), attested.get(name).unwrap_or(&nothing), online)))
        });
        Ok(seen.collect())
    }
}

fn robot_seen(rollout: &Rollout, target: Option<&Target>, attested: &Attested, online: bool) -> RobotSeen {
    let Some(target) = target else {
        return RobotSeen { gone: true, ..RobotSeen::default() };
    };
    let state = attested.state().map(|(state, _)| state);
    let activity = state.map(|state| &state.activity);
    let mut busy = BTreeSet::new();
    if activity.is_some_and(|activity| activity.mission == Some(true)) {
        busy.insert(Busy::Mission);
    }
    if activity.is_some_and(|activity| activity.charging == Some(true)) {
        busy.insert(Busy::Charging);
    }
    if activity.is_some_and(|activity| activity.lifecycle.values().any(|state| state != "active")) {
        busy.insert(Busy::LifecycleInactive);
    }
    let (declared, slot) = match &rollout.release {
        Release::Slot { .. } => {
            let slot = rollout.spec.slot.as_str();
            (slot_text(target.desired.slots.get(slot)), attested.slots.get(slot).map(|now| now.state.clone()))
        }
        Release::Policy { document } => {
            // An empty policy is none, unless it is what is released.
            let none = serde_json::json!({});
            let declared = target.desired.policy.as_ref().filter(|policy| policy.document != none || *document == none);
            (declared.map(|policy| policy_text(&policy.document)), policy_state(target, attested))
        }
    };
    let hold = reconciliation::held(&target.desired, attested).map(|hold| hold.reason);
    // Somebody changed the slot on the robot itself: it does not follow until that is settled.
    let stands = reconciliation::slot_standing(&target.desired, &rollout.spec.slot, slot.as_ref()) != Standing::Follows;
    let local = slot.as_ref().filter(|_| stands).and_then(|slot| slot.local.as_ref());
    let held = hold.or_else(|| local.map(|local| format!("it was changed on the robot: {}", local.what)));
    let lacks = match &rollout.release {
        Release::Slot { spec } => reconciliation::lacks(spec.kind, &rollout.spec.slot, attested),
        Release::Policy { .. } => None,
    };
    RobotSeen {
        online,
        gone: false,
        held,
        lacks,
        busy,
        site: target.labels.get("site").cloned(),
        declared,
        observed: state.map(|state| state.observed.version).unwrap_or_default(),
        slot,
    }
}

/// What a robot says of the policy that is declared for it, as if it were a slot.
fn policy_state(target: &Target, attested: &Attested) -> Option<SlotState> {
    let Content::Known(EntryBody::PolicyStatus(said)) = &attested.newest.get("policy_status")?.content else { return None };
    target.desired.policy.as_ref().filter(|policy| policy.version == said.version)?;
    let status = match said.outcome {
        PolicyOutcome::Applied => SlotStatus::Active,
        PolicyOutcome::Refused => SlotStatus::Failed,
    };
    Some(SlotState { status, reason: said.reason.clone(), ..SlotState::default() })
}
