//! Series of numbers.

use async_trait::async_trait;
use edgeflow_core::RobotId;

use crate::StoreError;

/// Series of numbers, filled by ingestion.
#[async_trait]
pub trait TelemetryStore: Send + Sync {
    /// The newest `limit` samples of a channel since `since_us`, oldest first, as (time, value).
    async fn samples(&self, robot: &RobotId, channel: &str, since_us: i64, limit: u32) -> Result<Vec<(i64, f64)>, StoreError>;

    /// Channels a robot has samples of.
    async fn channels(&self, robot: &RobotId) -> Result<Vec<String>, StoreError>;
}
