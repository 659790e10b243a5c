//! What happens to lineage, for those who follow it.

use async_trait::async_trait;
use edgeflow_core::{OrganisationId, openlineage::Happening};

use crate::StoreError;

/// What one database knows of what happens to lineage, in the order in which it was committed. An adapter with several has one of
/// these for each, always in the same order.
#[async_trait]
pub trait HappeningStore: Send + Sync {
    /// What happened beyond `after`, each with its place, the oldest first, at most `limit`. Places begin at 1 and only grow.
    async fn happenings(&self, organisation: &OrganisationId, after: i64, limit: u32) -> Result<Vec<(i64, Happening)>, StoreError>;
}

/// How far others were told of it.
#[async_trait]
pub trait ToldStore: Send + Sync {
    /// The place up to which an endpoint was told; `None` when it never was.
    async fn told(&self, url: &str) -> Result<Option<String>, StoreError>;

    /// Notes it.
    async fn set_told(&self, url: &str, cursor: &str) -> Result<(), StoreError>;
}
