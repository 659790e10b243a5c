#![allow(clippy::unwrap_used)]

use edgeflow_wire::SlotStatus;
use serde_json::json;

use super::world::{NEW, Nature, SECOND, World, before, gate, name, result, serving, spec, stages};
use super::*;

/// A rollout of a telemetry policy over so many robots, each under an older one.
fn of_policy(robots: usize, more: serde_json::Value) -> World {
    let mut rest = json!({ "release": { "kind": "policy", "policy": { "routes": [] } }, "strategy": { "stages": stages() } });
    for (key, value) in more.as_object().unwrap() {
        rest[key] = value.clone();
    }
    World::new(robots, rest)
}

#[test]
fn a_policy_goes_out_stage_by_stage_and_what_ruled_before_is_kept() {
    let mut world = of_policy(3, json!({}));
    // Nothing was declared for this one.
    world.robot("r01").declare(true, None);
    world.all_answer();
    world.tick();
    assert_eq!((world.told.len(), touches(&world.rollout)), (1, Touches::Policy), "the canary alone");
    let canary = world.told[0].0.clone();
    world.robots.get_mut(&canary).unwrap().seen.observed.generation += 1;
    world.tick();
    assert_eq!(world.rows[&canary].phase, RobotPhase::Updating, "that it took the document up says nothing of the policy in it");
    world.robots.get_mut(&canary).unwrap().seen.observed.generation -= 1;
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 3));
    assert!(world.rows.values().all(|row| row.before.is_none() && row.served.is_empty()));
    assert_eq!((before(world.row("r00")), before(world.row("r01"))), (Some("sha256:old"), None));

    world.must(Act::Rollback);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, "sha256:old"), serving(&world, NEW)), (Phase::RolledBack, 2, 0));
    assert_eq!(world.robot("r01").declared, None, "to none, where there was none");
    assert!(world.rows.values().all(|row| row.phase == RobotPhase::RolledBack && row.back), "{:?}", world.rows);
}

#[test]
fn a_policy_that_is_refused_fails_with_the_robots_own_reason_and_comes_back() {
    let mut world = of_policy(3, json!({}));
    world.robots.values_mut().for_each(|robot| robot.nature = Nature::Breaks);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, "sha256:old")), (Phase::RolledBack, 3));
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it does not load");
    assert_eq!(world.told.len(), 2, "the canary, there and back");

    // Told again when what was wrong with it is mended, it is no longer what it said of the version before.
    let mut world = of_policy(2, json!({ "on_failure": "pause" }));
    world.robots.values_mut().for_each(|robot| robot.nature = Nature::Breaks);
    world.run(100);
    assert_eq!(world.rollout.phase, Phase::Paused);
    world.robots.values_mut().for_each(|robot| robot.nature = Nature::Good);
    world.must(Act::Retry);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Succeeded, 2));
    assert!(world.rows.values().all(|row| before(row) == Some("sha256:old")), "what ruled before the first time");
}

#[test]
fn a_robot_that_says_nothing_of_the_policy_fails_at_its_deadline() {
    let mut world = of_policy(1, json!({ "strategy": { "stages": stages(), "deadline_s": 30 } }));
    world.robot("r00").nature = Nature::Silent;
    world.tick();
    // An older robot takes up the document and says nothing of policies.
    let desired = world.robot("r00").desired;
    world.robot("r00").seen.observed = desired;
    world.now_us += 31 * SECOND;
    world.tick();
    assert_eq!(world.happened(Happened::RobotFailed)[0].cause, "it does not serve 30 s after it was told: it says nothing of it");
}

#[test]
fn a_gate_takes_a_policy_back_and_what_was_set_by_hand_meanwhile_stays() {
    let mut world = of_policy(4, json!({ "gates": gate() }));
    world.gates = Some(vec![result("good", Verdict::Pass, "")]);
    for _ in 0..100 {
        world.tick();
        if world.rollout.stage == 1 && world.rollout.phase == Phase::Judging {
            break;
        }
        if world.rollout.stage == 1 {
            world.gates = Some(vec![result("good", Verdict::Inconclusive, "few")]);
        }
        world.now_us += SECOND;
        world.all_answer();
    }
    assert_eq!((world.rollout.phase, serving(&world, NEW)), (Phase::Judging, 4));
    let canary = world.of_stage(0)[0].clone();
    world.robots.get_mut(&canary).unwrap().declare(true, Some(spec("sha256:other")));
    world.gates = Some(vec![result("good", Verdict::Fail, "the log grows")]);
    world.run(100);
    assert_eq!((world.rollout.phase, serving(&world, "sha256:old"), serving(&world, "sha256:other")), (Phase::RolledBack, 3, 1));
    let left = &world.rows[&canary];
    assert_eq!((left.phase, left.reason.contains("something else was declared")), (RobotPhase::Skipped, true), "{left:?}");
    assert!(world.robots.values().all(|robot| robot.seen.slot.as_ref().is_some_and(|said| said.status == SlotStatus::Active)));
    assert!(world.rows.contains_key(&name("r00")));
}
