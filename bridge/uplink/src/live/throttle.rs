//! How much of live topics is passed on: so many messages a second of each, so many bytes a second of all. The newest message
//! wins, and what it replaces is counted. Pure: who calls says what time it is.

use edgeflow_wire::{LiveCounts, MAX_LIVE_MESSAGE_BYTES};

/// Bytes that may be sent at once after a rest: those of so many microseconds.
const BURST_US: i64 = 100_000;
const US: i64 = 1_000_000;

/// Messages on their way out of one end of a session.
#[derive(Debug)]
pub struct Throttle<T> {
    lanes: Vec<Lane<T>>,
    period_us: u64,
    bytes_per_s: i64,
    /// Bytes that may be sent, in millionths. Below zero while a large message is worked off.
    credit: i64,
    credited_us: u64,
    /// The lane that was last served: the next one comes first.
    turn: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: Option<(T, usize)>,
    /// Not before this.
    next_us: u64,
    counts: LiveCounts,
}

impl<T> Throttle<T> {
    /// For so many topics: each at most `max_hz` messages a second, all at most `max_kbps` kilobits a second.
    pub fn new(lanes: usize, max_hz: f64, max_kbps: u32, now_us: u64) -> Self {
        let lane = || Lane { waiting: None, next_us: 0, counts: LiveCounts::default() };
        Self {
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            period_us: (1e6 / max_hz).ceil() as u64,
            bytes_per_s: (i64::from(max_kbps) * 125).max(1),
            credit: 0,
            credited_us: now_us,
            turn: 0,
        }
    }

    /// A message came. It takes the place of one that waits.
    pub fn offer(&mut self, lane: usize, bytes: usize, message: T) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        lane.counts.received += 1;
        if bytes > MAX_LIVE_MESSAGE_BYTES {
            lane.counts.too_large += 1;
        } else if lane.waiting.replace((message, bytes)).is_some() {
            lane.counts.left_out += 1;
        }
    }

    /// Messages came and were dropped before they were offered.
    pub fn dropped(&mut self, lane: usize, messages: u64) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.counts.received += messages;
            lane.counts.left_out += messages;
        }
    }

    /// Nothing that waits is passed on.
    pub fn clear(&mut self) {
        for lane in &mut self.lanes {
            if lane.waiting.take().is_some() {
                lane.counts.left_out += 1;
            }
        }
    }

    /// The next message that may be passed on now, and its lane.
    pub fn next(&mut self, now_us: u64) -> Option<(usize, T)> {
        let passed_us = i64::try_from(now_us.saturating_sub(self.credited_us)).unwrap_or(i64::MAX);
        self.credited_us = self.credited_us.max(now_us);
        let most = self.bytes_per_s.saturating_mul(BURST_US);
        self.credit = self.credit.saturating_add(self.bytes_per_s.saturating_mul(passed_us)).min(most);
        if self.credit < 0 {
            return None;
        }
        let count = self.lanes.len();
        let due = (1..=count).map(|step| (self.turn + step) % count);
        let at = due.into_iter().find(|at| self.lanes.get(*at).is_some_and(|lane| lane.waiting.is_some() && lane.next_us <= now_us))?;
        let lane = self.lanes.get_mut(at)?;
        let (message, bytes) = lane.waiting.take()?;
        lane.next_us = now_us.saturating_add(self.period_us);
        lane.counts.forwarded += 1;
        lane.counts.bytes += bytes as u64;
        self.credit -= i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(US);
        self.turn = at;
        Some((at, message))
    }

    /// When the next message that waits may be passed on; none when none waits.
    pub fn ready_us(&self) -> Option<u64> {
        let earliest = self.lanes.iter().filter(|lane| lane.waiting.is_some()).map(|lane| lane.next_us).min()?;
        let owed = self.credit.min(0).unsigned_abs();
        Some(earliest.max(self.credited_us.saturating_add(owed.div_ceil(self.bytes_per_s.unsigned_abs()))))
    }

    /// What became of a topic's messages.
    pub fn counts(&self, lane: usize) -> LiveCounts {
        self.lanes.get(lane).map(|lane| lane.counts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Offers messages of a size to each lane at a rate and passes on what may be, for so many seconds of a clock of its own.
    fn run(throttle: &mut Throttle<u64>, lanes: usize, hz: u64, bytes: usize, seconds: u64) -> Vec<(u64, usize, u64)> {
        let mut passed = Vec::new();
        for now_us in (0..seconds * 1_000_000).step_by(1_000) {
            if now_us % (1_000_000 / hz) == 0 {
                (0..lanes).for_each(|lane| throttle.offer(lane, bytes, now_us));
            }
            while let Some((lane, at)) = throttle.next(now_us) {
                passed.push((now_us, lane, at));
            }
        }
        passed
    }

    #[test]
    fn no_second_has_more_messages_than_allowed_and_the_newest_wins() {
        let mut throttle = Throttle::new(2, 5.0, 1_000_000, 0);
        let passed = run(&mut throttle, 2, 50, 100, 60);
        for lane in 0..2 {
            let times: Vec<u64> = passed.iter().filter(|(_, on, _)| *on == lane).map(|(now_us, ..)| *now_us).collect();
            assert!((295..=300).contains(&times.len()), "{}", times.len());
            for (at, begin) in times.iter().enumerate() {
                let second = times.iter().skip(at).take_while(|now_us| **now_us < begin + 1_000_000).count();
                assert!(second <= 5, "{second} messages in a second");
            }
            let counts = throttle.counts(lane);
            assert_eq!((counts.received, counts.forwarded), (3_000, times.len() as u64));
            assert!(counts.received - counts.forwarded - counts.left_out <= 1, "{counts:?}");
        }
        assert!(passed.iter().all(|(now_us, _, at)| now_us - at < 20_000), "what is passed on is the newest there is");
    }

    #[test]
    fn bytes_a_second_hold_also_for_messages_larger_than_a_seconds_worth() {
        for (bytes, hz) in [(1_000, 50), (40_000, 25), (600_000, 10)] {
            let mut throttle = Throttle::new(3, 1_000.0, 2_000, 0);
            let passed = run(&mut throttle, 3, hz, bytes, 60);
            let most = 250_000 * 60 + 25_000 + bytes;
            let all: usize = passed.len() * bytes;
            let offered = 3 * 60 * hz as usize * bytes;
            assert!(all <= most && (all >= most * 9 / 10 - 2 * bytes || all >= offered * 9 / 10), "{all} of {most} with {bytes}");
            let share = |lane: usize| passed.iter().filter(|(_, on, _)| *on == lane).count();
            assert!(share(0).abs_diff(share(2)) <= share(0) / 5 + 1, "one topic does not starve another: {} {}", share(0), share(2));
        }
    }

    #[test]
    fn what_is_too_large_or_forgotten_is_counted_and_waking_is_in_time() {
        let mut throttle = Throttle::new(1, 10.0, 8, 0);
        assert_eq!(throttle.ready_us(), None);
        throttle.offer(0, MAX_LIVE_MESSAGE_BYTES + 1, 1);
        assert_eq!((throttle.next(0), throttle.counts(0).too_large), (None, 1));
        throttle.offer(0, 2_000, 2);
        assert_eq!(throttle.next(0), Some((0, 2)));
        throttle.offer(0, 2_000, 3);
        let ready_us = throttle.ready_us().unwrap();
        assert_eq!(ready_us, 2_000_000, "2000 bytes at 1000 a second");
        assert_eq!(throttle.next(ready_us - 1), None);
        throttle.clear();
        assert_eq!((throttle.next(ready_us), throttle.ready_us()), (None, None));
        throttle.dropped(0, 4);
        throttle.offer(7, 1, 9);
        let counts = throttle.counts(0);
        assert_eq!((counts.received, counts.forwarded, counts.left_out, counts.bytes), (7, 1, 5, 2_000));
    }
}
