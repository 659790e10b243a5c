//! Rates as `ros2 topic hz` computes them: over the times between the last messages.

use std::{collections::VecDeque, fmt, time::Duration};

/// The last so many gaps between messages.
#[derive(Debug)]
pub(super) struct Rate {
    window: usize,
    last: Option<Duration>,
    gaps_s: VecDeque<f64>,
}

impl Rate {
    /// Over at most `window` messages.
    pub(super) fn new(window: usize) -> Self {
        Self { window: window.max(2), last: None, gaps_s: VecDeque::new() }
    }

    /// A message came, at a time since some beginning.
    pub(super) fn tick(&mut self, at: Duration) {
        if let Some(last) = self.last {
            self.gaps_s.push_back(at.saturating_sub(last).as_secs_f64());
            if self.gaps_s.len() > self.window - 1 {
                self.gaps_s.pop_front();
            }
        }
        self.last = Some(at);
    }

    /// Whether there is a rate to speak of.
    pub(super) fn is_known(&self) -> bool {
        !self.gaps_s.is_empty()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.gaps_s.len() as f64;
        let mean = self.gaps_s.iter().sum::<f64>() / count;
        let variance = self.gaps_s.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        let least = self.gaps_s.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.gaps_s.iter().copied().fold(0.0, f64::max);
        let rate = if mean > 0.0 { 1.0 / mean } else { 0.0 };
        write!(
            f,
            "average rate: {rate:.3}\n\tmin: {least:.3}s max: {greatest:.3}s std dev: {:.5}s window: {}",
            variance.sqrt(),
            self.gaps_s.len() + 1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_what_is_older() {
        let mut rate = Rate::new(3);
        assert!(!rate.is_known());
        for ms in [0, 5000, 5100, 5300] {
            rate.tick(Duration::from_millis(ms));
        }
        assert_eq!(rate.to_string(), "average rate: 6.667\n\tmin: 0.100s max: 0.200s std dev: 0.05000s window: 3");
    }
}
