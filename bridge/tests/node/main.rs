//! The whole node over the embedded ROS stack.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod deployments;
mod facts;
mod slots;
mod world;
