//! Robots' logs, and what follows from them.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    deployment::{Attestation, Deployment},
    entry::{ClassAccount, EntryFilter, LossView, StoredEntry},
    target::Attested,
};
use edgeflow_wire::{Ack, AckOutcome, Batch, Hello};
use std::collections::BTreeMap;

use crate::StoreError;

/// How a hello or a batch was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingested {
    /// How.
    pub outcome: AckOutcome,
    /// Positions: all classes after a hello, the batch's class after a batch.
    pub next: Vec<Ack>,
    /// Entries that are new.
    pub stored: Vec<StoredEntry>,
    /// How many entries were recorded as lost.
    pub lost: u64,
}

/// Robots' logs. Entries, positions, losses and all that is derived from entries (newest of each kind, slots,
/// intervals, attestations, samples) change in one transaction, so a crash leaves either all of a batch or nothing.
#[async_trait]
pub trait EntryStore: Send + Sync {
    /// Takes a robot's first word on a connection: `edgeflow_core::ingestion`, rule 5.
    async fn ingest_hello(&self, robot: &RobotId, hello: &Hello, received_us: i64) -> Result<Ingested, StoreError>;

    /// Takes a batch: `edgeflow_core::ingestion`, rules 1 to 4.
    async fn ingest_batch(&self, robot: &RobotId, batch: &Batch, received_us: i64) -> Result<Ingested, StoreError>;

    /// Notes that the robot was heard of.
    async fn touch(&self, robot: &RobotId, at_us: i64) -> Result<(), StoreError>;

    /// Counts a document that was refused before it could be applied.
    async fn count_refused(&self, robot: &RobotId) -> Result<(), StoreError>;

    /// Entries in the order of arrival.
    async fn entries(&self, organisation: &OrganisationId, filter: &EntryFilter) -> Result<Vec<StoredEntry>, StoreError>;

    /// The account of a robot's log, counted from the rows, and how many documents were refused.
    async fn account(&self, robot: &RobotId) -> Result<(Vec<ClassAccount>, u64), StoreError>;

    /// Ranges of a robot's log that are on record as lost, the newest record first, at most `limit`.
    async fn losses(&self, robot: &RobotId, limit: u32) -> Result<Vec<LossView>, StoreError>;

    /// What these robots attested. One that was never heard of is not in the answer.
    async fn attested(&self, organisation: &OrganisationId, targets: &[TargetName]) -> Result<BTreeMap<TargetName, Attested>, StoreError>;

    /// The same, of newest entries only those of these kinds.
    async fn attested_of(
        &self,
        organisation: &OrganisationId,
        targets: &[TargetName],
        kinds: &[&str],
    ) -> Result<BTreeMap<TargetName, Attested>, StoreError>;

    /// The last step of each robot of each of these deployments that may answer it, in the order in which they arrived.
    async fn attestations(&self, organisation: &OrganisationId, deployments: &[Deployment]) -> Result<Vec<Attestation>, StoreError>;
}
