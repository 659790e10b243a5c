//! From .msg, .srv and .action files to Rust: the very files colcon builds (`msgs/` at the root of the
//! repository) and the standard packages that `hiroz-codegen` carries.
//!
//! Three flavours of one output, by feature: embedded types with their own CDR (default), re-exports
//! of r2r's types (`r2r`), and re-exports completed with stand-ins for what r2r's bundled bindings
//! lack (`doc-only`). The tables of the registry are the same for all three; for `r2r` they are made
//! of the interfaces that are installed, as r2r's types are.

mod action;
mod constants;
mod embedded;
mod hash;
mod installation;
#[path = "../src/installed.rs"]
mod installed;
mod native;
mod rust;
mod source;
mod table;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// Standard packages and where `hiroz-codegen` keeps them; a file of its own because the colcon build reads it too.
const PACKAGES: &str = include_str!("packages.txt");

/// Our own interface package, as seen from this crate.
const OWN: &str = "../../../msgs";

pub fn run() -> Result<()> {
    for path in ["build.rs", "codegen", "src/installed.rs", OWN] {
        println!("cargo:rerun-if-changed={path}");
    }
    let feature = |name: &str| std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    let own = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join(OWN);
    let packages = if feature("R2R") && !feature("DOC_ONLY") { installation::read(&own)? } else { bundled(own)? };
    let messages = if feature("R2R") { native::emit(&packages, feature("DOC_ONLY"))? } else { embedded::emit(&packages)? };

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (file, text) in [("messages.rs", messages), ("tables.rs", table::emit(&packages)?), ("constants.rs", constants::emit(&packages)?)] {
        std::fs::write(out.join(file), text).with_context(|| format!("write generated {file}"))?;
    }
    Ok(())
}

/// Our interfaces, and the standard ones as `hiroz-codegen` has them.
fn bundled(own: PathBuf) -> Result<source::Packages> {
    let mut folders = vec![own];
    for (package, distribution) in standard()? {
        folders.push(hiroz_codegen::bundled_assets_dir_for(distribution).join(package));
    }
    source::read(&folders, source::corrected)
}

/// Package and distribution of each line.
fn standard() -> Result<Vec<(&'static str, &'static str)>> {
    let lines = PACKAGES.lines().map(|line| line.split('#').next().unwrap_or_default()).filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some(package), Some(distribution), None) => Ok((package, distribution)),
                _ => bail!("codegen/packages.txt: `{line}` is not a package and a distribution"),
            }
        })
        .collect()
}
