//! How long to wait before trying again: longer each time, and never in step with other robots.

use std::time::Duration;

/// Exponential back-off with jitter: each delay is between half and all of a value that doubles up to a cap.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins at `first` and never exceeds `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, next: first }
    }

    /// The next delay.
    pub fn delay(&mut self) -> Duration {
        let whole = self.next.min(self.cap);
        self.next = whole.saturating_mul(2);
        whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_begin_anew() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(3_000));
        for whole in [100, 200, 400, 800, 1_600, 3_000, 3_000] {
            let delay = backoff.delay();
            assert!(delay >= ms(whole) / 2 && delay <= ms(whole), "{delay:?} for {whole} ms");
        }
        backoff.reset();
        assert!(backoff.delay() <= ms(100));
    }
}
