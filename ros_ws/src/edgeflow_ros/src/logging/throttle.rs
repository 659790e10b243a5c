//! A statement that repeats without end must not drown the others, least of all on `/rosout`, which
//! every operator's tool reads. Each place in the code may say so much per second; what it says beyond
//! is counted, and the count is said with its next message or, when none follows, by itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::{Metadata, callsite::Identifier};

/// A camera's frame rate and some more.
const MOST_PER_PERIOD: u32 = 100;
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<Identifier, Period>>);

struct Period {
    began: Instant,
    said: u32,
    left_out: u64,
    metadata: &'static Metadata<'static>,
}

impl Throttle {
    /// `None` when it is too much; else how many were left out since the last one that was not.
    pub(super) fn admit(&self, metadata: &'static Metadata<'static>, now: Instant) -> Option<u64> {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let period = periods.entry(metadata.callsite()).or_insert(Period { began: now, said: 0, left_out: 0, metadata });
        if now.duration_since(period.began) >= PERIOD {
            (period.began, period.said) = (now, 0);
        }
        if period.said >= MOST_PER_PERIOD {
            period.left_out += 1;
            return None;
        }
        period.said += 1;
        Some(std::mem::take(&mut period.left_out))
    }

    /// The places whose period is over with something left out that nobody has said yet.
    pub(super) fn sweep(&self, now: Instant) -> Vec<(&'static Metadata<'static>, u64)> {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = periods.values_mut().filter(|p| p.left_out > 0 && now.duration_since(p.began) >= PERIOD);
        over.map(|period| (period.metadata, std::mem::take(&mut period.left_out))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use tracing_subscriber::{Layer, layer::SubscriberExt};

    static PLACE: OnceLock<&'static Metadata<'static>> = OnceLock::new();

    struct Keep;

    impl<S: tracing::Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            PLACE.get_or_init(|| event.metadata());
        }
    }

    #[test]
    fn what_is_too_much_is_counted_and_the_count_is_said_once() {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Keep), || tracing::info!("here"));
        let (place, start) = (*PLACE.get().unwrap(), Instant::now());
        let throttle = Throttle::default();
        let admitted = (0..MOST_PER_PERIOD + 50).filter(|_| throttle.admit(place, start).is_some()).count();
        assert_eq!(admitted, MOST_PER_PERIOD as usize);
        assert!(throttle.sweep(start).is_empty(), "the period is not over");
        assert_eq!(throttle.admit(place, start + PERIOD), Some(50));
        assert!(throttle.sweep(start + 3 * PERIOD).is_empty(), "it has been said");
        assert_eq!((0..MOST_PER_PERIOD).filter(|_| throttle.admit(place, start + PERIOD).is_none()).count(), 1);
        assert_eq!(throttle.sweep(start + 2 * PERIOD).iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1]);
        assert!(throttle.sweep(start + 3 * PERIOD).is_empty());
    }
}
