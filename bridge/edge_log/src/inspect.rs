//! The log seen from outside: read-only, beside a bridge that runs or on a file that was set aside.

use edgeflow_wire::{Class, Entry, Loss};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    ClassStats, LogError,
    error::is_damage,
    log::class_stats,
    open::{FILE, gap},
    read,
    table::{self, index, table},
};

/// Read-only access to a log. What the bridge does meanwhile shows from call to call.
#[derive(Debug)]
pub struct LogInspector {
    conn: Connection,
    path: PathBuf,
}

/// One class as people look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassOverview {
    /// Counters since the epoch began.
    pub stats: ClassStats,
    /// Entries held.
    pub held: u64,
    /// Number and time (microseconds since the Unix epoch) of the oldest entry held.
    pub oldest: Option<(u64, i64)>,
    /// Number and time of the newest entry held.
    pub newest: Option<(u64, i64)>,
    /// What was given up, or not kept by the disk, and is not yet known to the control plane.
    pub losses: Vec<Loss>,
}

impl LogInspector {
    /// Opens the log in a folder, or a file by its own name, such as one that was set aside.
    ///
    /// # Errors
    /// [`LogError::File`] when there is none, [`LogError::Format`] when a newer version wrote it, [`LogError::Damaged`] when it
    /// is no database.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        path.metadata().map_err(|source| LogError::File { action: "open", path: path.clone(), source })?;
        let failed = LogError::sqlite("open");
        let conn = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        conn.busy_timeout(Duration::from_secs(5)).map_err(LogError::sqlite("open"))?;
        let format = table::meta(&conn, "format").map_err(LogError::sqlite("read"))?.unwrap_or_default();
        if format != table::FORMAT.to_string() {
            let dir = path.parent().unwrap_or(&path).to_owned();
            return Err(LogError::Format { dir, found: format, known: table::FORMAT });
        }
        Ok(Self { conn, path })
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Identity of this incarnation of the log.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn epoch(&self) -> Result<String, LogError> {
        Ok(table::meta(&self.conn, "epoch").map_err(LogError::sqlite("read"))?.unwrap_or_default())
    }

    /// Each class, in the order of [`Class::ALL`].
    ///
    /// # Errors
    /// What the disk answers.
    pub fn overview(&self) -> Result<Vec<ClassOverview>, LogError> {
        let stats = class_stats(&self.conn).map_err(LogError::sqlite("read"))?;
        stats.into_iter().map(|stats| self.class(stats)).collect::<rusqlite::Result<_>>().map_err(LogError::sqlite("read"))
    }

    fn class(&self, stats: ClassStats) -> rusqlite::Result<ClassOverview> {
        let table = table(stats.class);
        let end = |order: &str| {
            self.conn
                .prepare_cached(&format!("SELECT seq, t_us FROM {table} ORDER BY seq {order} LIMIT 1"))?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        let (oldest, newest): (Option<(u64, i64)>, _) = (end("ASC")?, end("DESC")?);
        let held = match (oldest, newest) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        };
        let mut losses = self
            .conn
            .prepare_cached("SELECT first_seq, last_seq, bytes, first_t_us, last_t_us FROM loss WHERE class = ?1 ORDER BY first_seq")?;
        let losses = losses.query_map([index(stats.class) as i64], read::told)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let between = losses.iter().filter(|loss| oldest.is_some_and(|(first, _)| loss.first_seq > first));
        let between: u64 = between
            .filter(|loss| newest.is_some_and(|(last, _)| loss.last_seq < last))
            .map(|loss| loss.last_seq - loss.first_seq + 1)
            .sum();
        Ok(ClassOverview { held: held.saturating_sub(between), oldest, newest, losses, stats })
    }

    /// Entries of a class from `from_seq` on, ascending; at most `max_entries` and about `max_bytes`, but at least one when
    /// there is one. Those below may have left since they were seen.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn entries(&self, class: Class, from_seq: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        read::entries(&self.conn, class, from_seq, max_entries, max_bytes).map_err(LogError::sqlite("read"))
    }

    /// Checks everything that can be checked: SQLite's pages, numbers without gaps, and the checksum of every entry, of which
    /// `seen` is told the count. Gives what is wrong; nothing when the log is whole.
    ///
    /// # Errors
    /// What the disk answers, damage aside.
    pub fn verify(&self, mut seen: impl FnMut(u64)) -> Result<Vec<String>, LogError> {
        let mut wrong = Vec::new();
        match self.check(&mut wrong, &mut seen) {
            Ok(()) => {}
            Err(error) if is_damage(&error) => wrong.push(error.to_string()),
            Err(source) => return Err(LogError::Sqlite { action: "read", source }),
        }
        Ok(wrong)
    }

    fn check(&self, wrong: &mut Vec<String>, seen: &mut impl FnMut(u64)) -> rusqlite::Result<()> {
        let mut pages = self.conn.prepare("PRAGMA integrity_check")?;
        let mut pages = pages.query([])?;
        while let Some(row) = pages.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                wrong.push(said);
            }
        }
        // One look: the bridge may append and acknowledge meanwhile.
        let look = self.conn.unchecked_transaction()?;
        wrong.extend(gap(&look)?);
        drop(look);
        let mut count = 0;
        for class in Class::ALL {
            let mut rows = self.conn.prepare(&format!("SELECT seq, crc, content FROM {} ORDER BY seq", table(class)))?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let seq: u64 = row.get(0)?;
                if let Some(reason) = read::damage(row.get(1)?, row.get_ref(2)?.as_blob()?) {
                    wrong.push(format!("class {class}, entry {seq}: {reason}"));
                }
                count += 1;
                seen(count);
            }
        }
        Ok(())
    }
}
