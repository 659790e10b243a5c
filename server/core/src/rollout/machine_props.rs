//! Whatever robots, clocks, control planes and operators do, in whatever order. What must be true of each step is held to in
//! [`World`]: never more out of service than allowed, never promoted by itself on anything but a pass, never failed without a failure.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use serde_json::json;

use super::world::{NEW, Nature, SECOND, World, result};
use super::*;
use crate::TargetName;

/// What happens to a rollout. Robots by number, of however many there are.
#[derive(Debug, Clone)]
enum Event {
    Tick,
    Passes(i64),
    Answers(usize),
    AllAnswer,
    Online(usize, bool),
    Held(usize, bool),
    Mission(usize, bool),
    /// They say this; nothing; or leave the gate out.
    Gates(Option<Option<Verdict>>),
    Replay(Verdict),
    Taken(bool),
    /// The control plane was down for so long, seconds.
    Down(i64),
    Operator(Act),
    /// Somebody declares something else for a robot.
    Other(usize),
    /// A robot leaves the fleet.
    Leaves(usize),
    /// A robot that served breaks.
    Breaks(usize),
    /// A robot says what it can have, and that this is none of it (or that it is).
    Lacks(usize, bool),
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![4 => Just(Verdict::Pass), 1 => Just(Verdict::Fail), 1 => Just(Verdict::Inconclusive)]
}

fn event() -> impl Strategy<Value = Event> {
    let robot = || 0..16_usize;
    prop_oneof![
        8 => Just(Event::Tick),
        4 => (1..40_i64).prop_map(Event::Passes),
        8 => robot().prop_map(Event::Answers),
        6 => Just(Event::AllAnswer),
        3 => (robot(), any::<bool>()).prop_map(|(robot, yes)| Event::Online(robot, yes)),
        1 => (robot(), any::<bool>()).prop_map(|(robot, yes)| Event::Held(robot, yes)),
        2 => (robot(), any::<bool>()).prop_map(|(robot, yes)| Event::Mission(robot, yes)),
        3 => proptest::option::weighted(0.9, proptest::option::weighted(0.9, verdict())).prop_map(Event::Gates),
        1 => verdict().prop_map(Event::Replay),
        1 => any::<bool>().prop_map(Event::Taken),
        1 => (1..200_i64).prop_map(Event::Down),
        4 => (0..ACTS.len()).prop_map(|act| Event::Operator(ACTS[act])),
        1 => robot().prop_map(Event::Other),
        1 => robot().prop_map(Event::Leaves),
        1 => robot().prop_map(Event::Breaks),
        1 => (robot(), any::<bool>()).prop_map(|(robot, yes)| Event::Lacks(robot, yes)),
    ]
}

#[derive(Debug, Clone)]
struct Story {
    spec: serde_json::Value,
    natures: Vec<Nature>,
    offline: Vec<bool>,
    events: Vec<Event>,
    /// What gates say in the end.
    end: Verdict,
    /// How often the operator resumes in the end before they take all back.
    patience: u32,
}

fn spec() -> impl Strategy<Value = serde_json::Value> {
    let stages = prop_oneof![
        Just(
            json!([{ "name": "canary", "count": 1, "soak_s": 15 }, { "name": "half", "percent": 50 }, { "name": "all", "rest": true, "approval": true }])
        ),
        Just(json!([{ "name": "canary", "count": 2 }, { "name": "all", "rest": true, "soak_s": 5 }])),
        Just(json!([{ "name": "all", "rest": true }])),
    ];
    let unavailable = prop_oneof![(1..4_u32).prop_map(|count| json!(count)), Just(json!("25%")), Just(json!("60%"))];
    let failed = prop_oneof![3 => Just(json!(0)), 1 => Just(json!(2)), 1 => Just(json!("20%"))];
    let on_failure = prop_oneof![Just("pause"), Just("rollback_stage"), Just("rollback_all")];
    let kind = (any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.3));
    (stages, unavailable, failed, 1..5_u32, any::<bool>(), on_failure, kind).prop_map(
        |(stages, max_unavailable, max_failed, max_concurrent, defer_offline, on_failure, (gated, replay, policy))| {
            let robots = json!({ "not_while": ["mission"], "max_wait_s": 40 });
            let gates = if gated { json!([{ "name": "good", "expression": "updated.fps.mean > 1.0" }]) } else { json!([]) };
            let mut spec = json!({
                "strategy": { "stages": stages, "max_unavailable": max_unavailable, "max_failed": max_failed, "deadline_s": 30,
                    "max_concurrent": max_concurrent, "defer_offline": defer_offline, "robots": robots },
                "gates": gates, "on_failure": on_failure,
            });
            if policy {
                spec["release"] = json!({ "kind": "policy", "policy": { "routes": [] } });
            } else if replay {
                spec["replay"] = json!({ "recording": "c" });
            }
            spec
        },
    )
}

fn story() -> impl Strategy<Value = Story> {
    let nature = prop_oneof![12 => Just(Nature::Good), 1 => Just(Nature::Breaks), 1 => Just(Nature::Silent), 1 => Just(Nature::NoReturn)];
    let robots = 1..14_usize;
    robots.prop_flat_map(move |robots| {
        let natures = proptest::collection::vec(nature.clone(), robots);
        let offline = proptest::collection::vec(proptest::bool::weighted(0.1), robots);
        let events = proptest::collection::vec(event(), 0..60);
        (spec(), natures, offline, events, verdict(), 0..3_u32).prop_map(|(spec, natures, offline, events, end, patience)| Story {
            spec,
            natures,
            offline,
            events,
            end: if end == Verdict::Inconclusive { Verdict::Pass } else { end },
            patience,
        })
    })
}

fn happen(world: &mut World, event: &Event) {
    let robots: Vec<TargetName> = world.robots.keys().cloned().collect();
    let of = |robot: &usize| robots[robot % robots.len()].clone();
    match event {
        Event::Tick => world.tick(),
        Event::Passes(seconds) => world.now_us += seconds * SECOND,
        Event::Answers(robot) => world.answer(&of(robot)),
        Event::AllAnswer => world.all_answer(),
        Event::Online(robot, yes) => world.robots.get_mut(&of(robot)).unwrap().seen.online = *yes,
        Event::Held(robot, yes) => world.robots.get_mut(&of(robot)).unwrap().seen.held = yes.then(|| "by hand".to_owned()),
        Event::Mission(robot, yes) => {
            let busy = if *yes { [Busy::Mission].into() } else { Default::default() };
            world.robots.get_mut(&of(robot)).unwrap().seen.busy = busy;
        }
        Event::Gates(says) => {
            world.gates = says.map(|says| says.map(|says| result("good", says, "as the story has it")).into_iter().collect());
        }
        Event::Replay(says) => world.replay = Some(result("replay", *says, "as the story has it")),
        Event::Taken(yes) => world.taken_by = yes.then_some(3),
        Event::Down(seconds) => {
            world.now_us += seconds * SECOND;
            world.up_since_us = world.now_us;
        }
        // Those that are not possible are refused, which the world checks against what is said to be possible.
        Event::Operator(act) => drop(world.act(*act)),
        Event::Other(robot) => {
            let policy = world.policy;
            world.robots.get_mut(&of(robot)).unwrap().declare(policy, Some(super::world::spec("sha256:other")));
        }
        Event::Lacks(robot, yes) => world.robots.get_mut(&of(robot)).unwrap().seen.lacks = yes.then(|| "it has no such slot".to_owned()),
        Event::Leaves(robot) => world.robots.get_mut(&of(robot)).unwrap().seen.gone = true,
        Event::Breaks(robot) => {
            if let Some(slot) = &mut world.robots.get_mut(&of(robot)).unwrap().seen.slot {
                slot.status = edgeflow_wire::SlotStatus::Failed;
            }
        }
    }
}

/// Lets everything come to rest: whoever can answers, and an operator does what is waited for.
fn rest(world: &mut World, story: &Story) {
    world.taken_by = None;
    world.gates = Some(vec![result("good", story.end, "in the end")]);
    world.replay = Some(result("replay", Verdict::Pass, "in the end"));
    for robot in world.robots.values_mut() {
        (robot.seen.online, robot.seen.held) = (true, None);
        robot.seen.busy.clear();
    }
    let (mut patience, mut rounds) = (story.patience, 0);
    loop {
        world.tick();
        let phase = world.rollout.phase;
        let on_way = world.counts().all(&[RobotPhase::Updating, RobotPhase::RollingBack]);
        if phase.ended() && on_way == 0 {
            break;
        }
        rounds += 1;
        assert!(rounds < 400, "it never ends: {:?} {:?} {:?}", world.rollout, world.phases(), world.history.last());
        match phase {
            Phase::AwaitingApproval => world.must(Act::Approve),
            Phase::Paused if patience > 0 => {
                patience -= 1;
                world.must(Act::Resume);
            }
            Phase::Paused => world.act(Act::Rollback).or_else(|_| world.act(Act::Abort)).unwrap(),
            // Nobody is left who could serve it.
            Phase::Judging if !world.rollout.holds.is_empty() && !world.phases().contains_key(&RobotPhase::Deferred) => {
                world.must(Act::Promote)
            }
            _ => {}
        }
        world.now_us += 5 * SECOND;
        world.all_answer();
    }
    world.tick();
}

fn judge_end(world: &World) {
    let phases = world.phases();
    let of = |phase| phases.get(&phase).copied().unwrap_or_default();
    assert_eq!(of(RobotPhase::Updating) + of(RobotPhase::RollingBack) + of(RobotPhase::Waiting), 0, "nobody is in progress for ever");
    for row in world.rows.values() {
        let robot = &world.robots[&row.target];
        let declared = robot.declared.as_ref().map(|spec| spec.digest.as_str());
        let served = robot.runs();
        let active = robot.seen.slot.as_ref().is_some_and(|slot| slot.status == edgeflow_wire::SlotStatus::Active);
        if row.phase == RobotPhase::Updated && active && declared != Some("sha256:other") {
            assert_eq!(served, Some(NEW), "{row:?}");
        }
        if row.phase == RobotPhase::RolledBack || (row.back && row.phase == RobotPhase::Deferred) {
            let before = super::world::before(row);
            if declared != Some("sha256:other") {
                assert_eq!(declared, before, "{row:?}");
            }
            assert_ne!(before, Some(NEW), "what it goes back to is from before the rollout: {row:?}");
        }
        if row.phase == RobotPhase::RolledBack && declared != Some("sha256:other") {
            assert_ne!(served, Some(NEW), "{row:?}");
        }
    }
    match world.rollout.phase {
        Phase::Succeeded => assert_eq!(of(RobotPhase::Pending), 0, "everybody had a turn"),
        Phase::RolledBack => {
            let robots = world.rows.values().filter(|row| row.told.is_some() && row.phase != RobotPhase::Skipped);
            for row in robots.filter(|row| row.phase != RobotPhase::RolledBack) {
                assert!(row.back && matches!(row.phase, RobotPhase::Deferred | RobotPhase::Failed), "left behind: {row:?}");
            }
            let is_new = |robot: &&super::world::Robot| robot.declared.as_ref().is_some_and(|spec| spec.digest == NEW);
            let declared_new = world.robots.values().filter(|robot| !robot.seen.gone).filter(is_new);
            assert_eq!(declared_new.count(), 0, "nobody takes up the release any more");
        }
        Phase::Failed if !world.told.is_empty() => {
            assert!(of(RobotPhase::Failed) > 0, "{:?}", world.history.last());
        }
        _ => {}
    }
}

fn tell_story(story: &Story) -> World {
    let mut world = World::new(story.natures.len(), story.spec.clone());
    for ((robot, nature), offline) in world.robots.values_mut().zip(&story.natures).zip(&story.offline) {
        robot.nature = *nature;
        robot.seen.online = !offline;
    }
    for event in &story.events {
        happen(&mut world, event);
    }
    rest(&mut world, story);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_keeps_its_promises_and_ends(story in story()) {
        judge_end(&tell_story(&story));
    }
}
