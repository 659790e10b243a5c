//! Artifacts: files that people and programs keep under paths, and what a path may be.
//!
//! A path is a key in a table and never one of a file system, yet clients write what they list to their own disks: what
//! could lead them out of the folder they chose is refused at the door, so that nobody has to check again.

use edgeflow_bundle::Digest;
use serde::Serialize;
use std::{fmt, str::FromStr};

use crate::CoreError;

const MAX_PATH_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 255;

/// Where an artifact is: names joined by `/`, relative, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Checks and takes a path.
    ///
    /// # Errors
    /// [`CoreError::BadArtifactPath`] quotes it and says what is wrong.
    pub fn new(path: impl Into<String>) -> Result<Self, CoreError> {
        let path = path.into();
        match fault(&path) {
            None => Ok(Self(path)),
            Some(reason) => Err(CoreError::BadArtifactPath { path, reason }),
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last name.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What lies in it under that name.
    ///
    /// # Errors
    /// [`CoreError::BadArtifactPath`] when that is no path.
    pub fn join(&self, below: &str) -> Result<Self, CoreError> {
        Self::new(format!("{}/{below}", self.0))
    }

    /// The folders it lies in, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| self.0.get(..at).unwrap_or_default())
    }
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ArtifactPath {
    type Err = CoreError;

    fn from_str(path: &str) -> Result<Self, CoreError> {
        Self::new(path)
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Some("it is longer than 1024 bytes");
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Some("it holds a control character or a backslash: folders are separated by /");
    }
    let drive = path.as_bytes().get(..2).is_some_and(|start| start.first().is_some_and(u8::is_ascii_alphabetic) && start.ends_with(b":"));
    if path.starts_with('/') || drive {
        return Some("it is absolute: give one relative to the root of artifacts");
    }
    path.split('/').find_map(|name| match name {
        "" => Some("it holds an empty name (// or a / at its end)"),
        "." | ".." => Some("it holds . or .., which could lead out of its folder"),
        name if name.len() > MAX_NAME_BYTES => Some("a name in it is longer than 255 bytes"),
        _ => None,
    })
}

/// One file kept under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFile {
    /// Where.
    pub path: ArtifactPath,
    /// What: SHA-256 of its bytes.
    pub sha256: Digest,
    /// How many bytes.
    pub size_bytes: u64,
    /// When it was put there, microseconds since the Unix epoch.
    pub created_at_us: i64,
}

/// What lies directly in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ArtifactEntry {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Its size; `null` of a folder.
    pub size_bytes: Option<u64>,
    /// SHA-256 of its bytes, 64 hex digits; `null` of a folder.
    pub sha256: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_lead_out_of_a_folder_is_refused_and_said() {
        for (path, why) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("C:/x", "absolute"),
            ("a//b", "empty name"),
            ("a/", "empty name"),
            ("../a", ".."),
            ("a/../b", ".."),
            ("a/./b", "could lead out"),
            ("a\\..\\b", "backslash"),
            ("a\0b", "control"),
            ("a\nb", "control"),
        ] {
            let error = ArtifactPath::new(path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(&format!("{path:?}")), "{error}");
        }
        assert!(ArtifactPath::new("a/".repeat(600) + "b").is_err());
        assert!(ArtifactPath::new("x".repeat(256)).is_err());
    }

    #[test]
    fn odd_names_that_harm_nobody_are_taken() {
        for path in ["a", "0/run/artifacts/model/MLmodel", "größe/模型 1.onnx", "a b/%2e%2e/..c", "...", "#1?.txt"] {
            assert_eq!(ArtifactPath::new(path).unwrap().as_str(), path);
        }
        let path = ArtifactPath::new("a/b/c").unwrap();
        assert_eq!((path.name(), path.folders().collect::<Vec<_>>()), ("c", vec!["a", "a/b"]));
        assert!(path.join("..").is_err());
    }
}
