//! The slot of the inference node: its model comes, is rolled back or changed on the robot, comes back after a failure, leaves.

use edgeflow_wire::{SlotSpec, SlotStatus, Version, VersionVector};
use std::sync::atomic::Ordering::Relaxed;

use super::{Answer, Converger, SLOT, Short};
use crate::{
    desired::write_durably,
    download::Wanted,
    hold::{Held, Rollback},
};

impl Converger {
    pub(super) async fn converge_slot(&mut self, version: Version, declared: &VersionVector, spec: &SlotSpec) -> Result<(), Short> {
        let key = (version, spec.digest.clone());
        let answer = self.ask().await;
        if answer == Answer::Known && self.progress.running.digest == spec.digest {
            self.progress.suspect = None;
            self.follows(SLOT, version, declared).await;
            if self.progress.settled.as_ref() != Some(&key) {
                self.settle(version, spec, 0).await;
            }
            return Ok(());
        }
        self.notice_rollback(version, spec).await;
        if self.is_held(answer, version, spec) {
            return self.fall_back(answer, spec).await;
        }
        if self.keeps_local_model(answer, declared, &spec.digest).await? {
            return Ok(());
        }
        if self.has_failed(version, SLOT, spec) {
            return self.fall_back(answer, spec).await;
        }
        if self.progress.settled.as_ref() == Some(&key) && !self.progress.running.digest.is_empty() {
            // It ran a moment ago. Whoever has changed that says so, a moment later perhaps.
            self.progress.settled = None;
            return Err(Short::Later("the node runs another bundle than it did".to_owned()));
        }
        let wanted = Wanted::new(spec)?;
        if !self.downloader.has(&wanted.digest) {
            self.fall_back(answer, spec).await?;
            return Err(self.await_bundle(version, SLOT, spec, wanted).await);
        }
        self.expect(answer)?;
        self.came(SLOT);
        self.step(version, SLOT, spec, SlotStatus::Verifying, String::new(), 0).await;
        let folder = self.downloader.verify(&wanted).await?;
        self.step(version, SLOT, spec, SlotStatus::Warming, String::new(), 0).await;
        let mut record = self.ledger.get(SLOT);
        record.intended = spec.digest.clone();
        self.ledger.put(SLOT, record).await;
        let swap_gap_us = self.load(spec, &folder).await?;
        self.follows(SLOT, version, declared).await;
        self.settle(version, spec, swap_gap_us).await;
        Ok(())
    }

    /// A rollback that somebody made on the robot, of the very bundle this desired state asks for, stands until the control
    /// plane, which is told, wants something again.
    pub(super) async fn notice_rollback(&mut self, version: Version, spec: &SlotSpec) {
        let newest = self.rollback.borrow_and_update().clone();
        let running = self.progress.running.digest.clone();
        let of_this = |rollback: &Rollback| rollback.digest == spec.digest && rollback.running_digest == running;
        let Some(rollback) = newest.filter(of_this).filter(|rollback| !self.progress.holder.knows(rollback)) else { return };
        let before = self.progress.before.take().filter(|before| before.digest == running);
        if let Some(before) = before {
            self.note_good(&before).await;
            self.progress.good = Some(before);
        }
        self.progress.settled = None;
        let held = Held { version, digest: spec.digest.clone(), stamp_ns: rollback.stamp_ns, reason: rollback.reason.clone() };
        self.progress.holder.hold(held).await;
        let mut record = self.ledger.get(SLOT);
        record.intended = self.progress.running.digest.clone();
        self.ledger.put(SLOT, record).await;
        self.step(version, SLOT, spec, SlotStatus::RolledBack, rollback.reason, 0).await;
    }

    /// Whether this bundle was rolled back under this version.
    pub(super) fn is_held(&mut self, answer: Answer, version: Version, spec: &SlotSpec) -> bool {
        let Some(held) = self.progress.holder.held(version, &spec.digest) else { return false };
        let has_good = self.progress.good.as_ref().is_some_and(|good| good.digest != spec.digest);
        if answer == Answer::Known && self.progress.running.digest.is_empty() && !has_good {
            // What was rolled back to is gone with the node: the bundle that is desired is better than none.
            return false;
        }
        (self.progress.status, self.progress.reason) = (Some(SlotStatus::RolledBack), held.reason.clone());
        true
    }

    /// What shall run cannot, or not yet, and nothing runs, since the node has restarted: what served before does so again.
    pub(super) async fn fall_back(&mut self, answer: Answer, failed: &SlotSpec) -> Result<(), Short> {
        if answer != Answer::Known || !self.progress.running.digest.is_empty() {
            return Ok(());
        }
        let Some(good) = self.progress.good.clone().filter(|good| good.digest != failed.digest) else { return Ok(()) };
        let Ok(wanted) = Wanted::new(&good) else { return Ok(()) };
        let Ok(folder) = self.downloader.verify(&wanted).await else { return Ok(()) };
        match self.load(&good, &folder).await {
            Ok(_) => tracing::info!(digest = good.digest, "what served before serves again"),
            Err(Short::Failed(reason)) => {
                self.progress.good = None;
                self.recorder.fault("inference_node", format!("what served before cannot be loaded again: {reason}")).await;
            }
            Err(later) => return Err(later),
        }
        self.tell_state().await;
        Ok(())
    }

    pub(super) async fn settle(&mut self, version: Version, spec: &SlotSpec, swap_gap_us: u32) {
        self.progress.settled = Some((version, spec.digest.clone()));
        self.progress.unanswered = 0;
        self.step(version, SLOT, spec, SlotStatus::Active, String::new(), swap_gap_us).await;
        // The bundle that served before stays in the cache, so that the way back needs no network.
        self.note_good(spec).await;
        if let Some(before) = self.progress.good.replace(spec.clone()).filter(|before| before.digest != spec.digest) {
            self.progress.before = Some(before);
        }
        self.prune().await;
    }

    pub(super) async fn note_good(&self, spec: &SlotSpec) {
        let kept = match serde_json::to_vec(spec) {
            Ok(json) => {
                let path = self.progress.good_path.clone();
                tokio::task::spawn_blocking(move || write_durably(&path, &json)).await.is_ok_and(|written| written.is_ok())
            }
            Err(_) => false,
        };
        if !kept {
            tracing::warn!("could not note what serves: after a restart there is nothing to fall back to");
        }
    }

    /// Whether the model slot keeps what somebody loaded on the robot. Called when something else runs than is declared; `from` is
    /// the digest of what they changed.
    pub(super) async fn keeps_local_model(&mut self, answer: Answer, declared: &VersionVector, from: &str) -> Result<bool, Short> {
        let mut record = self.ledger.get(SLOT);
        let running = self.progress.running.clone();
        if answer != Answer::Known {
            return Ok(record.keeps(declared));
        }
        if running.digest.is_empty() {
            if let Some(local) = record.local.take() {
                self.ledger.put(SLOT, record).await;
                let message = format!("{} is gone: the node restarted without it, and what is declared is loaded", local.what);
                self.recorder.fault("slot default", message).await;
            }
            return Ok(false);
        }
        let good = self.progress.good_digest();
        let departures = self.departures.load(Relaxed);
        let begun = departures != self.progress.departures;
        self.progress.departures = departures;
        if begun || record.own.is_none() {
            // What a node has that has just begun, nobody loaded.
            let known = good.as_ref() == Some(&running.digest) || record.intended == running.digest;
            if !known {
                record.own = Some(running.digest.clone());
                record.local = None;
            } else if record.own.is_none() {
                record.own = Some(String::new());
            }
            self.ledger.put(SLOT, record.clone()).await;
        }
        let ours = [good.as_deref(), Some(record.intended.as_str()), record.own.as_deref()];
        if ours.contains(&Some(running.digest.as_str())) {
            return Ok(false);
        }
        if record.local_digest != running.digest {
            if self.progress.suspect.as_ref() != Some(&running.digest) {
                // A rollback by the node's own service says so, a moment later perhaps.
                self.progress.suspect = Some(running.digest);
                return Err(Short::Later("the node runs another bundle than it did".to_owned()));
            }
            let what = format!("{} version {} ({}) was loaded on the robot", running.model, running.version, running.digest);
            self.changed_here(SLOT, &mut record, declared, running.digest.clone(), what, from).await;
            self.progress.settled = None;
        }
        let keeps = record.keeps(declared);
        if keeps {
            (self.progress.status, self.progress.reason) = (Some(SlotStatus::Active), String::new());
        } else {
            // Somebody decided for what is declared.
            record.local = None;
        }
        self.ledger.put(SLOT, record).await;
        Ok(keeps)
    }

    /// Nothing is declared for the model slot any more: the node is as it would be had nothing ever been.
    pub(super) async fn withdraw_model(&mut self, version: Version, declared: &VersionVector) -> Result<(), Short> {
        let record = self.ledger.get(SLOT);
        if record.followed >= declared.control || record.keeps(declared) {
            return Ok(());
        }
        let answer = self.ask().await;
        let running = self.progress.running.digest.clone();
        if answer == Answer::Silent {
            return Err(Short::Later("the inference node does not say what it runs".to_owned()));
        }
        let from = self.progress.good_digest().unwrap_or_default();
        if self.keeps_local_model(answer, declared, &from).await? {
            return Ok(());
        }
        let mut record = self.ledger.get(SLOT);
        if !running.is_empty() && record.own.as_ref() != Some(&running) {
            if self.could_not_withdraw(version, SLOT) {
                return Ok(());
            }
            self.restart_node().await?;
            self.ask_now().await;
            record.own = Some(self.progress.running.digest.clone());
            self.ledger.put(SLOT, record).await;
        }
        self.progress.forget_good().await;
        self.follows(SLOT, declared.control, declared).await;
        tracing::info!("nothing is declared for the model slot any more");
        Ok(())
    }
}
