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
    /// `Missing` names the first robot there is not.
    async fn create_deployment(&self, organisation: &OrganisationId, new: &NewDeployment) -> Result<Deployment, StoreError>;

    /// One deployment.
    async fn deployment(&self, organisation: &OrganisationId, id: i64) -> Result<Option<Deployment>, StoreError>;

    /// Deployments, newest first, older than `before`.
    async fn deployments(&self, organisation: &OrganisationId, before: Option<i64>, limit: u32) -> Result<Vec<Deployment>, StoreError>;

    /// Deployments of a bundle, or those of them that name one robot, newest first, with at most `limit` robots in all.
    async fn deployments_of(
        &self,
        organisation: &OrganisationId,
        digest: &str,
        target: Option<&edgeflow_core::TargetName>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError>;

    /// Deployments that still stand for a robot: the newest of each slot.
    async fn standing_deployments(
        &self,
        organisation: &OrganisationId,
        target: &edgeflow_core::TargetName,
    ) -> Result<Vec<Deployment>, StoreError>;
}
