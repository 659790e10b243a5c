//! The program `edgeflow` as a person runs it: against a real graph, and against an HTTP server that keeps the contract.

mod api;
mod errors;
mod ros;
mod support;
