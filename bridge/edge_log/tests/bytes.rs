//! A log whose files were changed anywhere: it opens as it was, or says what was lost, and works from there on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_edge_log::{DAMAGED_KIND, EdgeLog, LogError, LogInspector, NewEntry, Opened, Options};
use edgeflow_wire::{Class, Content};
use proptest::{prelude::*, sample::Index};
use std::{fs, path::Path, sync::OnceLock};

const FILES: [&str; 3] = ["edge_log.db", "edge_log.db-wal", "edge_log.heads"];

fn entry(class: Class, n: i64) -> NewEntry {
    let body = format!("{n} {}", "x".repeat(usize::try_from(n).unwrap() * 37 % 900)).into();
    NewEntry { class, t_us: n, boot_us: n, content: Content::Unknown { kind: "n".into(), body } }
}

/// A log with entries of all classes, acknowledged and lost ones, part of it in the journal only.
fn template() -> &'static [Vec<u8>; 3] {
    static TEMPLATE: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { budget_bytes: 60_000, ..Options::default() };
        let mut log = EdgeLog::open(dir.path(), options).unwrap().0;
        for n in 1..=150 {
            log.append_all(&Class::ALL.map(|class| entry(class, n))).unwrap();
        }
        log.acknowledge(Class::Event, 40).unwrap();
        drop(log);
        let mut log = EdgeLog::open(dir.path(), options).unwrap().0;
        for n in 151..=170 {
            log.append_all(&Class::ALL.map(|class| entry(class, n))).unwrap();
        }
        // As kill -9 leaves them.
        let bytes = FILES.map(|name| fs::read(dir.path().join(name)).unwrap());
        assert!(bytes.iter().all(|bytes| bytes.len() > 10_000));
        bytes
    })
}

/// Opens, reads everything, appends, acknowledges, reads again.
fn use_it(dir: &Path) {
    let opened = EdgeLog::open(dir, Options::default());
    let (mut log, opened) = match opened {
        Ok(opened) => opened,
        // A format that changed into a newer one's is left alone; what SQLite cannot read for now is left, too.
        Err(LogError::Format { .. } | LogError::Sqlite { .. }) => return,
        Err(other) => panic!("{other:?}"),
    };
    if let Opened::Replaced { set_aside, reason, .. } = &opened {
        assert!(set_aside.as_ref().is_none_or(|path| path.exists()) && !reason.is_empty());
    }
    let mut damaged = false;
    for class in Class::ALL {
        let run = match log.read(class, 1, 10_000, usize::MAX) {
            Ok(run) => run,
            Err(LogError::Damaged(_) | LogError::Sqlite { .. }) => {
                damaged = true;
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        let numbers: Vec<u64> = run.entries.iter().map(|entry| entry.seq).collect();
        assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{class}: {numbers:?}");
        if let (Some(loss), Some(first)) = (&run.loss, numbers.first()) {
            assert_eq!(loss.last_seq + 1, *first, "{class}");
        }
    }
    match log.append_all(&Class::ALL.map(|class| entry(class, 7))) {
        Ok(seqs) if !damaged => {
            for (class, seq) in Class::ALL.into_iter().zip(seqs) {
                let run = log.read(class, seq, 10, usize::MAX).unwrap();
                assert!(run.entries.first().is_some_and(|entry| entry.seq == seq && entry.t_us == 7), "{class} {seq}: {run:?}");
            }
        }
        Ok(_) | Err(LogError::Damaged(_) | LogError::Sqlite { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
    for class in Class::ALL {
        drop(log.acknowledge(class, 3));
    }
    drop(log);
    // Damage that only use brought to light is found when it is opened again, at the latest.
    match EdgeLog::open(dir, Options::default()) {
        Ok((mut log, _)) => drop(log.append_all(&[entry(Class::Event, 9)])),
        Err(LogError::Format { .. } | LogError::Sqlite { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
    if let Ok(inspector) = LogInspector::open(dir) {
        drop(inspector.verify(|_| {}));
    }
}

/// Reads everything that is not acknowledged, and appends. Damage that only reading brings to light ends it: it is found again when the
/// log is opened.
fn account_for(log: &mut EdgeLog, class: Class, given: u64) {
    let Ok(stats) = log.stats() else { return };
    let mut at = stats[class as usize].acknowledged + 1;
    while at <= given {
        let run = match log.read(class, at, 50, usize::MAX) {
            Ok(run) => run,
            Err(LogError::Damaged(_) | LogError::Sqlite { .. }) => return,
            Err(other) => panic!("{class} {at}: {other:?}"),
        };
        let begun = at;
        if let Some(loss) = run.loss {
            assert_eq!(loss.first_seq, at, "{class}");
            at = loss.last_seq + 1;
        }
        for entry in run.entries {
            let rotten = entry.content.kind() == DAMAGED_KIND;
            assert!(entry.seq == at && (rotten || entry.t_us == i64::try_from(at).unwrap()), "{class} {at}: {entry:?}");
            at += 1;
        }
        assert!(at > begun, "{class}: nothing is said of {at}");
    }
    assert_eq!(at, given + 1, "{class}");
    match log.append_all(&[entry(class, 7)]) {
        Ok(seqs) => assert_eq!(seqs, [given + 1], "{class}"),
        Err(LogError::Damaged(_) | LogError::Sqlite { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_log_changed_anywhere_opens_as_it_was_or_anew(
        changes in proptest::collection::vec((0..3_usize, any::<Index>(), any::<u8>(), 1..40_usize), 1..6),
        cut in proptest::option::weighted(0.3, (0..3_usize, any::<Index>())),
    ) {
        let mut files = template().clone();
        for (file, at, byte, length) in changes {
            let bytes = &mut files[file];
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(byte);
        }
        if let Some((file, at)) = cut {
            let length = at.index(files[file].len());
            files[file].truncate(length);
        }
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in FILES.iter().zip(&files) {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        use_it(dir.path());
    }

    /// Whatever became of the database and its journal: every number that was given is held, acknowledged or named as lost, and none is
    /// given again.
    #[test]
    fn a_log_whose_heads_are_whole_accounts_for_every_number(
        changes in proptest::collection::vec((0..2_usize, any::<Index>(), any::<u8>(), 1..400_usize), 1..4),
        gone in proptest::option::weighted(0.2, 0..2_usize),
    ) {
        let mut files = template().clone();
        for (file, at, byte, length) in changes {
            let bytes = &mut files[file];
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(byte);
        }
        let dir = tempfile::tempdir().unwrap();
        for (index, (name, bytes)) in FILES.iter().zip(&files).enumerate() {
            if gone != Some(index) {
                fs::write(dir.path().join(name), bytes).unwrap();
            }
        }
        match EdgeLog::open(dir.path(), Options::default()) {
            Ok((mut log, _)) => {
                for class in Class::ALL {
                    account_for(&mut log, class, 170);
                }
            }
            Err(LogError::Format { .. } | LogError::Sqlite { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_that_were_never_a_log_are_set_aside(bytes in proptest::collection::vec(any::<u8>(), 0..5_000), header in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let bytes = if header { [b"SQLite format 3\0".as_slice(), &bytes].concat() } else { bytes };
        fs::write(dir.path().join(FILES[0]), bytes).unwrap();
        use_it(dir.path());
    }
}
