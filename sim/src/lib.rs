//! Simulated robots and the demo.

pub mod digits;
pub mod render;
