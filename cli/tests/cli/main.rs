//! The program `edgeflow` as a person runs it: against a real graph, and against an HTTP server that keeps the contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic

mod api;
mod baseline;
mod captures;
mod documents;
mod edge_log;
mod errors;
mod fleet;
mod managed;
mod param;
mod rollout;
mod ros;
mod settings;
mod support;
