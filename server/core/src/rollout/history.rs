//! What happened in a rollout: every change with its cause, who caused it, and the numbers it was decided by. Never changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GateResult, Phase};

/// Who caused a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum Actor {
    /// The rollout itself, by its rules.
    Controller,
    /// A person or program.
    Operator(String),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It was made.
    Created,
    /// It waits for another.
    Queued,
    /// The replay of recorded frames was judged.
    Replayed,
    /// A stage waits for approval.
    ApprovalAsked,
    /// A stage was approved.
    Approved,
    /// A stage began.
    StageBegan,
    /// All robots of a stage serve or failed: it soaks.
    StageSettled,
    /// The gates said something else than before.
    GatesJudged,
    /// A stage passed.
    StagePassed,
    /// Too many robots failed, or a gate did.
    StageFailed,
    /// A robot failed.
    RobotFailed,
    /// A robot was deferred or skipped.
    RobotLeft,
    /// It was paused.
    Paused,
    /// It goes on.
    Resumed,
    /// An operator promoted a stage without its gates.
    Promoted,
    /// Robots are told to go back.
    RollbackBegan,
    /// Failed robots are told again.
    Retried,
    /// It ended.
    Ended,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// What.
    pub happened: Happened,
    /// Phase after it.
    pub phase: Phase,
    /// Name of the stage it is about; `null` when it is about the whole.
    pub stage: Option<String>,
    /// Robot it is about; `null` when it is about all.
    pub robot: Option<String>,
    /// Who caused it.
    pub actor: Actor,
    /// Why, in a sentence for people.
    pub cause: String,
    /// The numbers it was decided by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<GateResult>,
}
