//! The example in docs/fleet-as-code.md is read, checked and planned, so that it stays true.

use edgeflow_core::{
    TargetName,
    fleet::{FleetSpec, RobotNow, check, plan},
    target::Attested,
};
use edgeflow_wire::{SlotKind, SlotSpec};
use std::{collections::BTreeMap, fs, path::Path};

fn robot(name: &str, labels: &[(&str, &str)]) -> RobotNow {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    RobotNow { target: TargetName::new(name).unwrap(), labels, slots: BTreeMap::new(), policy: None, attested: Attested::default() }
}

#[test]
fn the_example_of_the_guide_is_planned_as_the_guide_says() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet-as-code.md")).unwrap();
    let mut whole = FleetSpec::default();
    for block in text.split("```yaml\n").skip(1) {
        whole.merge(serde_norway::from_str(block.split("```").next().unwrap()).unwrap()).unwrap();
    }
    assert_eq!(check(&whole), []);
    let stands = |(path, release): (String, edgeflow_core::rollout::ReleaseRef)| {
        let (model, version) = (release.name.unwrap(), release.version.unwrap_or_else(|| "1".into()));
        (path, SlotSpec { kind: SlotKind::Model, digest: format!("sha256:{model}{version}"), model, version, files: vec![] })
    };
    let resolved = whole.releases().into_iter().map(stands).collect();
    let berlin = [("site", "berlin"), ("environment", "production")];
    let robots =
        [robot("robot-1", &[]), robot("robot-2", &berlin), robot("robot-3", &[("site", "berlin")]), robot("robot-4", &[("site", "oslo")])];
    let planned = plan(&whole, None, &resolved, &robots, &BTreeMap::new()).unwrap();
    let told: Vec<_> = planned
        .plan
        .robots
        .iter()
        .map(|robot| {
            (
                robot.target.as_str(),
                robot.labels.len(),
                robot.slots.iter().map(|slot| slot.slot.as_str()).collect::<Vec<_>>(),
                robot.policy.is_some(),
            )
        })
        .collect();
    let all = || vec!["default", "map", "nav_params"];
    let mut expected = vec![("robot-1", 2, all(), true), ("robot-2", 0, all(), true), ("robot-3", 0, vec!["default", "map"], false)];
    for (_, _, slots, _) in &mut expected {
        slots.sort_unstable();
    }
    let mut told = told;
    for (_, _, slots, _) in &mut told {
        slots.sort_unstable();
    }
    assert_eq!(told, expected, "robot-4 is left alone");
    assert_eq!(planned.plan.not_enrolled, ["robot-7"]);
    let rollouts: Vec<_> =
        planned.plan.rollouts.iter().map(|rollout| (rollout.declaration.as_str(), rollout.robots, rollout.stages.len())).collect();
    assert_eq!(rollouts, [("slots.label-reader", 3, 2), ("configuration.navigation", 2, 1)], "the canaries are half already");
}
