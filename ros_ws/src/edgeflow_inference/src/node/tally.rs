//! What became of the frames: the worker counts, and whoever asks reads.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgeflow_ros::edgeflow_msgs::msg::DriftReport;

use super::frames::FrameQueue;
use crate::Error;

/// What became of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Results published.
    pub results: u64,
    /// Frames that were refused, or on which the model failed.
    pub refused: u64,
    /// Frames that came while no model was loaded.
    pub without_model: u64,
    /// Frames that did not fit the queue.
    pub dropped: u64,
    /// Messages that went into a window and gave no result of their own.
    pub gathered: u64,
    /// Windows that began anew because of a gap behind their newest message, or of stamps that ran backwards.
    pub interrupted: u64,
}

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            results: self.results + other.results,
            refused: self.refused + other.refused,
            without_model: self.without_model + other.without_model,
            dropped: self.dropped + other.dropped,
            gathered: self.gathered + other.gathered,
            interrupted: self.interrupted + other.interrupted,
        }
    }
}

/// The newest closed drift window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) flagged: bool,
    pub(super) max_psi: f64,
}

/// Counts since the node began.
#[derive(Default)]
pub(super) struct Tally(Mutex<State>);

#[derive(Default)]
struct State {
    counters: Counters,
    /// From a frame's arrival to its result, since they were taken last.
    latencies: Vec<Duration>,
    window: Option<Window>,
}

/// A camera that nobody asks about must not fill the memory.
const LATENCIES: usize = 10_000;

impl Tally {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn result(&self, latency: Duration) {
        let mut state = self.lock();
        state.counters.results += 1;
        if state.latencies.len() < LATENCIES {
            state.latencies.push(latency);
        }
    }

    pub(super) fn without_result(&self, error: &Error) {
        let counters = &mut self.lock().counters;
        match error {
            Error::NoModel => counters.without_model += 1,
            _ => counters.refused += 1,
        }
    }

    /// A message went into a window: whether it is without a result, and whether those before it were forgotten.
    pub(super) fn gathered(&self, without_result: bool, interrupted: bool) {
        let counters = &mut self.lock().counters;
        counters.gathered += u64::from(without_result);
        counters.interrupted += u64::from(interrupted);
    }

    pub(super) fn window(&self, report: &DriftReport) {
        self.lock().window = Some(Window { flagged: report.flagged, max_psi: report.max_psi });
    }

    pub(super) fn counters(&self, queue: &FrameQueue) -> Counters {
        Counters { dropped: queue.dropped(), ..self.lock().counters }
    }

    pub(super) fn last_window(&self) -> Option<Window> {
        self.lock().window
    }

    /// Forgets the drift of what no longer runs.
    pub(super) fn forget_window(&self) {
        self.lock().window = None;
    }

    /// The latencies since this was asked last, in ascending order.
    pub(super) fn take_latencies(&self) -> Vec<Duration> {
        let mut latencies = std::mem::take(&mut self.lock().latencies);
        latencies.sort_unstable();
        latencies
    }
}
