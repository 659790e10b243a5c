//! Bare SQLite on the same rows: what the machine could do.

use rusqlite::{Connection, OpenFlags, types::Value};
use std::{path::Path, time::Instant};

const GROUP: usize = 1_000;

/// Rows per second of SQLite alone: the newest rows of the control plane's table, its schema and indexes, its durability, 1000 rows
/// a transaction.
pub(crate) fn rows_per_second(telemetry_db: &Path) -> f64 {
    let held = Connection::open_with_flags(telemetry_db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let rows: Vec<Vec<Value>> = held
        .prepare("SELECT * FROM entries ORDER BY id DESC LIMIT ?1")
        .unwrap()
        .query_map([crate::BACKLOG], |row| (0..row.as_ref().column_count()).map(|at| row.get(at)).collect())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let schema: Vec<String> = held
        .prepare("SELECT sql FROM sqlite_master WHERE tbl_name IN ('robots', 'entries') AND sql IS NOT NULL")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();

    let dir = tempfile::tempdir().unwrap();
    let mut bare = Connection::open(dir.path().join("bare.db")).unwrap();
    bare.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").unwrap();
    bare.execute_batch(&schema.join(";")).unwrap();
    // Every row names its robot.
    bare.execute("ATTACH ?1 AS held", [telemetry_db.to_str().unwrap()]).unwrap();
    bare.execute_batch("INSERT INTO robots SELECT * FROM held.robots; DETACH held;").unwrap();
    let places = vec!["?"; rows[0].len()].join(", ");
    let began = Instant::now();
    for group in rows.rchunks(GROUP) {
        let transaction = bare.transaction().unwrap();
        {
            let mut insert = transaction.prepare_cached(&format!("INSERT INTO entries VALUES ({places})")).unwrap();
            for row in group.iter().rev() {
                insert.execute(rusqlite::params_from_iter(row)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    rows.len() as f64 / began.elapsed().as_secs_f64()
}

/// The rows as another program sees them.
pub(crate) struct Rows(Connection);

impl Rows {
    pub(crate) fn open(telemetry_db: &Path) -> Self {
        Self(Connection::open_with_flags(telemetry_db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.prepare_cached("SELECT count(*) FROM entries").unwrap().query_row([], |row| row.get(0)).unwrap()
    }
}
