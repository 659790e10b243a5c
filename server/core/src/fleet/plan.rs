//! Which robots a declaration changes, in what, and how. The same declaration and robots give the same plan; once it is done, the plan of
//! the same declaration is empty.

use edgeflow_wire::SlotSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

use super::{
    FleetSpec, Problem,
    check::{Part, rollout_of},
};
use crate::{
    CoreError, SlotName, TargetName, reconciliation,
    rollout::{self, Candidate, RolloutSpec, Selector, policy_text},
    target::Attested,
};

/// What a robot is told to have in one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNow {
    /// Name and version, such as `label-reader/2`.
    pub release: String,
    /// Bundle digest.
    pub digest: String,
}

impl From<&SlotSpec> for SlotNow {
    fn from(spec: &SlotSpec) -> Self {
        Self { release: label(spec), digest: spec.digest.clone() }
    }
}

fn label(spec: &SlotSpec) -> String {
    format!("{}/{}", spec.model, spec.version)
}

/// A robot as it is told to be.
#[derive(Debug, Clone, PartialEq)]
pub struct RobotNow {
    /// Its name.
    pub target: TargetName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it shall have, by slot.
    pub slots: BTreeMap<String, SlotNow>,
    /// What it shall report of its topics.
    pub policy: Option<Value>,
    /// What it says it is; nothing of one that has said nothing yet, or where nothing is declared that not every robot can have.
    pub attested: Attested,
}

/// A rollout that has not ended and holds a robot in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// Its number.
    pub rollout: i64,
    /// What it brings, as [`rollout::release_text`] says it.
    pub digest: String,
}

/// A label that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelChange {
    /// Its key.
    pub key: String,
    /// Its value; `null` when the robot does not have it.
    pub before: Option<String>,
    /// The value it gets; `null` when it goes.
    pub after: Option<String>,
}

/// A slot that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotChange {
    /// Which slot.
    pub slot: String,
    /// The part that says so, such as `slots.reader`.
    pub declaration: String,
    /// Name and version of what the robot is told to have; `null` when nothing is.
    pub before: Option<String>,
    /// Name and version of what it shall have.
    pub after: String,
    /// `at once`, or `by rollout NAME`.
    pub how: String,
}

/// A policy that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyChange {
    /// The part that says so, such as `policies.health`.
    pub declaration: String,
    /// `at once`, or `by rollout NAME`.
    pub how: String,
}

/// A robot that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RobotChange {
    /// Which robot.
    pub target: String,
    /// Its labels that change.
    pub labels: Vec<LabelChange>,
    /// Its slots that change.
    pub slots: Vec<SlotChange>,
    /// Its policy, when that changes.
    pub policy: Option<PolicyChange>,
}

/// A stage of a rollout, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetStage {
    /// Its name.
    pub name: String,
    /// How many robots it takes.
    pub robots: usize,
}

/// A rollout that applying starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRollout {
    /// The part it is for, such as `slots.reader`.
    pub declaration: String,
    /// Which slot; empty of a policy.
    pub slot: String,
    /// Name and version of what it brings; `policy` of a policy.
    pub release: String,
    /// Name of the strategy.
    pub rollout: String,
    /// How many robots differ.
    pub robots: usize,
    /// Its stages.
    pub stages: Vec<FleetStage>,
}

/// Robots that a rollout which has not ended brings to what is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedUnderWay {
    /// The part that says so.
    pub declaration: String,
    /// The rollout.
    pub rollout: String,
    /// How many robots are still on their way.
    pub robots: usize,
}

/// Robots that have no slot for what a part gives them. They are left as they are until they say that they have one, and the
/// declaration is applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedLacking {
    /// The part, such as `slots.hall`.
    pub declaration: String,
    /// What they lack, and what to do.
    pub reason: String,
    /// Which robots.
    pub robots: Vec<String>,
}

/// What applying a declaration does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetPlan {
    /// Robots that change, by name.
    pub robots: Vec<RobotChange>,
    /// Rollouts that start.
    pub rollouts: Vec<PlannedRollout>,
    /// What is under way already, and hence no change.
    pub under_way: Vec<PlannedUnderWay>,
    /// Robots that are not given what is declared for them, because they cannot have it.
    #[serde(default)]
    pub lacking: Vec<PlannedLacking>,
    /// Robots that are named and not enrolled (yet): they become what is declared when they are.
    pub not_enrolled: Vec<String>,
}

impl FleetPlan {
    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.robots.is_empty()
    }
}

/// Robots that are told at once.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectSlot {
    /// The part that says so.
    pub declaration: String,
    /// Which slot.
    pub slot: SlotName,
    /// What they shall have.
    pub spec: SlotSpec,
    /// Which robots.
    pub targets: Vec<TargetName>,
}

/// A plan, and what it takes to do it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// For people.
    pub plan: FleetPlan,
    /// All labels of the robots whose labels change.
    pub labels: BTreeMap<TargetName, BTreeMap<String, String>>,
    /// Slots that robots are told at once.
    pub slots: Vec<DirectSlot>,
    /// Policies that robots are told at once: the part that says so, the document, the robots.
    pub policies: Vec<(String, Value, Vec<TargetName>)>,
    /// Rollouts that start: the part they are for, and what they do.
    pub rollouts: Vec<(String, RolloutSpec)>,
    /// The fleet as it is then, for planning these.
    pub fleet: Vec<Candidate>,
}

/// Members of each group.
pub fn groups<'a>(
    spec: &FleetSpec,
    robots: impl Iterator<Item = (&'a TargetName, &'a BTreeMap<String, String>)>,
) -> Result<BTreeMap<String, BTreeSet<TargetName>>, CoreError> {
    let bare = |(target, labels): (&TargetName, &BTreeMap<String, String>)| Candidate {
        target: target.clone(),
        labels: labels.clone(),
        groups: BTreeSet::new(),
    };
    groups_of(spec, &robots.map(bare).collect::<Vec<_>>())
}

fn groups_of(spec: &FleetSpec, fleet: &[Candidate]) -> Result<BTreeMap<String, BTreeSet<TargetName>>, CoreError> {
    let member = |(name, group): (&String, &super::Group)| {
        Ok((name.clone(), rollout::selected(&group.clone().into(), fleet)?.into_iter().collect()))
    };
    spec.groups.iter().map(member).collect()
}

/// What a label of a robot shall be: what is declared; what was declared before and is no more, goes.
fn labels_then(spec: &FleetSpec, before: Option<&FleetSpec>, robot: &RobotNow) -> BTreeMap<String, String> {
    let mut labels = robot.labels.clone();
    let name = robot.target.as_str();
    for (key, value) in before.and_then(|before| before.labels.get(name)).into_iter().flatten() {
        if labels.get(key) == Some(value) {
            labels.remove(key);
        }
    }
    labels.extend(spec.labels.get(name).into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    labels
}

fn label_changes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<LabelChange> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differ.map(|key| LabelChange { key: key.clone(), before: before.get(key).cloned(), after: after.get(key).cloned() }).collect()
}

/// Plans `spec` over the robots there are. `before` is what is declared now; `resolved` is what the releases of `spec` stand for, by the
/// path of the part; `under_way` is who holds which robot in which slot (empty: its policy).
///
/// Fails with all that is wrong: a robot that two parts give different things in one slot, a rollout that has no robots for a stage.
pub fn plan(
    spec: &FleetSpec,
    before: Option<&FleetSpec>,
    resolved: &BTreeMap<String, SlotSpec>,
    robots: &[RobotNow],
    under_way: &BTreeMap<(TargetName, String), UnderWay>,
) -> Result<Changes, Vec<Problem>> {
    let one = |path: &str, error: CoreError| vec![Problem { path: path.to_owned(), reason: error.to_string() }];
    let mut planning = Planning::new(spec, resolved, under_way);
    let fleet = planning.label(before, robots, |_| true).map_err(|error| one("groups", error))?;
    let known: BTreeMap<&TargetName, &RobotNow> = robots.iter().map(|robot| (&robot.target, robot)).collect();
    for part in spec.parts() {
        let taken = rollout::selected(part.targets, &fleet).map_err(|error| one(&part.path, error))?;
        let taken = taken.iter().filter_map(|name| known.get(name).copied()).collect();
        planning.part(&part, taken, &fleet);
    }
    planning.done.plan.not_enrolled = not_enrolled(spec, &known);
    planning.done.plan.robots = std::mem::take(&mut planning.robots).into_values().collect();
    planning.done.fleet = fleet;
    if planning.problems.is_empty() { Ok(planning.done) } else { Err(planning.problems) }
}

/// What robots that came (or were labelled) lately are given of what is declared: at once, whichever way others got it, but of no part
/// in `barred`. Of a slot in which two parts give a robot different things it gets none of both: that is the second answer.
pub fn late(
    spec: &FleetSpec,
    resolved: &BTreeMap<String, SlotSpec>,
    robots: &[RobotNow],
    due: &BTreeSet<TargetName>,
    barred: &BTreeSet<String>,
) -> Result<(Changes, Vec<Problem>), CoreError> {
    let nothing = BTreeMap::new();
    let mut planning = Planning::new(spec, resolved, &nothing);
    let fleet = planning.label(None, robots, |robot| due.contains(robot))?;
    let known: BTreeMap<&TargetName, &RobotNow> = robots.iter().map(|robot| (&robot.target, robot)).collect();
    for part in spec.parts().into_iter().filter(|part| !barred.contains(&part.path)) {
        let taken = rollout::selected(part.targets, &fleet)?;
        let taken = taken.iter().filter(|name| due.contains(*name)).filter_map(|name| known.get(name).copied()).collect();
        planning.part(&Part { rollout: None, ..part }, taken, &fleet);
    }
    let Planning { mut done, problems, torn, .. } = planning;
    for direct in &mut done.slots {
        direct.targets.retain(|target| !torn.contains(&(target.clone(), direct.slot.to_string())));
    }
    for (_, _, targets) in &mut done.policies {
        targets.retain(|target| !torn.contains(&(target.clone(), String::new())));
    }
    done.slots.retain(|direct| !direct.targets.is_empty());
    done.policies.retain(|(_, _, targets)| !targets.is_empty());
    Ok((done, problems))
}

/// Robots that are named somewhere and not known.
fn not_enrolled(spec: &FleetSpec, known: &BTreeMap<&TargetName, &RobotNow>) -> Vec<String> {
    let parts = spec.parts();
    let selected = parts.iter().flat_map(|part| &part.targets.names);
    let named: BTreeSet<&String> = spec.labels.keys().chain(spec.groups.values().flat_map(|group| &group.names)).chain(selected).collect();
    let known: BTreeSet<&str> = known.keys().map(|name| name.as_str()).collect();
    named.into_iter().filter(|name| !known.contains(name.as_str())).cloned().collect()
}

struct Planning<'a> {
    spec: &'a FleetSpec,
    resolved: &'a BTreeMap<String, SlotSpec>,
    under_way: &'a BTreeMap<(TargetName, String), UnderWay>,
    /// Which part gives a robot what in a slot (empty: its policy): path and digest.
    given: BTreeMap<(TargetName, String), (String, String)>,
    robots: BTreeMap<TargetName, RobotChange>,
    done: Changes,
    problems: Vec<Problem>,
    /// Robots that two parts give different things in a slot.
    torn: BTreeSet<(TargetName, String)>,
}

impl<'a> Planning<'a> {
    fn new(spec: &'a FleetSpec, resolved: &'a BTreeMap<String, SlotSpec>, under_way: &'a BTreeMap<(TargetName, String), UnderWay>) -> Self {
        let (given, robots, torn) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { spec, resolved, under_way, given, robots, done: Changes::default(), problems: Vec::new(), torn }
    }

    fn change(&mut self, target: &TargetName) -> &mut RobotChange {
        let fresh = || RobotChange { target: target.to_string(), labels: Vec::new(), slots: Vec::new(), policy: None };
        self.robots.entry(target.clone()).or_insert_with(fresh)
    }

    fn problem(&mut self, path: &str, reason: String) {
        self.problems.push(Problem { path: path.to_owned(), reason });
    }

    /// Plans the labels of those that are meant; all robots as they can be selected by then.
    fn label(
        &mut self,
        before: Option<&FleetSpec>,
        robots: &[RobotNow],
        meant: impl Fn(&TargetName) -> bool,
    ) -> Result<Vec<Candidate>, CoreError> {
        let mut fleet = Vec::with_capacity(robots.len());
        for robot in robots {
            let labels = if meant(&robot.target) { labels_then(self.spec, before, robot) } else { robot.labels.clone() };
            let changes = label_changes(&robot.labels, &labels);
            if !changes.is_empty() {
                self.done.labels.insert(robot.target.clone(), labels.clone());
                self.change(&robot.target).labels = changes;
            }
            fleet.push(Candidate { target: robot.target.clone(), labels, groups: BTreeSet::new() });
        }
        let groups = groups_of(self.spec, &fleet)?;
        for robot in &mut fleet {
            robot.groups = groups.iter().filter(|(_, members)| members.contains(&robot.target)).map(|(name, _)| name.clone()).collect();
        }
        Ok(fleet)
    }

    /// Plans one part over the robots it takes.
    fn part(&mut self, part: &Part<'_>, taken: Vec<&RobotNow>, fleet: &[Candidate]) {
        let document = part.release.policy.as_ref();
        let given = match (part.slot, document) {
            (Some(_), _) => self.resolved.get(&part.path).map(|spec| (spec.digest.clone(), label(spec))),
            (None, Some(document)) => Some((policy_text(document), "policy".to_owned())),
            (None, None) => None,
        };
        let Some((digest, release)) = given else {
            return self.problem(&part.path, "nothing is known of what it names".to_owned());
        };
        let slot = part.slot.unwrap_or_default();
        self.refuse_two(part, &digest, &taken);
        let now = |robot: &RobotNow| match part.slot {
            Some(slot) => robot.slots.get(slot).map(|now| now.digest.clone()),
            None => robot.policy.as_ref().map(policy_text),
        };
        let (mut differ, mut on_their_way) = (Vec::new(), BTreeMap::<i64, usize>::new());
        let mut lacking: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let kind = self.resolved.get(&part.path).map(|spec| spec.kind).filter(|_| part.slot.is_some());
        for robot in taken.into_iter().filter(|robot| now(robot).as_ref() != Some(&digest)) {
            if let Some(why) = kind.and_then(|kind| reconciliation::lacks(kind, slot, &robot.attested)) {
                lacking.entry(why).or_default().push(robot.target.to_string());
                continue;
            }
            match self.under_way.get(&(robot.target.clone(), slot.to_owned())) {
                Some(UnderWay { rollout, digest: brings }) if *brings == digest => *on_their_way.entry(*rollout).or_default() += 1,
                _ => differ.push(robot),
            }
        }
        let on_their_way = on_their_way.into_iter().map(|(rollout, robots)| PlannedUnderWay {
            declaration: part.path.clone(),
            rollout: rollout.to_string(),
            robots,
        });
        self.done.plan.under_way.extend(on_their_way);
        let lacking = lacking.into_iter().map(|(reason, robots)| PlannedLacking { declaration: part.path.clone(), reason, robots });
        self.done.plan.lacking.extend(lacking);
        if differ.is_empty() {
            return;
        }
        let how = part.rollout.map_or_else(|| "at once".to_owned(), |rollout| format!("by rollout {rollout}"));
        for robot in &differ {
            let (declaration, how) = (part.path.clone(), how.clone());
            let before = part.slot.and_then(|slot| robot.slots.get(slot)).map(|now| now.release.clone());
            let change = self.change(&robot.target);
            if part.slot.is_some() {
                change.slots.push(SlotChange { slot: slot.to_owned(), declaration, before, after: release.clone(), how });
            } else {
                change.policy = Some(PolicyChange { declaration, how });
            }
        }
        let targets: Vec<TargetName> = differ.into_iter().map(|robot| robot.target.clone()).collect();
        if part.rollout.is_some() {
            self.by_rollout(part, release, targets, fleet);
        } else {
            self.at_once(part, targets);
        }
    }

    fn at_once(&mut self, part: &Part<'_>, targets: Vec<TargetName>) {
        let declaration = part.path.clone();
        match (part.slot.map(SlotName::new), self.resolved.get(&part.path), &part.release.policy) {
            (Some(Ok(slot)), Some(spec), _) => self.done.slots.push(DirectSlot { declaration, slot, spec: spec.clone(), targets }),
            (None, _, Some(document)) => self.done.policies.push((declaration, document.clone(), targets)),
            _ => self.problem(&declaration, "its slot has no name that can be used".to_owned()),
        }
    }

    fn by_rollout(&mut self, part: &Part<'_>, release: String, targets: Vec<TargetName>, fleet: &[Candidate]) {
        let names: BTreeSet<String> = targets.iter().map(ToString::to_string).collect();
        let robots = names.len();
        let Some(mut rollout) = rollout_of(self.spec, part, Selector { names: names.clone(), ..Selector::default() }) else {
            return self.problem(&format!("{}.rollout", part.path), "there is no such rollout".to_owned());
        };
        if let Some(spec) = part.slot.and_then(|_| self.resolved.get(&part.path)) {
            (rollout.release.version, rollout.release.alias) = (Some(spec.version.clone()), None);
        }
        // A stage whose robots have it already is no stage.
        rollout.strategy.stages.retain(|stage| match (&stage.names, &stage.labels) {
            (Some(named), _) => named.iter().any(|name| names.contains(name)),
            (_, Some(labels)) => fleet.iter().any(|robot| names.contains(robot.target.as_str()) && robot.labelled(labels)),
            _ => true,
        });
        let strategy = part.rollout.unwrap_or_default();
        match rollout::plan(&rollout, fleet) {
            Ok(planned) => {
                let stages = planned.stages.into_iter().map(|stage| FleetStage { name: stage.name, robots: stage.robots }).collect();
                let (declaration, slot) = (part.path.clone(), part.slot.unwrap_or_default().to_owned());
                self.done.plan.rollouts.push(PlannedRollout { declaration, slot, release, rollout: strategy.to_owned(), robots, stages });
                self.done.rollouts.push((part.path.clone(), rollout));
            }
            Err(CoreError::BadRollout { path, reason }) => self.problem(&format!("rollouts.{strategy}.{path}"), reason),
            Err(error) => self.problem(&format!("rollouts.{strategy}"), error.to_string()),
        }
    }

    /// A robot gets one thing in a slot.
    fn refuse_two(&mut self, part: &Part<'_>, digest: &str, taken: &[&RobotNow]) {
        let slot = part.slot.unwrap_or_default();
        let mut torn: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for robot in taken {
            let place = (robot.target.clone(), slot.to_owned());
            match self.given.get(&place) {
                Some((path, other)) if other != digest => {
                    torn.entry(path.clone()).or_default().push(robot.target.as_str());
                    self.torn.insert(place);
                }
                Some(_) => {}
                None => drop(self.given.insert(place, (part.path.clone(), digest.to_owned()))),
            }
        }
        for (path, robots) in torn {
            let named = robots.iter().take(3).copied().collect::<Vec<_>>().join(", ");
            let more = if robots.len() > 3 { format!(" and {} more", robots.len() - 3) } else { String::new() };
            let what = part.slot.map_or_else(|| "another policy".to_owned(), |slot| format!("something else in slot {slot:?}"));
            self.problem(&format!("{}.targets", part.path), format!("{path} gives {named}{more} {what}: exclude them from one of both"));
        }
    }
}
