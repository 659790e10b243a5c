//! The demo: a control plane, three robots and a story, told with figures from the running system.
//!
//! `edgeflow_demo` starts the ROS router in its own process, the control plane and the robots as child processes, and
//! then only uses what anybody has: the HTTP API, ROS topics and services. It holds no shortcut into any of them, so a
//! step that holds here holds for a user.

pub mod args;
pub mod control_plane;
mod error;
pub mod ground;
pub mod launch;
pub mod observed;
mod open;
mod origin;
mod outro;
pub mod processes;
mod proof;
pub mod report;
mod robots;
pub mod rollouts;
mod run;
mod stage;
mod staged;
mod story;
pub mod tale;
pub mod terminal;
pub(crate) mod training;
pub mod wait;

pub use error::DemoError;
pub use run::run;
