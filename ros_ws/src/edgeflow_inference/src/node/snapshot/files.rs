//! Where snapshots are written, what they are called, and which of them stay.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

use crate::{Error, Result};

const EXTENSION: &str = "mcap";

/// The file of a snapshot.
pub(super) struct Name(PathBuf);

/// The folder that the parameter `snapshot_dir` means.
pub(super) fn folder(parameter: &str) -> PathBuf {
    if !parameter.is_empty() {
        return parameter.into();
    }
    // As rcl finds the folder of its logs.
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("ROS_HOME").or_else(|| set("HOME").map(|home| home.join(".ros")));
    home.unwrap_or_else(std::env::temp_dir).join("edgeflow").join("snapshots")
}

impl Name {
    /// What a caller asked for: a file, a folder, or nothing; what is relative is below the parameter's folder.
    pub(super) fn asked(parameter: &str, path: &str, slot: &str) -> Result<Self> {
        let path = folder(parameter).join(path);
        let name = if path.extension().is_some_and(|extension| extension == EXTENSION) { path } else { dated(&path, slot, "asked") };
        let file = std::path::absolute(&name).map_err(|error| failed(&name, &error))?;
        if file.exists() {
            return Err(Error::Snapshot { path: file, reason: "there is such a file already; give another name".to_owned() });
        }
        Ok(Self(file))
    }

    /// For a flag of drift.
    pub(super) fn flagged(dir: &Path, slot: &str) -> Result<Self> {
        let name = dated(dir, slot, "drift");
        std::path::absolute(&name).map(Self).map_err(|error| failed(&name, &error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes the file, which is there only when it is whole.
    pub(super) fn create(&self, write: impl FnOnce(&mut BufWriter<File>, &Path) -> Result<()>) -> Result<()> {
        let path = self.path();
        let part = path.with_extension("part");
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
        }
        let mut file = BufWriter::new(File::create(&part).map_err(|error| failed(&part, &error))?);
        let written = write(&mut file, path).and_then(|()| {
            let file = file.into_inner().map_err(|error| failed(path, error.error()))?;
            file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(|error| failed(path, &error))
        });
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }
}

/// Of `slot`'s files for flags of drift the newest `keep` stay.
pub(super) fn prune(dir: &Path, slot: &str, keep: usize) {
    let prefix = format!("{slot}_drift_");
    let is_ours = |name: &str| name.starts_with(&prefix) && name.ends_with(&format!(".{EXTENSION}"));
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_ours(name)).collect();
    // Their names begin with the time.
    names.sort_unstable_by(|a, b| b.cmp(a));
    for name in names.iter().skip(keep) {
        if let Err(error) = fs::remove_file(dir.join(name)) {
            tracing::warn!(%error, name, "an old snapshot was not removed");
        }
    }
}

/// `SLOT_KIND_20261121-134500.123456Z.mcap`
fn dated(dir: &Path, slot: &str, kind: &str) -> PathBuf {
    let format = format_description!("[year][month][day]-[hour][minute][second].[subsecond digits:6]Z");
    let time = OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    dir.join(format!("{slot}_{kind}_{time}.{EXTENSION}"))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Snapshot { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_folders_or_made_of_the_time() {
        let asked = |path: &str| Name::asked("/snapshots", path, "default").unwrap().0.display().to_string();
        assert_eq!(asked("walk.mcap"), "/snapshots/walk.mcap");
        assert_eq!(asked("/elsewhere/walk.mcap"), "/elsewhere/walk.mcap");
        assert!(asked("").starts_with("/snapshots/default_asked_2") && asked("").ends_with("Z.mcap"), "{}", asked(""));
        assert!(asked("field").starts_with("/snapshots/field/default_asked_"));
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_none_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let name = || Name::asked(dir.path().to_str().unwrap(), "deep/down/a.mcap", "default").unwrap();
        let refused = name().create(|_, path| Err(Error::Snapshot { path: path.to_owned(), reason: "the disk is full".into() }));
        assert!(refused.is_err() && !name().path().exists() && fs::read_dir(dir.path().join("deep/down")).unwrap().next().is_none());
        name().create(|file, _| std::io::Write::write_all(file, b"frames").map_err(|e| failed(Path::new("a"), &e))).unwrap();
        assert_eq!(fs::read(dir.path().join("deep/down/a.mcap")).unwrap(), b"frames");
        let again = Name::asked(dir.path().to_str().unwrap(), "deep/down/a.mcap", "default").map(drop).unwrap_err().to_string();
        assert!(again.contains("a.mcap: there is such a file already"), "{again}");
    }

    #[test]
    fn the_newest_files_of_a_slot_stay() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(dir.path().join(name), b"").unwrap();
        [
            "default_drift_1.mcap",
            "default_drift_3.mcap",
            "default_drift_2.mcap",
            "other_drift_0.mcap",
            "default_asked_0.mcap",
            "default_drift_0.txt",
        ]
        .iter()
        .for_each(|name| put(name));
        prune(dir.path(), "default", 2);
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(
            left,
            ["default_asked_0.mcap", "default_drift_0.txt", "default_drift_2.mcap", "default_drift_3.mcap", "other_drift_0.mcap"]
        );
    }
}
