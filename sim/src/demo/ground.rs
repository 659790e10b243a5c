//! The ground a demo stands on: its folder and its ports, claimed before anything starts, so that a second demo on the
//! same machine hears at once and in one message what is in its way.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::DemoError;

/// Marks a folder as a demo's own and, locked, as one in use. Holds the process id of its owner.
const MARKER: &str = ".edgeflow-demo";

/// A folder that belongs to this demo as long as this value lives.
#[derive(Debug)]
pub struct Ground {
    root: PathBuf,
    _lock: File,
}

impl Ground {
    /// Claims the folder (emptying it when it is an earlier demo's) and finds the ports free.
    ///
    /// Nothing is touched when anything is in the way; then all of it is named.
    pub fn claim(root: &Path, ports: &[(u16, &str, &str)]) -> Result<Self, DemoError> {
        let mut what = Vec::new();
        for (port, user, flag) in ports {
            if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
                let other = port.checked_add(100).unwrap_or(port - 100);
                what.push(format!("port {port} of the {user} ({error}): stop what listens there, or pass {flag} {other}"));
            }
        }
        let lock = match lock(root)? {
            Ok(lock) => Some(lock),
            Err(reason) => {
                what.push(reason);
                None
            }
        };
        match lock {
            Some(lock) if what.is_empty() => {
                empty(root, MARKER)?;
                Ok(Self { root: root.to_owned(), _lock: lock })
            }
            _ => Err(DemoError::InTheWay { what }),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a secret that only this user may read.
    pub fn write_secret(&self, relative: &str, secret: &str) -> Result<PathBuf, DemoError> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.root.join(relative);
        let failed = |source| DemoError::File { action: "write a token", path: path.clone(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.write_all(secret.as_bytes()).map_err(failed)?;
        Ok(path)
    }
}

/// Locks the folder, or says what is in the way.
fn lock(root: &Path) -> Result<Result<File, String>, DemoError> {
    let failed = |source| DemoError::File { action: "make the demo's folder", path: root.to_owned(), source };
    std::fs::create_dir_all(root).map_err(failed)?;
    let marker = root.join(MARKER);
    if !marker.exists() && std::fs::read_dir(root).map_err(failed)?.next().is_some() {
        return Ok(Err(format!("the folder {} holds files that are not a demo's: pass another with --data-dir", root.display())));
    }
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&marker).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
            Ok(Ok(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            file.read_to_string(&mut owner).map_err(failed)?;
            let root = root.display();
            Ok(Err(format!("another demo (process {owner}) that uses the folder {root}: stop it with Ctrl-C, or pass --data-dir {root}-2")))
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Removes everything in a folder but one file.
fn empty(root: &Path, keep: &str) -> Result<(), DemoError> {
    let failed = |source| DemoError::File { action: "remove what an earlier demo left", path: root.to_owned(), source };
    for entry in std::fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name() == keep {
            continue;
        }
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        let removed = if is_folder { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) };
        removed.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_an_earlier_demo_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("demo");
        let first = Ground::claim(&root, &[]).unwrap();
        let secret = first.write_secret("robots/robot-1/token", "s3cret").unwrap();
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        let second = Ground::claim(&root, &[]).unwrap();
        assert!(!secret.exists());
        assert_eq!(second.root(), root);
    }

    #[test]
    fn a_folder_of_someone_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("thesis.tex");
        std::fs::write(&precious, "x").unwrap();
        let error = Ground::claim(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("not a demo's") && error.contains("--data-dir"), "{error}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "x");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_demo_hears_of_everything_in_its_way_and_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = Ground::claim(folder.path(), &[]).unwrap();
        let kept = first.write_secret("token", "t").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Ground::claim(folder.path(), &[(port, "control plane", "--port")]).unwrap_err().to_string();
        for expected in [&port.to_string(), "control plane", "--port", "--data-dir", &std::process::id().to_string()] {
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
        assert!(kept.exists());
    }
}
