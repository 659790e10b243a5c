//! Where things are, and how other programs are run: output passed through, failures named by the command.

use anyhow::{Context, Result, bail};
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Root of the checkout.
pub(crate) fn root() -> Result<PathBuf> {
    // `cargo run` says where this package is now, wherever it was compiled.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask ...`")?;
    Ok(Path::new(&manifest).parent().context("xtask has no parent folder")?.to_owned())
}

/// The build folder: `CARGO_TARGET_DIR`, else `target/`.
pub(crate) fn target() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => Ok(env::current_dir()?.join(dir)),
        None => Ok(root()?.join("target")),
    }
}

/// What `cargo build` leaves there: the `dev` profile, which the demo and the tests share.
pub(crate) fn programs() -> Result<PathBuf> {
    Ok(target()?.join("debug"))
}

/// Where fetched things live: ONNX Runtime, Node, the Python environment, tools.
pub(crate) fn fetched() -> Result<PathBuf> {
    Ok(target()?.join("edgeflow"))
}

/// A command in the checkout's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(root()?).stdin(Stdio::null());
    Ok(command)
}

/// `cargo` as it was called, without what `cargo run` tells this program about its own package: build scripts (ring's) watch
/// those variables, and what is built here must be fresh for a plain `cargo build`, too.
pub(crate) fn cargo() -> Result<Command> {
    without_own_package(command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))?)
}

/// The command without the variables that describe xtask's own package.
pub(crate) fn without_own_package(mut command: Command) -> Result<Command> {
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_a_package(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    Ok(command)
}

fn is_about_a_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Runs a command to its end; an exit status other than 0 is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Whether a command runs and exits with 0; its output is discarded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// First of these programs that is on the PATH.
pub(crate) fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    names.iter().find_map(|name| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()))
}

/// `1 m 02 s`, or `3.4 s` below a minute.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 { format!("{} m {:02} s", seconds / 60, seconds % 60) } else { format!("{:.1} s", duration.as_secs_f64()) }
}
