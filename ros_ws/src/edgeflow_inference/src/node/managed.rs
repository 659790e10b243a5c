//! What the lifecycle's transitions do: configure loads, activate takes frames, deactivate takes none, cleanup frees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edgeflow_ros::lifecycle::{HookError, Lifecycle, Managed, Transition};

use super::pipeline::Pipeline;
use super::services::Services;
use crate::engine::{Engine, LoadRequest};

/// The node's side of its lifecycle.
pub(super) struct Serving {
    pub(super) engine: Arc<Engine>,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) services: Arc<Services>,
    /// The bundle which the parameters name.
    pub(super) bundle: Option<LoadRequest>,
    /// While it is set, a bundle that cannot be loaded does not keep the node from being configured.
    pub(super) forgiving: Arc<AtomicBool>,
}

impl Managed for Serving {
    async fn on_configure(&mut self) -> Result<(), HookError> {
        let Some(bundle) = self.bundle.clone() else { return Ok(()) };
        match self.services.load(bundle, |_| Ok(())).await {
            Ok(_) => Ok(()),
            // It has been logged and published; a better bundle may come by ~/load_model.
            Err(_) if self.forgiving.load(Ordering::Relaxed) => Ok(()),
            Err(error) => Err(error.to_string().into()),
        }
    }

    async fn on_activate(&mut self) -> Result<(), HookError> {
        self.pipeline.start().map_err(|error| error.to_string().into())
    }

    async fn on_deactivate(&mut self) -> Result<(), HookError> {
        self.pipeline.stop().await;
        Ok(())
    }

    async fn on_cleanup(&mut self) -> Result<(), HookError> {
        if let Some(model) = self.engine.unload() {
            tracing::info!(model = %model.name, version = %model.version, "model unloaded");
        }
        self.services.unloaded();
        Ok(())
    }

    async fn on_shutdown(&mut self) -> Result<(), HookError> {
        self.pipeline.stop().await;
        self.engine.unload();
        Ok(())
    }
}

/// Brings a node to active that nobody manages.
pub(super) async fn autostart(lifecycle: Lifecycle, forgiving: Arc<AtomicBool>) {
    forgiving.store(true, Ordering::Relaxed);
    let configured = lifecycle.trigger(Transition::Configure).await;
    forgiving.store(false, Ordering::Relaxed);
    let started = match configured {
        Ok(_) => lifecycle.trigger(Transition::Activate).await,
        Err(error) => Err(error),
    };
    if let Err(error) = started {
        tracing::error!(%error, "the node did not become active by itself");
    }
}
