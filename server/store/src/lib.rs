//! The Store traits and their conformance suite.
