//! Bundles come beside everything else: while one is on its way the node may restart, somebody may hold the robot, and what needs no
//! download is brought about.

use edgeflow_bundle::Digest;
use edgeflow_uplink::LinkState;
use edgeflow_wire::{SlotSpec, SlotStatus, Version};
use std::{collections::BTreeMap, path::PathBuf};
use tokio::{sync::watch, task::JoinSet};

use super::{Converger, Short};
use crate::{Downloader, FetchError, download::Wanted};

/// What is on its way.
#[derive(Default)]
pub(crate) struct Fetches {
    /// What the present look found missing.
    missing: Vec<Wanted>,
    /// What the task fetches.
    coming: Vec<Wanted>,
    /// One at most: two bundles may share a file, which has one place to come to.
    task: JoinSet<(Digest, Result<PathBuf, FetchError>)>,
    /// What will not come, until the next look has seen that.
    refused: BTreeMap<Digest, String>,
    /// Slot to the declaration under which it was told that its bundle is on its way.
    told: BTreeMap<String, (Version, String)>,
}

impl Fetches {
    /// What is under way.
    pub(super) fn coming(&self) -> &[Wanted] {
        &self.coming
    }

    /// A look begins.
    pub(super) fn look(&mut self) {
        self.missing.clear();
    }

    /// A look has ended: what it found missing is fetched, and nothing else.
    pub(super) fn follow(&mut self, downloader: &Downloader, link: &watch::Receiver<LinkState>) {
        self.refused.clear();
        if self.missing == self.coming {
            return;
        }
        self.coming.clone_from(&self.missing);
        // What went on is dropped with its set.
        self.task = JoinSet::new();
        if !self.coming.is_empty() {
            let (downloader, wanted, link) = (downloader.clone(), self.coming.clone(), link.clone());
            self.task.spawn(async move { downloader.fetch_first(&wanted, link).await });
        }
    }

    /// Waits until a bundle is here, or is known not to come.
    pub(super) async fn ended(&mut self) {
        let Some(ended) = self.task.join_next().await else { return std::future::pending().await };
        self.coming.clear();
        match ended {
            Ok((digest, Err(FetchError::Refused { reason }))) => drop(self.refused.insert(digest, reason)),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a download ended badly"),
        }
    }
}

impl Converger {
    /// Has the bundle fetched. Answers why the attempt at the slot ends here.
    pub(super) async fn await_bundle(&mut self, version: Version, slot: &str, spec: &SlotSpec, wanted: Wanted) -> Short {
        if let Some(reason) = self.fetches.refused.get(&wanted.digest) {
            return Short::Failed(reason.clone());
        }
        let key = (version, spec.digest.clone());
        if self.fetches.told.get(slot) != Some(&key) {
            self.fetches.told.insert(slot.to_owned(), key);
            self.step(version, slot, spec, SlotStatus::Downloading, String::new(), 0).await;
        }
        if !self.fetches.missing.contains(&wanted) {
            self.fetches.missing.push(wanted);
        }
        Short::Coming
    }

    /// The bundle is here: its coming is told again should it get lost.
    pub(super) fn came(&mut self, slot: &str) {
        self.fetches.told.remove(slot);
    }
}
