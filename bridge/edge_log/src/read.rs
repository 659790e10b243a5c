//! Reading the backlog in pieces, never the whole of it.

use edgeflow_wire::{Class, Content, Entry, Loss};
use rusqlite::{Connection, params};
use serde_json::json;

use crate::{
    EdgeLog, LogError,
    table::{ClassRow, Why, index, table},
};

/// Kind of the entry that stands in for one whose bytes on the disk are not those that were appended. Its body has
/// `bytes` and `reason`: the number keeps its place, and what was lost is named.
pub const DAMAGED_KIND: &str = "damaged";

/// A run of one class, as a [`Batch`](edgeflow_wire::Batch) carries it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// What was lost before the control plane had it, up to the first entry: all evicted or all by damage.
    pub loss: Option<Loss>,
    /// Entries, ascending and gap-free.
    pub entries: Vec<Entry>,
}

impl EdgeLog {
    /// Reads on from `from_seq`, the control plane's position, or from the oldest thing known where that is newer: a
    /// control plane that was restored from a backup may want what it once acknowledged, and it is gone. Such a run begins
    /// beyond the position without a loss that says so; since the hello said what is held, the control plane records the
    /// gap as `server_rewound`, and nothing that the robot lost is blamed on it. At most `max_entries` and about `max_bytes` of content,
    /// but at least one entry when there is one.
    ///
    /// # Errors
    /// [`LogError::BeyondEnd`] when the position was never appended here, or what the disk answers.
    pub fn read(&mut self, class: Class, from_seq: u64, max_entries: usize, max_bytes: usize) -> Result<Run, LogError> {
        let row = ClassRow::load(&self.conn, class).map_err(LogError::sqlite("read"))?;
        if from_seq > row.next_seq {
            return Err(LogError::BeyondEnd { class, wanted: from_seq, next_seq: row.next_seq });
        }
        let from_seq = from_seq.max(row.acked_next);
        let loss = loss(&self.conn, class, from_seq).map_err(LogError::sqlite("read"))?;
        if loss.is_some() {
            self.loss_sealed[index(class)] = true;
        }
        let from_seq = loss.as_ref().map_or(from_seq, |loss| loss.last_seq + 1);
        let mut entries = entries(&self.conn, class, from_seq, max_entries, max_bytes).map_err(LogError::sqlite("read"))?;
        // Where the disk did not keep some in the middle, the next run begins with that loss.
        let run = entries.iter().zip(from_seq..).take_while(|(entry, due)| entry.seq == *due).count();
        entries.truncate(run);
        Ok(Run { loss, entries })
    }
}

/// The unreported losses that begin at `from_seq` or before, as one range as far as they join up and have one reason.
fn loss(conn: &Connection, class: Class, from_seq: u64) -> rusqlite::Result<Option<Loss>> {
    let mut records = conn.prepare_cached(
        "SELECT first_seq, last_seq, bytes, first_t_us, last_t_us FROM loss WHERE class = ?1 AND last_seq >= ?2 ORDER BY first_seq",
    )?;
    let mut records = records.query(params![index(class) as i64, from_seq])?;
    let mut whole: Option<Loss> = None;
    while let Some(record) = records.next()? {
        let mut next = told(record)?;
        let unknown_from = next.first_seq.max(from_seq);
        let (unknown, all) = (next.last_seq - unknown_from + 1, next.last_seq - next.first_seq + 1);
        let bytes = (u128::from(next.bytes) * u128::from(unknown) / u128::from(all)) as u64;
        match &mut whole {
            None if next.first_seq > from_seq => break,
            None => {
                (next.first_seq, next.bytes) = (unknown_from, bytes);
                whole = Some(next);
            }
            Some(loss) if loss.last_seq + 1 != next.first_seq || (loss.damaged, loss.at_most) != (next.damaged, next.at_most) => break,
            Some(loss) => {
                loss.last_seq = next.last_seq;
                loss.bytes += bytes;
                loss.last_t_us = next.last_t_us;
            }
        }
    }
    Ok(whole)
}

/// A row of `first_seq, last_seq, bytes, first_t_us, last_t_us`.
pub(crate) fn told(record: &rusqlite::Row<'_>) -> rusqlite::Result<Loss> {
    let bytes = record.get(2)?;
    let why = Why::of(bytes);
    Ok(Loss {
        first_seq: record.get(0)?,
        last_seq: record.get(1)?,
        bytes: if why == Why::Evicted { bytes } else { 0 },
        first_t_us: record.get(3)?,
        last_t_us: record.get(4)?,
        damaged: why != Why::Evicted,
        at_most: why == Why::DamagedAtMost,
    })
}

pub(crate) fn entries(
    conn: &Connection,
    class: Class,
    from_seq: u64,
    max_entries: usize,
    max_bytes: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut rows = conn
        .prepare_cached(&format!("SELECT seq, t_us, boot_us, crc, content FROM {} WHERE seq >= ?1 ORDER BY seq LIMIT ?2", table(class)))?;
    let mut rows = rows.query(params![from_seq, max_entries.max(1)])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let content = row.get_ref(4)?.as_blob()?;
        bytes += content.len();
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        let seq = row.get(0)?;
        let content = decode(class, seq, row.get(3)?, content);
        entries.push(Entry { seq, t_us: row.get(1)?, boot_us: row.get(2)?, content });
    }
    Ok(entries)
}

fn decode(class: Class, seq: u64, crc: u32, content: &[u8]) -> Content {
    let damaged = |reason: String| {
        tracing::error!(%class, seq, reason, "an edge log entry is damaged");
        Content::Unknown { kind: DAMAGED_KIND.to_owned(), body: json!({ "bytes": content.len(), "reason": reason }) }
    };
    if let Some(reason) = rotten(crc, content) {
        return damaged(reason.to_owned());
    }
    serde_json::from_slice(content).unwrap_or_else(|error| damaged(not_json(&error)))
}

/// What is wrong with the bytes of an entry, if anything is.
pub(crate) fn damage(crc: u32, content: &[u8]) -> Option<String> {
    let parsed = || serde_json::from_slice::<Content>(content).err().map(|error| not_json(&error));
    rotten(crc, content).map(str::to_owned).or_else(parsed)
}

fn rotten(crc: u32, content: &[u8]) -> Option<&'static str> {
    (crc32fast::hash(content) != crc).then_some("its checksum does not match: the disk returned other bytes than were written")
}

fn not_json(error: &serde_json::Error) -> String {
    format!("it is not the JSON that was written: {error}")
}
