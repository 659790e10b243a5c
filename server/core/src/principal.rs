//! Who asks, and what they may do. The one place that decides; use-cases only ask.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{OperatorName, OrganisationId, TargetName};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// A person or program with the administrator's token.
    Administrator,
    /// A person with a token of their own.
    Operator(OperatorName),
    /// A robot with its own certificate or token.
    Robot(TargetName),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Administrator => f.write_str("administrator"),
            Who::Operator(name) => write!(f, "operator:{name}"),
            Who::Robot(name) => write!(f, "robot:{name}"),
        }
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Read what the control plane says about itself.
    ReadServer,
    /// Read a robot: view, log, entries, telemetry, drift, events.
    ReadTarget,
    /// Enrol a robot.
    EnrolTarget,
    /// Make a one-time token that gets a robot its certificate.
    BootstrapTarget,
    /// Get a certificate.
    IssueCertificate,
    /// Take a robot's identity away.
    RevokeTarget,
    /// Give an external broker its certificate.
    CertifyBroker,
    /// Read models and versions.
    ReadModel,
    /// Make models and register versions.
    WriteModel,
    /// Read the bytes of an artifact.
    ReadArtifact,
    /// Read and list artifacts by their paths.
    ReadArtifactPath,
    /// Put artifacts under paths, and remove them.
    WriteArtifactPath,
    /// Read experiments, runs and logged models.
    ReadRun,
    /// Make experiments, runs and logged models, and log to them.
    WriteRun,
    /// Read deployments.
    ReadDeployment,
    /// Change what robots shall run.
    Deploy,
    /// Read rollouts.
    ReadRollout,
    /// Make rollouts, pause, resume, promote, abort them, take them back and try them again.
    Rollout,
    /// Approve a stage of a rollout.
    ApproveRollout,
    /// Hold a robot, and decide what was changed on both sides.
    Reconcile,
    /// Change what a robot reports of its topics.
    SetPolicy,
    /// Change a robot's labels.
    SetLabels,
    /// Read what is declared of the fleet.
    ReadFleet,
    /// Declare what the fleet shall be, or propose it.
    DeclareFleet,
    /// Approve or reject what somebody else proposed.
    ReviewFleet,
    /// Give people tokens of their own, and take them away.
    ManageOperators,
    /// Give a robot a command.
    Command,
    /// Look at a robot's topics live, and publish on some.
    Live,
    /// Read the audit trail.
    ReadAudit,
    /// Append to a robot's own log.
    WriteLog,
}

impl Action {
    /// Its name in audit records and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::ReadServer => "read_server",
            Action::ReadTarget => "read_target",
            Action::EnrolTarget => "enrol_target",
            Action::BootstrapTarget => "bootstrap_target",
            Action::IssueCertificate => "issue_certificate",
            Action::RevokeTarget => "revoke_target",
            Action::CertifyBroker => "certify_broker",
            Action::ReadModel => "read_model",
            Action::WriteModel => "write_model",
            Action::ReadArtifact => "read_artifact",
            Action::ReadArtifactPath => "read_artifact_path",
            Action::WriteArtifactPath => "write_artifact_path",
            Action::ReadRun => "read_run",
            Action::WriteRun => "write_run",
            Action::ReadDeployment => "read_deployment",
            Action::Deploy => "deploy",
            Action::ReadRollout => "read_rollout",
            Action::Rollout => "rollout",
            Action::ApproveRollout => "approve_rollout",
            Action::Reconcile => "reconcile",
            Action::SetPolicy => "set_policy",
            Action::SetLabels => "set_labels",
            Action::ReadFleet => "read_fleet",
            Action::DeclareFleet => "declare_fleet",
            Action::ReviewFleet => "review_fleet",
            Action::ManageOperators => "manage_operators",
            Action::Command => "command",
            Action::Live => "live",
            Action::ReadAudit => "read_audit",
            Action::WriteLog => "write_log",
        }
    }
}

/// What it is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Something of the organisation as a whole: a list, a model, an artifact.
    Organisation,
    /// One robot.
    Target(TargetName),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Organisation => f.write_str("the organisation"),
            Resource::Target(name) => write!(f, "target {name}"),
        }
    }
}

/// One thing a principal may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Anything inside its organisation.
    Everything,
    /// Anything inside its organisation but one action.
    EverythingBut(Action),
    /// One action on anything inside its organisation.
    Anywhere(Action),
    /// One action on one robot.
    OnTarget(Action, TargetName),
}

/// Who asks, for whom, and what they were granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub who: Who,
    /// Inside which organisation. Nothing of another one is ever visible.
    pub organisation: OrganisationId,
    /// What they may do.
    pub grants: Vec<Grant>,
}

impl Principal {
    /// The administrator of the first organisation.
    pub fn administrator() -> Self {
        Self { who: Who::Administrator, organisation: OrganisationId::first(), grants: vec![Grant::Everything] }
    }

    /// A person with a token of their own: what the administrator may, but making others.
    pub fn operator(organisation: OrganisationId, name: OperatorName) -> Self {
        Self { who: Who::Operator(name), organisation, grants: vec![Grant::EverythingBut(Action::ManageOperators)] }
    }

    /// A robot: it fetches artifacts, reads itself, writes its own log and renews its certificate, nothing else.
    pub fn robot(organisation: OrganisationId, name: TargetName) -> Self {
        let grants = vec![
            Grant::Anywhere(Action::ReadArtifact),
            Grant::OnTarget(Action::ReadTarget, name.clone()),
            Grant::OnTarget(Action::IssueCertificate, name.clone()),
            Grant::OnTarget(Action::WriteLog, name.clone()),
        ];
        Self { who: Who::Robot(name), organisation, grants }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who} may not {action} on {resource}", action = action.as_str())]
pub struct Denied {
    /// Who asked.
    pub who: Who,
    /// What.
    pub action: Action,
    /// Of what.
    pub resource: Resource,
}

/// Whether `principal` may do `action` on `resource`. What is not granted is refused.
pub fn decide(principal: &Principal, action: Action, resource: Resource) -> Result<(), Denied> {
    let granted = principal.grants.iter().any(|grant| match grant {
        Grant::Everything => true,
        Grant::EverythingBut(kept) => *kept != action,
        Grant::Anywhere(allowed) => *allowed == action,
        Grant::OnTarget(allowed, name) => *allowed == action && resource == Resource::Target(name.clone()),
    });
    if granted { Ok(()) } else { Err(Denied { who: principal.who.clone(), action, resource }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TargetName {
        TargetName::new(name).unwrap()
    }

    #[test]
    fn a_robot_reaches_itself_and_artifacts_only() {
        let robot = Principal::robot(OrganisationId::first(), name("r1"));
        assert!(decide(&robot, Action::ReadTarget, Resource::Target(name("r1"))).is_ok());
        assert!(decide(&robot, Action::ReadArtifact, Resource::Organisation).is_ok());
        for (action, resource) in [
            (Action::ReadTarget, Resource::Target(name("r2"))),
            (Action::ReadTarget, Resource::Organisation),
            (Action::WriteLog, Resource::Target(name("r2"))),
            (Action::Deploy, Resource::Target(name("r1"))),
            (Action::ReadRollout, Resource::Organisation),
            (Action::Rollout, Resource::Organisation),
            (Action::ApproveRollout, Resource::Organisation),
            (Action::Reconcile, Resource::Target(name("r1"))),
            (Action::SetPolicy, Resource::Target(name("r1"))),
            (Action::Command, Resource::Target(name("r1"))),
            (Action::SetLabels, Resource::Target(name("r1"))),
            (Action::DeclareFleet, Resource::Organisation),
            (Action::ReviewFleet, Resource::Organisation),
            (Action::ManageOperators, Resource::Organisation),
            (Action::Live, Resource::Target(name("r1"))),
            (Action::ReadModel, Resource::Organisation),
            (Action::ReadArtifactPath, Resource::Organisation),
            (Action::WriteArtifactPath, Resource::Organisation),
            (Action::RevokeTarget, Resource::Target(name("r1"))),
            (Action::BootstrapTarget, Resource::Target(name("r1"))),
            (Action::IssueCertificate, Resource::Target(name("r2"))),
            (Action::ReadAudit, Resource::Organisation),
            (Action::ReadRun, Resource::Organisation),
            (Action::WriteRun, Resource::Organisation),
        ] {
            let refusal = decide(&robot, action, resource).unwrap_err().to_string();
            assert!(refusal.starts_with("robot:r1 may not "), "{refusal}");
        }
    }

    #[test]
    fn an_operator_does_what_the_administrator_does_but_make_others() {
        let operator = Principal::operator(OrganisationId::first(), OperatorName::new("ada").unwrap());
        for action in [Action::Deploy, Action::DeclareFleet, Action::ReviewFleet, Action::ReadAudit, Action::RevokeTarget] {
            assert!(decide(&operator, action, Resource::Organisation).is_ok(), "{action:?}");
        }
        let refusal = decide(&operator, Action::ManageOperators, Resource::Organisation).unwrap_err();
        assert_eq!(refusal.to_string(), "operator:ada may not manage_operators on the organisation");
    }
}
