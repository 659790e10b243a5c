//! Robots and what they shall be.

use async_trait::async_trait;
use edgeflow_core::{OrganisationId, SlotName, TargetName, reconciliation::Settled, target::Target};
use edgeflow_wire::Hold;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::StoreError;

/// Robots and what they shall be. A revoked robot is gone from every answer.
#[async_trait]
pub trait TargetStore: Send + Sync {
    /// Enrols a robot. `Taken` when the name is in use, in whichever organisation. A name that was revoked can be
    /// enrolled again by its organisation; its desired state then continues, since a generation never comes twice.
    async fn create_target(&self, target: &Target) -> Result<(), StoreError>;

    /// One robot of an organisation.
    async fn target(&self, organisation: &OrganisationId, name: &TargetName) -> Result<Option<Target>, StoreError>;

    /// The robot of that name, whosever it is: for proving identities, nothing else.
    async fn target_anywhere(&self, name: &TargetName) -> Result<Option<Target>, StoreError>;

    /// Robots by name, beyond `after`.
    async fn targets(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Target>, StoreError>;

    /// Those of these robots that there are, by name.
    async fn targets_named(&self, organisation: &OrganisationId, names: &[TargetName]) -> Result<Vec<Target>, StoreError>;

    /// Puts labels in the place of a robot's and answers with the robot as it is then. `Missing` when there is no such robot.
    async fn set_labels(
        &self,
        organisation: &OrganisationId,
        name: &TargetName,
        labels: &BTreeMap<String, String>,
    ) -> Result<Target, StoreError>;

    /// Every robot of an organisation with its labels, by name.
    async fn labelled_targets(&self, organisation: &OrganisationId) -> Result<Vec<(TargetName, BTreeMap<String, String>)>, StoreError>;

    /// Declares what a robot reports of its topics and answers with the robot as it is then, and whether that changed
    /// anything. `Missing` when there is no such robot, `Refused` when it is no policy, `Held` when a rollout holds its policy.
    async fn set_policy(&self, organisation: &OrganisationId, name: &TargetName, policy: &Value) -> Result<(Target, bool), StoreError>;

    /// Holds a robot (or no longer: `None`) and answers with the robot as it is then, and whether that changed anything. `Missing`
    /// when there is no such robot.
    async fn set_hold(&self, organisation: &OrganisationId, name: &TargetName, hold: Option<&Hold>) -> Result<(Target, bool), StoreError>;

    /// Declares nothing for a slot any more and answers with the robot as it is then, and whether that changed anything. The
    /// deployment that stood for the slot is superseded. `Missing` when there is no such robot, `Held` when a rollout holds the slot.
    async fn undeclare(&self, organisation: &OrganisationId, name: &TargetName, slot: &SlotName) -> Result<(Target, bool), StoreError>;

    /// Makes decisions about slots that were changed on the robot, all in one generation, and answers with the robot as it is then.
    /// Deployments that stood for a slot in which something else is declared now are superseded. `Missing` when there is no such robot.
    async fn settle(&self, organisation: &OrganisationId, name: &TargetName, settled: &[Settled]) -> Result<Target, StoreError>;

    /// Takes a robot's identity away: token, certificates and bootstrap tokens. Whether there was one.
    async fn revoke_target(&self, organisation: &OrganisationId, name: &TargetName, at_us: i64) -> Result<bool, StoreError>;

    /// SHA-256 (64 hex digits) of every file that some robot is told to have, of all organisations: their bytes must stay.
    async fn desired_files(&self) -> Result<BTreeSet<String>, StoreError>;

    /// Robots that are told to have that version of that model, or may be by a rollout that has not ended, by name, at most `limit`.
    async fn targets_told(
        &self,
        organisation: &OrganisationId,
        model: &str,
        version: &str,
        limit: u32,
    ) -> Result<Vec<TargetName>, StoreError>;
}
