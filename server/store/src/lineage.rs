//! What ran where, and when.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId,
    lineage::{Interval, IntervalFilter, Ran},
    model::ModelVersion,
    provenance::{Registered, Via},
};

use crate::StoreError;

/// Attested intervals, derived by ingestion in the transaction of the entries that say so. They are never removed.
#[async_trait]
pub trait LineageStore: Send + Sync {
    /// Intervals of a robot, the newest first.
    async fn intervals(&self, robot: &RobotId, filter: &IntervalFilter) -> Result<Vec<Interval>, StoreError>;

    /// Robots that ever said they ran a bundle, or did at a moment, in a fixed order: those behind `after`, each with its cursor, at
    /// most `limit`.
    async fn ran(
        &self,
        organisation: &OrganisationId,
        digest: &str,
        at_us: Option<i64>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Ran)>, StoreError>;

    /// The desired state that an interval was the answer to, by the robot's own word; `None` when it said nothing of one.
    async fn answered(&self, robot: &RobotId, interval: &Interval) -> Result<Option<edgeflow_wire::Version>, StoreError>;
}

/// Which runs and datasets versions come from, over all that was ever registered: what was deleted too.
#[async_trait]
pub trait ProvenanceStore: Send + Sync {
    /// What these bundles are registered as, the newest first.
    async fn registered(&self, organisation: &OrganisationId, digests: &[String]) -> Result<Vec<Registered>, StoreError>;

    /// Versions of a bundle in full, whether each was deleted since; the newest first.
    async fn bundle_versions(&self, organisation: &OrganisationId, digest: &str) -> Result<Vec<(ModelVersion, bool)>, StoreError>;

    /// Runs that led to this one, itself first, then the nearest, at most `limit`.
    async fn ancestors(&self, organisation: &OrganisationId, run_id: &str, limit: u32) -> Result<Vec<(String, Via)>, StoreError>;

    /// Versions that come from a run that was trained on a dataset of this digest, or from one that such a run led to; oldest first.
    async fn made_from(&self, organisation: &OrganisationId, dataset_digest: &str) -> Result<Vec<Registered>, StoreError>;

    /// Runs that were trained on a dataset of this digest, and those that such runs led to, at most `limit`, the first begun first.
    async fn trained_on(&self, organisation: &OrganisationId, dataset_digest: &str, limit: u32) -> Result<Vec<String>, StoreError>;
}
