//! What the fleet was declared to be, revision by revision, and robots that are yet to be given it.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    deployment::{Deployment, NewDeployment},
    fleet::{NewRevision, Revision, RevisionHead},
    rollout::{HistoryEntry, RobotProgress, Rollout},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::StoreError;

/// A rollout that begins with a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetRollout {
    /// The part of the declaration it is for, such as `slots.reader`.
    pub declaration: String,
    /// The rollout, not numbered yet.
    pub rollout: Rollout,
    /// Its robots.
    pub robots: Vec<RobotProgress>,
    /// How it begins.
    pub history: Vec<HistoryEntry>,
}

/// What robots are told when a revision takes effect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetOrders {
    /// All labels of the robots whose labels change.
    pub labels: BTreeMap<TargetName, BTreeMap<String, String>>,
    /// What robots are told at once to have in a slot.
    pub slots: Vec<NewDeployment>,
    /// What robots are told at once to report.
    pub policies: Vec<(Value, Vec<TargetName>)>,
    /// Rollouts that begin.
    pub rollouts: Vec<FleetRollout>,
    /// Robots that were looked at, with the labels they had then: where one has others by now, nothing happens. `None`: all there are,
    /// whatever they have.
    pub over: Option<BTreeMap<TargetName, BTreeMap<String, String>>>,
}

/// A robot that was enrolled or labelled, and was not given all of what is declared yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTarget {
    /// Which robot.
    pub robot: RobotId,
    /// Parts of the declaration that it waits for: the others it was given. `None`: it was given none.
    pub waits_for: Option<BTreeSet<String>>,
}

/// Which revision takes effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// A new one.
    New(Box<NewRevision>),
    /// One that was proposed, and is approved.
    Proposed {
        /// Its number.
        revision: i64,
        /// Who approves.
        by: String,
        /// What they say.
        reason: String,
        /// When, microseconds since the Unix epoch.
        at_us: i64,
    },
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetTold {
    /// Deployments that were made.
    pub deployments: Vec<Deployment>,
    /// Robots with another desired state, or other labels.
    pub changed: Vec<TargetName>,
    /// Rollouts that began.
    pub rollouts: Vec<Rollout>,
}

/// Declarations of fleets.
#[async_trait]
pub trait FleetStore: Send + Sync {
    /// Revisions, newest first, older than `before`.
    async fn revisions(&self, organisation: &OrganisationId, before: Option<i64>, limit: u32) -> Result<Vec<RevisionHead>, StoreError>;

    /// One revision.
    async fn revision(&self, organisation: &OrganisationId, revision: i64) -> Result<Option<Revision>, StoreError>;

    /// Number of the revision that stands; 0 while nothing was declared.
    async fn current_revision(&self, organisation: &OrganisationId) -> Result<i64, StoreError>;

    /// Puts a revision on record that waits for a second person. Refused when the one it is based on stands no more.
    async fn propose_revision(&self, organisation: &OrganisationId, new: &NewRevision) -> Result<RevisionHead, StoreError>;

    /// Makes a revision stand, tells robots and begins rollouts, all or nothing. Refused when the one it is based on stands no more, or
    /// when whoever approves may not; `Missing` names a robot there is not, `Held` one that a rollout holds in a slot that would change.
    /// Robots that the orders are over are not due afterwards, others are. `None` when one of them is gone or has other labels: nothing
    /// happened, and it is to be planned again.
    async fn apply_revision(
        &self,
        organisation: &OrganisationId,
        revision: &Submitted,
        orders: &FleetOrders,
    ) -> Result<Option<(RevisionHead, FleetTold)>, StoreError>;

    /// Turns a proposal down.
    async fn reject_revision(
        &self,
        organisation: &OrganisationId,
        revision: i64,
        by: &str,
        reason: &str,
        at_us: i64,
    ) -> Result<RevisionHead, StoreError>;

    /// The newest rollout that began for each part of a declaration: its path, and the rollout.
    async fn fleet_rollouts(&self, organisation: &OrganisationId) -> Result<Vec<(String, i64)>, StoreError>;

    /// Robots of all organisations that declare something, that were enrolled or labelled and not yet given it, at most `limit`.
    async fn due_targets(&self, limit: u32) -> Result<Vec<DueTarget>, StoreError>;

    /// Gives robots what `revision` declares for them. Those in `waiting` stay due for these parts of it, those in `settled` are due no
    /// more. `None` when another revision stands, or robots that the orders are over have other labels: nothing happened.
    async fn settle_targets(
        &self,
        organisation: &OrganisationId,
        revision: i64,
        settled: &[TargetName],
        waiting: &BTreeMap<TargetName, BTreeSet<String>>,
        orders: &FleetOrders,
    ) -> Result<Option<FleetTold>, StoreError>;
}
