//! Puts robots under faults and judges what came of it. See `edgeflow_sim::faults`.

use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = edgeflow_sim::faults::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,edgeflow_sim=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Not in a task of its own: the programs it starts are bound to the life of this, the main thread.
    edgeflow_sim::faults::run(args).await
}
