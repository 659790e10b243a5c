//! What a rollout is at one moment. All of it is stored, so that a control plane that starts again goes on from here.

use edgeflow_wire::{SlotSpec, Version, VersionedPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::{Arm, RolloutSpec};
use crate::TargetName;

/// A rollout. Its robots are held beside it, one [`RobotProgress`] each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number.
    pub id: i64,
    /// As declared, aliases as they were read.
    pub spec: RolloutSpec,
    /// What robots are told.
    pub release: Release,
    /// In which steps, robots resolved when it was made.
    pub stages: Vec<StagePlan>,
    /// Where it is.
    pub phase: Phase,
    /// Stage it is in (or would go back from), an index of `stages`.
    pub stage: usize,
    /// Since when it is in this phase, microseconds since the Unix epoch.
    pub since_us: i64,
    /// What it goes back to when somebody resumes it; only while paused.
    pub paused_in: Option<Phase>,
    /// Why it holds, for people; empty when it does not.
    pub holds: String,
    /// When all robots of the stage served or failed, microseconds since the Unix epoch; from then on it soaks.
    pub settled_us: Option<i64>,
    /// What goes back; only while robots go back (or that is paused).
    #[serde(default)]
    pub going_back: Option<Scope>,
    /// Failed robots that an operator took when they resumed or promoted: they count no longer against `max_failed` and
    /// `max_unavailable`.
    #[serde(default)]
    pub accepted: usize,
    /// Counts changes: whoever writes says which it read.
    pub revision: u64,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
}

/// What goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Robots of the stage; then it is paused.
    Stage,
    /// Every robot that was told; then it has ended.
    All,
}

/// What robots are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Release {
    /// Something in a slot.
    Slot {
        /// What.
        spec: SlotSpec,
    },
    /// What they report of their topics.
    Policy {
        /// The policy.
        document: serde_json::Value,
    },
}

/// One stage, robots resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Name.
    pub name: String,
    /// Number of robots.
    pub robots: usize,
    /// Soak time, seconds.
    pub soak_s: u64,
    /// Somebody must approve before it begins.
    pub approval: bool,
    /// What must hold at its end.
    pub gates: Vec<super::Gate>,
    /// When it began, microseconds since the Unix epoch.
    pub began_us: Option<i64>,
    /// When it was promoted (or failed).
    pub ended_us: Option<i64>,
    /// What its gates said last, with the numbers they saw.
    pub evidence: Vec<GateResult>,
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for another rollout that holds some of its robots.
    Queued,
    /// Recorded frames go through the candidate; no robot was told yet.
    Replaying,
    /// Waits for approval of the stage.
    AwaitingApproval,
    /// Robots of the stage are told, and converge.
    Progressing,
    /// All of them serve (or failed within bounds); time passes.
    Soaking,
    /// The gates are looked at; also while they are inconclusive.
    Judging,
    /// Somebody holds it, or `on_failure: pause` does.
    Paused,
    /// Robots go back to what they had.
    RollingBack,
    /// Every stage passed.
    Succeeded,
    /// Robots are back at what they had.
    RolledBack,
    /// It ended without success and without going back: aborted before or while robots were told, or robots did not go back.
    Failed,
    /// An operator ended it; robots stay as they are.
    Aborted,
}

impl Phase {
    /// Nothing more will happen by itself or by anybody but `rollback` and `retry`.
    pub fn ended(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::RolledBack | Phase::Failed | Phase::Aborted)
    }
}

/// One robot of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobotProgress {
    /// Which robot.
    pub target: TargetName,
    /// Its stage, an index.
    pub stage: usize,
    /// Where it is.
    pub phase: RobotPhase,
    /// Since when, microseconds since the Unix epoch.
    pub since_us: i64,
    /// Since when it is waited for because it is busy (hours in which it may not be changed do not count); of a deferred robot,
    /// since when it is back.
    pub waits_since_us: Option<i64>,
    /// It may not be changed before then, because it is out of its hours: not looked at until then.
    #[serde(default)]
    pub wakes_us: Option<i64>,
    /// It was told to go back, and not the release since.
    #[serde(default)]
    pub back: bool,
    /// Why it waits, failed or was skipped; empty otherwise.
    pub reason: String,
    /// Desired state that told it (or told it to go back).
    pub told: Option<Version>,
    /// Digest it served when it was told; empty when none, or of a policy.
    pub served: String,
    /// What was declared before it was told; where it goes back to. `None` before it was told, or when nothing was declared.
    pub before: Option<SlotSpec>,
    /// The same for a policy.
    pub before_policy: Option<VersionedPolicy>,
}

/// Where one robot of a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RobotPhase {
    /// Its turn has not come, or too many others are on their way.
    Pending,
    /// Its turn has come; it is busy or out of its hours.
    Waiting,
    /// Told; it does not serve yet.
    Updating,
    /// Serves what the rollout brings.
    Updated,
    /// Told (to go on, or back) while it was offline or held, and no longer waited for: it takes it up when it returns.
    Deferred,
    /// Refused, broken, or silent beyond its deadline; or busy for longer than is waited for, and hence never told.
    Failed,
    /// Failed, and is to be told again.
    Retrying,
    /// No longer of the rollout: held or gone from the fleet when its turn came, or something else was declared since.
    Skipped,
    /// Told to go back; it does not serve what it had yet.
    RollingBack,
    /// Serves what it had before.
    RolledBack,
}

/// What a gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Do not.
    Fail,
    /// Not enough is known: hold, neither promote nor abort.
    Inconclusive,
}

/// What a gate said, with the numbers it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateResult {
    /// Name of the gate.
    pub gate: String,
    /// What it said.
    pub verdict: Verdict,
    /// Why, in a sentence for people: what is missing when it is inconclusive.
    pub reason: String,
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// The metric and the bound that were compared, for charts; of an expression its first comparison with a number, if there is one.
    pub metric: String,
    /// Bound of the metric: the updated robots' number must be on the right side of it; `null` when there is none.
    pub threshold: Option<f64>,
    /// p-value of the test; `null` of an expression.
    pub p_value: Option<f64>,
    /// Numbers of the updated robots.
    pub updated: BTreeMap<String, MetricSummary>,
    /// Numbers of the same robots before.
    pub before: BTreeMap<String, MetricSummary>,
    /// Numbers of robots that are not updated.
    pub rest: BTreeMap<String, MetricSummary>,
}

/// What an arm's robots reported of one metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricSummary {
    /// Samples: frames, where the metric is per frame; reports otherwise.
    pub n: u64,
    /// Robots they are of.
    pub robots: u64,
    /// Mean, in the metric's unit.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
}

/// What gates look at: per arm, metric to what robots reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The updated robots, since each serves the release.
    pub updated: BTreeMap<String, Samples>,
    /// The same robots, before. Their reports are stamped backwards, as if each had begun to serve the release and time had run
    /// the other way: what came just before it comes first, so that equally long times compare.
    pub before: BTreeMap<String, Samples>,
    /// Robots of the rollout that are not updated, over the same time.
    pub rest: BTreeMap<String, Samples>,
    /// Nobody is left who is not updated: in `rest` are the same robots before, who were the rest until then.
    pub nobody_left: bool,
    /// Moments two-sample tests are made at, in order, microseconds since the Unix epoch: with what was reported until then. None:
    /// once, with all there is.
    pub looks_us: Vec<i64>,
}

impl Evidence {
    /// The numbers of an arm that others are held against.
    pub fn arm(&self, arm: Arm) -> &BTreeMap<String, Samples> {
        match arm {
            Arm::Before => &self.before,
            Arm::Rest => &self.rest,
        }
    }
}

/// Samples of one metric of one arm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// What each robot reported, in order of time.
    pub of: BTreeMap<TargetName, Vec<Reported>>,
}

/// One report of a robot of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// When, microseconds since the Unix epoch.
    pub t_us: i64,
    /// How much, in the metric's unit, finite.
    pub value: f64,
    /// Frames it stands for, at least 1; 1 of metrics that are not per frame.
    pub frames: u64,
}
