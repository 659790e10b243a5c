//! Whatever the order in which both sides change things and hear of each other, nothing is overwritten without a word.

use super::*;
use crate::{
    TargetName, desired,
    target::{Moment, Newest, SlotNow},
};
use edgeflow_wire::{Class, EntryBody, LocalChange, ObservedState, SlotStatus, StateBody, Version};
use proptest::prelude::*;

fn slot() -> SlotName {
    SlotName::default_slot()
}

fn spec(digest: &str) -> SlotSpec {
    SlotSpec { kind: SlotKind::Model, model: "m".into(), version: "1".into(), digest: digest.into(), files: vec![] }
}

/// What a robot does by the contract: it follows, counts what is changed on it, and keeps that until it is settled.
#[derive(Debug, Default)]
struct Robot {
    has: String,
    vector: VersionVector,
    /// A change stands.
    local: bool,
}

impl Robot {
    fn take_up(&mut self, document: &DesiredState) {
        let declared = document.vectors.get("default").copied().unwrap_or_default();
        if !self.vector.keeps(&declared) {
            self.has = document.slots.get("default").map(|spec| spec.digest.clone()).unwrap_or_default();
            self.vector.control = declared.control;
            self.local = false;
        }
    }

    fn change(&mut self, digest: String) {
        self.has = digest;
        self.vector.robot += 1;
        self.local = true;
    }

    fn says(&self) -> Attested {
        let state = SlotState {
            status: SlotStatus::Active,
            model: "m".into(),
            version: "x".into(),
            digest: self.has.clone(),
            vector: Some(self.vector),
            local: self.local.then(LocalChange::default),
            ..SlotState::default()
        };
        attested(state, StateBody::default())
    }
}

fn attested(state: SlotState, body: StateBody) -> Attested {
    let at = Moment { epoch_ordinal: 1, class: Class::Event, seq: 1, t_us: 5 };
    Attested {
        newest: BTreeMap::from([("state".to_owned(), Newest { at, received_us: 6, content: EntryBody::State(body).into() })]),
        slots: BTreeMap::from([("default".to_owned(), SlotNow { state, since_us: 5, at })]),
        last_seen_us: Some(6),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Declare,
    Withdraw,
    Change,
    Deliver,
    Report,
    Settle(Side),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Declare),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Change),
        3 => Just(Step::Deliver),
        3 => Just(Step::Report),
        1 => Just(Step::Settle(Side::Robot)),
        1 => Just(Step::Settle(Side::Control)),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn no_change_made_on_the_robot_is_ever_lost_without_a_decision_that_knew_of_it(steps in steps()) {
        let mut document = desired::empty(&TargetName::new("r1").unwrap());
        let (mut robot, mut said) = (Robot::default(), Attested::default());
        // The robot's change that stands, and how many changes somebody has decided about.
        let (mut standing_change, mut decided) = (None::<String>, 0);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Declare => document = desired::with_slot(&document, 1, &slot(), spec(&format!("d{number}"))).unwrap(),
                Step::Withdraw => if let Some(next) = desired::without_slot(&document, 1, &slot()).unwrap() { document = next },
                Step::Change => {
                    robot.change(format!("r{number}"));
                    standing_change = Some(robot.has.clone());
                }
                Step::Deliver => {
                    robot.take_up(&document);
                    if decided >= robot.vector.robot {
                        standing_change = None;
                    }
                }
                Step::Report => said = robot.says(),
                Step::Settle(side) => {
                    let Some(conflict) = conflicts(&document, &said).into_iter().next() else { continue };
                    let declare = (side == Side::Robot).then(|| spec(&conflict.robot.digest));
                    document = settle(&document, 1, &[Settled { slot: slot(), changes: conflict.robot.changes, declare }]).unwrap();
                    decided = decided.max(conflict.robot.changes);
                }
            }
            if let Some(change) = &standing_change && robot.vector.robot > decided {
                prop_assert_eq!(&robot.has, change, "overwritten without a decision");
            }
            // What nobody settled is shown as soon as the robot was heard.
            if let Some(now) = said.slots.get("default") && now.state.vector.unwrap().robot > decided {
                prop_assert_eq!(conflicts(&document, &said).len(), 1);
            }
        }
        // Once somebody decides about all there is and both hear of each other, they agree.
        said = robot.says();
        if let Some(conflict) = conflicts(&document, &said).into_iter().next() {
            document = settle(&document, 1, &[Settled { slot: slot(), changes: conflict.robot.changes, declare: None }]).unwrap();
        }
        robot.take_up(&document);
        prop_assert_eq!(robot.has, document.slots.get("default").map(|spec| spec.digest.clone()).unwrap_or_default());
        prop_assert!(conflicts(&document, &robot_says_with(robot.vector)).is_empty());
    }

    #[test]
    fn a_conflict_is_what_vectors_call_concurrent(r1 in 0_u64..4, c1 in 0_u64..4, r2 in 0_u64..4, c2 in 0_u64..4) {
        let vector = |robot, generation| VersionVector { robot, control: Version { server_epoch: 1, generation } };
        let (robot, control) = (vector(r1, c1), vector(r2, c2));
        let concurrent = robot.partial_cmp(&control).is_none();
        // A robot never claims to have followed what was not declared, so "ahead on control" does not come up.
        prop_assume!(robot.control <= control.control);
        prop_assert_eq!(standing(&robot, &control) == Standing::Conflict, concurrent && robot.robot > control.robot);
    }
}

fn robot_says_with(vector: VersionVector) -> Attested {
    attested(SlotState { vector: Some(vector), local: Some(LocalChange::default()), ..SlotState::default() }, StateBody::default())
}

#[test]
fn a_change_on_the_robot_is_local_until_something_else_is_declared() {
    let first = desired::with_slot(&desired::empty(&TargetName::new("r1").unwrap()), 1, &slot(), spec("a")).unwrap();
    let mut robot = Robot::default();
    robot.take_up(&first);
    robot.change("mine".into());
    let [local] = &conflicts(&first, &robot.says())[..] else { panic!("one change is one") };
    assert_eq!((local.standing, local.robot.digest.as_str(), local.control.digest.as_str()), (Standing::Local, "mine", "a"));
    let second = desired::with_slot(&first, 1, &slot(), spec("b")).unwrap();
    let [conflict] = &conflicts(&second, &robot.says())[..] else { panic!("one change is one") };
    assert_eq!((conflict.standing, conflict.robot.changes, conflict.control.generation), (Standing::Conflict, 1, 2));
    robot.take_up(&second);
    assert_eq!(robot.has, "mine");
    let third = settle(&second, 1, &[Settled { slot: slot(), changes: 1, declare: Some(spec("mine")) }]).unwrap();
    assert_eq!((third.slots["default"].digest.as_str(), third.version.generation), ("mine", 3));
    robot.take_up(&third);
    assert!(conflicts(&third, &robot.says()).is_empty());
}

#[test]
fn each_thing_that_is_otherwise_than_declared_is_named() {
    let name = TargetName::new("r1").unwrap();
    assert!(difference(&desired::empty(&name), &Attested::default()).is_empty(), "nothing was said");
    let package = SlotSpec { kind: SlotKind::Package, model: "nav".into(), version: "3".into(), ..spec("p3") };
    let document = desired::with_slot(&desired::empty(&name), 1, &slot(), package).unwrap();
    let document = desired::with_policy(&document, 1, serde_json::json!({})).unwrap().unwrap();
    let now = SlotState {
        kind: SlotKind::Package,
        model: "nav".into(),
        version: "2".into(),
        digest: "p2".into(),
        software: "2.1".into(),
        ..SlotState::default()
    };
    let said = attested(now.clone(), StateBody { policy_version: Some(0), ..StateBody::default() });
    let told: Vec<(String, String, String)> =
        difference(&document, &said).into_iter().map(|one| (one.what, one.declared, one.actual)).collect();
    assert_eq!(
        told,
        [
            ("software:default".into(), "nav version 3 (p3)".into(), "nav version 2 (p2), says it is 2.1".into()),
            ("policy".into(), "version 1".into(), "version 0".into()),
        ]
    );
    let gone = desired::without_slot(&document, 1, &slot()).unwrap().unwrap();
    assert_eq!(difference(&gone, &said)[0].declared, "", "it shall be gone and is there");
    let same = SlotState { digest: "p3".into(), ..now };
    let files = edgeflow_wire::ConfigurationState { digest: "edited".into(), applied: "as applied".into() };
    let edited = attested(same, StateBody { configuration: BTreeMap::from([("default".to_owned(), files)]), ..StateBody::default() });
    assert_eq!(difference(&document, &edited)[0].actual, "edited");
}

#[test]
fn the_control_planes_hold_is_shown_before_the_robots_own() {
    let name = TargetName::new("r1").unwrap();
    let hold = |by: &str| Hold { reason: "audit".into(), by: by.into(), since_us: 1 };
    let at_robot = attested(
        SlotState::default(),
        StateBody { held: Some(hold(Hold::AT_ROBOT)), observed: ObservedState::default(), ..StateBody::default() },
    );
    let document = desired::empty(&name);
    assert_eq!(held(&document, &at_robot).unwrap().by, "robot");
    // What the robot repeats of our own hold is over as soon as we end it.
    let repeated = attested(
        SlotState { local: Some(LocalChange::default()), ..SlotState::default() },
        StateBody { held: Some(hold("administrator")), ..StateBody::default() },
    );
    assert_eq!(held(&document, &repeated), None);
    let ours = desired::with_hold(&document, 1, Some(hold("administrator"))).unwrap().unwrap();
    assert_eq!(held(&ours, &at_robot).unwrap().by, "administrator");
}
