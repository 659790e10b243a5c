//! The state machine of a rollout: what happens next, given what is seen.
//!
//! [`step`] is called again and again, with what is seen then, by whoever keeps the rollout; [`act`](super::act) when an operator
//! wants something. Both answer with a [`Step`], which is applied as a whole or not at all. Nothing else changes a rollout, and a step
//! depends on nothing but what it is given: a control plane that dies between two steps goes on where it was.
//!
//! **Stages.** `queued` (another rollout holds some of its robots) → `replaying` (if recorded frames are to be replayed) → for each
//! stage `awaiting_approval` (if asked for) → `progressing` (robots are told and converge) → `soaking` (time passes) → `judging` (its
//! gates) → the next stage, or `succeeded`.
//!
//! **Robots.** One whose turn it is, is told when it is within its hours, not busy, and there is room: robots that are on their way are
//! at most `max_concurrent`, and with those that failed at most `max_unavailable`. It is `updated` once it has taken up the desired
//! state that told it and says that the release is active; `failed` when it says so, or says nothing until its deadline. One that is
//! offline at its turn is told and `deferred`: not waited for, not failed, until it returns; then its deadline begins. Time in which the control plane is down is not counted
//! against a robot.
//!
//! **Verdicts.** More than `max_failed` robots failed, so many that nothing more may be told, or a gate failed: the stage fails, and
//! `on_failure` is done. A gate that is inconclusive holds the stage in `judging` and says what is missing: it neither promotes nor
//! fails. So does a stage in which nobody serves the release because all are deferred or left out, unless an earlier stage has
//! somebody who does, or it is the last.
//!
//! **Going back.** Robots that were told are told what they had before: first those that do not serve anyway, then the others, within
//! the same bounds; when failed robots alone use up `max_unavailable`, one at a time rather than never. A robot is back when it has
//! taken that up and says that it serves the old digest. Robots that are offline go back when they return. When all others are back,
//! robots that are not after their deadline let the rollout end as `failed`, by name; otherwise it has `rolled_back`. After going back
//! by one stage it is paused instead, and begins that stage again when it is resumed.

use edgeflow_wire::{SlotState, Version};
use std::collections::{BTreeMap, BTreeSet};

use super::counts::{Counts, MOST_NAMED};
use super::turn::Turn;
use super::{
    Actor, Busy, GateResult, Happened, HistoryEntry, Phase, Plan, Release, RobotPhase, RobotProgress, Rollout, RolloutSpec, Scope,
};
use super::{OnFailure, Verdict, judge, watch};
use crate::{TargetName, words::counted};

/// What is seen of one robot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RobotSeen {
    /// It has an open session.
    pub online: bool,
    /// It is enrolled no longer.
    pub gone: bool,
    /// Why an operator holds it; `None` when nobody does.
    pub held: Option<String>,
    /// What it is doing, as far as it reports it.
    pub busy: BTreeSet<Busy>,
    /// Its label `site`.
    pub site: Option<String>,
    /// What is declared for it now: the digest in the rollout's slot, or its policy as [`policy_text`](super::policy_text).
    pub declared: Option<String>,
    /// The newest desired state it says it took up.
    pub observed: Version,
    /// Why it cannot be given what the rollout brings, as far as it has said what it can have.
    pub lacks: Option<String>,
    /// What it says of the slot. Of a policy: `active` or `failed` about the version that is declared now, and nothing else;
    /// `None` when it said nothing of that version.
    pub slot: Option<SlotState>,
}

/// What is seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Now, microseconds since the Unix epoch: the same as given to [`wants`](super::wants).
    pub now_us: i64,
    /// Since when this control plane hears robots, microseconds since the Unix epoch.
    pub up_since_us: i64,
    /// Robots of the rows that were asked for.
    pub robots: &'a BTreeMap<TargetName, RobotSeen>,
    /// What the gates of the stage say now; `None` when that is not known yet.
    pub gates: Option<&'a [GateResult]>,
    /// What the replay says; `None` while it runs.
    pub replay: Option<&'a GateResult>,
    /// Rollout that holds robots which this one wants; only of a queued one.
    pub taken_by: Option<i64>,
}

/// What a robot is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// What the rollout brings.
    Release,
    /// What it had before: `before` or `before_policy` of its row, nothing when that is `None`.
    Back,
}

/// A robot to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tell {
    /// Which robot.
    pub target: TargetName,
    /// What.
    pub what: Told,
}

/// What changes, all of it at once.
///
/// Of each robot that is told, the row is in `robots`, and whoever applies the step sets `told` in it to the desired state that tells
/// it. Where `told` is `None` on [`Told::Release`], it also sets `before`, `before_policy` and `served` to what is declared and served
/// at that moment; otherwise they stay, because what is declared is the release already.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The rollout, its revision raised by one.
    pub rollout: Rollout,
    /// Robots that changed.
    pub robots: Vec<RobotProgress>,
    /// Robots whose desired state changes.
    pub tell: Vec<Tell>,
    /// What happened.
    pub history: Vec<HistoryEntry>,
}

/// A rollout to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRollout {
    /// As declared, checked.
    pub spec: RolloutSpec,
    /// What robots are told.
    pub release: Release,
    /// Its stages and robots.
    pub plan: Plan,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
}

/// A rollout that was made, its robots and the first line of its history. Its number is 0: whoever stores it gives it one.
pub fn create(new: NewRollout) -> (Rollout, Vec<RobotProgress>, Vec<HistoryEntry>) {
    let NewRollout { spec, release, plan, created_at_us, created_by } = new;
    let Plan { stages, robots, left_out: _ } = plan;
    let sizes = || format!("{} in {}", counted(robots.len(), "robot", "robots"), counted(stages.len(), "stage", "stages"));
    let cause = if spec.description.is_empty() { sizes() } else { spec.description.clone() };
    let robot = |(target, stage)| RobotProgress {
        target,
        stage,
        phase: RobotPhase::Pending,
        since_us: created_at_us,
        waits_since_us: None,
        wakes_us: None,
        back: false,
        reason: String::new(),
        told: None,
        served: String::new(),
        before: None,
        before_policy: None,
    };
    let history = HistoryEntry {
        at_us: created_at_us,
        happened: Happened::Created,
        phase: Phase::Queued,
        stage: None,
        robot: None,
        actor: Actor::Operator(created_by.clone()),
        cause,
        evidence: Vec::new(),
    };
    let rollout = Rollout {
        id: 0,
        spec,
        release,
        stages,
        phase: Phase::Queued,
        stage: 0,
        since_us: created_at_us,
        paused_in: None,
        holds: String::new(),
        settled_us: None,
        going_back: None,
        accepted: 0,
        revision: 0,
        created_at_us,
        created_by,
    };
    (rollout, robots.into_iter().map(robot).collect(), vec![history])
}

/// What happens next: `counts` are of all the rollout's robots, `robots` the rows that [`wants`](super::wants) asks for, `seen` what
/// is seen of them. `None` when nothing does. One step does not do all that could be done: call it again until it is `None`.
pub fn step(rollout: &Rollout, counts: &Counts, robots: &[RobotProgress], seen: &Seen<'_>) -> Option<Step> {
    let mut turn = Turn::new(rollout, counts, Actor::Controller, seen.now_us);
    for robot in robots {
        watch::watch(&mut turn, robot, seen);
    }
    match rollout.phase {
        Phase::Queued => queued(&mut turn, seen),
        Phase::Replaying => replaying(&mut turn, seen),
        Phase::Progressing => progressing(&mut turn, robots, seen),
        Phase::Soaking => soaking(&mut turn),
        Phase::Judging => judge::judging(&mut turn, seen),
        Phase::RollingBack => rolling_back(&mut turn, robots, seen),
        Phase::AwaitingApproval | Phase::Paused => {}
        Phase::Succeeded | Phase::RolledBack | Phase::Failed | Phase::Aborted => no_turns(&mut turn, robots),
    }
    turn.finish()
}

/// Robots whose turn will not come wait no longer.
fn no_turns(turn: &mut Turn<'_>, robots: &[RobotProgress]) {
    for robot in robots {
        match robot.phase {
            RobotPhase::Waiting => turn.no_turn(robot),
            RobotPhase::Retrying if turn.rollout.phase.ended() => {
                turn.robot(robot, RobotPhase::Failed, "it failed, and was not told again");
            }
            _ => {}
        }
    }
}

fn queued(turn: &mut Turn<'_>, seen: &Seen<'_>) {
    if let Some(other) = seen.taken_by {
        return turn.hold(Some(Happened::Queued), &format!("rollout {other} holds some of its robots: waits until that has ended"));
    }
    if turn.rollout.spec.replay.is_some() { turn.enter(Phase::Replaying) } else { turn.arrive(0) }
}

fn replaying(turn: &mut Turn<'_>, seen: &Seen<'_>) {
    let Some(result) = seen.replay else { return };
    let evidence = || vec![result.clone()];
    match result.verdict {
        Verdict::Pass => {
            turn.say_stage(Happened::Replayed, result.reason.as_str(), evidence());
            turn.arrive(0);
        }
        Verdict::Fail => {
            turn.say_stage(Happened::Replayed, result.reason.as_str(), evidence());
            match turn.rollout.spec.on_failure {
                OnFailure::Pause => turn.pause(&result.reason),
                _ => turn.end(Phase::Failed, &format!("no robot was told, because the replay failed: {}", result.reason)),
            }
        }
        Verdict::Inconclusive => {
            if turn.rollout.holds != result.reason {
                turn.say_stage(Happened::Replayed, result.reason.as_str(), evidence());
                turn.hold(None, &result.reason);
            }
        }
    }
}

/// Why the stage fails because of robots that did, if it does.
pub(super) fn too_many_failed(turn: &Turn<'_>) -> Option<String> {
    use RobotPhase::{Deferred, Pending, RolledBack, Waiting};
    let room = turn.room();
    let (failed, whole) = (room.failed(), room.whole());
    let most = turn.rollout.spec.strategy.max_failed.of(whole);
    if failed > most {
        return Some(format!("{failed} of {} failed, max_failed is {most}", counted(whole, "robot", "robots")));
    }
    let here = (turn.rollout.stage, turn.rollout.stage);
    let to_tell = turn.counts.sum((0, usize::MAX), &[Pending, Waiting], None) + turn.counts.sum(here, &[RolledBack, Deferred], Some(true));
    let full = failed >= room.max_unavailable() && room.on_way() == 0 && to_tell > 0;
    full.then(|| {
        let failed = counted(failed, "robot", "robots");
        format!("{failed} failed, which is all that max_unavailable ({}) allows: no more can be told", room.max_unavailable())
    })
}

fn progressing(turn: &mut Turn<'_>, robots: &[RobotProgress], seen: &Seen<'_>) {
    use RobotPhase::{Deferred, Pending, Retrying, RolledBack, Updating, Waiting};
    if let Some(cause) = too_many_failed(turn) {
        return turn.fail_stage(&cause, Vec::new());
    }
    let stage = turn.rollout.stage;
    let its_turn = |robot: &&RobotProgress| match robot.phase {
        Pending | Waiting | Retrying => robot.stage <= stage,
        RolledBack => robot.stage == stage,
        Deferred => robot.stage == stage && robot.back,
        _ => false,
    };
    // Those that fail without being told come before any that is: they take room.
    let lacks = |robot: &RobotProgress| seen.robots.get(&robot.target).is_some_and(|now| now.lacks.is_some());
    let mut turns: Vec<&RobotProgress> = robots.iter().filter(its_turn).collect();
    turns.sort_by_key(|robot| match robot.phase {
        _ if lacks(robot) => 0,
        Waiting | Retrying => 1,
        _ => 2,
    });
    for robot in turns {
        if !turn.changed(robot) {
            watch::take_turn(turn, robot, seen);
        }
    }
    if let Some(cause) = too_many_failed(turn) {
        return turn.fail_stage(&cause, Vec::new());
    }
    let so_far = (0, stage);
    let again = turn.counts.sum((stage, stage), &[RolledBack, Deferred], Some(true));
    let (pending, waiting) = (turn.counts.sum(so_far, &[Pending], None), turn.counts.sum(so_far, &[Waiting, Retrying], None));
    let moving = pending + again + turn.counts.sum(so_far, &[Updating, RobotPhase::RollingBack], None);
    if moving + waiting == 0 {
        return settle(turn);
    }
    let (one, others) =
        ("robot waits until it is within its hours and not busy", "robots wait until they are within their hours and not busy");
    let why = if moving == 0 { counted(waiting, one, others) } else { String::new() };
    turn.hold(None, &why);
}

pub(super) fn settle(turn: &mut Turn<'_>) {
    let here = (turn.rollout.stage, turn.rollout.stage);
    let of = |phase| turn.counts.sum(here, &[phase], None);
    let cause = format!(
        "{}, {}, {} failed, {}",
        counted(of(RobotPhase::Updated), "robot serves it", "robots serve it"),
        counted(of(RobotPhase::Deferred), "is deferred", "are deferred"),
        of(RobotPhase::Failed),
        counted(of(RobotPhase::Skipped), "was left out", "were left out")
    );
    turn.rollout.settled_us = Some(turn.now_us);
    turn.enter(Phase::Soaking);
    turn.say_stage(Happened::StageSettled, cause, Vec::new());
}

fn soaking(turn: &mut Turn<'_>) {
    if let Some(cause) = too_many_failed(turn) {
        return turn.fail_stage(&cause, Vec::new());
    }
    if turn.rollout.soaked(turn.now_us) {
        turn.enter(Phase::Judging);
    }
}

fn rolling_back(turn: &mut Turn<'_>, robots: &[RobotProgress], seen: &Seen<'_>) {
    use RobotPhase::{Deferred, Failed, Retrying, RolledBack, RollingBack, Updated, Updating};
    let stages = turn.rollout.going_back_stages();
    let concerned = |robot: &&RobotProgress| (!robot.back || robot.phase == Retrying) && (stages.0..=stages.1).contains(&robot.stage);
    for phase in [Updating, Retrying, Failed, Deferred, Updated] {
        for robot in robots.iter().filter(concerned).filter(|robot| robot.phase == phase) {
            if !turn.changed(robot) {
                watch::take_back(turn, robot, seen);
            }
        }
    }
    no_turns(turn, robots);
    let left = turn.counts.sum(stages, &[Updating, Failed, Deferred, Updated], Some(false));
    if left + turn.counts.sum(stages, &[RollingBack, Retrying], None) > 0 {
        return;
    }
    let count = |phase| turn.counts.sum(stages, &[phase], Some(true));
    let (stuck, back, offline) = (count(Failed), count(RolledBack), count(Deferred));
    let mut cause = counted(back, "robot serves again what it had before", "robots serve again what they had before");
    if offline > 0 {
        cause.push_str(&format!(", {}", counted(offline, "will when it returns", "will when they return")));
    }
    if stuck > 0 {
        let known = robots.iter().filter(|robot| robot.phase == Failed && robot.back);
        let names: BTreeSet<&str> = known.chain(turn.now_in(Failed)).map(|robot| robot.target.as_str()).collect();
        let names: Vec<&str> = names.into_iter().take(MOST_NAMED).collect();
        let more = if stuck > names.len() { format!(" and {} more", stuck - names.len()) } else { String::new() };
        cause.push_str(&format!("; not back: {}{more}", names.join(", ")));
    }
    if turn.rollout.going_back == Some(Scope::Stage) {
        // Resumed, the stage begins again.
        turn.enter(Phase::Progressing);
        turn.rollout.going_back = None;
        return turn.pause(&format!("stage {} was taken back: {cause}", turn.stage_name().unwrap_or_default()));
    }
    turn.end(if stuck > 0 { Phase::Failed } else { Phase::RolledBack }, &cause);
}
