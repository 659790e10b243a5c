//! Robots that came late become what is declared.

use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    fleet::{self, Revision},
    rollout::{self, Phase},
};
use edgeflow_store::DueTarget;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use super::planning::orders;
use crate::app::{App, AppError};

/// Robots that are due, and the parts that each waits for; `None`: it was given none yet.
type Due = BTreeMap<TargetName, Option<BTreeSet<String>>>;
/// Robots that are not given all of it now: which parts not.
type Waiting = BTreeMap<TargetName, BTreeSet<String>>;

/// More robots than this are given what is declared in the background only.
const LARGE: usize = 1000;

impl App {
    /// Gives a robot what is declared for it now, if that goes; if not, the background does. So it does in a large fleet: who enrols
    /// thousands does not have all of them looked at for each.
    pub(crate) async fn converge_soon(&self, robot: &RobotId) {
        if self.fleet.1.load(Ordering::Relaxed) > LARGE {
            return;
        }
        let converged = async {
            let Some(now) = self.fleet_now(&robot.organisation).await? else { return Ok(()) };
            self.converge_with(&robot.organisation, &now, &Due::from([(robot.name.clone(), None)])).await
        };
        if let Err(error) = converged.await {
            let error: AppError = error;
            tracing::warn!(%error, "could not give a robot what is declared for it; it is looked at again");
        }
    }

    /// Gives robots that were enrolled or labelled since the last look what is declared for them. Whoever calls has nothing to do about an
    /// error: the same robots are looked at again.
    pub async fn converge_fleet(&self) -> Result<(), AppError> {
        let mut by_organisation: BTreeMap<OrganisationId, Due> = BTreeMap::new();
        for DueTarget { robot, waits_for } in self.stores.fleet.due_targets(u32::MAX).await? {
            by_organisation.entry(robot.organisation).or_default().insert(robot.name, waits_for);
        }
        for (organisation, due) in by_organisation {
            if let Some(now) = self.fleet_now(&organisation).await? {
                self.converge_with(&organisation, &now, &due).await?;
            }
        }
        Ok(())
    }

    async fn converge_with(&self, organisation: &OrganisationId, now: &Revision, due: &Due) -> Result<(), AppError> {
        let _telling = self.telling.read().await;
        let robots = self.robots_now(organisation, &now.resolved, |name| due.contains_key(name)).await?;
        self.fleet.1.store(robots.len(), Ordering::Relaxed);
        let (on_trial, barred) = self.parts_on_trial(organisation, now).await?;
        // Robots come as they like: what two parts say of one is told to whoever plans, and is no reason to leave others without.
        let (mut late, torn) = fleet::late(&now.spec, &now.resolved, &robots, &due.keys().cloned().collect(), &barred)?;
        let mut waiting = Waiting::new();
        for direct in &mut late.slots {
            let all = std::mem::take(&mut direct.targets);
            direct.targets =
                self.given(organisation, (&direct.declaration, direct.slot.as_str()), all, &on_trial, due, &mut waiting).await?;
        }
        for (declaration, _, targets) in &mut late.policies {
            let all = std::mem::take(targets);
            *targets = self.given(organisation, (declaration, ""), all, &on_trial, due, &mut waiting).await?;
        }
        late.slots.retain(|direct| !direct.targets.is_empty());
        late.policies.retain(|(_, _, targets)| !targets.is_empty());
        let known = |(name, parts): (&TargetName, &BTreeSet<String>)| due.get(name).and_then(Option::as_ref) == Some(parts);
        let nothing_new = waiting.len() == due.len() && waiting.iter().all(known);
        if nothing_new && late.slots.is_empty() && late.policies.is_empty() && late.labels.is_empty() {
            return Ok(());
        }
        for fleet::PlannedLacking { declaration, reason, robots } in &late.plan.lacking {
            tracing::warn!(declaration, reason, ?robots, fleet.revision = now.head.revision, "robots are not given what is declared");
        }
        for problem in torn {
            tracing::warn!(%problem, fleet.revision = now.head.revision, "a robot is given nothing where two parts contradict each other");
        }
        let mut orders = orders(&late, self.now_us(), &now.head.created_by)?;
        let looked_at = robots.into_iter().filter(|robot| due.contains_key(&robot.target));
        orders.over = Some(looked_at.map(|robot| (robot.target, robot.labels)).collect());
        let settled: Vec<TargetName> = due.keys().filter(|name| !waiting.contains_key(*name)).cloned().collect();
        let told = self.stores.fleet.settle_targets(organisation, now.head.revision, &settled, &waiting, &orders).await?;
        if let Some(told) = told {
            for name in &told.changed {
                tracing::info!(robot.name = name.as_str(), fleet.revision = now.head.revision, "a robot was given what is declared");
            }
            self.told_by_fleet(organisation, told);
        }
        Ok(())
    }

    /// Which of the robots that a part (its path, and its slot; empty: the policy) takes are given it now. The others have it, or had it
    /// since they are due and something else since then, which stands; or they wait: for the part's rollout to end, or for one that holds
    /// them.
    async fn given(
        &self,
        organisation: &OrganisationId,
        (declaration, slot): (&str, &str),
        mut targets: Vec<TargetName>,
        on_trial: &BTreeSet<String>,
        due: &Due,
        waiting: &mut Waiting,
    ) -> Result<Vec<TargetName>, AppError> {
        targets.retain(|name| due.get(name).and_then(Option::as_ref).is_none_or(|parts| parts.contains(declaration)));
        let held: BTreeSet<TargetName> = match on_trial.contains(declaration) {
            true => targets.iter().cloned().collect(),
            false => self.stores.rollouts.rollout_holders(organisation, slot, &targets).await?.into_iter().map(|(name, _)| name).collect(),
        };
        targets.retain(|name| !held.contains(name));
        for name in held {
            waiting.entry(name).or_default().insert(declaration.to_owned());
        }
        Ok(targets)
    }

    /// Parts whose rollout has not ended, for which robots that come late wait; and those whose rollout did not end well, which they are not
    /// given.
    async fn parts_on_trial(
        &self,
        organisation: &OrganisationId,
        now: &Revision,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), AppError> {
        let (mut waits, mut barred) = (BTreeSet::new(), BTreeSet::new());
        for (declaration, rollout) in self.rollouts_of_fleet(organisation).await? {
            let part = declaration.split_once('.').map_or("", |(_, name)| name);
            let declared = match now.resolved.get(&declaration) {
                Some(spec) => Some(spec.digest.clone()),
                None => now.spec.policies.get(part).map(|part| rollout::policy_text(&part.policy)),
            };
            if declared != Some(rollout::release_text(&rollout.release)) {
                continue; // something else was declared since
            }
            if now.spec.way_of(&declaration).is_none() {
                continue; // everybody gets it at once by now
            }
            match rollout.phase {
                Phase::Succeeded => {}
                phase if phase.ended() => drop(barred.insert(declaration)),
                _ => drop(waits.insert(declaration)),
            }
        }
        Ok((waits, barred))
    }
}
