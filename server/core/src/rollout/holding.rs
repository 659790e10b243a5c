//! What a rollout holds on to: a robot's slot (or its policy) is of one rollout at a time.

use edgeflow_wire::SlotSpec;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::{Phase, Release, RobotProgress, Rollout};
use crate::TargetName;

/// What of a robot a rollout changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touches {
    /// What is in this slot.
    Slot(String),
    /// Its telemetry policy.
    Policy,
}

/// What one rollout holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Its number.
    pub rollout: i64,
    /// Where it is: one that has ended holds nothing.
    pub phase: Phase,
    /// What of its robots it changes.
    pub touches: Touches,
    /// Its robots.
    pub robots: BTreeSet<TargetName>,
}

/// What of its robots a rollout changes.
pub fn touches(rollout: &Rollout) -> Touches {
    match &rollout.release {
        Release::Slot { .. } => Touches::Slot(rollout.spec.slot.clone()),
        Release::Policy { .. } => Touches::Policy,
    }
}

/// Which of `robots` are held by which rollout, when `touches` of them is to be changed: of several, by the first. Rollouts that wait
/// for others hold as well, so that the first to ask is the first to begin; leave those out that came later.
pub fn conflicts(touches: &Touches, robots: &BTreeSet<TargetName>, others: &[Holding]) -> Vec<(TargetName, i64)> {
    let mut held: BTreeMap<&TargetName, i64> = BTreeMap::new();
    for other in others.iter().filter(|other| !other.phase.ended() && other.touches == *touches) {
        for robot in robots.intersection(&other.robots) {
            held.entry(robot).and_modify(|by| *by = (*by).min(other.rollout)).or_insert(other.rollout);
        }
    }
    held.into_iter().map(|(robot, by)| (robot.clone(), by)).collect()
}

/// What a robot's declaration reads when it was told `release`: the bundle's digest, or the policy's text.
pub fn release_text(release: &Release) -> String {
    match release {
        Release::Slot { spec } => spec.digest.clone(),
        Release::Policy { document } => policy_text(document),
    }
}

/// What is declared of a slot, as [`RobotSeen::declared`](super::RobotSeen::declared) has it.
pub fn slot_text(spec: Option<&SlotSpec>) -> Option<String> {
    spec.map(|spec| spec.digest.clone())
}

/// A policy as text that is the same for the same policy, in whatever order its keys came.
pub fn policy_text(document: &Value) -> String {
    fn ordered(value: &Value) -> Value {
        match value {
            Value::Object(keys) => {
                let keys: BTreeMap<&String, Value> = keys.iter().map(|(key, value)| (key, ordered(value))).collect();
                Value::Object(keys.into_iter().map(|(key, value)| (key.clone(), value)).collect())
            }
            Value::Array(values) => Value::Array(values.iter().map(ordered).collect()),
            other => other.clone(),
        }
    }
    ordered(document).to_string()
}

/// What was declared before a robot was told.
pub(super) fn before_text(release: &Release, robot: &RobotProgress) -> Option<String> {
    match release {
        Release::Slot { .. } => slot_text(robot.before.as_ref()),
        Release::Policy { .. } => robot.before_policy.as_ref().map(|policy| policy_text(&policy.document)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_robot_and_slot_is_held_by_the_first_rollout_that_has_not_ended() {
        let names = |names: &[&str]| names.iter().map(|name| TargetName::new(*name).unwrap()).collect::<BTreeSet<_>>();
        let slot = |name: &str| Touches::Slot(name.into());
        let holding = |rollout, phase, touches, robots| Holding { rollout, phase, touches, robots: names(robots) };
        let others = [
            holding(7, Phase::Queued, slot("default"), &["r1", "r2"]),
            holding(4, Phase::Paused, slot("default"), &["r1"]),
            holding(3, Phase::Succeeded, slot("default"), &["r3"]),
            holding(2, Phase::Progressing, slot("map"), &["r3"]),
            holding(1, Phase::Progressing, Touches::Policy, &["r3"]),
        ];
        let of = |touches: Touches| -> Vec<(String, i64)> {
            let held = conflicts(&touches, &names(&["r1", "r2", "r3", "r4"]), &others);
            held.into_iter().map(|(robot, by)| (robot.to_string(), by)).collect()
        };
        assert_eq!(of(slot("default")), [("r1".to_owned(), 4), ("r2".to_owned(), 7)]);
        assert_eq!(of(slot("map")), [("r3".to_owned(), 2)]);
        assert_eq!(of(Touches::Policy), [("r3".to_owned(), 1)]);
        assert_eq!(of(slot("other")), []);
    }

    #[test]
    fn the_same_policy_is_the_same_text() {
        let one: Value = serde_json::from_str(r#"{"b": [{"y": 1, "x": 2}], "a": null}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a": null, "b": [{"x": 2, "y": 1}]}"#).unwrap();
        assert_eq!(policy_text(&one), policy_text(&other));
        assert_eq!(policy_text(&one), r#"{"a":null,"b":[{"x":2,"y":1}]}"#);
    }
}
