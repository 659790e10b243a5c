//! The Python environment of the tests and the training script, in the build folder.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{debian, repo};

/// The interpreter of an environment that holds what `requirements` (relative to the checkout) pins.
pub(crate) fn environment(requirements: &str) -> Result<PathBuf> {
    let home = repo::fetched()?.join("venv");
    let python = home.join("bin/python");
    let wanted = fs::read(repo::root()?.join(requirements)).with_context(|| format!("could not read {requirements}"))?;
    let stamp = home.join("edgeflow-requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    create(&home)?;
    println!("installing the Python packages of {requirements}");
    repo::run(
        repo::command(&python)?
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--progress-bar", "on", "-r"])
            .arg(requirements),
    )?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

fn create(home: &Path) -> Result<()> {
    // Debian splits ensurepip into a package of its own.
    if !repo::succeeds(repo::command("python3")?.args(["-c", "import ensurepip, venv"])) {
        debian::install("python3-venv")?;
    }
    repo::run(repo::command("python3")?.args(["-m", "venv", "--clear"]).arg(home))
}
