//! Log entries as the control plane holds them, and the account it can give of a robot's log.

use edgeflow_wire::{Class, Content};
use serde::Serialize;

use crate::{TargetName, ingestion::LossCause};

/// An entry as it is held.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEntry {
    /// Place in the order of arrival, over all robots.
    pub id: i64,
    /// Whose entry it is.
    pub target: TargetName,
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Its class.
    pub class: Class,
    /// Place in its class.
    pub seq: u64,
    /// When it happened, by the robot's clock, microseconds since the Unix epoch.
    pub t_us: i64,
    /// When it arrived, by ours.
    pub received_us: i64,
    /// What happened.
    pub content: Content,
}

impl StoredEntry {
    /// How it is shown.
    pub fn view(&self) -> EntryView {
        EntryView {
            id: self.id,
            epoch: self.epoch.clone(),
            class: self.class.as_str().to_owned(),
            seq: self.seq,
            kind: self.content.kind().to_owned(),
            t_us: self.t_us,
            received_us: self.received_us,
            body: body(&self.content),
        }
    }
}

/// JSON of an entry's body.
pub fn body(content: &Content) -> serde_json::Value {
    match content {
        Content::Unknown { body, .. } => body.clone(),
        Content::Known(known) => {
            serde_json::to_value(known).ok().and_then(|value| value.get("body").cloned()).unwrap_or(serde_json::Value::Null)
        }
    }
}

/// An entry as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EntryView {
    /// Place in the order of arrival, over all robots.
    pub id: i64,
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// `critical`, `event`, `summary` or `detail`.
    pub class: String,
    /// Place in its class, from 1, without gaps.
    pub seq: u64,
    /// What kind of fact it is.
    pub kind: String,
    /// When it happened, by the robot's clock, microseconds since the Unix epoch.
    pub t_us: i64,
    /// When it arrived, by ours.
    pub received_us: i64,
    /// What happened.
    pub body: serde_json::Value,
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct EntryFilter {
    /// Of this robot only.
    pub target: Option<TargetName>,
    /// Of these kinds only; any when empty.
    pub kinds: Vec<String>,
    /// Only what [`crate::event::notable`] is.
    pub notable: bool,
    /// Of these classes only; any when empty.
    pub classes: Vec<Class>,
    /// Beyond this id only, in the order asked for.
    pub after: Option<i64>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// At most so many.
    pub limit: u32,
}

/// A range of a robot's log that will never come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LossView {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// `critical`, `event`, `summary` or `detail`.
    pub class: String,
    /// First lost sequence number.
    pub first_seq: u64,
    /// Last lost sequence number.
    pub last_seq: u64,
    /// How many.
    pub count: u64,
    /// Why.
    pub cause: LossCause,
    /// Bytes they took on the robot; 0 where it did not say.
    pub bytes: u64,
    /// Stamp of the first, by the robot's clock, microseconds since the Unix epoch; `null` where it did not say. Where its disk did not
    /// keep them, a moment not after it.
    pub first_t_us: Option<i64>,
    /// Stamp of the last; where the robot's disk did not keep them, when it found that.
    pub last_t_us: Option<i64>,
    /// When we heard of it, by our clock.
    pub recorded_us: i64,
}

/// The account of one class of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ClassAccount {
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// `critical`, `event`, `summary` or `detail`.
    pub class: String,
    /// First sequence number that is not held.
    pub next_seq: u64,
    /// Rows stored.
    pub stored: u64,
    /// Different sequence numbers among them.
    pub distinct: u64,
    /// Entries recorded as lost, for whatever cause.
    pub lost: u64,
    /// Of those, the ones lost because the control plane was restored from a backup.
    pub rewound: u64,
    /// Of those, the ones of which the robot's disk did not keep whether there were any: a range with an upper bound.
    pub at_most: u64,
    /// Entries that were stored, and removed since by the retention policy.
    pub removed: u64,
}

/// Sums over classes and epochs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LogTotals {
    /// Rows stored.
    pub stored: u64,
    /// Rows that hold a sequence number another row holds too.
    pub duplicated: u64,
    /// Sequence numbers below a position that are neither stored nor recorded as lost or removed.
    pub missing: u64,
    /// Entries recorded as lost.
    pub lost_recorded: u64,
    /// Entries that were stored, and removed since by the retention policy.
    pub removed: u64,
}

/// The account of a robot's log, counted from the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LogView {
    /// Whose log.
    pub target: String,
    /// Per epoch and class.
    pub classes: Vec<ClassAccount>,
    /// Sums.
    pub entries: LogTotals,
    /// Batches and hellos that were refused: malformed, or of a cloned log.
    pub refused_batches: u64,
}

impl LogView {
    /// Sums up.
    pub fn new(target: &TargetName, classes: Vec<ClassAccount>, refused_batches: u64) -> Self {
        let mut entries = LogTotals::default();
        for class in &classes {
            entries.stored += class.stored;
            entries.duplicated += class.stored - class.distinct;
            entries.missing += (class.next_seq - 1).saturating_sub(class.distinct + class.lost + class.removed);
            entries.lost_recorded += class.lost;
            entries.removed += class.removed;
        }
        Self { target: target.to_string(), classes, entries, refused_batches }
    }
}
