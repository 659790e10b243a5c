//! Where the ONNX Runtime library is. The crate links none; a robot may bring its own build (CUDA, TensorRT), a
//! package puts one beside the executable, and a developer's lies under `target/`.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The oldest ONNX Runtime 1.x that has the functions this build calls.
pub const MINIMUM_MINOR: u32 = ort::MINOR_VERSION;

/// Finds the library: `named` (the node's parameter) if not empty, else the environment's `ORT_DYLIB_PATH`, else
/// `onnxruntime/` beside the executable, `../lib/edgeflow/`, where the colcon build puts it in one of `AMENT_PREFIX_PATH`, and
/// `edgeflow/onnxruntime/*/` in a `target` folder above the executable.
pub fn find(named: &str) -> Result<PathBuf> {
    let from_env = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from).filter(|p| !p.as_os_str().is_empty());
    let exe = std::env::current_exe().ok();
    let prefixes = std::env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
    find_in(named, from_env, exe.as_deref(), &std::env::split_paths(&prefixes).collect::<Vec<_>>())
}

fn find_in(named: &str, from_env: Option<PathBuf>, exe: Option<&Path>, prefixes: &[PathBuf]) -> Result<PathBuf> {
    let explicit = if named.is_empty() { from_env } else { Some(PathBuf::from(named)) };
    if let Some(path) = explicit {
        if path.is_file() {
            return Ok(path);
        }
        if let Some(inside) = library_in(&path) {
            return Ok(inside);
        }
        return Err(Error::RuntimeMissing { looked_at: path.display().to_string() });
    }
    let folders = candidate_folders(exe, prefixes);
    folders
        .iter()
        .find_map(|f| library_in(f))
        .ok_or_else(|| Error::RuntimeMissing { looked_at: folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ") })
}

/// The folders beside and above an executable, and in installed prefixes, in which a library is looked for, in order.
fn candidate_folders(exe: Option<&Path>, prefixes: &[PathBuf]) -> Vec<PathBuf> {
    let dir = exe.and_then(Path::parent);
    let mut folders: Vec<_> = dir.iter().flat_map(|dir| [dir.join("onnxruntime"), dir.join("../lib/edgeflow")]).collect();
    // With `colcon build --symlink-install` the executable lies elsewhere than it is installed.
    folders.extend(prefixes.iter().map(|prefix| prefix.join("lib/edgeflow_inference/onnxruntime")).filter(|folder| folder.is_dir()));
    for ancestor in dir.into_iter().flat_map(Path::ancestors) {
        // `cargo xtask` fetches into <workspace>/target/edgeflow; the executable may lie in another target folder below the workspace.
        for base in [ancestor.join("edgeflow/onnxruntime"), ancestor.join("target/edgeflow/onnxruntime")] {
            let mut versions: Vec<PathBuf> =
                std::fs::read_dir(&base).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
            versions.sort();
            // As `cargo xtask` unpacks the wheel, or the library alone.
            folders.extend(versions.into_iter().rev().flat_map(|v| [v.join("onnxruntime/capi"), v]));
        }
    }
    folders
}

/// The first `libonnxruntime.so*` in a folder.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file() && p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so")))
        .collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn looks_beside_the_executable_then_in_the_target_folder() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("target/debug/deps/node");
        touch(&exe);
        let err = find_in("", None, Some(&exe), &[]).unwrap_err().to_string();
        assert!(
            err.contains("no onnxruntime library") && err.contains("ORT_DYLIB_PATH") && err.contains("debug/deps/onnxruntime"),
            "{err}"
        );

        let fetched = dir.path().join("target/edgeflow/onnxruntime/1.23.2/libonnxruntime.so.1.23.2");
        touch(&fetched);
        assert_eq!(find_in("", None, Some(&exe), &[]).unwrap(), fetched);

        let unpacked = dir.path().join("target/edgeflow/onnxruntime/1.24.0/onnxruntime/capi/libonnxruntime.so.1.24.0");
        touch(&unpacked);
        assert_eq!(find_in("", None, Some(&exe), &[]).unwrap(), unpacked, "the newest, in the wheel as it is unpacked");

        let prefix = dir.path().join("install/edgeflow_inference");
        let installed = prefix.join("lib/edgeflow_inference/onnxruntime/libonnxruntime.so.1.23.2");
        touch(&installed);
        let prefixes = ["/nowhere".into(), prefix];
        assert_eq!(find_in("", None, Some(&exe), &prefixes).unwrap(), installed, "where colcon installs it");

        let beside = dir.path().join("target/debug/deps/onnxruntime/libonnxruntime.so");
        touch(&beside);
        assert_eq!(find_in("", None, Some(&exe), &prefixes).unwrap(), beside);
    }

    #[test]
    fn a_named_library_wins_and_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let named = dir.path().join("libonnxruntime.so.1.99");
        touch(&named);
        assert_eq!(find_in(named.to_str().unwrap(), Some("/nowhere/env.so".into()), None, &[]).unwrap(), named);
        assert_eq!(find_in(dir.path().to_str().unwrap(), None, None, &[]).unwrap(), named, "a folder is searched");
        let err = find_in("", Some("/nowhere/env.so".into()), None, &[]).unwrap_err().to_string();
        assert!(err.contains("/nowhere/env.so"), "{err}");
    }
}
