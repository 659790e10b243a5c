//! Tells the story of a model that reaches three robots. See `edgeflow_sim::demo`.

use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = edgeflow_sim::demo::args::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,edgeflow_sim=warn,edgeflow_ros=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Not in a task of its own: the programs it starts are bound to the life of this, the main thread.
    edgeflow_sim::demo::run(args).await
}
