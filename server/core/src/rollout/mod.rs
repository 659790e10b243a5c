//! Rollouts: desired state that changes stage by stage, and goes back by itself when the evidence says so.
//!
//! A rollout is a controller over desired state (it never talks to a robot). What it shall do is a [`RolloutSpec`]; what it does is
//! a pure state machine over [`Rollout`]: the same state, observation and time give the same step, so a control plane that dies at
//! any point and looks again arrives at the same end.

mod history;
mod spec;
mod state;
mod view;

pub use history::{Actor, Happened, HistoryEntry};
pub use spec::{
    Amount, Arm, Busy, Comparison, Gate, OnFailure, ReleaseKind, ReleaseRef, Replay, RobotRule, RolloutSpec, Selector, StageSpec, Strategy,
    WhenTaken, Window, Worse, share,
};
pub use state::{Evidence, GateResult, MetricSummary, Phase, Release, RobotPhase, RobotProgress, Rollout, Samples, StagePlan, Verdict};
pub use view::{RobotCell, RolloutSummary, RolloutView, StageView, summary};
