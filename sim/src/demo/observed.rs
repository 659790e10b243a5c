//! What an independent subscriber sees of one robot. Pure counting; the subscriptions are in `robots`.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

/// Everything seen of one robot so far.
#[derive(Debug, Default)]
pub struct Observed {
    /// Results received.
    pub results: u64,
    /// Of those, repeats of a frame that had one already.
    pub repeated: u64,
    /// When the first came.
    pub first_result_at: Option<SystemTime>,
    /// Results per bundle digest.
    pub results_by_digest: BTreeMap<String, u64>,
    /// Mission events received.
    pub missions: u64,
    /// Mission events whose sequence number does not follow the one before.
    pub missions_out_of_order: u64,
    /// The bridge's newest word on its uplink.
    pub uplink: Option<Uplink>,
    /// Bundle digest that the node said it serves, newest last.
    activations: Vec<Activation>,
    frames: HashSet<i64>,
    last_mission: u64,
}

/// One `active` of the inference node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Activation {
    stamp: i64,
    digest: String,
    swap_gap_us: u32,
}

/// State of the uplink and of the log behind it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uplink {
    /// When it was published, nanoseconds since the Unix epoch.
    pub stamp: i64,
    /// Whether the control plane answers.
    pub connected: bool,
    /// Name of the uplink.
    pub by: String,
    /// Incarnation of the robot's log.
    pub epoch: String,
    /// Per class.
    pub classes: Vec<Class>,
}

/// One class of the log on the robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// `critical`, `event`, `summary` or `detail`.
    pub name: String,
    /// Entries ever appended.
    pub appended: u64,
    /// Entries the control plane has acknowledged.
    pub acknowledged: u64,
}

impl Uplink {
    /// Entries ever appended, over all classes.
    pub fn appended(&self) -> u64 {
        self.classes.iter().map(|class| class.appended).sum()
    }

    /// Entries not acknowledged yet, over all classes.
    pub fn unacknowledged(&self) -> u64 {
        self.classes.iter().map(|class| class.appended.saturating_sub(class.acknowledged)).sum()
    }
}

impl Observed {
    /// A result for the frame of this stamp.
    pub fn result(&mut self, stamp: i64, digest: &str, now: SystemTime) {
        self.results += 1;
        self.first_result_at.get_or_insert(now);
        if !self.frames.insert(stamp) {
            self.repeated += 1;
        }
        match self.results_by_digest.get_mut(digest) {
            Some(count) => *count += 1,
            None => {
                self.results_by_digest.insert(digest.to_owned(), 1);
            }
        }
    }

    /// A mission event.
    pub fn mission(&mut self, sequence: u64) {
        self.missions += 1;
        if sequence != self.last_mission + 1 {
            self.missions_out_of_order += 1;
        }
        self.last_mission = sequence;
    }

    /// The inference node says `active`. The status is latched, so the same one may come again.
    pub fn active(&mut self, stamp: i64, digest: &str, swap_gap_us: u32) {
        let activation = Activation { stamp, digest: digest.to_owned(), swap_gap_us };
        if self.activations.last() != Some(&activation) {
            self.activations.push(activation);
        }
    }

    /// Swaps from one model to another.
    pub fn swaps(&self) -> usize {
        self.activations.len().saturating_sub(1)
    }

    /// Longest gap over the swaps, milliseconds. The first load swaps nothing, so it does not count.
    pub fn swap_gap_ms_max(&self) -> Option<f64> {
        self.activations.iter().skip(1).map(|activation| f64::from(activation.swap_gap_us) / 1000.0).reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_per_digest_and_repeats_are_told() {
        let mut seen = Observed::default();
        let early = SystemTime::UNIX_EPOCH;
        seen.result(1, "a", early);
        seen.result(2, "b", SystemTime::now());
        seen.result(2, "b", SystemTime::now());
        assert_eq!((seen.results, seen.repeated, seen.first_result_at), (3, 1, Some(early)));
        assert_eq!(seen.results_by_digest, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    }

    #[test]
    fn the_first_load_is_no_swap_and_a_latched_status_counts_once() {
        let mut seen = Observed::default();
        assert_eq!(seen.swap_gap_ms_max(), None);
        seen.active(1, "a", 90_000);
        seen.active(1, "a", 90_000);
        assert_eq!((seen.swaps(), seen.swap_gap_ms_max()), (0, None));
        seen.active(2, "b", 40);
        seen.active(3, "a", 250);
        assert_eq!((seen.swaps(), seen.swap_gap_ms_max()), (2, Some(0.25)));
    }

    #[test]
    fn missions_that_skip_repeat_or_turn_back_are_told() {
        let mut seen = Observed::default();
        for sequence in [1, 2, 3] {
            seen.mission(sequence);
        }
        assert_eq!((seen.missions, seen.missions_out_of_order), (3, 0));
        seen.mission(5);
        seen.mission(5);
        assert_eq!((seen.missions, seen.missions_out_of_order), (5, 2));
    }

    #[test]
    fn the_log_is_summed_over_its_classes() {
        let class = |appended, acknowledged| Class { name: "event".into(), appended, acknowledged };
        let uplink = Uplink { classes: vec![class(5, 5), class(7, 4)], ..Uplink::default() };
        assert_eq!((uplink.appended(), uplink.unacknowledged()), (12, 3));
    }
}
