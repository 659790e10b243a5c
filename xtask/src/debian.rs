//! Programs from Debian's packages: installed where we may, else the exact command is said.

use anyhow::{Result, bail};
use std::path::PathBuf;

use crate::repo;

/// Makes sure one of `programs` is on the PATH, installing `package` if none is.
pub(crate) fn ensure(programs: &[&str], package: &str) -> Result<PathBuf> {
    if let Some(found) = repo::on_path(programs) {
        return Ok(found);
    }
    install(package)?;
    match repo::on_path(programs) {
        Some(found) => Ok(found),
        None => bail!("installed {package}, but none of {} is on the PATH", programs.join(", ")),
    }
}

/// Installs a package, as root or through sudo.
pub(crate) fn install(package: &str) -> Result<()> {
    let by_hand = format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {package}");
    if repo::on_path(&["apt-get"]).is_none() {
        bail!("{package} is missing and this is not a Debian or Ubuntu machine: install it with your package manager");
    }
    let root = repo::command("id")?.arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if !root && !repo::succeeds(repo::command("sudo")?.args(["-n", "true"])) {
        bail!("{package} is missing and installing it needs a password: run `{by_hand}`, then this command again");
    }
    println!("installing {package}");
    for words in [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", package][..]] {
        let mut command = if root { repo::command("apt-get")? } else { repo::command("sudo")? };
        if !root {
            command.args(["-n", "apt-get"]);
        }
        repo::run(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}
