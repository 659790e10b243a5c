//! What a declaration does to the robots there are, and what it takes to do it.

use edgeflow_core::{
    ModelName, OrganisationId, Principal, TargetName,
    deployment::NewDeployment,
    fleet::{self, Changes, FleetSpec, Problem, Review, Revision, RobotNow, SlotNow, UnderWay},
    rollout::{self, Actor, Candidate, Phase, Release, RobotPhase},
    target::{Attested, Target},
};
use edgeflow_store::{FleetOrders, FleetRollout, RobotFilter};
use edgeflow_wire::SlotSpec;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use crate::app::{App, AppError};

/// Problems that are told at once.
const TOLD: usize = 20;

/// Robots with their labels.
pub(super) type Labelled = BTreeMap<TargetName, BTreeMap<String, String>>;

/// What a declaration does to the robots there are.
pub(super) struct Prepared {
    pub(super) resolved: BTreeMap<String, SlotSpec>,
    pub(super) changes: Changes,
    /// The robots there are.
    pub(super) over: Labelled,
}

impl App {
    /// Checks a declaration, reads what it names, and plans it.
    pub(super) async fn prepare_fleet(
        &self,
        organisation: &OrganisationId,
        spec: &FleetSpec,
        now: Option<&Revision>,
    ) -> Result<Prepared, AppError> {
        refuse(fleet::check(spec))?;
        let (mut resolved, mut problems) = (BTreeMap::new(), Vec::new());
        for (path, release) in spec.releases() {
            match self.resolve_release(organisation, &release).await {
                Ok(Release::Slot { spec }) => drop(resolved.insert(path, spec)),
                Ok(Release::Policy { .. }) => {}
                Err(error @ (AppError::Store(_) | AppError::Artifact { .. })) => return Err(error),
                Err(error) => problems.push(Problem { path: format!("{path}.release"), reason: error.to_string() }),
            }
        }
        refuse(problems)?;
        let (changes, over) = self.plan_over_robots(organisation, spec, now, &resolved).await?;
        Ok(Prepared { resolved, changes, over })
    }

    /// Refuses when something that a proposal stands for was deleted since.
    pub(super) async fn still_there(&self, organisation: &OrganisationId, resolved: &BTreeMap<String, SlotSpec>) -> Result<(), AppError> {
        for spec in resolved.values() {
            let name: ModelName = spec.model.parse()?;
            let found = self.find_version(organisation, &name, &spec.version).await?;
            if found.slot_spec()?.digest != spec.digest {
                return Err(AppError::Conflict(format!(
                    "{} {} is another bundle by now: plan and propose it again",
                    spec.model, spec.version
                )));
            }
        }
        Ok(())
    }

    /// What a declaration changes, and over which robots.
    pub(super) async fn plan_over_robots(
        &self,
        organisation: &OrganisationId,
        spec: &FleetSpec,
        now: Option<&Revision>,
        resolved: &BTreeMap<String, SlotSpec>,
    ) -> Result<(Changes, Labelled), AppError> {
        let robots = self.robots_now(organisation, resolved, |_| true).await?;
        let under_way = self.under_way(organisation).await?;
        let planned = fleet::plan(spec, now.map(|now| &now.spec), resolved, &robots, &under_way);
        let changes = planned.map_err(|problems| refused(&problems))?;
        Ok((changes, robots.into_iter().map(|robot| (robot.target, robot.labels)).collect()))
    }

    /// Every robot as it is told to be; those that are `asked` also as they say they are, where something is declared that not every
    /// robot can have.
    pub(super) async fn robots_now(
        &self,
        organisation: &OrganisationId,
        resolved: &BTreeMap<String, SlotSpec>,
        asked: impl Fn(&TargetName) -> bool,
    ) -> Result<Vec<RobotNow>, AppError> {
        let robots = self.stores.targets.targets(organisation, None, u32::MAX).await?;
        let mut attested = BTreeMap::new();
        if resolved.values().any(|spec| !spec.kind.is_model()) {
            let names: Vec<TargetName> = robots.iter().map(|target| &target.id.name).filter(|name| asked(name)).cloned().collect();
            attested = self.stores.entries.attested_of(organisation, &names, &["state"]).await?;
        }
        Ok(robots.into_iter().map(|target| robot_now(attested.remove(&target.id.name).unwrap_or_default(), target)).collect())
    }

    /// Which robots rollouts bring what to, in which slot (empty: their policy).
    async fn under_way(&self, organisation: &OrganisationId) -> Result<BTreeMap<(TargetName, String), UnderWay>, AppError> {
        let mut under_way = BTreeMap::new();
        for open in self.stores.rollouts.open_rollouts().await? {
            if open.organisation != *organisation || open.late {
                continue;
            }
            let Some(rollout) = self.stores.rollouts.rollout(organisation, open.id).await? else { continue };
            // What goes back brings nothing, also while that is paused.
            if rollout.phase.ended() || rollout.phase == Phase::RollingBack || rollout.going_back.is_some() {
                continue;
            }
            let slot = match &rollout.release {
                Release::Slot { .. } => rollout.spec.slot.clone(),
                Release::Policy { .. } => String::new(),
            };
            let digest = rollout::release_text(&rollout.release);
            for robot in self.stores.rollouts.rollout_robots(rollout.id, &RobotFilter::default()).await? {
                let goes_there = matches!(
                    robot.phase,
                    RobotPhase::Pending
                        | RobotPhase::Waiting
                        | RobotPhase::Retrying
                        | RobotPhase::Updating
                        | RobotPhase::Updated
                        | RobotPhase::Deferred
                );
                if goes_there {
                    // Of one that waits for another, the one that holds it now comes first.
                    let brings = || UnderWay { rollout: rollout.id, digest: digest.clone() };
                    under_way.entry((robot.target, slot.clone())).or_insert_with(brings);
                }
            }
        }
        Ok(under_way)
    }

    /// What robots are told, and rollouts that begin: `by` is the author.
    pub(super) async fn orders(
        &self,
        principal: &Principal,
        changes: &Changes,
        at_us: i64,
        by: &str,
        message: &str,
    ) -> Result<FleetOrders, AppError> {
        let mut orders = orders(changes, at_us, by)?;
        for (declaration, spec) in &changes.rollouts {
            let mut spec = spec.clone();
            spec.description = if message.is_empty() { declaration.clone() } else { format!("{declaration}: {message}") };
            let prepared = self.prepare_rollout(principal, spec, &changes.fleet).await?;
            let (mut rollout, robots, mut history) = (prepared.rollout, prepared.robots, prepared.history);
            // What is done is its author's, whoever approved it.
            by.clone_into(&mut rollout.created_by);
            for entry in &mut history {
                entry.actor = Actor::Operator(by.to_owned());
            }
            orders.rollouts.push(FleetRollout { declaration: declaration.clone(), rollout, robots, history });
        }
        Ok(orders)
    }

    /// Every robot, as far as it can be selected by.
    pub(crate) async fn candidates(&self, organisation: &OrganisationId) -> Result<Vec<Candidate>, AppError> {
        let robots = self.stores.targets.labelled_targets(organisation).await?;
        let groups = match self.fleet_now(organisation).await? {
            Some(now) => fleet::groups(&now.spec, robots.iter().map(|(name, labels)| (name, labels)))?,
            None => BTreeMap::new(),
        };
        let groups_of = |name: &TargetName| {
            let of = groups.iter().filter(|(_, members)| members.contains(name));
            of.map(|(group, _)| group.clone()).collect()
        };
        Ok(robots.into_iter().map(|(target, labels)| Candidate { groups: groups_of(&target), target, labels }).collect())
    }
}

fn robot_now(attested: Attested, target: Target) -> RobotNow {
    RobotNow {
        attested,
        slots: target.desired.slots.iter().map(|(slot, spec)| (slot.clone(), SlotNow::from(spec))).collect(),
        policy: target.desired.policy.map(|policy| policy.document),
        labels: target.labels,
        target: target.id.name,
    }
}

/// Taking the review away is a change that wants one, too.
pub(super) fn review(spec: &FleetSpec, now: Option<&Revision>) -> Review {
    let required = spec.review() == Review::Required || now.is_some_and(|now| now.spec.review() == Review::Required);
    if required { Review::Required } else { Review::None }
}

pub(super) fn digest(spec: &FleetSpec) -> Result<String, AppError> {
    let text = serde_json::to_vec(spec).map_err(AppError::artifact("writing a declaration"))?;
    Ok(hex::encode(Sha256::digest(text)))
}

fn refuse(problems: Vec<Problem>) -> Result<(), AppError> {
    if problems.is_empty() { Ok(()) } else { Err(refused(&problems)) }
}

fn refused(problems: &[Problem]) -> AppError {
    let told: Vec<String> = problems.iter().take(TOLD).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    AppError::Invalid(format!("{}{more}", told.join("; ")))
}

/// What robots are told at once.
pub(super) fn orders(changes: &Changes, at_us: i64, by: &str) -> Result<FleetOrders, AppError> {
    let deployment = |direct: &fleet::DirectSlot| {
        let spec = direct.spec.clone();
        Ok::<_, AppError>(NewDeployment {
            model: spec.model.parse()?,
            version: spec.version.clone(),
            spec,
            slot: direct.slot.clone(),
            targets: direct.targets.clone(),
            created_at_us: at_us,
            created_by: by.to_owned(),
        })
    };
    Ok(FleetOrders {
        labels: changes.labels.clone(),
        slots: changes.slots.iter().map(deployment).collect::<Result<_, _>>()?,
        policies: changes.policies.iter().map(|(_, document, targets)| (document.clone(), targets.clone())).collect(),
        rollouts: Vec::new(),
        over: None,
    })
}
