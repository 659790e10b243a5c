//! One whole robot under the control plane: its bridge and its inference node are the programs, between them and us a network that can
//! be cut.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

#[path = "../common/mod.rs"]
mod common;
mod conflict;
mod errors;
mod world;
