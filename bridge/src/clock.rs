//! When something happened: by the wall clock, and since the robot booted, which stays true when the wall clock steps.

use edgeflow_ros::builtin_interfaces::msg::Time;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{BridgeError, Result};

/// The kernel's count of time since boot, time asleep included. A process's own monotonic clock would mean nothing to the next process.
const UPTIME: &str = "/proc/uptime";

/// A moment in both times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the Unix epoch (UTC).
    pub t_us: i64,
    /// Microseconds since the robot booted, in steps of 10 ms.
    pub boot_us: i64,
}

/// Reads both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock(());

impl Clock {
    /// Checks that both clocks can be read.
    ///
    /// # Errors
    /// Where the kernel does not tell the time since boot.
    pub fn new() -> Result<Self> {
        boot_us().map(|_| Self(())).ok_or(BridgeError::Clock { path: UPTIME })
    }

    /// Now.
    pub fn now(self) -> Moment {
        let t_us = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        };
        Moment { t_us, boot_us: boot_us().unwrap_or_default() }
    }

    /// The moment a message's stamp names; now, when it has none. The stamp's age moves the time since boot as well.
    pub fn at(self, stamp: &Time) -> Moment {
        self.at_us(stamp_us(stamp))
    }

    /// The moment a time names, microseconds since the Unix epoch; now, when it is 0.
    pub fn at_us(self, t_us: i64) -> Moment {
        let now = self.now();
        if t_us == 0 { now } else { Moment { t_us, boot_us: now.boot_us.saturating_sub(now.t_us.saturating_sub(t_us)) } }
    }
}

/// A stamp in microseconds since the Unix epoch.
pub(crate) fn stamp_us(stamp: &Time) -> i64 {
    i64::from(stamp.sec) * 1_000_000 + i64::from(stamp.nanosec) / 1_000
}

fn boot_us() -> Option<i64> {
    let text = std::fs::read_to_string(UPTIME).ok()?;
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * 1_000_000 + hundredths.parse::<i64>().ok()? * 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_moves_both_times_by_its_age() {
        let clock = Clock::new().unwrap();
        let now = clock.now();
        assert!(now.boot_us > 0 && now.t_us > 1_600_000_000_000_000);
        let stamp = Time { sec: (now.t_us / 1_000_000 - 5) as i32, nanosec: 0 };
        let then = clock.at(&stamp);
        assert_eq!(then.t_us, stamp_us(&stamp));
        let (age_us, boot_age_us) = (now.t_us - then.t_us, now.boot_us - then.boot_us);
        assert!((age_us - boot_age_us).abs() < 1_000_000, "{age_us} {boot_age_us}");
        assert!(clock.at(&Time { sec: 0, nanosec: 0 }).t_us >= now.t_us);
    }
}
