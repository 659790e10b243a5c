//! How many entries all routes together may make.

/// What is saved up at most, seconds' worth: the windows of many topics close at the same moment.
const BURST_S: f64 = 60.0;
const PRIORITIES: f64 = 10.0;

/// A bucket of tokens, one per entry. A route of priority p may not take the last (9 - p) tenths, so that what matters
/// more still finds some when what matters less has taken all it may.
#[derive(Debug, Clone)]
pub struct Budget {
    per_s: f64,
    burst: f64,
    tokens: f64,
    at_us: u64,
}

impl Budget {
    /// Full at `at_us`.
    pub fn new(entries_per_s: f64, at_us: u64) -> Self {
        // Ten at least: with fewer, low priorities would never get one.
        let burst = (entries_per_s * BURST_S).max(PRIORITIES);
        Self { per_s: entries_per_s, burst, tokens: burst, at_us }
    }

    /// Whether an entry of this priority (0 to 9) may be made now. If so, it counts.
    pub fn take(&mut self, at_us: u64, priority: u8) -> bool {
        let passed_us = at_us.saturating_sub(self.at_us);
        self.at_us = self.at_us.max(at_us);
        self.tokens = (self.tokens + passed_us as f64 / 1e6 * self.per_s).min(self.burst);
        let left_to_others = self.burst * f64::from(9 - priority.min(9)) / PRIORITIES;
        let granted = self.tokens >= left_to_others + 1.0 - 1e-9;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of each of two routes that both try ten times a second for `seconds`.
    fn granted(per_s: f64, seconds: u64, priorities: [u8; 2]) -> [u64; 2] {
        let mut budget = Budget::new(per_s, 0);
        let mut granted = [0, 0];
        for tenth in 0..seconds * 10 {
            for (count, priority) in granted.iter_mut().zip(priorities) {
                *count += u64::from(budget.take(tenth * 100_000, priority));
            }
        }
        granted
    }

    #[test]
    fn all_together_keep_the_rate_and_the_greater_priority_goes_first() {
        let [low, high] = granted(2.0, 1_000, [1, 8]);
        assert!((2_000..=2_125).contains(&(low + high)), "{low} {high}");
        assert!(high > 1_900 && low < 100, "{low} {high}");
        let [low, high] = granted(20.0, 100, [0, 9]);
        assert!(low >= 990 && high >= 990, "there was room for both: {low} {high}");
    }

    #[test]
    fn windows_of_many_topics_that_close_together_have_room() {
        let mut budget = Budget::new(1.0, 0);
        for minute in 0..10 {
            let made = (0..35).filter(|_| budget.take(minute * 60_000_000, 5)).count();
            assert_eq!(made, 35, "in minute {minute}");
        }
    }

    #[test]
    fn the_least_priority_alone_gets_the_whole_rate() {
        let [one, other] = granted(0.5, 2_000, [0, 0]);
        assert!((990..=1_020).contains(&(one + other)), "{one} {other}");
        let mut budget = Budget::new(1.0, 0);
        let tenth = (0..10).filter(|_| budget.take(0, 0)).count();
        assert_eq!((tenth, budget.take(0, 9)), (6, true), "of the sixty saved up, a tenth");
        assert!(!budget.take(500_000, 0), "a clock that stands still gives nothing");
    }
}
