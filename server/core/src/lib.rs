//! Domain rules of the control plane. Pure.
//!
//! Nothing here reads a clock, a socket or a database: rules take what they judge as values and answer with values, so
//! that every one of them is tested without a runtime and every adapter applies the same one.

pub mod name;
pub mod target;

pub use name::{CoreError, ModelName, OrganisationId, SlotName, TargetName};
pub use target::RobotId;
