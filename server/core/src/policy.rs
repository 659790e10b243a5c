//! Telemetry policies: what a robot shall report of its topics, and what it says of that.

use edgeflow_wire::{Content, EntryBody, PolicyOutcome, PolicyStatusBody, VersionedPolicy};
use serde::Serialize;

use crate::{CoreError, target::Attested};

/// Checks a document, the conditions of its triggers included; the first thing that is wrong with it refuses it whole.
pub fn check(document: &serde_json::Value) -> Result<(), CoreError> {
    edgeflow_policy::parse(document).map(drop).map_err(|error| CoreError::BadPolicy { path: error.path, reason: error.reason })
}

/// The robot's newest word on a policy, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PolicyStatusView {
    /// Version it is about.
    pub version: u64,
    /// `applied` or `refused`.
    #[schema(value_type = String)]
    pub outcome: PolicyOutcome,
    /// Why it was refused, with its place in the document.
    pub reason: String,
    /// Version that rules now; 0 when none does.
    pub ruling: u64,
    /// When it said so, by its clock, microseconds since the Unix epoch.
    pub at_us: i64,
}

/// A robot's policy, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PolicyView {
    /// Which robot.
    pub target: String,
    /// Count of changes; 0 while none was declared.
    pub version: u64,
    /// The document; empty while none was declared.
    pub document: serde_json::Value,
    /// The robot's newest word on a policy.
    pub status: Option<PolicyStatusView>,
}

/// In short, as part of a robot's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TargetPolicyView {
    /// Count of changes; 0 while none was declared.
    pub version: u64,
    /// The robot's newest word on a policy.
    pub status: Option<PolicyStatusView>,
}

fn status(attested: &Attested) -> Option<PolicyStatusView> {
    let newest = attested.newest.get("policy_status")?;
    let Content::Known(EntryBody::PolicyStatus(PolicyStatusBody { version, outcome, reason, ruling })) = &newest.content else {
        return None;
    };
    Some(PolicyStatusView { version: *version, outcome: *outcome, reason: reason.clone(), ruling: *ruling, at_us: newest.at.t_us })
}

/// A robot's policy as it is shown.
pub fn view(target: &str, policy: Option<&VersionedPolicy>, attested: &Attested) -> PolicyView {
    PolicyView {
        target: target.to_owned(),
        version: policy.map_or(0, |policy| policy.version),
        document: policy.map_or_else(|| serde_json::json!({}), |policy| policy.document.clone()),
        status: status(attested),
    }
}

/// The same in short; `None` while there is nothing to say.
pub fn brief(policy: Option<&VersionedPolicy>, attested: &Attested) -> Option<TargetPolicyView> {
    let status = status(attested);
    (policy.is_some() || status.is_some()).then(|| TargetPolicyView { version: policy.map_or(0, |policy| policy.version), status })
}
