//! The ONNX Runtime library: is there one, is it one, is it new enough. It is read, never loaded: a damaged one would take this program with it.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use super::Check;

/// The oldest 1.x that the inference node can use: `api-22` of the crate `ort`.
const MINIMUM_MINOR: u32 = 22;
const REMEDY: &str = "`cargo xtask fetch onnxruntime` gets one, or take libonnxruntime.so out of PyPI's onnxruntime wheel and name it by the node's parameter onnxruntime or by ORT_DYLIB_PATH";

pub(super) fn check(named: Option<&Path>) -> Check {
    let from_environment = env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = named.map(|path| (path.to_owned(), "--onnxruntime"));
    match named.or_else(|| from_environment.map(|path| (path, "ORT_DYLIB_PATH"))) {
        Some((path, by)) => match library_in(&path) {
            Some(library) => judge(&library),
            None => Check::fail("onnxruntime", format!("{by} names {}, where there is no library", path.display()), REMEDY),
        },
        None => match folders().iter().find_map(|folder| library_in(folder)) {
            Some(library) => judge(&library),
            None => Check::warn("onnxruntime", "no library was found; only machines that run models need one", REMEDY),
        },
    }
}

/// Where the inference node looks when it is not told: beside itself, which is where this program is, in what colcon installed, and in a
/// build folder above.
fn folders() -> Vec<PathBuf> {
    let exe = env::current_exe().ok();
    let dir = exe.as_deref().and_then(Path::parent);
    let mut folders: Vec<PathBuf> = dir.iter().flat_map(|dir| [dir.join("onnxruntime"), dir.join("../lib/edgeflow")]).collect();
    let prefixes = env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
    folders.extend(env::split_paths(&prefixes).map(|prefix| prefix.join("lib/edgeflow_inference/onnxruntime")));
    for above in dir.into_iter().flat_map(Path::ancestors) {
        for base in [above.join("edgeflow/onnxruntime"), above.join("target/edgeflow/onnxruntime")] {
            let mut versions: Vec<PathBuf> = fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            versions.sort();
            folders.extend(versions.into_iter().rev().flat_map(|version| [version.join("onnxruntime/capi"), version]));
        }
    }
    folders
}

/// The library itself, or the first in a folder.
fn library_in(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let is_library = |path: &PathBuf| path.is_file() && path.file_name().is_some_and(|name| starts(name, "libonnxruntime.so"));
    let mut found: Vec<PathBuf> = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).filter(is_library).collect();
    found.sort();
    found.into_iter().next()
}

fn starts(name: &OsStr, with: &str) -> bool {
    name.to_string_lossy().starts_with(with)
}

fn judge(library: &Path) -> Check {
    let shown = library.display();
    match look(library) {
        Err(reason) => Check::fail("onnxruntime", format!("{shown} {reason}"), REMEDY),
        Ok(None) => Check::warn("onnxruntime", format!("{shown} does not say which version it is"), REMEDY),
        Ok(Some((major, minor, patch))) if (major, minor) < (1, MINIMUM_MINOR) => {
            Check::fail("onnxruntime", format!("{shown} is {major}.{minor}.{patch}, which is older than 1.{MINIMUM_MINOR}"), REMEDY)
        }
        Ok(Some((major, minor, patch))) => Check::ok("onnxruntime", format!("{shown}, version {major}.{minor}.{patch}")),
    }
}

type Version = (u32, u32, u32);

/// Reads what kind of file it is, and the version that its symbols have.
fn look(library: &Path) -> Result<Option<Version>, String> {
    let read = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(library).map_err(read)?;
    let length = file.metadata().map_err(read)?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; 64];
    reader.read_exact(&mut header).map_err(|_| "is too short to be a library".to_owned())?;
    let number = |at: usize, size: usize| {
        header.get(at..at + size).unwrap_or_default().iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    if header.first_chunk() != Some(b"\x7fELF") {
        return Err("is no shared library of Linux".to_owned());
    }
    let machine = match number(18, 2) {
        62 => "x86_64",
        183 => "aarch64",
        _ => "another",
    };
    if machine != env::consts::ARCH {
        return Err(format!("is for {machine} processors, this machine has {}", env::consts::ARCH));
    }
    // The table of sections stands at the end: a file that was cut has lost it.
    let end = number(40, 8).saturating_add(number(58, 2).saturating_mul(number(60, 2)));
    if length < end {
        return Err(format!("is cut off: it has {length} of at least {end} bytes"));
    }
    version(reader).map_err(read)
}

/// The first `VERS_1.23.2` there is.
fn version(mut reader: impl Read) -> std::io::Result<Option<Version>> {
    const MARK: &[u8] = b"VERS_";
    const LONGEST: usize = 24;
    let (mut held, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let read = reader.read(&mut chunk)?;
        held.extend_from_slice(chunk.get(..read).unwrap_or_default());
        for at in held.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).map(|(at, _)| at + MARK.len()) {
            let rest = held.get(at..).unwrap_or_default();
            if (rest.len() >= LONGEST || read == 0)
                && let Some(version) = parse(rest)
            {
                return Ok(Some(version));
            }
        }
        if read == 0 {
            return Ok(None);
        }
        // What may be the beginning of one stays.
        held.drain(..held.len().saturating_sub(MARK.len() + LONGEST));
    }
}

fn parse(text: &[u8]) -> Option<Version> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    let mut parts = std::str::from_utf8(text.get(..end)?).ok()?.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_wherever_it_stands() {
        for lead in [0, 5, (1 << 16) - 3, (1 << 16) + 7] {
            let mut bytes = vec![b'x'; lead];
            bytes.extend_from_slice(b"VERS_x VERS_1.23.2\0and more");
            assert_eq!(version(bytes.as_slice()).unwrap(), Some((1, 23, 2)), "{lead}");
        }
        assert_eq!(version(b"VERS_1.2".as_slice()).unwrap(), None);
    }

    #[test]
    fn the_least_version_is_the_one_that_is_built_against() {
        let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("\"api-{MINIMUM_MINOR}\"")));
    }
}
