//! How the control plane is: its disk, its stores, its tasks.

use serde::Serialize;

/// How the control plane is, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HealthView {
    /// Room where the data folder is.
    pub disk: DiskView,
    /// Each file of the store.
    pub stores: Vec<StoreView>,
    /// What runs beside requests.
    pub tasks: Vec<TaskView>,
}

/// Room on a disk. A file system without sizes of its own says 0 of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DiskView {
    /// Bytes that are left.
    pub free_bytes: u64,
    /// Of how many.
    pub total_bytes: u64,
    /// Inodes that are left.
    pub free_inodes: u64,
    /// Of how many.
    pub total_inodes: u64,
}

/// A part of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StoreView {
    /// Its name, such as `registry`.
    pub name: String,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// How long it took to answer a question, microseconds.
    pub took_us: u64,
    /// Why it did not; `null` when it did.
    pub error: Option<String>,
}

/// A task that has rounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TaskView {
    /// Its name, such as `retention`.
    pub name: String,
    /// From one round to the next, microseconds.
    pub every_us: i64,
    /// When its last round ended, microseconds since the Unix epoch; `null` before the first.
    pub last_us: Option<i64>,
    /// Why that broke off; `null` when it did not.
    pub error: Option<String>,
}
