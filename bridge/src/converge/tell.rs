//! What the robot says of its slots: each step, what it is, what failed and is not tried again, what was changed on it.

use edgeflow_bundle::Digest;
use edgeflow_wire::{
    Class, DeploymentStatusBody, DesiredState, EntryBody, LocalChange, ObservedState, SlotSpec, SlotState, SlotStatus, StateBody, Version,
    VersionVector,
};
use tokio::sync::watch;

use super::{Converger, SLOT};
use crate::{SOFTWARE, held::held, ledger::Record};

impl Converger {
    pub(super) fn has_failed(&self, version: Version, slot: &str, spec: &SlotSpec) -> bool {
        self.progress.failed.contains(&(version, slot.to_owned(), spec.digest.clone()))
    }

    pub(super) async fn fail(&mut self, version: Version, slot: &str, spec: &SlotSpec, reason: String) {
        if self.has_failed(version, slot, spec) {
            return;
        }
        self.progress.failed.retain(|(failed, _, _)| *failed == version);
        self.progress.failed.insert((version, slot.to_owned(), spec.digest.clone()));
        if slot == SLOT {
            self.progress.settled = None;
            self.progress.unanswered = 0;
            self.ask_now().await;
        }
        self.step(version, slot, spec, SlotStatus::Failed, reason, 0).await;
    }

    /// Told once: nothing but another desired state, or a restart of the node, changes that.
    pub(super) async fn cannot_withdraw(&mut self, version: Version, slot: &str, reason: String) {
        self.progress.failed.retain(|(failed, _, _)| *failed == version);
        self.progress.failed.insert((version, slot.to_owned(), String::new()));
        if slot == SLOT {
            (self.progress.status, self.progress.reason) = (Some(SlotStatus::Failed), reason.clone());
        } else {
            self.note(slot, SlotStatus::Failed, reason.clone());
        }
        self.recorder.fault(&format!("slot {slot}"), reason).await;
    }

    /// Whether the slot could not be taken back to nothing under this version.
    pub(super) fn could_not_withdraw(&self, version: Version, slot: &str) -> bool {
        self.progress.failed.contains(&(version, slot.to_owned(), String::new()))
    }

    pub(super) async fn step(
        &mut self,
        version: Version,
        slot: &str,
        spec: &SlotSpec,
        status: SlotStatus,
        reason: String,
        swap_gap_us: u32,
    ) {
        tracing::info!(slot, ?status, model = spec.model, version = spec.version, digest = spec.digest, reason, "deployment");
        let body = DeploymentStatusBody {
            for_version: version,
            slot: slot.to_owned(),
            kind: spec.kind,
            status,
            model: spec.model.clone(),
            model_version: spec.version.clone(),
            digest: spec.digest.clone(),
            running_digest: if slot == SLOT { self.progress.running.digest.clone() } else { self.applied_digest(slot) },
            reason: reason.clone(),
            swap_gap_us,
        };
        self.recorder.record_now(Class::Critical, EntryBody::DeploymentStatus(body)).await;
        if slot == SLOT {
            (self.progress.status, self.progress.reason) = (Some(status), reason);
        } else if self.appliers.contains_key(slot) {
            self.note(slot, status, reason);
        }
        self.tell_state().await;
    }

    /// Records what the robot is and runs, when that changed.
    pub(super) async fn tell_state(&mut self) {
        let version_of = |desired: &watch::Receiver<Option<DesiredState>>| desired.borrow().as_ref().map(|desired| desired.version);
        let version = version_of(&self.accepted).unwrap_or_default();
        let record = self.ledger.get(SLOT);
        let running = &self.progress.running;
        // Active is a claim about the present: without a session that serves, it is not made.
        let status = match self.progress.status {
            Some(SlotStatus::Active) if running.digest.is_empty() => SlotStatus::Pending,
            None if !running.digest.is_empty() => SlotStatus::Active,
            status => status.unwrap_or(SlotStatus::Pending),
        };
        let slot = SlotState {
            status,
            model: running.model.clone(),
            version: running.version.clone(),
            digest: running.digest.clone(),
            reason: self.progress.reason.clone(),
            vector: Some(record.vector()),
            local: record.local,
            ..SlotState::default()
        };
        let mut slots = self.applied_states();
        slots.insert(SLOT.to_owned(), slot);
        let changes = self.ledger.all().map(|(_, record)| record.changes).sum();
        let state = StateBody {
            observed: ObservedState { version },
            slots,
            software: SOFTWARE.to_owned(),
            activity: self.activity.borrow().clone(),
            configuration: self.configurations(),
            policy_version: Some(self.board.policy().0),
            vector: Some(VersionVector { robot: changes, control: version_of(&self.desired).unwrap_or_default() }),
            held: held(self.accepted.borrow().as_ref(), self.hold.borrow().as_ref()),
        };
        if self.progress.told.as_ref() != Some(&state) {
            self.progress.told = Some(state.clone());
            self.recorder.record_now(Class::Event, EntryBody::State(state)).await;
        }
    }

    /// Forgets bundles that are of no use any more.
    pub(super) async fn prune(&self) {
        let models = [self.progress.good.as_ref(), self.progress.before.as_ref()].into_iter().flatten();
        let applied = self.ledger.all().filter_map(|(_, record)| record.applied.as_ref()).map(|applied| &applied.spec);
        // What is declared and waits, for a service perhaps, is not fetched twice.
        let declared: Vec<SlotSpec> = self.desired.borrow().iter().flat_map(|desired| desired.slots.values().cloned()).collect();
        let digests = models.chain(applied).chain(&declared).filter_map(|spec| spec.digest.parse().ok());
        self.downloader.prune(&digests.collect::<Vec<Digest>>(), self.fetches.coming()).await;
    }

    /// Puts a change on record and tells of it.
    pub(super) async fn changed_here(
        &mut self,
        slot: &str,
        record: &mut Record,
        declared: &VersionVector,
        digest: String,
        what: String,
        from: &str,
    ) {
        let local = LocalChange { since_us: self.recorder.clock().now().t_us, what: what.clone(), from: from.to_owned() };
        record.change(declared.robot, digest, local);
        let message = format!("{what}: it stands until an operator settles it, with `edgeflow targets resolve`");
        self.recorder.fault(&format!("slot {slot}"), message).await;
    }

    /// The declaration of a slot is followed: whatever was changed here is no more.
    pub(super) async fn follows(&mut self, slot: &str, version: Version, declared: &VersionVector) {
        let mut record = self.ledger.get(slot);
        record.followed = if *declared == VersionVector::default() { version } else { declared.control };
        record.local = None;
        record.local_digest = String::new();
        if slot == SLOT && record.own.is_none() {
            record.own = Some(String::new());
        }
        self.ledger.put(slot, record).await;
    }

    /// Somebody at the robot gives up what was changed here: what is declared is applied.
    pub(super) async fn give_up(&mut self, slot: &str) {
        let mut record = self.ledger.get(slot);
        if record.local.take().is_some() {
            self.ledger.put(slot, record).await;
            tracing::info!(slot, "what was changed on the robot is given up");
        }
    }
}
