//! Deployments.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId,
    deployment::{Deployment, NewDeployment},
};

use crate::StoreError;

/// Deployments.
#[async_trait]
pub trait DeploymentStore: Send + Sync {
    /// Records a deployment, gives each robot its next desired state and marks what this supersedes, all or nothing.
    /// `Missing` names the first robot there is not, `Held` the rollout that holds some of them in that slot.
    async fn create_deployment(&self, organisation: &OrganisationId, new: &NewDeployment) -> Result<Deployment, StoreError>;

    /// One deployment.
    async fn deployment(&self, organisation: &OrganisationId, id: i64) -> Result<Option<Deployment>, StoreError>;

    /// Deployments, newest first, older than `before`; of one rollout, or of none (`Some(0)`), or all.
    async fn deployments(
        &self,
        organisation: &OrganisationId,
        rollout: Option<i64>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError>;

    /// Deployments of a bundle, or those of them that name one robot, newest first, with at most `limit` robots in all.
    async fn deployments_of(
        &self,
        organisation: &OrganisationId,
        digest: &str,
        target: Option<&edgeflow_core::TargetName>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError>;

    /// Deployments that still stand for some of these robots: the newest of each slot, unless a rollout told it.
    async fn standing_deployments(
        &self,
        organisation: &OrganisationId,
        targets: &[edgeflow_core::TargetName],
    ) -> Result<Vec<Deployment>, StoreError>;
}
