//! Robots that are held, and slots that both sides have changed: somebody decides, and desired state says so.

use edgeflow_core::{
    Principal, SlotName, TargetName,
    principal::{Action, Resource},
    reconciliation::{self, ConflictView, Settled, Side, Standing},
    target::{Attested, Target, TargetView},
};
use edgeflow_wire::{Hold, SlotSpec};
use std::collections::BTreeMap;

use crate::app::{App, AppError};

/// Longest reason of a hold, bytes.
const MAX_REASON_BYTES: usize = 1_024;
/// Robots looked at in one read.
const CHUNK: usize = 1000;

/// What shall become of slots that were changed on the robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// One side's content, for the slot that was asked about.
    Take(Side),
    /// Of each of these slots one side's, all at once.
    Merge(BTreeMap<SlotName, Side>),
}

impl App {
    /// Holds a robot: it changes nothing of what it has, whatever is declared. Rollouts skip it and deployments are refused meanwhile.
    pub async fn hold_target(&self, principal: &Principal, name: &TargetName, reason: String) -> Result<TargetView, AppError> {
        self.permit(principal, Action::Reconcile, Resource::Target(name.clone())).await?;
        if reason.trim().is_empty() || reason.len() > MAX_REASON_BYTES {
            return Err(AppError::Invalid(format!("\"reason\" says in 1 to {MAX_REASON_BYTES} bytes why the robot is held")));
        }
        let hold = Hold { reason, by: principal.who.to_string(), since_us: self.now_us() };
        let (target, _) = self.stores.targets.set_hold(&principal.organisation, name, Some(&hold)).await?;
        self.reconciled(principal, &target, serde_json::json!({ "hold": hold.reason })).await
    }

    /// Ends a hold of the control plane. One that was asked for on the robot ends there.
    pub async fn release_target(&self, principal: &Principal, name: &TargetName) -> Result<TargetView, AppError> {
        self.permit(principal, Action::Reconcile, Resource::Target(name.clone())).await?;
        let (target, changed) = self.stores.targets.set_hold(&principal.organisation, name, None).await?;
        if !changed {
            let attested = self.attested(&target).await?;
            return Err(AppError::Conflict(match reconciliation::held(&target.desired, &attested) {
                Some(hold) => format!("{name} is held at the robot ({}): release it there, with `edgeflow hold release`", hold.reason),
                None => format!("{name} is not held"),
            }));
        }
        self.reconciled(principal, &target, serde_json::json!({ "hold": null })).await
    }

    /// Declares nothing for a slot any more: the robot takes it back to having nothing.
    pub async fn undeclare(&self, principal: &Principal, name: &TargetName, slot: &SlotName) -> Result<TargetView, AppError> {
        self.permit(principal, Action::Deploy, Resource::Target(name.clone())).await?;
        let target = self.found(principal, name).await?;
        self.refuse_if_held(&target).await?;
        let (target, changed) = self.stores.targets.undeclare(&principal.organisation, name, slot).await?;
        if !changed {
            return Err(AppError::NotFound { what: "declared slot", name: slot.to_string() });
        }
        self.reconciled(principal, &target, serde_json::json!({ "slot": slot, "undeclared": true })).await
    }

    /// Slots that were changed on the robot and that nobody has settled.
    pub async fn conflicts(&self, principal: &Principal, name: &TargetName) -> Result<Vec<ConflictView>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Target(name.clone())).await?;
        let target = self.found(principal, name).await?;
        let attested = self.attested(&target).await?;
        Ok(reconciliation::conflicts(&target.desired, &attested))
    }

    /// Decides whose content slots shall have that were changed on the robot.
    pub async fn resolve_conflict(
        &self,
        principal: &Principal,
        name: &TargetName,
        slot: &SlotName,
        resolution: Resolution,
    ) -> Result<TargetView, AppError> {
        self.permit(principal, Action::Reconcile, Resource::Target(name.clone())).await?;
        let sides = match resolution {
            Resolution::Take(side) => BTreeMap::from([(slot.clone(), side)]),
            Resolution::Merge(sides) if sides.contains_key(slot) => sides,
            Resolution::Merge(_) => {
                return Err(AppError::Invalid(format!("\"merge\" says nothing about slot {slot:?}", slot = slot.as_str())));
            }
        };
        // No version is deleted while robots are told to have it.
        let _telling = self.telling.read().await;
        let target = self.found(principal, name).await?;
        let attested = self.attested(&target).await?;
        let changed = reconciliation::conflicts(&target.desired, &attested);
        let mut settled = Vec::with_capacity(sides.len());
        for (slot, side) in &sides {
            let one = changed.iter().find(|one| one.slot == slot.as_str());
            let one = one.ok_or_else(|| AppError::NotFound { what: "slot that was changed on the robot", name: slot.to_string() })?;
            let declare = match side {
                Side::Control => None,
                Side::Robot => Some(self.registered_as(principal, one).await?),
            };
            settled.push(Settled { slot: slot.clone(), changes: one.robot.changes, declare });
        }
        let target = self.stores.targets.settle(&principal.organisation, name, &settled).await?;
        let taken: BTreeMap<&SlotName, Side> = sides.iter().map(|(slot, side)| (slot, *side)).collect();
        self.reconciled(principal, &target, serde_json::json!({ "settled": taken, "before": changed })).await
    }

    /// What the robot has, as something to declare: a version that is registered with that very digest.
    async fn registered_as(&self, principal: &Principal, conflict: &ConflictView) -> Result<SlotSpec, AppError> {
        let digest = &conflict.robot.digest;
        let versions = self.stores.provenance.bundle_versions(&principal.organisation, digest).await?;
        let mut specs = versions.iter().rev().filter_map(|(version, _)| version.slot_spec().ok());
        specs.find(|spec| spec.kind == conflict.kind && spec.digest == *digest).ok_or_else(|| {
            let has = if digest.is_empty() { "nothing".to_owned() } else { digest.clone() };
            AppError::Conflict(format!(
                "the robot has {has} in slot {}, which is no registered {}: register it with `edgeflow model push`, or take the control plane's side",
                conflict.slot, conflict.kind
            ))
        })
    }

    /// A robot that is held is left alone.
    async fn refuse_if_held(&self, target: &Target) -> Result<(), AppError> {
        refuse_held(target, &self.attested(target).await?)
    }

    /// The same for a deployment to `slot` of these robots; a change that stands there is named, too. Robots that there are not are
    /// left to who makes the deployment.
    pub(crate) async fn refuse_deployment(
        &self,
        principal: &Principal,
        names: &[TargetName],
        spec: &SlotSpec,
        slot: &SlotName,
    ) -> Result<(), AppError> {
        for names in names.chunks(CHUNK) {
            self.refuse_some(principal, names, spec, slot).await?;
        }
        Ok(())
    }

    async fn refuse_some(&self, principal: &Principal, names: &[TargetName], spec: &SlotSpec, slot: &SlotName) -> Result<(), AppError> {
        let attested = self.stores.entries.attested_of(&principal.organisation, names, &["state"]).await?;
        let nothing = Attested::default();
        for target in self.stores.targets.targets_named(&principal.organisation, names).await? {
            let attested = attested.get(&target.id.name).unwrap_or(&nothing);
            refuse_held(&target, attested)?;
            let (name, now) = (&target.id, attested.slots.get(slot.as_str()).map(|now| &now.state));
            if reconciliation::slot_standing(&target.desired, slot.as_str(), now) != Standing::Follows {
                return Err(AppError::Conflict(format!(
                    "slot {slot} of {name} was changed on the robot: settle that first, with `edgeflow targets resolve`"
                )));
            }
            if let Some(why) = reconciliation::lacks(spec.kind, slot.as_str(), attested) {
                return Err(AppError::Conflict(format!("{name} cannot be given it: {why}")));
            }
        }
        Ok(())
    }

    async fn found(&self, principal: &Principal, name: &TargetName) -> Result<Target, AppError> {
        let found = self.stores.targets.target(&principal.organisation, name).await?;
        found.ok_or_else(|| AppError::NotFound { what: "robot", name: name.to_string() })
    }

    async fn attested(&self, target: &Target) -> Result<Attested, AppError> {
        let mut attested = self.stores.entries.attested(&target.id.organisation, std::slice::from_ref(&target.id.name)).await?;
        Ok(attested.remove(&target.id.name).unwrap_or_default())
    }

    /// Tells the robot, the record and the caller.
    async fn reconciled(&self, principal: &Principal, target: &Target, detail: serde_json::Value) -> Result<TargetView, AppError> {
        // An error means that no door is open for robots; they will read it when one is.
        drop(self.desired.send(target.id.clone()));
        self.presence.touch(&target.id);
        self.record(principal, Action::Reconcile, &format!("target/{}", target.id.name), detail).await;
        let view = self.target_view(&target.id).await?;
        view.ok_or_else(|| AppError::NotFound { what: "robot", name: target.id.to_string() })
    }
}

fn refuse_held(target: &Target, attested: &Attested) -> Result<(), AppError> {
    match reconciliation::held(&target.desired, attested) {
        Some(hold) => {
            Err(AppError::Conflict(format!("{} is held by {} ({}): release it, or leave it out", target.id, hold.by, hold.reason)))
        }
        None => Ok(()),
    }
}
