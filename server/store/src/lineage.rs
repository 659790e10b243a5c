//! What ran where, and when.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId,
    lineage::{Interval, IntervalFilter, Ran},
};

use crate::StoreError;

/// Attested intervals, derived by ingestion in the transaction of the entries that say so. They are never removed.
#[async_trait]
pub trait LineageStore: Send + Sync {
    /// Intervals of a robot, the newest first.
    async fn intervals(&self, robot: &RobotId, filter: &IntervalFilter) -> Result<Vec<Interval>, StoreError>;

    /// Robots that ever said they ran a bundle, in a fixed order: those behind `after`, each with its cursor, at most `limit`.
    async fn ran(&self, organisation: &OrganisationId, digest: &str, after: i64, limit: u32) -> Result<Vec<(i64, Ran)>, StoreError>;
}
