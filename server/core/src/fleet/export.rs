//! The declaration of a fleet that nobody declared: what its robots are told to be, as files would say it.

use edgeflow_wire::SlotKind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::{ConfigurationDeclaration, FleetSpec, PolicyDeclaration, Release, SlotDeclaration};
use crate::{
    rollout::{ReleaseKind, Selector, policy_text},
    target::Target,
};

/// What robots are told to be, as a declaration whose plan over them is empty.
pub fn export(robots: &[Target]) -> FleetSpec {
    let mut spec = FleetSpec::default();
    let mut slots: BTreeMap<(String, SlotKind, String, String), BTreeSet<String>> = BTreeMap::new();
    let mut policies: BTreeMap<String, (Value, BTreeSet<String>)> = BTreeMap::new();
    for robot in robots {
        let name = robot.id.name.to_string();
        if !robot.labels.is_empty() {
            spec.labels.insert(name.clone(), robot.labels.clone());
        }
        // What only a later version can declare is not for this one to write down.
        for (slot, held) in robot.desired.slots.iter().filter(|(_, held)| held.kind != SlotKind::Unknown) {
            let place = (slot.clone(), held.kind, held.model.clone(), held.version.clone());
            slots.entry(place).or_default().insert(name.clone());
        }
        if let Some(policy) = &robot.desired.policy {
            let told = policies.entry(policy_text(&policy.document)).or_insert_with(|| (policy.document.clone(), BTreeSet::new()));
            told.1.insert(name);
        }
    }
    let named = |names: BTreeSet<String>| Selector { names, ..Selector::default() };
    for ((slot, kind, name, version), names) in slots {
        let version = Some(version);
        let part = part_name(&format!("{slot}-{name}-{}", version.as_deref().unwrap_or_default()));
        if kind == SlotKind::Config {
            let part = free(part, &spec.configuration);
            let declared = ConfigurationDeclaration { slot, name, version, alias: None, targets: named(names), rollout: None };
            spec.configuration.insert(part, declared);
        } else {
            let kind = match kind {
                SlotKind::Map => ReleaseKind::Map,
                SlotKind::Package => ReleaseKind::Package,
                SlotKind::Model | SlotKind::Config | SlotKind::Unknown => ReleaseKind::Model,
            };
            let release = Release { kind, name, version, alias: None };
            let part = free(part, &spec.slots);
            spec.slots.insert(part, SlotDeclaration { slot, release, targets: named(names), rollout: None });
        }
    }
    for (number, (policy, names)) in policies.into_values().enumerate() {
        spec.policies.insert(format!("policy-{}", number + 1), PolicyDeclaration { policy, targets: named(names), rollout: None });
    }
    spec
}

/// A name of a part out of any text.
fn part_name(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    text.chars().map(letter).take(58).collect()
}

/// The name, or the first of `name-2`, `name-3`, … that is free.
fn free<T>(name: String, taken: &BTreeMap<String, T>) -> String {
    if !taken.contains_key(&name) {
        return name;
    }
    (2..).map(|number| format!("{name}-{number}")).find(|name| !taken.contains_key(name)).unwrap_or(name)
}
