//! The fleet as code: planned, applied as a revision, reviewed by a second person, taken back by applying an older revision as a new one.

use edgeflow_core::{
    ModelName, OrganisationId, Page, Principal, RobotId, TargetName,
    deployment::NewDeployment,
    fleet::{
        self, Changes, FleetChange, FleetPlan, FleetSpec, NewRevision, Problem, Review, Revision, RevisionHead, RevisionState,
        RevisionView, RobotNow, SlotNow, UnderWay,
    },
    overview::TargetFilter,
    principal::{Action, Resource},
    rollout::{self, Actor, Candidate, Phase, Release, RobotPhase, Rollout},
    target::Target,
};
use edgeflow_store::{FleetOrders, FleetRollout, FleetTold, RobotFilter, Submitted};
use edgeflow_wire::SlotSpec;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Mutex;

use crate::app::{App, AppError};

/// Longest message of a revision, bytes.
const MAX_MESSAGE_BYTES: usize = 4096;
/// More robots than this are given what is declared in the background only.
const LARGE: usize = 1000;
/// Problems that are told at once.
const TOLD: usize = 20;

/// A plan, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FleetPlanView {
    /// The revision that stands, which this is planned against; 0 while nothing is declared.
    pub revision: i64,
    /// SHA-256 of the declaration, 64 hex digits.
    pub digest: String,
    /// Whether a second person must approve before it takes effect.
    pub review: Review,
    /// What differs from the revision that stands.
    pub changes: Vec<FleetChange>,
    /// Which robots change, and how.
    #[serde(flatten)]
    pub plan: FleetPlan,
}

/// What is declared, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FleetView {
    /// The revision that stands; 0 while nothing is declared.
    pub revision: i64,
    /// Whether a second person must approve changes.
    pub review: Review,
    /// What is declared; `null` while nothing is.
    pub spec: Option<FleetSpec>,
    /// The revision that stands, in short.
    pub applied: Option<RevisionHead>,
    /// Revisions that wait for a second person.
    pub proposals: Vec<RevisionHead>,
    /// Members of each group.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The newest rollout of each part that had one.
    pub rollouts: Vec<FleetRolloutView>,
}

/// A rollout of a part of the declaration.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FleetRolloutView {
    /// The part, such as `slots.reader`.
    pub declaration: String,
    /// The rollout's number.
    pub rollout: String,
    /// Where it is.
    pub phase: Phase,
}

/// A declaration as it can be applied again.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FleetExport {
    /// The revision it is of; 0: nothing is declared, and this is what robots are told.
    pub revision: i64,
    /// The declaration.
    pub spec: FleetSpec,
}

/// The declaration that stands, kept at hand as long as it does; and how many robots there were when they were last looked at.
#[derive(Default)]
pub(crate) struct FleetNow(Mutex<HashMap<OrganisationId, Arc<Revision>>>, AtomicUsize);

/// What a declaration does to the robots there are.
struct Prepared {
    resolved: BTreeMap<String, SlotSpec>,
    changes: Changes,
}

impl App {
    /// The declaration that stands; `None` while nothing is declared.
    pub(crate) async fn fleet_now(&self, organisation: &OrganisationId) -> Result<Option<Arc<Revision>>, AppError> {
        let stands = self.stores.fleet.current_revision(organisation).await?;
        if stands == 0 {
            return Ok(None);
        }
        let mut known = self.fleet.0.lock().await;
        if let Some(revision) = known.get(organisation).filter(|revision| revision.head.revision == stands) {
            return Ok(Some(revision.clone()));
        }
        let revision = self.stores.fleet.revision(organisation, stands).await?.map(Arc::new);
        if let Some(revision) = &revision {
            known.insert(organisation.clone(), revision.clone());
        }
        Ok(revision)
    }

    /// Members of each declared group.
    pub(crate) async fn group_members(&self, organisation: &OrganisationId) -> Result<BTreeMap<String, BTreeSet<TargetName>>, AppError> {
        let Some(now) = self.fleet_now(organisation).await? else { return Ok(BTreeMap::new()) };
        let members = self
            .overview(organisation, |robots| fleet::groups(&now.spec, robots.iter().map(|(name, brief)| (name, brief.labels()))))
            .await?;
        Ok(members?)
    }

    /// What is declared, and what waits for a second person.
    pub async fn fleet(&self, principal: &Principal) -> Result<FleetView, AppError> {
        self.permit(principal, Action::ReadFleet, Resource::Organisation).await?;
        let organisation = &principal.organisation;
        let now = self.fleet_now(organisation).await?;
        let recent = self.stores.fleet.revisions(organisation, None, 1000).await?;
        let proposals = recent.into_iter().filter(|head| head.state == RevisionState::Proposed).collect();
        let members = self.group_members(organisation).await?;
        let groups = members.into_iter().map(|(name, members)| (name, members.iter().map(ToString::to_string).collect())).collect();
        Ok(FleetView {
            revision: now.as_ref().map_or(0, |now| now.head.revision),
            review: now.as_ref().map_or(Review::None, |now| now.spec.review()),
            spec: now.as_ref().map(|now| now.spec.clone()),
            applied: now.as_ref().map(|now| now.head.clone()),
            proposals,
            groups,
            rollouts: self.rollouts_of_fleet(organisation).await?.into_iter().map(FleetRolloutView::from).collect(),
        })
    }

    /// The newest rollout of each part that had one.
    async fn rollouts_of_fleet(&self, organisation: &OrganisationId) -> Result<Vec<(String, Rollout)>, AppError> {
        let mut found = Vec::new();
        for (declaration, id) in self.stores.fleet.fleet_rollouts(organisation).await? {
            found.extend(self.stores.rollouts.rollout(organisation, id).await?.map(|rollout| (declaration, rollout)));
        }
        Ok(found)
    }

    /// What applying a declaration would do now.
    pub async fn plan_fleet(&self, principal: &Principal, spec: FleetSpec) -> Result<FleetPlanView, AppError> {
        self.permit(principal, Action::ReadFleet, Resource::Organisation).await?;
        let now = self.fleet_now(&principal.organisation).await?;
        let prepared = self.prepare_fleet(&principal.organisation, &spec, now.as_deref()).await?;
        Ok(FleetPlanView {
            revision: now.as_ref().map_or(0, |now| now.head.revision),
            digest: digest(&spec)?,
            review: review(&spec, now.as_deref()),
            changes: fleet::changes(now.as_ref().map_or(&FleetSpec::default(), |now| &now.spec), &spec),
            plan: prepared.changes.plan,
        })
    }

    /// Makes a declaration stand and tells robots; or, where a second person must approve, proposes it. `based_on` is the revision it was
    /// planned against: when another stands by now, nothing happens.
    pub async fn apply_fleet(
        &self,
        principal: &Principal,
        spec: FleetSpec,
        message: String,
        based_on: i64,
    ) -> Result<RevisionHead, AppError> {
        self.permit(principal, Action::DeclareFleet, Resource::Organisation).await?;
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(AppError::Invalid(format!("the message has more than {MAX_MESSAGE_BYTES} bytes")));
        }
        let organisation = &principal.organisation;
        let _telling = self.telling.read().await;
        let now = self.fleet_now(organisation).await?;
        let stands = now.as_ref().map_or(0, |now| now.head.revision);
        if stands != based_on {
            return Err(AppError::from(edgeflow_store::StoreError::from(edgeflow_core::CoreError::StaleRevision {
                based_on,
                current: stands,
            })));
        }
        let Prepared { resolved, changes } = self.prepare_fleet(organisation, &spec, now.as_deref()).await?;
        let required = review(&spec, now.as_deref()) == Review::Required;
        let new = NewRevision {
            based_on,
            message,
            digest: digest(&spec)?,
            spec,
            resolved,
            plan: changes.plan.clone(),
            created_at_us: self.now_us(),
            created_by: principal.who.to_string(),
        };
        if required {
            let head = self.stores.fleet.propose_revision(organisation, &new).await?;
            self.tell_of_fleet(principal, Action::DeclareFleet, &head).await;
            return Ok(head);
        }
        let orders = self.orders(principal, &changes, new.created_at_us, &new.created_by, &new.message).await?;
        let (head, told) = self.stores.fleet.apply_revision(organisation, &Submitted::New(Box::new(new)), &orders).await?;
        self.told_by_fleet(organisation, told);
        self.tell_of_fleet(principal, Action::DeclareFleet, &head).await;
        Ok(head)
    }

    /// Approves what somebody else proposed: it takes effect over the robots there are now.
    pub async fn approve_fleet(&self, principal: &Principal, revision: i64, reason: String) -> Result<RevisionHead, AppError> {
        self.permit(principal, Action::ReviewFleet, Resource::Organisation).await?;
        let (organisation, by) = (&principal.organisation, principal.who.to_string());
        let _telling = self.telling.read().await;
        let now = self.fleet_now(organisation).await?;
        let proposed = self.find_revision(organisation, revision).await?;
        let stands = now.as_ref().map_or(0, |now| now.head.revision);
        proposed.decidable(&by, stands, true).map_err(edgeflow_store::StoreError::from)?;
        // What was reviewed is what takes effect: aliases stand for what they stood for then.
        self.still_there(organisation, &proposed.resolved).await?;
        let changes = self.plan_over_robots(organisation, &proposed.spec, now.as_deref(), &proposed.resolved).await?;
        let at_us = self.now_us();
        let orders = self.orders(principal, &changes, at_us, &proposed.head.created_by, &proposed.head.message).await?;
        let submitted = Submitted::Proposed { revision, by, reason, at_us };
        let (head, told) = self.stores.fleet.apply_revision(organisation, &submitted, &orders).await?;
        self.told_by_fleet(organisation, told);
        self.tell_of_fleet(principal, Action::ReviewFleet, &head).await;
        Ok(head)
    }

    /// Turns a proposal down.
    pub async fn reject_fleet(&self, principal: &Principal, revision: i64, reason: &str) -> Result<RevisionHead, AppError> {
        self.permit(principal, Action::ReviewFleet, Resource::Organisation).await?;
        let (organisation, by) = (&principal.organisation, principal.who.to_string());
        let head = self.stores.fleet.reject_revision(organisation, revision, &by, reason, self.now_us()).await?;
        self.tell_of_fleet(principal, Action::ReviewFleet, &head).await;
        Ok(head)
    }

    /// Applies an older revision as a new one. Its aliases are read again.
    pub async fn revert_fleet(&self, principal: &Principal, revision: i64, message: String) -> Result<RevisionHead, AppError> {
        self.permit(principal, Action::DeclareFleet, Resource::Organisation).await?;
        let older = self.find_revision(&principal.organisation, revision).await?;
        if !matches!(older.head.state, RevisionState::Applied | RevisionState::Superseded) {
            let state = older.head.state.as_str();
            return Err(AppError::Conflict(format!(
                "revision {revision} of the fleet is {state}: only one that took effect can come back"
            )));
        }
        let stands = self.stores.fleet.current_revision(&principal.organisation).await?;
        let message = if message.is_empty() { format!("back to revision {revision}") } else { message };
        self.apply_fleet(principal, older.spec, message, stands).await
    }

    /// Revisions, newest first.
    pub async fn fleet_revisions(&self, principal: &Principal, after: Option<i64>, limit: u32) -> Result<Page<RevisionHead>, AppError> {
        self.permit(principal, Action::ReadFleet, Resource::Organisation).await?;
        let found = self.stores.fleet.revisions(&principal.organisation, after, limit + 1).await?;
        Ok(Page::cut(found, limit, |head| head.revision.to_string()))
    }

    /// One revision, with what differs from the one it was planned against.
    pub async fn fleet_revision(&self, principal: &Principal, revision: i64) -> Result<RevisionView, AppError> {
        self.permit(principal, Action::ReadFleet, Resource::Organisation).await?;
        let Revision { head, spec, plan, .. } = self.find_revision(&principal.organisation, revision).await?;
        let before =
            self.stores.fleet.revision(&principal.organisation, head.based_on).await?.map(|before| before.spec).unwrap_or_default();
        Ok(RevisionView { changes: fleet::changes(&before, &spec), head, spec, plan })
    }

    /// What is declared now, or, where nothing is, what robots are told.
    pub async fn export_fleet(&self, principal: &Principal) -> Result<FleetExport, AppError> {
        self.permit(principal, Action::ReadFleet, Resource::Organisation).await?;
        if let Some(now) = self.fleet_now(&principal.organisation).await? {
            return Ok(FleetExport { revision: now.head.revision, spec: now.spec.clone() });
        }
        let robots = self.stores.targets.targets(&principal.organisation, None, u32::MAX).await?;
        Ok(FleetExport { revision: 0, spec: fleet::export(&robots) })
    }

    async fn find_revision(&self, organisation: &OrganisationId, revision: i64) -> Result<Revision, AppError> {
        let found = self.stores.fleet.revision(organisation, revision).await?;
        found.ok_or_else(|| AppError::NotFound { what: "revision of the fleet", name: revision.to_string() })
    }

    async fn prepare_fleet(&self, organisation: &OrganisationId, spec: &FleetSpec, now: Option<&Revision>) -> Result<Prepared, AppError> {
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
        let changes = self.plan_over_robots(organisation, spec, now, &resolved).await?;
        Ok(Prepared { resolved, changes })
    }

    /// Refuses when something that a proposal stands for was deleted since.
    async fn still_there(&self, organisation: &OrganisationId, resolved: &BTreeMap<String, SlotSpec>) -> Result<(), AppError> {
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

    async fn plan_over_robots(
        &self,
        organisation: &OrganisationId,
        spec: &FleetSpec,
        now: Option<&Revision>,
        resolved: &BTreeMap<String, SlotSpec>,
    ) -> Result<Changes, AppError> {
        let robots = self.stores.targets.targets(organisation, None, u32::MAX).await?;
        let robots: Vec<RobotNow> = robots.into_iter().map(robot_now).collect();
        let under_way = self.under_way(organisation).await?;
        let planned = fleet::plan(spec, now.map(|now| &now.spec), resolved, &robots, &under_way);
        planned.map_err(|problems| refused(&problems))
    }

    /// Which robots rollouts bring what to, in which slot (empty: their policy).
    async fn under_way(&self, organisation: &OrganisationId) -> Result<BTreeMap<(TargetName, String), UnderWay>, AppError> {
        let mut under_way = BTreeMap::new();
        for open in self.stores.rollouts.open_rollouts().await? {
            if open.organisation != *organisation || open.late {
                continue;
            }
            let Some(rollout) = self.stores.rollouts.rollout(organisation, open.id).await? else { continue };
            if rollout.phase.ended() || rollout.phase == Phase::RollingBack {
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
    async fn orders(&self, principal: &Principal, changes: &Changes, at_us: i64, by: &str, message: &str) -> Result<FleetOrders, AppError> {
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

    /// Tells the doors and watchers of robots that changed.
    fn told_by_fleet(&self, organisation: &OrganisationId, told: FleetTold) {
        for name in &told.changed {
            let robot = App::robot_id(organisation, name);
            // An error means that no door is open for robots; they will read it when one is.
            drop(self.desired.send(robot.clone()));
            self.presence.touch(&robot);
        }
        if told.rollouts.is_empty() {
            return;
        }
        self.presence.note(|changes| changes.rollouts.extend(told.rollouts.iter().map(|rollout| (organisation.clone(), rollout.id))));
        self.wake_rollouts();
    }

    async fn tell_of_fleet(&self, principal: &Principal, action: Action, head: &RevisionHead) {
        let RevisionHead { revision, state, based_on, digest, message, robots, .. } = head;
        let detail = serde_json::json!({
            "state": state, "based_on": based_on, "digest": digest, "message": message, "robots": robots, "reason": head.reason,
        });
        self.record(principal, action, &format!("fleet/{revision}"), detail).await;
        self.hub.send(&principal.organisation, "fleet", head);
    }

    /// Robots of a declared group, as a part of a filter.
    pub async fn of_group(&self, principal: &Principal, filter: TargetFilter, group: Option<String>) -> Result<TargetFilter, AppError> {
        let Some(name) = group else { return Ok(filter) };
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let members = self.group_members(&principal.organisation).await?.remove(&name);
        let among = Some(members.ok_or(AppError::NotFound { what: "group", name })?);
        Ok(TargetFilter { among, ..filter })
    }

    /// Refuses labels that say something else than what is declared.
    pub(crate) async fn refuse_other_labels(
        &self,
        organisation: &OrganisationId,
        name: &TargetName,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), AppError> {
        let Some(now) = self.fleet_now(organisation).await? else { return Ok(()) };
        let declared = now.spec.labels.get(name.as_str()).into_iter().flatten().find(|(key, value)| labels.get(*key) != Some(value));
        let Some((key, value)) = declared else { return Ok(()) };
        let revision = now.head.revision;
        Err(AppError::Conflict(format!("revision {revision} of the fleet declares {key}={value} for {name}: keep it, or declare another")))
    }

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
        let robots = self.stores.targets.targets(organisation, None, u32::MAX).await?;
        self.fleet.1.store(robots.len(), Ordering::Relaxed);
        let robots: Vec<RobotNow> = robots.into_iter().map(robot_now).collect();
        let (waits, barred) = self.parts_on_trial(organisation, now).await?;
        // Robots come as they like: what two parts say of one is told to whoever plans, and is no reason to leave others without.
        let (mut late, torn) = fleet::late(&now.spec, &now.resolved, &robots, due, &barred)?;
        let mut settled = due.clone();
        let mut keep = |declaration: &String, targets: &[TargetName]| {
            let waiting = waits.contains(declaration);
            if waiting {
                settled.retain(|target| !targets.contains(target));
            }
            !waiting
        };
        late.slots.retain(|direct| keep(&direct.declaration, &direct.targets));
        late.policies.retain(|(declaration, _, targets)| keep(declaration, targets));
        if settled.is_empty() && late.slots.is_empty() && late.policies.is_empty() && late.labels.is_empty() {
            return Ok(());
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

impl From<(String, Rollout)> for FleetRolloutView {
    fn from((declaration, rollout): (String, Rollout)) -> Self {
        Self { declaration, rollout: rollout.id.to_string(), phase: rollout.phase }
    }
}

fn robot_now(target: Target) -> RobotNow {
    RobotNow {
        slots: target.desired.slots.iter().map(|(slot, spec)| (slot.clone(), SlotNow::from(spec))).collect(),
        policy: target.desired.policy.map(|policy| policy.document),
        labels: target.labels,
        target: target.id.name,
    }
}

/// Taking the review away is a change that wants one, too.
fn review(spec: &FleetSpec, now: Option<&Revision>) -> Review {
    let required = spec.review() == Review::Required || now.is_some_and(|now| now.spec.review() == Review::Required);
    if required { Review::Required } else { Review::None }
}

fn digest(spec: &FleetSpec) -> Result<String, AppError> {
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
fn orders(changes: &Changes, at_us: i64, by: &str) -> Result<FleetOrders, AppError> {
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
    })
}
