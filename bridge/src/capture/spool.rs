//! Captures that wait to be uploaded: a folder with a budget of bytes.
//!
//! A file is written as `ID.mcap.part`. When it is whole, what it is goes to `ID.json`, durably, and only then it gets its name: so a
//! file with its name is whole, and one without was cut off.

use edgeflow_wire::CaptureInfo;
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};
use tokio::sync::watch;

use super::file::digest;
use crate::{
    BridgeError, Result,
    desired::{sync_parent, write_durably},
};

/// What there is, for people and for whoever uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waiting {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// Counts every change.
    pub(crate) changes: u64,
}

/// The folder.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    budget_bytes: u64,
    waiting: watch::Sender<Waiting>,
}

/// What a bridge that stopped left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Captures that were cut off, and are removed.
    pub(crate) cut: Vec<String>,
}

impl Spool {
    /// The folder `captures` in `data_dir`, with what waits there; what was cut off is removed.
    ///
    /// # Errors
    /// A folder that cannot be used.
    pub(crate) fn open(data_dir: &Path, budget_bytes: u64) -> Result<(Self, Left)> {
        let dir = data_dir.join("captures");
        fs::create_dir_all(&dir).map_err(BridgeError::file("create the folder", &dir))?;
        let spool = Self { dir, budget_bytes, waiting: watch::Sender::new(Waiting::default()) };
        let left = spool.mend().map_err(BridgeError::file("look into", &spool.dir))?;
        spool.told();
        Ok((spool, left))
    }

    fn mend(&self) -> io::Result<Left> {
        let mut left = Left::default();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if let Some(id) = name.strip_suffix(".mcap.part") {
                // Its description is there when it was whole, and it may only lack its name.
                let whole = self.read(id).is_ok_and(|info| digest(&path).is_ok_and(|found| found == (info.sha256, info.size_bytes)));
                if whole {
                    fs::rename(&path, self.file(id))?;
                } else {
                    remove(&path)?;
                    remove(&self.about(id))?;
                    left.cut.push(id.to_owned());
                }
            } else if name.ends_with(".new") {
                remove(&path)?;
            }
        }
        // What was being removed: the file goes first.
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json")) else { continue };
            if !self.file(id).exists() {
                remove(&path)?;
            }
        }
        Ok(left)
    }

    fn about(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// A capture's file.
    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.mcap"))
    }

    /// The same while it is written.
    pub(crate) fn part(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.mcap.part"))
    }

    fn read(&self, id: &str) -> io::Result<CaptureInfo> {
        serde_json::from_slice(&fs::read(self.about(id))?).map_err(io::Error::other)
    }

    /// A file that is written whole gets its name. Those that have to go for it are returned, and gone.
    pub(crate) fn keep(&self, info: &CaptureInfo) -> io::Result<Vec<CaptureInfo>> {
        let json = serde_json::to_vec(info).map_err(io::Error::other)?;
        write_durably(&self.about(&info.id), &json).map_err(io::Error::other)?;
        fs::rename(self.part(&info.id), self.file(&info.id))?;
        sync_parent(&self.file(&info.id))?;
        let (mut gone, mut waiting) = (Vec::new(), self.list());
        while waiting.iter().map(|info| info.size_bytes).sum::<u64>() > self.budget_bytes {
            let oldest = waiting.remove(0);
            self.delete(&oldest.id)?;
            gone.push(oldest);
        }
        self.told();
        Ok(gone)
    }

    /// What waits, oldest first.
    pub(crate) fn list(&self) -> Vec<CaptureInfo> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let ids = names.filter_map(|name| name.strip_suffix(".mcap").map(str::to_owned));
        let mut list: Vec<CaptureInfo> = ids.filter_map(|id| self.read(&id).ok()).collect();
        // Ids begin with the time, but clocks step.
        list.sort_by(|a, b| (a.triggered_us, &a.id).cmp(&(b.triggered_us, &b.id)));
        list
    }

    fn delete(&self, id: &str) -> io::Result<()> {
        remove(&self.file(id))?;
        remove(&self.about(id))
    }

    /// A capture has arrived, or never will.
    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        let removed = self.delete(id);
        self.told();
        removed
    }

    /// How much waits.
    pub(crate) fn waiting(&self) -> watch::Receiver<Waiting> {
        self.waiting.subscribe()
    }

    fn told(&self) {
        let list = self.list();
        let bytes = list.iter().map(|info| info.size_bytes).sum();
        self.waiting.send_modify(|waiting| *waiting = Waiting { files: list.len(), bytes, changes: waiting.changes + 1 });
    }
}

/// What is not there need not be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(spool: &Spool, id: &str, content: &[u8]) -> CaptureInfo {
        fs::write(spool.part(id), content).unwrap();
        let (sha256, size_bytes) = digest(&spool.part(id)).unwrap();
        let triggered_us = i64::try_from(id.len()).unwrap();
        CaptureInfo { id: id.into(), triggered_us, sha256, size_bytes, ..CaptureInfo::default() }
    }

    fn ids(spool: &Spool) -> Vec<String> {
        spool.list().into_iter().map(|info| info.id).collect()
    }

    #[test]
    fn the_oldest_make_room_and_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path(), 100).unwrap();
        assert_eq!(spool.keep(&written(&spool, "a", &[1; 40])).unwrap(), []);
        assert_eq!(spool.keep(&written(&spool, "bb", &[2; 40])).unwrap(), []);
        let gone = spool.keep(&written(&spool, "ccc", &[3; 60])).unwrap();
        assert_eq!((gone.len(), gone[0].id.as_str(), ids(&spool)), (1, "a", vec!["bb".to_owned(), "ccc".into()]));
        assert_eq!((spool.waiting().borrow().files, spool.waiting().borrow().bytes), (2, 100));
        let gone = spool.keep(&written(&spool, "dddd", &[4; 101])).unwrap();
        assert_eq!((gone.len(), ids(&spool).len()), (3, 0), "what is larger than all of it goes, too");
        let left: Vec<_> = fs::read_dir(dir.path().join("captures")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn what_was_cut_off_is_removed_and_named_and_what_was_whole_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path(), 1_000).unwrap();
        spool.keep(&written(&spool, "kept", b"kept")).unwrap();
        written(&spool, "cut", b"half a fi");
        let whole = written(&spool, "whole", b"whole");
        fs::write(spool.about("whole"), serde_json::to_vec(&whole).unwrap()).unwrap();
        let torn = written(&spool, "torn", b"torn");
        fs::write(spool.about("torn"), serde_json::to_vec(&torn).unwrap()).unwrap();
        fs::write(spool.part("torn"), b"to").unwrap();
        fs::write(spool.about("uploaded"), serde_json::to_vec(&whole).unwrap()).unwrap();
        let (spool, mut left) = Spool::open(dir.path(), 1_000).unwrap();
        left.cut.sort();
        assert_eq!((left.cut, ids(&spool)), (vec!["cut".to_owned(), "torn".into()], vec!["kept".to_owned(), "whole".into()]));
        assert_eq!(fs::read_dir(dir.path().join("captures")).unwrap().count(), 4, "two files and what they are");
        assert_eq!(Spool::open(dir.path(), 1_000).unwrap().1, Left::default());
    }
}
