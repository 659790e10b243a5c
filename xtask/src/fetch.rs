//! `cargo xtask fetch`: what a build needs from elsewhere, without the rest of it. The colcon build calls it, too.

use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::wheel;

/// What is fetched, and where it goes.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// The pinned ONNX Runtime library, out of its PyPI wheel; prints its path
    Onnxruntime {
        /// Also copy it into this folder
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let What::Onnxruntime { into } = &args.what;
    let library = wheel::onnxruntime()?;
    let library = match into {
        Some(folder) => copy(&library, folder)?,
        None => library,
    };
    println!("{}", library.display());
    Ok(())
}

/// Copies the library as the only one in the folder, and not executable: `ros2 pkg executables` would list it.
fn copy(library: &Path, folder: &Path) -> Result<PathBuf> {
    let name = library.file_name().context("the library has no name")?;
    let copy = folder.join(name);
    if folder.is_dir() {
        fs::remove_dir_all(folder).with_context(|| format!("could not empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    fs::copy(library, &copy).with_context(|| format!("could not copy {} to {}", library.display(), copy.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_replaces_an_older_one_and_is_not_executable() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("libonnxruntime.so.2");
        fs::write(&library, b"new").unwrap();
        fs::set_permissions(&library, fs::Permissions::from_mode(0o755)).unwrap();
        let folder = dir.path().join("lib/onnxruntime");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("libonnxruntime.so.1"), b"old").unwrap();
        let copied = copy(&library, &folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!((fs::read(&copied).unwrap(), fs::metadata(&copied).unwrap().permissions().mode() & 0o777), (b"new".to_vec(), 0o644));
    }
}
