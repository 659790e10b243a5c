//! What operators do to a rollout, and what of that is possible when.

use super::counts::{Counts, Need};
use super::machine::too_many_failed;
use super::turn::Turn;
use super::{Actor, Happened, Phase, RobotPhase, RobotProgress, Rollout, Scope, Step};
use crate::{CoreError, words::counted};

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Hold it: nobody is told anything until it is resumed. Robots on their way converge.
    Pause,
    /// Go on where it was. Robots that failed, and made it hold, count no longer; gates that failed are judged again; a stage that
    /// was taken back begins again.
    Resume,
    /// Let the stage begin.
    Approve,
    /// Take the stage (or the replay) as good, whatever its gates say, and go on to the next.
    Promote,
    /// End it; robots stay as they are.
    Abort,
    /// Take every robot back that was told.
    Rollback,
    /// Tell failed robots again.
    Retry,
}

/// All of them.
pub const ACTS: [Act; 7] = [Act::Pause, Act::Resume, Act::Approve, Act::Promote, Act::Abort, Act::Rollback, Act::Retry];

impl Act {
    /// Its name, such as `pause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Act::Pause => "pause",
            Act::Resume => "resume",
            Act::Approve => "approve",
            Act::Promote => "promote",
            Act::Abort => "abort",
            Act::Rollback => "rollback",
            Act::Retry => "retry",
        }
    }
}

impl std::str::FromStr for Act {
    type Err = CoreError;

    fn from_str(word: &str) -> Result<Self, CoreError> {
        let found = ACTS.into_iter().find(|act| act.as_str() == word);
        let expected = "pause, resume, approve, promote, abort, rollback or retry";
        found.ok_or_else(|| CoreError::UnknownWord { what: "action", word: word.to_owned(), expected })
    }
}

/// Whether an act is possible now; if not, why.
fn possible(rollout: &Rollout, counts: &Counts, act: Act) -> Result<(), &'static str> {
    use RobotPhase::{Deferred, Failed, Retrying, Updated, Updating};
    let phase = rollout.phase;
    // What a paused rollout would be in.
    let within = if phase == Phase::Paused { rollout.paused_in.unwrap_or(phase) } else { phase };
    let so_far = (0, rollout.stage);
    let yes = |yes: bool, why: &'static str| if yes { Ok(()) } else { Err(why) };
    match act {
        Act::Pause if phase == Phase::Paused => Err("it is paused already"),
        Act::Pause | Act::Abort => yes(!phase.ended(), "it has ended"),
        Act::Resume => yes(phase == Phase::Paused, "it is not paused"),
        Act::Approve => yes(phase == Phase::AwaitingApproval, "it does not wait for approval"),
        Act::Promote => yes(
            matches!(within, Phase::Soaking | Phase::Judging | Phase::Replaying),
            "only a stage whose robots have all answered, or a replay, can be promoted",
        ),
        Act::Rollback if phase == Phase::RollingBack && rollout.going_back == Some(Scope::All) => Err("it goes back already"),
        Act::Rollback => {
            let told = counts.sum(so_far, &[Updating, Updated, Deferred, Failed, Retrying], Some(false)) > 0;
            yes(told || phase == Phase::RollingBack, "no robot is left that was told and could go back")
        }
        Act::Retry if phase == Phase::Aborted => Err("it was aborted: make a new one"),
        Act::Retry => yes(counts.sum(so_far, &[Failed], None) > 0, "no robot failed"),
    }
}

/// What an operator may do now.
pub fn actions(rollout: &Rollout, counts: &Counts) -> Vec<Act> {
    ACTS.into_iter().filter(|act| possible(rollout, counts, *act).is_ok()).collect()
}

/// Rows of robots that [`act`] has to be given.
pub fn needs_of(rollout: &Rollout, act: Act) -> Vec<Need> {
    if act == Act::Retry { vec![Need::of((0, rollout.stage), &[RobotPhase::Failed])] } else { Vec::new() }
}

/// What an operator does: `robots` are the rows that [`needs_of`] asks for, `reason` what they say of it.
///
/// Fails when that is not possible now, and says what is.
pub fn act(
    rollout: &Rollout,
    counts: &Counts,
    robots: &[RobotProgress],
    act: Act,
    actor: &str,
    reason: &str,
    now_us: i64,
) -> Result<Step, CoreError> {
    let refuse = |why: &str| {
        let possible: Vec<&str> = actions(rollout, counts).into_iter().map(Act::as_str).collect();
        let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
        Err(CoreError::RolloutRefuses { id: rollout.id, act: act.as_str(), reason: why.to_owned(), possible })
    };
    if let Err(why) = possible(rollout, counts, act) {
        return refuse(why);
    }
    let mut turn = Turn::new(rollout, counts, Actor::Operator(actor.to_owned()), now_us);
    let cause = if reason.is_empty() { "no reason was given" } else { reason };
    match act {
        Act::Pause => turn.pause(cause),
        Act::Resume => resume(&mut turn, cause),
        Act::Approve => {
            turn.say_stage(Happened::Approved, cause, Vec::new());
            turn.begin();
        }
        Act::Promote => promote(&mut turn, cause),
        Act::Abort => turn.end(Phase::Aborted, cause),
        Act::Rollback => turn.go_back(Scope::All, cause),
        Act::Retry => retry(&mut turn, robots, cause),
    }
    match turn.finish() {
        Some(step) => Ok(step),
        None => refuse("it would change nothing"),
    }
}

fn accept_failed(turn: &mut Turn<'_>) {
    turn.rollout.accepted = turn.counts.all(&[RobotPhase::Failed]);
}

fn resume(turn: &mut Turn<'_>, cause: &str) {
    let within = turn.rollout.paused_in.take().unwrap_or(Phase::Progressing);
    turn.enter(within);
    turn.say(Happened::Resumed, cause);
    if within == Phase::AwaitingApproval {
        return turn.arrive(turn.rollout.stage);
    }
    // That it has ended says that it was paused because the stage failed, not by an operator: they take the failures they saw.
    let stage = turn.rollout.stages.get_mut(turn.rollout.stage);
    if stage.is_some_and(|stage| stage.ended_us.take().is_some()) && too_many_failed(turn).is_some() {
        accept_failed(turn);
    }
}

fn promote(turn: &mut Turn<'_>, cause: &str) {
    let within = if turn.rollout.phase == Phase::Paused { turn.rollout.paused_in } else { Some(turn.rollout.phase) };
    accept_failed(turn);
    if within == Some(Phase::Replaying) {
        turn.rollout.paused_in = None;
        turn.say(Happened::Promoted, cause);
        return turn.arrive(0);
    }
    let evidence = turn.rollout.stages.get(turn.rollout.stage).map(|stage| stage.evidence.clone()).unwrap_or_default();
    turn.pass(Happened::Promoted, cause, evidence);
}

fn retry(turn: &mut Turn<'_>, robots: &[RobotProgress], cause: &str) {
    let failed: Vec<&RobotProgress> = robots.iter().filter(|robot| robot.phase == RobotPhase::Failed).collect();
    let within = if turn.rollout.phase == Phase::Paused { turn.rollout.paused_in } else { Some(turn.rollout.phase) };
    // Those that did not go back are told to go back again.
    let ended_back = matches!(turn.rollout.phase, Phase::Failed | Phase::RolledBack);
    let back = within == Some(Phase::RollingBack) || (ended_back && failed.iter().any(|robot| robot.back));
    for robot in &failed {
        turn.robot(robot, RobotPhase::Retrying, robot.reason.as_str());
    }
    turn.rollout.paused_in = None;
    turn.rollout.accepted = 0;
    if back {
        turn.rollout.going_back.get_or_insert(Scope::All);
        turn.enter(Phase::RollingBack);
    } else {
        // A stage that was not approved yet does not begin by this: the one before it is gone through again.
        if turn.rollout.stages.get(turn.rollout.stage).is_some_and(|stage| stage.began_us.is_none()) {
            turn.rollout.stage = turn.rollout.stage.saturating_sub(1);
        }
        turn.rollout.settled_us = None;
        if let Some(stage) = turn.rollout.stages.get_mut(turn.rollout.stage) {
            stage.ended_us = None;
        }
        turn.enter(Phase::Progressing);
    }
    turn.say(Happened::Retried, format!("{}: {cause}", counted(failed.len(), "robot", "robots")));
}
