//! What a fleet shall be, as people declare it in files. Unknown keys are errors. Every part of it has a name, so that two files can say
//! different parts, a plan can say which part changes a robot, and a revision which part changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

use crate::rollout::{Comparison, OnFailure, ReleaseKind, Replay, Selector, Strategy, WhenTaken, default_samples, default_slot};

/// A fleet as declared. Files of a folder are read as one: each may hold any of these keys, and a name may be given once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetSpec {
    /// Whether a second person must approve a change before it takes effect; `none` when not said. Taking this away needs approval, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Groups of robots, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Group>,
    /// Robot to its labels. Labels of a robot that are not named stay as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What shall be in a slot of which robots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, SlotDeclaration>,
    /// What which robots shall report of their topics.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, PolicyDeclaration>,
    /// Which bundle of configuration which robots shall have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, ConfigurationDeclaration>,
    /// How changes are brought to robots: strategies that `slots`, `policies` and `configuration` name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<String, RolloutDeclaration>,
    /// What must hold at the end of a stage: gates that `rollouts` name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, GateDeclaration>,
}

/// Whether a second person must approve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// Whoever applies decides.
    #[default]
    None,
    /// Somebody else than the author must approve.
    Required,
}

/// Robots that belong together: those that are named, and those whose labels all match; less `exclude`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// By label: every key must have one of its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// Never these, by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
}

impl From<Group> for Selector {
    fn from(Group { names, labels, exclude }: Group) -> Self {
        Self { names, labels, exclude, ..Self::default() }
    }
}

/// What shall be in a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotDeclaration {
    /// Which slot.
    #[serde(default = "default_slot", skip_serializing_if = "is_default_slot")]
    pub slot: String,
    /// What.
    pub release: Release,
    /// On which robots; on every one when not said.
    #[serde(default, skip_serializing_if = "is_everybody")]
    pub targets: Selector,
    /// How a change is brought to them: a name of `rollouts`. Without one robots are told at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
}

fn is_default_slot(slot: &str) -> bool {
    slot == "default"
}

fn is_everybody(selector: &Selector) -> bool {
    *selector == Selector::default()
}

/// Something in the registry, by name and exactly one of `version` and `alias`. An alias is read when the declaration is planned, and
/// stands for that version until the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What it is: `model`, `map`, `package` or `config`; a model when not said.
    #[serde(default = "model_kind", skip_serializing_if = "is_model")]
    pub kind: ReleaseKind,
    /// Registered name.
    pub name: String,
    /// Version, such as `"2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Alias, such as `champion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

fn model_kind() -> ReleaseKind {
    ReleaseKind::Model
}

fn is_model(kind: &ReleaseKind) -> bool {
    *kind == ReleaseKind::Model
}

/// What robots shall report of their topics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDeclaration {
    /// The policy, as in docs/bridge.md.
    #[schema(value_type = Object)]
    pub policy: serde_json::Value,
    /// Which robots; every one when not said.
    #[serde(default, skip_serializing_if = "is_everybody")]
    pub targets: Selector,
    /// How a change is brought to them: a name of `rollouts`. Without one robots are told at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
}

/// Which bundle of configuration robots shall have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationDeclaration {
    /// In which slot; robots say which slots they apply configuration from.
    pub slot: String,
    /// Registered name of the bundle.
    pub name: String,
    /// Version, such as `"2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Alias, such as `field`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Which robots; every one when not said.
    #[serde(default, skip_serializing_if = "is_everybody")]
    pub targets: Selector,
    /// How a change is brought to them: a name of `rollouts`. Without one robots are told at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
}

/// How a change is brought to robots.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutDeclaration {
    /// In which steps, and how careful.
    #[serde(default)]
    pub strategy: Strategy,
    /// What must hold at the end of each stage that names no gates of its own: names of `gates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// What happens when a gate fails or too many robots do.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What happens when another rollout holds some of these robots in this slot.
    #[serde(default)]
    pub when_taken: WhenTaken,
    /// Recorded frames the candidate must answer before any robot gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
}

/// What must hold at the end of a stage: exactly one of `expression` and `compare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GateDeclaration {
    /// An expression in CEL over `updated`, `before` and `rest`, such as `updated.accuracy.mean >= 0.9`: see docs/rollouts.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// One metric of the updated robots against another arm, by a two-sample test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
    /// Least frames (of metrics that are not per frame: least samples) of each arm that is looked at; fewer are inconclusive.
    #[serde(default = "default_samples")]
    pub min_samples: u64,
}

impl FleetSpec {
    /// Whether a second person must approve.
    pub fn review(&self) -> Review {
        self.review.unwrap_or_default()
    }

    /// The JSON Schema of a file.
    pub fn json_schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(FleetSpec).to_value();
        if let Some(object) = schema.as_object_mut() {
            object.insert("title".to_owned(), "An Edgeflow fleet".into());
        }
        schema
    }

    /// Takes what another file says in. The path of a part that both say is the error.
    pub fn merge(&mut self, other: FleetSpec) -> Result<(), String> {
        fn take<T>(key: &str, into: &mut BTreeMap<String, T>, from: BTreeMap<String, T>) -> Result<(), String> {
            for (name, part) in from {
                if into.contains_key(&name) {
                    return Err(format!("{key}.{name}"));
                }
                into.insert(name, part);
            }
            Ok(())
        }
        let FleetSpec { review, groups, labels, slots, policies, configuration, rollouts, gates } = other;
        if self.review.is_some() && review.is_some() {
            return Err("review".to_owned());
        }
        self.review = self.review.or(review);
        take("groups", &mut self.groups, groups)?;
        take("labels", &mut self.labels, labels)?;
        take("slots", &mut self.slots, slots)?;
        take("policies", &mut self.policies, policies)?;
        take("configuration", &mut self.configuration, configuration)?;
        take("rollouts", &mut self.rollouts, rollouts)?;
        take("gates", &mut self.gates, gates)
    }
}
