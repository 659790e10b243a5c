//! Opening the log: alone, whole, and honest about what an earlier life left behind.

use edgeflow_wire::Class;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    EdgeLog, LogError,
    error::is_damage,
    heads,
    mend::{Beginning, Files, Lost, record_missing_end},
    table::{self, ClassRow},
};

/// The database in the log's folder.
pub(crate) const FILE: &str = "edge_log.db";
const LOCK: &str = "edge_log.lock";
const DAMAGED_PREFIX: &str = "edge_log.damaged-";
/// Damaged files kept for people to look at; older ones are removed, since they must not fill the robot's disk.
const DAMAGED_KEPT: usize = 2;

/// How the log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most bytes the held entries may cost (content plus a small overhead each). Beyond it, the least valuable go.
    pub budget_bytes: u64,
    /// How old held entries may become, in the order of [`Class::ALL`]; none: any age. See [`EdgeLog::expire`].
    pub max_age: [Option<Duration>; 4],
}

/// Three days: a long weekend without a link.
const SUMMARY_MAX_AGE: Duration = Duration::from_secs(72 * 3_600);

impl Default for Options {
    fn default() -> Self {
        Self { budget_bytes: 256 * 1024 * 1024, max_age: [None, None, Some(SUMMARY_MAX_AGE), Some(SUMMARY_MAX_AGE)] }
    }
}

/// What was found when the log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// There was none: this is its first epoch.
    Created,
    /// An earlier one goes on.
    Continued,
    /// An earlier one goes on, and the disk did not keep its newest entries: their numbers are on record as lost.
    Shortened {
        /// How many.
        lost: Lost,
    },
    /// An earlier one was damaged or gone, and with it what it held: those numbers are on record as lost, in the same epoch or, where not
    /// even that is known, at the beginning of a new one.
    Replaced {
        /// Where the damaged file is now; none when there was none.
        set_aside: Option<PathBuf>,
        /// What was wrong with it.
        reason: String,
        /// How many entries the control plane had not acknowledged; none when nothing tells.
        lost: Option<Lost>,
    },
}

impl EdgeLog {
    /// Opens the log in `dir`, creating folder and file when missing. Only one process may have it open.
    ///
    /// A damaged file is set aside beside the new one and reported in [`Opened::Replaced`]; entries that are missing at its end are
    /// reported in [`Opened::Shortened`].
    ///
    /// # Errors
    /// [`LogError::Locked`] when another process has it, [`LogError::Format`] when a newer version wrote it,
    /// [`LogError::File`] and [`LogError::Sqlite`] when the disk refuses.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Opened), LogError> {
        Self::open_in(dir, options, &heads::boot())
    }

    /// As [`EdgeLog::open`], in this life of the machine.
    pub(crate) fn open_in(dir: &Path, options: Options, boot: &str) -> Result<(Self, Opened), LogError> {
        fs::create_dir_all(dir).map_err(|source| LogError::File { action: "create the folder", path: dir.to_owned(), source })?;
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let heads = heads::load(dir, boot);
        let beginning = match &heads {
            heads::Found::Told(told) => Beginning::after(told),
            heads::Found::Missing | heads::Found::Unreadable => Beginning::fresh(),
        };
        let files = Files::of(&path);
        let (mut conn, mut opened) = match connect(dir, &path, &beginning)? {
            Found::Whole(conn, Opened::Created) => (conn, gone(&heads, beginning.lost)),
            Found::Whole(conn, opened) => (conn, opened),
            Found::Damaged(reason) => {
                let beginning = if matches!(heads, heads::Found::Told(_)) { beginning } else { Beginning::guessed(&path, files) };
                let set_aside = set_aside(dir, &path)?;
                let lost = beginning.lost;
                tracing::error!(set_aside = %set_aside.display(), reason, %lost, "the edge log was damaged: it begins anew");
                match connect(dir, &path, &beginning)? {
                    Found::Whole(conn, _) => (conn, Opened::Replaced { set_aside: Some(set_aside), reason, lost: Some(lost) }),
                    Found::Damaged(reason) => return Err(LogError::Damaged(damage(reason))),
                }
            }
        };
        let epoch = table::meta(&conn, "epoch").map_err(LogError::sqlite("read"))?;
        let epoch = epoch.ok_or_else(|| LogError::Damaged(damage("it has no epoch".to_owned())))?;
        if opened == Opened::Continued
            && let Some(lost) = record_missing_end(&mut conn, &epoch, &heads, files.journal).map_err(LogError::sqlite("mend"))?
        {
            tracing::error!(%lost, "the disk did not keep the newest entries of the edge log");
            opened = Opened::Shortened { lost };
        }
        let log = Self::from_parts(conn, epoch, options, (dir, boot), lock).map_err(LogError::sqlite("read"))?;
        Ok((log, opened))
    }
}

/// There was no database, or an empty one.
fn gone(heads: &heads::Found, lost: Lost) -> Opened {
    let lost = match heads {
        heads::Found::Missing => return Opened::Created,
        heads::Found::Unreadable => None,
        heads::Found::Told(_) => Some(lost),
    };
    Opened::Replaced { set_aside: None, reason: "its file was gone".to_owned(), lost }
}

fn damage(reason: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(reason))
}

/// Takes the lock file; the operating system releases it when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join(LOCK);
    let failed = |source| LogError::File { action: "lock", path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

enum Found {
    Whole(Connection, Opened),
    Damaged(String),
}

fn connect(dir: &Path, path: &Path, beginning: &Beginning) -> Result<Found, LogError> {
    match try_connect(path, beginning) {
        Ok(Ok((conn, opened))) => {
            let format = table::meta(&conn, "format").map_err(LogError::sqlite("read"))?;
            match format {
                Some(format) if format == table::FORMAT.to_string() => Ok(Found::Whole(conn, opened)),
                Some(found) => Err(LogError::Format { dir: dir.to_owned(), found, known: table::FORMAT }),
                None => Ok(Found::Damaged("it has no format".to_owned())),
            }
        }
        Ok(Err(reason)) => Ok(Found::Damaged(reason)),
        Err(error) if is_damage(&error) => Ok(Found::Damaged(error.to_string())),
        Err(source) => Err(LogError::Sqlite { action: "open", source }),
    }
}

/// The outer error is SQLite's, the inner one what is wrong with a file that SQLite accepts.
fn try_connect(path: &Path, beginning: &Beginning) -> rusqlite::Result<Result<(Connection, Opened), String>> {
    let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // Shorter than the reserve, whatever the disk.
    conn.pragma_update(None, "wal_autocheckpoint", 256)?;
    conn.pragma_update(None, "journal_size_limit", 2 * 1024 * 1024)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))?;
    if tables == 0 {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        beginning.create(&tx)?;
        tx.commit()?;
        return Ok(Ok((conn, Opened::Created)));
    }
    let check: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Ok(Err(check));
    }
    if table::meta(&conn, "format")?.is_some_and(|format| format == table::FORMAT.to_string())
        && let Some(reason) = gap(&conn)?
    {
        return Ok(Err(reason));
    }
    Ok(Ok((conn, Opened::Continued)))
}

/// The first class whose held entries and losses do not join up, if there is one.
pub(crate) fn gap(conn: &Connection) -> rusqlite::Result<Option<String>> {
    for class in Class::ALL {
        let row = ClassRow::load(conn, class)?;
        let (count, first, last): (u64, Option<u64>, Option<u64>) =
            conn.query_row(&format!("SELECT count(*), min(seq), max(seq) FROM {}", table::table(class)), [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let ends_well = last.is_none_or(|last| last < row.next_seq) && first.is_none_or(|first| first >= row.acked_next);
        // Ranges in order, each within the class and without an entry in it: then it is whole when all adds up.
        let (mut at, mut lost, mut apart) = (row.acked_next, 0, true);
        let mut losses = conn.prepare_cached("SELECT first_seq, last_seq FROM loss WHERE class = ?1 ORDER BY first_seq")?;
        let mut ranges = losses.query([table::index(class) as i64])?;
        while let Some(range) = ranges.next()? {
            let (from, to): (u64, u64) = (range.get(0)?, range.get(1)?);
            apart &= at <= from && from <= to && to < row.next_seq;
            let mut within = conn.prepare_cached(&format!("SELECT 1 FROM {} WHERE seq BETWEEN ?1 AND ?2 LIMIT 1", table::table(class)))?;
            if !apart || within.exists([from, to])? {
                apart = false;
                break;
            }
            lost += to - from + 1;
            at = to + 1;
        }
        if !(ends_well && apart && row.acked_next.checked_add(count + lost) == Some(row.next_seq)) {
            let first = first.unwrap_or(row.next_seq);
            return Ok(Some(format!("class {class} has a gap: {count} entries from {first}, {lost} lost, next {}", row.next_seq)));
        }
    }
    Ok(None)
}

fn set_aside(dir: &Path, path: &Path) -> Result<PathBuf, LogError> {
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros());
    let target = dir.join(format!("{DAMAGED_PREFIX}{now_us:020}.db"));
    // The database first: should the process die in between, SQLite drops a journal that it finds beside an empty file.
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&target, suffix));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(LogError::File { action: "set aside", path: from, source }),
        }
    }
    prune_damaged(dir);
    Ok(target)
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes all but the newest damaged files. Failing to is no reason not to log.
fn prune_damaged(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut damaged: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DAMAGED_PREFIX)))
        .collect();
    damaged.sort();
    let surplus = damaged.len().saturating_sub(DAMAGED_KEPT);
    for path in damaged.into_iter().take(surplus) {
        for suffix in ["", "-wal", "-shm"] {
            let path = with_suffix(&path, suffix);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not remove an old damaged edge log");
            }
        }
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
