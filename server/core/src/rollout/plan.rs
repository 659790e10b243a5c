//! Which robots a rollout takes, and in which stage. The same robots each time: where a share of them is taken, it is those with the
//! lowest SHA-256 of their name, so that the robots of 10 % are among those of 20 %. A seed makes it other robots, in the same manner.

use edgeflow_bundle::Digest;
use std::collections::{BTreeMap, BTreeSet};

use super::{RolloutSpec, Selector, StagePlan, StageSpec, share};
use crate::{CoreError, TargetName};

/// A robot of the fleet, as far as it can be selected by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub target: TargetName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Groups it is in.
    pub groups: BTreeSet<String>,
}

/// A rollout's robots, stage by stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Stages that have robots, in order.
    pub stages: Vec<StagePlan>,
    /// Robot and the index of its stage, by name.
    pub robots: Vec<(TargetName, usize)>,
    /// Robots that the selector took and no stage does, with the reason.
    pub left_out: Vec<(TargetName, String)>,
}

/// Place of a robot in the order in which shares are taken: the SHA-256 of its name, or of `seed/name`. What is hashed is a promise: a
/// change would move every canary.
fn place(seed: &str, target: &TargetName) -> [u8; 32] {
    if seed.is_empty() {
        return *Digest::of(target.as_str().as_bytes()).as_bytes();
    }
    *Digest::of(format!("{seed}/{target}").as_bytes()).as_bytes()
}

fn bad<T>(path: impl Into<String>, reason: impl Into<String>) -> Result<T, CoreError> {
    Err(CoreError::BadRollout { path: path.into(), reason: reason.into() })
}

impl Candidate {
    /// Whether every key of `wanted` has one of its values.
    pub fn labelled(&self, wanted: &BTreeMap<String, BTreeSet<String>>) -> bool {
        wanted.iter().all(|(key, values)| self.labels.get(key).is_some_and(|value| values.contains(value)))
    }
}

fn taken<'a>(selector: &Selector, fleet: &'a [Candidate]) -> Vec<&'a Candidate> {
    let Selector { names, groups, labels, percent, seed, exclude } = selector;
    let all = names.is_empty() && groups.is_empty() && labels.is_empty();
    let takes = |robot: &&Candidate| {
        all || names.contains(robot.target.as_str())
            || robot.groups.iter().any(|group| groups.contains(group))
            || (!labels.is_empty() && robot.labelled(labels))
    };
    let mut robots: Vec<&Candidate> = fleet.iter().filter(takes).collect();
    if let Some(percent) = percent {
        robots.sort_by_cached_key(|robot| place(seed, &robot.target));
        robots.truncate(share(*percent, robots.len()));
    }
    // After the share is taken: who is excluded makes no room for another.
    robots.retain(|robot| !exclude.contains(robot.target.as_str()));
    robots.sort_by(|a, b| a.target.cmp(&b.target));
    robots.dedup_by(|a, b| a.target == b.target);
    robots
}

/// Robots of `fleet` that `selector` takes, by name. Names that nobody has are no error here: a fleet is declared before its robots
/// are provisioned.
///
/// Fails when `percent` is not within 0 to 100.
pub fn selected(selector: &Selector, fleet: &[Candidate]) -> Result<Vec<TargetName>, CoreError> {
    super::check::check_selector(selector, "targets")?;
    Ok(taken(selector, fleet).into_iter().map(|robot| robot.target.clone()).collect())
}

/// Shares out the robots of `fleet` that `spec` selects to its stages. A stage that gets none because earlier ones took all is left
/// out.
///
/// Fails when the spec names robots that are not there, when it takes no robot at all, and when a stage is to have robots by name or
/// label and none of the rollout's robots has them.
pub fn plan(spec: &RolloutSpec, fleet: &[Candidate]) -> Result<Plan, CoreError> {
    super::check::check_selector(&spec.targets, "targets")?;
    let known: BTreeSet<&str> = fleet.iter().map(|robot| robot.target.as_str()).collect();
    if let Some(name) = spec.targets.names.iter().find(|name| !known.contains(name.as_str())) {
        return bad("targets.names", format!("no robot {name:?} is enrolled: enrol it, or take its name out"));
    }
    let robots = taken(&spec.targets, fleet);
    if robots.is_empty() {
        return bad("targets", "no robot is selected: widen names, groups, labels or percent, or take robots out of exclude");
    }
    let whole = robots.len();
    let mut left = robots;
    left.sort_by_cached_key(|robot| place(&spec.strategy.seed, &robot.target));
    let mut plan = Plan { stages: Vec::new(), robots: Vec::with_capacity(whole), left_out: Vec::new() };
    for (index, stage) in spec.strategy.stages.iter().enumerate() {
        let path = format!("strategy.stages[{index}]");
        for (name, robots) in share_out(stage, &path, whole, &mut left)? {
            if robots.is_empty() {
                continue;
            }
            let at = plan.stages.len();
            plan.stages.push(stage_plan(name, robots.len(), stage, spec));
            plan.robots.extend(robots.into_iter().map(|robot| (robot.target.clone(), at)));
        }
    }
    if plan.robots.is_empty() {
        return bad("strategy.stages", "no stage takes any robot: end with a stage of `rest: true`");
    }
    plan.robots.sort();
    let reason = "no stage takes it: end with a stage of `rest: true` to take all";
    plan.left_out = left.iter().map(|robot| (robot.target.clone(), reason.to_owned())).collect();
    plan.left_out.sort();
    Ok(plan)
}

fn stage_plan(name: String, robots: usize, stage: &StageSpec, spec: &RolloutSpec) -> StagePlan {
    let gates = stage.gates.clone().unwrap_or_else(|| spec.gates.clone());
    let StageSpec { soak_s, approval, .. } = *stage;
    StagePlan { name, robots, soak_s, approval, gates, began_us: None, ended_us: None, evidence: Vec::new() }
}

/// Takes a stage's robots out of `left`, which is in the order of [`place`]: the name of each stage this makes, and its robots.
fn share_out<'a>(
    stage: &StageSpec,
    path: &str,
    whole: usize,
    left: &mut Vec<&'a Candidate>,
) -> Result<Vec<(String, Vec<&'a Candidate>)>, CoreError> {
    let one = |robots| Ok(vec![(stage.name.clone(), robots)]);
    if let Some(count) = stage.count {
        return one(first(left, count as usize));
    }
    if let Some(percent) = stage.percent {
        let had = whole - left.len();
        return one(first(left, share(percent, whole).saturating_sub(had)));
    }
    if let Some(names) = &stage.names {
        let robots = extract(left, |robot| names.contains(robot.target.as_str()));
        if robots.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let reason = format!("none of {} is among the robots that are left: name robots that `targets` takes", names.join(", "));
            return bad(format!("{path}.names"), reason);
        }
        return one(robots);
    }
    if let Some(labels) = &stage.labels {
        let robots = extract(left, |robot| robot.labelled(labels));
        if robots.is_empty() {
            return bad(format!("{path}.labels"), "none of the robots that are left has these labels: mend them, or take the stage out");
        }
        return one(robots);
    }
    if let Some(key) = &stage.each {
        return Ok(each(stage, key, left));
    }
    one(std::mem::take(left))
}

fn each<'a>(stage: &StageSpec, key: &str, left: &mut Vec<&'a Candidate>) -> Vec<(String, Vec<&'a Candidate>)> {
    let mut values: BTreeMap<String, Vec<&Candidate>> = BTreeMap::new();
    let mut without = Vec::new();
    for robot in std::mem::take(left) {
        match robot.labels.get(key) {
            Some(value) => values.entry(value.clone()).or_default().push(robot),
            None => without.push(robot),
        }
    }
    let mut stages = Vec::new();
    for value in &stage.order {
        if let Some(robots) = values.remove(value) {
            stages.push((format!("{}: {value}", stage.name), robots));
        }
    }
    stages.extend(values.into_iter().map(|(value, robots)| (format!("{}: {value}", stage.name), robots)));
    stages.push((format!("{}: without {key}", stage.name), without));
    stages
}

fn first<'a>(left: &mut Vec<&'a Candidate>, count: usize) -> Vec<&'a Candidate> {
    let rest = left.split_off(count.min(left.len()));
    std::mem::replace(left, rest)
}

fn extract<'a>(left: &mut Vec<&'a Candidate>, takes: impl Fn(&Candidate) -> bool) -> Vec<&'a Candidate> {
    let (robots, rest) = std::mem::take(left).into_iter().partition(|robot| takes(robot));
    *left = rest;
    robots
}
