//! What a robot asks of the control plane, whichever uplink carries it.

use edgeflow_core::RobotId;
use edgeflow_wire::{Envelope, LogAck, Upstream};
use tokio::sync::broadcast;

use crate::app::{App, AppError};

impl App {
    /// Who the robot is, if `token` is its token. Compares in constant time; a revoked or unknown robot is nobody.
    pub async fn authenticate_robot(&self, name: &str, token: &str) -> Option<RobotId> {
        let _ = (name, token);
        None
    }

    /// The robot has an open session.
    pub async fn robot_connected(&self, robot: &RobotId) {
        let _ = robot;
    }

    /// The robot's session ended.
    pub async fn robot_disconnected(&self, robot: &RobotId) {
        let _ = robot;
    }

    /// Takes a hello or a batch of log entries. What the answer acknowledges is durable.
    pub async fn ingest(&self, robot: &RobotId, upstream: Upstream) -> Result<LogAck, AppError> {
        let _ = (robot, upstream);
        Err(AppError::Store("not open".to_owned()))
    }

    /// What the robot shall be; `None` as long as nothing was declared.
    pub async fn desired_envelope(&self, robot: &RobotId) -> Result<Option<Envelope>, AppError> {
        let _ = robot;
        Ok(None)
    }

    /// Robots whose desired state changed. A receiver that lags re-reads every robot it serves.
    pub fn desired_changes(&self) -> broadcast::Receiver<RobotId> {
        self.desired.subscribe()
    }

    /// Robots whose identity was revoked. A receiver that lags re-checks every robot it serves.
    pub fn revocations(&self) -> broadcast::Receiver<RobotId> {
        self.revoked.subscribe()
    }
}
