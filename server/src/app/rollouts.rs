//! Rollouts: made, shown, and what operators do to them. What happens by itself is in `rollout_rounds`.

use edgeflow_core::{
    ModelName, OrganisationId, Page, Principal, TargetName, policy,
    principal::{Action, Resource},
    reconciliation,
    rollout::{
        self, Act, Candidate, Counts, HistoryEntry, NewRollout, Release, ReleaseKind, ReleaseRef, RobotCell, RobotProgress, Rollout,
        RolloutSpec, RolloutSummary, RolloutView,
    },
    target::{Attested, Target},
};
use edgeflow_store::{RobotFilter, RolloutFilter};
use edgeflow_wire::SlotKind;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::app::{App, AppError, rollout_rounds::what};

/// Most lines of a rollout's history that are shown, the newest.
const HISTORY: u32 = 1000;
/// Robots of a plan that are read at once.
const CHUNK: usize = 1000;
/// Most bytes of what somebody says of an act.
const MAX_REASON_BYTES: usize = 4096;
/// How often an act is tried anew when another server changed the rollout meanwhile.
const TRIES: usize = 5;

/// What a rollout would bring, in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PlannedRelease {
    /// What it is.
    pub kind: ReleaseKind,
    /// Registered name; empty of a policy.
    pub name: String,
    /// Version; empty of a policy.
    pub version: String,
    /// Bundle digest; empty of a policy.
    pub digest: String,
}

/// One robot of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PlannedRobot {
    /// Its name.
    pub target: String,
    /// What its slot serves now, `name/version`; of a policy the version that is declared. Empty: nothing.
    pub serves: String,
    /// Its label `site`; empty without one.
    pub site: String,
    /// Whether it has an open session.
    pub online: bool,
    /// Why it would fail without being told, as far as it has said what it can have; empty: it would not.
    pub lacks: String,
}

/// One stage of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PlannedStage {
    /// Its name.
    pub name: String,
    /// Its robots, by name.
    pub robots: Vec<PlannedRobot>,
    /// Soak time, seconds.
    pub soak_s: u64,
    /// Somebody must approve before it begins.
    pub approval: bool,
    /// Names of what must hold at its end.
    pub gates: Vec<String>,
}

/// A robot that the selector took and no stage does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// Its name.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// A robot that another rollout has in this slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TakenRobot {
    /// Its name.
    pub target: String,
    /// Number of the rollout.
    pub rollout: String,
}

/// What a rollout would do, robot by robot. Nothing of it was done.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RolloutPlan {
    /// What robots would be told.
    pub release: PlannedRelease,
    /// In which order.
    pub stages: Vec<PlannedStage>,
    /// Robots that were selected and are in no stage.
    pub left_out: Vec<LeftOut>,
    /// Robots that another rollout has in this slot: this one would be refused, or wait, as its `when_taken` says.
    pub taken: Vec<TakenRobot>,
}

/// A rollout that was checked and planned, and not yet made.
pub(crate) struct Prepared {
    pub(crate) rollout: Rollout,
    pub(crate) robots: Vec<RobotProgress>,
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) left_out: Vec<(TargetName, String)>,
}

/// Which rollouts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutsQuery {
    /// Those that have ended, or have not.
    pub active: Option<bool>,
    /// Those that have this robot.
    pub target: Option<TargetName>,
    /// Beyond this one.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl App {
    /// Makes a rollout: from now on it goes on by itself.
    pub async fn create_rollout(&self, principal: &Principal, spec: RolloutSpec) -> Result<RolloutView, AppError> {
        self.permit(principal, Action::Rollout, Resource::Organisation).await?;
        let organisation = &principal.organisation;
        // Until it is on record that robots may be told, nobody deletes what they would be told.
        let _telling = self.telling.read().await;
        let prepared = self.prepare_rollout(principal, spec, &self.candidates(organisation).await?).await?;
        let Prepared { rollout, robots, history, .. } = prepared;
        let made = self.stores.rollouts.create_rollout(organisation, &rollout, &robots, &history).await?;
        let detail =
            serde_json::json!({ "what": what(&made), "slot": made.spec.slot, "robots": robots.len(), "stages": made.stages.len() });
        self.record(principal, Action::Rollout, &format!("rollout/{}", made.id), detail).await;
        self.presence.note(|changes| {
            changes.rollouts.insert((organisation.clone(), made.id));
        });
        self.wake_rollouts();
        self.rollout_view(&made).await
    }

    /// What it would do, robot by robot.
    pub async fn plan_rollout(&self, principal: &Principal, spec: RolloutSpec) -> Result<RolloutPlan, AppError> {
        self.permit(principal, Action::ReadRollout, Resource::Organisation).await?;
        let organisation = &principal.organisation;
        let Prepared { rollout, robots, left_out, .. } =
            self.prepare_rollout(principal, spec, &self.candidates(organisation).await?).await?;
        let slot = match &rollout.release {
            Release::Slot { .. } => rollout.spec.slot.as_str(),
            Release::Policy { .. } => "",
        };
        let kind = match &rollout.release {
            Release::Slot { spec } => spec.kind,
            Release::Policy { .. } => SlotKind::Model,
        };
        // Models are for every robot.
        let kinds: &[&str] = if kind.is_model() { &[] } else { &["state"] };
        let mut stages: Vec<PlannedStage> = rollout
            .stages
            .iter()
            .map(|stage| PlannedStage {
                name: stage.name.clone(),
                robots: Vec::with_capacity(stage.robots),
                soak_s: stage.soak_s,
                approval: stage.approval,
                gates: stage.gates.iter().map(|gate| gate.name.clone()).collect(),
            })
            .collect();
        let nothing = Attested::default();
        for robots in robots.chunks(CHUNK) {
            let names: Vec<TargetName> = robots.iter().map(|robot| robot.target.clone()).collect();
            let targets = self.stores.targets.targets_named(organisation, &names).await?;
            let targets: BTreeMap<&TargetName, &Target> = targets.iter().map(|target| (&target.id.name, target)).collect();
            let attested = self.stores.entries.attested_of(organisation, &names, kinds).await?;
            for robot in robots {
                let (Some(target), Some(stage)) = (targets.get(&robot.target), stages.get_mut(robot.stage)) else { continue };
                let online = self.presence.is_online(&target.id);
                let attested = attested.get(&robot.target).unwrap_or(&nothing);
                let lacks = reconciliation::lacks(kind, slot, attested).unwrap_or_default();
                stage.robots.push(PlannedRobot { lacks, ..planned(target, attested, slot, online) });
            }
        }
        let names: Vec<TargetName> = robots.iter().map(|robot| robot.target.clone()).collect();
        let holders = self.stores.rollouts.rollout_holders(organisation, slot, &names).await?;
        let (name, version, digest) = match &rollout.release {
            Release::Slot { spec } => (spec.model.clone(), spec.version.clone(), spec.digest.clone()),
            Release::Policy { .. } => Default::default(),
        };
        Ok(RolloutPlan {
            release: PlannedRelease { kind: rollout.spec.release.kind, name, version, digest },
            stages,
            left_out: left_out.into_iter().map(|(target, reason)| LeftOut { target: target.to_string(), reason }).collect(),
            taken: holders.into_iter().map(|(target, by)| TakenRobot { target: target.to_string(), rollout: by.to_string() }).collect(),
        })
    }

    /// Checks a rollout, reads what it brings and shares its robots out. Nothing is written.
    pub(crate) async fn prepare_rollout(
        &self,
        principal: &Principal,
        spec: RolloutSpec,
        fleet: &[Candidate],
    ) -> Result<Prepared, AppError> {
        rollout::check(&spec)?;
        for gate in spec.gates.iter().chain(spec.strategy.stages.iter().flat_map(|stage| stage.gates.iter().flatten())) {
            rollout::gate::check(gate)?;
        }
        let mut spec = spec;
        let release = self.resolve_release(&principal.organisation, &spec.release).await?;
        if let Release::Slot { spec: slot } = &release {
            (spec.release.version, spec.release.alias) = (Some(slot.version.clone()), None);
        }
        let plan = rollout::plan(&spec, fleet)?;
        let left_out = plan.left_out.clone();
        let new = NewRollout { spec, release, plan, created_at_us: self.now_us(), created_by: principal.who.to_string() };
        let (rollout, robots, history) = rollout::create(new);
        Ok(Prepared { rollout, robots, history, left_out })
    }

    /// What a release is, by its name and version or alias; an error says what there is not, or that it is of another kind.
    pub(crate) async fn resolve_release(&self, organisation: &OrganisationId, release: &ReleaseRef) -> Result<Release, AppError> {
        if let (ReleaseKind::Policy, Some(document)) = (release.kind, &release.policy) {
            policy::check(document)?;
            return Ok(Release::Policy { document: document.clone() });
        }
        let invalid = |reason: &str| AppError::Invalid(format!("bad rollout: release: {reason}"));
        let name: ModelName = release.name.as_deref().ok_or_else(|| invalid("say its name"))?.parse()?;
        let version = match (&release.version, &release.alias) {
            (Some(version), None) => version.clone(),
            (None, Some(alias)) => format!("@{alias}"),
            _ => return Err(invalid("say either its version or an alias")),
        };
        let spec = self.find_version(organisation, &name, &version).await?.slot_spec()?;
        let kind = serde_json::to_value(release.kind).map_err(AppError::artifact("reading a release"))?;
        if kind != spec.kind.as_str() {
            return Err(invalid(&format!("{name} {} is a {}, not a {}", spec.version, spec.kind, kind.as_str().unwrap_or_default())));
        }
        Ok(Release::Slot { spec })
    }

    /// Lets rollouts be looked at now.
    pub(crate) fn wake_rollouts(&self) {
        self.presence.wake();
    }

    /// Waits until rollouts have something to look at.
    pub async fn rollouts_woken(&self) {
        self.presence.woken().await;
    }

    /// One rollout.
    pub async fn rollout(&self, principal: &Principal, id: &str) -> Result<RolloutView, AppError> {
        self.permit(principal, Action::ReadRollout, Resource::Organisation).await?;
        let found = self.find_rollout(&principal.organisation, id).await?;
        self.rollout_view(&found).await
    }

    /// Rollouts, newest first.
    pub async fn rollouts(&self, principal: &Principal, query: RolloutsQuery) -> Result<Page<RolloutSummary>, AppError> {
        self.permit(principal, Action::ReadRollout, Resource::Organisation).await?;
        let RolloutsQuery { active, target, after, limit } = query;
        let filter = RolloutFilter { active, target, before: after, limit: limit + 1 };
        let found = self.stores.rollouts.rollouts(&principal.organisation, &filter).await?;
        let page = Page::cut(found, limit, |rollout| rollout.id.to_string());
        let ids: Vec<i64> = page.items.iter().map(|rollout| rollout.id).collect();
        let counts = self.stores.rollouts.rollout_counts(&ids).await?;
        Ok(page.map(|rollout| rollout::summary(&rollout, counts.get(&rollout.id).map(Counts::by_phase).unwrap_or_default())))
    }

    /// Robots of a rollout, by name.
    pub async fn rollout_robots(
        &self,
        principal: &Principal,
        id: &str,
        filter: RobotFilter,
        limit: u32,
    ) -> Result<Page<RobotCell>, AppError> {
        self.permit(principal, Action::ReadRollout, Resource::Organisation).await?;
        let rollout = self.find_rollout(&principal.organisation, id).await?;
        let filter = RobotFilter { limit: Some(limit + 1), ..filter };
        let robots = self.stores.rollouts.rollout_robots(rollout.id, &filter).await?;
        Ok(Page::cut(robots, limit, |robot| robot.target.to_string()).map(|robot| RobotCell::from(&robot)))
    }

    /// What an operator does to a rollout. A conflict says what is possible instead.
    pub async fn act_on_rollout(&self, principal: &Principal, id: &str, act: Act, reason: &str) -> Result<RolloutView, AppError> {
        let action = if act == Act::Approve { Action::ApproveRollout } else { Action::Rollout };
        self.permit(principal, action, Resource::Organisation).await?;
        if reason.len() > MAX_REASON_BYTES {
            return Err(AppError::Invalid(format!("a reason has at most {MAX_REASON_BYTES} bytes")));
        }
        let organisation = &principal.organisation;
        let number = self.find_rollout(organisation, id).await?.id;
        let mut following = self.following.lock().await;
        // What is at hand of a rollout that has ended is not all of it.
        if following.get(&number).is_some_and(|followed| followed.rollout.phase.ended()) {
            following.remove(&number);
        }
        for _ in 0..TRIES {
            let followed = self.followed(&mut following, organisation, number, None).await?;
            let followed = followed.ok_or_else(|| AppError::NotFound { what: "rollout", name: id.to_owned() })?;
            let (rollout, who) = (&followed.rollout, principal.who.to_string());
            let needs = rollout::needs_of(rollout, act);
            let rows: Vec<RobotProgress> =
                followed.robots.iter().filter(|robot| needs.iter().any(|need| need.takes(robot))).cloned().collect();
            let step = rollout::act(rollout, &Counts::of(&followed.robots), &rows, act, &who, reason, self.now_us());
            let step = step.map_err(|refusal| AppError::Conflict(refusal.to_string()))?;
            if self.apply(followed, step).await? {
                let rollout = followed.rollout.clone();
                drop(following);
                self.wake_rollouts();
                // It is done, and on record, also when it cannot be shown.
                let stage = rollout.stages.get(rollout.stage).map(|stage| stage.name.as_str()).unwrap_or_default();
                let detail = serde_json::json!({ "act": act.as_str(), "reason": reason, "stage": stage });
                self.record(principal, action, &format!("rollout/{number}"), detail).await;
                return self.rollout_view(&rollout).await;
            }
            following.remove(&number);
        }
        Err(AppError::Conflict(format!("rollout {number} changes all the time: try again")))
    }

    pub(crate) async fn find_rollout(&self, organisation: &OrganisationId, id: &str) -> Result<Rollout, AppError> {
        let missing = || AppError::NotFound { what: "rollout", name: id.to_owned() };
        let number: i64 = id.parse().map_err(|_| missing())?;
        self.stores.rollouts.rollout(organisation, number).await?.ok_or_else(missing)
    }

    async fn rollout_view(&self, rollout: &Rollout) -> Result<RolloutView, AppError> {
        let counts = self.stores.rollouts.rollout_counts(&[rollout.id]).await?.remove(&rollout.id).unwrap_or_default();
        let history = self.stores.rollouts.rollout_history(rollout.id, HISTORY).await?;
        Ok(rollout::view(rollout, &counts, history))
    }

    /// A rollout in short, for the stream.
    pub(crate) async fn rollout_summary(&self, organisation: &OrganisationId, id: i64) -> Result<Option<RolloutSummary>, AppError> {
        let Some(rollout) = self.stores.rollouts.rollout(organisation, id).await? else { return Ok(None) };
        let counts = self.stores.rollouts.rollout_counts(&[id]).await?.remove(&id).unwrap_or_default();
        Ok(Some(rollout::summary(&rollout, counts.by_phase())))
    }
}

fn planned(target: &Target, attested: &Attested, slot: &str, online: bool) -> PlannedRobot {
    let serves = if slot.is_empty() {
        target.desired.policy.as_ref().map(|policy| format!("policy {}", policy.version))
    } else {
        let now = attested.slots.get(slot).map(|now| &now.state).filter(|now| !now.digest.is_empty());
        now.map(|now| format!("{}/{}", now.model, now.version))
    };
    PlannedRobot {
        target: target.id.name.to_string(),
        serves: serves.unwrap_or_default(),
        site: target.labels.get("site").cloned().unwrap_or_default(),
        online,
        lacks: String::new(),
    }
}
