//! What is wrong with a declared rollout, said with the place in it and the remedy, before any robot hears of it.

use std::collections::BTreeSet;

use super::{Amount, Gate, ReleaseKind, ReleaseRef, Replay, RolloutSpec, Selector, StageSpec, Strategy, gate, window};
use crate::{CoreError, ModelName, SlotName, TargetName};

const DAY_S: u64 = 86_400;
/// Longest deadline of a robot, and longest wait for one that is busy, seconds.
const MOST_WAIT_S: u64 = 7 * DAY_S;
/// Longest seed, bytes.
const MOST_SEED_BYTES: usize = 63;
/// Longest soak time, seconds.
const MOST_SOAK_S: u64 = 30 * DAY_S;

type Checked = Result<(), CoreError>;

fn bad<T>(path: impl Into<String>, reason: impl Into<String>) -> Result<T, CoreError> {
    Err(CoreError::BadRollout { path: path.into(), reason: reason.into() })
}

/// Checks all of a rollout that can be judged without the registry and the fleet. The first thing that is wrong refuses it.
pub fn check(spec: &RolloutSpec) -> Checked {
    check_release(&spec.release)?;
    if spec.release.kind != ReleaseKind::Policy
        && let Err(error) = SlotName::new(spec.slot.as_str())
    {
        return bad("slot", error.to_string());
    }
    check_selector(&spec.targets, "targets")?;
    check_strategy(&spec.strategy)?;
    check_gates(&spec.gates, "gates")?;
    if let Some(replay) = &spec.replay {
        if spec.release.kind != ReleaseKind::Model {
            return bad("replay", "only a model can be replayed: take it out");
        }
        check_replay(replay)?;
    }
    Ok(())
}

fn check_release(release: &ReleaseRef) -> Checked {
    let ReleaseRef { kind, name, version, alias, policy } = release;
    if *kind == ReleaseKind::Policy {
        for (key, given) in [("name", name), ("version", version), ("alias", alias)] {
            if given.is_some() {
                return bad(
                    format!("release.{key}"),
                    "a policy is no version in the registry: take it out and write the policy in `policy`",
                );
            }
        }
        let Some(policy) = policy else { return bad("release.policy", "it is missing: write the policy's document") };
        return match crate::policy::check(policy) {
            Err(CoreError::BadPolicy { path, reason }) => bad(format!("release.policy.{path}"), reason),
            other => other,
        };
    }
    if policy.is_some() {
        return bad("release.policy", "only a release of kind policy has one: take it out, or write `kind: policy`");
    }
    match name {
        None => return bad("release.name", "it is missing: write the registered name"),
        Some(name) => {
            if let Err(error) = ModelName::new(name.as_str()) {
                return bad("release.name", error.to_string());
            }
        }
    }
    match (version, alias) {
        (Some(version), None) if version.is_empty() => bad("release.version", "it is empty: write a version such as \"2\""),
        (None, Some(alias)) if alias.is_empty() => bad("release.alias", "it is empty: write an alias such as champion"),
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (Some(_), Some(_)) => bad("release.alias", "a release is named by version or by alias: take one of them out"),
        (None, None) => bad("release.version", "neither version nor alias is said: write one of them"),
    }
}

fn percent(path: String, percent: f64) -> Checked {
    if (0.0..=100.0).contains(&percent) { Ok(()) } else { bad(path, format!("{percent} is not in 0 to 100")) }
}

fn names(path: String, names: &BTreeSet<String>) -> Checked {
    names.iter().try_for_each(|name| TargetName::new(name.as_str()).map(drop).or_else(|error| bad(path.as_str(), error.to_string())))
}

fn seed(path: String, seed: &str) -> Checked {
    if seed.len() <= MOST_SEED_BYTES {
        Ok(())
    } else {
        bad(path, format!("it has {} bytes: at most {MOST_SEED_BYTES} are taken", seed.len()))
    }
}

/// Checks a selector that stands at `path`.
pub(super) fn check_selector(selector: &Selector, path: &str) -> Checked {
    let Selector { names: named, groups: _, labels, percent: part, seed: mixed_in, exclude } = selector;
    names(format!("{path}.names"), named)?;
    names(format!("{path}.exclude"), exclude)?;
    if let Some((key, _)) = labels.iter().find(|(_, values)| values.is_empty()) {
        return bad(format!("{path}.labels.{key}"), "no value is said, so no robot matches: write at least one, or take the key out");
    }
    if !mixed_in.is_empty() && part.is_none() {
        return bad(
            format!("{path}.seed"),
            "it goes with `percent` only: take it out, or write `strategy.seed` for another order of stages",
        );
    }
    seed(format!("{path}.seed"), mixed_in)?;
    part.map_or(Ok(()), |part| percent(format!("{path}.percent"), part))
}

fn check_strategy(strategy: &Strategy) -> Checked {
    let Strategy { stages, seed: mixed_in, max_unavailable, max_concurrent, max_failed, deadline_s, defer_offline: _, windows, robots } =
        strategy;
    check_stages(stages)?;
    seed("strategy.seed".to_owned(), mixed_in)?;
    let none = match max_unavailable {
        Amount::Count(count) => *count == 0,
        Amount::Percent(part) => *part <= 0.0,
    };
    if none {
        return bad("strategy.max_unavailable", "with 0 no robot could ever be told: write at least 1, or a share above 0%");
    }
    for (key, amount) in [("max_unavailable", max_unavailable), ("max_failed", max_failed)] {
        if let Amount::Percent(part) = amount {
            percent(format!("strategy.{key}"), *part)?;
        }
    }
    if *max_concurrent == 0 {
        return bad("strategy.max_concurrent", "with 0 no robot could ever be told: write at least 1");
    }
    if !(1..=MOST_WAIT_S).contains(deadline_s) {
        return bad("strategy.deadline_s", format!("{deadline_s} is not in 1 to {MOST_WAIT_S}"));
    }
    if robots.max_wait_s > MOST_WAIT_S {
        return bad("strategy.robots.max_wait_s", format!("{} is not in 0 to {MOST_WAIT_S}", robots.max_wait_s));
    }
    for (index, one) in windows.iter().enumerate() {
        window::check(one).or_else(|(key, reason)| bad(format!("strategy.windows[{index}].{key}"), reason))?;
    }
    Ok(())
}

fn check_stages(stages: &[StageSpec]) -> Checked {
    if stages.is_empty() {
        return bad("strategy.stages", "there are none: write at least one, such as `{ name: all, rest: true }`");
    }
    let mut seen = BTreeSet::new();
    let mut reached = 0.0;
    for (index, stage) in stages.iter().enumerate() {
        let path = format!("strategy.stages[{index}]");
        check_stage(stage, &path)?;
        if !seen.insert(&stage.name) {
            return bad(format!("{path}.name"), format!("{:?} is the name of another stage, too: names are unique", stage.name));
        }
        if let Some(part) = stage.percent {
            if part <= reached {
                let reason = format!("{part} is no more than an earlier stage's {reached}: it counts all stages so far, so it must rise");
                return bad(format!("{path}.percent"), reason);
            }
            reached = part;
        }
        if (stage.rest || stage.each.is_some()) && index + 1 < stages.len() {
            return bad(path, "it takes all robots that are left, so no stage can follow: make it the last one");
        }
    }
    Ok(())
}

fn check_stage(stage: &StageSpec, path: &str) -> Checked {
    if stage.name.trim().is_empty() || stage.name.len() > 63 {
        return bad(format!("{path}.name"), "a stage has a name of 1 to 63 bytes");
    }
    let given = [
        ("count", stage.count.is_some()),
        ("percent", stage.percent.is_some()),
        ("names", stage.names.is_some()),
        ("labels", stage.labels.is_some()),
        ("each", stage.each.is_some()),
        ("rest", stage.rest),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    match given.as_slice() {
        [_] => {}
        [] => return bad(path, "it does not say which robots: write one of count, percent, names, labels, each, rest"),
        more => return bad(path, format!("it says {}: write only one of them", more.join(" and "))),
    }
    if stage.count == Some(0) {
        return bad(format!("{path}.count"), "0 is no robot: write at least 1, or take the stage out");
    }
    if let Some(part) = stage.percent {
        percent(format!("{path}.percent"), part)?;
    }
    if let Some(named) = &stage.names {
        names(format!("{path}.names"), named)?;
        if named.is_empty() {
            return bad(format!("{path}.names"), "there are none: name at least one robot");
        }
    }
    if let Some(labels) = &stage.labels
        && (labels.is_empty() || labels.values().any(BTreeSet::is_empty))
    {
        return bad(format!("{path}.labels"), "a stage by labels has at least one key, and each key at least one value");
    }
    if stage.each.as_deref().is_some_and(str::is_empty) {
        return bad(format!("{path}.each"), "it is empty: write the key of a label, such as site");
    }
    if !stage.order.is_empty() && stage.each.is_none() {
        return bad(format!("{path}.order"), "it goes with `each` only: take it out");
    }
    if stage.soak_s > MOST_SOAK_S {
        return bad(format!("{path}.soak_s"), format!("{} is not in 0 to {MOST_SOAK_S}", stage.soak_s));
    }
    stage.gates.as_ref().map_or(Ok(()), |gates| check_gates(gates, &format!("{path}.gates")))
}

fn check_gates(gates: &[Gate], path: &str) -> Checked {
    let mut seen = BTreeSet::new();
    for (index, gate) in gates.iter().enumerate() {
        if !seen.insert(&gate.name) {
            return bad(format!("{path}[{index}].name"), format!("{:?} is the name of another gate, too: names are unique", gate.name));
        }
        match gate::check(gate) {
            Err(CoreError::BadGate { gate: _, path: key, reason }) => return bad(format!("{path}[{index}].{key}"), reason),
            other => other?,
        }
    }
    Ok(())
}

fn check_replay(replay: &Replay) -> Checked {
    let Replay { recording, topic: _, against: _, min_agreement, tolerance, max_latency_ratio, min_frames } = replay;
    if recording.is_empty() {
        return bad("replay.recording", "it is empty: write the id of a capture, or the path of a recording's artifact");
    }
    if !(0.0..=1.0).contains(min_agreement) {
        return bad("replay.min_agreement", format!("{min_agreement} is not in 0 to 1"));
    }
    if !(tolerance.is_finite() && *tolerance >= 0.0) {
        return bad("replay.tolerance", format!("{tolerance} is no number of 0 or more"));
    }
    if max_latency_ratio.is_some_and(|ratio| !(ratio.is_finite() && ratio > 0.0)) {
        return bad("replay.max_latency_ratio", "it is no number above 0");
    }
    if *min_frames == 0 {
        return bad("replay.min_frames", "0 frames prove nothing: write at least 1");
    }
    Ok(())
}
