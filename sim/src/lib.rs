//! Simulated robots and the demo.
//!
//! A simulated robot is a camera, missions and a network that can be cut, over the same wire and the same nodes as a
//! real one. The demo starts three of them beside a control plane and tells, with figures counted from the running
//! system, how a model reaches them and how its drift is seen.

pub mod camera;
#[cfg(feature = "demo")]
pub mod demo;
pub mod digits;
mod error;
pub mod evaluation;
#[cfg(feature = "demo")]
pub mod faults;
#[cfg(feature = "demo")]
pub mod fleet;
pub mod mission;
pub mod proxy;
pub mod render;
pub mod robot;
pub mod route;

pub use error::{SimError, with_causes};
