use serde_json::json;
use std::collections::BTreeSet;

use super::world::{NEW, Nature, SECOND, World, gate, name, result, serving, stages};
use super::*;

#[test]
fn a_good_release_goes_by_its_stages_to_all() {
    let mut world = World::new(10, json!({ "strategy": { "max_unavailable": 3 } }));
    world.tick();
    assert_eq!((world.rollout.phase, world.told.len()), (Phase::Progressing, 1), "the canary alone");
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 10));
    let began: Vec<_> = world.happened(Happened::StageBegan).iter().filter_map(|entry| entry.stage.clone()).collect();
    assert_eq!(began, ["canary", "half", "all"]);
    assert_eq!(world.happened(Happened::StagePassed).len(), 3);
    assert_eq!(world.history.last().unwrap().cause, "10 robots serve it");
    assert!(world.history.iter().skip(1).all(|entry| entry.actor == Actor::Controller));
    assert!(!world.step(), "and rests");
}

#[test]
fn of_one_robot_it_is_said_as_of_one() {
    let stages = json!([{ "name": "all", "rest": true }]);
    let mut world = World::new(1, json!({ "strategy": { "stages": stages } }));
    assert_eq!(world.history[0].cause, "1 robot in 1 stage");
    world.run(100);
    assert_eq!(world.happened(Happened::StageBegan)[0].cause, "1 robot of 1 is to be told");
    assert_eq!(world.happened(Happened::StageSettled)[0].cause, "1 robot serves it, 0 are deferred, 0 failed, 0 were left out");
    world.must(Act::Rollback);
    world.run(100);
    assert_eq!(world.history.last().unwrap().cause, "1 robot serves again what it had before");
    assert!(world.history.iter().all(|entry| !entry.cause.contains("1 robots")), "{:?}", world.history);
}

#[test]
fn a_robot_that_has_no_such_slot_fails_with_that_reason_and_is_not_waited_for() {
    let lacking = || Some("it has no slot map of kind map".to_owned());
    let mut world = World::new(2, json!({ "strategy": { "stages": stages(), "max_failed": 2, "max_unavailable": 2 } }));
    let canary = world.of_stage(0)[0].clone();
    world.robots.get_mut(&canary).unwrap().seen.lacks = lacking();
    world.tick();
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it has no slot map of kind map; it was never told");
    assert_eq!((world.rows[&canary].told, world.told.len()), (None, 0), "nobody was told");

    // It was told before it had ever said anything, and refuses all of what it is told.
    let mut world = World::new(2, json!({ "strategy": { "stages": stages() } }));
    world.robots.values_mut().for_each(|robot| (robot.nature, robot.seen.online) = (Nature::Silent, false));
    world.tick();
    let canary = world.told[0].0.clone();
    assert_eq!(world.rows[&canary].phase, RobotPhase::Deferred);
    let robot = world.robots.get_mut(&canary).unwrap();
    (robot.seen.online, robot.seen.lacks) = (true, lacking());
    world.tick();
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it has no slot map of kind map");
    assert_eq!(world.robots[&canary].declared.as_ref().unwrap().digest, "sha256:old", "what it cannot take up is taken back");
}

#[test]
fn a_failed_gate_takes_the_canary_back() {
    let mut world = World::new(4, json!({ "strategy": { "stages": stages() }, "gates": gate() }));
    world.gates = Some(vec![result("good", Verdict::Fail, "accuracy is 0.2")]);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::RolledBack, 0));
    assert_eq!(world.told.len(), 2, "the canary, there and back");
    let failed = world.happened(Happened::StageFailed);
    assert_eq!((failed[0].cause.as_str(), failed[0].evidence.len()), ("good: accuracy is 0.2", 1));
    assert_eq!(world.rollout.stages[0].evidence[0].verdict, Verdict::Fail);
    assert_eq!(world.phases(), [(RobotPhase::Pending, 3), (RobotPhase::RolledBack, 1)].into());
}

#[test]
fn an_inconclusive_gate_holds_and_says_what_is_missing() {
    let mut world = World::new(4, json!({ "strategy": { "stages": stages() }, "gates": gate() }));
    world.run(10);
    assert_eq!(world.rollout.phase, Phase::Judging, "nothing is known");
    world.gates = Some(Vec::new());
    world.run(10);
    assert_eq!((world.rollout.phase, world.rollout.holds.as_str()), (Phase::Judging, "good: it was not judged"));
    world.gates = Some(vec![result("good", Verdict::Inconclusive, "12 of 200 frames")]);
    world.run(1000);
    assert_eq!((world.rollout.phase, world.rollout.holds.as_str()), (Phase::Judging, "good: 12 of 200 frames"));
    assert_eq!(world.happened(Happened::GatesJudged).len(), 1, "said once, not each second");
    assert_eq!(serving(&world, NEW), 1);
    let revision = world.rollout.revision;
    world.run(100);
    assert_eq!(world.rollout.revision, revision, "nothing new is nothing to write");
    world.gates = Some(vec![result("good", Verdict::Pass, "accuracy is 0.99")]);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 4));
}

#[test]
fn soak_time_is_over_before_gates_are_judged() {
    let stages = json!([{ "name": "canary", "count": 1, "soak_s": 60 }, { "name": "all", "rest": true }]);
    let mut world = World::new(4, json!({ "strategy": { "stages": stages }, "gates": gate() }));
    world.gates = Some(vec![result("good", Verdict::Pass, "fine")]);
    world.run(60);
    assert_eq!((world.rollout.phase, world.told.len()), (Phase::Soaking, 1));
    world.run(5);
    assert!(world.told.len() > 1);
    let settled = world.happened(Happened::StageSettled)[0].at_us;
    assert_eq!(world.happened(Happened::StagePassed)[0].at_us - settled, 60 * SECOND);
}

#[test]
fn a_robot_that_breaks_while_its_stage_soaks_fails_the_stage() {
    let stages = json!([{ "name": "canary", "count": 1, "soak_s": 60 }, { "name": "all", "rest": true }]);
    let mut world = World::new(4, json!({ "strategy": { "stages": stages } }));
    world.run(10);
    let canary = world.of_stage(0)[0].clone();
    let slot = world.robots.get_mut(&canary).unwrap().seen.slot.as_mut().unwrap();
    slot.status = edgeflow_wire::SlotStatus::Failed;
    slot.reason = "the session broke".into();
    world.tick();
    assert_eq!(world.rollout.phase, Phase::RollingBack);
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it serves it no longer: the session broke");
}

#[test]
fn a_silent_robot_fails_at_its_deadline_and_not_while_the_control_plane_is_down() {
    let mut world = World::new(4, json!({ "strategy": { "stages": stages(), "deadline_s": 30 } }));
    let canary = world.of_stage(0)[0].clone();
    world.robots.get_mut(&canary).unwrap().nature = Nature::Silent;
    world.run(29);
    assert_eq!(world.rollout.phase, Phase::Progressing);
    world.now_us += 3600 * SECOND;
    world.up_since_us = world.now_us;
    world.tick();
    assert_eq!(world.rollout.phase, Phase::Progressing, "nobody could answer");
    world.run(31);
    assert_eq!(world.rollout.phase, Phase::RollingBack);
    let failed = world.happened(Happened::RobotFailed);
    assert_eq!(failed[0].cause, "it does not serve 30 s after it was told: it did not take it up");
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::Failed, "it does not go back, either");
    let end = &world.history.last().unwrap().cause;
    assert_eq!(*end, format!("0 robots serve again what they had before; not back: {canary}"));
    world.robots.get_mut(&canary).unwrap().nature = Nature::Good;
    world.must(Act::Retry);
    world.run(10);
    assert_eq!(world.rollout.phase, Phase::RolledBack, "told to go back again");
}

#[test]
fn failures_within_bounds_do_not_stop_it() {
    let mut world = World::new(20, json!({ "strategy": { "max_failed": "10%", "max_unavailable": 5, "deadline_s": 20 } }));
    let all = world.of_stage(2);
    world.robots.get_mut(&all[0]).unwrap().nature = Nature::Breaks;
    world.robots.get_mut(&all[1]).unwrap().nature = Nature::Silent;
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 18));
    assert_eq!(world.history.last().unwrap().cause, "18 robots serve it, 2 failed");
    assert_eq!(world.row(all[0].as_str()).reason, "it does not load");
    world.robots.values_mut().for_each(|robot| robot.nature = Nature::Good);
    world.must(Act::Retry);
    assert_eq!(world.rollout.phase, Phase::Progressing);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 20));
    world.must(Act::Rollback);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, "sha256:old")), (Phase::RolledBack, 20), "those told twice as well");
}

#[test]
fn failed_robots_that_use_up_max_unavailable_fail_the_stage() {
    let mut world = World::new(10, json!({ "strategy": { "stages": stages(), "max_failed": 5, "max_unavailable": 2 } }));
    for robot in world.of_stage(1) {
        world.robots.get_mut(&robot).unwrap().nature = Nature::Breaks;
    }
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::RolledBack);
    let cause = &world.happened(Happened::StageFailed)[0].cause;
    assert_eq!(cause, "2 robots failed, which is all that max_unavailable (2) allows: no more can be told");
}

#[test]
fn an_offline_robot_is_told_and_not_waited_for() {
    let mut world = World::new(5, json!({ "strategy": { "stages": stages() } }));
    let late = world.of_stage(1)[2].clone();
    world.robots.get_mut(&late).unwrap().seen.online = false;
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 4));
    assert_eq!(world.history.last().unwrap().cause, "4 robots serve it, 1 takes it up when it returns");
    world.robots.get_mut(&late).unwrap().seen.online = true;
    world.all_answer();
    world.tick();
    assert_eq!((world.rollout.phase, world.row(late.as_str()).phase), (Phase::Succeeded, RobotPhase::Updated));
}

#[test]
fn an_offline_robot_skips_a_release_that_was_taken_back() {
    let spec = json!({ "strategy": { "stages": [{ "name": "all", "rest": true }] }, "gates": gate() });
    let mut world = World::new(5, spec);
    world.robot("r03").seen.online = false;
    world.run(20);
    assert_eq!(world.rollout.phase, Phase::Judging);
    world.gates = Some(vec![result("good", Verdict::Fail, "bad")]);
    world.run(20);
    assert_eq!(world.rollout.phase, Phase::RolledBack);
    assert_eq!(world.history.last().unwrap().cause, "4 robots serve again what they had before, 1 will when it returns");
    assert_eq!((world.row("r03").phase, world.row("r03").back), (RobotPhase::Deferred, true));
    world.robot("r03").seen.online = true;
    world.all_answer();
    world.tick();
    assert_eq!((world.row("r03").phase, serving(&world, "sha256:old")), (RobotPhase::RolledBack, 5));
}

#[test]
fn an_offline_canary_proves_nothing() {
    let stages = json!([{ "name": "canary", "count": 1, "soak_s": 10 }, { "name": "all", "rest": true }]);
    let mut world = World::new(5, json!({ "strategy": { "stages": stages } }));
    let canary = world.of_stage(0)[0].clone();
    world.robots.get_mut(&canary).unwrap().seen.online = false;
    world.run(1000);
    assert_eq!((world.rollout.phase, world.told.len()), (Phase::Judging, 1));
    assert!(world.rollout.holds.starts_with("no robot serves it yet"), "{}", world.rollout.holds);
    world.robots.get_mut(&canary).unwrap().seen.online = true;
    world.run(2);
    assert_eq!(world.rollout.phase, Phase::Soaking, "its soak time begins now");
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 5));
}

#[test]
fn a_robot_that_returns_and_stays_silent_fails_at_its_deadline() {
    let mut world = World::new(5, json!({ "strategy": { "stages": stages(), "deadline_s": 30 } }));
    let canary = world.of_stage(0)[0].clone();
    let robot = world.robots.get_mut(&canary).unwrap();
    (robot.nature, robot.seen.online) = (Nature::Silent, false);
    world.run(100);
    assert_eq!((world.rollout.phase, world.row(canary.as_str()).phase), (Phase::Judging, RobotPhase::Deferred));
    world.robots.get_mut(&canary).unwrap().seen.online = true;
    world.run(20);
    world.robots.get_mut(&canary).unwrap().seen.online = false;
    world.run(20);
    world.robots.get_mut(&canary).unwrap().seen.online = true;
    world.run(25);
    assert_eq!(world.rollout.phase, Phase::Judging, "it was away again");
    world.run(70);
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it does not serve 30 s after it returned: it did not take it up");
    assert!(world.rollout.phase == Phase::Failed, "and does not go back, either");
}

#[test]
fn robots_that_are_waited_for_when_offline_fail_at_their_deadline() {
    let mut world = World::new(2, json!({ "strategy": { "stages": stages(), "defer_offline": false, "deadline_s": 30 } }));
    let canary = world.of_stage(0)[0].clone();
    world.robots.get_mut(&canary).unwrap().seen.online = false;
    world.run(31);
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it does not serve 30 s after it was told: it is offline");
    world.run(31);
    assert_eq!(world.rollout.phase, Phase::RolledBack, "it will when it returns");
}

#[test]
fn busy_robots_are_waited_for_but_not_for_ever() {
    let robots = json!({ "not_while": ["mission"], "max_wait_s": 60 });
    let spec = json!({ "strategy": { "stages": [{ "name": "all", "rest": true }], "robots": robots, "max_unavailable": 3 } });
    let mut world = World::new(3, spec.clone());
    world.robot("r01").seen.busy = [Busy::Mission, Busy::Charging].into();
    world.run(20);
    assert_eq!((world.row("r01").phase, world.row("r01").reason.as_str()), (RobotPhase::Waiting, "it is on a mission"));
    assert_eq!(world.rollout.holds, "1 robot waits until it is within its hours and not busy");
    world.robot("r01").seen.busy = [Busy::Charging].into();
    world.run(20);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 3), "charging was not asked to be left alone");

    let mut world = World::new(3, spec);
    world.robot("r01").seen.busy = [Busy::Mission].into();
    world.run(30);
    world.must(Act::Pause);
    world.now_us += 300 * SECOND;
    world.must(Act::Resume);
    world.run(59);
    assert_eq!(world.rollout.phase, Phase::Progressing, "it was not looked at while it was paused");
    world.run(20);
    assert_eq!(world.rollout.phase, Phase::RolledBack);
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it is on a mission for 60 s: it was never told");
    assert_eq!((world.row("r01").phase, world.row("r01").told), (RobotPhase::Skipped, None));
    assert!(world.told.iter().all(|(target, _)| *target != name("r01")));
}

#[test]
fn robots_out_of_their_hours_wait_for_them_however_long_and_are_not_looked_at() {
    let windows = json!([{ "time_zone": "UTC", "from": "02:00", "to": "03:00" }]);
    let stages = json!([{ "name": "all", "rest": true }]);
    let mut world = World::new(3, json!({ "strategy": { "stages": stages, "windows": windows, "max_unavailable": 3 } }));
    world.robot("r01").seen.online = false;
    world.tick();
    assert_eq!((world.phases(), world.told.len()), ([(RobotPhase::Waiting, 3)].into(), 0), "offline or not");
    assert_eq!(world.row("r00").reason, "out of its hours until Thu 02:00 UTC");
    world.most_rows = 0;
    world.run(3600);
    assert_eq!((world.told.len(), world.most_rows), (0, 0));
    world.now_us = 2 * 3600 * SECOND;
    world.run(10);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 2));
}

#[test]
fn held_and_departed_robots_are_left_out() {
    let mut world = World::new(4, json!({ "strategy": { "stages": [{ "name": "all", "rest": true }] } }));
    world.robot("r00").seen.held = Some("lidar is being changed".into());
    world.robot("r01").seen.gone = true;
    world.run(20);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 2));
    assert_eq!(world.row("r00").reason, "it is held: lidar is being changed");
    assert_eq!(world.row("r01").reason, "it left the fleet");
    assert_eq!(world.history.last().unwrap().cause, "2 robots serve it, 2 were left out");
}

#[test]
fn a_robot_held_on_its_way_is_taken_back_with_the_others() {
    let spec = json!({ "strategy": { "stages": [{ "name": "all", "rest": true }], "max_unavailable": 3 } });
    let mut world = World::new(3, spec);
    world.tick();
    world.robot("r01").seen.held = Some("by hand".into());
    world.run(20);
    assert_eq!((world.rollout.phase, world.row("r01").phase), (Phase::Succeeded, RobotPhase::Deferred));
    world.must(Act::Rollback);
    world.run(20);
    assert_eq!((world.rollout.phase, world.row("r01").back), (Phase::RolledBack, true));
    assert_eq!(world.robot("r01").declared.as_ref().unwrap().digest, "sha256:old", "else it would take it up when it is released");
}

#[test]
fn what_somebody_else_declared_is_left_alone() {
    let spec = json!({ "strategy": { "stages": [{ "name": "all", "rest": true }], "max_unavailable": 3 } });
    let mut world = World::new(3, spec);
    world.run(10);
    world.robot("r01").seen.declared = Some("sha256:other".into());
    world.must(Act::Rollback);
    world.run(20);
    assert_eq!((world.rollout.phase, world.row("r01").phase), (Phase::RolledBack, RobotPhase::Skipped));
    assert_eq!(world.row("r01").reason, "something else was declared for it since: it stays");
    assert!(!world.told.contains(&(name("r01"), Told::Back)));
}

#[test]
fn a_robot_for_which_nothing_was_declared_goes_back_to_nothing() {
    let mut world = World::new(2, json!({ "strategy": { "stages": [{ "name": "all", "rest": true }] } }));
    let robot = world.robot("r01");
    (robot.declared, robot.seen.declared, robot.seen.slot, robot.old) = (None, None, None, None);
    world.run(20);
    assert_eq!(serving(&world, NEW), 2);
    world.must(Act::Rollback);
    world.run(20);
    assert_eq!((world.rollout.phase, world.row("r01").phase), (Phase::RolledBack, RobotPhase::RolledBack));
    assert_eq!(world.row("r01").served, "");
    assert_eq!(world.robot("r01").seen.slot, None);
}

#[test]
fn a_rollback_is_confirmed_by_the_desired_state_that_asked_for_it() {
    let spec = json!({ "strategy": { "stages": [{ "name": "all", "rest": true }], "max_unavailable": 2 } });
    let mut world = World::new(2, spec);
    world.tick();
    world.must(Act::Rollback);
    world.tick();
    assert_eq!(world.phases(), [(RobotPhase::RollingBack, 2)].into(), "both serve the old one still, and may yet take up the new");
    world.all_answer();
    world.tick();
    assert_eq!(world.rollout.phase, Phase::RolledBack);
}

#[test]
fn a_rollback_keeps_to_max_unavailable_but_never_stops() {
    let spec = json!({ "strategy": { "stages": [{ "name": "all", "rest": true }], "max_unavailable": 2, "deadline_s": 30 } });
    let mut world = World::new(10, spec);
    world.run(60);
    for robot in ["r00", "r01", "r02"] {
        world.robot(robot).nature = Nature::NoReturn;
    }
    world.must(Act::Rollback);
    world.run(1000);
    assert_eq!((world.rollout.phase, serving(&world, "sha256:old")), (Phase::Failed, 7));
    assert!(world.history.last().unwrap().cause.ends_with("not back: r00, r01, r02"), "{:?}", world.history.last());
}

#[test]
fn ten_thousand_robots_are_stepped_by_those_on_their_way() {
    let strategy = json!({ "max_concurrent": 500, "max_failed": "5%", "deadline_s": 20 });
    let mut world = World::new(10_000, json!({ "strategy": strategy }));
    for (index, robot) in world.robots.values_mut().enumerate() {
        robot.seen.online = index % 20 != 0;
        robot.nature = if index % 100 == 7 {
            Nature::Breaks
        } else if index % 50 == 3 {
            Nature::Silent
        } else {
            Nature::Good
        };
    }
    // The canary is one of the good.
    let canary = world.of_stage(0)[0].clone();
    let robot = world.robots.get_mut(&canary).unwrap();
    (robot.seen.online, robot.nature) = (true, Nature::Good);
    let mut most = BTreeSet::new();
    for _ in 0..3000 {
        world.most_rows = 0;
        world.tick();
        most.insert(world.most_rows);
        if world.rollout.phase.ended() {
            break;
        }
        world.now_us += SECOND;
        world.all_answer();
    }
    assert_eq!(world.rollout.phase, Phase::Succeeded, "{:?}", world.history.last());
    let of = |is: fn(&super::world::Robot) -> bool| world.robots.values().filter(|robot| is(robot)).count();
    let (offline, bad) = (of(|robot| !robot.seen.online), of(|robot| robot.nature != Nature::Good));
    assert!(offline >= 499 && bad >= 299, "{offline} {bad}");
    let phases = world.phases();
    let expected = [(RobotPhase::Updated, 10_000 - offline - bad), (RobotPhase::Deferred, offline), (RobotPhase::Failed, bad)];
    assert_eq!(phases, expected.into());
    // All that serve are looked at once, when the last stage has soaked; beside that, those on their way.
    assert!(most.iter().filter(|rows| **rows > 2000).count() <= 2, "{most:?}");
}
