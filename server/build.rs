//! The dashboard is compiled in from `web/dist`. Where it was not built, an empty folder takes its place, so that a plain
//! `cargo build` works without Node; the program then serves a page that says how to build it.

use std::{fs, io};

fn main() -> io::Result<()> {
    fs::create_dir_all("web/dist")?;
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=web/dist");
    Ok(())
}
