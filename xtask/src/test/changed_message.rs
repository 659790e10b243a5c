//! Proof that a changed message never meets stale code: `edgeflow_msgs` with one more field is built and sourced over the
//! workspace, as a half-done update would leave it.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{counts::Counts, ros::Ros};
use crate::repo;

const MESSAGE: &str = "DriftReport";
/// In no message but the changed one.
const FIELD: &str = "field_of_a_newer_message";
/// Bindings do not depend on it.
const RMW: &str = "rmw_fastrtps_cpp";

pub(super) fn check(ros: &Ros) -> Result<Counts> {
    let overlay = changed_messages(ros)?;

    // The nodes' own build sees that its sources and what is installed differ, and says which message and what to do.
    let mut build = ros.cargo(Some(&overlay), RMW, &["build", "--release", "--keep-going"])?;
    let built = build.output().context("could not start cargo")?;
    let said = String::from_utf8_lossy(&built.stderr);
    let refused = format!("edgeflow_msgs/msg/{MESSAGE} in ");
    let refused = said.lines().find(|line| line.contains(&refused) && line.contains("is not what msgs/ says"));
    let Some(refused) = refused.filter(|_| !built.status.success()) else {
        bail!("a build with another {MESSAGE} installed than in msgs/ was not refused:\n{said}");
    };
    println!("refused as it should be: {}", refused.trim());

    // And r2r, which by itself does not look into messages, has generated code for the new one, and does so on the way back.
    ensure!(generated(ros)?, "r2r's generated code has no {FIELD}: it is of the message before");
    repo::run(&mut ros.cargo(None, RMW, &["build", "--release"])?)?;
    ensure!(!generated(ros)?, "r2r's generated code still has {FIELD}, which no message has any more");
    Ok(Counts { passed: 3, failed: 0, skipped: 0 })
}

/// The setup file of an overlay whose edgeflow_msgs has one more field.
fn changed_messages(ros: &Ros) -> Result<PathBuf> {
    let folder = ros.folder.join("changed");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("could not empty the overlay's folder")?;
    }
    let sources = folder.join("src/edgeflow_msgs");
    copy(&repo::root()?.join("msgs"), &sources)?;
    let message = sources.join(format!("msg/{MESSAGE}.msg"));
    let text = fs::read_to_string(&message).with_context(|| format!("could not read {}", message.display()))?;
    fs::write(&message, format!("uint32 {FIELD}\n{text}"))?;
    let mut colcon = ros.sourced(None, RMW, &["colcon", "--log-base"])?;
    colcon.arg(folder.join("log")).args(["build", "--base-paths"]).arg(folder.join("src"));
    colcon.arg("--build-base").arg(folder.join("build")).arg("--install-base").arg(folder.join("install"));
    repo::run(&mut colcon)?;
    Ok(folder.join("install/setup.bash"))
}

/// Whether r2r's generated code knows the new field.
fn generated(ros: &Ros) -> Result<bool> {
    let builds = ros.folder.join("build/cargo/release/build");
    let mut bindings = 0;
    for build in fs::read_dir(&builds).with_context(|| format!("could not read {}", builds.display()))? {
        let file = build?.path().join("out/msg_bindings.rs");
        // Of a feature set before this one, maybe: any that knows the field was made from the new message.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        bindings += 1;
        if text.contains(FIELD) {
            return Ok(true);
        }
    }
    if bindings == 0 {
        bail!("r2r_msg_gen left no bindings in {}", builds.display());
    }
    Ok(false)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() { copy(&entry.path(), &target)? } else { fs::copy(entry.path(), target).map(drop)? }
    }
    Ok(())
}
