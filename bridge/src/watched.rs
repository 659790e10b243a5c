//! Files on the robot that a slot's content became: whether they are what they were is asked every few seconds, so only those are read
//! anew whose times, size or place say that they changed.

use edgeflow_bundle::{BundleFile, Digest, bundle_digest};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Most files of a watched folder: a robot looks at all of them again and again.
const MAX_FILES: usize = 4_000;
/// A file that was written so lately may be written again within the resolution of its times.
const SETTLES: Duration = Duration::from_secs(2);

/// One file, as the file system tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: String,
    path: PathBuf,
    size_bytes: u64,
    /// Device and inode.
    place: (u64, u64),
    /// When content or anything else of it changed, seconds and nanoseconds since the Unix epoch. No program sets the second one.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    fn of(name: String, path: PathBuf, found: &fs::Metadata) -> Self {
        Self {
            name,
            path,
            size_bytes: found.len(),
            place: (found.dev(), found.ino()),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    fn read(&self) -> io::Result<BundleFile> {
        let (sha256, size_bytes) = Digest::of_reader(fs::File::open(&self.path)?)?;
        Ok(BundleFile { path: self.name.clone(), size_bytes, sha256 })
    }
}

/// A file or a folder that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    /// The files whose digest is known, and it.
    known: Option<(Vec<Seen>, String)>,
}

impl Watched {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, known: None }
    }

    /// Digest of a bundle of just these files: of the file, or of those directly in the folder. Empty when there are none.
    ///
    /// # Errors
    /// What cannot be read, also since it goes away meanwhile; more files than are looked at.
    pub(crate) fn digest(&mut self) -> io::Result<String> {
        let began = SystemTime::now();
        let seen = look(&self.path)?;
        if let Some((_, digest)) = self.known.as_ref().filter(|(known, _)| *known == seen) {
            return Ok(digest.clone());
        }
        let files = seen.iter().map(Seen::read).collect::<io::Result<Vec<BundleFile>>>()?;
        let digest = if files.is_empty() { String::new() } else { bundle_digest(&files).to_string() };
        let settled = began.checked_sub(SETTLES).and_then(|then| then.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let settled = seen.iter().all(|file| u64::try_from(file.changed.0).is_ok_and(|changed_s| changed_s < settled.as_secs()));
        self.known = settled.then(|| (seen, digest.clone()));
        Ok(digest)
    }
}

/// The files there are, by name.
fn look(path: &Path) -> io::Result<Vec<Seen>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    if found.is_file() {
        return Ok(vec![Seen::of(name(path), path.to_owned(), &found)]);
    }
    // Reading what is neither may wait for ever.
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let found = match fs::metadata(&path) {
            // A link to nothing, or what went away just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.is_file() {
            files.push(Seen::of(name(&path), path, &found));
        }
        if files.len() > MAX_FILES {
            return Err(io::Error::other(format!("there are more than {MAX_FILES}: watch fewer")));
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, content: &[u8]) -> String {
        bundle_digest(&[BundleFile { path: name.into(), size_bytes: content.len() as u64, sha256: Digest::of(content) }]).to_string()
    }

    #[test]
    fn a_folders_digest_is_that_of_a_bundle_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Watched::new(dir.path().to_owned());
        assert_eq!(folder.digest().unwrap(), "");
        let path = dir.path().join("a.yaml");
        fs::write(&path, "x: 1").unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        assert_eq!(folder.digest().unwrap(), one("a.yaml", b"x: 1"));
        let mut file = Watched::new(path.clone());
        assert_eq!(file.digest().unwrap(), folder.digest().unwrap());
        // Of the same length, a moment later, again and again.
        for content in ["x: 2", "x: 3", "x: 4"] {
            fs::write(&path, content).unwrap();
            assert_eq!(folder.digest().unwrap(), one("a.yaml", content.as_bytes()));
        }
        assert_eq!(Watched::new(dir.path().join("gone")).digest().unwrap(), "");
    }

    #[test]
    fn what_did_not_change_is_not_read_again_and_what_cannot_be_read_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "x: 1").unwrap();
        let mut folder = Watched::new(dir.path().to_owned());
        let digest = folder.digest().unwrap();
        assert!(folder.known.is_none(), "it was written a moment ago");
        folder.known = Some((look(dir.path()).unwrap(), "known".into()));
        assert_eq!(folder.digest().unwrap(), "known");
        fs::File::open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
        assert_eq!(folder.digest().unwrap(), digest, "somebody touched it");
        (0..MAX_FILES).for_each(|number| drop(fs::write(dir.path().join(number.to_string()), "")));
        assert!(folder.digest().unwrap_err().to_string().contains("more than 4000"));
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let error = Watched::new(dir.path().join("socket")).digest().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        drop(socket);
    }
}
