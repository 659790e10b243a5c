//! Files as power cuts, failing disks and careless people leave them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{ClassStats, DAMAGED_KIND, EdgeLog, LogError, Lost, MAX_ENTRY_BYTES, Opened, Options};
use edgeflow_wire::{Class, Content};
use std::{fs, path::Path};

fn content(n: usize) -> Content {
    Content::Unknown { kind: "n".into(), body: format!("entry {n} {}", "x".repeat(200)).into() }
}

fn fill(dir: &Path, entries: usize) -> EdgeLog {
    let mut log = EdgeLog::open(dir, Options::default()).unwrap().0;
    for n in 1..=entries {
        log.append(Class::Event, n as i64, 0, content(n)).unwrap();
    }
    log
}

fn copy_log(from: &Path, to: &Path) {
    for name in ["edge_log.db", "edge_log.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn a_copy_of_the_files_at_any_point_is_whole_up_to_some_append() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = fill(dir.path(), 40);
    // What a power cut leaves: the journal ends anywhere, even inside a page.
    let wal = fs::read(dir.path().join("edge_log.db-wal")).unwrap();
    let mut seen = 0;
    for step in 0..=24 {
        let cut = tempfile::tempdir().unwrap();
        copy_log(dir.path(), cut.path());
        fs::write(cut.path().join("edge_log.db-wal"), &wal[..wal.len() * step / 24]).unwrap();
        let (mut found, opened) = EdgeLog::open(cut.path(), Options::default()).unwrap();
        assert!(matches!(opened, Opened::Continued | Opened::Created), "{opened:?}");
        let run = found.read(Class::Event, 1, 1000, usize::MAX).unwrap();
        let appended = found.stats().unwrap()[Class::Event as usize].appended;
        assert_eq!(run.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=appended).collect::<Vec<_>>());
        assert!(appended >= seen, "a longer journal tells less");
        seen = appended;
    }
    assert_eq!(seen, 40);
    log.append(Class::Event, 41, 0, content(41)).unwrap();
}

#[test]
fn a_torn_page_is_set_aside_and_the_numbers_go_on_behind_what_it_held() {
    let dir = tempfile::tempdir().unwrap();
    let log = fill(dir.path(), 200);
    let epoch = log.epoch().to_owned();
    drop(log);
    let path = dir.path().join("edge_log.db");
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[length / 2..].fill(0xa5);
    fs::write(&path, bytes).unwrap();

    let (mut log, opened) = EdgeLog::open(dir.path(), Options::default()).unwrap();
    let Opened::Replaced { set_aside, reason, lost } = opened else { panic!("{opened:?}") };
    assert!(set_aside.unwrap().exists() && !reason.is_empty());
    assert_eq!((lost, log.epoch()), (Some(Lost { surely: 200, at_most: 200 }), epoch.as_str()));
    assert_eq!(log.append(Class::Critical, 1, 1, content(1)).unwrap(), 1);
    assert_eq!(log.append(Class::Event, 1, 1, content(1)).unwrap(), 201);
    let run = log.read(Class::Event, 1, 10, usize::MAX).unwrap();
    assert_eq!((run.loss.map(|loss| (loss.first_seq, loss.last_seq, loss.damaged)), run.entries.len()), (Some((1, 200, true)), 1));
}

#[test]
fn a_file_that_is_no_database_is_set_aside_and_only_two_such_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..4 {
        fs::write(dir.path().join("edge_log.db"), "not a database, whatever its name says".repeat(200)).unwrap();
        let (_log, opened) = EdgeLog::open(dir.path(), Options::default()).unwrap();
        assert!(matches!(opened, Opened::Replaced { set_aside: Some(_), lost: Some(_), .. }), "{opened:?}");
    }
    let damaged = fs::read_dir(dir.path()).unwrap().filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"));
    assert_eq!(damaged.count(), 2);
}

#[test]
fn a_gap_in_a_class_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path(), 10));
    let conn = rusqlite::Connection::open(dir.path().join("edge_log.db")).unwrap();
    conn.execute("DELETE FROM entry_event WHERE seq = 5", []).unwrap();
    drop(conn);
    let (_, opened) = EdgeLog::open(dir.path(), Options::default()).unwrap();
    let Opened::Replaced { reason, lost, .. } = opened else { panic!("{opened:?}") };
    assert!(reason.contains("event"), "{reason}");
    assert_eq!(lost, Some(Lost { surely: 10, at_most: 10 }));
}

#[test]
fn an_entry_whose_bytes_rotted_keeps_its_place_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path(), 3));
    let conn = rusqlite::Connection::open(dir.path().join("edge_log.db")).unwrap();
    conn.execute("UPDATE entry_event SET content = x'7b7d' WHERE seq = 2", []).unwrap();
    drop(conn);
    let (mut log, opened) = EdgeLog::open(dir.path(), Options::default()).unwrap();
    assert_eq!(opened, Opened::Continued);
    let kinds: Vec<String> =
        log.read(Class::Event, 1, 10, usize::MAX).unwrap().entries.iter().map(|entry| entry.content.kind().to_owned()).collect();
    assert_eq!(kinds, ["n", DAMAGED_KIND, "n"]);
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path(), 1));
    let conn = rusqlite::Connection::open(dir.path().join("edge_log.db")).unwrap();
    conn.execute("UPDATE meta SET value = '2' WHERE key = 'format'", []).unwrap();
    drop(conn);
    assert!(matches!(EdgeLog::open(dir.path(), Options::default()), Err(LogError::Format { .. })));
}

#[test]
fn the_budget_takes_details_before_facts_even_the_one_just_appended() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = EdgeLog::open(dir.path(), Options { budget_bytes: 1_000, ..Options::default() }).unwrap().0;
    for n in 1..=3 {
        log.append(Class::Critical, n, n, content(n as usize)).unwrap();
    }
    assert_eq!(log.append(Class::Detail, 4, 4, content(4)).unwrap(), 1);
    let run = log.read(Class::Detail, 1, 10, usize::MAX).unwrap();
    let loss = run.loss.unwrap();
    assert_eq!((loss.first_seq, loss.last_seq, loss.first_t_us, loss.last_t_us), (1, 1, 4, 4));
    assert!(loss.bytes > 200 && run.entries.is_empty());
    // The control plane recorded it: the record may go, and a later loss is a new one.
    log.acknowledge(Class::Detail, 2).unwrap();
    assert_eq!(log.read(Class::Detail, 2, 10, usize::MAX).unwrap().loss, None);
    log.append(Class::Detail, 5, 5, content(5)).unwrap();
    assert_eq!(log.read(Class::Detail, 2, 10, usize::MAX).unwrap().loss.unwrap().first_seq, 2);
    let stats: Vec<ClassStats> = log.stats().unwrap();
    assert_eq!((stats[0].lost, stats[3].lost), (0, 2));
}

#[test]
fn reading_is_bounded_but_never_stuck() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = fill(dir.path(), 10);
    assert_eq!(log.read(Class::Event, 1, 4, usize::MAX).unwrap().entries.len(), 4);
    assert_eq!(log.read(Class::Event, 3, 100, 600).unwrap().entries.len(), 2);
    assert_eq!(log.read(Class::Event, 3, 100, 1).unwrap().entries.len(), 1, "an entry larger than the limit must still go");
    assert!(matches!(log.read(Class::Event, 12, 1, 1), Err(LogError::BeyondEnd { .. })));
}

#[test]
fn an_entry_that_is_too_large_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = fill(dir.path(), 1);
    let error = log.append(Class::Event, 0, 0, Content::Unknown { kind: "blob".into(), body: "x".repeat(MAX_ENTRY_BYTES).into() });
    assert!(matches!(error, Err(LogError::EntryTooLarge { .. })));
    assert_eq!(log.append(Class::Event, 0, 0, content(2)).unwrap(), 2);
}
