//! What a log goes on with whose database, or the end of its journal, was not kept by the disk: the same numbers where its heads are
//! known, with loss records for what is gone; else a new epoch that begins with as many as there can have been.

use edgeflow_wire::Class;
use rusqlite::{Connection, OpenFlags};
use std::{
    fmt, fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    heads::{Found, Told, ToldClass},
    journal::{self, Unread},
    open::with_suffix,
    table::{self, ClassRow, index, lose},
};

/// Least room that an entry takes in a database or its journal: its row's header and numbers, and the least JSON there is, bytes.
const LEAST_ENTRY_BYTES: u64 = 32;

/// Entries that the disk did not keep and the control plane had not acknowledged, over all classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// So many were there.
    pub surely: u64,
    /// There may have been so many; the same unless the power was cut or too little can be read.
    pub at_most: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { surely, at_most } = self;
        match (surely, at_most) {
            (surely, at_most) if surely == at_most => write!(f, "{surely} entries"),
            (0, at_most) => write!(f, "at most {at_most} entries"),
            (surely, at_most) => write!(f, "at least {surely} and at most {at_most} entries"),
        }
    }
}

/// The files of a log before SQLite opens them, which may carry the journal over and remove it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files {
    /// Of the database and its journal.
    bytes: u64,
    pub(crate) journal: Unread,
}

impl Files {
    pub(crate) fn of(path: &Path) -> Self {
        let wal = with_suffix(path, "-wal");
        let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        Self { bytes: length(path) + length(&wal), journal: journal::unread(&wal) }
    }
}

/// How a database begins that has no tables yet.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    epoch: String,
    classes: [ClassBeginning; 4],
    pub(crate) lost: Lost,
}

#[derive(Debug, Clone, Copy)]
struct ClassBeginning {
    acked: u64,
    surely: u64,
    next: u64,
}

impl Beginning {
    /// Nothing was before.
    pub(crate) fn fresh() -> Self {
        let class = ClassBeginning { acked: 1, surely: 1, next: 1 };
        Self { epoch: uuid::Uuid::new_v4().to_string(), classes: [class; 4], lost: Lost::default() }
    }

    /// The database is gone, its heads are known.
    pub(crate) fn after(told: &Told) -> Self {
        let [a, b, c, d] = &told.classes;
        let classes = [a, b, c, d].map(|class| ClassBeginning { acked: class.acked, surely: class.surely, next: class.next });
        let sum = |of: fn(&ClassBeginning) -> u64| classes.iter().map(of).fold(0, u64::saturating_add);
        let lost = Lost { surely: sum(|class| class.surely - class.acked), at_most: sum(|class| class.next - class.acked) };
        Self { epoch: told.epoch.clone(), classes, lost }
    }

    /// The database is damaged and its heads are not known: what it still says of itself, or else what had room in its files, and so
    /// much more as the journal may have held that SQLite no longer reads. What had been evicted and not yet reported is not among it
    /// where the database says nothing.
    pub(crate) fn guessed(path: &Path, files: Files) -> Self {
        let (held, unread) = (files.bytes / LEAST_ENTRY_BYTES, files.journal.bytes / LEAST_ENTRY_BYTES);
        let rows = rows(path);
        let at_most = match rows {
            Some(rows) => rows
                .map(|row| row.next_seq.saturating_sub(row.acked_next).min(held.saturating_add(row.lost.min(held))).saturating_add(unread)),
            None => [held; 4],
        };
        let whole = if rows.is_some() { at_most.iter().sum() } else { held };
        let classes = at_most.map(|count| ClassBeginning { acked: 1, surely: 1, next: count + 1 });
        Self { classes, lost: Lost { surely: 0, at_most: whole }, ..Self::fresh() }
    }

    /// Creates the tables, in the caller's transaction.
    pub(crate) fn create(&self, tx: &Connection) -> rusqlite::Result<()> {
        table::create(tx, &self.epoch)?;
        let now = now_us();
        for (class, begins) in Class::ALL.into_iter().zip(&self.classes) {
            let ClassBeginning { acked, surely, next } = *begins;
            lose(tx, class, acked..surely, false, (now, now))?;
            lose(tx, class, surely..next, true, (now, now))?;
            ClassRow { next_seq: next, acked_next: acked, lost: next - acked, bytes: 0 }.save(tx, class)?;
        }
        Ok(())
    }
}

/// Puts on record what the database, whole as it is, does not have: the disk did not keep the end of its journal, or gave back an older
/// file. Gives what is lost, if anything is.
///
/// The heads tell it; after a power cut, whose last moments they do not know, so does what is unread of the journal. Without heads that is
/// all there is, and the bound is what had room in it.
pub(crate) fn record_missing_end(conn: &mut Connection, epoch: &str, heads: &Found, unread: Unread) -> rusqlite::Result<Option<Lost>> {
    let rows = ClassRow::load_all(conn)?;
    let room = unread.bytes / LEAST_ENTRY_BYTES;
    let behind = || rows.map(|row| ToldClass { acked: row.acked_next, surely: row.next_seq, next: row.next_seq.saturating_add(room) });
    let (told, evident) = match heads {
        Found::Told(told) if told.epoch == epoch => (told.classes, unread.flushed),
        // A log that never had any may have been cut off in its last transaction.
        Found::Told(_) | Found::Missing => (behind(), unread.flushed),
        Found::Unreadable => (behind(), room > 0),
    };
    let pairs = || rows.iter().zip(&told);
    let missing = pairs().any(|(row, told)| row.next_seq < told.surely) || (evident && pairs().any(|(row, told)| row.next_seq < told.next));
    if !missing {
        return Ok(None);
    }
    let tx = conn.transaction()?;
    let mut lost = Lost::default();
    for class in Class::ALL {
        let (mut row, told) = (rows[index(class)], told[index(class)]);
        if row.next_seq >= told.next {
            continue;
        }
        let newest = tx
            .prepare_cached(&format!("SELECT max(t_us) FROM {} WHERE seq = ?1", table::table(class)))?
            .query_row([row.next_seq - 1], |row| row.get::<_, Option<i64>>(0))?;
        let now = now_us();
        let between = (newest.map_or(now, |newest| newest.min(now)), now);
        let surely = told.surely.max(row.next_seq);
        lose(&tx, class, row.next_seq..surely, false, between)?;
        lose(&tx, class, surely..told.next, true, between)?;
        lost.surely += surely - row.next_seq;
        lost.at_most += told.next - row.next_seq;
        row.lost += told.next - row.next_seq;
        row.next_seq = told.next;
        row.save(&tx, class)?;
    }
    tx.commit()?;
    Ok(Some(lost))
}

fn rows(path: &Path) -> Option<[ClassRow; 4]> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    ClassRow::load_all(&conn).ok()
}

fn now_us() -> i64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_micros()).unwrap_or(i64::MAX)
}
