//! What a robot's report means for its place in a rollout, and whether one whose turn it is can be told.

use edgeflow_wire::SlotStatus;

use super::counts::seconds;
use super::turn::Turn;
use super::{Busy, Phase, Release, RobotPhase, RobotProgress, RobotSeen, Seen, Told, holding, window};

/// Whether the robot has taken up what told it, and serves what the rollout brings.
fn serves(release: &Release, seen: &RobotSeen) -> bool {
    seen.slot.as_ref().is_some_and(|slot| match release {
        Release::Slot { spec } => slot.status == SlotStatus::Active && slot.digest == spec.digest,
        Release::Policy { .. } => slot.status == SlotStatus::Active,
    })
}

/// Whether the robot serves what it had before. It may say that something else failed: what counts is what serves.
fn serves_before(release: &Release, robot: &RobotProgress, seen: &RobotSeen) -> bool {
    let slot = seen.slot.as_ref();
    match (release, &robot.before) {
        (Release::Slot { .. }, Some(before)) => slot.is_some_and(|slot| {
            slot.digest == before.digest && matches!(slot.status, SlotStatus::Active | SlotStatus::Failed | SlotStatus::RolledBack)
        }),
        (Release::Slot { spec }, None) => slot.is_none_or(|slot| slot.digest != spec.digest),
        (Release::Policy { .. }, _) if robot.before_policy.is_none() => true,
        (Release::Policy { .. }, _) => slot.is_some_and(|slot| slot.status == SlotStatus::Active),
    }
}

/// Why it failed, if it says so.
fn broken(seen: &RobotSeen) -> Option<String> {
    let slot = seen.slot.as_ref().filter(|slot| matches!(slot.status, SlotStatus::Failed | SlotStatus::RolledBack))?;
    Some(if slot.reason.is_empty() { "it failed and does not say why".to_owned() } else { slot.reason.clone() })
}

/// How far it got, for one that took too long.
fn stood(seen: Option<&RobotSeen>, taken_up: bool) -> String {
    match seen {
        Some(seen) if !seen.online => "it is offline".to_owned(),
        Some(seen) if taken_up => match &seen.slot {
            Some(slot) => format!("it says {:?}", slot.status).to_lowercase(),
            None => "it says nothing of it".to_owned(),
        },
        _ => "it did not take it up".to_owned(),
    }
}

/// Moves on a robot that was told, by what it reports and by its deadline.
pub(super) fn watch(turn: &mut Turn<'_>, robot: &RobotProgress, seen: &Seen<'_>) {
    use RobotPhase::{Deferred, Failed, RolledBack, RollingBack, Skipped, Updated, Updating};
    let Some(told) = robot.told else { return };
    let going_back = turn.rollout.phase == Phase::RollingBack;
    let stage = turn.rollout.going_back_stages();
    let watched = match robot.phase {
        // Those are told to go back in this phase.
        Updating | Deferred | Updated if going_back && !robot.back && (stage.0..=stage.1).contains(&robot.stage) => false,
        // Told anew.
        Deferred if robot.back && turn.rollout.phase == Phase::Progressing && robot.stage == turn.rollout.stage => false,
        Updating | RollingBack | Deferred => true,
        Updated => !turn.rollout.phase.ended(),
        _ => false,
    };
    if !watched {
        return;
    }
    let now = seen.robots.get(&robot.target);
    let taken_up = now.is_some_and(|now| now.observed >= told);
    if let Some(now) = now {
        let declared = if robot.back {
            holding::before_text(&turn.rollout.release, robot)
        } else {
            Some(holding::release_text(&turn.rollout.release))
        };
        if now.gone {
            return turn.left(robot, Skipped, "it left the fleet");
        }
        if now.declared != declared {
            return turn.left(robot, Skipped, "something else was declared for it since");
        }
        let release = &turn.rollout.release;
        let there = taken_up && if robot.back { serves_before(release, robot, now) } else { serves(release, now) };
        if there {
            if robot.phase != Updated {
                turn.robot(robot, if robot.back { RolledBack } else { Updated }, "");
            }
            return;
        }
        if taken_up && let Some(why) = broken(now) {
            let why = match robot.phase {
                Updated => format!("it serves it no longer: {why}"),
                _ if robot.back => format!("it did not go back: {why}"),
                _ => why,
            };
            return turn.left(robot, Failed, why);
        }
        if robot.phase == Updated {
            if taken_up && now.slot.as_ref().is_some_and(|slot| slot.status == SlotStatus::Active) {
                turn.left(robot, Failed, "it serves something else");
            }
            return;
        }
        // It was told before it was known what it can have. One that does not know the kind takes up nothing of what it is told.
        if let Some(why) = now.lacks.as_ref().filter(|_| !robot.back) {
            return turn.left(robot, Failed, why.as_str());
        }
        if robot.phase != Deferred
            && let Some(why) = &now.held
        {
            return turn.left(robot, Deferred, format!("it is held: {why}"));
        }
    }
    let (since_us, after) = match robot.phase {
        Updating | RollingBack => (robot.since_us, "was told"),
        // Waited for once it could answer: from its return, and not while it is away again.
        Deferred => {
            let there = now.is_some_and(|now| now.online && now.held.is_none());
            match robot.waits_since_us {
                Some(since_us) if there => (since_us, "returned"),
                None if there => return turn.returns(robot, true),
                Some(_) if now.is_some() => return turn.returns(robot, false),
                _ => return,
            }
        }
        _ => return,
    };
    // While the control plane was down nobody could answer.
    let since_us = since_us.max(seen.up_since_us);
    let deadline_s = turn.rollout.spec.strategy.deadline_s;
    if turn.now_us >= since_us.saturating_add(seconds(deadline_s)) {
        let how = if robot.back { "it did not go back" } else { "it does not serve" };
        turn.left(robot, Failed, format!("{how} {deadline_s} s after it {after}: {}", stood(now, taken_up)));
    }
}

fn doing(busy: &Busy) -> &'static str {
    match busy {
        Busy::Mission => "it is on a mission",
        Busy::Charging => "it is charging",
        Busy::LifecycleInactive => "its node is not active",
    }
}

/// Tells a robot whose turn it is, if it may be told now.
pub(super) fn take_turn(turn: &mut Turn<'_>, robot: &RobotProgress, seen: &Seen<'_>) {
    use RobotPhase::{Deferred, Failed, Retrying, Skipped, Updating, Waiting};
    let Some(now) = seen.robots.get(&robot.target) else { return };
    if robot.wakes_us.is_some_and(|wakes_us| wakes_us > turn.now_us) {
        return;
    }
    let has_release = robot.told.is_some() && !robot.back;
    if now.gone {
        return turn.left(robot, Skipped, "it left the fleet");
    }
    if has_release && now.declared.as_deref() != Some(holding::release_text(&turn.rollout.release).as_str()) {
        return turn.left(robot, Skipped, "something else was declared for it since");
    }
    if let Some(why) = &now.held {
        // What it was told stays declared, and must go back with the others.
        return turn.left(robot, if has_release { Failed } else { Skipped }, format!("it is held: {why}"));
    }
    if let Some(why) = &now.lacks {
        return turn.left(robot, Failed, format!("{why}; it was never told"));
    }
    let strategy = &turn.rollout.spec.strategy;
    if let Some((wakes_us, shown)) = window::closed(&strategy.windows, now.site.as_deref(), turn.now_us) {
        return turn.wait(robot, None, Some(wakes_us), format!("out of its hours until {shown}"));
    }
    if !now.online && strategy.defer_offline {
        return turn.tell(robot, Told::Release, Deferred, "it is offline");
    }
    let busy: Vec<&str> = strategy.robots.not_while.intersection(&now.busy).map(doing).collect();
    if !busy.is_empty() {
        let since_us = robot.waits_since_us.unwrap_or(turn.now_us);
        // Waiting ends only with looking: not while it was paused or the control plane was down.
        let waits_us = turn.now_us - since_us.max(turn.rollout.since_us).max(seen.up_since_us);
        if waits_us >= seconds(strategy.robots.max_wait_s) {
            let why = format!("{} for {} s: it was never told", busy.join(" and "), strategy.robots.max_wait_s);
            return turn.left(robot, Failed, why);
        }
        return turn.wait(robot, Some(since_us), None, busy.join(" and "));
    }
    let room = turn.room();
    // One that failed is out of service already.
    let again = robot.phase == Retrying && room.fetching() > 0 && room.on_way() < room.max_unavailable();
    if again || room.left() > 0 {
        return turn.tell(robot, Told::Release, Updating, "");
    }
    if robot.phase == Waiting {
        turn.no_turn(robot);
    }
}

/// Tells a robot to go back, if there is something to go back from, and room.
pub(super) fn take_back(turn: &mut Turn<'_>, robot: &RobotProgress, seen: &Seen<'_>) {
    use RobotPhase::{Deferred, RollingBack, Skipped, Updated, Updating};
    if robot.told.is_none() {
        let why = if robot.reason.is_empty() { "it was never told".to_owned() } else { robot.reason.clone() };
        turn.robot(robot, Skipped, why);
        return;
    }
    let Some(now) = seen.robots.get(&robot.target) else { return };
    if now.gone {
        return turn.left(robot, Skipped, "it left the fleet");
    }
    let release = &turn.rollout.release;
    if now.declared != holding::before_text(release, robot) && now.declared != Some(holding::release_text(release)) {
        return turn.left(robot, Skipped, "something else was declared for it since: it stays");
    }
    if let Some(why) = &now.held {
        return turn.tell(robot, Told::Back, Deferred, &format!("it is held: {why}"));
    }
    if !now.online {
        return turn.tell(robot, Told::Back, Deferred, "it is offline: it goes back when it returns");
    }
    let room = turn.room();
    let may = match robot.phase {
        // On its way already.
        Updating => true,
        // Out of service only when there is room; but if others that failed take all of it, one at a time rather than never.
        Updated | Deferred => room.left() > 0 || room.on_way() == 0,
        _ => room.fetching() > 0,
    };
    if may {
        turn.tell(robot, Told::Back, RollingBack, "");
    }
}
