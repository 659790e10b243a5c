//! How many entries of one producer the control plane holds: what a route can say for itself, though entries of many
//! producers share a class and its numbers.

use edgeflow_wire::Class;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Numbers remembered one by one; beyond it the oldest are taken together, and count when the last of them is acknowledged.
const REMEMBERED: usize = 1_024;

/// Counts the entries of one producer in one class.
#[derive(Debug)]
pub struct Receipts {
    class: Class,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number in the class, and how many entries it stands for.
    waiting: VecDeque<(u64, u64)>,
    written: u64,
    acknowledged: u64,
}

impl Receipts {
    /// Of entries of this class.
    pub fn new(class: Class) -> Self {
        Self { class, state: Mutex::default() }
    }

    /// Entries on the disk, and of those the ones that the control plane holds or knows to be lost.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.written, state.acknowledged)
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// An entry was written with this number.
    pub(crate) fn written(&self, seq: u64) {
        let mut state = self.lock();
        state.written += 1;
        if state.waiting.len() >= REMEMBERED
            && let Some((_, entries)) = state.waiting.pop_front()
            && let Some(next) = state.waiting.front_mut()
        {
            next.1 += entries;
        }
        state.waiting.push_back((seq, 1));
    }

    /// Everything below this number is settled.
    pub(crate) fn settled(&self, next_seq: u64) {
        let mut state = self.lock();
        while let Some((_, entries)) = state.waiting.front().copied().filter(|(seq, _)| *seq < next_seq) {
            state.acknowledged += entries;
            state.waiting.pop_front();
        }
    }

    /// The class was numbered anew and its next entry gets `next_seq`: what waits is settled with the last before that.
    pub(crate) fn renumbered(&self, next_seq: u64) {
        let mut state = self.lock();
        let entries = state.waiting.iter().map(|(_, entries)| entries).sum();
        state.waiting.clear();
        if entries > 0 {
            state.waiting.push_back((next_seq.saturating_sub(1), entries));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_acknowledged_is_counted_also_when_others_write_in_between() {
        let receipts = Receipts::new(Class::Summary);
        [2, 5, 9].into_iter().for_each(|seq| receipts.written(seq));
        receipts.settled(2);
        assert_eq!(receipts.counts(), (3, 0));
        receipts.settled(6);
        assert_eq!(receipts.counts(), (3, 2));
        receipts.renumbered(4);
        receipts.settled(3);
        assert_eq!(receipts.counts(), (3, 2), "never too early");
        receipts.settled(4);
        assert_eq!(receipts.counts(), (3, 3));
    }

    #[test]
    fn memory_is_bounded_and_nothing_counts_before_it_is_settled() {
        let receipts = Receipts::new(Class::Detail);
        (1..=10_000).for_each(|seq| receipts.written(seq));
        assert!(receipts.lock().waiting.len() <= REMEMBERED);
        receipts.settled(5_000);
        assert_eq!(receipts.counts(), (10_000, 0), "the oldest settle together");
        receipts.settled(9_500);
        assert_eq!(receipts.counts(), (10_000, 9_499));
        receipts.settled(10_001);
        assert_eq!(receipts.counts(), (10_000, 10_000));
    }
}
