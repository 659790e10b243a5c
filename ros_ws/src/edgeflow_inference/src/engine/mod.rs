//! The engine: loads bundles through a backend and serves the active model.
//!
//! A new model is read, checked, built and warmed up beside the running one, on the caller's thread; only then does the
//! slot change hands. Whatever goes wrong before that changes nothing.

pub mod backend;
pub mod library;
mod model;
pub mod ort;
mod slot;

use std::sync::{Arc, Mutex, PoisonError};

use edgeflow_bundle::Digest;

pub use self::ort::Provider;
pub use backend::{Backend, Session, SessionOptions};
pub use model::{Inference, LoadRequest, Model};
pub use slot::{Slot, Swapped};

use crate::{Error, Result};

/// How far a load has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The bundle is read and hashed.
    Verifying,
    /// The bundle is whole and has this digest; its session is being built and warmed up.
    Warming(Digest),
    /// The session is ready; the slot changes hands next, which cannot be taken back.
    Swapping,
}

/// A load that succeeded.
pub struct Loaded {
    /// The model that serves every frame taken from here on.
    pub model: Arc<Model>,
    /// What it replaced.
    pub swapped: Swapped,
}

/// One slot, one backend.
pub struct Engine {
    backend: Arc<dyn Backend>,
    options: SessionOptions,
    slot: Slot,
    /// One load at a time; the running model is not behind it.
    loading: Mutex<()>,
}

impl Engine {
    /// An engine without a model.
    pub fn new(backend: Arc<dyn Backend>, options: SessionOptions) -> Self {
        Self { backend, options, slot: Slot::default(), loading: Mutex::new(()) }
    }

    /// The active model.
    ///
    /// # Errors
    /// [`Error::NoModel`] before the first load.
    pub fn current(&self) -> Result<Arc<Model>> {
        self.slot.current().ok_or(Error::NoModel)
    }

    /// Loads a bundle beside the running model and swaps it in. Blocks for as long as the session takes to build; call
    /// it on a thread of its own. `progress` hears of each stage before it begins, and its error ends the load.
    ///
    /// # Errors
    /// Whatever is wrong with the bundle, or what `progress` says; the running model keeps running.
    pub fn load(&self, request: &LoadRequest, progress: &mut dyn FnMut(Stage) -> Result<()>) -> Result<Loaded> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        model::check_folder(&request.path)?;
        progress(Stage::Verifying)?;
        let opened = model::open(request)?;
        progress(Stage::Warming(opened.bundle.digest))?;
        let model = Arc::new(Model::build(request, opened, self.backend.as_ref(), &self.options)?);
        progress(Stage::Swapping)?;
        let swapped = self.slot.swap(Arc::clone(&model));
        Ok(Loaded { model, swapped })
    }

    /// Takes the active model out of the slot. Its session is freed when the last frame in its hands is done.
    pub fn unload(&self) -> Option<Arc<Model>> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        self.slot.clear()
    }
}
