//! What this machine lets a run do to a robot's disk and clock, without more rights than a user has.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::FaultsError;
use super::process::{Prefix, Process};
use crate::demo::processes::Program;

/// Room on a small disk, megabytes: the log, its reserve, and what the test fills.
const DISK_MB: u32 = 24;

/// Where a small disk can be made: a user namespace in which anybody may mount a tmpfs. Otherwise why not.
pub(super) fn can_mount() -> Result<(), String> {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("this system lets no user mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("no program unshare: {error}")),
    }
}

/// libfaketime, where Debian's package puts it.
pub(super) fn find_faketime() -> Result<PathBuf, String> {
    let folders = std::fs::read_dir("/usr/lib").map(|folders| folders.flatten().map(|folder| folder.path()).collect::<Vec<_>>());
    let found =
        folders.unwrap_or_default().into_iter().map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    found.ok_or_else(|| "there is no libfaketime: apt-get install faketime".to_owned())
}

/// A wall clock of a robot's own.
#[derive(Debug, Clone)]
pub(super) struct FakeClock {
    faketime: PathBuf,
    offset: PathBuf,
}

impl FakeClock {
    /// One that shows the true time until it is stepped.
    pub(super) fn new(faketime: PathBuf, folder: &Path) -> Result<Self, FaultsError> {
        let clock = Self { faketime, offset: folder.join("clock") };
        clock.step(0)?;
        Ok(clock)
    }

    /// Steps it to so many seconds from the true time. Programs see it within a second.
    pub(super) fn step(&self, to_s: i64) -> Result<(), FaultsError> {
        // Renamed into place: a program that reads half a number would be at another time for a moment.
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{to_s:+}\n")).and_then(|()| std::fs::rename(&new, &self.offset)).map_err(|source| FaultsError::File {
            action: "step a clock",
            path: self.offset.clone(),
            source,
        })
    }

    /// What makes a program live by it. The monotonic clock stays true: it is the kernel's count, which nobody sets.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.faketime.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.clone().into()),
            ("FAKETIME_CACHE_DURATION", "1".into()),
            ("FAKETIME_DONT_RESET", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }
}

/// A disk so small that it can be filled, mounted over a folder in a namespace of its own. A process that sleeps keeps it there while
/// the bridge on it dies and comes back.
#[derive(Debug)]
pub(super) struct SmallDisk {
    keeper: Process,
    /// The disk as we see it.
    seen: PathBuf,
}

impl SmallDisk {
    /// Mounts it over `folder`.
    pub(super) async fn mount(name: &str, folder: &Path, logs: &Path) -> Result<Self, FaultsError> {
        let script = format!(
            "mount -t tmpfs -o size={DISK_MB}m,mode=700 tmpfs \"$0\" && echo mounted && exec setpriv --pdeathsig KILL -- sleep infinity"
        );
        let program = Program {
            name: format!("{name}.disk"),
            path: "unshare".into(),
            args: ["--user", "--map-root-user", "--mount", "--", "sh", "-c", &script]
                .map(OsString::from)
                .into_iter()
                .chain([folder.into()])
                .collect(),
            env: Vec::new(),
        };
        let (keeper, _) = Process::start_and_read_first_line(&program, Vec::new(), logs).await?;
        let Some(id) = keeper.id() else { return Err(keeper.not_up("it ended at once".to_owned())) };
        let seen = PathBuf::from(format!("/proc/{id}/root")).join(folder.strip_prefix("/").unwrap_or(folder));
        Ok(Self { keeper, seen })
    }

    /// What lets a program live on it.
    pub(super) fn prefix(&self) -> Prefix {
        let id = self.keeper.id().unwrap_or_default().to_string();
        ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &id, "--"].map(OsString::from).to_vec()
    }

    /// Takes all the room there is.
    pub(super) fn fill(&self) -> Result<(), FaultsError> {
        let path = self.filler();
        let mut file = std::fs::File::options().append(true).create(true).open(&path).map_err(|source| FaultsError::File {
            action: "fill a disk",
            path: path.clone(),
            source,
        })?;
        for size in [64 * 1024, 4096, 512, 1] {
            let bytes = vec![0; size];
            while file.write_all(&bytes).is_ok() {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn free(&self) -> Result<(), FaultsError> {
        let path = self.filler();
        std::fs::remove_file(&path).map_err(|source| FaultsError::File { action: "free a disk", path, source })
    }

    /// Ends it, and with it everything on it.
    pub(super) async fn unmount(self) {
        self.keeper.kill().await;
    }

    fn filler(&self) -> PathBuf {
        self.seen.join("filler")
    }
}
