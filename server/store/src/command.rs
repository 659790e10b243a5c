//! Commands.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId,
    command::{Ended, GivenCommand, NewCommand},
};

use crate::StoreError;

/// Commands.
#[async_trait]
pub trait CommandStore: Send + Sync {
    /// Keeps a command. `Missing` when there is no such robot, `Refused` when too many of it are open.
    async fn create_command(&self, organisation: &OrganisationId, new: &NewCommand) -> Result<GivenCommand, StoreError>;

    /// One command of a robot.
    async fn command(&self, robot: &RobotId, id: &str) -> Result<Option<GivenCommand>, StoreError>;

    /// Commands of a robot, newest first, with numbers below `before`.
    async fn commands(&self, robot: &RobotId, before: Option<i64>, limit: u32) -> Result<Vec<GivenCommand>, StoreError>;

    /// Commands of a robot with numbers above `after` that have not ended and have not expired at `now_us`, oldest first.
    async fn open_commands(&self, robot: &RobotId, after: i64, now_us: i64) -> Result<Vec<GivenCommand>, StoreError>;

    /// Notes how a robot's commands ended. The first word on each stands; ids that are not this robot's change nothing.
    async fn end_commands(&self, robot: &RobotId, ended: &[(String, Ended)]) -> Result<(), StoreError>;
}
