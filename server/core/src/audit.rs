//! The audit trail: who did what to what, and what came of it.

use serde::Serialize;

/// One act, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAudit {
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Who, as `administrator`, `operator:{name}` or `robot:{name}`.
    pub who: String,
    /// What, such as `deploy`.
    pub action: String,
    /// To what, such as `target/robot-1`.
    pub resource: String,
    /// What came of it: `done`, `denied` or `failed`.
    pub outcome: String,
    /// Particulars.
    pub detail: serde_json::Value,
}

/// One act, as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct AuditRecord {
    /// Place in the trail.
    pub id: i64,
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Who, as `administrator`, `operator:{name}` or `robot:{name}`.
    pub who: String,
    /// What, such as `deploy`.
    pub action: String,
    /// To what, such as `target/robot-1`.
    pub resource: String,
    /// What came of it: `done`, `denied` or `failed`.
    pub outcome: String,
    /// Particulars.
    pub detail: serde_json::Value,
}
