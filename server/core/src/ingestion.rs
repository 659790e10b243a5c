//! How a robot's log becomes durable here: once, in order, and with every loss on record.
//!
//! Per robot, epoch and class the control plane keeps a *position*: the next sequence number it wants. Everything below
//! is stored or recorded as lost. The rules, in the order they are tried:
//!
//! 1. A batch whose entries are not an ascending run, or whose loss does not end where the entries begin, is malformed.
//! 2. What lies below the position is an overlap: compared with what is stored ([`agrees`]) and skipped. An entry that
//!    differs proves that two logs share one epoch (a cloned disk, a log put back from a copy): the epoch is refused.
//! 3. A run that begins at the position is stored and moves it.
//! 4. A run that begins above it leaves a gap. Where the batch's loss covers the gap, the range is recorded with the robot's reason:
//!    `evicted`, or `log_damaged` where its disk did not keep them. Where the robot's last hello said that it holds nothing that old any more, the control plane must have forgotten
//!    what it once acknowledged (it was restored from a backup): the range is recorded as `server_rewound`. Any other
//!    gap is out of order: nothing is stored and the robot is told where to resume.
//! 5. A hello that claims fewer entries than are held refuses the epoch: that log has been put back.
//!
//! The two sides of rules 2 and 5 catch a clone as soon as the two logs disagree about a sequence number that reaches us
//! twice. A clone that only ever continues exactly where the other stopped is indistinguishable from the original.

use edgeflow_wire::{Batch, ClassPosition, Entry, Hello, Loss};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::CoreError;

/// Where one class of one epoch of one robot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// First sequence number that is not held: everything below is stored or recorded as lost.
    pub next_seq: u64,
    /// Oldest sequence number the robot still held at its last hello.
    pub robot_first_seq: u64,
}

impl Default for Position {
    fn default() -> Self {
        Self { next_seq: 1, robot_first_seq: 1 }
    }
}

/// Why a range of entries will never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// The robot ran out of room before its link returned.
    Evicted,
    /// The robot's disk did not keep them.
    LogDamaged,
    /// The robot's disk did not keep them, and no word on how many there were: at most so many. At the beginning of an epoch it stands
    /// for what an earlier log may have held.
    LogDamagedAtMost,
    /// The control plane once held them and was restored from a backup that does not.
    ServerRewound,
}

impl LossCause {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            LossCause::Evicted => "evicted",
            LossCause::LogDamaged => "log_damaged",
            LossCause::LogDamagedAtMost => "log_damaged_at_most",
            LossCause::ServerRewound => "server_rewound",
        }
    }

    /// The cause that a robot names.
    pub fn told(loss: &Loss) -> Self {
        match (loss.damaged, loss.at_most) {
            (false, false) => LossCause::Evicted,
            (true, false) => LossCause::LogDamaged,
            (_, true) => LossCause::LogDamagedAtMost,
        }
    }

    /// The cause of that name.
    pub fn parse(word: &str) -> Result<Self, CoreError> {
        match word {
            "evicted" => Ok(LossCause::Evicted),
            "log_damaged" => Ok(LossCause::LogDamaged),
            "log_damaged_at_most" => Ok(LossCause::LogDamagedAtMost),
            "server_rewound" => Ok(LossCause::ServerRewound),
            _ => {
                let expected = "evicted, log_damaged, log_damaged_at_most or server_rewound";
                Err(CoreError::UnknownWord { what: "cause of a loss", word: word.to_owned(), expected })
            }
        }
    }
}

/// A range of entries that will never come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRange {
    /// First lost sequence number.
    pub first_seq: u64,
    /// Last lost sequence number.
    pub last_seq: u64,
    /// Why.
    pub cause: LossCause,
}

impl LostRange {
    /// How many entries were lost.
    pub fn count(&self) -> u64 {
        self.last_seq - self.first_seq + 1
    }
}

/// What to do with a batch. The overlap, `entries[..skip]`, must still agree with what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Store `entries[skip..]` and `lost`, and move the position to `next_seq`, all in one transaction.
    Apply {
        /// How many entries are held already.
        skip: usize,
        /// Ranges to record as lost, ascending.
        lost: Vec<LostRange>,
        /// The new position.
        next_seq: u64,
    },
    /// Earlier entries are missing: store nothing.
    OutOfOrder,
}

/// Whether the batch is well-formed in itself (rule 1).
pub fn check(batch: &Batch) -> Result<(), CoreError> {
    let bad = |reason: String| Err(CoreError::BadBatch { reason });
    if batch.epoch.is_empty() || batch.epoch.len() > 64 {
        return bad("the epoch is empty or longer than 64 characters".to_owned());
    }
    if let Some(loss) = &batch.loss
        && (loss.first_seq == 0 || loss.first_seq > loss.last_seq || loss.last_seq >= i64::MAX as u64)
    {
        return bad(format!("a loss from {} to {} is no range", loss.first_seq, loss.last_seq));
    }
    let Some(first) = batch.entries.first().map(|entry| entry.seq) else {
        return if batch.loss.is_some() { Ok(()) } else { bad("there is neither an entry nor a loss".to_owned()) };
    };
    if first == 0 {
        return bad("sequence numbers begin at 1".to_owned());
    }
    for (at, entry) in batch.entries.iter().enumerate() {
        if Some(entry.seq) != first.checked_add(at as u64) || entry.seq >= i64::MAX as u64 {
            return bad(format!("entry {at} has the sequence number {} where {} was due", entry.seq, first.saturating_add(at as u64)));
        }
    }
    match &batch.loss {
        Some(loss) if loss.last_seq + 1 != first => bad(format!("the loss ends at {} but the entries begin at {first}", loss.last_seq)),
        _ => Ok(()),
    }
}

/// What to do with a well-formed batch at this position (rules 2 to 4).
pub fn plan(position: Position, batch: &Batch) -> Plan {
    let next = position.next_seq;
    let loss = batch.loss.as_ref();
    let Some(first) = batch.entries.first().map(|entry| entry.seq).or_else(|| loss.map(|loss| loss.last_seq + 1)) else {
        return Plan::Apply { skip: 0, lost: Vec::new(), next_seq: next };
    };
    let end = first + batch.entries.len() as u64;
    if first <= next {
        let skip = (next - first).min(batch.entries.len() as u64) as usize;
        return Plan::Apply { skip, lost: Vec::new(), next_seq: next.max(end) };
    }
    // The gap is [next, first). `covered` is where the robot's own loss record takes over.
    let covered = loss.map_or(first, |loss| loss.first_seq).max(next);
    let mut lost = Vec::new();
    if next < covered {
        if covered > position.robot_first_seq {
            return Plan::OutOfOrder;
        }
        lost.push(LostRange { first_seq: next, last_seq: covered - 1, cause: LossCause::ServerRewound });
    }
    if covered < first {
        lost.push(LostRange { first_seq: covered, last_seq: first - 1, cause: loss.map_or(LossCause::Evicted, LossCause::told) });
    }
    Plan::Apply { skip: 0, lost, next_seq: end }
}

/// Whether a hello is well-formed in itself.
pub fn check_hello(hello: &Hello) -> Result<(), CoreError> {
    let bad = |reason: String| Err(CoreError::BadBatch { reason });
    if hello.epoch.is_empty() || hello.epoch.len() > 64 {
        return bad("the epoch is empty or longer than 64 characters".to_owned());
    }
    for (at, position) in hello.classes.iter().enumerate() {
        if position.first_seq == 0 || position.first_seq > position.next_seq || position.next_seq >= i64::MAX as u64 {
            return bad(format!("class {} cannot stand at {} to {}", position.class, position.first_seq, position.next_seq));
        }
        if hello.classes[..at].iter().any(|earlier| earlier.class == position.class) {
            return bad(format!("class {} is named twice", position.class));
        }
    }
    Ok(())
}

/// Whether the log that says hello can be the one whose entries are held (rule 5); otherwise why not.
pub fn greet(held_next_seq: u64, claimed: &ClassPosition) -> Result<(), String> {
    if claimed.next_seq < held_next_seq {
        return Err(format!(
            "class {}: the log has {} entries but {} are held here; it was cloned or put back, open a new epoch",
            claimed.class,
            claimed.next_seq - 1,
            held_next_seq - 1
        ));
    }
    Ok(())
}

/// What is compared of an entry that came before.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its sequence number.
    pub seq: u64,
    /// When it happened, by the robot's clock.
    pub t_us: i64,
    /// When it happened, since boot.
    pub boot_us: i64,
    /// Its kind.
    pub kind: String,
    /// JSON of its body, as stored.
    pub body: String,
}

/// Kind and JSON text of an entry's body, as they are stored.
pub fn body_of(entry: &Entry) -> Result<(String, String), CoreError> {
    let kind = entry.content.kind().to_owned();
    let value = serde_json::to_value(&entry.content).map_err(|error| CoreError::BadBatch { reason: error.to_string() })?;
    let body = value.get("body").cloned().unwrap_or(Value::Null);
    Ok((kind, body.to_string()))
}

/// Whether an entry that comes again says what it said before.
///
/// Bodies agree when the fields they share do: a version in between may have learnt, or lost, a field.
pub fn agrees(held: &Held, entry: &Entry) -> bool {
    if (held.seq, held.t_us, held.boot_us) != (entry.seq, entry.t_us, entry.boot_us) {
        return false;
    }
    let Ok((kind, body)) = body_of(entry) else { return false };
    if kind != held.kind {
        return false;
    }
    if body == held.body {
        return true;
    }
    match (serde_json::from_str(&held.body), serde_json::from_str(&body)) {
        (Ok(held), Ok(now)) => shares(&held, &now),
        _ => false,
    }
}

fn shares(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(key, value)| b.get(key).is_none_or(|other| shares(value, other))),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| shares(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
#[path = "ingestion_tests.rs"]
mod tests;
