//! `cargo xtask soak`: robots and control plane under faults, as `cargo xtask test` does for a short while, for as long as wanted.

use anyhow::{Context, Result};
use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use crate::{debian, demo, repo};

/// What the fault engine takes is passed on to it.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Passed to the fault engine; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

/// Builds, then becomes the fault engine, so that Ctrl-C reaches it and nothing stands between.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut engine = prepared()?;
    let error = engine.args(&args.options).stdin(Stdio::inherit()).exec();
    Err(error).with_context(|| format!("could not start `{}`", repo::shown(&engine)))
}

/// Builds all that is started, installs what moves clocks, and returns the command that starts the fault engine.
pub(crate) fn prepared() -> Result<Command> {
    // Without it clocks are not stepped, which the engine says.
    if let Err(error) = debian::ensure(&["faketime"], "faketime") {
        eprintln!("{error:#}");
    }
    demo::build_programs()?;
    let bins = repo::programs()?;
    let mut engine = Command::new(bins.join("edgeflow_faults"));
    engine.arg("--bin-dir").arg(&bins);
    Ok(engine)
}
