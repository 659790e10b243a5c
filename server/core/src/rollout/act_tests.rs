use serde_json::json;

use super::world::{NEW, Nature, World, gate, result, serving, stages};
use super::*;

#[test]
fn a_stage_taken_back_begins_again_when_it_is_resumed() {
    let spec = json!({ "strategy": { "max_unavailable": 5 }, "gates": gate(), "on_failure": "rollback_stage" });
    let mut world = World::new(8, spec);
    world.gates = Some(vec![result("good", Verdict::Pass, "fine")]);
    world.tick();
    world.all_answer();
    world.step();
    world.tick();
    world.gates = Some(vec![result("good", Verdict::Fail, "bad")]);
    world.run(100);
    assert_eq!((world.rollout.phase, world.rollout.stage, serving(&world, NEW)), (Phase::Paused, 1, 1), "the canary stays");
    assert_eq!(world.rollout.holds, "stage half was taken back: 3 robots serve again what they had before");
    assert_eq!(world.happened(Happened::RollbackBegan).len(), 1);
    world.must(Act::Resume);
    world.gates = Some(vec![result("good", Verdict::Pass, "fine")]);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 8));
    world.must(Act::Rollback);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, "sha256:old")), (Phase::RolledBack, 8));
}

#[test]
fn a_stage_that_failed_and_pauses_is_for_an_operator_to_decide() {
    let spec = json!({ "strategy": { "stages": stages(), "max_unavailable": 3 }, "gates": gate(), "on_failure": "pause" });
    let mut world = World::new(5, spec.clone());
    world.gates = Some(vec![result("good", Verdict::Fail, "bad")]);
    world.run(100);
    assert_eq!((world.rollout.phase, world.rollout.holds.as_str()), (Phase::Paused, "good: bad"));
    world.must(Act::Resume);
    world.run(10);
    assert_eq!(world.rollout.phase, Phase::Paused, "judged again");
    world.must(Act::Promote);
    assert_eq!((world.rollout.phase, world.rollout.stage), (Phase::Progressing, 1));
    let promoted = world.happened(Happened::Promoted)[0];
    assert_eq!((promoted.cause.as_str(), &promoted.actor), ("because", &Actor::Operator("bob".into())));
    assert_eq!(promoted.evidence[0].verdict, Verdict::Fail, "what was overruled is kept");

    let mut world = World::new(5, spec);
    world.gates = Some(vec![result("good", Verdict::Pass, "fine")]);
    let bad = world.of_stage(1)[0].clone();
    world.robots.get_mut(&bad).unwrap().nature = Nature::Breaks;
    world.run(100);
    assert_eq!((world.rollout.phase, world.rollout.holds.as_str()), (Phase::Paused, "1 of 5 robots failed, max_failed is 0"));
    assert!(world.act(Act::Promote).unwrap_err().to_string().contains("possible: resume, abort, rollback, retry"));
    world.must(Act::Resume);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 4), "in spite of it");
}

#[test]
fn one_that_has_ended_keeps_the_failures_that_were_taken_whichever_robots_are_looked_at() {
    let mut world = World::new(5, json!({ "strategy": { "stages": stages(), "max_unavailable": 3 }, "on_failure": "pause" }));
    let bad = world.of_stage(1)[0].clone();
    world.robots.get_mut(&bad).unwrap().nature = Nature::Breaks;
    world.run(100);
    world.must(Act::Resume);
    world.run(100);
    assert_eq!((world.rollout.phase, world.rollout.accepted), (Phase::Succeeded, 1));
    let seen = Seen {
        now_us: world.now_us,
        up_since_us: 0,
        robots: &std::collections::BTreeMap::new(),
        gates: None,
        replay: None,
        taken_by: None,
    };
    assert_eq!(step(&world.rollout, &Counts::default(), &[], &seen), None, "nothing happened");
}

#[test]
fn a_pause_of_an_operator_takes_no_failures() {
    let mut world = World::new(5, json!({ "strategy": { "stages": stages() } }));
    let canary = world.of_stage(0)[0].clone();
    world.robots.get_mut(&canary).unwrap().nature = Nature::Breaks;
    world.tick();
    world.must(Act::Pause);
    world.all_answer();
    world.tick();
    assert_eq!((world.rollout.phase, world.phases()[&RobotPhase::Failed]), (Phase::Paused, 1), "robots on their way are watched");
    world.must(Act::Resume);
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::RolledBack);
}

#[test]
fn a_stage_waits_for_approval_and_nothing_is_told_before() {
    let stages = json!([{ "name": "canary", "count": 1 }, { "name": "all", "rest": true, "approval": true }]);
    let mut world = World::new(5, json!({ "strategy": { "stages": stages } }));
    world.run(100);
    assert_eq!((world.rollout.phase, world.told.len()), (Phase::AwaitingApproval, 1));
    assert_eq!(world.rollout.holds, "stage all waits for approval");
    world.must(Act::Pause);
    assert!(world.act(Act::Approve).is_err());
    world.must(Act::Resume);
    assert_eq!(world.rollout.phase, Phase::AwaitingApproval);
    world.must(Act::Approve);
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
}

#[test]
fn a_queued_rollout_waits_and_says_for_whom() {
    let mut world = World::new(2, json!({ "when_taken": "queue" }));
    world.taken_by = Some(3);
    world.run(10);
    assert_eq!(world.rollout.phase, Phase::Queued);
    assert_eq!(world.rollout.holds, "rollout 3 holds some of its robots: waits until that has ended");
    assert_eq!(world.happened(Happened::Queued).len(), 1);
    world.taken_by = None;
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
}

#[test]
fn a_replay_is_judged_before_any_robot_is_told() {
    let spec = json!({ "replay": { "recording": "c1" } });
    let mut world = World::new(2, spec.clone());
    world.run(10);
    assert_eq!((world.rollout.phase, world.told.len()), (Phase::Replaying, 0));
    world.replay = Some(result("replay", Verdict::Inconclusive, "20 of 200 frames"));
    world.run(10);
    assert_eq!((world.rollout.phase, world.rollout.holds.as_str()), (Phase::Replaying, "20 of 200 frames"));
    assert_eq!(world.happened(Happened::Replayed).len(), 1);
    world.replay = Some(result("replay", Verdict::Fail, "agrees on 40 %"));
    world.run(10);
    assert_eq!((world.rollout.phase, world.told.len()), (Phase::Failed, 0));
    assert!(world.history.last().unwrap().cause.contains("agrees on 40 %"));
    let mut world = World::new(2, spec);
    world.replay = Some(result("replay", Verdict::Pass, "agrees on 99 %"));
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
}

#[test]
fn an_aborted_rollout_leaves_robots_as_they_are_and_still_watches_those_on_their_way() {
    let mut world = World::new(5, json!({ "strategy": { "stages": stages() } }));
    world.tick();
    world.must(Act::Abort);
    assert_eq!(world.phases()[&RobotPhase::Updating], 1);
    world.all_answer();
    world.tick();
    assert_eq!((world.rollout.phase, world.phases()[&RobotPhase::Updated]), (Phase::Aborted, 1));
    let refused = world.act(Act::Resume).unwrap_err().to_string();
    assert_eq!(refused, "rollout 7 cannot resume now: it is not paused; possible: rollback");
    world.must(Act::Rollback);
    world.run(10);
    assert_eq!(world.rollout.phase, Phase::RolledBack);
}

#[test]
fn robots_that_are_to_be_told_again_go_back_with_the_others() {
    let robots = json!({ "not_while": ["mission"] });
    let spec =
        json!({ "strategy": { "stages": [{ "name": "all", "rest": true }], "max_failed": 1, "max_unavailable": 3, "robots": robots } });
    let mut world = World::new(4, spec);
    world.robot("r01").nature = Nature::Breaks;
    world.run(20);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 3));
    world.robot("r01").seen.busy = [Busy::Mission].into();
    world.must(Act::Retry);
    world.tick();
    assert_eq!((world.row("r01").phase, world.row("r01").reason.as_str()), (RobotPhase::Retrying, "it is on a mission"));
    world.must(Act::Rollback);
    world.run(20);
    assert_eq!((world.rollout.phase, world.row("r01").phase), (Phase::RolledBack, RobotPhase::RolledBack));
    assert!(world.robots.values().all(|robot| robot.declared.as_ref().is_some_and(|spec| spec.digest == "sha256:old")));
}

#[test]
fn a_retry_goes_through_the_stage_again_and_around_no_approval() {
    let stages = json!([{ "name": "some", "count": 3 }, { "name": "all", "rest": true, "approval": true }]);
    let mut world = World::new(6, json!({ "strategy": { "stages": stages, "max_failed": 1, "max_unavailable": 3 } }));
    let bad = world.of_stage(0)[0].clone();
    world.robots.get_mut(&bad).unwrap().nature = Nature::Breaks;
    world.run(20);
    assert_eq!((world.rollout.phase, world.rollout.stage), (Phase::AwaitingApproval, 1));
    world.robots.get_mut(&bad).unwrap().nature = Nature::Good;
    world.must(Act::Retry);
    world.run(20);
    assert_eq!((world.rollout.phase, world.rollout.stage, serving(&world, NEW)), (Phase::AwaitingApproval, 1, 3));
}

#[test]
fn a_robot_to_be_told_again_is_out_of_service_until_it_serves() {
    let robots = json!({ "not_while": ["mission"] });
    let strategy = json!({ "stages": [{ "name": "all", "rest": true }], "max_failed": 1, "max_unavailable": 2, "robots": robots });
    let mut world = World::new(6, json!({ "strategy": strategy }));
    world.robot("r00").nature = Nature::Breaks;
    world.tick();
    world.all_answer();
    world.tick();
    assert_eq!((world.row("r00").phase, world.phases()[&RobotPhase::Updating]), (RobotPhase::Failed, 1));
    world.robot("r00").seen.busy = [Busy::Mission].into();
    world.must(Act::Retry);
    world.all_answer();
    world.tick();
    assert_eq!((world.row("r00").phase, world.phases()[&RobotPhase::Updating]), (RobotPhase::Retrying, 1));
}

#[test]
fn a_robot_to_be_told_again_that_is_held_is_taken_back_with_the_others() {
    let strategy = json!({ "stages": [{ "name": "all", "rest": true }], "max_failed": 1, "max_unavailable": 3 });
    let mut world = World::new(3, json!({ "strategy": strategy }));
    world.robot("r01").nature = Nature::Breaks;
    world.run(20);
    world.robot("r01").seen.held = Some("by hand".into());
    world.must(Act::Retry);
    world.run(20);
    assert_eq!((world.rollout.phase, world.row("r01").phase), (Phase::Succeeded, RobotPhase::Failed));
    assert_eq!(world.row("r01").reason, "it is held: by hand");
    world.must(Act::Rollback);
    world.run(20);
    assert_eq!(world.robot("r01").declared.as_ref().unwrap().digest, "sha256:old", "else it would take it up when it is released");
}
