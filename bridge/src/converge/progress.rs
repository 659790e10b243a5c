//! What the reconciler knows between two looks, and what of it another desired state leaves alone.

use edgeflow_wire::{DesiredState, SlotSpec, SlotStatus, StateBody, Version};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Instant,
};

use super::{Running, applied::AppliedProgress};
use crate::hold::Holder;

/// What the reconciler knows of its slot.
pub(crate) struct Progress {
    pub(crate) running: Running,
    /// What was brought up last and served: it comes back when its successor failed and the node restarts.
    pub(super) good: Option<SlotSpec>,
    pub(super) good_path: PathBuf,
    /// What served before that.
    pub(super) before: Option<SlotSpec>,
    /// A desired state that was rolled back on the robot.
    pub(super) holder: Holder,
    pub(crate) status: Option<SlotStatus>,
    pub(crate) reason: String,
    /// The desired state whose good end was told.
    pub(crate) settled: Option<(Version, String)>,
    /// Version, slot and digest of what will not be tried again.
    pub(super) failed: BTreeSet<(Version, String, String)>,
    pub(super) unanswered: u32,
    pub(super) told: Option<StateBody>,
    /// Slots that are applied.
    pub(crate) applied: BTreeMap<String, AppliedProgress>,
    /// Slots that wait for the service that applies them.
    pub(super) unserved: BTreeSet<String>,
    /// A digest nobody here brought about, seen once.
    pub(crate) suspect: Option<String>,
    /// How often the node had left when it was last looked at.
    pub(crate) departures: u64,
    /// What the node had said of itself, counted, and when, as it was last asked and answered.
    pub(super) answered: Option<(u64, Instant)>,
}

impl Progress {
    /// Nothing is known yet but what served in an earlier life, as `data_dir` has it.
    pub(crate) fn new(data_dir: &Path) -> Self {
        let good_path = data_dir.join("last_good.json");
        // Losing this file costs a fall-back, nothing else.
        let good = std::fs::read(&good_path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Self {
            running: Running::default(),
            good,
            good_path,
            before: None,
            holder: Holder::open(data_dir),
            status: None,
            reason: String::new(),
            settled: None,
            failed: BTreeSet::new(),
            unanswered: 0,
            told: None,
            applied: BTreeMap::new(),
            unserved: BTreeSet::new(),
            suspect: None,
            departures: 0,
            answered: None,
        }
    }

    /// What was brought up last.
    pub(crate) fn good_digest(&self) -> Option<String> {
        self.good.as_ref().map(|good| good.digest.clone())
    }

    /// Nothing comes back any more.
    pub(crate) async fn forget_good(&mut self) {
        (self.good, self.before, self.settled, self.status) = (None, None, None, None);
        self.reason = String::new();
        let path = self.good_path.clone();
        if let Err(error) = tokio::fs::remove_file(path).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "could not forget what served");
        }
    }

    /// Another policy is no new word about the slots: what is settled, failed or rolled back stays so.
    pub(super) async fn carry(&mut self, from: Version, to: Version) {
        if from == to {
            return;
        }
        if let Some((settled, _)) = self.settled.as_mut().filter(|(settled, _)| *settled == from) {
            *settled = to;
        }
        self.failed = std::mem::take(&mut self.failed)
            .into_iter()
            .map(|(version, slot, digest)| (if version == from { to } else { version }, slot, digest))
            .collect();
        for applied in self.applied.values_mut() {
            applied.carry(from, to);
        }
        self.holder.carry(from, to).await;
    }
}

/// Whether from `before` to `after` nobody declared anything for slots. Of a control plane that does not say so: whether it was one
/// step, about the telemetry policy; one that changes nothing at all is about the slots, since somebody deploys the same again.
pub(super) fn leaves_slots_alone(before: &DesiredState, after: &DesiredState) -> bool {
    if !after.vectors.is_empty() && after.slots.keys().all(|slot| after.vectors.contains_key(slot)) {
        return before.version < after.version && before.slots == after.slots && before.vectors == after.vectors;
    }
    let next = Version { generation: before.version.generation + 1, ..before.version };
    after.version == next && before.slots == after.slots && before.policy != after.policy
}
