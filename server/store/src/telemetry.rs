//! Series of numbers.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    rollup::{Resolution, RollUp},
    telemetry::KeptFrom,
};

use std::collections::BTreeMap;

use crate::StoreError;

/// Series of numbers, filled by ingestion.
#[async_trait]
pub trait TelemetryStore: Send + Sync {
    /// The newest `limit` of those samples of a channel that are kept as they came, since `since_us`, oldest first, as (time, value).
    async fn samples(&self, robot: &RobotId, channel: &str, since_us: i64, limit: u32) -> Result<Vec<(i64, f64)>, StoreError>;

    /// The newest `limit` minutes or hours of a channel that end after `since_us`, oldest first, as (beginning, roll-up): of all
    /// samples, whether they are kept as they came or more coarsely. What is kept more coarsely than asked for is not in it.
    async fn rollups(
        &self,
        robot: &RobotId,
        channel: &str,
        resolution: Resolution,
        since_us: i64,
        limit: u32,
    ) -> Result<Vec<(i64, RollUp)>, StoreError>;

    /// From when on a channel is kept how finely.
    async fn kept_from(&self, robot: &RobotId, channel: &str) -> Result<KeptFrom, StoreError>;

    /// Units of those channels that software on the robot named itself, by channel; empty where it gave none.
    async fn units(&self, robot: &RobotId) -> Result<BTreeMap<String, String>, StoreError>;

    /// Channels a robot has samples or roll-ups of.
    async fn channels(&self, robot: &RobotId) -> Result<Vec<String>, StoreError>;
}
