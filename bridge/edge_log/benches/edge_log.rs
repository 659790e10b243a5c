//! How fast the log takes entries in groups, against bare SQLite inserting rows of the same size in equal transactions with
//! the same durability. Prints one JSON object per figure; `cargo xtask bench edge-log` reads them.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use edgeflow_edge_log::{EdgeLog, NewEntry, Options};
use edgeflow_wire::{Class, Content};
use rusqlite::{Connection, params};
use std::time::Instant;

const ROUNDS: i64 = 9;
const GROUP: i64 = 1000;
const CONTENT_BYTES: usize = 300;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = EdgeLog::open(&dir.path().join("log"), Options::default()).unwrap();
    let mut bare = Connection::open(dir.path().join("bare.db")).unwrap();
    bare.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE entry (seq INTEGER PRIMARY KEY, t_us INTEGER NOT NULL, boot_us INTEGER NOT NULL, content BLOB NOT NULL);",
    )
    .unwrap();
    let body = serde_json::json!({ "text": "x".repeat(CONTENT_BYTES - 50) });
    let content = Content::Unknown { kind: "bench".to_owned(), body };
    let blob = serde_json::to_vec(&content).unwrap();
    let group: Vec<NewEntry> =
        (0..GROUP).map(|i| NewEntry { class: Class::Event, t_us: i, boot_us: i, content: content.clone() }).collect();

    // Interleaved, so that a slow spell of the disk meets both.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        ours.push(rows_per_second(|| {
            log.append_all(&group).unwrap();
        }));
        theirs.push(rows_per_second(|| {
            let tx = bare.transaction().unwrap();
            {
                let mut insert = tx.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4)").unwrap();
                for i in 0..GROUP {
                    insert.execute(params![round * GROUP + i, i, i, blob]).unwrap();
                }
            }
            tx.commit().unwrap();
        }));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(r#"{{"id":"sqlite_insert_per_s","value":{theirs},"unit":"rows/s","ratio_to":null,"ratio":null}}"#);
    let ratio = ours / theirs;
    println!(r#"{{"id":"edge_log_append_per_s","value":{ours},"unit":"rows/s","ratio_to":"sqlite_insert_per_s","ratio":{ratio}}}"#);
}

fn rows_per_second(group: impl FnOnce()) -> f64 {
    let began = Instant::now();
    group();
    GROUP as f64 / began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
