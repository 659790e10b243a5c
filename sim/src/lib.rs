//! Simulated robots and the demo.
