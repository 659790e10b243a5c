//! The process dies without warning: everything it said it appended is there, in order, and its lock is free.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{EdgeLog, LogError, NewEntry, Opened, Options};
use edgeflow_wire::{Class, Content};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

const CHILD: &str = "EDGEFLOW_EDGE_LOG_CHILD";
const TEST: &str = "what_was_appended_survives_kill_9";

fn entry(class: Class, n: u64) -> NewEntry {
    NewEntry { class, t_us: n as i64, boot_us: 0, content: Content::Unknown { kind: "n".into(), body: n.into() } }
}

/// Appends for ever, in groups of three, and says the last number of each group once it is on the disk.
fn append_for_ever(dir: &Path) -> ! {
    let mut log = EdgeLog::open(dir, Options::default()).unwrap().0;
    let mut n = log.stats().unwrap()[Class::Event as usize].appended;
    let mut out = std::io::stdout();
    loop {
        let group = [entry(Class::Event, n + 1), entry(Class::Event, n + 2), entry(Class::Critical, n)];
        n += 2;
        assert_eq!(log.append_all(&group).unwrap()[1], n);
        writeln!(out, "appended {n}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_was_appended_survives_kill_9() {
    if let Some(dir) = std::env::var_os(CHILD) {
        append_for_ever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().strip_prefix("appended ").map(|n| n.parse::<u64>().unwrap()))
            .nth(20 + round as usize * 7)
            .unwrap();
        if round == 1 {
            assert!(matches!(EdgeLog::open(dir.path(), Options::default()), Err(LogError::Locked { .. })), "two processes share a log");
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let (mut log, opened) = EdgeLog::open(dir.path(), Options::default()).unwrap();
        assert_eq!(opened, Opened::Continued);
        let appended = log.stats().unwrap()[Class::Event as usize].appended;
        assert!(appended >= said && appended % 2 == 0, "said {said}, found {appended}");
        assert_eq!(log.stats().unwrap()[Class::Critical as usize].appended * 2, appended, "a group was torn");
        let run = log.read(Class::Event, acknowledged + 1, usize::MAX >> 1, usize::MAX).unwrap();
        assert_eq!(run.loss, None);
        let numbers: Vec<u64> = run.entries.iter().map(|entry| entry.seq).collect();
        assert_eq!(numbers, (acknowledged + 1..=appended).collect::<Vec<_>>());
        assert!(run.entries.iter().all(|entry| entry.t_us as u64 == entry.seq));
        acknowledged = appended / 2;
        log.acknowledge(Class::Event, acknowledged + 1).unwrap();
    }
}
