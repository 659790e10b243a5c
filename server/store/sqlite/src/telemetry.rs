//! Series of numbers, in `telemetry.db`.

use async_trait::async_trait;
use edgeflow_core::RobotId;
use edgeflow_store::{StoreError, TelemetryStore};

use crate::{Telemetry, connect::failed, decode::get};

#[async_trait]
impl TelemetryStore for Telemetry {
    async fn samples(&self, robot: &RobotId, channel: &str, since_us: i64, limit: u32) -> Result<Vec<(i64, f64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT s.t_us, s.value FROM robots r JOIN samples s ON s.robot = r.id \
             WHERE r.organisation = ?1 AND r.target = ?2 AND s.channel = ?3 AND s.t_us >= ?4 ORDER BY s.t_us DESC LIMIT ?5",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .bind(channel)
        .bind(since_us)
        .bind(limit)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("reading telemetry"))?;
        rows.iter().rev().map(|row| Ok((get(row, "t_us")?, get(row, "value")?))).collect()
    }

    async fn channels(&self, robot: &RobotId) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT s.channel FROM robots r JOIN samples s ON s.robot = r.id \
             WHERE r.organisation = ?1 AND r.target = ?2 ORDER BY s.channel",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("listing telemetry channels"))?;
        rows.iter().map(|row| get(row, "channel")).collect()
    }
}
