//! `cargo xtask demo`: everything from a fresh checkout to three robots on the screen.

use anyhow::{Context, Result};
use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{node, repo, wheel};

/// What the demo's own program takes is passed on to it.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed to the demo; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Builds, then becomes the demo, so that Ctrl-C reaches it and nothing stands between.
pub(crate) fn run(args: &Args) -> Result<()> {
    let started_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut demo = prepared()?;
    let error = demo.args(["--started-at-unix-ms", &started_at.to_string()]).args(&args.options).stdin(Stdio::inherit()).exec();
    Err(error).with_context(|| format!("could not start `{}`", repo::shown(&demo)))
}

/// Fetches and builds all that the demo needs, and returns the command that starts it.
pub(crate) fn prepared() -> Result<Command> {
    let onnxruntime = wheel::onnxruntime()?;
    node::build_dashboard(&node::Node::find()?)?;
    build_programs()?;
    command(&onnxruntime)
}

/// The build that the demo and the tests share.
pub(crate) fn build_programs() -> Result<()> {
    repo::run(repo::cargo()?.args(["build", "--workspace", "--bins"]))
}

/// The command that starts the demo's program.
pub(crate) fn command(onnxruntime: &PathBuf) -> Result<Command> {
    let (root, bins) = (repo::root()?, repo::programs()?);
    let mut demo = Command::new(bins.join("edgeflow_demo"));
    demo.arg("--bin-dir").arg(&bins).arg("--onnxruntime").arg(onnxruntime);
    demo.arg("--models-dir").arg(root.join("sim/models")).arg("--data-file").arg(root.join("sim/data/digits.csv"));
    Ok(demo)
}
