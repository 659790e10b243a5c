//! Uploads that come in parts.

use async_trait::async_trait;
use edgeflow_core::multipart::{KeptPart, MultipartUpload};

use crate::StoreError;

/// Uploads that come in parts. The bytes are elsewhere, under the upload's id.
#[async_trait]
pub trait MultipartStore: Send + Sync {
    /// Begins one.
    async fn open_multipart(&self, upload: &MultipartUpload, at_us: i64) -> Result<(), StoreError>;

    /// The one of that id, of whatever organisation: who knows the id may send its parts.
    async fn multipart(&self, id: &str) -> Result<Option<MultipartUpload>, StoreError>;

    /// Keeps a part, in the place of an earlier one of its number. `Missing` when there is no such upload, or it was completed.
    async fn keep_part(&self, id: &str, part: &KeptPart, at_us: i64) -> Result<(), StoreError>;

    /// Marks it as put together; its parts are forgotten.
    async fn complete_multipart(&self, id: &str, at_us: i64) -> Result<(), StoreError>;

    /// Forgets it; whether it was there.
    async fn abort_multipart(&self, id: &str) -> Result<bool, StoreError>;

    /// Those that nobody sent anything to since then, the oldest first.
    async fn stale_multiparts(&self, before_us: i64, limit: u32) -> Result<Vec<String>, StoreError>;
}
