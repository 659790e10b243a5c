//! What the lifecycle's transitions do: configure loads, activate takes frames, deactivate takes none, cleanup frees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edgeflow_ros::lifecycle::{HookError, Lifecycle, Managed, Transition};

use super::services::Services;
use super::slots::Slots;

/// The node's side of its lifecycle.
pub(super) struct Serving {
    pub(super) slots: Slots,
    pub(super) services: Arc<Services>,
    /// While it is set, a bundle that cannot be loaded does not keep the node from being configured.
    pub(super) forgiving: Arc<AtomicBool>,
}

impl Managed for Serving {
    async fn on_configure(&mut self) -> Result<(), HookError> {
        for slot in self.slots.iter() {
            let Some(bundle) = slot.bundle.request() else { continue };
            match self.services.load(&slot.name, bundle, |_| Ok(())).await {
                Ok(_) => {}
                // It has been logged and published; a better bundle may come by ~/load_model.
                Err(_) if self.forgiving.load(Ordering::Relaxed) => {}
                Err(error) => return Err(format!("slot {}: {error}", slot.name).into()),
            }
        }
        Ok(())
    }

    async fn on_activate(&mut self) -> Result<(), HookError> {
        for slot in self.slots.iter() {
            if let Err(error) = slot.pipeline.start() {
                self.stop().await;
                return Err(error.to_string().into());
            }
        }
        Ok(())
    }

    async fn on_deactivate(&mut self) -> Result<(), HookError> {
        self.stop().await;
        Ok(())
    }

    async fn on_cleanup(&mut self) -> Result<(), HookError> {
        for slot in self.slots.iter() {
            slot.unload();
            slot.status.pending();
        }
        Ok(())
    }

    async fn on_shutdown(&mut self) -> Result<(), HookError> {
        self.stop().await;
        self.slots.iter().for_each(|slot| slot.unload());
        Ok(())
    }
}

impl Serving {
    async fn stop(&self) {
        futures::future::join_all(self.slots.iter().map(|slot| slot.pipeline.stop())).await;
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
