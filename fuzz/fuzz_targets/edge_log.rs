//! A log whose files were changed anywhere opens as it was, or as a new epoch, and works from there on. The input is a list of changes,
//! four bytes each: which file, where (two bytes), and what is there now.
#![no_main]

use edgeflow_edge_log::{EdgeLog, LogError, NewEntry, Options};
use edgeflow_wire::{Class, Content};
use std::{fs, path::Path, sync::OnceLock};

const FILES: [&str; 3] = ["edge_log.db", "edge_log.db-wal", "edge_log.heads"];

fn entry(class: Class, n: i64) -> NewEntry {
    NewEntry { class, t_us: n, boot_us: n, content: Content::Unknown { kind: "n".into(), body: format!("{n} {}", "x".repeat(300)).into() } }
}

fn template() -> &'static [Vec<u8>; 3] {
    static TEMPLATE: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let options = Options { budget_bytes: 20_000, ..Options::default() };
        for life in 0..2 {
            let mut log = EdgeLog::open(dir.path(), options).expect("a log").0;
            for n in 1..=20 {
                log.append_all(&Class::ALL.map(|class| entry(class, life * 20 + n))).expect("room");
            }
            log.acknowledge(Class::Event, 5).expect("room");
            if life == 1 {
                return FILES.map(|name| fs::read(dir.path().join(name)).expect("the log's files"));
            }
        }
        unreachable!("there are two lives")
    })
}

fn use_it(dir: &Path) {
    let mut log = match EdgeLog::open(dir, Options::default()) {
        Ok((log, _)) => log,
        Err(LogError::Format { .. } | LogError::Sqlite { .. }) => return,
        Err(other) => panic!("{other:?}"),
    };
    for class in Class::ALL {
        if let Ok(run) = log.read(class, 1, 1_000, usize::MAX) {
            assert!(run.entries.is_sorted_by(|a, b| a.seq + 1 == b.seq), "{class}");
        }
    }
    drop(log.append_all(&Class::ALL.map(|class| entry(class, 7))));
    for class in Class::ALL {
        drop(log.acknowledge(class, 3));
    }
}

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    let mut files = template().clone();
    for change in changes.chunks_exact(4) {
        let bytes = &mut files[usize::from(change[0] & 0x3f) % FILES.len()];
        let at = (usize::from(change[1]) << 8 | usize::from(change[2])) * (1 + usize::from(change[0] >> 6)) % bytes.len();
        bytes[at] = change[3];
    }
    // In memory where there is such a place: what is looked for does not depend on the disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    for (name, bytes) in FILES.iter().zip(&files) {
        fs::write(dir.path().join(name), bytes).expect("room");
    }
    // As long as it should be: nothing is looked for in the time it takes to write it.
    let reserve = fs::File::create(dir.path().join("edge_log.reserve")).expect("room");
    reserve.set_len(4 * 1024 * 1024).expect("room");
    use_it(dir.path());
});
