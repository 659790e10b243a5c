//! The robot's store-and-forward agent.
