//! What is going on in the slot, on the latched `~/status`.

use std::sync::Arc;

use edgeflow_ros::constants::edgeflow_msgs::msg::DeploymentStatus as state;
use edgeflow_ros::edgeflow_msgs::msg::DeploymentStatus;
use edgeflow_ros::{Node, Publisher};

use crate::engine::{Engine, LoadRequest, Loaded, Stage};
use crate::{Error, Result};

/// The only slot of this node.
pub(super) const SLOT: &str = "default";

/// Accepts the name of the node's only slot, or none.
pub(super) fn check_slot(slot: &str) -> Result<()> {
    if slot.is_empty() || slot == SLOT { Ok(()) } else { Err(Error::UnknownSlot { slot: slot.to_owned() }) }
}

/// Publishes the slot's status.
pub(super) struct StatusBoard {
    node: Node,
    publisher: Publisher<DeploymentStatus>,
    engine: Arc<Engine>,
}

impl StatusBoard {
    pub(super) fn new(node: Node, publisher: Publisher<DeploymentStatus>, engine: Arc<Engine>) -> Self {
        Self { node, publisher, engine }
    }

    /// Nothing has been asked of the slot yet.
    pub(super) fn pending(&self) {
        self.publish(DeploymentStatus { status: state::PENDING, ..DeploymentStatus::default() });
    }

    /// A load reaches its next stage.
    pub(super) fn stage(&self, request: &LoadRequest, stage: Stage) {
        let (status, digest) = match stage {
            Stage::Verifying => (state::VERIFYING, request.expected),
            Stage::Warming(found) => (state::WARMING, Some(found)),
            Stage::Swapping => return,
        };
        let digest = digest.map(|d| d.to_string()).unwrap_or_default();
        self.publish(DeploymentStatus { status, digest, ..about(request) });
    }

    /// The new model serves every frame from here on.
    pub(super) fn active(&self, request: &LoadRequest, loaded: &Loaded) {
        self.publish(DeploymentStatus {
            status: state::ACTIVE,
            digest: loaded.model.digest.to_string(),
            swap_gap_us: loaded.swapped.gap_us(),
            ..about(request)
        });
    }

    /// A load failed; what ran before keeps running.
    pub(super) fn failed(&self, request: &LoadRequest, error: &Error) {
        self.publish(DeploymentStatus {
            status: state::FAILED,
            digest: request.expected.map(|d| d.to_string()).unwrap_or_default(),
            reason: error.to_string(),
            ..about(request)
        });
    }

    fn publish(&self, status: DeploymentStatus) {
        let running_digest = self.engine.current().map(|m| m.digest.to_string()).unwrap_or_default();
        let status = DeploymentStatus { stamp: self.node.now(), slot: SLOT.to_owned(), running_digest, ..status };
        if let Err(error) = self.publisher.publish(&status) {
            tracing::warn!(%error, "status not published");
        }
    }
}

fn about(request: &LoadRequest) -> DeploymentStatus {
    DeploymentStatus { model_name: request.model_name(), model_version: request.version.clone(), ..DeploymentStatus::default() }
}
