//! Rollouts, their robots and their history.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    event::RolloutHappened,
    rollout::{Counts, HistoryEntry, RobotPhase, RobotProgress, Rollout, Step},
};
use std::collections::BTreeMap;

use crate::StoreError;

/// Which rollouts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutFilter {
    /// Those that have ended, or have not.
    pub active: Option<bool>,
    /// Those that have this robot.
    pub target: Option<TargetName>,
    /// Older than this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Which robots of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RobotFilter {
    /// Of this stage.
    pub stage: Option<usize>,
    /// In this phase.
    pub phase: Option<RobotPhase>,
    /// Of which anything changed then or later, microseconds since the Unix epoch.
    pub since_us: Option<i64>,
    /// Beyond this name.
    pub after: Option<String>,
    /// At most so many; all when not said.
    pub limit: Option<u32>,
}

/// A rollout that something may still happen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRollout {
    /// Whose.
    pub organisation: OrganisationId,
    /// Its number.
    pub id: i64,
    /// Count of its changes.
    pub revision: u64,
    /// It has ended; robots that were told while they were offline have not answered yet.
    pub late: bool,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// All of it happened. Robots that changed, as they are now, and those whose desired state did.
    Done {
        /// The rollout as it is now.
        rollout: Box<Rollout>,
        /// Its robots that changed.
        robots: Vec<RobotProgress>,
        /// Those with a new desired state.
        told: Vec<TargetName>,
        /// Places of the history it wrote, in that order.
        lines: Vec<i64>,
    },
    /// Nothing happened: somebody else changed the rollout since it was read.
    Stale,
    /// Nothing happened: robots it would hold are held by this rollout.
    Taken(i64),
}

/// Rollouts. One that is neither queued nor ended *holds* its robots (but those it skipped) in its slot: at any time a robot's slot is held
/// by one at most, and nobody else declares anything there.
#[async_trait]
pub trait RolloutStore: Send + Sync {
    /// Puts a rollout on record with its robots and how it begins, and answers with it as it is numbered. `Held` when it is not to wait
    /// for others and one that has not ended has some of its robots in its slot; `Missing` names a robot there is not.
    async fn create_rollout(
        &self,
        organisation: &OrganisationId,
        new: &Rollout,
        robots: &[RobotProgress],
        history: &[HistoryEntry],
    ) -> Result<Rollout, StoreError>;

    /// One rollout.
    async fn rollout(&self, organisation: &OrganisationId, id: i64) -> Result<Option<Rollout>, StoreError>;

    /// Rollouts, newest first.
    async fn rollouts(&self, organisation: &OrganisationId, filter: &RolloutFilter) -> Result<Vec<Rollout>, StoreError>;

    /// How many robots of each stage of these rollouts are in which phase.
    async fn rollout_counts(&self, ids: &[i64]) -> Result<BTreeMap<i64, Counts>, StoreError>;

    /// Robots of a rollout by name.
    async fn rollout_robots(&self, id: i64, filter: &RobotFilter) -> Result<Vec<RobotProgress>, StoreError>;

    /// The newest that happened to a rollout, oldest first.
    async fn rollout_history(&self, id: i64, limit: u32) -> Result<Vec<HistoryEntry>, StoreError>;

    /// What happened to rollouts that makes a line for people, from then to before then (microseconds since the Unix epoch), newest first.
    async fn rollout_events(
        &self,
        organisation: &OrganisationId,
        from_us: i64,
        before_us: i64,
        limit: u32,
    ) -> Result<Vec<RolloutHappened>, StoreError>;

    /// Rollouts of all organisations that something may still happen to, by number.
    async fn open_rollouts(&self) -> Result<Vec<OpenRollout>, StoreError>;

    /// How many rollouts there are in each phase, as it is written.
    async fn rollout_phases(&self) -> Result<BTreeMap<String, u64>, StoreError>;

    /// Which of these robots are held in that slot (empty: their policy), and by which rollout.
    async fn rollout_holders(
        &self,
        organisation: &OrganisationId,
        slot: &str,
        targets: &[TargetName],
    ) -> Result<Vec<(TargetName, i64)>, StoreError>;

    /// For which rollout a queued one waits: the first that holds some of its robots, or is queued before it for some of them.
    async fn rollout_taken_by(&self, organisation: &OrganisationId, id: i64) -> Result<Option<i64>, StoreError>;

    /// Makes a step, all or nothing: the rollout (whose revision becomes `revision + 1`), its robots that changed, what they are told, and
    /// the history.
    ///
    /// Of robots that are told it fills in `told`; of those that are told the release for the first time, or anew, also `before` and
    /// `before_policy`. One that is gone is not told and skipped; so is one for which something else was declared since: it stays.
    async fn apply_step(&self, organisation: &OrganisationId, step: &Step, revision: u64, at_us: i64) -> Result<Applied, StoreError>;
}
