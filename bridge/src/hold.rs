//! A rollback on the robot against what the control plane desires: whoever stands beside the robot has the last word on
//! what it runs, until the control plane, which is told, says something new.

use edgeflow_ros::{constants::edgeflow_msgs::msg::DeploymentStatus as state, edgeflow_msgs::msg::DeploymentStatus};
use edgeflow_wire::Version;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::{converge::SLOT, desired::write_durably};

/// What the inference node said of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollback {
    /// Digest of what was taken out.
    pub(crate) digest: String,
    /// Digest of what serves instead.
    pub(crate) running_digest: String,
    pub(crate) reason: String,
    /// When, by the node's clock: what tells one rollback from another, since its status is latched.
    pub(crate) stamp_ns: i64,
}

impl Rollback {
    /// `None` when it is about something else.
    pub(crate) fn of(status: DeploymentStatus) -> Option<Self> {
        let DeploymentStatus { stamp, slot, digest, running_digest, reason, .. } = status;
        let stamp_ns = i64::from(stamp.sec) * 1_000_000_000 + i64::from(stamp.nanosec);
        (status.status == state::ROLLED_BACK && slot == SLOT).then_some(Self { digest, running_digest, reason, stamp_ns })
    }
}

/// A desired state that is not brought about, because its bundle was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) version: Version,
    pub(crate) digest: String,
    pub(crate) stamp_ns: i64,
    pub(crate) reason: String,
}

/// The newest of these, kept on the disk: a bridge that restarts must not undo a rollback.
pub(crate) struct Holder {
    path: PathBuf,
    held: Option<Held>,
}

impl Holder {
    /// As `data_dir` has it. A file that cannot be read costs one rollback, nothing else.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join("rolled_back.json");
        let held = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Self { path, held }
    }

    /// What is held of this version, if it is this bundle.
    pub(crate) fn held(&self, version: Version, digest: &str) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.version == version && held.digest == digest)
    }

    /// Whether this rollback was taken notice of, under whatever version.
    pub(crate) fn knows(&self, rollback: &Rollback) -> bool {
        self.held.as_ref().is_some_and(|held| held.stamp_ns == rollback.stamp_ns)
    }

    /// What is held of one version is held of another that says the same.
    pub(crate) async fn carry(&mut self, from: Version, to: Version) {
        if let Some(held) = self.held.clone().filter(|held| held.version == from) {
            self.hold(Held { version: to, ..held }).await;
        }
    }

    pub(crate) async fn hold(&mut self, held: Held) {
        let (path, json) = (self.path.clone(), serde_json::to_vec(&held));
        self.held = Some(held);
        let kept = match json {
            Ok(json) => tokio::task::spawn_blocking(move || write_durably(&path, &json)).await.is_ok_and(|written| written.is_ok()),
            Err(_) => false,
        };
        if !kept {
            tracing::warn!("could not note a rollback: a restart of the bridge would undo it");
        }
    }
}
