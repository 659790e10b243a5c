//! Promises about rollouts.

use edgeflow_core::{
    TargetName,
    rollout::{
        Act, Counts, Happened, HistoryEntry, NewRollout, Phase, Plan, Release, ReleaseKind, ReleaseRef, RobotPhase, RobotProgress,
        RobotSeen, Rollout, RolloutSpec, Seen, StagePlan, Step, Tell, Told, WhenTaken, act, create, step,
    },
    target::Target,
};
use edgeflow_wire::Version;
use serde_json::json;
use std::collections::BTreeMap;

use super::fixtures::{deployment, org, other_org, spec, target, target_name};
use crate::{Applied, RobotFilter, RolloutFilter, StoreError, Stores};

async fn enrol(stores: &Stores, names: &[&str]) {
    stores.server.identity(1).await.unwrap();
    for name in names {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
}

async fn read(stores: &Stores, name: &str) -> Target {
    stores.targets.target(&org(), &target_name(name)).await.unwrap().unwrap()
}

fn at(generation: u64) -> Version {
    Version { server_epoch: 1, generation }
}

fn declared(digest: &str) -> RolloutSpec {
    let release =
        ReleaseRef { kind: ReleaseKind::Model, name: Some("reader".into()), version: Some(digest.into()), alias: None, policy: None };
    serde_json::from_value(json!({ "release": release, "strategy": { "max_unavailable": "100%" } })).unwrap()
}

/// A rollout of one stage, as it is made.
fn new(spec: RolloutSpec, release: Release, robots: &[&str]) -> (Rollout, Vec<RobotProgress>, Vec<HistoryEntry>) {
    let stage = StagePlan {
        name: "all".into(),
        robots: robots.len(),
        soak_s: 0,
        approval: false,
        gates: vec![],
        began_us: None,
        ended_us: None,
        evidence: vec![],
    };
    let robots = robots.iter().map(|name| (target_name(name), 0)).collect();
    let plan = Plan { stages: vec![stage], robots, left_out: vec![] };
    create(NewRollout { spec, release, plan, created_at_us: 10, created_by: "administrator".into() })
}

async fn make(stores: &Stores, digest: &str, robots: &[&str]) -> Result<Rollout, StoreError> {
    let (rollout, robots, history) = new(declared(digest), Release::Slot { spec: spec(digest) }, robots);
    stores.rollouts.create_rollout(&org(), &rollout, &robots, &history).await
}

async fn robots(stores: &Stores, id: i64) -> Vec<RobotProgress> {
    stores.rollouts.rollout_robots(id, &RobotFilter::default()).await.unwrap()
}

/// The step that follows when all robots are online and declared what they are.
async fn next(stores: &Stores, rollout: &Rollout, now_us: i64) -> Step {
    let robots = robots(stores, rollout.id).await;
    let mut seen = BTreeMap::new();
    for robot in &robots {
        let target = stores.targets.target(&org(), &robot.target).await.unwrap();
        let declared = target.as_ref().and_then(|target| Some(target.desired.slots.get("default")?.digest.clone()));
        seen.insert(robot.target.clone(), RobotSeen { online: true, gone: target.is_none(), declared, ..RobotSeen::default() });
    }
    let seen = Seen { now_us, up_since_us: 0, robots: &seen, gates: None, replay: None, taken_by: None };
    step(rollout, &Counts::of(&robots), &robots, &seen).unwrap()
}

async fn apply(stores: &Stores, step: &Step) -> (Rollout, Vec<RobotProgress>, Vec<TargetName>) {
    match stores.rollouts.apply_step(&org(), step, step.rollout.revision - 1, step.rollout.since_us).await.unwrap() {
        Applied::Done { rollout, robots, told, lines } => {
            assert_eq!(lines.len(), step.history.len());
            (*rollout, robots, told)
        }
        other => panic!("{other:?}"),
    }
}

/// Begun, and all of its robots told.
async fn begun(stores: &Stores, digest: &str, names: &[&str]) -> Rollout {
    let mut rollout = make(stores, digest, names).await.unwrap();
    while robots(stores, rollout.id).await.iter().any(|robot| robot.phase == RobotPhase::Pending) {
        rollout = apply(stores, &next(stores, &rollout, 20).await).await.0;
    }
    rollout
}

/// Making and reading.
pub async fn a_rollout_is_made_read_and_listed(stores: Stores) {
    enrol(&stores, &["r1", "r2", "r3"]).await;
    let first = make(&stores, "a", &["r1", "r2"]).await.unwrap();
    let (expected, of_robots, history) = new(declared("a"), Release::Slot { spec: spec("a") }, &["r1", "r2"]);
    assert_eq!(first, Rollout { id: first.id, ..expected });
    assert_eq!(robots(&stores, first.id).await, of_robots);
    assert_eq!(stores.rollouts.rollout_history(first.id, 9).await.unwrap(), history);
    assert_eq!(stores.rollouts.rollout(&org(), first.id).await.unwrap().as_ref(), Some(&first));
    assert_eq!(stores.rollouts.rollout(&other_org(), first.id).await.unwrap(), None);
    let unknown = make(&stores, "a", &["r3", "ghost"]).await;
    assert!(matches!(unknown, Err(StoreError::Missing { what: "robot", name }) if name == "ghost"));
    let second = make(&stores, "b", &["r3"]).await.unwrap();
    let list = async |filter: RolloutFilter| -> Vec<i64> {
        stores.rollouts.rollouts(&org(), &filter).await.unwrap().iter().map(|rollout| rollout.id).collect()
    };
    let all = RolloutFilter { limit: 9, ..RolloutFilter::default() };
    assert_eq!(list(all.clone()).await, [second.id, first.id]);
    assert_eq!(list(RolloutFilter { limit: 1, ..all.clone() }).await, [second.id]);
    assert_eq!(list(RolloutFilter { before: Some(second.id), ..all.clone() }).await, [first.id]);
    assert_eq!(list(RolloutFilter { target: Some(target_name("r2")), ..all.clone() }).await, [first.id]);
    assert_eq!(list(RolloutFilter { active: Some(true), ..all.clone() }).await, [second.id, first.id]);
    let abort = act(&second, &Counts::of(&robots(&stores, second.id).await), &[], Act::Abort, "administrator", "", 30).unwrap();
    apply(&stores, &abort).await;
    assert_eq!(list(RolloutFilter { active: Some(false), ..all.clone() }).await, [second.id]);
    assert_eq!(list(RolloutFilter { active: Some(true), ..all }).await, [first.id]);
    let phases = stores.rollouts.rollout_phases().await.unwrap();
    assert_eq!(phases, [("aborted".to_owned(), 1), ("queued".to_owned(), 1)].into());
    assert!(stores.rollouts.rollouts(&other_org(), &RolloutFilter { limit: 9, ..RolloutFilter::default() }).await.unwrap().is_empty());
    let open = stores.rollouts.open_rollouts().await.unwrap();
    assert_eq!(open.iter().map(|one| (one.id, one.revision, one.late)).collect::<Vec<_>>(), [(first.id, 0, false)]);
}

/// Steps.
pub async fn a_step_of_a_rollout_declares_and_is_made_once(stores: Stores) {
    enrol(&stores, &["r1", "r2", "r3"]).await;
    stores.deployments.create_deployment(&org(), &deployment("before", &["r1", "r3"])).await.unwrap();
    let made = make(&stores, "a", &["r1", "r2", "r3"]).await.unwrap();
    let first = next(&stores, &made, 20).await;
    let (begun, ..) = apply(&stores, &first).await;
    assert_eq!((begun.phase, begun.revision), (Phase::Progressing, 1));
    assert_eq!(stores.rollouts.apply_step(&org(), &first, 0, 20).await.unwrap(), Applied::Stale, "it was made");
    let told = Step {
        tell: ["r1", "r2", "r3"].map(|name| Tell { target: target_name(name), what: Told::Release }).into(),
        robots: robots(&stores, made.id).await.into_iter().map(|robot| RobotProgress { phase: RobotPhase::Updating, ..robot }).collect(),
        history: vec![],
        rollout: Rollout { revision: 2, ..begun.clone() },
    };
    stores.targets.revoke_target(&org(), &target_name("r3"), 25).await.unwrap();
    let (told, changed, who) = apply(&stores, &told).await;
    let lines = stores.rollouts.rollout_history(made.id, 100).await.unwrap();
    let left = lines.iter().find(|line| line.happened == Happened::RobotLeft).map(|line| (line.robot.as_deref(), line.cause.as_str()));
    assert_eq!(left, Some((Some("r3"), "it is gone from the fleet")), "it leaves a line");
    assert_eq!(who, [target_name("r1"), target_name("r2")]);
    assert_eq!(changed, robots(&stores, made.id).await);
    let [one, two, three] = changed.as_slice() else { panic!("{changed:?}") };
    assert_eq!((one.told, one.before.as_ref(), two.told, two.before.as_ref()), (Some(at(2)), Some(&spec("before")), Some(at(1)), None));
    assert_eq!((three.phase, three.told, three.reason.as_str()), (RobotPhase::Skipped, None, "it is gone from the fleet"));
    let shown = read(&stores, "r1").await.desired;
    assert_eq!((shown.version, &shown.slots["default"], shown.vectors["default"].control), (at(2), &spec("a"), at(2)));
    let counts = stores.rollouts.rollout_counts(&[made.id]).await.unwrap();
    assert_eq!(counts[&made.id], Counts::of(&changed));

    // The robots it told are on record as a deployment of its own, and supersede the one before.
    let deployments = stores.deployments.deployments(&org(), Some(made.id), None, 9).await.unwrap();
    let [lot] = deployments.as_slice() else { panic!("{deployments:?}") };
    assert_eq!((lot.rollout, lot.digest.as_str(), lot.created_by.as_str()), (Some(made.id), "a", "administrator"));
    assert_eq!(lot.asked.iter().map(|asked| (asked.target.as_str(), asked.version)).collect::<Vec<_>>(), [("r1", at(2)), ("r2", at(1))]);
    let plain = stores.deployments.deployments(&org(), Some(0), None, 9).await.unwrap();
    assert_eq!(plain.iter().map(|one| one.asked[0].superseded_by).collect::<Vec<_>>(), [Some(at(2))]);
    assert!(stores.deployments.standing_deployments(&org(), &[target_name("r1")]).await.unwrap().is_empty(), "rollouts tell themselves");

    // Back to what was there before: also to nothing.
    let back = Step {
        tell: ["r1", "r2"].map(|name| Tell { target: target_name(name), what: Told::Back }).into(),
        robots: changed[..2].iter().map(|robot| RobotProgress { phase: RobotPhase::RollingBack, back: true, ..robot.clone() }).collect(),
        history: vec![],
        rollout: Rollout { phase: Phase::RollingBack, revision: told.revision + 1, ..told.clone() },
    };
    let (back, changed, who) = apply(&stores, &back).await;
    assert_eq!((who.len(), changed[0].told, changed[1].told), (2, Some(at(3)), Some(at(2))));
    assert_eq!(read(&stores, "r1").await.desired.slots["default"], spec("before"));
    assert!(read(&stores, "r2").await.desired.slots.is_empty());
    let lots = stores.deployments.deployments(&org(), Some(made.id), None, 9).await.unwrap();
    assert_eq!(lots.iter().map(|lot| (lot.digest.as_str(), lot.asked.len())).collect::<Vec<_>>(), [("before", 1), ("a", 2)]);
    let ended = Step {
        rollout: Rollout { phase: Phase::RolledBack, revision: back.revision + 1, ..back },
        tell: vec![],
        robots: vec![],
        history: vec![],
    };
    let (ended, ..) = apply(&stores, &ended).await;

    // What was declared since stays.
    stores.deployments.create_deployment(&org(), &deployment("newer", &["r1"])).await.unwrap();
    let again = Step {
        tell: vec![Tell { target: target_name("r1"), what: Told::Back }],
        robots: vec![RobotProgress { phase: RobotPhase::RollingBack, ..changed[0].clone() }],
        history: vec![],
        rollout: Rollout { phase: Phase::RollingBack, revision: ended.revision + 1, ..ended },
    };
    let (_, changed, who) = apply(&stores, &again).await;
    assert_eq!(
        (changed[0].phase, changed[0].reason.as_str(), who.len()),
        (RobotPhase::Skipped, "reader 1 was declared since: it stays", 0)
    );
    assert_eq!(read(&stores, "r1").await.desired.slots["default"], spec("newer"));
}

/// One bundle, registered twice.
pub async fn robots_go_back_each_to_the_version_it_had(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    for (robot, version) in [("r1", "1"), ("r2", "2")] {
        let mut had = deployment("same", &[robot]);
        (had.version, had.spec.version) = (version.to_owned(), version.to_owned());
        stores.deployments.create_deployment(&org(), &had).await.unwrap();
    }
    let told = begun(&stores, "a", &["r1", "r2"]).await;
    let back = act(&told, &Counts::of(&robots(&stores, told.id).await), &[], Act::Rollback, "administrator", "", 30).unwrap();
    let (back, ..) = apply(&stores, &back).await;
    apply(&stores, &next(&stores, &back, 31).await).await;
    let of = async |robot: &str| read(&stores, robot).await.desired.slots["default"].version.clone();
    assert_eq!((of("r1").await, of("r2").await), ("1".to_owned(), "2".to_owned()));
    let lots = stores.deployments.deployments(&org(), Some(told.id), None, 9).await.unwrap();
    let mut lots: Vec<_> = lots.iter().map(|lot| (lot.version.as_str(), lot.digest.as_str(), lot.asked[0].target.as_str())).collect();
    lots.retain(|(_, digest, _)| *digest == "same");
    lots.sort_unstable();
    assert_eq!(lots, [("1", "same", "r1"), ("2", "same", "r2")], "what is on record is what each was told");
}

/// Holding.
pub async fn a_robots_slot_is_held_by_one_rollout(stores: Stores) {
    enrol(&stores, &["r1", "r2", "r3"]).await;
    let first = begun(&stores, "a", &["r1", "r2"]).await;
    let held = stores.deployments.create_deployment(&org(), &deployment("other", &["r1", "r2", "r3"])).await.unwrap_err();
    assert!(matches!(&held, StoreError::Held { others: 1, rollout, .. } if *rollout == first.id), "{held:?}");
    assert!(held.to_string().starts_with(&format!("rollout {} holds slot \"default\" of r1 and one more robot: ", first.id)), "{held}");
    assert!(read(&stores, "r3").await.desired.slots.is_empty(), "nothing of it happened");
    let undeclared = stores.targets.undeclare(&org(), &target_name("r1"), &"default".parse().unwrap()).await.unwrap_err();
    assert!(matches!(&undeclared, StoreError::Held { rollout, .. } if *rollout == first.id), "{undeclared:?}");
    assert_eq!(read(&stores, "r1").await.desired.slots["default"], spec("a"));
    let mut elsewhere = deployment("other", &["r1"]);
    elsewhere.slot = "map".parse().unwrap();
    stores.deployments.create_deployment(&org(), &elsewhere).await.unwrap();
    stores.deployments.create_deployment(&org(), &deployment("other", &["r3"])).await.unwrap();
    let holders = stores.rollouts.rollout_holders(&org(), "default", &[target_name("r2"), target_name("r3")]).await.unwrap();
    assert_eq!(holders, [(target_name("r2"), first.id)]);
    assert!(matches!(make(&stores, "b", &["r2", "r3"]).await, Err(StoreError::Held { others: 0, .. })));

    // Those that may wait, wait: in the order in which they were made.
    let queue = async |names: &[&str]| {
        let waits = RolloutSpec { when_taken: WhenTaken::Queue, ..declared("b") };
        let (rollout, robots, history) = new(waits, Release::Slot { spec: spec("b") }, names);
        stores.rollouts.create_rollout(&org(), &rollout, &robots, &history).await.unwrap()
    };
    let (second, third, fourth) = (queue(&["r2", "r3"]).await, queue(&["r3"]).await, queue(&["r1"]).await);
    let taken = async |id: i64| stores.rollouts.rollout_taken_by(&org(), id).await.unwrap();
    assert_eq!((taken(second.id).await, taken(third.id).await, taken(fourth.id).await), (Some(first.id), Some(second.id), Some(first.id)));
    // One that is paused before it began holds nobody, and waits on when it is resumed.
    let paused = act(&third, &Counts::of(&robots(&stores, third.id).await), &[], Act::Pause, "administrator", "", 30).unwrap();
    let (paused, ..) = apply(&stores, &paused).await;
    let holders = stores.rollouts.rollout_holders(&org(), "default", &[target_name("r3")]).await.unwrap();
    assert_eq!(holders.iter().map(|(_, by)| *by).collect::<Vec<_>>(), [second.id, third.id]);
    stores.deployments.create_deployment(&org(), &deployment("another", &["r3"])).await.unwrap();
    let resumed = act(&paused, &Counts::of(&robots(&stores, third.id).await), &[], Act::Resume, "administrator", "", 31).unwrap();
    assert_eq!(apply(&stores, &resumed).await.0.phase, Phase::Queued);
    let hasty = next(&stores, &second, 40).await;
    assert_eq!(stores.rollouts.apply_step(&org(), &hasty, 0, 40).await.unwrap(), Applied::Taken(first.id));
    assert_eq!(stores.rollouts.rollout(&org(), second.id).await.unwrap(), Some(second.clone()), "nothing of it happened");
    let abort = act(&first, &Counts::of(&robots(&stores, first.id).await), &[], Act::Abort, "administrator", "", 50).unwrap();
    let (ended, ..) = apply(&stores, &abort).await;
    assert_eq!((taken(second.id).await, taken(fourth.id).await), (None, None));
    apply(&stores, &hasty).await;
    // One that has ended does not go back over another.
    let back = act(&ended, &Counts::of(&robots(&stores, ended.id).await), &[], Act::Rollback, "administrator", "", 60).unwrap();
    let refused = stores.rollouts.apply_step(&org(), &back, ended.revision, 60).await.unwrap();
    assert_eq!(refused, Applied::Taken(second.id));
}

/// Policies.
pub async fn a_rollout_of_a_policy_goes_out_and_back(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let policy =
        |period_s: u32| json!({ "routes": [{ "name": "odom", "allow": ["odom"], "fields": ["x"], "window": { "period_s": period_s } }] });
    stores.targets.set_policy(&org(), &target_name("r1"), &policy(60)).await.unwrap();
    let release = ReleaseRef { kind: ReleaseKind::Policy, name: None, version: None, alias: None, policy: Some(policy(10)) };
    let declared: RolloutSpec = serde_json::from_value(json!({ "release": release })).unwrap();
    let (rollout, of_robots, history) = new(declared, Release::Policy { document: policy(10) }, &["r1", "r2"]);
    let made = stores.rollouts.create_rollout(&org(), &rollout, &of_robots, &history).await.unwrap();
    let tell = |what: Told, phase: RobotPhase, robots: Vec<RobotProgress>, rollout: Rollout| Step {
        tell: ["r1", "r2"].map(|name| Tell { target: target_name(name), what }).into(),
        robots: robots.into_iter().map(|robot| RobotProgress { phase, ..robot }).collect(),
        history: vec![],
        rollout: Rollout { phase: Phase::Progressing, revision: rollout.revision + 1, ..rollout },
    };
    let (told, changed, who) = apply(&stores, &tell(Told::Release, RobotPhase::Updating, of_robots, made)).await;
    let before: Vec<_> = changed.iter().map(|robot| (robot.told, robot.before_policy.as_ref().map(|policy| policy.version))).collect();
    assert_eq!((who.len(), before), (2, vec![(Some(at(2)), Some(1)), (Some(at(1)), None)]));
    let shown = async |name: &str| read(&stores, name).await.desired.policy.map(|policy| (policy.version, policy.document));
    assert_eq!((shown("r1").await, shown("r2").await), (Some((2, policy(10))), Some((1, policy(10)))));
    let held = stores.targets.set_policy(&org(), &target_name("r2"), &policy(5)).await.unwrap_err();
    assert!(matches!(&held, StoreError::Held { slot, .. } if slot.is_empty()), "{held:?}");
    stores.deployments.create_deployment(&org(), &deployment("other", &["r1"])).await.unwrap();
    let (told, changed, _) = apply(&stores, &tell(Told::Release, RobotPhase::Updating, changed, told)).await;
    assert_eq!(shown("r1").await, Some((3, policy(10))), "told the same again, they look at it anew");
    assert_eq!(changed[0].before_policy.as_ref().map(|policy| policy.version), Some(1), "where they go back to stays");
    apply(&stores, &tell(Told::Back, RobotPhase::RollingBack, changed, told)).await;
    assert_eq!((shown("r1").await, shown("r2").await), (Some((4, policy(60))), Some((3, json!({})))));
    assert!(stores.deployments.deployments(&org(), Some(1), None, 9).await.unwrap().is_empty(), "a policy is no deployment");
}

/// Robots and lines.
pub async fn the_robots_and_lines_of_a_rollout_are_found(stores: Stores) {
    enrol(&stores, &["r1", "r2", "r3"]).await;
    let rollout = begun(&stores, "a", &["r1", "r2", "r3"]).await;
    let find = async |filter: RobotFilter| -> Vec<String> {
        stores.rollouts.rollout_robots(rollout.id, &filter).await.unwrap().iter().map(|robot| robot.target.to_string()).collect()
    };
    let before = robots(&stores, rollout.id).await;
    let moved = Step {
        robots: vec![RobotProgress { phase: RobotPhase::Deferred, since_us: 70, reason: "it is offline".into(), ..before[1].clone() }],
        tell: vec![],
        history: vec![],
        rollout: Rollout { since_us: 70, revision: rollout.revision + 1, ..rollout.clone() },
    };
    let (moved, ..) = apply(&stores, &moved).await;
    assert_eq!(find(RobotFilter { phase: Some(RobotPhase::Deferred), ..RobotFilter::default() }).await, ["r2"]);
    assert_eq!(find(RobotFilter { since_us: Some(70), ..RobotFilter::default() }).await, ["r2"]);
    assert_eq!(find(RobotFilter { stage: Some(1), ..RobotFilter::default() }).await, [""; 0]);
    assert_eq!(find(RobotFilter { after: Some("r1".into()), limit: Some(1), ..RobotFilter::default() }).await, ["r2"]);
    let told = stores.targets.targets_told(&org(), "reader", "1", 9).await.unwrap();
    assert_eq!(told.len(), 3, "a rollout that has not ended may tell them");

    let abort = act(&moved, &Counts::of(&robots(&stores, rollout.id).await), &[], Act::Abort, "ada", "enough", 80).unwrap();
    apply(&stores, &abort).await;
    let lines = stores.rollouts.rollout_events(&org(), 0, i64::MAX, 9).await.unwrap();
    let line = edgeflow_core::event::of_rollout(&lines[0]).unwrap();
    assert_eq!(line.title, format!("rollout {} of reader a was aborted: enough", rollout.id));
    assert_eq!((line.id, line.t_us, line.target.as_str()), (-lines[0].id, 80, ""));
    assert_eq!(lines.iter().map(|line| line.entry.happened).collect::<Vec<_>>().len(), 2, "made and ended: {lines:?}");
    assert!(stores.rollouts.rollout_events(&org(), 11, 80, 9).await.unwrap().is_empty());
    assert!(stores.rollouts.rollout_events(&other_org(), 0, i64::MAX, 9).await.unwrap().is_empty());
    let newest = stores.rollouts.rollout_history(rollout.id, 1).await.unwrap();
    assert_eq!(newest[0].cause, "enough");
    let open = stores.rollouts.open_rollouts().await.unwrap();
    assert_eq!(open.iter().map(|one| (one.id, one.late)).collect::<Vec<_>>(), [(rollout.id, true)], "one robot may still answer");
}

/// Robots by name.
pub async fn robots_are_read_by_name_with_their_labels(stores: Stores) {
    enrol(&stores, &["r2", "r1", "r3"]).await;
    stores.targets.revoke_target(&org(), &target_name("r3"), 9).await.unwrap();
    let names = ["r2", "r1", "r3", "ghost"].map(target_name);
    assert_eq!(stores.targets.targets_named(&org(), &names).await.unwrap(), [target("r1"), target("r2")]);
    assert!(stores.targets.targets_named(&other_org(), &names).await.unwrap().is_empty());
    let labelled = stores.targets.labelled_targets(&org()).await.unwrap();
    assert_eq!(labelled, ["r1", "r2"].map(|name| (target_name(name), target(name).labels)));
}
