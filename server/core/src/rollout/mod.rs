//! Rollouts: desired state that changes stage by stage, and goes back by itself when the evidence says so.
//!
//! A rollout is a controller over desired state (it never talks to a robot). What it shall do is a [`RolloutSpec`]; what it does is
//! a pure state machine over [`Rollout`]: the same state, observation and time give the same step, so a control plane that dies at
//! any point and looks again arrives at the same end.

mod act;
mod check;
mod counts;
pub mod gate;
mod history;
mod holding;
mod judge;
mod machine;
mod plan;
mod spec;
mod state;
mod turn;
mod view;
mod watch;
mod window;

pub use act::{ACTS, Act, act, actions, needs_of};
pub use check::check;
pub use counts::{Counts, Group, Need, Wants, wants};
pub use history::{Actor, Happened, HistoryEntry};
pub use holding::{Holding, Touches, conflicts, policy_text, release_text, slot_text, touches};
pub use machine::{NewRollout, RobotSeen, Seen, Step, Tell, Told, create, step};
pub use plan::{Candidate, Plan, plan, selected};
pub use spec::{
    Amount, Arm, Busy, Comparison, Gate, OnFailure, ReleaseKind, ReleaseRef, Replay, RobotRule, RolloutSpec, Selector, StageSpec, Strategy,
    WhenTaken, Window, Worse, share,
};
pub(crate) use spec::{default_samples, default_slot};
pub use state::{
    Evidence, GateResult, MetricSummary, Phase, Release, Reported, RobotPhase, RobotProgress, Rollout, Samples, Scope, StagePlan, Verdict,
};
pub use view::{RobotCell, RolloutSummary, RolloutView, StageView, summary, view};
pub use window::closed;

#[cfg(test)]
mod act_tests;
#[cfg(test)]
mod machine_props;
#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod world;
