//! The tables and the one row per class that says where the class stands.

use edgeflow_wire::Class;
use rusqlite::{Connection, OptionalExtension, params};
use std::ops::Range;

/// Version of the tables, kept in `meta`.
pub(crate) const FORMAT: u32 = 1;

/// What a row costs besides its content: its numbers, its header and its share of the page.
const ROW_OVERHEAD_BYTES: u64 = 32;

/// Bytes that an entry with this much content counts against the budget.
pub(crate) fn cost(content_bytes: u64) -> u64 {
    content_bytes + ROW_OVERHEAD_BYTES
}

/// One table per class, so that every append goes to the end of its tree and pages stay full.
pub(crate) fn table(class: Class) -> &'static str {
    match class {
        Class::Critical => "entry_critical",
        Class::Event => "entry_event",
        Class::Summary => "entry_summary",
        Class::Detail => "entry_detail",
    }
}

/// Where the class is in arrays of all classes and in the `class` column.
pub(crate) fn index(class: Class) -> usize {
    class as usize
}

/// Why entries will never come: told by the `bytes` of a loss record, since an entry that was evicted always took some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// There was no room, or they grew too old.
    Evicted,
    /// The disk did not keep them.
    Damaged,
    /// The disk kept no word on whether there were any: at most so many.
    DamagedAtMost,
}

/// `bytes` of a record of [`Why::Damaged`] and [`Why::DamagedAtMost`].
const DAMAGED: u64 = 0;
pub(crate) const DAMAGED_AT_MOST: u64 = 1;

impl Why {
    pub(crate) fn of(bytes: u64) -> Self {
        match bytes {
            DAMAGED => Why::Damaged,
            DAMAGED_AT_MOST => Why::DamagedAtMost,
            _ => Why::Evicted,
        }
    }
}

/// A loss record of damage, between two moments in microseconds since the Unix epoch; none for an empty range.
pub(crate) fn lose(tx: &Connection, class: Class, range: Range<u64>, at_most: bool, t_us: (i64, i64)) -> rusqlite::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let bytes = if at_most { DAMAGED_AT_MOST } else { DAMAGED };
    tx.prepare_cached("INSERT INTO loss VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![index(class) as i64, range.start, range.end - 1, bytes, t_us.0, t_us.1])
        .map(drop)
}

/// Creates every table and the first epoch. The caller gives the transaction.
pub(crate) fn create(tx: &Connection, epoch: &str) -> rusqlite::Result<()> {
    tx.execute_batch(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
         CREATE TABLE class (class INTEGER PRIMARY KEY, next_seq INTEGER NOT NULL, acked_next INTEGER NOT NULL,
                             lost INTEGER NOT NULL, bytes INTEGER NOT NULL);
         CREATE TABLE loss (class INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, bytes INTEGER NOT NULL,
                            first_t_us INTEGER NOT NULL, last_t_us INTEGER NOT NULL, PRIMARY KEY (class, first_seq)) WITHOUT ROWID;",
    )?;
    for class in Class::ALL {
        tx.execute_batch(&format!(
            "CREATE TABLE {} (seq INTEGER PRIMARY KEY, t_us INTEGER NOT NULL, boot_us INTEGER NOT NULL, crc INTEGER NOT NULL, content BLOB NOT NULL);",
            table(class)
        ))?;
        tx.execute("INSERT INTO class VALUES (?1, 1, 1, 0, 0)", [index(class) as i64])?;
    }
    tx.execute("INSERT INTO meta VALUES ('format', ?1), ('epoch', ?2)", params![FORMAT.to_string(), epoch])?;
    Ok(())
}

/// A value of `meta`.
pub(crate) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Where one class stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClassRow {
    /// What the next append gets.
    pub(crate) next_seq: u64,
    /// First sequence number the control plane has not acknowledged.
    pub(crate) acked_next: u64,
    /// Entries evicted, or lost by the disk, before they were acknowledged, in this epoch.
    pub(crate) lost: u64,
    /// Cost of the held entries.
    pub(crate) bytes: u64,
}

impl ClassRow {
    /// Reads the row of one class.
    pub(crate) fn load(conn: &Connection, class: Class) -> rusqlite::Result<Self> {
        conn.prepare_cached("SELECT next_seq, acked_next, lost, bytes FROM class WHERE class = ?1")?
            .query_row([index(class) as i64], |row| {
                Ok(Self { next_seq: row.get(0)?, acked_next: row.get(1)?, lost: row.get(2)?, bytes: row.get(3)? })
            })
    }

    /// Reads the rows of all classes, in the order of [`Class::ALL`].
    pub(crate) fn load_all(conn: &Connection) -> rusqlite::Result<[Self; 4]> {
        let [a, b, c, d] = Class::ALL.map(|class| Self::load(conn, class));
        Ok([a?, b?, c?, d?])
    }

    /// Writes the row of one class.
    pub(crate) fn save(&self, tx: &Connection, class: Class) -> rusqlite::Result<()> {
        tx.prepare_cached("UPDATE class SET next_seq = ?2, acked_next = ?3, lost = ?4, bytes = ?5 WHERE class = ?1")?.execute(params![
            index(class) as i64,
            self.next_seq,
            self.acked_next,
            self.lost,
            self.bytes
        ])?;
        Ok(())
    }
}

/// Oldest entry held, if any.
pub(crate) fn first_entry(conn: &Connection, class: Class) -> rusqlite::Result<Option<u64>> {
    conn.prepare_cached(&format!("SELECT min(seq) FROM {}", table(class)))?.query_row([], |row| row.get(0))
}
