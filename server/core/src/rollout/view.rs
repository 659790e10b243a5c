//! A rollout as it is shown: by the API, the dashboard and the command line.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::{Counts, GateResult, HistoryEntry, Phase, RobotPhase, RobotProgress, Rollout, RolloutSpec, actions};

/// A rollout in a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RolloutSummary {
    /// Its number.
    pub id: String,
    /// `model`, `map`, `package`, `config` or `policy`.
    pub kind: String,
    /// Registered name; empty of a policy.
    pub name: String,
    /// Version; empty of a policy.
    pub version: String,
    /// Bundle digest; empty of a policy.
    pub digest: String,
    /// Slot; empty of a policy.
    pub slot: String,
    /// Where it is.
    pub phase: Phase,
    /// Why it holds, for people; empty when it does not.
    pub holds: String,
    /// Name of the stage it is in.
    pub stage: String,
    /// Index of that stage.
    pub stage_index: usize,
    /// Number of stages.
    pub stages: usize,
    /// Phase of robots to how many are in it.
    pub robots: BTreeMap<RobotPhase, usize>,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who made it.
    pub created_by: String,
    /// Since when it is in this phase.
    pub since_us: i64,
    /// Why it was made.
    pub description: String,
}

/// One stage, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StageView {
    /// Name.
    pub name: String,
    /// Where it is: `waiting`, `running`, `passed`, `failed`, or `stopped` when the rollout ended while it ran.
    pub state: String,
    /// Phase of robots to how many of this stage are in it.
    pub robots: BTreeMap<RobotPhase, usize>,
    /// Soak time, seconds.
    pub soak_s: u64,
    /// Somebody must approve before it begins.
    pub approval: bool,
    /// Names of what must hold at its end.
    pub gates: Vec<String>,
    /// When it began, microseconds since the Unix epoch.
    pub began_us: Option<i64>,
    /// When it passed or failed.
    pub ended_us: Option<i64>,
    /// What its gates said last.
    pub evidence: Vec<GateResult>,
}

/// A rollout in full but for its robots, which are paged.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RolloutView {
    /// In short.
    #[serde(flatten)]
    pub summary: RolloutSummary,
    /// As declared.
    pub spec: RolloutSpec,
    /// Stage by stage.
    pub plan: Vec<StageView>,
    /// What an operator may do now: some of `pause`, `resume`, `approve`, `promote`, `abort`, `rollback`, `retry`.
    pub actions: Vec<String>,
    /// What happened, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// One robot, as shown in a cell.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RobotCell {
    /// Name.
    pub target: String,
    /// Index of its stage.
    pub stage: usize,
    /// Where it is.
    pub phase: RobotPhase,
    /// Since when, microseconds since the Unix epoch.
    pub since_us: i64,
    /// Why it waits, failed or was skipped.
    pub reason: String,
}

impl From<&RobotProgress> for RobotCell {
    fn from(robot: &RobotProgress) -> Self {
        let RobotProgress { target, stage, phase, since_us, reason, .. } = robot;
        Self { target: target.to_string(), stage: *stage, phase: *phase, since_us: *since_us, reason: reason.clone() }
    }
}

/// A rollout in short; `counts` are of its robots.
pub fn summary(rollout: &Rollout, counts: BTreeMap<RobotPhase, usize>) -> RolloutSummary {
    let release = &rollout.spec.release;
    let (digest, version, slot) = match &rollout.release {
        super::Release::Slot { spec } => (spec.digest.clone(), spec.version.clone(), rollout.spec.slot.clone()),
        super::Release::Policy { .. } => Default::default(),
    };
    let kind = serde_json::to_value(release.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    RolloutSummary {
        id: rollout.id.to_string(),
        kind,
        name: release.name.clone().unwrap_or_default(),
        version,
        digest,
        slot,
        phase: rollout.phase,
        holds: rollout.holds.clone(),
        stage: rollout.stages.get(rollout.stage).map(|stage| stage.name.clone()).unwrap_or_default(),
        stage_index: rollout.stage,
        stages: rollout.stages.len(),
        robots: counts,
        created_at_us: rollout.created_at_us,
        created_by: rollout.created_by.clone(),
        since_us: rollout.since_us,
        description: rollout.spec.description.clone(),
    }
}

impl Counts {
    /// Counts of one stage's robots.
    pub fn of_stage(&self, stage: usize) -> Self {
        Self(self.0.iter().filter(|(group, _)| group.stage == stage).map(|(group, count)| (*group, *count)).collect())
    }
}

/// A rollout in full.
pub fn view(rollout: &Rollout, counts: &Counts, history: Vec<HistoryEntry>) -> RolloutView {
    let stage = |(index, stage): (usize, &super::StagePlan)| StageView {
        name: stage.name.clone(),
        state: stage_state(rollout, index, stage).to_owned(),
        robots: counts.of_stage(index).by_phase(),
        soak_s: stage.soak_s,
        approval: stage.approval,
        gates: stage.gates.iter().map(|gate| gate.name.clone()).collect(),
        began_us: stage.began_us,
        ended_us: stage.ended_us,
        evidence: stage.evidence.clone(),
    };
    RolloutView {
        summary: summary(rollout, counts.by_phase()),
        spec: rollout.spec.clone(),
        plan: rollout.stages.iter().enumerate().map(stage).collect(),
        actions: actions(rollout, counts).into_iter().map(|act| act.as_str().to_owned()).collect(),
        history,
    }
}

fn stage_state(rollout: &Rollout, index: usize, stage: &super::StagePlan) -> &'static str {
    match (stage.began_us, stage.ended_us) {
        (None, _) => "waiting",
        (Some(_), None) if rollout.phase.ended() => "stopped",
        (Some(_), None) => "running",
        (Some(_), Some(_)) if index < rollout.stage || rollout.phase == Phase::Succeeded => "passed",
        (Some(_), Some(_)) => "failed",
    }
}
