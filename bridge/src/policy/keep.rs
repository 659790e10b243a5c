//! The policy that rules, kept on the disk: one that is refused later leaves it in force, also over restarts.

use edgeflow_wire::{PolicyStatusBody, VersionedPolicy};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::desired::write_durably;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What rules.
    pub(crate) ruling: Option<VersionedPolicy>,
    /// What the control plane was told last.
    pub(crate) told: Option<PolicyStatusBody>,
}

pub(crate) struct Keep {
    path: PathBuf,
    pub(crate) kept: Kept,
}

impl Keep {
    /// As `data_dir` has it. Losing this file costs a second word to the control plane, and the policy that ruled if the
    /// newest is one that was refused.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join("policy.json");
        let kept = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        Self { path, kept }
    }

    pub(crate) async fn store(&mut self, kept: Kept) {
        if self.kept == kept {
            return;
        }
        let (path, json) = (self.path.clone(), serde_json::to_vec(&kept));
        self.kept = kept;
        let stored = match json {
            Ok(json) => tokio::task::spawn_blocking(move || write_durably(&path, &json)).await.is_ok_and(|written| written.is_ok()),
            Err(_) => false,
        };
        if !stored {
            tracing::warn!("could not note the policy that rules: after a restart the newest is tried again");
        }
    }
}
