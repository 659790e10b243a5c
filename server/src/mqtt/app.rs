//! The real control plane behind the gateway.

use edgeflow_core::RobotId;
use edgeflow_wire::{Envelope, LogAck, Upstream};
use tokio::sync::broadcast;

use super::port::{Proof, RobotPort};
use crate::app::{App, AppError, Door};

impl RobotPort for App {
    type Robot = RobotId;
    type Error = AppError;

    async fn authenticate(&self, name: &str, proof: Proof<'_>) -> Result<Option<RobotId>, AppError> {
        match proof {
            Proof::Token(token) => Ok(self.authenticate_robot(name, token).await),
            Proof::Certificate(presented) => Ok(match self.authenticate_certificate(presented).await? {
                Ok(robot) => Some(robot),
                Err(invalid) => {
                    tracing::warn!(robot.name = name, certificate = %presented.fingerprint, %invalid, "refused a robot");
                    None
                }
            }),
        }
    }

    async fn connected(&self, robot: &RobotId) {
        self.robot_connected(robot, Door::Mqtt).await;
    }

    async fn disconnected(&self, robot: &RobotId) {
        self.robot_disconnected(robot, Door::Mqtt).await;
    }

    async fn ingest(&self, robot: &RobotId, document: Upstream) -> Result<LogAck, AppError> {
        App::ingest(self, robot, document).await
    }

    async fn desired(&self, robot: &RobotId) -> Result<Option<Envelope>, AppError> {
        self.desired_envelope(robot).await
    }

    async fn commands(&self, robot: &RobotId, after: i64) -> Result<Vec<(i64, Envelope)>, AppError> {
        self.command_envelopes(robot, after).await
    }

    fn desired_changes(&self) -> broadcast::Receiver<RobotId> {
        App::desired_changes(self)
    }

    fn revocations(&self) -> broadcast::Receiver<RobotId> {
        App::revocations(self)
    }
}
