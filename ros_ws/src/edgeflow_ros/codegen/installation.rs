//! The interfaces of the ROS 2 that is sourced, read for the r2r stack, and refused where they contradict each other: r2r's
//! generated code, our tables and the libraries it will run with must all be of the same files.

use super::{
    installed, source,
    source::{Packages, hashes},
    standard,
};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

const OUR_PACKAGE: &str = "edgeflow_msgs";

pub fn read(own: &Path) -> Result<Packages> {
    for variable in ["AMENT_PREFIX_PATH", "IDL_PACKAGE_FILTER"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let prefixes = installed::prefixes();
    let share = |package: &str| {
        installed::share(&prefixes, package).with_context(|| {
            format!("{package} is not installed: source ROS 2 and the workspace that has it, then build with colcon (ros_ws/README.md)")
        })
    };
    let ours = share(OUR_PACKAGE)?;
    let standard: Vec<PathBuf> = standard()?.into_iter().map(|(package, _)| share(package)).collect::<Result<_>>()?;
    for folder in standard.iter().chain([&ours]) {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    let with = |first: &Path| -> Vec<PathBuf> { std::iter::once(first.to_owned()).chain(standard.clone()).collect() };
    let packages = source::read(&with(&ours), std::convert::identity)?;
    let wanted = source::read(&with(own), std::convert::identity)?;
    same(&wanted, &packages, &ours)?;
    for (package, content) in &packages {
        let types = hashes(package, content);
        if let Some(wrong) = installed::mismatch(&prefixes, types.iter().map(|(name, hash)| (name.as_str(), hash.as_str()))) {
            bail!(
                "{} says that {} has the type hash {}, but its files make {}: the installation is half done, build {} again",
                wrong.share.display(),
                wrong.type_name,
                wrong.installed,
                wrong.compiled,
                wrong.package
            );
        }
    }
    Ok(packages)
}

/// What is installed is made of the files beside this crate.
fn same(wanted: &Packages, found: &Packages, share: &Path) -> Result<()> {
    let of = |packages: &Packages| packages.get(OUR_PACKAGE).map(|content| hashes(OUR_PACKAGE, content)).unwrap_or_default();
    let (wanted, found) = (of(wanted), of(found));
    let other = wanted
        .iter()
        .find(|(name, hash)| found.get(*name) != Some(hash))
        .or_else(|| found.iter().find(|(name, _)| !wanted.contains_key(*name)));
    if let Some((name, _)) = other {
        bail!(
            "{name} in {} is not what msgs/ says: build {OUR_PACKAGE} again (`colcon build --packages-select {OUR_PACKAGE}`) and source the workspace",
            share.display()
        );
    }
    Ok(())
}
