//! Writing to the log: append, acknowledge, begin a new epoch. Each is one transaction.

use edgeflow_wire::{Class, ClassPosition, Content};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::{fs::File, path::Path};

use crate::{
    LogError, Options,
    error::is_full,
    evict::make_room,
    heads::{self, Heads},
    reserve::Reserve,
    table::{self, ClassRow, DAMAGED_AT_MOST, cost, index, table},
};

/// Most bytes one entry's content may take as JSON: alone in a batch it must pass the control plane's limit of 1 MiB a packet,
/// even when it does not compress.
pub const MAX_ENTRY_BYTES: usize = 512 * 1024;

/// Numbers that one transaction forgets on a disk that is full.
const TRIMMED_AT_ONCE: u64 = 256;

/// Gives the journal's room back to the disk.
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// An entry that has no number yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    /// How valuable it is.
    pub class: Class,
    /// When it happened, microseconds since the Unix epoch (UTC).
    pub t_us: i64,
    /// The same moment, microseconds since the robot booted.
    pub boot_us: i64,
    /// What happened.
    pub content: Content,
}

/// Counters of one class in the present epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassStats {
    /// The class.
    pub class: Class,
    /// Entries ever appended: the newest sequence number.
    pub appended: u64,
    /// Entries the control plane has acknowledged, counted from 1.
    pub acknowledged: u64,
    /// Entries evicted, or not kept by the disk, before they were acknowledged. One that was evicted while its acknowledgement was
    /// on the way counts too.
    pub lost: u64,
    /// What the held entries cost against the budget.
    pub held_bytes: u64,
}

/// The robot's log. Calls block on the disk: keep it on a thread of its own.
#[derive(Debug)]
pub struct EdgeLog {
    pub(crate) conn: Connection,
    epoch: String,
    pub(crate) options: Options,
    /// Per class: first number appended since the log was opened. Of these the boot clock can tell the age.
    pub(crate) opened_at: [u64; 4],
    /// Per class: the newest loss record may have been sent, or is from an earlier life, so it must not grow any more.
    pub(crate) loss_sealed: [bool; 4],
    reserve: Reserve,
    heads: Heads,
    /// Held as long as the log is open.
    _lock: File,
}

impl EdgeLog {
    pub(crate) fn from_parts(
        conn: Connection,
        epoch: String,
        options: Options,
        (dir, boot): (&Path, &str),
        lock: File,
    ) -> rusqlite::Result<Self> {
        let rows = ClassRow::load_all(&conn)?;
        let (opened_at, heads) = (rows.map(|row| row.next_seq), Heads::begin(dir, boot, &epoch, &rows));
        let reserve = Reserve::beside_log(dir);
        Ok(Self { conn, epoch, options, opened_at, loss_sealed: [true; 4], reserve, heads, _lock: lock })
    }

    /// Identity of this incarnation of the log.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Appends one entry and returns its sequence number. When this returns, the entry is on the disk.
    ///
    /// # Errors
    /// [`LogError::EntryTooLarge`], or what the disk answers.
    pub fn append(&mut self, class: Class, t_us: i64, boot_us: i64, content: Content) -> Result<u64, LogError> {
        let seqs = self.append_all(&[NewEntry { class, t_us, boot_us, content }])?;
        Ok(seqs.first().copied().unwrap_or_default())
    }

    /// Appends entries in one transaction, all or none, and returns their sequence numbers in the same order.
    ///
    /// # Errors
    /// As [`EdgeLog::append`].
    pub fn append_all(&mut self, entries: &[NewEntry]) -> Result<Vec<u64>, LogError> {
        let contents = entries.iter().map(|entry| encode(&entry.content)).collect::<Result<Vec<_>, _>>()?;
        let failed = LogError::sqlite("append to");
        let (budget_bytes, sealed) = (self.options.budget_bytes, self.loss_sealed);
        self.heads.promise(&heads::counts(entries.iter().map(|entry| entry.class)));
        let mut appended = self.transact(|tx| append(tx, entries, &contents, budget_bytes, sealed));
        if appended.as_ref().is_err_and(is_full) {
            // The database may have free pages where only its journal has no room to grow: it begins anew in the room it has.
            self.checkpoint("PRAGMA wal_checkpoint(RESTART)");
            appended = self.transact(|tx| append(tx, entries, &contents, budget_bytes, sealed));
        }
        let (seqs, rows, sealed) = appended.map_err(failed)?;
        self.heads.note(&rows);
        self.loss_sealed = sealed;
        self.reserve.mend();
        Ok(seqs)
    }

    /// Takes the control plane's word that it holds everything of `class` below `next_seq`: durable first, then trimmed.
    /// An older position changes nothing.
    ///
    /// # Errors
    /// [`LogError::BeyondEnd`] when the position was never appended here, or what the disk answers.
    pub fn acknowledge(&mut self, class: Class, next_seq: u64) -> Result<(), LogError> {
        let row = ClassRow::load(&self.conn, class).map_err(LogError::sqlite("read"))?;
        if next_seq > row.next_seq {
            return Err(LogError::BeyondEnd { class, wanted: next_seq, next_seq: row.next_seq });
        }
        if next_seq <= row.acked_next {
            return Ok(());
        }
        match self.transact(|tx| trim(tx, class, next_seq)) {
            Err(error) if is_full(&error) => self.in_reserve(|log| {
                // Little by little: each step's journal must fit into the reserve.
                let mut at = row.acked_next;
                while at < next_seq {
                    at = at.saturating_add(TRIMMED_AT_ONCE).min(next_seq);
                    log.transact(|tx| trim(tx, class, at))?;
                    log.checkpoint(TRUNCATE);
                }
                Ok(())
            }),
            done => done,
        }
        .map_err(LogError::sqlite("trim"))?;
        let rows = ClassRow::load_all(&self.conn).map_err(LogError::sqlite("read"))?;
        self.heads.note(&rows);
        Ok(())
    }

    /// Begins a new epoch and returns its identity: what is held and what is lost but not reported moves over, numbered
    /// from 1 again. For when the control plane refuses the epoch or knows more of it than this file does.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn reopen_epoch(&mut self) -> Result<String, LogError> {
        let epoch = uuid::Uuid::new_v4().to_string();
        let mut opened_at = self.opened_at;
        let before = ClassRow::load_all(&self.conn).map_err(LogError::sqlite("read"))?;
        self.heads.rename(&epoch, &before);
        let renumbered = self.transact(|tx| {
            for class in Class::ALL {
                let offset = renumber(tx, class)?;
                let first = &mut opened_at[index(class)];
                *first = first.saturating_sub(offset).max(1);
            }
            tx.execute("UPDATE meta SET value = ?1 WHERE key = 'epoch'", [&epoch])?;
            ClassRow::load_all(tx)
        });
        match &renumbered {
            Ok(rows) => self.heads.note(rows),
            Err(_) => {
                self.heads.rename(&self.epoch, &before);
                self.heads.note(&before);
            }
        }
        renumbered.map_err(LogError::sqlite("begin a new epoch of"))?;
        self.opened_at = opened_at;
        self.epoch.clone_from(&epoch);
        Ok(epoch)
    }

    /// Where each class stands, for the hello.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn positions(&self) -> Result<Vec<ClassPosition>, LogError> {
        Class::ALL
            .into_iter()
            .map(|class| {
                let next_seq = ClassRow::load(&self.conn, class)?.next_seq;
                let first_seq = table::first_entry(&self.conn, class)?.unwrap_or(next_seq);
                Ok(ClassPosition { class, first_seq, next_seq })
            })
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(LogError::sqlite("read"))
    }

    /// Counters of each class.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn stats(&self) -> Result<Vec<ClassStats>, LogError> {
        class_stats(&self.conn).map_err(LogError::sqlite("read"))
    }

    /// Does what frees room on a disk that has none.
    pub(crate) fn in_reserve<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        if self.reserve.release() {
            tracing::warn!("the disk of the edge log is full: its reserve is used to note what can go");
        }
        self.checkpoint(TRUNCATE);
        let result = work(self);
        self.checkpoint(TRUNCATE);
        self.reserve.take();
        result
    }

    /// Carries the journal over into the database. Where that fails, it goes on growing.
    fn checkpoint(&self, pragma: &str) {
        if let Err(error) = self.conn.query_row(pragma, [], |_| Ok(())) {
            tracing::warn!(%error, "the journal of the edge log could not be carried over");
        }
    }

    pub(crate) fn transact<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&tx)?;
        tx.commit()?;
        Ok(result)
    }
}

/// Counters of each class, in the order of [`Class::ALL`].
pub(crate) fn class_stats(conn: &Connection) -> rusqlite::Result<Vec<ClassStats>> {
    let rows = ClassRow::load_all(conn)?;
    let stats = Class::ALL.into_iter().zip(rows).map(|(class, row)| ClassStats {
        class,
        appended: row.next_seq - 1,
        acknowledged: row.acked_next - 1,
        lost: row.lost,
        held_bytes: row.bytes,
    });
    Ok(stats.collect())
}

fn encode(content: &Content) -> Result<Vec<u8>, LogError> {
    let kind = || content.kind().to_owned();
    let json = serde_json::to_vec(content).map_err(|source| LogError::Encode { kind: kind(), source })?;
    if json.len() > MAX_ENTRY_BYTES {
        return Err(LogError::EntryTooLarge { kind: kind(), bytes: json.len(), limit_bytes: MAX_ENTRY_BYTES });
    }
    Ok(json)
}

fn append(
    tx: &Transaction<'_>,
    entries: &[NewEntry],
    contents: &[Vec<u8>],
    budget_bytes: u64,
    mut sealed: [bool; 4],
) -> rusqlite::Result<(Vec<u64>, [ClassRow; 4], [bool; 4])> {
    let before = ClassRow::load_all(tx)?;
    let mut rows = before;
    let mut seqs = Vec::with_capacity(entries.len());
    for (entry, content) in entries.iter().zip(contents) {
        let row = &mut rows[index(entry.class)];
        tx.prepare_cached(&format!("INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5)", table(entry.class)))?.execute(params![
            row.next_seq,
            entry.t_us,
            entry.boot_us,
            crc32fast::hash(content),
            content
        ])?;
        seqs.push(row.next_seq);
        row.next_seq += 1;
        row.bytes += cost(content.len() as u64);
    }
    make_room(tx, &mut rows, budget_bytes, &mut sealed)?;
    for (class, (row, before)) in Class::ALL.into_iter().zip(rows.iter().zip(&before)) {
        if row != before {
            row.save(tx, class)?;
        }
    }
    Ok((seqs, rows, sealed))
}

/// Forgets what lies below `next_seq`: entries, and losses that the control plane now knows.
fn trim(tx: &Transaction<'_>, class: Class, next_seq: u64) -> rusqlite::Result<()> {
    let mut row = ClassRow::load(tx, class)?;
    let held: Option<(u64, u64)> = tx
        .prepare_cached(&format!("SELECT count(*), coalesce(sum(length(content)), 0) FROM {} WHERE seq < ?1", table(class)))?
        .query_row([next_seq], |found| Ok(Some((found.get(0)?, found.get(1)?))))?;
    let (count, bytes) = held.unwrap_or_default();
    row.bytes = row.bytes.saturating_sub(bytes + count * cost(0));
    row.acked_next = next_seq;
    row.save(tx, class)?;
    tx.prepare_cached(&format!("DELETE FROM {} WHERE seq < ?1", table(class)))?.execute([next_seq])?;
    tx.prepare_cached("DELETE FROM loss WHERE class = ?1 AND last_seq < ?2")?.execute(params![index(class) as i64, next_seq])?;
    // A range the control plane knows in part keeps its unknown part; its bytes are shared out evenly.
    tx.prepare_cached(
        "UPDATE loss SET bytes = CASE WHEN bytes > ?3 THEN bytes * (last_seq - ?2 + 1) / (last_seq - first_seq + 1) ELSE bytes END,
                         first_seq = ?2
         WHERE class = ?1 AND first_seq < ?2",
    )?
    .execute(params![index(class) as i64, next_seq, DAMAGED_AT_MOST])?;
    Ok(())
}

/// Numbers one class from 1 again, keeping its order, its held entries and its unreported losses. Gives what was taken off.
fn renumber(tx: &Transaction<'_>, class: Class) -> rusqlite::Result<u64> {
    let mut row = ClassRow::load(tx, class)?;
    let offset = row.acked_next - 1;
    // Each table is walked in ascending order, so that a number is free before it is taken.
    tx.execute(&format!("UPDATE {} SET seq = seq - ?1", table(class)), [offset])?;
    tx.execute(
        "UPDATE loss SET first_seq = first_seq - ?2, last_seq = last_seq - ?2 WHERE class = ?1",
        params![index(class) as i64, offset],
    )?;
    row.lost =
        tx.query_row("SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM loss WHERE class = ?1", [index(class) as i64], |found| {
            found.get(0)
        })?;
    row.next_seq -= offset;
    row.acked_next = 1;
    row.save(tx, class)?;
    Ok(offset)
}
