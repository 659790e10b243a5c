//! Everything that touched a robot.

use async_trait::async_trait;
use edgeflow_core::{
    RobotId,
    timeline::{Touch, Window},
};

use crate::StoreError;

/// What one database knows of what touched robots. An adapter with several has one of these for each; nothing else says which
/// fact is where.
#[async_trait]
pub trait TimelineStore: Send + Sync {
    /// Facts of a window, source by source, each the newest first and one more than the window asks for at most: it proves that there are more. Also of robots that
    /// were revoked.
    async fn touches(&self, robot: &RobotId, window: &Window) -> Result<Vec<Vec<Touch>>, StoreError>;
}
