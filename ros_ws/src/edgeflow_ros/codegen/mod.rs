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
use source::Packages;
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
    let (flavour, packages) = match (feature("R2R"), feature("DOC_ONLY")) {
        (true, true) => (Flavour::DocOnly, bundled(own)?),
        (true, false) => (Flavour::Native, installation::read(&own)?),
        (false, _) => (Flavour::Embedded, bundled(own)?),
    };
    let generated = generate(&packages, flavour)?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (file, text) in [("messages.rs", generated.messages), ("tables.rs", generated.tables), ("constants.rs", generated.constants)] {
        std::fs::write(out.join(file), text).with_context(|| format!("write generated {file}"))?;
    }
    Ok(())
}

/// Our interfaces, and the standard ones as `hiroz-codegen` has them.
fn bundled(own: PathBuf) -> Result<Packages> {
    let mut folders = vec![own];
    for (package, distribution) in standard()? {
        folders.push(hiroz_codegen::bundled_assets_dir_for(distribution).join(package));
    }
    read(&folders)
}

/// Packages in folders which `hiroz-codegen` may have put there.
pub fn read(folders: &[PathBuf]) -> Result<Packages> {
    source::read(folders, source::corrected)
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

/// What the types are for.
#[derive(Clone, Copy)]
pub enum Flavour {
    Embedded,
    Native,
    DocOnly,
}

/// Rust for each of the files that are included.
pub struct Generated {
    pub messages: String,
    pub tables: String,
    pub constants: String,
}

/// From packages to Rust.
pub fn generate(packages: &Packages, flavour: Flavour) -> Result<Generated> {
    Ok(Generated {
        messages: match flavour {
            Flavour::Embedded => embedded::emit(packages)?,
            Flavour::Native => native::emit(packages, false)?,
            Flavour::DocOnly => native::emit(packages, true)?,
        },
        tables: table::emit(packages)?,
        constants: constants::emit(packages)?,
    })
}
