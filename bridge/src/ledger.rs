//! What the bridge knows of each slot across restarts: how often it was changed on the robot, which declaration it follows, and what
//! it applied itself.

use edgeflow_wire::{LocalChange, SlotSpec, Version, VersionVector};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::desired::write_durably;

/// One slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// Changes made on the robot.
    pub(crate) changes: u64,
    /// The declaration of the slot that was followed last.
    pub(crate) followed: Version,
    /// A change that stands.
    pub(crate) local: Option<LocalChange>,
    /// Digest of what that change brought, also of one that does not stand any more.
    pub(crate) local_digest: String,
    /// Digest of what the node has when it begins; empty: nothing. `None` while that is not known.
    pub(crate) own: Option<String>,
    /// Digest of what was handed to the node last. Of a slot that is applied: of what is being applied, empty when nothing is; a bridge
    /// that finds it at its start was stopped meanwhile, and nobody knows how far that came.
    pub(crate) intended: String,
    /// What was applied and stands.
    pub(crate) applied: Option<Applied>,
    /// What it says it is.
    pub(crate) software: String,
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) spec: SlotSpec,
    /// Digest of the watched files right after; empty where none are.
    pub(crate) files: String,
}

impl Record {
    pub(crate) fn vector(&self) -> VersionVector {
        VersionVector { robot: self.changes, control: self.followed }
    }

    /// Notes a change that somebody made on the robot. `settled`: so many are known to the control plane already, which may
    /// be more than are on record here.
    pub(crate) fn change(&mut self, settled: u64, digest: String, local: LocalChange) {
        self.changes = self.changes.max(settled) + 1;
        self.local_digest = digest;
        self.local = Some(local);
    }

    /// Whether a change stands that nobody has settled.
    pub(crate) fn keeps(&self, declared: &VersionVector) -> bool {
        self.local.is_some() && self.vector().keeps(declared)
    }
}

/// All slots, in memory and in a file.
pub(crate) struct Ledger {
    path: PathBuf,
    records: BTreeMap<String, Record>,
    /// The file is behind: it could not be written.
    behind: bool,
}

impl Ledger {
    /// As `data_dir` has it. A file that cannot be read is an empty one: the control plane knows how many changes it has settled.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join("slots.json");
        let read = std::fs::read(&path).ok().map(|json| serde_json::from_slice(&json));
        let records = match read {
            Some(Ok(records)) => records,
            Some(Err(error)) => {
                tracing::warn!(%error, path = %path.display(), "what is known of slots is damaged and begins anew");
                BTreeMap::new()
            }
            None => BTreeMap::new(),
        };
        Self { path, records, behind: false }
    }

    pub(crate) fn get(&self, slot: &str) -> Record {
        self.records.get(slot).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Record)> {
        self.records.iter()
    }

    /// Keeps a record, on the disk when it changed or something there is behind. Whether the disk has all that is known.
    pub(crate) async fn put(&mut self, slot: &str, record: Record) -> bool {
        if !self.behind && self.records.get(slot) == Some(&record) {
            return true;
        }
        self.records.insert(slot.to_owned(), record);
        let (path, json) = (self.path.clone(), serde_json::to_vec_pretty(&self.records));
        let kept = match json {
            Ok(json) => tokio::task::spawn_blocking(move || write_durably(&path, &json)).await.is_ok_and(|written| written.is_ok()),
            Err(_) => false,
        };
        if !kept && !self.behind {
            tracing::warn!(slot, path = %self.path.display(), "could not note what is known of a slot: it is tried again");
        }
        self.behind = !kept;
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_counted_beyond_what_was_settled_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path());
        let mut record = ledger.get("map");
        record.change(3, "mine".into(), LocalChange::default());
        assert_eq!(record.changes, 4, "a file that was lost does not let a number come twice");
        let declared = |robot| VersionVector { robot, ..VersionVector::default() };
        assert!(record.keeps(&declared(3)) && !record.keeps(&declared(4)));
        ledger.put("map", record.clone()).await;
        assert_eq!(Ledger::open(dir.path()).get("map"), record);
        record.local = None;
        assert!(!record.keeps(&declared(0)), "one that was given up does not stand");
        std::fs::write(dir.path().join("slots.json"), "{").unwrap();
        assert_eq!(Ledger::open(dir.path()).get("map"), Record::default());
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_as_soon_as_that_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path());
        let record = Record { intended: "d".into(), ..Record::default() };
        let in_the_way = dir.path().join("slots.new");
        std::fs::create_dir(&in_the_way).unwrap();
        assert!(!ledger.put("map", record.clone()).await);
        assert!(!ledger.put("map", record.clone()).await, "that it is known here is not enough");
        std::fs::remove_dir(&in_the_way).unwrap();
        assert!(ledger.put("map", record.clone()).await);
        assert_eq!(Ledger::open(dir.path()).get("map"), record);
    }
}
