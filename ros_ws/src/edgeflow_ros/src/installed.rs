//! Interfaces as an installed ROS 2 has them, and whether they are the ones that were compiled in.
//!
//! The structs of an interface package are compiled into a program, and the library which fills them in is found when it
//! starts. If the package was built anew in between, with a field more, the two disagree about memory. rosidl installs a
//! type hash with each interface since Iron; comparing these is enough to refuse. Used by the build (`codegen/`) and at start.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The prefixes in which ROS looks for packages, in order.
pub(crate) fn prefixes() -> Vec<PathBuf> {
    let prefixes = std::env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
    std::env::split_paths(&prefixes).filter(|prefix| !prefix.as_os_str().is_empty()).collect()
}

/// The folder of a package's interface files: of the first prefix that has the package.
pub(crate) fn share(prefixes: &[PathBuf], package: &str) -> Option<PathBuf> {
    prefixes.iter().map(|prefix| prefix.join("share").join(package)).find(|share| share.join("package.xml").is_file())
}

#[derive(Deserialize)]
struct Description {
    type_hashes: Vec<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    type_name: String,
    hash_string: String,
}

/// An interface that is installed otherwise than it was compiled in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Its package.
    pub(crate) package: String,
    /// Its name, for instance `edgeflow_msgs/msg/DriftReport`.
    pub(crate) type_name: String,
    /// Hash of what is installed.
    pub(crate) installed: String,
    /// Hash of what is compiled in.
    pub(crate) compiled: String,
    /// Where it is installed.
    pub(crate) share: PathBuf,
}

/// The first of these types (name and hash) that is installed with another hash. What is not installed, or without hashes
/// (before Iron), cannot be compared.
pub(crate) fn mismatch<'a>(prefixes: &[PathBuf], types: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Mismatch> {
    let mut shares: BTreeMap<&str, Option<PathBuf>> = BTreeMap::new();
    let mut files: BTreeMap<PathBuf, Vec<Hash>> = BTreeMap::new();
    for (name, compiled) in types {
        let Some((package, rest)) = name.split_once('/') else { continue };
        let Some(share) = shares.entry(package).or_insert_with(|| share(prefixes, package)) else { continue };
        // `srv/SetBool_Request` is described in `srv/SetBool.json`; names of interfaces themselves have no underscore.
        let file = rest.split('_').next().unwrap_or(rest);
        let file = share.join(format!("{file}.json"));
        let hashes = files.entry(file.clone()).or_insert_with(|| hashes(&file).unwrap_or_default());
        let Some(installed) = hashes.iter().find(|hash| hash.type_name == name) else { continue };
        if installed.hash_string != compiled {
            return Some(Mismatch {
                package: package.to_owned(),
                type_name: name.to_owned(),
                installed: installed.hash_string.clone(),
                compiled: compiled.to_owned(),
                share: share.clone(),
            });
        }
    }
    None
}

fn hashes(description: &Path) -> Option<Vec<Hash>> {
    let text = std::fs::read(description).ok()?;
    serde_json::from_slice::<Description>(&text).ok().map(|description| description.type_hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(prefix: &Path, package: &str, file: &str, hashes: &[(&str, &str)]) {
        let share = prefix.join("share").join(package);
        let description = share.join(file);
        std::fs::create_dir_all(description.parent().unwrap()).unwrap();
        std::fs::write(share.join("package.xml"), "<package/>").unwrap();
        let hashes: Vec<_> = hashes.iter().map(|(n, h)| format!(r#"{{"type_name": "{n}", "hash_string": "{h}"}}"#)).collect();
        let text = format!(r#"{{"type_description_msg": {{}}, "type_hashes": [{}]}}"#, hashes.join(", "));
        std::fs::write(description, text).unwrap();
    }

    #[test]
    fn a_type_that_is_installed_with_another_hash_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (overlay, underlay) = (dir.path().join("overlay"), dir.path().join("underlay"));
        install(&overlay, "our_msgs", "msg/Thing.json", &[("our_msgs/msg/Thing", "RIHS01_new"), ("std_msgs/msg/Header", "RIHS01_h")]);
        install(&underlay, "our_msgs", "msg/Thing.json", &[("our_msgs/msg/Thing", "RIHS01_old")]);
        install(&underlay, "std_msgs", "msg/Header.json", &[("std_msgs/msg/Header", "RIHS01_h")]);
        let prefixes = [overlay.clone(), underlay];
        let compiled = |thing| [("std_msgs/msg/Header", "RIHS01_h"), ("our_msgs/msg/Thing", thing)];
        assert_eq!(mismatch(&prefixes, compiled("RIHS01_new")), None);
        let found = mismatch(&prefixes, compiled("RIHS01_old")).unwrap();
        assert_eq!((found.package.as_str(), found.type_name.as_str()), ("our_msgs", "our_msgs/msg/Thing"));
        assert_eq!((found.installed.as_str(), found.compiled.as_str()), ("RIHS01_new", "RIHS01_old"));
        assert_eq!(found.share, overlay.join("share/our_msgs"), "the overlay is what is loaded");
        install(&overlay, "our_msgs", "srv/Ask.json", &[("our_msgs/srv/Ask", "RIHS01_a"), ("our_msgs/srv/Ask_Request", "RIHS01_r")]);
        assert_eq!(mismatch(&prefixes, [("our_msgs/srv/Ask_Request", "RIHS01_r")]), None);
        assert!(mismatch(&prefixes, [("our_msgs/srv/Ask_Request", "RIHS01_x")]).is_some(), "parts are described with the whole");
    }

    #[test]
    fn what_has_no_hash_is_not_held_against_anything() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "old_msgs", "msg/Other.json", &[]);
        let prefixes = [dir.path().to_owned()];
        for name in ["old_msgs/msg/Thing", "old_msgs/msg/Other", "not_installed/msg/Thing"] {
            assert_eq!(mismatch(&prefixes, [(name, "RIHS01_x")]), None, "{name}");
        }
    }
}
