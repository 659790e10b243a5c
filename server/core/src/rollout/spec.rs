//! What a rollout shall do, as people declare it: in a request, in a file, in the dashboard's dialog. Unknown keys are errors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// A rollout as declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutSpec {
    /// What robots shall have.
    pub release: ReleaseRef,
    /// Into which slot; of no meaning for a policy.
    #[serde(default = "default_slot")]
    pub slot: String,
    /// Which robots.
    #[serde(default)]
    pub targets: Selector,
    /// In which steps, and how careful.
    #[serde(default)]
    pub strategy: Strategy,
    /// What must hold at the end of each stage that names no gates of its own.
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// What happens when a gate fails or too many robots do.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What happens when another rollout holds some of these robots in this slot.
    #[serde(default)]
    pub when_taken: WhenTaken,
    /// Recorded frames the candidate must answer before any robot gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

pub(crate) fn default_slot() -> String {
    "default".to_owned()
}

/// What robots shall have, by name. A version in the registry is named by number or by alias, exactly one of them; an alias is read
/// once, when the rollout is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRef {
    /// What it is.
    pub kind: ReleaseKind,
    /// Registered name; not of a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version, such as `"2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Alias, such as `champion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The policy, as in docs/bridge.md; only of a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub policy: Option<serde_json::Value>,
}

/// What a robot can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseKind {
    /// A registered model version, served by the inference node.
    Model,
    /// A registered map, applied by what the robot declares for it.
    Map,
    /// A registered software package, applied by what the robot declares for it.
    Package,
    /// A registered bundle of configuration, applied by what the robot declares for it.
    Config,
    /// A telemetry policy.
    Policy,
}

/// Which robots: those that are named, of a group, or whose labels all match; of them the share `percent`; less `exclude`. With
/// nothing said, every robot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// By group, as declared in the fleet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// By label: every key must have one of its values. Usual keys: `site`, `environment`, `robot_model`, `capability`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// Of these the share with the lowest stable hash, 0 to 100: the same robots each time, and those of 10 are among those of 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// With `percent`: mixed into the hash, so that the share is made of other robots; at most 63 bytes. The same seed, the same robots.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seed: String,
    /// Never these, by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exclude: BTreeSet<String>,
}

/// So many robots, or such a share of the rollout's robots (rounded up, at least one): `3` or `"25%"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "AmountText", into = "AmountText")]
#[schemars(with = "AmountText")]
pub enum Amount {
    /// So many.
    Count(u32),
    /// Such a share, 0 to 100.
    Percent(f64),
}

/// As it is written.
#[derive(Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(untagged)]
pub(crate) enum AmountText {
    /// So many.
    Count(u32),
    /// A share, `"25%"`.
    Percent(String),
}

impl From<Amount> for AmountText {
    fn from(amount: Amount) -> Self {
        match amount {
            Amount::Count(count) => AmountText::Count(count),
            Amount::Percent(percent) => AmountText::Percent(format!("{percent}%")),
        }
    }
}

impl TryFrom<AmountText> for Amount {
    type Error = String;

    fn try_from(text: AmountText) -> Result<Self, String> {
        match text {
            AmountText::Count(count) => Ok(Amount::Count(count)),
            AmountText::Percent(text) => {
                let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                percent
                    .map(Amount::Percent)
                    .ok_or_else(|| format!("{text:?} is no amount: write a number of robots, or a share such as \"25%\""))
            }
        }
    }
}

impl Amount {
    /// How many that is of `whole` robots.
    pub fn of(self, whole: usize) -> usize {
        match self {
            Amount::Count(count) => count as usize,
            Amount::Percent(percent) => share(percent, whole),
        }
    }
}

/// A share of `whole`, rounded up; 0 only of 0 %.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to the number of robots")]
pub fn share(percent: f64, whole: usize) -> usize {
    // A hair less, so that 29 % of 100 is not 30 by rounding.
    (percent / 100.0 * whole as f64 - 1e-9).ceil().max(0.0) as usize
}

/// In which steps, and how careful. What is not said: one canary, then half, then all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Strategy {
    /// One after the other. A robot belongs to the first stage that names it; robots that no stage names are left out.
    pub stages: Vec<StageSpec>,
    /// Mixed into the stable hash by which stages take `count` and `percent`, so that other robots go first; at most 63 bytes. The same
    /// seed, the same order; without one it is always the same robots.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seed: String,
    /// Most robots that may at one time be told and not yet serve (or have failed); at least one.
    #[schema(value_type = AmountText)]
    pub max_unavailable: Amount,
    /// Most robots that may fetch at one time.
    pub max_concurrent: u32,
    /// Robots that may fail (or stay silent) before the rollout does.
    #[schema(value_type = AmountText)]
    pub max_failed: Amount,
    /// From being told to serving, seconds. A robot that takes longer, or says nothing, has failed.
    pub deadline_s: u64,
    /// A robot that is offline when its turn comes is told and no longer waited for (`true`), or waited for until its deadline.
    pub defer_offline: bool,
    /// When robots may be changed; at any time when empty.
    pub windows: Vec<Window>,
    /// What a robot may not be doing when it is changed.
    pub robots: RobotRule,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            stages: vec![
                StageSpec { count: Some(1), ..StageSpec::named("canary") },
                StageSpec { percent: Some(50.0), ..StageSpec::named("half") },
                StageSpec { rest: true, ..StageSpec::named("all") },
            ],
            seed: String::new(),
            max_unavailable: Amount::Percent(25.0),
            max_concurrent: 100,
            max_failed: Amount::Count(0),
            deadline_s: 900,
            defer_offline: true,
            windows: Vec::new(),
            robots: RobotRule::default(),
        }
    }
}

/// One step. Which robots it takes of those that earlier stages left, is said by exactly one of `count`, `percent`, `names`, `labels`,
/// `each` and `rest`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// For people; unique in the rollout.
    pub name: String,
    /// So many, by stable hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Up to such a share of the whole rollout, earlier stages included, by stable hash; 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// These.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<BTreeSet<String>>,
    /// Those whose labels all match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, BTreeSet<String>>>,
    /// A stage for each value of this label, by `order`, then by value; robots without the label come last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
    /// With `each`: values that come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// All that are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
    /// How long the stage's robots must have served before its gates are judged, seconds.
    #[serde(default)]
    pub soak_s: u64,
    /// Somebody must approve before the stage begins.
    #[serde(default)]
    pub approval: bool,
    /// What must hold at its end; the rollout's gates when not said, none when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<Gate>>,
}

impl StageSpec {
    /// A stage of no robots yet, without soak time and approval.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Allowed hours, in the local time of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Values of the label `site` it is for; every robot when empty.
    #[serde(default)]
    pub sites: BTreeSet<String>,
    /// IANA name, such as `Europe/Berlin`.
    pub time_zone: String,
    /// `mon` to `sun`; every day when empty. Of a window over midnight, the day it begins.
    #[serde(default)]
    pub days: BTreeSet<String>,
    /// Local time it begins, `HH:MM`.
    pub from: String,
    /// Local time it ends, `HH:MM`; at or before `from`: on the next day.
    pub to: String,
}

/// What a robot may not be doing when it is changed, and how long is waited for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RobotRule {
    /// States in which a robot is left alone.
    pub not_while: BTreeSet<Busy>,
    /// How long it is waited for, seconds; then the robot has failed without being told.
    pub max_wait_s: u64,
}

impl Default for RobotRule {
    fn default() -> Self {
        Self { not_while: BTreeSet::new(), max_wait_s: 3600 }
    }
}

/// What keeps a robot from being changed. A robot that does not report it is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Busy {
    /// A mission runs.
    Mission,
    /// Its battery is charging.
    Charging,
    /// The node of the slot is not lifecycle-active.
    LifecycleInactive,
}

/// What happens when a gate fails or too many robots do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Hold, for somebody to decide.
    Pause,
    /// Take the robots of the stage back, then hold.
    RollbackStage,
    /// Take every robot back.
    #[default]
    RollbackAll,
}

/// What happens when another rollout holds some of these robots in this slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenTaken {
    /// Refuse this one.
    #[default]
    Refuse,
    /// Begin when the other has ended.
    Queue,
}

/// Stage 0: recorded frames go through the candidate beside what robots run now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Id of a capture (an MCAP file) that robots uploaded, or the artifact path of one.
    pub recording: String,
    /// Topic of the frames in it; the only one with images when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Version of the same name that the candidate is held against; what most of the robots run when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Least share of frames on which both must agree (top label, or outputs within `tolerance`), 0 to 1.
    #[serde(default = "default_agreement")]
    pub min_agreement: f64,
    /// Largest relative difference of outputs that counts as agreement where there are no labels.
    #[serde(default = "default_tolerance")]
    pub tolerance: f64,
    /// Most the candidate's median latency may be of the other's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_latency_ratio: Option<f64>,
    /// Least frames; fewer are inconclusive.
    #[serde(default = "default_samples")]
    pub min_frames: u64,
}

fn default_agreement() -> f64 {
    0.9
}

fn default_tolerance() -> f64 {
    0.01
}

pub(crate) fn default_samples() -> u64 {
    200
}

/// What must hold at the end of a stage: exactly one of `expression` and `compare`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// For people; unique among the gates of a stage.
    pub name: String,
    /// An expression in CEL over `updated`, `before` and `rest`: each a map from metric to `{n, mean, p50, p95, min, max}`, such as
    /// `updated.accuracy.mean >= 0.9 && updated.output_drift.mean < 0.5`. True when the gate passes; a metric nobody reported makes it
    /// inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// One metric of the updated robots against another arm, by a two-sample test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
    /// Least frames (of metrics that are not per frame: least samples) of each arm that is looked at; fewer are inconclusive.
    #[serde(default = "default_samples")]
    pub min_samples: u64,
}

/// One metric against another arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// `mission_success`, `error_rate`, `interventions`, `accuracy`, `latency_p50_us`, `latency_p95_us`, `fps`, `input_drift`,
    /// `output_drift`, `sensor_health`, or any telemetry channel.
    pub metric: String,
    /// Against whom.
    pub against: Arm,
    /// Which way is worse.
    pub worse: Worse,
    /// How much worse is still taken, in the metric's unit.
    #[serde(default)]
    pub margin: f64,
    /// Chance that a change that is no worse than `margin` fails, and that one that is worse passes; 0 to 0.5.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
}

fn default_alpha() -> f64 {
    0.05
}

/// Whom the updated robots are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The same robots, before.
    Before,
    /// Robots of the rollout that are not updated yet, over the same time.
    Rest,
}

/// Which way of a metric is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    /// Less is worse: accuracy.
    Lower,
    /// More is worse: latency.
    Higher,
}
