//! What is going on in a slot, on its latched `~/status`.

use std::sync::Arc;

use edgeflow_ros::constants::edgeflow_msgs::msg::DeploymentStatus as state;
use edgeflow_ros::edgeflow_msgs::msg::DeploymentStatus;
use edgeflow_ros::{Node, Publisher};

use crate::Error;
use crate::engine::{Engine, LoadRequest, Loaded, Stage};

/// Publishes a slot's status.
pub(super) struct StatusBoard {
    node: Node,
    slot: String,
    publisher: Publisher<DeploymentStatus>,
    engine: Arc<Engine>,
}

impl StatusBoard {
    pub(super) fn new(node: Node, slot: String, publisher: Publisher<DeploymentStatus>, engine: Arc<Engine>) -> Self {
        Self { node, slot, publisher, engine }
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

    /// The model before serves every frame from here on; this is about the one that was taken out.
    pub(super) fn rolled_back(&self, loaded: &Loaded) {
        let out = loaded.swapped.replaced.as_deref();
        self.publish(DeploymentStatus {
            status: state::ROLLED_BACK,
            model_name: out.map(|m| m.name.clone()).unwrap_or_default(),
            model_version: out.map(|m| m.version.clone()).unwrap_or_default(),
            digest: out.map(|m| m.digest.to_string()).unwrap_or_default(),
            reason: format!("rolled back to {} {} by ~/rollback_model", loaded.model.name, loaded.model.version),
            swap_gap_us: loaded.swapped.gap_us(),
            ..DeploymentStatus::default()
        });
    }

    fn publish(&self, status: DeploymentStatus) {
        let running_digest = self.engine.current().map(|m| m.digest.to_string()).unwrap_or_default();
        let status = DeploymentStatus { stamp: self.node.now(), slot: self.slot.clone(), running_digest, ..status };
        if let Err(error) = self.publisher.publish(&status) {
            tracing::warn!(%error, "status not published");
        }
    }
}

fn about(request: &LoadRequest) -> DeploymentStatus {
    DeploymentStatus { model_name: request.model_name(), model_version: request.version.clone(), ..DeploymentStatus::default() }
}
