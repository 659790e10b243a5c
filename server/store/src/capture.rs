//! Captures.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    capture::{Gone, Offered},
};
use edgeflow_wire::CaptureInfo;

use crate::StoreError;

/// Captures.
#[async_trait]
pub trait CaptureStore: Send + Sync {
    /// Keeps what a robot offers; the same once more is the same row. One that was given up or did not match may come again; one that
    /// was whole and went does not. `Taken` when there is another
    /// capture of that name, `Refused` when too many of the robot's are on their way.
    async fn offer_capture(&self, robot: &RobotId, info: &CaptureInfo, now_us: i64) -> Result<Offered, StoreError>;

    /// One capture of a robot.
    async fn capture(&self, robot: &RobotId, id: &str) -> Result<Option<Offered>, StoreError>;

    /// Captures of a robot, newest first, with numbers below `before`.
    async fn captures(&self, robot: &RobotId, before: Option<i64>, limit: u32) -> Result<Vec<Offered>, StoreError>;

    /// A part came.
    async fn touch_capture(&self, number: i64, now_us: i64) -> Result<(), StoreError>;

    /// It is whole.
    async fn store_capture(&self, number: i64, now_us: i64) -> Result<(), StoreError>;

    /// It goes; the row stays.
    async fn drop_capture(&self, number: i64, why: Gone, now_us: i64) -> Result<(), StoreError>;

    /// Captures that are here, whole or on their way, of all robots.
    async fn captures_here(&self) -> Result<Vec<Offered>, StoreError>;
}
