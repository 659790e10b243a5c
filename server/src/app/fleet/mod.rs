//! The fleet as code: planned, applied as a revision, reviewed by a second person, taken back by applying an older revision as a new one.

mod converge;
mod planning;

use edgeflow_core::{
    OrganisationId, Page, Principal, RobotId, TargetName,
    deployment::Deployment,
    fleet::{self, FleetChange, FleetPlan, FleetSpec, NewRevision, Review, Revision, RevisionHead, RevisionState, RevisionView},
    overview::TargetFilter,
    principal::{Action, Resource},
    rollout::{Phase, Rollout},
};
use edgeflow_store::{FleetTold, Submitted};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::AtomicUsize},
};
use tokio::sync::Mutex;

use crate::app::{App, AppError};
use planning::{Prepared, digest, review};

/// Longest message of a revision, bytes.
const MAX_MESSAGE_BYTES: usize = 4096;
/// How often a declaration is planned anew when robots were labelled or revoked meanwhile.
const TRIES: usize = 5;

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
        for _ in 0..TRIES {
            let now = self.fleet_now(organisation).await?;
            let stands = now.as_ref().map_or(0, |now| now.head.revision);
            if stands != based_on {
                return Err(AppError::from(edgeflow_store::StoreError::from(edgeflow_core::CoreError::StaleRevision {
                    based_on,
                    current: stands,
                })));
            }
            let Prepared { resolved, changes, over } = self.prepare_fleet(organisation, &spec, now.as_deref()).await?;
            let required = review(&spec, now.as_deref()) == Review::Required;
            let new = NewRevision {
                based_on,
                message: message.clone(),
                digest: digest(&spec)?,
                spec: spec.clone(),
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
            let mut orders = self.orders(principal, &changes, new.created_at_us, &new.created_by, &new.message).await?;
            orders.over = Some(over);
            let applied = self.stores.fleet.apply_revision(organisation, &Submitted::New(Box::new(new)), &orders).await?;
            if let Some((head, told)) = applied {
                self.told_by_fleet(organisation, told);
                self.tell_of_fleet(principal, Action::DeclareFleet, &head).await;
                return Ok(head);
            }
        }
        Err(restless())
    }

    /// Approves what somebody else proposed: it takes effect over the robots there are now.
    pub async fn approve_fleet(&self, principal: &Principal, revision: i64, reason: String) -> Result<RevisionHead, AppError> {
        self.permit(principal, Action::ReviewFleet, Resource::Organisation).await?;
        let (organisation, by) = (&principal.organisation, principal.who.to_string());
        let _telling = self.telling.read().await;
        for _ in 0..TRIES {
            let now = self.fleet_now(organisation).await?;
            let proposed = self.find_revision(organisation, revision).await?;
            let stands = now.as_ref().map_or(0, |now| now.head.revision);
            proposed.decidable(&by, stands, true).map_err(edgeflow_store::StoreError::from)?;
            // What was reviewed is what takes effect: aliases stand for what they stood for then.
            self.still_there(organisation, &proposed.resolved).await?;
            let (changes, over) = self.plan_over_robots(organisation, &proposed.spec, now.as_deref(), &proposed.resolved).await?;
            let at_us = self.now_us();
            let mut orders = self.orders(principal, &changes, at_us, &proposed.head.created_by, &proposed.head.message).await?;
            orders.over = Some(over);
            let submitted = Submitted::Proposed { revision, by: by.clone(), reason: reason.clone(), at_us };
            if let Some((head, told)) = self.stores.fleet.apply_revision(organisation, &submitted, &orders).await? {
                self.told_by_fleet(organisation, told);
                self.tell_of_fleet(principal, Action::ReviewFleet, &head).await;
                return Ok(head);
            }
        }
        Err(restless())
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

    /// Tells the doors and watchers of robots that changed.
    fn told_by_fleet(&self, organisation: &OrganisationId, told: FleetTold) {
        for name in &told.changed {
            let robot = App::robot_id(organisation, name);
            // An error means that no door is open for robots; they will read it when one is.
            drop(self.desired.send(robot.clone()));
            self.presence.touch(&robot);
        }
        let asked = |deployment: &Deployment| -> Vec<RobotId> {
            deployment.asked.iter().map(|asked| App::robot_id(organisation, &asked.target)).collect()
        };
        self.presence.note(|changes| changes.deployments.extend(told.deployments.iter().flat_map(asked)));
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
}

fn restless() -> AppError {
    AppError::Conflict("robots are labelled or revoked all the time: try again".to_owned())
}

impl From<(String, Rollout)> for FleetRolloutView {
    fn from((declaration, rollout): (String, Rollout)) -> Self {
        Self { declaration, rollout: rollout.id.to_string(), phase: rollout.phase }
    }
}
