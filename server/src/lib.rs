//! The control plane: use-cases in [`app`], and the doors to them (`http`, `mqtt`), each a folder of small files named by
//! resource.

pub mod app;
pub mod mqtt;

pub use edgeflow_core::{OrganisationId, RobotId, TargetName};
