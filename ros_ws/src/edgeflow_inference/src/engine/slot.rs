//! The place where the active model stands, and the swap between two frames.
//!
//! A reader takes the model by cloning an `Arc`, so a swap never waits for a frame that is being computed, and a frame
//! never waits for a session to be built: the only moment in which no session can be taken is the exchange of a pointer.
//! The model before can be kept, whole and warm, so that the way back is the same exchange.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::model::Model;

/// Holds the active model.
#[derive(Default)]
pub struct Slot {
    models: RwLock<Models>,
}

#[derive(Default)]
struct Models {
    current: Option<Arc<Model>>,
    /// What a rollback puts back.
    previous: Option<Arc<Model>>,
}

/// What a swap replaced, and how long it kept frames waiting.
pub struct Swapped {
    /// The model before; dropping the last handle frees its session.
    pub replaced: Option<Arc<Model>>,
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
    fn write(&self) -> RwLockWriteGuard<'_, Models> {
        self.models.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The active model.
    pub fn current(&self) -> Option<Arc<Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    /// The model a rollback would put back.
    pub fn previous(&self) -> Option<Arc<Model>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).previous.clone()
    }

    /// Leaves the slot empty.
    pub fn clear(&self) -> Option<Arc<Model>> {
        let Models { current, previous } = std::mem::take(&mut *self.write());
        // Sessions take their time to go: not under the lock.
        drop(previous);
        current
    }

    /// Makes `model` the active one, and keeps the one before if asked to.
    pub fn swap(&self, model: Arc<Model>, keep: bool) -> Swapped {
        let asked = Instant::now();
        let mut models = self.write();
        let replaced = models.current.replace(model);
        let forgotten = std::mem::replace(&mut models.previous, replaced.clone().filter(|_| keep));
        drop(models);
        let gap = if replaced.is_some() { asked.elapsed() } else { Duration::ZERO };
        drop(forgotten);
        Swapped { replaced, gap }
    }

    /// Makes the model before the active one again; `None` when none is kept. What it replaces is not kept: asked twice by
    /// mistake, a rollback must not bring the bad model back.
    pub fn roll_back(&self) -> Option<(Arc<Model>, Swapped)> {
        let asked = Instant::now();
        let mut models = self.write();
        let previous = models.previous.take()?;
        let replaced = models.current.replace(Arc::clone(&previous));
        drop(models);
        Some((previous, Swapped { replaced, gap: asked.elapsed() }))
    }
}
