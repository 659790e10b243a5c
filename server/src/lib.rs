//! The control plane: use-cases in [`app`], the doors to them ([`http`], [`mqtt`], [`zenoh`]) and what runs beside ([`background`]),
//! each a folder of small files named by resource.

pub mod app;
pub mod background;
pub mod config;
pub mod http;
pub mod mqtt;
pub mod openlineage;
pub mod tls;
pub mod zenoh;

pub use edgeflow_core::{OrganisationId, RobotId, TargetName};
