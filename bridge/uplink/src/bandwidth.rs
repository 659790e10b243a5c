//! A cap on what is sent upwards.
//!
//! A token bucket that may go into debt: how many bytes a batch has is known only once it is read and compressed, so it is
//! sent whole when anything is left and the next one waits until the debt is paid. Over any time the cap holds but for one second's
//! worth and one document. No clock here: moments are given.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Bytes of content before compression that one batch may have for each byte that may be sent in a second. Content shrinks to
/// a quarter at least, so that a batch takes a second at most and what is more valuable need not wait longer.
const CONTENT_PER_BYTE: f64 = 4.0;
/// No batch is cut smaller, bytes: below this the batch's own fields are most of it.
const LEAST_BATCH_BYTES: usize = 1024;

/// How much may be sent upwards. Clones share it: what one sends, the others may not.
#[derive(Debug, Clone, Default)]
pub struct Bandwidth(Option<Arc<Mutex<Bucket>>>);

#[derive(Debug)]
struct Bucket {
    bytes_per_s: f64,
    /// Bytes that may be sent now; negative while there is a debt.
    left: f64,
    /// When `left` was right.
    at: Option<Instant>,
}

impl Bandwidth {
    /// No cap.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// At most so many kilobits (1000 bits) per second; 0 is no cap.
    pub fn kbps(kilobits_per_s: u32) -> Self {
        let bytes_per_s = f64::from(kilobits_per_s) * 125.0;
        Self((kilobits_per_s > 0).then(|| Arc::new(Mutex::new(Bucket { bytes_per_s, left: bytes_per_s, at: None }))))
    }

    /// Until when nothing may be sent; `None` when something may be sent now.
    pub fn wait(&mut self, now: Instant) -> Option<Instant> {
        let mut bucket = self.bucket()?;
        bucket.fill(now);
        // A microsecond more, so that rounding does not wake a sender just before it may send.
        (bucket.left < 0.0).then(|| now + Duration::from_secs_f64(-bucket.left / bucket.bytes_per_s) + Duration::from_micros(1))
    }

    /// Counts a document that was sent.
    pub fn spend(&mut self, bytes: usize, now: Instant) {
        if let Some(mut bucket) = self.bucket() {
            bucket.fill(now);
            #[allow(clippy::cast_precision_loss)] // documents are far smaller than 2^53 bytes
            let bytes = bytes as f64;
            bucket.left -= bytes;
        }
    }

    /// Most bytes of content one batch should have.
    pub fn batch_bytes(&self) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is never negative
        self.bucket().map_or(usize::MAX, |bucket| ((bucket.bytes_per_s * CONTENT_PER_BYTE) as usize).max(LEAST_BATCH_BYTES))
    }

    /// Most bytes that what is not urgent should send at once: half a second's worth, so that a batch need not wait longer.
    pub fn part_bytes(&self) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturates, and is never negative
        self.bucket().map_or(usize::MAX, |bucket| ((bucket.bytes_per_s / 2.0) as usize).max(LEAST_BATCH_BYTES))
    }

    fn bucket(&self) -> Option<MutexGuard<'_, Bucket>> {
        self.0.as_ref().map(|bucket| bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bucket {
    /// What was not sent in the last second is not saved for later.
    fn fill(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.left = (self.left + passed.as_secs_f64() * self.bytes_per_s).min(self.bytes_per_s);
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_cap_nothing_waits() {
        for mut bandwidth in [Bandwidth::unlimited(), Bandwidth::kbps(0)] {
            let now = Instant::now();
            bandwidth.spend(usize::MAX, now);
            assert_eq!((bandwidth.wait(now), bandwidth.batch_bytes()), (None, usize::MAX));
        }
    }

    #[test]
    fn a_debt_is_paid_before_more_is_sent() {
        let begin = Instant::now();
        let mut bandwidth = Bandwidth::kbps(8); // 1000 bytes a second, of which one second's worth is there
        assert_eq!(bandwidth.wait(begin), None);
        bandwidth.spend(3_500, begin);
        let due = bandwidth.wait(begin).expect("in debt");
        let waits = due - begin;
        assert!(waits >= Duration::from_millis(2_500) && waits < Duration::from_millis(2_501), "{waits:?}");
        assert!(bandwidth.wait(begin + Duration::from_millis(2_400)).is_some());
        assert_eq!(bandwidth.wait(due), None);
    }

    #[test]
    fn clones_share_what_there_is() {
        let begin = Instant::now();
        let mut bandwidth = Bandwidth::kbps(8);
        bandwidth.clone().spend(3_500, begin);
        assert!(bandwidth.wait(begin).is_some());
        assert_eq!((bandwidth.part_bytes(), Bandwidth::unlimited().part_bytes()), (LEAST_BATCH_BYTES, usize::MAX));
        assert_eq!(Bandwidth::kbps(8_000).part_bytes(), 500_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Sending whatever comes as soon as it may go never exceeds the cap by more than a second's worth and a document,
        /// and with something to send all the time it is used up.
        #[test]
        fn the_cap_holds_over_any_time_and_is_used(
            kbps in 1_u32..2_000,
            documents in prop::collection::vec((1_usize..50_000, 0_u64..3_000), 1..200),
        ) {
            let begin = Instant::now();
            let mut bandwidth = Bandwidth::kbps(kbps);
            let bytes_per_s = f64::from(kbps) * 125.0;
            let (mut now, mut sent, mut idle) = (begin, 0.0, Duration::ZERO);
            for (bytes, pause_ms) in documents {
                let pause = Duration::from_millis(pause_ms);
                now += pause;
                idle += pause;
                if let Some(due) = bandwidth.wait(now) {
                    now = due;
                }
                prop_assert!(bandwidth.wait(now).is_none());
                let allowed = bytes_per_s * ((now - begin).as_secs_f64() + 1.0);
                prop_assert!(sent <= allowed + 1.0, "{sent} bytes of {allowed}");
                bandwidth.spend(bytes, now);
                sent += bytes as f64;
            }
            let busy = (now - begin).saturating_sub(idle).as_secs_f64();
            prop_assert!(sent + 1.0 + bytes_per_s * 0.001 >= bytes_per_s * busy, "{sent} bytes in {busy} s");
        }
    }
}
