//! A fleet as people see and declare it, against a real control plane.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod code;
#[path = "../common/mod.rs"]
mod common;
mod declare;
mod guide;
mod kinds;
mod people;
mod rollouts;
mod view;
