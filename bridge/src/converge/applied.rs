//! The slots beside the inference node's: applied by what the robot declares for them, on record in its [`Ledger`](crate::ledger::Ledger).

use edgeflow_wire::{ConfigurationState, SlotKind, SlotSpec, SlotState, SlotStatus, Version, VersionVector};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{Converger, Short};
use crate::{
    SOFTWARE,
    applier::Applier,
    download::Wanted,
    ledger::{Applied, Record},
};

/// What is known of a slot that is applied, beside what is on record.
#[derive(Debug, Default)]
pub(crate) struct AppliedProgress {
    status: SlotStatus,
    reason: String,
    /// Digest of the watched files when they were last read.
    files: String,
    /// Why they could not be read since.
    unread: String,
    /// The desired state whose good end was told.
    settled: Option<(Version, String)>,
}

impl AppliedProgress {
    /// Another policy is no new word about slots.
    pub(crate) fn carry(&mut self, from: Version, to: Version) {
        if let Some((settled, _)) = self.settled.as_mut().filter(|(settled, _)| *settled == from) {
            *settled = to;
        }
    }
}

/// Has a bundle applied, and answers what is on record of it then.
async fn applied(applier: &Applier, slot: &str, spec: &SlotSpec, folder: &Path) -> Result<Applied, String> {
    applier.apply(slot, spec, folder).await?;
    Ok(Applied { spec: spec.clone(), files: applier.files().await? })
}

/// Waits until one of these slots has somebody who applies it.
pub(super) async fn served(appliers: &BTreeMap<String, Applier>, unserved: &BTreeSet<String>) {
    let waits: Vec<_> = unserved.iter().filter_map(|slot| appliers.get(slot)).map(|applier| Box::pin(applier.served())).collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(waits).await;
}

impl Converger {
    /// One attempt at a slot that is applied.
    pub(super) async fn converge_applied(
        &mut self,
        version: Version,
        declared: &VersionVector,
        slot: &str,
        spec: &SlotSpec,
    ) -> Result<(), Short> {
        if spec.kind == SlotKind::Unknown {
            let reason = format!("slot {slot:?} holds something that this bridge ({SOFTWARE}) does not know: update the bridge");
            return Err(Short::Failed(reason));
        }
        if self.appliers.get(slot).is_none_or(|applier| applier.setup.kind != spec.kind) {
            return Err(Short::Failed(format!(
                "this robot has no slot {slot:?} of kind {}: declare it in its bridge's slots_file",
                spec.kind
            )));
        }
        let now = self.watched_files(slot);
        let mut record = self.ledger.get(slot);
        // What is there nobody knows, since the bridge stopped while something was applied, or that failed half-way.
        let unknown = !record.intended.is_empty();
        self.notice_files(slot, &mut record, declared, &now).await;
        if record.keeps(declared) {
            self.ledger.put(slot, record).await;
            return Ok(());
        }
        let stands = |applied: &Applied| !unknown && applied.spec.digest == spec.digest && applied.files == now;
        if record.applied.as_ref().is_some_and(stands) {
            self.ledger.put(slot, record).await;
            return self.settle_applied(version, declared, slot, spec).await;
        }
        if self.has_failed(version, slot, spec) {
            self.ledger.put(slot, record).await;
            return Ok(());
        }
        if !unknown && !now.is_empty() && now == spec.digest {
            // What somebody made here is what is declared now.
            record.applied = Some(Applied { spec: spec.clone(), files: now });
            self.ledger.put(slot, record).await;
            return self.settle_applied(version, declared, slot, spec).await;
        }
        self.ledger.put(slot, record.clone()).await;
        let wanted = Wanted::new(spec)?;
        if !self.downloader.has(&wanted.digest) {
            return Err(self.await_bundle(version, slot, spec, wanted).await);
        }
        if let Some(applier) = self.appliers.get(slot)
            && let Err(reason) = applier.there().await
        {
            self.note(slot, SlotStatus::Pending, reason.clone());
            self.progress.unserved.insert(slot.to_owned());
            return Err(Short::Later(reason));
        }
        if self.desired.has_changed().unwrap_or(false) {
            return Err(Short::Later("a newer desired state came".to_owned()));
        }
        self.came(slot);
        self.step(version, slot, spec, SlotStatus::Verifying, String::new(), 0).await;
        let folder = self.downloader.verify(&wanted).await?;
        self.step(version, slot, spec, SlotStatus::Warming, String::new(), 0).await;
        let before = record.clone();
        record.intended.clone_from(&spec.digest);
        if !self.ledger.put(slot, record.clone()).await {
            // Were it begun, and the bridge ended, nobody would know.
            self.ledger.put(slot, before).await;
            let reason = "what is about to be applied cannot be noted in data_dir: is its disk full?".to_owned();
            self.note(slot, SlotStatus::Pending, reason.clone());
            return Err(Short::Later(reason));
        }
        let Some(applier) = self.appliers.get(slot) else { return Ok(()) };
        match applied(applier, slot, spec, &folder).await {
            Ok(applied) => {
                record.software = applier.software(slot).await;
                record.applied = Some(applied);
                record.intended.clear();
                self.ledger.put(slot, record).await;
                self.settle_applied(version, declared, slot, spec).await
            }
            Err(reason) => Err(Short::Failed(self.put_back(slot, record, reason).await)),
        }
    }

    /// What was applied before is applied again, since nobody knows how far its successor came. Answers the whole reason.
    async fn put_back(&mut self, slot: &str, mut record: Record, reason: String) -> String {
        let Some(applier) = self.appliers.get(slot) else { return reason };
        let again = match record.applied.take() {
            None => None,
            Some(Applied { spec: before, .. }) => {
                let again = async {
                    let wanted = Wanted::new(&before).map_err(|error| error.to_string())?;
                    let folder = self.downloader.verify(&wanted).await.map_err(|error| error.to_string())?;
                    applied(applier, slot, &before, &folder).await
                };
                Some(again.await)
            }
        };
        record.software = applier.software(slot).await;
        let reason = match again {
            // It stays on record as what was being applied: how far it came nobody knows.
            None => reason,
            Some(Ok(applied)) => {
                record.applied = Some(applied);
                record.intended.clear();
                format!("{reason}; what was there before was applied again")
            }
            Some(Err(also)) => {
                format!("{reason}; what was there before could not be applied again ({also}), so it is not known what is there")
            }
        };
        self.ledger.put(slot, record).await;
        reason
    }

    /// Looks at all watched files. What cannot be read has not changed as far as anybody can tell; that it cannot is told once.
    pub(super) async fn look_at_files(&mut self) {
        for (slot, applier) in self.appliers.iter().filter(|(_, applier)| applier.setup.watch.is_some()) {
            let read = applier.files().await;
            let known = self.progress.applied.entry(slot.clone()).or_insert_with(|| {
                let files = self.ledger.get(slot).applied.map(|applied| applied.files).unwrap_or_default();
                AppliedProgress { files, ..AppliedProgress::default() }
            });
            match read {
                Ok(digest) => (known.files, known.unread) = (digest, String::new()),
                Err(reason) if known.unread != reason => {
                    known.unread.clone_from(&reason);
                    self.recorder.fault(&format!("slot {slot}"), format!("{reason}: whether they are changed is not known")).await;
                }
                Err(_) => {}
            }
        }
    }

    /// Digest of a slot's watched files when they were last read.
    fn watched_files(&self, slot: &str) -> String {
        self.progress.applied.get(slot).map(|progress| progress.files.clone()).unwrap_or_default()
    }

    /// Somebody edits the watched files, or puts them back.
    async fn notice_files(&mut self, slot: &str, record: &mut Record, declared: &VersionVector, now: &str) {
        // Files that were being written when the bridge stopped are nobody's change.
        let Some(applied) = record.applied.clone().filter(|_| record.intended.is_empty()) else { return };
        if applied.files == now {
            record.local = None;
            record.local_digest = String::new();
        } else if record.local_digest != now || (record.local.is_none() && now.is_empty() && record.local_digest.is_empty()) {
            let what = format!("the files of {} version {} were changed on the robot", applied.spec.model, applied.spec.version);
            self.changed_here(slot, record, declared, now.to_owned(), what, &applied.spec.digest).await;
        } else if !record.keeps(declared) {
            record.local = None;
        }
    }

    async fn settle_applied(&mut self, version: Version, declared: &VersionVector, slot: &str, spec: &SlotSpec) -> Result<(), Short> {
        self.follows(slot, version, declared).await;
        let key = (version, spec.digest.clone());
        let progress = self.progress.applied.entry(slot.to_owned()).or_default();
        progress.files = self.ledger.get(slot).applied.map(|applied| applied.files).unwrap_or_default();
        if progress.settled.as_ref() != Some(&key) {
            progress.settled = Some(key);
            self.step(version, slot, spec, SlotStatus::Active, String::new(), 0).await;
            self.prune().await;
        }
        Ok(())
    }

    /// Nothing is declared for a slot any more that was applied.
    pub(super) async fn withdraw_applied(&mut self, version: Version, slot: &str, declared: &VersionVector) -> Result<(), Short> {
        let mut record = self.ledger.get(slot);
        if record.followed >= declared.control || record.keeps(declared) || self.could_not_withdraw(version, slot) {
            return Ok(());
        }
        let now = self.watched_files(slot);
        self.notice_files(slot, &mut record, declared, &now).await;
        self.ledger.put(slot, record.clone()).await;
        if record.keeps(declared) {
            return Ok(());
        }
        let Some(applier) = self.appliers.get(slot) else { return Ok(()) };
        if record.applied.is_some() || !record.intended.is_empty() {
            applier.remove(slot).await.map_err(|reason| Short::Failed(format!("nothing is declared any more, but: {reason}")))?;
            (record.applied, record.software, record.intended) = (None, String::new(), String::new());
            self.ledger.put(slot, record).await;
        }
        self.progress.applied.remove(slot);
        self.look_at_files().await;
        self.follows(slot, declared.control, declared).await;
        self.prune().await;
        Ok(())
    }

    /// What a slot is at, for people and the control plane.
    pub(super) fn note(&mut self, slot: &str, status: SlotStatus, reason: String) {
        let progress = self.progress.applied.entry(slot.to_owned()).or_default();
        (progress.status, progress.reason) = (status, reason);
    }

    /// Digest of what a slot has that is applied: of the files, when somebody changed them. Empty where nobody knows, since the bridge
    /// stopped while something was applied.
    pub(super) fn applied_digest(&self, slot: &str) -> String {
        let record = self.ledger.get(slot);
        let applying = self.progress.applied.get(slot).is_some_and(|progress| progress.status == SlotStatus::Warming);
        if !record.intended.is_empty() && !applying {
            return String::new();
        }
        match (&record.local, &record.applied) {
            (Some(_), _) => record.local_digest,
            (None, Some(applied)) => applied.spec.digest.clone(),
            (None, None) => String::new(),
        }
    }

    /// The slots that are applied, as they are told.
    pub(super) fn applied_states(&self) -> BTreeMap<String, SlotState> {
        let nothing = AppliedProgress::default();
        let state = |(slot, kind): (&String, SlotKind)| {
            let record = self.ledger.get(slot);
            let progress = self.progress.applied.get(slot).unwrap_or(&nothing);
            let digest = self.applied_digest(slot);
            let applied = record.applied.as_ref().filter(|applied| applied.spec.digest == digest);
            let status = match progress.status {
                SlotStatus::Pending | SlotStatus::Active => {
                    if applied.is_some() || record.local.is_some() {
                        SlotStatus::Active
                    } else {
                        SlotStatus::Pending
                    }
                }
                other => other,
            };
            let state = SlotState {
                kind,
                status,
                model: applied.map(|applied| applied.spec.model.clone()).unwrap_or_default(),
                version: applied.map(|applied| applied.spec.version.clone()).unwrap_or_default(),
                digest,
                reason: progress.reason.clone(),
                software: record.software.clone(),
                vector: Some(record.vector()),
                local: record.local,
            };
            (slot.clone(), state)
        };
        self.appliers.iter().map(|(slot, applier)| (slot, applier.setup.kind)).map(state).collect()
    }

    /// The watched files of slots, as they are told.
    pub(super) fn configurations(&self) -> BTreeMap<String, ConfigurationState> {
        let watched = self.appliers.iter().filter(|(_, applier)| applier.setup.watch.is_some());
        let state = |slot: &String| ConfigurationState {
            digest: self.progress.applied.get(slot).map(|progress| progress.files.clone()).unwrap_or_default(),
            applied: self.ledger.get(slot).applied.map(|applied| applied.files).unwrap_or_default(),
        };
        watched.map(|(slot, _)| (slot.clone(), state(slot))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_ros::{Context, Node, edgeflow_msgs::srv::LoadModel, router::Router};
    use futures::{FutureExt, poll};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slot_that_waits_is_told_when_somebody_serves_it() {
        let router = Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let program = || Context::builder().arguments(Vec::new()).router(router.addr()).build().unwrap();
        let node = Node::create(&program(), "bridge_node", "/robot_1").unwrap();
        let slot = |service: &str| {
            let setup = serde_norway::from_str(&format!("{{ kind: package, service: {service} }}")).unwrap();
            Applier::new(&node, &setup).unwrap()
        };
        let appliers = BTreeMap::from([("arm".to_owned(), slot("arm/apply")), ("nav".to_owned(), slot("nav/apply"))]);
        let all = BTreeSet::from(["arm".to_owned(), "nav".to_owned()]);
        let mut waits = std::pin::pin!(served(&appliers, &all));
        assert!(poll!(waits.as_mut()).is_pending(), "nobody serves either");
        let robot = Node::create(&program(), "nav", "/robot_1").unwrap();
        let _requests = robot.create_service::<LoadModel::Service>("~/apply").unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(60), waits).await.unwrap();
        assert!(served(&appliers, &BTreeSet::new()).now_or_never().is_none(), "no slot waits");
        assert!(served(&appliers, &BTreeSet::from(["arm".to_owned()])).now_or_never().is_none(), "this one still does");
    }
}
