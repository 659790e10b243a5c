//! What is kept of robots' logs, how finely and until when; and what goes first when it takes too much room.
//!
//! Entries are kept whole for as long as their class says, counted from their arrival here: a robot's clock may be off by
//! years. Numbers are kept as they came, then by the minute, then by the hour, by the time they are stamped with: that is
//! what their series are ordered by. Positions, losses, the newest entry of each kind, slots and attestations are no part
//! of it: they are small, and what the fleet is known by.

use edgeflow_wire::Class;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::{CoreError, rollup::Resolution};

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Most days anything is kept: a hundred years.
const MOST_DAYS: u32 = 36_500;
/// Least room: below it a database is all overhead.
const LEAST_BYTES: u64 = 4 << 20;

/// How long and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Days numbers are kept as they came.
    pub raw_days: u32,
    /// Days they are kept by the minute at least.
    pub minute_days: u32,
    /// Days they are kept by the hour at least.
    pub hour_days: u32,
    /// Days entries of class `critical` are kept.
    pub critical_days: u32,
    /// Days entries of class `event` are kept.
    pub event_days: u32,
    /// Days entries of class `summary` are kept; their numbers stay as roll-ups.
    pub summary_days: u32,
    /// Days entries of class `detail` are kept.
    pub detail_days: u32,
    /// Days entries of a kind are kept, whatever their class.
    pub kinds: BTreeMap<String, u32>,
    /// Most bytes all of it takes on disk.
    pub max_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            raw_days: 7,
            minute_days: 60,
            hour_days: 730,
            critical_days: 730,
            event_days: 365,
            summary_days: 30,
            detail_days: 7,
            kinds: BTreeMap::new(),
            max_bytes: 8 << 30,
        }
    }
}

/// Until when, at one moment. Everything before it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Raw numbers are folded into minutes.
    pub raw_us: i64,
    /// Minutes are folded into hours.
    pub minute_us: i64,
    /// Hours are removed.
    pub hour_us: i64,
}

impl Policy {
    /// Whether the policy makes sense.
    ///
    /// # Errors
    /// Names the key that does not, and what it may be.
    pub fn validate(&self) -> Result<(), CoreError> {
        let bad = |key: &str, reason: String| Err(CoreError::BadRetention { key: format!("retention.{key}"), reason });
        let days = [
            ("raw_days", self.raw_days),
            ("minute_days", self.minute_days),
            ("hour_days", self.hour_days),
            ("critical_days", self.critical_days),
            ("event_days", self.event_days),
            ("summary_days", self.summary_days),
            ("detail_days", self.detail_days),
        ];
        let kinds = self.kinds.iter().map(|(kind, days)| (format!("kinds.{kind}"), *days));
        for (key, days) in days.into_iter().map(|(key, days)| (key.to_owned(), days)).chain(kinds) {
            if !(1..=MOST_DAYS).contains(&days) {
                return bad(&key, format!("{days} is out of range; give 1 to {MOST_DAYS} days"));
            }
        }
        for (key, days, finer_key, finer) in
            [("minute_days", self.minute_days, "raw_days", self.raw_days), ("hour_days", self.hour_days, "minute_days", self.minute_days)]
        {
            if days < finer {
                return bad(key, format!("{days} is less than {finer_key}, {finer}: what is coarser is kept at least as long"));
            }
        }
        if self.max_bytes < LEAST_BYTES || i64::try_from(self.max_bytes).is_err() {
            return bad("max_bytes", format!("{} is out of range; give at least {LEAST_BYTES} bytes", self.max_bytes));
        }
        Ok(())
    }

    /// Days an entry is kept.
    pub fn entry_days(&self, class: Class, kind: &str) -> u32 {
        self.kinds.get(kind).copied().unwrap_or(match class {
            Class::Critical => self.critical_days,
            Class::Event => self.event_days,
            Class::Summary => self.summary_days,
            Class::Detail => self.detail_days,
        })
    }

    /// Entries of a class and kind that arrived before this are due.
    pub fn entries_before_us(&self, class: Class, kind: &str, now_us: i64) -> i64 {
        before(now_us, self.entry_days(class, kind))
    }

    /// Until when numbers are kept how finely. On the hour, and of minutes on the day, so that a series is touched once for
    /// many of its samples.
    pub fn cutoffs(&self, now_us: i64) -> Cutoffs {
        let day = |t_us: i64| t_us.saturating_sub(t_us.rem_euclid(DAY_US));
        Cutoffs {
            raw_us: Resolution::Hour.bucket_of(before(now_us, self.raw_days)),
            minute_us: day(before(now_us, self.minute_days)),
            hour_us: day(before(now_us, self.hour_days)),
        }
    }
}

fn before(now_us: i64, days: u32) -> i64 {
    now_us.saturating_sub(i64::from(days).saturating_mul(DAY_US))
}

/// Something that can be given up for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sacrifice {
    /// Entries of a class.
    Entries(Class),
    /// The resolution of numbers: they are folded into the next coarser one, and hours are removed.
    Numbers(Resolution),
}

/// What goes first when there is no room, the oldest of each before the next: an entry's numbers outlive it, what is coarser
/// outlives what is finer, and what people act on outlives all of it.
pub const SACRIFICES: [Sacrifice; 7] = [
    Sacrifice::Entries(Class::Detail),
    Sacrifice::Numbers(Resolution::Raw),
    Sacrifice::Entries(Class::Summary),
    Sacrifice::Numbers(Resolution::Minute),
    Sacrifice::Numbers(Resolution::Hour),
    Sacrifice::Entries(Class::Event),
    Sacrifice::Entries(Class::Critical),
];

/// Why something is kept no longer, or no longer as finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its time was up.
    Age,
    /// There was no room.
    Space,
}

impl Cause {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Age => "age",
            Cause::Space => "space",
        }
    }

    /// The cause of that name.
    pub fn parse(word: &str) -> Result<Self, CoreError> {
        match word {
            "age" => Ok(Cause::Age),
            "space" => Ok(Cause::Space),
            _ => Err(CoreError::UnknownWord { what: "cause of a removal", word: word.to_owned(), expected: "age or space" }),
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries removed, samples or roll-ups folded into coarser ones, or hours removed.
    pub count: u64,
    /// Bytes of their content: kind and body of an entry, 16 a number.
    pub bytes: u64,
}

impl std::ops::AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// How much room the logs take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that hold something.
    pub used_bytes: u64,
    /// Bytes on disk: with those that are free to be used again, and what is not yet merged into the file.
    pub file_bytes: u64,
}

/// What was removed of a robot's log, or folded into something coarser, all in all. Never removed itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RemovalView {
    /// `entries`; or `raw`, `minute` and `hour`: numbers that are no longer kept so finely.
    pub what: String,
    /// Incarnation of the robot's log; `null` of numbers.
    pub epoch: Option<String>,
    /// Class of the entries; `null` of numbers.
    pub class: Option<String>,
    /// Kind of the entries; `null` of numbers.
    pub kind: Option<String>,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub count: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Stamp of the oldest, microseconds since the Unix epoch.
    pub first_t_us: i64,
    /// Stamp of the newest: what is there of it begins after this.
    pub last_t_us: i64,
    /// When it was last done, by our clock.
    pub at_us: i64,
}

/// What is kept, and the room it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RetentionView {
    /// Days numbers are kept as they came.
    pub raw_days: u32,
    /// Days they are kept by the minute.
    pub minute_days: u32,
    /// Days they are kept by the hour.
    pub hour_days: u32,
    /// Days entries are kept, by class.
    pub class_days: BTreeMap<String, u32>,
    /// Days entries of a kind are kept, whatever their class.
    pub kind_days: BTreeMap<String, u32>,
    /// Most bytes that may hold something; beyond them the least valuable and oldest goes first.
    pub max_bytes: u64,
    /// Bytes that hold something.
    pub used_bytes: u64,
    /// Bytes on disk.
    pub file_bytes: u64,
}

impl RetentionView {
    /// How a policy and its effect are shown.
    pub fn new(policy: &Policy, usage: Usage) -> Self {
        let class_days = Class::ALL.map(|class| (class.as_str().to_owned(), policy.entry_days(class, "")));
        Self {
            raw_days: policy.raw_days,
            minute_days: policy.minute_days,
            hour_days: policy.hour_days,
            class_days: class_days.into(),
            kind_days: policy.kinds.clone(),
            max_bytes: policy.max_bytes,
            used_bytes: usage.used_bytes,
            file_bytes: usage.file_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_its_own_limit_and_every_other_one_its_classs() {
        let policy = Policy { kinds: [("fault".to_owned(), 9_999)].into(), ..Policy::default() };
        assert_eq!((policy.entry_days(Class::Critical, "fault"), policy.entry_days(Class::Critical, "mission")), (9_999, 730));
        let days = Class::ALL.map(|class| policy.entry_days(class, "x"));
        assert!(days.is_sorted_by(|a, b| a >= b), "what is more valuable is kept longer: {days:?}");
        assert_eq!(policy.entries_before_us(Class::Detail, "x", 8 * DAY_US), DAY_US);
        assert_eq!(policy.entries_before_us(Class::Detail, "x", i64::MIN), i64::MIN);
    }

    #[test]
    fn numbers_are_cut_on_the_hour_and_on_the_day() {
        let policy = Policy { raw_days: 1, minute_days: 2, hour_days: 3, ..Policy::default() };
        let cutoffs = policy.cutoffs(10 * DAY_US + 5_400_000_000);
        assert_eq!((cutoffs.raw_us, cutoffs.minute_us, cutoffs.hour_us), (9 * DAY_US + 3_600_000_000, 8 * DAY_US, 7 * DAY_US));
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused_with_the_key() {
        Policy::default().validate().unwrap();
        let good = Policy::default;
        for (policy, want) in [
            (Policy { raw_days: 0, ..good() }, "retention.raw_days: 0 is out of range; give 1 to 36500 days"),
            (Policy { minute_days: 6, ..good() }, "retention.minute_days: 6 is less than raw_days, 7"),
            (Policy { hour_days: 59, ..good() }, "retention.hour_days: 59 is less than minute_days, 60"),
            (Policy { kinds: [("fault".to_owned(), 0)].into(), ..good() }, "retention.kinds.fault: 0 is out of range"),
            (Policy { max_bytes: 1 << 20, ..good() }, "retention.max_bytes: 1048576 is out of range"),
        ] {
            let error = policy.validate().unwrap_err().to_string();
            assert!(error.contains(want), "{error} should contain {want}");
        }
    }
}
