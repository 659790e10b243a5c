//! Lineage: what ran on a robot, by its own word, and from when to when.
//!
//! An interval is *attested*: it begins with the entry in which the robot said that a bundle serves, and ends with the one in
//! which it said something else. What it was told to run is desired state and never makes one.

use serde::Serialize;

use crate::target::SlotNow;

/// A time over which a robot said that one bundle served in one slot, by the robot's clock, microseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Interval {
    /// Which slot.
    pub slot: String,
    /// Registry name of the model, as the robot said it.
    pub model: String,
    /// Registry version, as the robot said it.
    pub version: String,
    /// Digest of the bundle: what it was, whatever it was called.
    pub digest: String,
    /// When the robot first said so.
    pub from_us: i64,
    /// When it last said so. What ran between this and the end is not attested.
    pub last_us: i64,
    /// When it said something else; `null` while it has not.
    pub to_us: Option<i64>,
}

/// That a robot ran a bundle, once or many times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Ran {
    /// The robot.
    pub target: String,
    /// When it first said so, by its clock, microseconds since the Unix epoch.
    pub first_us: i64,
    /// When it last said so.
    pub last_us: i64,
    /// Over how many intervals, of all slots.
    pub intervals: u64,
    /// Whether it has said nothing else since.
    pub now: bool,
}

/// Which intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntervalFilter {
    /// Only those that reach into this time or beyond.
    pub from_us: i64,
    /// Only those that begin before.
    pub to_us: i64,
    /// At most so many, the newest.
    pub limit: u32,
}

impl IntervalFilter {
    /// What ran at one moment.
    pub fn at(t_us: i64) -> Self {
        Self { from_us: t_us, to_us: t_us.saturating_add(1), limit: 1_000 }
    }
}

/// What a newer word about a slot does to its intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The open one ends; the robot last said it at this time.
    pub ends: Option<i64>,
    /// A new one begins.
    pub begins: bool,
}

/// The turn from one word to the next; `None` when the same bundle serves on, or still none.
pub fn turn(before: Option<&SlotNow>, now: &SlotNow) -> Option<Turn> {
    let serving = before.filter(|before| !before.state.digest.is_empty());
    if serving.map_or("", |before| &before.state.digest) == now.state.digest {
        return None;
    }
    Some(Turn { ends: serving.map(|before| before.at.t_us), begins: !now.state.digest.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Moment;
    use edgeflow_wire::{Class, SlotState, SlotStatus};

    fn now(digest: &str, t_us: i64) -> SlotNow {
        let state =
            SlotState { status: SlotStatus::Active, model: "m".into(), version: "1".into(), digest: digest.into(), ..SlotState::default() };
        SlotNow { state, since_us: t_us, at: Moment { epoch_ordinal: 1, class: Class::Critical, seq: 1, t_us } }
    }

    #[test]
    fn an_interval_begins_and_ends_with_what_serves_and_with_nothing_else() {
        assert_eq!(turn(None, &now("", 1)), None);
        assert_eq!(turn(None, &now("a", 1)), Some(Turn { ends: None, begins: true }));
        assert_eq!(turn(Some(&now("", 1)), &now("a", 2)), Some(Turn { ends: None, begins: true }));
        assert_eq!(turn(Some(&now("a", 1)), &now("a", 2)), None);
        assert_eq!(turn(Some(&now("a", 1)), &now("b", 2)), Some(Turn { ends: Some(1), begins: true }));
        assert_eq!(turn(Some(&now("a", 1)), &now("", 2)), Some(Turn { ends: Some(1), begins: false }));
    }
}
