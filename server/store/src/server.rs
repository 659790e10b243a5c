//! The control plane's own memory: its epoch and its administrator's token.

use async_trait::async_trait;
use edgeflow_core::server::ServerIdentity;

use crate::StoreError;

/// Memory of the control plane about itself.
#[async_trait]
pub trait ServerStore: Send + Sync {
    /// Who it is; made at first, with epoch 1.
    async fn identity(&self, now_us: i64) -> Result<ServerIdentity, StoreError>;

    /// Raises the epoch, and every desired state with it: after a restore from a backup, robots may have taken up higher
    /// generations than are remembered here, and must not refuse these.
    async fn raise_epoch(&self, now_us: i64) -> Result<ServerIdentity, StoreError>;

    /// SHA-256 of the administrator's token, if one was set.
    async fn admin_token_hash(&self) -> Result<Option<[u8; 32]>, StoreError>;

    /// Sets the administrator's token.
    async fn set_admin_token_hash(&self, hash: [u8; 32]) -> Result<(), StoreError>;
}
