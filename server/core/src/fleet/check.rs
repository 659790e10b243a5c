//! What is wrong with a declaration that reads, said with its place in it and the remedy: all of it at once.

use serde::Serialize;
use std::collections::BTreeSet;

use super::{FleetSpec, Group};
use crate::{
    CoreError, SlotName, TargetName,
    rollout::{self, Gate, ReleaseKind, ReleaseRef, RolloutSpec, Selector},
    target,
};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error, utoipa::ToSchema)]
#[error("{path}: {reason}")]
pub struct Problem {
    /// Where in the declaration, such as `slots.reader.targets.groups`.
    pub path: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A part that tells robots to have something.
#[derive(Debug, Clone)]
pub(super) struct Part<'a> {
    /// Its place, such as `slots.reader`.
    pub(super) path: String,
    /// Which slot; `None` of a policy.
    pub(super) slot: Option<&'a str>,
    pub(super) release: ReleaseRef,
    pub(super) targets: &'a Selector,
    pub(super) rollout: Option<&'a str>,
}

impl FleetSpec {
    /// All parts that tell robots to have something.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let registered = |kind, name: &String, version: &Option<String>, alias: &Option<String>| ReleaseRef {
            kind,
            name: Some(name.clone()),
            version: version.clone(),
            alias: alias.clone(),
            policy: None,
        };
        let slots = self.slots.iter().map(|(name, part)| Part {
            path: format!("slots.{name}"),
            slot: Some(&part.slot),
            release: registered(part.release.kind, &part.release.name, &part.release.version, &part.release.alias),
            targets: &part.targets,
            rollout: part.rollout.as_deref(),
        });
        let configuration = self.configuration.iter().map(|(name, part)| Part {
            path: format!("configuration.{name}"),
            slot: Some(&part.slot),
            release: registered(ReleaseKind::Config, &part.name, &part.version, &part.alias),
            targets: &part.targets,
            rollout: part.rollout.as_deref(),
        });
        let policies = self.policies.iter().map(|(name, part)| Part {
            path: format!("policies.{name}"),
            slot: None,
            release: ReleaseRef { kind: ReleaseKind::Policy, name: None, version: None, alias: None, policy: Some(part.policy.clone()) },
            targets: &part.targets,
            rollout: part.rollout.as_deref(),
        });
        slots.chain(configuration).chain(policies).collect()
    }

    /// What the declaration names in the registry: path of the part, and what it names.
    pub fn releases(&self) -> Vec<(String, ReleaseRef)> {
        self.parts().into_iter().filter(|part| part.slot.is_some()).map(|part| (part.path, part.release)).collect()
    }

    /// The way of bringing changes that the part at `path` names.
    pub fn way_of(&self, path: &str) -> Option<String> {
        let part = self.parts().into_iter().find(|part| part.path == path)?;
        part.rollout.map(str::to_owned)
    }

    /// The gates of that rollout, those that are declared.
    fn gates_of(&self, rollout: &super::RolloutDeclaration) -> Vec<Gate> {
        let gate = |name: &String| {
            let declared = self.gates.get(name)?.clone();
            Some(Gate { name: name.clone(), expression: declared.expression, compare: declared.compare, min_samples: declared.min_samples })
        };
        rollout.gates.iter().filter_map(gate).collect()
    }
}

/// The rollout that brings `part` to `targets`, in the way that the part names. `None` when it names none.
pub(super) fn rollout_of(spec: &FleetSpec, part: &Part<'_>, targets: Selector) -> Option<RolloutSpec> {
    let declared = spec.rollouts.get(part.rollout?)?;
    Some(RolloutSpec {
        release: part.release.clone(),
        slot: part.slot.unwrap_or("default").to_owned(),
        targets,
        strategy: declared.strategy.clone(),
        gates: spec.gates_of(declared),
        on_failure: declared.on_failure,
        when_taken: declared.when_taken,
        replay: declared.replay.clone(),
        description: String::new(),
    })
}

/// Checks all of a declaration that can be judged without the registry and the robots.
pub fn check(spec: &FleetSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |path: String, reason: String| problems.push(Problem { path, reason });
    let maps: [(&str, Vec<&String>); 6] = [
        ("groups", spec.groups.keys().collect()),
        ("slots", spec.slots.keys().collect()),
        ("policies", spec.policies.keys().collect()),
        ("configuration", spec.configuration.keys().collect()),
        ("rollouts", spec.rollouts.keys().collect()),
        ("gates", spec.gates.keys().collect()),
    ];
    for (key, names) in maps {
        for name in names.into_iter().filter(|name| !well_named(name)) {
            wrong(format!("{key}.{name}"), "a name is 1 to 63 letters, digits, dashes and underscores".to_owned());
        }
    }
    for (name, Group { names, labels, exclude }) in &spec.groups {
        let path = format!("groups.{name}");
        if names.is_empty() && labels.is_empty() {
            wrong(path.clone(), "it takes nobody: write names or labels".to_owned());
        }
        // As a selector, for everything that holds of both.
        let selector = Selector { names: names.clone(), labels: labels.clone(), exclude: exclude.clone(), ..Selector::default() };
        if let Err(error) = rollout::selected(&selector, &[]) {
            let problem = place(error, |inner| inner.replacen("targets", &path, 1));
            wrong(problem.path, problem.reason);
        }
    }
    for (robot, labels) in &spec.labels {
        let named = TargetName::new(robot.as_str()).map(drop);
        if let Err(error) = named.and_then(|()| target::check_labels(labels)) {
            wrong(format!("labels.{robot}"), error.to_string());
        }
    }
    for (name, rollout) in &spec.rollouts {
        let mut seen = BTreeSet::new();
        for (at, gate) in rollout.gates.iter().enumerate() {
            let path = format!("rollouts.{name}.gates[{at}]");
            if !spec.gates.contains_key(gate) {
                wrong(path, no_such("gate", gate, spec.gates.keys()));
            } else if !seen.insert(gate) {
                wrong(path, format!("{gate:?} is named twice"));
            }
        }
    }
    let mut problems_of_parts = Vec::new();
    for part in spec.parts() {
        check_part(spec, &part, &mut problems_of_parts);
    }
    // Two parts that go by one rollout find the same thing wrong with it.
    problems_of_parts.retain(|problem| !problems.contains(problem));
    for problem in problems_of_parts {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    for (name, declared) in &spec.rollouts {
        check_rollout(spec, name, declared, &mut problems);
    }
    problems
}

fn well_named(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn check_part(spec: &FleetSpec, part: &Part<'_>, problems: &mut Vec<Problem>) {
    let mut wrong = |path: String, reason: String| problems.push(Problem { path, reason });
    let path = &part.path;
    for group in part.targets.groups.iter().filter(|group| !spec.groups.contains_key(*group)) {
        wrong(format!("{path}.targets.groups"), no_such("group", group, spec.groups.keys()));
    }
    if let Some(rollout) = part.rollout.filter(|rollout| !spec.rollouts.contains_key(*rollout)) {
        wrong(format!("{path}.rollout"), no_such("rollout", rollout, spec.rollouts.keys()));
    }
    if path.starts_with("slots.") && part.release.kind == ReleaseKind::Policy {
        wrong(format!("{path}.release.kind"), "a policy is in no slot: declare it under policies".to_owned());
        return;
    }
    if let Some(Err(error)) = part.slot.map(SlotName::new) {
        wrong(format!("{path}.slot"), error.to_string());
    }
    let alone = RolloutSpec {
        release: part.release.clone(),
        slot: "default".to_owned(),
        targets: part.targets.clone(),
        strategy: rollout::Strategy::default(),
        gates: Vec::new(),
        on_failure: rollout::OnFailure::default(),
        when_taken: rollout::WhenTaken::default(),
        replay: None,
        description: String::new(),
    };
    if let Err(error) = rollout::check(&alone) {
        let problem = place(error, |inner| match inner.strip_prefix("release.") {
            // A bundle of configuration and a policy are said without the word between.
            Some(rest) if !path.starts_with("slots.") => format!("{path}.{rest}"),
            _ => format!("{path}.{inner}"),
        });
        wrong(problem.path, problem.reason);
    }
}

/// Checks a way of bringing changes by itself, whichever part goes by it.
fn check_rollout(spec: &FleetSpec, name: &str, declared: &super::RolloutDeclaration, problems: &mut Vec<Problem>) {
    let release =
        ReleaseRef { kind: ReleaseKind::Model, name: Some("any".to_owned()), version: Some("1".to_owned()), alias: None, policy: None };
    let stands_in = RolloutSpec {
        release,
        slot: "default".to_owned(),
        targets: Selector::default(),
        strategy: declared.strategy.clone(),
        gates: spec.gates_of(declared),
        on_failure: declared.on_failure,
        when_taken: declared.when_taken,
        replay: declared.replay.clone(),
        description: String::new(),
    };
    if let Err(error) = rollout::check(&stands_in) {
        let problem = place(error, |inner| format!("rollouts.{name}.{inner}"));
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

/// An error of a rollout, at its place in the declaration.
fn place(error: CoreError, path: impl FnOnce(&str) -> String) -> Problem {
    match error {
        CoreError::BadRollout { path: inner, reason } => Problem { path: path(&inner), reason },
        other => Problem { path: path(""), reason: other.to_string() },
    }
}

/// There is none of that name, but perhaps one of nearly that name.
fn no_such<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let nearest = nearest(name, &known).map(|near| format!("; did you mean {near:?}?"));
    format!("there is no {what} {name:?}{}", nearest.unwrap_or_else(|| format!(": declare it under {what}s")))
}

/// The known word that is most like `word`, if one is like it.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |known: &&'a str| (strsim::jaro_winkler(word, known), *known);
    let best = known.iter().map(score).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then_some(best.1)
}
