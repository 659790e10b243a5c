//! The place where the active model stands, and the swap between two frames.
//!
//! A reader takes the model by cloning an `Arc`, so a swap never waits for a frame that is being computed, and a frame
//! never waits for a session to be built: the only moment in which no session can be taken is the exchange of a pointer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::model::Model;

/// Holds the active model.
#[derive(Default)]
pub struct Slot {
    current: RwLock<Option<Arc<Model>>>,
}

/// What a swap replaced, and how long it kept frames waiting.
pub struct Swapped {
    /// The model before; dropping the last handle frees its session.
    pub previous: Option<Arc<Model>>,
    /// Longest time in which no session could take a frame: from the request for the slot to its release, an upper
    /// bound. Zero when there was no model before.
    pub gap: Duration,
}

impl Swapped {
    /// The gap in microseconds, rounded up.
    pub fn gap_us(&self) -> u32 {
        u32::try_from(self.gap.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

impl Slot {
    /// The active model.
    pub fn current(&self) -> Option<Arc<Model>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves the slot empty.
    pub fn clear(&self) -> Option<Arc<Model>> {
        self.current.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes `model` the active one.
    pub fn swap(&self, model: Arc<Model>) -> Swapped {
        let asked = Instant::now();
        let previous = self.current.write().unwrap_or_else(PoisonError::into_inner).replace(model);
        let gap = if previous.is_some() { asked.elapsed() } else { Duration::ZERO };
        Swapped { previous, gap }
    }
}
