//! Rolls a model out over a simulated fleet and checks its end. See `edgeflow_sim::fleet`.

use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = edgeflow_sim::fleet::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,edgeflow_sim=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Not in a task of its own: the control plane it starts is bound to the life of this, the main thread.
    edgeflow_sim::fleet::run(args).await
}
