//! The use-cases: what can be done to the control plane, whichever door it is asked through.

mod error;
mod robots;

pub use error::AppError;

use edgeflow_core::RobotId;
use tokio::sync::broadcast;

/// The control plane behind all its doors. Share it as `Arc<App>`.
pub struct App {
    desired: broadcast::Sender<RobotId>,
    revoked: broadcast::Sender<RobotId>,
}
