use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

use super::world::{declared, name};
use super::*;
use crate::TargetName;

fn fleet(robots: usize) -> Vec<Candidate> {
    (0..robots)
        .map(|robot| {
            let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            let mut labels = BTreeMap::from([label("environment", if robot % 4 == 0 { "lab" } else { "floor" })]);
            if robot % 5 != 0 {
                labels.extend([label("site", ["berlin", "paris", "austin"][robot % 3])]);
            }
            let groups = if robot < 3 { BTreeSet::from(["pilots".to_owned()]) } else { BTreeSet::new() };
            Candidate { target: name(&format!("r{robot:03}")), labels, groups }
        })
        .collect()
}

fn select(selector: serde_json::Value, robots: usize) -> Vec<String> {
    let selector: Selector = serde_json::from_value(selector).unwrap();
    selected(&selector, &fleet(robots)).unwrap().iter().map(TargetName::to_string).collect()
}

fn planned(rest: serde_json::Value, robots: usize) -> Plan {
    let spec = declared(rest);
    check(&spec).unwrap();
    plan(&spec, &fleet(robots)).unwrap()
}

fn sizes(plan: &Plan) -> Vec<(&str, usize)> {
    plan.stages.iter().map(|stage| (stage.name.as_str(), stage.robots)).collect()
}

#[test]
fn a_selector_takes_what_it_names_and_everybody_when_it_names_nothing() {
    assert_eq!(select(json!({}), 4).len(), 4);
    assert_eq!(select(json!({ "names": ["r003", "r001", "unknown"] }), 9), ["r001", "r003"]);
    assert_eq!(select(json!({ "groups": ["pilots"], "names": ["r008"] }), 9), ["r000", "r001", "r002", "r008"]);
    assert_eq!(select(json!({ "labels": { "site": ["berlin", "paris"], "environment": ["lab"] } }), 13), ["r004", "r012"]);
    assert_eq!(select(json!({ "groups": ["pilots"], "exclude": ["r001"] }), 9), ["r000", "r002"]);
}

#[test]
fn a_share_is_the_same_robots_each_time_and_grows() {
    let ten = select(json!({ "percent": 10 }), 100);
    let twenty = select(json!({ "percent": 20 }), 100);
    assert_eq!((ten.len(), twenty.len(), select(json!({ "percent": 0 }), 100).len()), (10, 20, 0));
    assert!(ten.iter().all(|robot| twenty.contains(robot)));
    let excluded = select(json!({ "percent": 10, "exclude": [ten[0]] }), 100);
    assert_eq!(excluded, ten[1..], "who is excluded makes no room");
    // Ten robots more, and no more than those of the new ones that come before may push others out.
    let more = select(json!({ "percent": 10 }), 110);
    assert!(ten.iter().filter(|robot| more.contains(robot)).count() >= 9);
    // What the hash is, is a promise: a change would move every canary.
    assert_eq!(select(json!({ "percent": 3 }), 100), THREE_OF_A_HUNDRED);
}

/// `for r in $(seq -f r%03g 0 99); do echo "$(printf $r | sha256sum) $r"; done | sort`, the first three, by name.
const THREE_OF_A_HUNDRED: [&str; 3] = ["r028", "r061", "r082"];

/// The same of `printf %s second/$r`.
const THREE_WITH_A_SEED: [&str; 3] = ["r003", "r017", "r092"];

#[test]
fn a_seed_makes_it_other_robots_and_the_same_ones_each_time() {
    assert_eq!(select(json!({ "percent": 3, "seed": "second" }), 100), THREE_WITH_A_SEED);
    assert_eq!(select(json!({ "percent": 3, "seed": "" }), 100), THREE_OF_A_HUNDRED, "an empty one is none");
    let stages = json!([{ "name": "three", "percent": 3 }, { "name": "all", "rest": true }]);
    let first = |strategy: serde_json::Value| {
        let plan = planned(json!({ "strategy": strategy }), 100);
        plan.robots.iter().filter(|(_, stage)| *stage == 0).map(|(robot, _)| robot.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(first(json!({ "stages": stages })), THREE_OF_A_HUNDRED);
    assert_eq!(first(json!({ "stages": stages, "seed": "" })), THREE_OF_A_HUNDRED);
    assert_eq!(first(json!({ "stages": stages, "seed": "second" })), THREE_WITH_A_SEED);
    // Who is in the rollout is one thing, who goes first another.
    let tenth = |strategy| planned(json!({ "targets": { "percent": 10 }, "strategy": strategy }), 100);
    let robots = |plan: Plan| plan.robots.into_iter().map(|(robot, _)| robot).collect::<Vec<_>>();
    assert_eq!(robots(tenth(json!({ "seed": "second" }))), robots(tenth(json!({}))));
}

proptest! {
    #[test]
    fn with_any_seed_less_is_a_part_of_more(seed in "\\PC{0,12}", robots in 0..60_usize, less in 0.0..=100.0f64, more in 0.0..=100.0f64) {
        let (less, more) = (less.min(more), less.max(more));
        let share_of = |percent: f64| select(json!({ "percent": percent, "seed": seed }), robots);
        prop_assert_eq!(share_of(less).len(), share(less, robots));
        prop_assert!(share_of(less).iter().all(|robot| share_of(more).contains(robot)));
    }

    #[test]
    fn with_any_seed_every_robot_has_its_one_stage(seed in "\\PC{0,12}", robots in 1..60_usize, canaries in 1..4_u32, part in 1.0..=100.0f64) {
        let stages = json!([{ "name": "canary", "count": canaries }, { "name": "part", "percent": part }, { "name": "all", "rest": true }]);
        let with = |seed: &str| planned(json!({ "strategy": { "stages": stages, "seed": seed } }), robots);
        let (plan, plain) = (with(&seed), with(""));
        let (all, taken): (Vec<_>, Vec<_>) =
            (fleet(robots).into_iter().map(|robot| robot.target).collect(), plan.robots.iter().map(|(robot, _)| robot.clone()).collect());
        prop_assert_eq!(all, taken);
        prop_assert!(plan.left_out.is_empty());
        prop_assert_eq!(sizes(&plan), sizes(&plain), "as many robots, whichever they are");
        prop_assert_eq!(&plan, &with(&seed));
    }
}

#[test]
fn stages_take_what_earlier_ones_left() {
    let plan = planned(json!({}), 100);
    assert_eq!(sizes(&plan), [("canary", 1), ("half", 49), ("all", 50)]);
    assert_eq!((plan.robots.len(), plan.left_out.len()), (100, 0));
    assert_eq!(sizes(&planned(json!({}), 1)), [("canary", 1)], "stages without robots are left out");
    assert_eq!(sizes(&planned(json!({}), 2)), [("canary", 1), ("all", 1)]);
    let stages = json!([
        { "name": "named", "names": ["r007"] },
        { "name": "lab", "labels": { "environment": ["lab"] } },
        { "name": "sites", "each": "site", "order": ["paris", "rome"] },
    ]);
    let plan = planned(json!({ "strategy": { "stages": stages } }), 20);
    let expected = [("named", 1), ("lab", 5), ("sites: paris", 3), ("sites: austin", 4), ("sites: berlin", 4), ("sites: without site", 3)];
    assert_eq!(sizes(&plan), expected);
    let mut counted = vec![0; plan.stages.len()];
    plan.robots.iter().for_each(|(_, stage)| counted[*stage] += 1);
    assert_eq!(counted, plan.stages.iter().map(|stage| stage.robots).collect::<Vec<_>>());
}

#[test]
fn robots_that_no_stage_takes_are_said() {
    let plan = planned(json!({ "strategy": { "stages": [{ "name": "some", "percent": 20 }] } }), 10);
    assert_eq!((plan.robots.len(), plan.left_out.len()), (2, 8));
    assert!(plan.left_out[0].1.contains("rest: true"));
}

#[test]
fn gates_of_a_stage_are_its_own_or_those_of_all() {
    let gate = |name: &str| json!({ "name": name, "expression": "updated.fps.mean > 1.0" });
    let stages = json!([{ "name": "one", "count": 1, "gates": [] }, { "name": "two", "count": 1 }, { "name": "all", "rest": true, "gates": [gate("b")] }]);
    let plan = planned(json!({ "strategy": { "stages": stages }, "gates": [gate("a")] }), 5);
    let gates: Vec<Vec<&str>> = plan.stages.iter().map(|stage| stage.gates.iter().map(|gate| gate.name.as_str()).collect()).collect();
    assert_eq!(gates, [vec![], vec!["a"], vec!["b"]]);
}

#[test]
fn a_plan_without_robots_is_refused_with_the_remedy() {
    let refused = |rest| plan(&declared(rest), &fleet(5)).unwrap_err().to_string();
    assert!(refused(json!({ "targets": { "names": ["r9"] } })).starts_with("bad rollout: targets.names: no robot \"r9\" is enrolled"));
    assert!(refused(json!({ "targets": { "labels": { "site": ["rome"] } } })).starts_with("bad rollout: targets: no robot is selected"));
    let stages = json!([{ "name": "canary", "names": ["x1"] }, { "name": "all", "rest": true }]);
    let error = refused(json!({ "strategy": { "stages": stages } }));
    assert!(error.starts_with("bad rollout: strategy.stages[0].names: none of x1 is among"), "{error}");
}

#[test]
fn every_bad_spec_is_refused_with_its_place() {
    let stage = |rest: serde_json::Value| json!({ "strategy": { "stages": [rest] } });
    let stages = |stages: serde_json::Value| json!({ "strategy": { "stages": stages } });
    let window = |key: &str, value: serde_json::Value| {
        let mut window = json!({ "time_zone": "UTC", "from": "01:00", "to": "02:00" });
        window[key] = value;
        json!({ "strategy": { "windows": [window] } })
    };
    let release = |release: serde_json::Value| json!({ "release": release });
    let strategy = |key: &str, value: serde_json::Value| json!({ "strategy": { key: value } });
    let gate = json!({ "name": "g", "expression": "updated.fps.mean > 1.0" });
    for (rest, path) in [
        (release(json!({ "kind": "model", "version": "1" })), "release.name"),
        (release(json!({ "kind": "map", "name": "a/b", "version": "1" })), "release.name"),
        (release(json!({ "kind": "model", "name": "m" })), "release.version"),
        (release(json!({ "kind": "model", "name": "m", "version": "" })), "release.version"),
        (release(json!({ "kind": "model", "name": "m", "version": "1", "alias": "a" })), "release.alias"),
        (release(json!({ "kind": "model", "name": "m", "version": "1", "policy": {} })), "release.policy"),
        (release(json!({ "kind": "policy" })), "release.policy"),
        (release(json!({ "kind": "policy", "name": "m", "policy": {} })), "release.name"),
        (release(json!({ "kind": "policy", "policy": { "routes": 3 } })), "release.policy."),
        (json!({ "slot": "No Slot" }), "slot"),
        (json!({ "targets": { "names": ["A b"] } }), "targets.names"),
        (json!({ "targets": { "exclude": ["A b"] } }), "targets.exclude"),
        (json!({ "targets": { "labels": { "site": [] } } }), "targets.labels.site"),
        (json!({ "targets": { "percent": 101 } }), "targets.percent"),
        (json!({ "targets": { "seed": "s" } }), "targets.seed"),
        (json!({ "targets": { "percent": 10, "seed": "s".repeat(64) } }), "targets.seed"),
        (strategy("seed", json!("s".repeat(64))), "strategy.seed"),
        (stages(json!([])), "strategy.stages"),
        (stage(json!({ "name": "", "rest": true })), "strategy.stages[0].name"),
        (stage(json!({ "name": "a" })), "strategy.stages[0]"),
        (stage(json!({ "name": "a", "rest": true, "count": 1 })), "strategy.stages[0]"),
        (stage(json!({ "name": "a", "count": 0 })), "strategy.stages[0].count"),
        (stage(json!({ "name": "a", "percent": -1 })), "strategy.stages[0].percent"),
        (stage(json!({ "name": "a", "percent": 0 })), "strategy.stages[0].percent"),
        (stage(json!({ "name": "a", "names": [] })), "strategy.stages[0].names"),
        (stage(json!({ "name": "a", "labels": {} })), "strategy.stages[0].labels"),
        (stage(json!({ "name": "a", "each": "" })), "strategy.stages[0].each"),
        (stage(json!({ "name": "a", "rest": true, "order": ["x"] })), "strategy.stages[0].order"),
        (stage(json!({ "name": "a", "rest": true, "soak_s": 9_999_999 })), "strategy.stages[0].soak_s"),
        (stage(json!({ "name": "a", "rest": true, "gates": [gate, gate] })), "strategy.stages[0].gates[1].name"),
        (stages(json!([{ "name": "a", "count": 1 }, { "name": "a", "rest": true }])), "strategy.stages[1].name"),
        (stages(json!([{ "name": "a", "rest": true }, { "name": "b", "count": 1 }])), "strategy.stages[0]"),
        (stages(json!([{ "name": "a", "percent": 50 }, { "name": "b", "percent": 20 }])), "strategy.stages[1].percent"),
        (strategy("max_unavailable", json!(0)), "strategy.max_unavailable"),
        (strategy("max_unavailable", json!("0%")), "strategy.max_unavailable"),
        (strategy("max_concurrent", json!(0)), "strategy.max_concurrent"),
        (strategy("deadline_s", json!(0)), "strategy.deadline_s"),
        (strategy("deadline_s", json!(10_000_000)), "strategy.deadline_s"),
        (strategy("robots", json!({ "max_wait_s": 10_000_000 })), "strategy.robots.max_wait_s"),
        (window("time_zone", json!("Mars/Base")), "strategy.windows[0].time_zone"),
        (window("days", json!(["monday"])), "strategy.windows[0].days"),
        (window("from", json!("1:00")), "strategy.windows[0].from"),
        (window("to", json!("24:00")), "strategy.windows[0].to"),
        (json!({ "gates": [gate, gate] }), "gates[1].name"),
        (json!({ "gates": [gate, { "name": "h" }] }), "gates[1].expression"),
        (json!({ "gates": [{ "name": "h", "expression": "1 +" }] }), "gates[0].expression"),
        (json!({ "replay": { "recording": "" } }), "replay.recording"),
        (json!({ "replay": { "recording": "c", "min_agreement": 1.5 } }), "replay.min_agreement"),
        (json!({ "replay": { "recording": "c", "tolerance": -1.0 } }), "replay.tolerance"),
        (json!({ "replay": { "recording": "c", "max_latency_ratio": 0.0 } }), "replay.max_latency_ratio"),
        (json!({ "replay": { "recording": "c", "min_frames": 0 } }), "replay.min_frames"),
    ] {
        let spec = declared(rest.clone());
        let error = check(&spec).expect_err(&format!("{rest}")).to_string();
        let begins = format!("bad rollout: {path}{}", if path.ends_with('.') { "" } else { ": " });
        assert!(error.starts_with(&begins), "{rest}: {error}");
    }
    assert_eq!(check(&declared(json!({}))), Ok(()));
}

#[test]
fn unknown_keys_and_words_are_refused_where_they_stand() {
    let refused = |rest: serde_json::Value| {
        let mut spec = json!({ "release": { "kind": "model", "name": "m", "version": "2" } });
        spec.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        serde_json::from_value::<RolloutSpec>(spec).unwrap_err().to_string()
    };
    for rest in [
        json!({ "stratgy": {} }),
        json!({ "strategy": { "max_unavailible": 1 } }),
        json!({ "strategy": { "stages": [{ "name": "a", "rest": true, "soak": 3 }] } }),
        json!({ "strategy": { "robots": { "not_whilst": [] } } }),
        json!({ "strategy": { "windows": [{ "zone": "UTC" }] } }),
        json!({ "targets": { "label": {} } }),
        json!({ "gates": [{ "name": "a", "expresion": "x" }] }),
        json!({ "replay": { "recording": "c", "topics": "t" } }),
    ] {
        assert!(refused(rest.clone()).contains("unknown field"), "{rest}");
    }
    assert!(refused(json!({ "on_failure": "rollback" })).contains("unknown variant `rollback`"));
    assert!(refused(json!({ "strategy": { "max_unavailable": "a lot" } })).contains("\"a lot\" is no amount"));
    assert!(refused(json!({ "strategy": { "max_unavailable": "120%" } })).contains("is no amount"));
}

#[test]
fn a_spec_reads_what_it_writes() {
    let spec = declared(json!({
        "slot": "map", "targets": { "labels": { "site": ["berlin"] }, "percent": 12.5, "seed": "s" }, "on_failure": "rollback_stage", "when_taken": "queue",
        "strategy": { "max_unavailable": "12.5%", "max_failed": 3, "seed": "t", "windows": [{ "time_zone": "UTC", "from": "22:00", "to": "04:00" }],
            "robots": { "not_while": ["mission", "lifecycle_inactive"] } },
        "gates": [{ "name": "g", "compare": { "metric": "accuracy", "against": "rest", "worse": "lower", "margin": 0.05 } }],
    }));
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<RolloutSpec>(&text).unwrap(), spec);
    assert!(text.contains("\"12.5%\"") && text.contains("\"max_failed\":3"), "{text}");
}

/// The example of docs/rollouts.md.
fn documented() -> String {
    let text = include_str!("../../../../docs/rollouts.md");
    text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned()
}

#[test]
fn the_documented_example_reads_and_plans() {
    let spec: RolloutSpec = serde_norway::from_str(&documented()).unwrap();
    assert_eq!(check(&spec), Ok(()));
    let robot = |name: &str, site: &str, environment: &str| Candidate {
        target: TargetName::new(name).unwrap(),
        labels: BTreeMap::from([("site".to_owned(), site.to_owned()), ("environment".to_owned(), environment.to_owned())]),
        groups: BTreeSet::new(),
    };
    let mut fleet: Vec<Candidate> =
        (2..14).map(|number| robot(&format!("r-{number:02}"), if number % 2 == 0 { "berlin" } else { "paris" }, "floor")).collect();
    fleet.push(robot("r-01", "paris", "floor"));
    fleet.extend((20..26).map(|number| robot(&format!("r-{number}"), "berlin", "lab")));
    let plan = plan(&spec, &fleet).unwrap();
    let stages: Vec<&str> = plan.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["canary", "half", "lab", "by-hand", "sites: paris", "sites: berlin"]);
    assert!(plan.left_out.is_empty() && plan.robots.iter().all(|(robot, _)| robot.as_str() != "r-13"));
    let sites = plan.stages.last().unwrap();
    assert!(sites.approval && sites.gates.is_empty());
}

#[test]
fn the_documented_example_says_every_key_and_its_default() {
    let given: serde_json::Value = serde_norway::from_str(&documented()).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(RolloutSpec)).unwrap();
    let keys = |of: &serde_json::Value| -> BTreeSet<String> { of.as_object().unwrap().keys().cloned().collect() };
    let text = documented();
    for (of, definition) in schema["$defs"].as_object().unwrap().iter().chain([(&"RolloutSpec".to_owned(), &schema)]) {
        let Some(properties) = definition.get("properties") else { continue };
        for key in keys(properties) {
            assert!(text.contains(&format!("{key}:")), "{of}.{key} is not in the example");
        }
    }
    let says = declared(json!({}));
    let default = serde_json::to_value(&says.strategy).unwrap();
    for key in ["max_unavailable", "max_concurrent", "max_failed", "deadline_s", "defer_offline"] {
        assert_eq!(given["strategy"][key], default[key], "{key}");
    }
    assert_eq!(given["strategy"]["robots"]["max_wait_s"], default["robots"]["max_wait_s"]);
    let spec = serde_json::to_value(&says).unwrap();
    for key in ["slot", "on_failure", "when_taken"] {
        assert_eq!(given[key], spec[key], "{key}");
    }
}
