//! A clock that goes on when it is told to.

use edgeflow_core::Clock;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

pub const SECOND_US: i64 = 1_000_000;
pub const HOUR_US: i64 = 3_600 * SECOND_US;
pub const DAY_US: i64 = 24 * HOUR_US;

pub struct StoodClock(AtomicI64);

impl StoodClock {
    /// It stands at this moment, microseconds since the Unix epoch.
    pub fn at(us: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(us)))
    }

    pub fn set(&self, us: i64) {
        self.0.store(us, Ordering::SeqCst);
    }

    pub fn wait_us(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }

    pub fn wait_s(&self, seconds: i64) {
        self.wait_us(seconds * SECOND_US);
    }
}

impl Clock for StoodClock {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
