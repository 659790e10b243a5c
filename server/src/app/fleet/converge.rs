//! Robots that came late become what is declared.

use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    fleet::{self, Revision},
    rollout::{self, Phase},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use super::planning::orders;
use crate::app::{App, AppError};

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
            self.converge_with(&robot.organisation, &now, &BTreeSet::from([robot.name.clone()])).await
        };
        if let Err(error) = converged.await {
            let error: AppError = error;
            tracing::warn!(%error, "could not give a robot what is declared for it; it is looked at again");
        }
    }

    /// Gives robots that were enrolled or labelled since the last look what is declared for them. Whoever calls has nothing to do about an
    /// error: the same robots are looked at again.
    pub async fn converge_fleet(&self) -> Result<(), AppError> {
        let mut by_organisation: BTreeMap<OrganisationId, BTreeSet<TargetName>> = BTreeMap::new();
        for robot in self.stores.fleet.due_targets(u32::MAX).await? {
            by_organisation.entry(robot.organisation).or_default().insert(robot.name);
        }
        for (organisation, due) in by_organisation {
            if let Some(now) = self.fleet_now(&organisation).await? {
                self.converge_with(&organisation, &now, &due).await?;
            }
        }
        Ok(())
    }

    async fn converge_with(&self, organisation: &OrganisationId, now: &Revision, due: &BTreeSet<TargetName>) -> Result<(), AppError> {
        let _telling = self.telling.read().await;
        let robots = self.robots_now(organisation, &now.resolved, |name| due.contains(name)).await?;
        self.fleet.1.store(robots.len(), Ordering::Relaxed);
        let (waits, barred) = self.parts_on_trial(organisation, now).await?;
        // Robots come as they like: what two parts say of one is told to whoever plans, and is no reason to leave others without.
        let (mut late, torn) = fleet::late(&now.spec, &now.resolved, &robots, due, &barred)?;
        let mut settled = due.clone();
        let mut keep = |declaration: &String, targets: &[TargetName]| {
            let waiting = waits.contains(declaration);
            for target in targets.iter().filter(|_| waiting) {
                settled.remove(target);
            }
            !waiting
        };
        late.slots.retain(|direct| keep(&direct.declaration, &direct.targets));
        late.policies.retain(|(declaration, _, targets)| keep(declaration, targets));
        if settled.is_empty() && late.slots.is_empty() && late.policies.is_empty() && late.labels.is_empty() {
            return Ok(());
        }
        for fleet::PlannedLacking { declaration, reason, robots } in &late.plan.lacking {
            tracing::warn!(declaration, reason, ?robots, fleet.revision = now.head.revision, "robots are not given what is declared");
        }
        for problem in torn {
            tracing::warn!(%problem, fleet.revision = now.head.revision, "a robot is given nothing where two parts contradict each other");
        }
        let orders = orders(&late, self.now_us(), &now.head.created_by)?;
        let settled: Vec<TargetName> = settled.into_iter().collect();
        let told = self.stores.fleet.settle_targets(organisation, now.head.revision, &settled, &orders).await?;
        if let Some(told) = told {
            for name in &told.changed {
                tracing::info!(robot.name = name.as_str(), fleet.revision = now.head.revision, "a robot was given what is declared");
            }
            self.told_by_fleet(organisation, told);
        }
        Ok(())
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
