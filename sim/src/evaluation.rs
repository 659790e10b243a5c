//! Results joined to what the frames really showed.
//!
//! The stamp of a frame is its identity: the camera gives each frame its own, the inference node copies it into the
//! result, and here the two meet again. Counts are kept per bundle digest, so that a swap in the middle of a stream
//! never mixes the accuracy of two models.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// Stamp of a frame, nanoseconds since the Unix epoch.
pub type Stamp = i64;

/// Frames whose truth is kept while their result is awaited: minutes of stream, then the oldest goes.
const TRUTHS_KEPT: usize = 8192;

/// What one digest has got right so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Score {
    /// Registry name of the model, as its newest result gave it.
    pub model_name: String,
    /// Registry version of the model.
    pub model_version: String,
    /// Results joined to truth since the digest was first seen.
    pub samples: u64,
    /// Of those, the right ones.
    pub correct: u64,
}

impl Score {
    /// `correct / samples`, 0 to 1; NaN before the first sample.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples as f64
    }
}

/// Counters since the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames published.
    pub frames_in: u64,
    /// Results joined to one of those frames.
    pub results_joined: u64,
    /// Results whose stamp matches no frame that still waits for one: never published, or answered twice.
    pub unmatched: u64,
}

#[derive(Debug, Clone, Copy)]
struct Truth {
    class_id: i32,
    /// Count of resets when the frame was published.
    round: u64,
}

/// What a result says about a frame.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Stamp of the frame.
    pub stamp: Stamp,
    /// Registry name of the model.
    pub model_name: &'a str,
    /// Registry version of the model.
    pub model_version: &'a str,
    /// Bundle digest of the model.
    pub model_digest: &'a str,
    /// Index of the most likely class.
    pub class_id: i32,
}

/// Joins results to truth and counts.
#[derive(Debug, Default)]
pub struct Scoreboard {
    truths: HashMap<Stamp, Truth>,
    order: VecDeque<Stamp>,
    scores: BTreeMap<String, Score>,
    counters: Counters,
    round: u64,
}

impl Scoreboard {
    /// Notes a frame and what it shows. Call it before the frame is published: a result can only come after.
    pub fn frame(&mut self, stamp: Stamp, class_id: i32) {
        self.truths.insert(stamp, Truth { class_id, round: self.round });
        self.order.push_back(stamp);
        self.counters.frames_in += 1;
        while self.order.len() > TRUTHS_KEPT {
            if let Some(oldest) = self.order.pop_front() {
                self.truths.remove(&oldest);
            }
        }
    }

    /// Joins a result to its frame. Returns whether it was right, or `None` when no frame waits for it.
    pub fn result(&mut self, result: Judged<'_>) -> Option<bool> {
        let Some(truth) = self.truths.remove(&result.stamp) else {
            self.counters.unmatched += 1;
            return None;
        };
        let right = truth.class_id == result.class_id;
        let score = self.scores.entry(result.model_digest.to_owned()).or_default();
        if score.model_name != result.model_name || score.model_version != result.model_version {
            score.model_name = result.model_name.to_owned();
            score.model_version = result.model_version.to_owned();
        }
        score.samples += 1;
        score.correct += u64::from(right);
        // A frame from before a reset still tells how good the model is, but belongs to no counter of this round.
        if truth.round == self.round {
            self.counters.results_joined += 1;
        }
        Some(right)
    }

    /// The score of one digest.
    pub fn score(&self, digest: &str) -> Option<&Score> {
        self.scores.get(digest)
    }

    /// Counters since the last reset.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Starts the counters from zero; scores stay. Returns what they were.
    pub fn reset_counters(&mut self) -> Counters {
        self.round += 1;
        std::mem::take(&mut self.counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(stamp: Stamp, digest: &str, class_id: i32) -> Judged<'_> {
        Judged { stamp, model_name: "label-reader", model_version: "1", model_digest: digest, class_id }
    }

    #[test]
    fn results_are_joined_by_stamp_in_any_order() {
        let mut board = Scoreboard::default();
        board.frame(10, 3);
        board.frame(20, 4);
        assert_eq!(board.result(judged(20, "a", 4)), Some(true));
        assert_eq!(board.result(judged(10, "a", 9)), Some(false));
        let score = board.score("a").cloned().unwrap_or_default();
        assert_eq!((score.samples, score.correct, score.accuracy()), (2, 1, 0.5));
        assert_eq!(board.counters(), Counters { frames_in: 2, results_joined: 2, unmatched: 0 });
    }

    #[test]
    fn each_digest_is_counted_on_its_own_across_swaps_and_back() {
        let mut board = Scoreboard::default();
        for stamp in 0..6 {
            board.frame(stamp, 1);
        }
        for (stamp, digest, class_id) in [(0, "a", 1), (1, "a", 2), (2, "b", 1), (3, "b", 1), (4, "a", 1), (5, "a", 1)] {
            board.result(judged(stamp, digest, class_id));
        }
        assert_eq!(board.score("a").map(|score| (score.samples, score.correct)), Some((4, 3)));
        assert_eq!(board.score("b").map(|score| (score.samples, score.correct)), Some((2, 2)));
        assert_eq!(board.score("c"), None);
    }

    #[test]
    fn a_second_result_for_a_frame_and_one_for_no_frame_are_unmatched_and_judge_nothing() {
        let mut board = Scoreboard::default();
        board.frame(1, 5);
        assert_eq!(board.result(judged(1, "a", 5)), Some(true));
        assert_eq!(board.result(judged(1, "a", 5)), None);
        assert_eq!(board.result(judged(2, "a", 5)), None);
        assert_eq!(board.counters(), Counters { frames_in: 1, results_joined: 1, unmatched: 2 });
        assert_eq!(board.score("a").map(|score| score.samples), Some(1));
    }

    #[test]
    fn a_reset_returns_the_counts_and_a_late_result_counts_for_the_model_only() {
        let mut board = Scoreboard::default();
        board.frame(1, 5);
        board.frame(2, 5);
        board.result(judged(1, "a", 5));
        assert_eq!(board.reset_counters(), Counters { frames_in: 2, results_joined: 1, unmatched: 0 });
        board.frame(3, 5);
        board.result(judged(2, "a", 5));
        board.result(judged(3, "a", 5));
        assert_eq!(board.counters(), Counters { frames_in: 1, results_joined: 1, unmatched: 0 });
        assert_eq!(board.score("a").map(|score| score.samples), Some(3));
    }

    #[test]
    fn truths_without_results_are_bounded() {
        let mut board = Scoreboard::default();
        for stamp in 0..(TRUTHS_KEPT as Stamp + 10) {
            board.frame(stamp, 0);
        }
        assert_eq!(board.truths.len(), TRUTHS_KEPT);
        assert_eq!(board.result(judged(9, "a", 0)), None);
        assert_eq!(board.result(judged(10, "a", 0)), Some(true));
    }
}
