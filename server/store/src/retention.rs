//! What is kept how long: the steps a reconciler takes towards a policy.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    retention::{Cause, RemovalView, Removed, Usage},
    rollup::Resolution,
};
use edgeflow_wire::Class;

use crate::StoreError;

/// Entries of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindAge {
    /// Their class.
    pub class: Class,
    /// Their kind.
    pub kind: String,
    /// When the oldest of them arrived, microseconds since the Unix epoch.
    pub oldest_us: i64,
}

/// Steps towards a retention policy. Each is one small transaction that also records what it took away, so that ingestion
/// never waits for long, a crash leaves whole steps, and nothing goes unseen. Steps that find nothing to do change nothing.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// The kinds of entries there are.
    async fn kinds(&self) -> Result<Vec<KindAge>, StoreError>;

    /// Removes the oldest entries of a class and kind that arrived before `before_us`, at most `limit`.
    async fn remove_entries(
        &self,
        class: Class,
        kind: &str,
        before_us: i64,
        limit: u32,
        cause: Cause,
        now_us: i64,
    ) -> Result<Removed, StoreError>;

    /// Stamp of the oldest number that is kept at this resolution.
    async fn oldest_number(&self, resolution: Resolution) -> Result<Option<i64>, StoreError>;

    /// Folds numbers of this resolution that are stamped before `before_us` into the next coarser one, about `limit` at most;
    /// hours, which are the coarsest, are removed.
    async fn fold_numbers(
        &self,
        resolution: Resolution,
        before_us: i64,
        limit: u32,
        cause: Cause,
        now_us: i64,
    ) -> Result<Removed, StoreError>;

    /// The room all of it takes.
    async fn usage(&self) -> Result<Usage, StoreError>;

    /// Gives some of the room that nothing takes back to the file system; how many bytes.
    async fn shrink(&self) -> Result<u64, StoreError>;

    /// What was removed of a robot's log, or folded.
    async fn removals(&self, robot: &RobotId) -> Result<Vec<RemovalView>, StoreError>;
}
