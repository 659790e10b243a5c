//! What a declaration means, over robots that are only values.

use edgeflow_wire::{SlotKind, SlotSpec};
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    TargetName,
    rollout::{ReleaseKind, RolloutSpec},
    target::Attested,
};

fn name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

fn fleet(document: serde_json::Value) -> FleetSpec {
    serde_json::from_value(document).unwrap()
}

fn robot(target: &str, site: &str) -> RobotNow {
    let labels = [("site".to_owned(), site.to_owned())].into();
    RobotNow { target: name(target), labels, slots: BTreeMap::new(), policy: None, attested: Attested::default() }
}

fn release(model: &str, version: &str) -> SlotSpec {
    SlotSpec {
        kind: SlotKind::Model,
        model: model.into(),
        version: version.into(),
        digest: format!("sha256:{model}{version}"),
        files: vec![],
    }
}

/// What each part stands for, as a registry that has every version would say.
fn resolved(spec: &FleetSpec) -> BTreeMap<String, SlotSpec> {
    let stands = |(path, named): (String, crate::rollout::ReleaseRef)| {
        (path, release(&named.name.unwrap(), &named.version.or(named.alias).unwrap()))
    };
    spec.releases().into_iter().map(stands).collect()
}

fn planned(spec: &FleetSpec, before: Option<&FleetSpec>, robots: &[RobotNow]) -> Changes {
    plan(spec, before, &resolved(spec), robots, &BTreeMap::new()).unwrap()
}

/// Does what a plan says, rollouts included.
fn carry_out(changes: &Changes, spec: &FleetSpec, robots: &mut [RobotNow]) {
    let resolved = resolved(spec);
    for robot in robots {
        if let Some(labels) = changes.labels.get(&robot.target) {
            robot.labels = labels.clone();
        }
        for direct in changes.slots.iter().filter(|direct| direct.targets.contains(&robot.target)) {
            robot.slots.insert(direct.slot.to_string(), SlotNow::from(&direct.spec));
        }
        for (_, document, _) in changes.policies.iter().filter(|(_, _, targets)| targets.contains(&robot.target)) {
            robot.policy = Some(document.clone());
        }
        for (path, rollout) in changes.rollouts.iter().filter(|(_, rollout)| rollout.targets.names.contains(robot.target.as_str())) {
            match rollout.release.kind {
                ReleaseKind::Policy => robot.policy = rollout.release.policy.clone(),
                _ => drop(robot.slots.insert(rollout.slot.clone(), SlotNow::from(&resolved[path]))),
            }
        }
    }
}

fn paths(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.path.as_str()).collect()
}

#[test]
fn a_plan_names_each_robot_its_slot_and_the_way() {
    let spec = fleet(json!({
        "groups": { "berlin": { "labels": { "site": ["berlin"] } } },
        "labels": { "r3": { "site": "berlin" } },
        "slots": {
            "reader": { "release": { "name": "reader", "version": "2" }, "targets": { "groups": ["berlin"] }, "rollout": "careful" },
            "map": { "slot": "map", "release": { "kind": "map", "name": "hall", "alias": "field" }, "targets": { "names": ["r1", "ghost"] } },
        },
        "policies": { "quiet": { "policy": { "routes": [] }, "targets": { "labels": { "site": ["rome"] } } } },
        "rollouts": { "careful": {} },
    }));
    assert_eq!(check(&spec), []);
    let mut robots = [robot("r1", "berlin"), robot("r2", "rome"), robot("r3", "rome"), robot("r4", "berlin")];
    robots[3].slots.insert("default".into(), SlotNow::from(&release("reader", "2")));
    let changes = planned(&spec, None, &robots);
    let shown: Vec<_> = changes
        .plan
        .robots
        .iter()
        .map(|robot| (robot.target.as_str(), robot.labels.len(), robot.slots.len(), robot.policy.is_some()))
        .collect();
    assert_eq!(
        shown,
        [("r1", 0, 2, false), ("r2", 0, 0, true), ("r3", 1, 1, false)],
        "r3 comes to Berlin by the label declared here; r4 has it"
    );
    let r1 = &changes.plan.robots[0].slots;
    assert_eq!((r1[0].slot.as_str(), r1[0].after.as_str(), r1[0].how.as_str()), ("map", "hall/field", "at once"));
    assert_eq!((r1[1].declaration.as_str(), r1[1].how.as_str()), ("slots.reader", "by rollout careful"));
    assert_eq!(changes.plan.not_enrolled, ["ghost"]);
    let (path, rollout): &(String, RolloutSpec) = &changes.rollouts[0];
    assert_eq!((path.as_str(), rollout.targets.names.iter().map(String::as_str).collect::<Vec<_>>()), ("slots.reader", vec!["r1", "r3"]));
    assert_eq!((rollout.release.version.as_deref(), rollout.release.alias.as_deref()), (Some("2"), None), "pinned");
    assert_eq!(changes.plan.rollouts[0].stages.iter().map(|stage| stage.robots).sum::<usize>(), 2);
    carry_out(&changes, &spec, &mut robots);
    assert!(planned(&spec, Some(&spec), &robots).plan.is_empty());
}

#[test]
fn what_is_on_its_way_is_no_change() {
    let spec = fleet(
        json!({ "slots": { "reader": { "release": { "name": "reader", "version": "2" }, "rollout": "careful" } }, "rollouts": { "careful": {} } }),
    );
    let robots = [robot("r1", "berlin"), robot("r2", "berlin")];
    let on_its_way = |digest: &str| [((name("r1"), "default".to_owned()), UnderWay { rollout: 7, digest: digest.to_owned() })].into();
    let changes = plan(&spec, None, &resolved(&spec), &robots, &on_its_way("sha256:reader2")).unwrap();
    assert_eq!(changes.plan.robots.iter().map(|robot| robot.target.as_str()).collect::<Vec<_>>(), ["r2"]);
    assert_eq!((changes.plan.under_way[0].rollout.as_str(), changes.plan.under_way[0].robots), ("7", 1));
    let changes = plan(&spec, None, &resolved(&spec), &robots, &on_its_way("sha256:reader1")).unwrap();
    assert_eq!(changes.plan.robots.len(), 2, "something else is on its way to r1");
}

#[test]
fn a_label_that_is_declared_no_more_goes_unless_somebody_changed_it() {
    let before = fleet(json!({ "labels": { "r1": { "zone": "a", "dock": "1" }, "r2": { "zone": "a" } } }));
    let after = fleet(json!({ "labels": { "r1": { "zone": "b" } } }));
    let mut robots = [robot("r1", "berlin"), robot("r2", "berlin")];
    carry_out(&planned(&before, None, &robots), &before, &mut robots);
    robots[1].labels.insert("zone".into(), "by hand".into());
    let changes = planned(&after, Some(&before), &robots);
    assert_eq!(changes.plan.robots.len(), 1);
    let labels = &changes.labels[&name("r1")];
    assert_eq!((labels.get("zone").map(String::as_str), labels.get("dock"), labels["site"].as_str()), (Some("b"), None, "berlin"));
}

#[test]
fn a_robot_gets_one_thing_in_a_slot() {
    let spec = fleet(json!({ "slots": {
        "one": { "release": { "name": "reader", "version": "1" } },
        "two": { "release": { "name": "reader", "version": "2" }, "targets": { "names": ["r2"] } },
        "same": { "release": { "name": "reader", "version": "1" }, "targets": { "names": ["r1"] } },
    } }));
    let robots = [robot("r1", "berlin"), robot("r2", "berlin")];
    let problems = plan(&spec, None, &resolved(&spec), &robots, &BTreeMap::new()).unwrap_err();
    assert_eq!(paths(&problems), ["slots.two.targets"]);
    assert!(problems[0].reason.contains("slots.one gives r2 something else in slot \"default\""), "{}", problems[0]);
}

#[test]
fn a_robot_that_comes_late_is_given_what_is_declared_for_it_and_others_are_left_alone() {
    let spec = fleet(json!({
        "groups": { "rome": { "labels": { "site": ["rome"] } } },
        "labels": { "late": { "site": "rome", "zone": "b" } },
        "slots": {
            "reader": { "release": { "name": "reader", "version": "2" }, "targets": { "groups": ["rome"] }, "rollout": "careful" },
            "map": { "slot": "map", "release": { "name": "hall", "version": "1" } },
            "map2": { "slot": "map", "release": { "name": "hall", "version": "2" }, "targets": { "names": ["torn"] } },
        },
        "policies": { "quiet": { "policy": { "routes": [] }, "targets": { "groups": ["rome"] } } },
        "rollouts": { "careful": {} },
    }));
    let robots = [robot("early", "rome"), robot("late", "berlin"), robot("torn", "rome")];
    let due = [name("late"), name("torn")].into();
    let (given, problems) = late(&spec, &resolved(&spec), &robots, &due, &BTreeSet::new()).unwrap();
    assert_eq!(given.labels[&name("late")]["zone"], "b");
    let slots: Vec<_> = given
        .slots
        .iter()
        .map(|direct| (direct.declaration.as_str(), direct.targets.iter().map(TargetName::as_str).collect::<Vec<_>>()))
        .collect();
    assert_eq!(slots, [("slots.map", vec!["late"]), ("slots.reader", vec!["late", "torn"])], "at once, though others got it by a rollout");
    assert_eq!((given.rollouts.len(), given.policies[0].2.len()), (0, 2));
    assert_eq!(paths(&problems), ["slots.map2.targets"]);
    let barred = ["slots.reader".to_owned()].into();
    let (given, _) = late(&spec, &resolved(&spec), &robots, &due, &barred).unwrap();
    assert_eq!(given.slots.len(), 1, "not of a part that must wait");
}

#[test]
fn a_stage_by_name_whose_robots_have_it_already_is_left_out() {
    let spec = fleet(json!({
        "slots": { "reader": { "release": { "name": "reader", "version": "2" }, "rollout": "named" } },
        "rollouts": { "named": { "strategy": { "stages": [{ "name": "canary", "names": ["r1"] }, { "name": "all", "rest": true }] } } },
    }));
    let mut robots = [robot("r1", "berlin"), robot("r2", "berlin")];
    assert_eq!(planned(&spec, None, &robots).plan.rollouts[0].stages.len(), 2);
    robots[0].slots.insert("default".into(), SlotNow::from(&release("reader", "2")));
    let stages = planned(&spec, None, &robots).plan.rollouts[0].stages.clone();
    assert_eq!(stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["all"]);
}

#[test]
fn all_that_is_wrong_is_said_at_its_place_with_what_was_perhaps_meant() {
    let spec = fleet(json!({
        "groups": { "berlin": { "labels": { "site": ["berlin"] } }, "nobody": {}, "bad one": { "names": ["r1"] }, "cap": { "names": ["R1"] } },
        "labels": { "R 1": {} },
        "slots": {
            "reader": { "release": { "name": "reader", "version": "2", "alias": "x" }, "targets": { "groups": ["berln"] }, "rollout": "carefull" },
            "policy": { "release": { "kind": "policy", "name": "x" } },
            "place": { "slot": "A B", "release": { "name": "reader", "version": "1" }, "targets": { "percent": 101 } },
        },
        "policies": { "p": { "policy": { "routes": 3 } } },
        "configuration": { "nav": { "slot": "nav", "name": "params" } },
        "rollouts": { "careful": { "gates": ["acuracy"] }, "wild": { "strategy": { "max_concurrent": 0 } } },
        "gates": { "accuracy": { "expression": "updated.accuracy.mean > 0.9" } },
    }));
    let problems = check(&spec);
    let found = paths(&problems);
    for path in [
        "groups.bad one",
        "groups.nobody",
        "groups.cap.names",
        "labels.R 1",
        "slots.reader.targets.groups",
        "slots.reader.rollout",
        "slots.reader.release.alias",
        "slots.policy.release.kind",
        "slots.place.slot",
        "slots.place.targets.percent",
        "policies.p.policy.routes",
        "configuration.nav.version",
        "rollouts.careful.gates[0]",
        "rollouts.wild.strategy.max_concurrent",
    ] {
        assert!(found.contains(&path), "{path} is not in {found:?}");
    }
    assert_eq!(found.len(), 14, "{found:?}");
    let said = |path: &str| problems.iter().find(|problem| problem.path == path).unwrap().reason.clone();
    assert!(said("slots.reader.targets.groups").contains("did you mean \"berlin\"?"));
    assert!(said("slots.reader.rollout").contains("did you mean \"careful\"?"));
    assert!(said("rollouts.careful.gates[0]").contains("did you mean \"accuracy\"?"));
}

#[test]
fn files_are_read_as_one_and_a_name_is_given_once() {
    let mut whole = fleet(json!({ "groups": { "a": { "names": ["r1"] } }, "review": "required" }));
    whole.merge(fleet(json!({ "groups": { "b": { "names": ["r2"] } }, "gates": { "g": { "expression": "true" } } }))).unwrap();
    assert_eq!((whole.groups.len(), whole.gates.len(), whole.review()), (2, 1, Review::Required));
    assert_eq!(whole.merge(fleet(json!({ "groups": { "a": { "names": ["r3"] } } }))).unwrap_err(), "groups.a");
    assert_eq!(whole.merge(fleet(json!({ "review": "none" }))).unwrap_err(), "review");
}

#[test]
fn unknown_keys_are_refused_at_every_depth() {
    for document in [
        json!({ "group": {} }),
        json!({ "groups": { "a": { "name": ["r1"] } } }),
        json!({ "slots": { "a": { "release": { "name": "m", "versoin": "1" } } } }),
        json!({ "rollouts": { "a": { "strategy": { "max_unavailible": 1 } } } }),
        json!({ "rollouts": { "a": { "strategy": { "stages": [{ "name": "x", "rest": true, "soak": 1 }] } } } }),
    ] {
        let error = serde_json::from_value::<FleetSpec>(document).unwrap_err().to_string();
        assert!(error.starts_with("unknown field"), "{error}");
    }
}

#[test]
fn changes_name_their_place() {
    let before = fleet(
        json!({ "slots": { "reader": { "release": { "name": "reader", "version": "1" } } }, "groups": { "a": { "names": ["r1"] } } }),
    );
    let after = fleet(
        json!({ "slots": { "reader": { "release": { "name": "reader", "version": "2" } } }, "gates": { "g": { "expression": "true" } } }),
    );
    let found = changes(&before, &after);
    let told: Vec<_> = found.iter().map(|change| (change.path.as_str(), change.before.is_null(), change.after.is_null())).collect();
    assert_eq!(told, [("gates.g", true, false), ("groups.a", false, true), ("slots.reader.release.version", false, false)]);
    assert_eq!(changes(&after, &after), []);
}

#[test]
fn the_schema_is_closed_and_explained() {
    let schema = FleetSpec::json_schema();
    assert_eq!((&schema["additionalProperties"], &schema["type"]), (&json!(false), &json!("object")));
    for key in ["review", "groups", "labels", "slots", "policies", "configuration", "rollouts", "gates"] {
        assert!(schema["properties"][key]["description"].as_str().is_some_and(|text| text.len() > 20), "{key}");
    }
    assert_eq!(schema["$defs"]["SlotDeclaration"]["required"], json!(["release"]));
}

#[test]
fn a_proposal_wants_a_second_person_and_the_newest_revision() {
    let head = RevisionHead {
        revision: 5,
        based_on: 4,
        state: RevisionState::Proposed,
        message: String::new(),
        digest: String::new(),
        created_at_us: 1,
        created_by: "operator:ada".into(),
        decided_by: None,
        decided_at_us: None,
        reason: String::new(),
        robots: 0,
    };
    let revision = Revision { head, spec: FleetSpec::default(), resolved: BTreeMap::new(), plan: FleetPlan::default() };
    assert!(revision.decidable("operator:eve", 4, true).is_ok());
    assert!(revision.decidable("operator:ada", 4, true).unwrap_err().to_string().contains("second person"));
    assert!(revision.decidable("operator:eve", 6, true).unwrap_err().to_string().contains("revision 4, and 6 has taken effect"));
    assert!(revision.decidable("operator:ada", 6, false).is_ok(), "whoever proposed it takes it back");
    let applied = Revision { head: RevisionHead { state: RevisionState::Applied, ..revision.head.clone() }, ..revision };
    assert!(applied.decidable("operator:eve", 4, false).unwrap_err().to_string().contains("it is applied"));
}

prop_compose! {
    fn some_robot(number: usize)(site in "[ab]", version in prop::option::of("[12]"), told in any::<bool>()) -> RobotNow {
        let mut robot = robot(&format!("r{number}"), &site);
        robot.slots.extend(version.map(|version| ("default".to_owned(), SlotNow::from(&release("reader", &version)))));
        robot.policy = told.then(|| json!({ "routes": [] }));
        robot
    }
}

/// Any declaration whose parts are for sites of their own, so that no robot is torn.
fn some_fleet() -> impl Strategy<Value = FleetSpec> {
    let part = (prop::sample::select(vec!["a", "b"]), "[123]", any::<bool>(), prop::option::of(0.0..=100.0f64));
    let labels = prop::collection::btree_map("r[0-9]", prop::collection::btree_map("(site|zone)", "[ab]", 0..2), 0..4);
    (prop::collection::vec(part, 0..3), labels, any::<bool>()).prop_map(|(parts, labels, policy)| {
        let mut spec = FleetSpec { labels, ..FleetSpec::default() };
        spec.rollouts.insert("careful".into(), RolloutDeclaration::default());
        let mut seen = BTreeSet::new();
        for (site, version, careful, percent) in parts.into_iter().filter(|part| seen.insert(part.0)) {
            spec.groups.insert(site.into(), fleet(json!({ "groups": { "g": { "labels": { "site": [site] } } } })).groups["g"].clone());
            let mut declared = fleet(
                json!({ "slots": { "s": { "release": { "name": "reader", "version": version }, "targets": { "groups": [site] } } } }),
            )
            .slots["s"]
                .clone();
            declared.targets.percent = percent;
            declared.rollout = careful.then(|| "careful".to_owned());
            spec.slots.insert(format!("reader-{site}"), declared);
        }
        if policy {
            spec.policies
                .insert("all".into(), PolicyDeclaration { policy: json!({ "routes": [] }), targets: Default::default(), rollout: None });
        }
        spec
    })
}

proptest! {
    #[test]
    fn what_was_applied_is_planned_no_more(
        first in some_fleet(),
        second in some_fleet(),
        mut robots in (0usize..8).prop_flat_map(|count| (0..count).map(some_robot).collect::<Vec<_>>()),
    ) {
        prop_assert_eq!(check(&first), vec![]);
        let untouched: Vec<RobotNow> = robots.clone();
        let changes = planned(&first, None, &robots);
        carry_out(&changes, &first, &mut robots);
        for (before, after) in untouched.iter().zip(&robots) {
            let named = changes.plan.robots.iter().any(|change| change.target == before.target.as_str());
            prop_assert_eq!(before != after, named, "who changes is planned, who is planned changes");
        }
        prop_assert!(planned(&first, Some(&first), &robots).plan.is_empty());
        let next = planned(&second, Some(&first), &robots);
        carry_out(&next, &second, &mut robots);
        prop_assert!(planned(&second, Some(&second), &robots).plan.is_empty());
        // Going back is applying the older one as a new one.
        let back = planned(&first, Some(&second), &robots);
        carry_out(&back, &first, &mut robots);
        prop_assert!(planned(&first, Some(&first), &robots).plan.is_empty());
    }
}
