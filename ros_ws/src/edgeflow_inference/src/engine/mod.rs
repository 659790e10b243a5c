//! The engine: loads bundles through a backend and serves the active model.
//!
//! A new model is read, checked, built, held against its golden cases and warmed up beside the running one, on the caller's
//! thread; only then does the slot change hands. Whatever goes wrong before that changes nothing.

pub mod backend;
mod batch;
mod feed;
mod golden;
pub mod library;
mod model;
pub(crate) mod movable;
pub mod ort;
mod requests;
mod slot;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use edgeflow_bundle::Digest;

pub use self::ort::Provider;
pub use backend::{Backend, IoBinding, Session, SessionOptions};
pub use model::{Inference, LoadRequest, Model};
pub use requests::{Limits, RequestCounters, Requests, Work};
pub use slot::{Slot, Swapped};

use crate::{Error, Result};

/// How far a load has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The bundle is read and hashed.
    Verifying,
    /// The bundle is whole and has this digest; its session is being built, checked and warmed up.
    Warming(Digest),
    /// The session is ready; the slot changes hands next, which cannot be taken back.
    Swapping,
}

/// A load or a rollback that succeeded.
pub struct Loaded {
    /// The model that serves every frame taken from here on.
    pub model: Arc<Model>,
    /// What it replaced.
    pub swapped: Swapped,
}

/// One slot, one backend.
pub struct Engine {
    backend: Arc<dyn Backend>,
    options: Mutex<SessionOptions>,
    keep_previous: AtomicBool,
    slot: Slot,
    /// One load at a time; the running model is not behind it.
    loading: Mutex<()>,
}

impl Engine {
    /// An engine without a model.
    pub fn new(backend: Arc<dyn Backend>, options: SessionOptions) -> Self {
        Self { backend, options: Mutex::new(options), keep_previous: AtomicBool::new(true), slot: Slot::default(), loading: Mutex::new(()) }
    }

    /// How sessions are built from here on; the running one stays as it is. What the backend cannot do is said by the next load.
    pub fn set_options(&self, options: SessionOptions) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// Whether the next load keeps the model it replaces, for [`Engine::roll_back`]. It does at first.
    pub fn set_keep_previous(&self, keep: bool) {
        self.keep_previous.store(keep, Ordering::Relaxed);
    }

    /// The active model.
    ///
    /// # Errors
    /// [`Error::NoModel`] before the first load.
    pub fn current(&self) -> Result<Arc<Model>> {
        self.slot.current().ok_or(Error::NoModel)
    }

    /// The model a rollback would put back.
    pub fn previous(&self) -> Option<Arc<Model>> {
        self.slot.previous()
    }

    /// Loads a bundle beside the running model and swaps it in. Blocks for as long as the session takes to build; call
    /// it on a thread of its own. `progress` hears of each stage before it begins, and its error ends the load.
    ///
    /// # Errors
    /// Whatever is wrong with the bundle, or what `progress` says; the running model keeps running.
    pub fn load(&self, request: &LoadRequest, progress: &mut dyn FnMut(Stage) -> Result<()>) -> Result<Loaded> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let model = self.build(request, progress)?;
        progress(Stage::Swapping)?;
        let swapped = self.slot.swap(Arc::clone(&model), self.keep_previous.load(Ordering::Relaxed));
        Ok(Loaded { model, swapped })
    }

    /// Builds, checks and warms up a model without giving it the slot. Blocks as [`Engine::load`] does, and tells the stages
    /// but the last.
    ///
    /// # Errors
    /// Whatever is wrong with the bundle, or what `progress` says.
    pub fn build(&self, request: &LoadRequest, progress: &mut dyn FnMut(Stage) -> Result<()>) -> Result<Arc<Model>> {
        model::check_folder(&request.path)?;
        progress(Stage::Verifying)?;
        let opened = model::open(request)?;
        progress(Stage::Warming(opened.bundle.digest))?;
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Arc::new(Model::build(request, opened, self.backend.as_ref(), &options)?))
    }

    /// Puts the model before back into the slot, at once: nothing is read or built, and a load that is under way is not waited
    /// for (it swaps its model in when it is ready).
    ///
    /// # Errors
    /// [`Error::NoPrevious`] when none is kept.
    pub fn roll_back(&self) -> Result<Loaded> {
        let (model, swapped) = self.slot.roll_back().ok_or(Error::NoPrevious)?;
        Ok(Loaded { model, swapped })
    }

    /// Takes the active model out of the slot, and forgets the one before. Its session is freed when the last frame in its
    /// hands is done.
    pub fn unload(&self) -> Option<Arc<Model>> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        self.slot.clear()
    }
}
