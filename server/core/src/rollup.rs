//! Numbers over time, more coarsely: what a minute or an hour of samples amounts to.
//!
//! Roll-ups of parts merge to the roll-up of the whole, in any order, so that samples can be folded as they age, a few at a
//! time, and those that arrive late join what was folded before them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::CoreError;

/// How finely numbers are kept or shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// As they came.
    Raw,
    /// One roll-up a minute.
    Minute,
    /// One roll-up an hour.
    Hour,
}

impl Resolution {
    /// Its name in the store and in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Resolution::Raw => "raw",
            Resolution::Minute => "minute",
            Resolution::Hour => "hour",
        }
    }

    /// The resolution of that name.
    pub fn parse(word: &str) -> Result<Self, CoreError> {
        match word {
            "raw" => Ok(Resolution::Raw),
            "minute" => Ok(Resolution::Minute),
            "hour" => Ok(Resolution::Hour),
            _ => Err(CoreError::UnknownWord { what: "resolution", word: word.to_owned(), expected: "raw, minute or hour" }),
        }
    }

    /// Length of a bucket, microseconds; 1 of raw numbers, each of which is its own.
    pub fn bucket_us(self) -> i64 {
        match self {
            Resolution::Raw => 1,
            Resolution::Minute => 60_000_000,
            Resolution::Hour => 3_600_000_000,
        }
    }

    /// Beginning of the bucket a moment is in.
    pub fn bucket_of(self, t_us: i64) -> i64 {
        t_us.saturating_sub(t_us.rem_euclid(self.bucket_us()))
    }

    /// What it is folded into; hours are the last.
    pub fn coarser(self) -> Option<Self> {
        match self {
            Resolution::Raw => Some(Resolution::Minute),
            Resolution::Minute => Some(Resolution::Hour),
            Resolution::Hour => None,
        }
    }
}

/// What some samples of one channel amount to. There is at least one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RollUp {
    /// How many.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
    /// The newest; of several at that moment the greatest.
    pub last: f64,
    /// When that was, microseconds since the Unix epoch.
    pub last_t_us: i64,
}

impl RollUp {
    /// Of one sample.
    pub fn of(t_us: i64, value: f64) -> Self {
        Self { count: 1, min: value, max: value, sum: value, last: value, last_t_us: t_us }
    }

    /// Of both together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let newest = if (self.last_t_us, self.last) >= (other.last_t_us, other.last) { self } else { other };
        Self {
            count: self.count + other.count,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            sum: self.sum + other.sum,
            ..newest
        }
    }

    /// Their mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// Roll-ups by the bucket they are in, from roll-ups that are at least as fine and anywhere in time.
pub fn fold(into: Resolution, parts: impl IntoIterator<Item = (i64, RollUp)>) -> BTreeMap<i64, RollUp> {
    let mut buckets: BTreeMap<i64, RollUp> = BTreeMap::new();
    for (t_us, part) in parts {
        let bucket = buckets.entry(into.bucket_of(t_us));
        bucket.and_modify(|whole| *whole = whole.merge(part)).or_insert(part);
    }
    buckets
}

/// A roll-up as shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BucketView {
    /// Beginning of its minute or hour, microseconds since the Unix epoch.
    pub t_us: i64,
    /// Samples in it.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
    /// The newest.
    pub last: f64,
}

impl BucketView {
    /// A bucket that begins then.
    pub fn new(t_us: i64, whole: &RollUp) -> Self {
        Self { t_us, count: whole.count, min: whole.min, max: whole.max, mean: whole.mean(), last: whole.last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Samples whose sums are exact, so that equal means equal: at most 3 hours on either side of the epoch.
    fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let t_us = -10_800_000_000i64..10_800_000_000;
        prop::collection::vec((t_us, (-1_000_000i32..1_000_000).prop_map(|n| f64::from(n) / 64.0)), 0..200)
    }

    fn raw(samples: &[(i64, f64)]) -> Vec<(i64, RollUp)> {
        samples.iter().map(|&(t, value)| (t, RollUp::of(t, value))).collect()
    }

    proptest! {
        #[test]
        fn roll_ups_of_parts_merge_to_the_roll_up_of_the_whole(samples in samples(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let raw = raw(&samples);
            let minutes = fold(Resolution::Minute, raw.clone());
            let hours = fold(Resolution::Hour, raw.clone());
            // By way of minutes it is the same hour.
            prop_assert_eq!(&fold(Resolution::Hour, minutes.clone()), &hours);
            // In pieces, cut anywhere, each folded by itself, and put together the other way around.
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(raw.len() + 1)).chain([0, raw.len()]).collect();
            at.sort_unstable();
            let pieces: Vec<_> = at.windows(2).map(|ends| fold(Resolution::Minute, raw[ends[0]..ends[1]].to_vec())).collect();
            prop_assert_eq!(&fold(Resolution::Minute, pieces.iter().rev().flatten().map(|(t, part)| (*t, *part))), &minutes);
            // Nothing is lost and nothing is made up.
            prop_assert_eq!(hours.values().map(|hour| hour.count).sum::<u64>(), samples.len() as u64);
            prop_assert_eq!(hours.values().map(|hour| hour.sum).sum::<f64>(), samples.iter().map(|(_, value)| value).sum::<f64>());
        }

        #[test]
        fn a_roll_up_is_what_its_samples_say(samples in samples()) {
            for (bucket, whole) in fold(Resolution::Hour, raw(&samples)) {
                let inside: Vec<_> = samples.iter().filter(|(t, _)| (bucket..bucket + 3_600_000_000).contains(t)).collect();
                let values = || inside.iter().map(|(_, value)| *value);
                prop_assert_eq!(whole.count, inside.len() as u64);
                prop_assert_eq!(whole.min, values().fold(f64::INFINITY, f64::min));
                prop_assert_eq!(whole.max, values().fold(f64::NEG_INFINITY, f64::max));
                prop_assert!((whole.mean() - values().sum::<f64>() / values().count() as f64).abs() < 1e-9);
                let newest = inside.iter().map(|(t, _)| *t).max().unwrap();
                prop_assert_eq!(whole.last_t_us, newest);
                prop_assert!(inside.iter().any(|(t, value)| *t == newest && *value == whole.last));
            }
        }
    }

    #[test]
    fn buckets_begin_on_the_minute_and_on_the_hour_before_the_epoch_too() {
        assert_eq!(Resolution::Minute.bucket_of(119_999_999), 60_000_000);
        assert_eq!(Resolution::Minute.bucket_of(-1), -60_000_000);
        assert_eq!(Resolution::Hour.bucket_of(3_600_000_000), 3_600_000_000);
        assert_eq!(Resolution::Raw.bucket_of(7), 7);
        assert!(Resolution::Hour.bucket_of(i64::MIN) == i64::MIN, "at the end of time nothing wraps around");
    }
}
