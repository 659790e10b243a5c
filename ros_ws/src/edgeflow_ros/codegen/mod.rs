//! From .msg, .srv and .action files to Rust: the very files colcon builds (`msgs/` at the root of the
//! repository) and the standard packages that `hiroz-codegen` carries.
//!
//! Three flavours of one output, by feature: embedded types with their own CDR (default), re-exports
//! of r2r's types (`r2r`), and re-exports completed with stand-ins for what r2r's bundled bindings
//! lack (`doc-only`). The tables of the registry are the same for all three.

mod action;
mod constants;
mod embedded;
mod hash;
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
    for path in ["build.rs", "codegen", OWN] {
        println!("cargo:rerun-if-changed={path}");
    }
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let mut folders = vec![manifest.join(OWN)];
    for line in PACKAGES.lines().map(|line| line.split('#').next().unwrap_or_default()).filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(package), Some(distribution), None) = (words.next(), words.next(), words.next()) else {
            bail!("codegen/packages.txt: `{line}` is not a package and a distribution");
        };
        folders.push(hiroz_codegen::bundled_assets_dir_for(distribution).join(package));
    }
    let packages = source::read(&folders)?;

    let feature = |name: &str| std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    let messages = if feature("R2R") { native::emit(&packages, feature("DOC_ONLY"))? } else { embedded::emit(&packages)? };

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (file, text) in [("messages.rs", messages), ("tables.rs", table::emit(&packages)?), ("constants.rs", constants::emit(&packages)?)] {
        std::fs::write(out.join(file), text).with_context(|| format!("write generated {file}"))?;
    }
    Ok(())
}
