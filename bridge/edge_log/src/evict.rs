//! What the log gives up before the control plane has it: by the byte budget and by age. Always from the head of a class, so
//! that what is lost is one range, and always with a loss record in its place.

use edgeflow_wire::Class;
use rusqlite::{Transaction, params};
use std::time::Duration;

use crate::{
    EdgeLog, LogError,
    error::is_full,
    table::{ClassRow, DAMAGED_AT_MOST, cost, index, table},
};

/// Entries that one transaction gives up because of their age: the log stays free for those who append.
const EXPIRED_AT_ONCE: u64 = 10_000;

/// An entry at the head of a class.
struct Head {
    seq: u64,
    t_us: i64,
    boot_us: i64,
}

impl EdgeLog {
    /// Gives up entries older than their class may be, with loss records in their place, and returns how many. At most
    /// 10,000 a call: call again until it is 0. `now_t_us` and `now_boot_us` are the same moment, as entries carry them.
    ///
    /// The age of an entry of this life of the process is told by the boot clock, which never steps; that of an earlier
    /// one by the wall clock, which is all that is left of it.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn expire(&mut self, now_t_us: i64, now_boot_us: i64) -> Result<u64, LogError> {
        let (ages, opened_at, mut sealed) = (self.options.max_age, self.opened_at, self.loss_sealed);
        let give_up = |tx: &Transaction<'_>, sealed: &mut [bool; 4]| {
            let mut lost = 0;
            for class in Class::ALL {
                let Some(max_age) = ages[index(class)] else { continue };
                let mut row = ClassRow::load(tx, class)?;
                let (before, mut budget) = (row, EXPIRED_AT_ONCE - lost);
                evict_from(tx, class, &mut row, &mut sealed[index(class)], |head, _| {
                    let age_us = if head.seq >= opened_at[index(class)] { now_boot_us - head.boot_us } else { now_t_us - head.t_us };
                    let old = budget > 0 && older(age_us, max_age);
                    budget = budget.saturating_sub(1);
                    old
                })?;
                if row != before {
                    row.save(tx, class)?;
                }
                lost += row.lost - before.lost;
            }
            Ok(lost)
        };
        let mut lost = self.transact(|tx| give_up(tx, &mut sealed));
        if lost.as_ref().is_err_and(is_full) {
            sealed = self.loss_sealed;
            lost = self.in_reserve(|log| log.transact(|tx| give_up(tx, &mut sealed)));
        }
        let lost = lost.map_err(LogError::sqlite("expire entries of"))?;
        self.loss_sealed = sealed;
        Ok(lost)
    }
}

fn older(age_us: i64, max_age: Duration) -> bool {
    u128::try_from(age_us).is_ok_and(|age_us| age_us > max_age.as_micros())
}

/// Makes room: the least valuable class gives first.
pub(crate) fn make_room(tx: &Transaction<'_>, rows: &mut [ClassRow; 4], budget_bytes: u64, sealed: &mut [bool; 4]) -> rusqlite::Result<()> {
    for class in Class::ALL.into_iter().rev() {
        let total: u64 = rows.iter().map(|row| row.bytes).sum();
        let row = &mut rows[index(class)];
        if total <= budget_bytes {
            return Ok(());
        }
        if row.bytes > 0 {
            let surplus = total - budget_bytes;
            evict_from(tx, class, row, &mut sealed[index(class)], |_, freed| freed < surplus)?;
        }
    }
    Ok(())
}

/// Takes entries from the head as long as `goes` says so, which is told the entry and the bytes freed before it.
fn evict_from(
    tx: &Transaction<'_>,
    class: Class,
    row: &mut ClassRow,
    sealed: &mut bool,
    mut goes: impl FnMut(&Head, u64) -> bool,
) -> rusqlite::Result<()> {
    let mut freed = 0;
    // Ranges: what the disk did not keep between two entries is on record already.
    let mut runs: Vec<Gone> = Vec::new();
    {
        let mut head = tx.prepare_cached(&format!("SELECT seq, t_us, boot_us, length(content) FROM {} ORDER BY seq", table(class)))?;
        let mut head = head.query([])?;
        while let Some(entry) = head.next()? {
            let at = Head { seq: entry.get(0)?, t_us: entry.get(1)?, boot_us: entry.get(2)? };
            if !goes(&at, freed) {
                break;
            }
            let bytes = cost(entry.get(3)?);
            freed += bytes;
            match runs.last_mut().filter(|run| run.last_seq + 1 == at.seq) {
                Some(run) => (run.last_seq, run.last_t_us, run.bytes) = (at.seq, at.t_us, run.bytes + bytes),
                None => runs.push(Gone { first_seq: at.seq, last_seq: at.seq, bytes, first_t_us: at.t_us, last_t_us: at.t_us }),
            }
        }
    }
    let Some(last) = runs.last() else { return Ok(()) };
    tx.prepare_cached(&format!("DELETE FROM {} WHERE seq <= ?1", table(class)))?.execute([last.last_seq])?;
    row.bytes -= freed;
    for run in &runs {
        row.lost += run.last_seq - run.first_seq + 1;
        record(tx, class, run, sealed)?;
    }
    Ok(())
}

/// Entries that follow each other and are given up.
struct Gone {
    first_seq: u64,
    last_seq: u64,
    bytes: u64,
    first_t_us: i64,
    last_t_us: i64,
}

/// In a record of its own, or in the one before where that may grow.
fn record(tx: &Transaction<'_>, class: Class, gone: &Gone, sealed: &mut bool) -> rusqlite::Result<()> {
    let Gone { first_seq, last_seq, bytes, first_t_us, last_t_us } = *gone;
    let grown = !*sealed
        && tx
            .prepare_cached(
                "UPDATE loss SET last_seq = ?3, bytes = bytes + ?4, last_t_us = ?5 WHERE class = ?1 AND last_seq = ?2 AND bytes > ?6",
            )?
            .execute(params![index(class) as i64, first_seq - 1, last_seq, bytes, last_t_us, DAMAGED_AT_MOST])?
            > 0;
    if !grown {
        tx.prepare_cached("INSERT INTO loss VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            index(class) as i64,
            first_seq,
            last_seq,
            bytes,
            first_t_us,
            last_t_us
        ])?;
        *sealed = false;
    }
    Ok(())
}
