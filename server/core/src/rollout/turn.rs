//! One step while it is made: what has changed so far, in the rollout, its robots and their numbers.

use std::collections::BTreeMap;

use super::{Actor, Counts, GateResult, Happened, HistoryEntry, OnFailure, Phase, RobotPhase, RobotProgress, Rollout, Scope};
use super::{Step, Tell, Told, counts::Room};
use crate::{TargetName, words::counted};

pub(super) struct Turn<'a> {
    before: &'a Rollout,
    pub(super) rollout: Rollout,
    pub(super) counts: Counts,
    robots: BTreeMap<TargetName, RobotProgress>,
    tell: Vec<Tell>,
    history: Vec<HistoryEntry>,
    actor: Actor,
    pub(super) now_us: i64,
}

impl<'a> Turn<'a> {
    pub(super) fn new(rollout: &'a Rollout, counts: &Counts, actor: Actor, now_us: i64) -> Self {
        let (changed, counts) = (rollout.clone(), counts.clone());
        Self { before: rollout, rollout: changed, counts, robots: BTreeMap::new(), tell: Vec::new(), history: Vec::new(), actor, now_us }
    }

    pub(super) fn room(&self) -> Room<'_> {
        Room { rollout: &self.rollout, counts: &self.counts }
    }

    pub(super) fn changed(&self, robot: &RobotProgress) -> bool {
        self.robots.contains_key(&robot.target)
    }

    /// Robots that changed to this phase in this step.
    pub(super) fn now_in(&self, phase: RobotPhase) -> impl Iterator<Item = &RobotProgress> {
        self.robots.values().filter(move |robot| robot.phase == phase)
    }

    /// Moves a robot on. It leaves what it waited for behind.
    pub(super) fn robot(&mut self, robot: &RobotProgress, phase: RobotPhase, reason: impl Into<String>) {
        let reason = reason.into();
        let next = RobotProgress { phase, reason, since_us: self.now_us, waits_since_us: None, wakes_us: None, ..robot.clone() };
        self.put(robot, next);
    }

    fn put(&mut self, robot: &RobotProgress, next: RobotProgress) {
        self.counts.moved(robot.group(), next.group());
        self.robots.insert(robot.target.clone(), next);
    }

    /// The same, with a line in the history.
    pub(super) fn left(&mut self, robot: &RobotProgress, phase: RobotPhase, reason: impl Into<String>) {
        let reason = reason.into();
        let happened = if phase == RobotPhase::Failed { Happened::RobotFailed } else { Happened::RobotLeft };
        let stage = self.rollout.stages.get(robot.stage).map(|stage| stage.name.clone());
        self.robot(robot, phase, reason.as_str());
        self.note(happened, stage, Some(robot.target.to_string()), reason, Vec::new());
    }

    /// Lets a robot wait, out of its hours until `wakes_us` or busy since `waits_since_us`.
    pub(super) fn wait(&mut self, robot: &RobotProgress, waits_since_us: Option<i64>, wakes_us: Option<i64>, reason: String) {
        let waits = matches!(robot.phase, RobotPhase::Waiting | RobotPhase::Retrying);
        let (phase, since_us) = if waits { (robot.phase, robot.since_us) } else { (RobotPhase::Waiting, self.now_us) };
        let next = RobotProgress { phase, since_us, waits_since_us, wakes_us, reason, ..robot.clone() };
        if next != *robot {
            self.put(robot, next);
        }
    }

    /// A robot waits no longer. One that was told to go back may still be on its way there.
    pub(super) fn no_turn(&mut self, robot: &RobotProgress) {
        self.robot(robot, if robot.back { RobotPhase::Deferred } else { RobotPhase::Pending }, "");
    }

    /// A deferred robot is there, or is away again.
    pub(super) fn returns(&mut self, robot: &RobotProgress, there: bool) {
        let waits_since_us = there.then_some(self.now_us);
        self.put(robot, RobotProgress { waits_since_us, ..robot.clone() });
    }

    /// Tells a robot, which is then in `phase`.
    pub(super) fn tell(&mut self, robot: &RobotProgress, what: Told, phase: RobotPhase, reason: &str) {
        // One that is where it was before starts anew: what is declared now is what it goes back to.
        let anew = robot.back && what == Told::Release;
        if phase == RobotPhase::Deferred {
            self.left(robot, phase, reason);
        } else {
            self.robot(robot, phase, reason);
        }
        if let Some(next) = self.robots.get_mut(&robot.target) {
            let group = next.group();
            next.back = what == Told::Back;
            next.told = if anew { None } else { next.told };
            let to = next.group();
            self.counts.moved(group, to);
        }
        self.tell.push(Tell { target: robot.target.clone(), what });
    }

    fn note(&mut self, happened: Happened, stage: Option<String>, robot: Option<String>, cause: String, evidence: Vec<GateResult>) {
        let (at_us, phase, actor) = (self.now_us, self.rollout.phase, self.actor.clone());
        self.history.push(HistoryEntry { at_us, happened, phase, stage, robot, actor, cause, evidence });
    }

    /// A line in the history about the whole.
    pub(super) fn say(&mut self, happened: Happened, cause: impl Into<String>) {
        self.note(happened, None, None, cause.into(), Vec::new());
    }

    /// A line in the history about the stage it is in.
    pub(super) fn say_stage(&mut self, happened: Happened, cause: impl Into<String>, evidence: Vec<GateResult>) {
        self.note(happened, self.stage_name(), None, cause.into(), evidence);
    }

    /// Name of the stage it is in.
    pub(super) fn stage_name(&self) -> Option<String> {
        self.rollout.stages.get(self.rollout.stage).map(|stage| stage.name.clone())
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.rollout.phase = phase;
        self.rollout.since_us = self.now_us;
        self.rollout.holds.clear();
    }

    /// Says why it holds; a line in the history when that is something else than before.
    pub(super) fn hold(&mut self, happened: Option<Happened>, why: &str) {
        if self.rollout.holds != why {
            why.clone_into(&mut self.rollout.holds);
            if let Some(happened) = happened {
                self.say_stage(happened, why, Vec::new());
            }
        }
    }

    /// Comes to a stage: begins it, or waits for its approval.
    pub(super) fn arrive(&mut self, stage: usize) {
        self.rollout.stage = stage;
        self.rollout.settled_us = None;
        if self.rollout.stages.get(stage).is_some_and(|stage| stage.approval && stage.began_us.is_none()) {
            self.enter(Phase::AwaitingApproval);
            let why = format!("stage {} waits for approval", self.stage_name().unwrap_or_default());
            return self.hold(Some(Happened::ApprovalAsked), &why);
        }
        self.begin();
    }

    /// Begins the stage it is in.
    pub(super) fn begin(&mut self) {
        self.enter(Phase::Progressing);
        let now_us = self.now_us;
        let whole = self.room().whole();
        let Some(stage) = self.rollout.stages.get_mut(self.rollout.stage) else { return };
        stage.began_us.get_or_insert(now_us);
        let cause = counted(stage.robots, &format!("robot of {whole} is to be told"), &format!("robots of {whole} are to be told"));
        self.say_stage(Happened::StageBegan, cause, Vec::new());
    }

    /// The stage is over: `evidence` is what its gates said.
    fn close(&mut self) {
        let now_us = self.now_us;
        if let Some(stage) = self.rollout.stages.get_mut(self.rollout.stage) {
            stage.ended_us = Some(now_us);
        }
    }

    /// The stage failed: does what is declared for that.
    pub(super) fn fail_stage(&mut self, cause: &str, evidence: Vec<GateResult>) {
        self.close();
        self.say_stage(Happened::StageFailed, cause, evidence);
        match self.rollout.spec.on_failure {
            OnFailure::Pause => self.pause(cause),
            OnFailure::RollbackStage => self.go_back(Scope::Stage, cause),
            OnFailure::RollbackAll => self.go_back(Scope::All, cause),
        }
    }

    /// Holds it where it is.
    pub(super) fn pause(&mut self, cause: &str) {
        let within = self.rollout.phase;
        self.enter(Phase::Paused);
        self.rollout.paused_in = Some(within);
        cause.clone_into(&mut self.rollout.holds);
        self.say(Happened::Paused, cause);
    }

    /// Begins to take robots back.
    pub(super) fn go_back(&mut self, scope: Scope, cause: &str) {
        self.enter(Phase::RollingBack);
        self.rollout.paused_in = None;
        self.rollout.settled_us = None;
        self.rollout.going_back = Some(scope);
        self.say(Happened::RollbackBegan, cause);
    }

    /// The stage passed: goes on to the next, or ends.
    pub(super) fn pass(&mut self, happened: Happened, cause: &str, evidence: Vec<GateResult>) {
        self.close();
        self.rollout.paused_in = None;
        self.say_stage(happened, cause, evidence);
        let next = self.rollout.stage + 1;
        if next < self.rollout.stages.len() {
            return self.arrive(next);
        }
        let robots = self.counts.by_phase();
        let of = |phase| robots.get(&phase).copied().unwrap_or_default();
        let mut cause = counted(of(RobotPhase::Updated), "robot serves it", "robots serve it");
        for (phase, one, others) in [
            (RobotPhase::Deferred, "takes it up when it returns", "take it up when they return"),
            (RobotPhase::Failed, "failed", "failed"),
            (RobotPhase::Skipped, "was left out", "were left out"),
        ] {
            if of(phase) > 0 {
                cause.push_str(&format!(", {}", counted(of(phase), one, others)));
            }
        }
        self.end(Phase::Succeeded, &cause);
    }

    pub(super) fn end(&mut self, phase: Phase, cause: &str) {
        self.enter(phase);
        self.rollout.paused_in = None;
        self.rollout.going_back = None;
        self.say(Happened::Ended, cause);
    }

    /// The step, if anything changed.
    pub(super) fn finish(mut self) -> Option<Step> {
        // Of one that has ended only robots are counted that may still change.
        if !self.rollout.phase.ended() {
            self.rollout.accepted = self.rollout.accepted.min(self.counts.all(&[RobotPhase::Failed]));
        }
        let same = self.rollout == *self.before && self.robots.is_empty() && self.history.is_empty();
        if same {
            return None;
        }
        self.rollout.revision = self.before.revision + 1;
        let robots = self.robots.into_values().collect();
        Some(Step { rollout: self.rollout, robots, tell: self.tell, history: self.history })
    }
}
