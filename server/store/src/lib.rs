//! What the control plane asks of a database: one trait per resource, and the suite every adapter must pass.
//!
//! An adapter may keep resources in different files or databases, so **no transaction spans two traits**. Each method is
//! atomic and durable by itself: when it returns `Ok`, a crash forgets nothing of it; when it returns `Err`, nothing of
//! it happened. What must agree across traits is derived when it is read (a deployment's progress is computed from
//! attestations, never written beside them).

mod artifact;
mod capture;
mod command;
pub mod conformance;
mod deployment;
mod entry;
mod error;
mod evidence;
mod experiment;
mod fleet;
mod identity;
mod lineage;
mod logged_model;
mod model;
mod multipart;
mod openlineage;
mod operator;
mod retention;
mod rollout;
mod run;
mod server;
mod target;
mod telemetry;
mod timeline;

use std::sync::Arc;

pub use artifact::ArtifactStore;
pub use capture::CaptureStore;
pub use command::CommandStore;
pub use deployment::DeploymentStore;
pub use entry::{EntryStore, Ingested};
pub use error::StoreError;
pub use evidence::{EvidenceStore, MOST_MOMENTS};
pub use experiment::{ExperimentStore, Slice};
pub use fleet::{DueTarget, FleetOrders, FleetRollout, FleetStore, FleetTold, Submitted};
pub use identity::IdentityStore;
pub use lineage::{LineageStore, ProvenanceStore};
pub use logged_model::{LoggedModelStore, ModelSearch};
pub use model::{AuditStore, ModelStore};
pub use multipart::MultipartStore;
pub use openlineage::{HappeningStore, ToldStore};
pub use operator::OperatorStore;
pub use retention::{KindAge, RetentionStore};
pub use rollout::{Applied, OpenRollout, RobotFilter, RolloutFilter, RolloutStore};
pub use run::RunStore;
pub use server::ServerStore;
pub use target::TargetStore;
pub use telemetry::TelemetryStore;
pub use timeline::TimelineStore;

/// All stores of one control plane.
#[derive(Clone)]
pub struct Stores {
    /// The control plane itself.
    pub server: Arc<dyn ServerStore>,
    /// Robots and their desired state.
    pub targets: Arc<dyn TargetStore>,
    /// What the fleet was declared to be.
    pub fleet: Arc<dyn FleetStore>,
    /// People with tokens of their own.
    pub operators: Arc<dyn OperatorStore>,
    /// Certificates of robots.
    pub identities: Arc<dyn IdentityStore>,
    /// Commands.
    pub commands: Arc<dyn CommandStore>,
    /// Captures.
    pub captures: Arc<dyn CaptureStore>,
    /// Deployments.
    pub deployments: Arc<dyn DeploymentStore>,
    /// Rollouts.
    pub rollouts: Arc<dyn RolloutStore>,
    /// Files kept under paths.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// Uploads that come in parts.
    pub multiparts: Arc<dyn MultipartStore>,
    /// Models and versions.
    pub models: Arc<dyn ModelStore>,
    /// Experiments.
    pub experiments: Arc<dyn ExperimentStore>,
    /// Runs and what is logged to them.
    pub runs: Arc<dyn RunStore>,
    /// Logged models.
    pub logged_models: Arc<dyn LoggedModelStore>,
    /// The audit trail.
    pub audit: Arc<dyn AuditStore>,
    /// Robots' logs and what follows from them.
    pub entries: Arc<dyn EntryStore>,
    /// Series of numbers.
    pub telemetry: Arc<dyn TelemetryStore>,
    /// What robots report of how well they work.
    pub evidence: Arc<dyn EvidenceStore>,
    /// What ran where, and when.
    pub lineage: Arc<dyn LineageStore>,
    /// Where what ran comes from.
    pub provenance: Arc<dyn ProvenanceStore>,
    /// What touched robots, one for each database.
    pub timeline: Vec<Arc<dyn TimelineStore>>,
    /// What happens to lineage, one for each database, always in this order.
    pub happenings: Vec<Arc<dyn HappeningStore>>,
    /// How far others were told of it.
    pub told: Arc<dyn ToldStore>,
    /// What is kept of logs and series.
    pub retention: Arc<dyn RetentionStore>,
}
