//! What people see of a log that a bridge has open, and of one that is broken.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{EdgeLog, LogError, LogInspector, Options};
use edgeflow_wire::{Class, Content};

fn content(n: u64) -> Content {
    Content::Unknown { kind: "n".into(), body: n.into() }
}

#[test]
fn a_log_in_use_can_be_looked_at_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { budget_bytes: 1_000, ..Options::default() };
    let mut log = EdgeLog::open(dir.path(), options).unwrap().0;
    for n in 1..=40 {
        log.append(Class::Summary, n, 0, content(n as u64)).unwrap();
    }
    log.append(Class::Event, 7, 0, content(7)).unwrap();
    log.acknowledge(Class::Event, 2).unwrap();
    let inspector = LogInspector::open(dir.path()).unwrap();
    assert_eq!(inspector.epoch().unwrap(), log.epoch());
    let overview = inspector.overview().unwrap();
    assert_eq!(overview.iter().map(|class| class.stats).collect::<Vec<_>>(), log.stats().unwrap());
    let event = &overview[Class::Event as usize];
    assert_eq!((event.held, event.oldest, event.losses.len()), (0, None, 0));
    let summary = &overview[Class::Summary as usize];
    let [loss] = &summary.losses[..] else { panic!("{summary:?}") };
    assert_eq!(summary.oldest.unwrap(), (loss.last_seq + 1, loss.last_t_us + 1));
    assert_eq!((summary.newest, summary.held + loss.last_seq), (Some((40, 40)), 40));
    let entries = inspector.entries(Class::Summary, 39, 10, usize::MAX).unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [39, 40]);
    let mut seen = 0;
    assert_eq!(inspector.verify(|count| seen = count).unwrap(), [""; 0]);
    assert_eq!(seen, summary.held);
}

#[test]
fn each_thing_that_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    for n in 1..=400 {
        log.append(Class::Event, n, 0, content(n as u64)).unwrap();
    }
    drop(log);
    let path = dir.path().join("edge_log.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE entry_event SET content = x'7b7d' WHERE seq = 17", []).unwrap();
    conn.execute("DELETE FROM entry_event WHERE seq = 5", []).unwrap();
    drop(conn);
    let wrong = LogInspector::open(&path).unwrap().verify(drop).unwrap();
    assert!(wrong.iter().any(|what| what.contains("class event has a gap")), "{wrong:?}");
    assert!(wrong.iter().any(|what| what.contains("entry 17: its checksum")), "{wrong:?}");

    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let wrong = LogInspector::open(&path).and_then(|log| log.verify(drop));
    assert!(!matches!(&wrong, Ok(wrong) if wrong.is_empty()), "{wrong:?}");
}

#[test]
fn what_is_no_log_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(LogInspector::open(dir.path()), Err(LogError::File { .. })));
    let path = dir.path().join("edge_log.db");
    std::fs::write(&path, "no database ".repeat(500)).unwrap();
    assert!(matches!(LogInspector::open(&path), Err(LogError::Damaged(_))));
}
