//! Fleet as code: what a fleet shall be, declared in files, planned robot by robot, applied as a numbered revision.
//!
//! A [`FleetSpec`] is what people write. Against the robots there are, [`plan`] says which of them change, in which slot, policy or label,
//! and how: at once, or by a rollout. Robots that no part of it takes are left alone.

mod check;
mod diff;
mod export;
mod plan;
mod revision;
mod spec;

pub use check::{Problem, check, nearest};
pub use diff::{FleetChange, changes};
pub use export::export;
pub use plan::{
    Changes, DirectSlot, FleetPlan, FleetStage, LabelChange, PlannedLacking, PlannedRollout, PlannedUnderWay, PolicyChange, RobotChange,
    RobotNow, SlotChange, SlotNow, UnderWay, groups, late, plan,
};
pub use revision::{NewRevision, Revision, RevisionHead, RevisionState, RevisionView};
pub use spec::{
    ConfigurationDeclaration, FleetSpec, GateDeclaration, Group, PolicyDeclaration, Release, Review, RolloutDeclaration, SlotDeclaration,
};

#[cfg(test)]
mod tests;
