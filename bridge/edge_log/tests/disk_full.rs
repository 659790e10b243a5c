//! A disk without room: the log takes nothing, harms nothing, and goes on as soon as there is some.
//!
//! The disk is a small tmpfs in a mount namespace of its own, where the system lets a user make one; else the reason is printed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{EdgeLog, LogError, NewEntry, Opened, Options};
use edgeflow_wire::{Class, Content};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const DISK: &str = "EDGEFLOW_SMALL_DISK";

/// Runs the calling test again, by its name, in a namespace with a disk of that size; gives the disk's path there, and none here.
fn on_a_small_disk(test: &str, size: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--", "sh", "-c", script]).arg(folder.path()).arg(size);
        command
    };
    const MOUNT: &str = "mount -t tmpfs -o size=$1 tmpfs \"$0\"";
    match namespace(MOUNT).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("skipped: this system lets no user mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Err(error) => {
            eprintln!("skipped: no program unshare: {error}");
            return None;
        }
    }
    let mut command = namespace(&format!("{MOUNT} && shift && exec \"$@\""));
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(DISK, folder.path());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "on a disk of {size}: {told}");
    None
}

fn entry(class: Class, n: u64) -> NewEntry {
    NewEntry {
        class,
        t_us: n as i64,
        boot_us: 0,
        content: Content::Unknown { kind: "n".into(), body: format!("{n} {}", "x".repeat(800)).into() },
    }
}

/// Takes all the room there is, and gives it back when dropped.
struct Filler(PathBuf);

impl Filler {
    fn fill(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [64 * 1024, 4096, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn numbers(log: &mut EdgeLog, class: Class, from: u64) -> Vec<u64> {
    let run = log.read(class, from, 1_000_000, usize::MAX).unwrap();
    assert_eq!(run.loss, None);
    for entry in &run.entries {
        assert_eq!(entry.t_us as u64, entry.seq, "an entry has another's number");
    }
    run.entries.iter().map(|entry| entry.seq).collect()
}

/// Appends until the disk refuses; gives the last number that was taken.
fn append_until_refused(log: &mut EdgeLog, mut n: u64) -> u64 {
    for _ in 0..1_000_000 {
        match log.append_all(&[entry(Class::Event, n + 1)]) {
            Ok(seqs) => {
                assert_eq!(seqs, [n + 1]);
                n += 1;
            }
            Err(LogError::Sqlite { .. }) => return n,
            Err(other) => panic!("a full disk is no damage: {other}"),
        }
    }
    panic!("the disk never became full");
}

#[test]
fn a_log_on_a_full_disk_refuses_whole_transactions_and_goes_on_when_there_is_room() {
    let Some(disk) = on_a_small_disk("a_log_on_a_full_disk_refuses_whole_transactions_and_goes_on_when_there_is_room", "8m") else {
        return;
    };
    let (mut log, _) = EdgeLog::open(&disk, Options::default()).unwrap();
    log.append_all(&[entry(Class::Event, 1)]).unwrap();
    let epoch = log.epoch().to_owned();
    let mut last = 1;
    for round in 0..4 {
        let filler = Filler::fill(&disk);
        last = append_until_refused(&mut log, last);
        // A group is taken whole or not at all, and what is held can be read.
        let group: Vec<NewEntry> = (1..=50).map(|n| entry(Class::Event, last + n)).collect();
        assert!(matches!(log.append_all(&group), Err(LogError::Sqlite { .. })), "round {round}");
        assert_eq!(log.stats().unwrap()[Class::Event as usize].appended, last);
        assert_eq!(numbers(&mut log, Class::Event, 1), (1..=last).collect::<Vec<_>>());
        drop(filler);
        assert_eq!(log.append_all(&group).unwrap().first(), Some(&(last + 1)), "round {round}");
        last += 50;
    }
    drop(log);
    let (mut log, opened) = EdgeLog::open(&disk, Options::default()).unwrap();
    assert_eq!((opened, log.epoch()), (Opened::Continued, epoch.as_str()));
    assert_eq!(numbers(&mut log, Class::Event, 1), (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_log_that_filled_its_disk_by_itself_gets_room_from_acknowledgements() {
    let Some(disk) = on_a_small_disk("a_log_that_filled_its_disk_by_itself_gets_room_from_acknowledgements", "16m") else { return };
    let (mut log, _) = EdgeLog::open(&disk, Options::default()).unwrap();
    let mut last = 0;
    let mut acknowledged = 0;
    for round in 0..4 {
        last = append_until_refused(&mut log, last);
        assert!(last > acknowledged + 200, "round {round}: only {} entries found room", last - acknowledged);
        // The control plane takes a batch at a time, as it does.
        while acknowledged < last {
            acknowledged = (acknowledged + 100).min(last);
            log.acknowledge(Class::Event, acknowledged + 1).unwrap_or_else(|error| panic!("round {round}, {acknowledged}: {error:?}"));
        }
    }
    log.append_all(&[entry(Class::Event, last + 1)]).unwrap();
    drop(log);
    let (mut log, opened) = EdgeLog::open(&disk, Options::default()).unwrap();
    assert_eq!(opened, Opened::Continued);
    assert_eq!(numbers(&mut log, Class::Event, last + 1), [last + 1]);
}

#[test]
fn a_log_that_filled_its_disk_by_itself_begins_a_new_epoch_when_it_must() {
    let Some(disk) = on_a_small_disk("a_log_that_filled_its_disk_by_itself_begins_a_new_epoch_when_it_must", "16m") else { return };
    let (mut log, _) = EdgeLog::open(&disk, Options::default()).unwrap();
    let last = append_until_refused(&mut log, 0);
    let before = log.epoch().to_owned();
    // It may be refused for want of room, but then nothing has changed and it can be tried again.
    match log.reopen_epoch() {
        Ok(epoch) => assert_ne!(epoch, before),
        Err(error) => {
            assert!(matches!(error, LogError::Sqlite { .. }), "{error:?}");
            assert_eq!(log.epoch(), before);
        }
    }
    assert_eq!(numbers(&mut log, Class::Event, 1), (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_opened_on_a_full_disk_is_whole_once_there_is_room() {
    let Some(disk) = on_a_small_disk("a_log_that_is_opened_on_a_full_disk_is_whole_once_there_is_room", "8m") else { return };
    for killed in [true, false] {
        let (mut log, _) = EdgeLog::open(&disk, Options::default()).unwrap();
        let held = log.stats().unwrap()[Class::Event as usize].appended;
        let filler = Filler::fill(&disk);
        let last = append_until_refused(&mut log, held);
        if killed {
            // As kill -9 leaves it: journal and all.
            let files = ["edge_log.db", "edge_log.db-wal"].map(|name| (disk.join(name), fs::read(disk.join(name)).unwrap()));
            drop(log);
            drop(filler);
            for (path, bytes) in files {
                fs::write(path, bytes).unwrap();
            }
        } else {
            drop(log);
            drop(filler);
        }
        let filler = Filler::fill(&disk);
        match EdgeLog::open(&disk, Options::default()) {
            Ok((mut log, opened)) => {
                assert_eq!(opened, Opened::Continued);
                assert_eq!(numbers(&mut log, Class::Event, 1), (1..=last).collect::<Vec<_>>());
            }
            Err(error) => assert!(matches!(error, LogError::Sqlite { .. } | LogError::File { .. }), "a full disk is no damage: {error:?}"),
        }
        drop(filler);
        let (mut log, opened) = EdgeLog::open(&disk, Options::default()).unwrap();
        assert_eq!(opened, Opened::Continued, "killed: {killed}");
        assert_eq!(numbers(&mut log, Class::Event, 1), (1..=last).collect::<Vec<_>>());
    }
}
