//! Deployments: who asked for which version on which robots, and how far the robots say they are.

use edgeflow_wire::{SlotKind, SlotStatus, Version};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type, schema::SchemaType};

use crate::{ModelName, SlotName, TargetName, reconciliation, target::Attested};

/// A deployment to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeployment {
    /// Which model.
    pub model: ModelName,
    /// Which version of it.
    pub version: String,
    /// What robots are told.
    pub spec: edgeflow_wire::SlotSpec,
    /// Into which slot.
    pub slot: SlotName,
    /// On which robots, each once.
    pub targets: Vec<TargetName>,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
}

/// What a deployment asked of one robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which robot.
    pub target: TargetName,
    /// The desired state that asked it.
    pub version: Version,
    /// The desired state that asked something else of the slot.
    pub superseded_by: Option<Version>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its number.
    pub id: i64,
    /// Which model.
    pub model: ModelName,
    /// Which version of it.
    pub version: String,
    /// What it is.
    pub kind: SlotKind,
    /// Its bundle digest.
    pub digest: String,
    /// Into which slot.
    pub slot: SlotName,
    /// On which robots.
    pub asked: Vec<Asked>,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
    /// The rollout that told these robots; `None` when somebody did.
    pub rollout: Option<i64>,
}

/// A step a robot attested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Which robot.
    pub target: TargetName,
    /// Which slot.
    pub slot: SlotName,
    /// The desired state it answers.
    pub version: Version,
    /// The bundle digest that was asked for.
    pub digest: String,
    /// How far it is.
    pub status: SlotStatus,
    /// Why, when failed or rolled back.
    pub reason: String,
    /// When, by the robot's clock, microseconds since the Unix epoch.
    pub at_us: i64,
}

/// Where one robot is with a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetStatus {
    /// Something else was declared before it got there.
    Superseded,
    /// How far it is, as it attests: `pending` until it answers, `active` also when it served it before something newer was declared.
    #[serde(untagged)]
    Attested(SlotStatus),
}

impl utoipa::ToSchema for TargetStatus {}

impl utoipa::PartialSchema for TargetStatus {
    fn schema() -> RefOr<Schema> {
        let all = SlotStatus::ALL.into_iter().map(TargetStatus::Attested).chain([TargetStatus::Superseded]);
        let words: Vec<Value> = all.filter_map(|status| serde_json::to_value(status).ok()).collect();
        let schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(words));
        schema.description(Some("Where one robot is with a deployment.")).into()
    }
}

impl TargetStatus {
    fn settled(self) -> bool {
        use SlotStatus::{Active, Failed, RolledBack};
        matches!(self, TargetStatus::Superseded | TargetStatus::Attested(Active | Failed | RolledBack))
    }
}

/// Where a deployment is as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Some robot is not there yet and none failed.
    Progressing,
    /// Every robot serves it, or did before something newer was declared.
    Succeeded,
    /// Some robot failed or rolled back.
    Failed,
    /// Something newer was declared before every robot got there.
    Superseded,
}

/// One robot of a deployment, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DeploymentTargetView {
    /// Which robot.
    pub target: String,
    /// Generation of its desired state that asked it.
    pub generation: u64,
    /// How far it is, as it attests.
    pub status: TargetStatus,
    /// Why, when failed or rolled back.
    pub reason: String,
    /// When it said so, by its clock, microseconds since the Unix epoch; when it was declared, before it answers.
    pub at_us: i64,
}

/// A deployment as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DeploymentView {
    /// Its number.
    pub id: String,
    /// Which model.
    pub model: String,
    /// Which version of it.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
    /// Into which slot.
    pub slot: String,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
    /// The rollout that told these robots; `null` when somebody did by name.
    pub rollout: Option<String>,
    /// Robot by robot.
    pub targets: Vec<DeploymentTargetView>,
    /// As a whole.
    pub state: DeploymentState,
}

/// Whether an attestation answers what was asked: same robot, slot and bundle, and a desired state in which it still stood.
pub fn answers(deployment: &Deployment, asked: &Asked, attestation: &Attestation) -> bool {
    attestation.target == asked.target
        && attestation.slot == deployment.slot
        && attestation.digest == deployment.digest
        && attestation.version >= asked.version
        && asked.superseded_by.is_none_or(|by| attestation.version < by)
}

/// A deployment as it is shown. `attestations` are in the order in which robots made them. `states` are robots' newest state reports, of
/// a deployment of something that not every robot can have: one that has no slot for it would not answer for ever.
pub fn view(deployment: &Deployment, attestations: &[Attestation], states: &BTreeMap<TargetName, Attested>) -> DeploymentView {
    // By robot: a deployment may have thousands, each with several attestations.
    let mut of: HashMap<&TargetName, Vec<&Attestation>> = HashMap::new();
    for attestation in attestations {
        of.entry(&attestation.target).or_default().push(attestation);
    }
    let targets: Vec<DeploymentTargetView> = deployment
        .asked
        .iter()
        .map(|asked| {
            let said = of.get(&asked.target).map(Vec::as_slice).unwrap_or_default();
            let last = said.iter().rev().find(|attestation| answers(deployment, asked, attestation));
            let mut status = TargetStatus::Attested(last.map_or(SlotStatus::Pending, |attestation| attestation.status));
            let mut reason = last.map(|attestation| attestation.reason.clone()).unwrap_or_default();
            if asked.superseded_by.is_some() && !status.settled() {
                status = TargetStatus::Superseded;
            } else if last.is_none()
                && let Some(why) =
                    states.get(&asked.target).and_then(|said| reconciliation::lacks(deployment.kind, deployment.slot.as_str(), said))
            {
                (status, reason) = (TargetStatus::Attested(SlotStatus::Failed), why);
            }
            DeploymentTargetView {
                target: asked.target.to_string(),
                generation: asked.version.generation,
                status,
                reason,
                at_us: last.map_or(deployment.created_at_us, |attestation| attestation.at_us),
            }
        })
        .collect();
    DeploymentView {
        id: deployment.id.to_string(),
        model: deployment.model.to_string(),
        version: deployment.version.clone(),
        digest: deployment.digest.clone(),
        slot: deployment.slot.to_string(),
        created_at_us: deployment.created_at_us,
        created_by: deployment.created_by.clone(),
        rollout: deployment.rollout.map(|id| id.to_string()),
        state: state(&targets),
        targets,
    }
}

fn state(targets: &[DeploymentTargetView]) -> DeploymentState {
    let any = |wanted: fn(TargetStatus) -> bool| targets.iter().any(|target| wanted(target.status));
    if any(|status| matches!(status, TargetStatus::Attested(SlotStatus::Failed | SlotStatus::RolledBack))) {
        DeploymentState::Failed
    } else if any(|status| !status.settled()) {
        DeploymentState::Progressing
    } else if any(|status| status == TargetStatus::Superseded) {
        DeploymentState::Superseded
    } else {
        DeploymentState::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Moment, Newest};

    fn version(generation: u64) -> Version {
        Version { server_epoch: 1, generation }
    }

    fn asked(target: &str, generation: u64, superseded_by: Option<u64>) -> Asked {
        let target = TargetName::new(target).unwrap();
        Asked { target, version: version(generation), superseded_by: superseded_by.map(version) }
    }

    fn deployment(asked: Vec<Asked>) -> Deployment {
        Deployment {
            id: 1,
            model: ModelName::new("m").unwrap(),
            version: "1".into(),
            kind: SlotKind::Model,
            digest: "d".into(),
            slot: SlotName::default_slot(),
            asked,
            created_at_us: 1,
            created_by: "administrator".into(),
            rollout: None,
        }
    }

    fn view(deployment: &Deployment, attestations: &[Attestation]) -> DeploymentView {
        super::view(deployment, attestations, &BTreeMap::new())
    }

    fn says(target: &str, generation: u64, status: SlotStatus) -> Attestation {
        Attestation {
            target: TargetName::new(target).unwrap(),
            slot: SlotName::default_slot(),
            version: version(generation),
            digest: "d".into(),
            status,
            reason: String::new(),
            at_us: 5,
        }
    }

    #[test]
    fn a_deployment_succeeds_when_every_robot_says_so() {
        let one = deployment(vec![asked("r1", 1, None), asked("r2", 4, None)]);
        let first = [says("r1", 1, SlotStatus::Warming), says("r1", 1, SlotStatus::Active)];
        let shown = view(&one, &first);
        assert_eq!((shown.state, shown.targets[0].status), (DeploymentState::Progressing, TargetStatus::Attested(SlotStatus::Active)));
        assert_eq!(shown.targets[1].status, TargetStatus::Attested(SlotStatus::Pending));
        let both = [first.to_vec(), vec![says("r2", 4, SlotStatus::Active)]].concat();
        assert_eq!(view(&one, &both).state, DeploymentState::Succeeded);
        let failed = [first.to_vec(), vec![says("r2", 4, SlotStatus::Failed)]].concat();
        assert_eq!(view(&one, &failed).state, DeploymentState::Failed);
    }

    #[test]
    fn a_status_is_the_word_that_robots_use() {
        let words = [TargetStatus::Attested(SlotStatus::RolledBack), TargetStatus::Superseded];
        assert_eq!(serde_json::to_value(words).unwrap(), serde_json::json!(["rolled_back", "superseded"]));
    }

    #[test]
    fn a_robot_without_a_slot_for_it_has_failed_as_soon_as_it_says_so() {
        let one = Deployment { kind: SlotKind::Map, ..deployment(vec![asked("r1", 1, None)]) };
        let state = edgeflow_wire::StateBody::default();
        let content = edgeflow_wire::EntryBody::State(state).into();
        let at = Moment { epoch_ordinal: 1, class: edgeflow_wire::Class::Event, seq: 1, t_us: 1 };
        let said = Attested { newest: [("state".to_owned(), Newest { at, received_us: 1, content })].into(), ..Attested::default() };
        let states = BTreeMap::from([(TargetName::new("r1").unwrap(), said)]);
        let failed = super::view(&one, &[], &states);
        assert_eq!((failed.state, failed.targets[0].status), (DeploymentState::Failed, TargetStatus::Attested(SlotStatus::Failed)));
        assert!(failed.targets[0].reason.contains("it has no slot default of kind map"), "{}", failed.targets[0].reason);
        assert_eq!(view(&one, &[]).state, DeploymentState::Progressing, "of one that has said nothing it is not known");
        let superseded = Deployment { asked: vec![asked("r1", 1, Some(2))], ..one };
        assert_eq!(super::view(&superseded, &[], &states).state, DeploymentState::Superseded);
    }

    #[test]
    fn only_answers_to_this_deployment_count() {
        let one = deployment(vec![asked("r1", 2, Some(4))]);
        for (wrong, why) in [
            (says("r1", 1, SlotStatus::Active), "an older document"),
            (says("r1", 4, SlotStatus::Active), "a newer document"),
            (says("r2", 2, SlotStatus::Active), "another robot"),
            (Attestation { digest: "other".into(), ..says("r1", 2, SlotStatus::Active) }, "another bundle"),
        ] {
            assert_eq!(view(&one, &[wrong]).state, DeploymentState::Superseded, "{why}");
        }
        let skipped = says("r1", 3, SlotStatus::Active);
        assert_eq!(view(&one, &[skipped]).state, DeploymentState::Succeeded, "another slot changed in between");
    }

    #[test]
    fn what_was_reached_stays_true_after_something_newer_was_declared() {
        let one = deployment(vec![asked("r1", 1, Some(2))]);
        assert_eq!(view(&one, &[says("r1", 1, SlotStatus::Active)]).state, DeploymentState::Succeeded);
        assert_eq!(view(&one, &[says("r1", 1, SlotStatus::Warming)]).targets[0].status, TargetStatus::Superseded);
    }
}
