//! The Python environment of the tests and the training script, in the build folder.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{debian, repo};

/// Python packages of the tests, the stock clients of MLflow and Triton among them.
pub(crate) const TESTS: &[&str] = &[
    "sim/models/requirements.txt",
    "model/drift/tests/requirements.txt",
    "server/tests/requirements.txt",
    "server/python/tests/requirements.txt",
    "ros_ws/src/edgeflow_inference/tests/requirements.txt",
];

/// The interpreter of an environment that holds what these files (relative to the checkout) pin.
pub(crate) fn environment(requirements: &[&str]) -> Result<PathBuf> {
    let home = repo::fetched()?.join("venv");
    let python = home.join("bin/python");
    let mut wanted = Vec::new();
    for file in requirements {
        wanted.extend(fs::read(repo::root()?.join(file)).with_context(|| format!("could not read {file}"))?);
    }
    let stamp = home.join("edgeflow-requirements.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    create(&home)?;
    println!("installing the Python packages of {}", requirements.join(" and "));
    let mut pip = repo::command(&python)?;
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--progress-bar", "on"]);
    repo::run(pip.args(requirements.iter().flat_map(|file| ["-r", file])))?;
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
