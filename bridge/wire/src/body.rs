//! What an entry says. One variant per kind of fact; class and kind together say how it is kept.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{Version, float};

/// The content of a log entry, tagged by `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum EntryBody {
    /// What the robot is and runs now. Class `event`.
    State(StateBody),
    /// A deployment took a step. Class `critical`.
    DeploymentStatus(DeploymentStatusBody),
    /// A drift window closed. Class `summary`, or `event` when `flagged` changed.
    DriftReport(DriftReportBody),
    /// Accuracy against ground truth. Class `summary`.
    Evaluation(EvaluationBody),
    /// Rates and latencies of inference over a period. Class `summary`.
    InferenceSummary(InferenceSummaryBody),
    /// A mission took a step. Class `event`.
    Mission(MissionBody),
    /// The uplink came or went. Class `event`.
    Link(LinkBody),
    /// Something is wrong on the robot. Class `critical`.
    Fault(FaultBody),
}

impl EntryBody {
    /// The `kind` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            EntryBody::State(_) => "state",
            EntryBody::DeploymentStatus(_) => "deployment_status",
            EntryBody::DriftReport(_) => "drift_report",
            EntryBody::Evaluation(_) => "evaluation",
            EntryBody::InferenceSummary(_) => "inference_summary",
            EntryBody::Mission(_) => "mission",
            EntryBody::Link(_) => "link",
            EntryBody::Fault(_) => "fault",
        }
    }
}

/// The content of an entry as it was read: of a kind this version knows, or kept as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A kind of this version.
    Known(EntryBody),
    /// A kind of a later version (or a body this version cannot read): stored and shown, never dropped.
    Unknown {
        /// Its kind.
        kind: String,
        /// Its body.
        body: serde_json::Value,
    },
}

impl Content {
    /// The `kind` on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Content::Known(body) => body.kind(),
            Content::Unknown { kind, .. } => kind,
        }
    }
}

impl From<EntryBody> for Content {
    fn from(body: EntryBody) -> Self {
        Content::Known(body)
    }
}

/// Where a slot is on its way to its declared content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotStatus {
    /// Known, not begun.
    Pending,
    /// Fetching the bundle.
    Downloading,
    /// Checking digests.
    Verifying,
    /// Building the session beside the running one.
    Warming,
    /// Serving.
    Active,
    /// Refused or broken; what ran before keeps running.
    Failed,
    /// Taken back to what ran before.
    RolledBack,
}

/// The newest desired state a robot has taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedState {
    /// Its version.
    #[serde(flatten)]
    pub version: Version,
}

/// One slot as the robot sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotState {
    /// Where it is on its way.
    pub status: SlotStatus,
    /// Registry name of the model that serves now; empty when none does.
    pub model: String,
    /// Registry version of the model that serves now.
    pub version: String,
    /// Bundle digest that serves now: the attested truth. Empty when none does.
    pub digest: String,
    /// Why, when failed or rolled back.
    #[serde(default)]
    pub reason: String,
}

/// What the robot is and runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBody {
    /// Newest desired state taken up.
    pub observed: ObservedState,
    /// Slot name to its state.
    pub slots: BTreeMap<String, SlotState>,
    /// Software version of the bridge.
    pub software: String,
}

/// A deployment took a step on a robot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStatusBody {
    /// Desired state that asked for it.
    #[serde(flatten)]
    pub for_version: Version,
    /// Slot.
    pub slot: String,
    /// Step reached.
    pub status: SlotStatus,
    /// Registry name of the model asked for.
    pub model: String,
    /// Registry version of the model asked for.
    pub model_version: String,
    /// Bundle digest asked for.
    pub digest: String,
    /// Bundle digest that serves frames at this moment; empty when none does.
    pub running_digest: String,
    /// Why, when failed or rolled back.
    #[serde(default)]
    pub reason: String,
    /// On `active`: longest time no session could take a frame, microseconds.
    #[serde(default)]
    pub swap_gap_us: u32,
}

/// One feature of a drift window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftFeatureBody {
    /// Feature name.
    pub name: String,
    /// Frames in the window.
    pub n: u64,
    /// Independent samples they amount to.
    #[serde(with = "float")]
    pub n_effective: f64,
    /// Window mean, in the feature's unit.
    #[serde(with = "float")]
    pub mean: f64,
    /// Baseline mean.
    #[serde(with = "float")]
    pub baseline_mean: f64,
    /// Window standard deviation.
    #[serde(with = "float")]
    pub std: f64,
    /// Baseline standard deviation.
    #[serde(with = "float")]
    pub baseline_std: f64,
    /// Population stability index.
    #[serde(with = "float")]
    pub psi: f64,
    /// Significance threshold of `psi`.
    #[serde(with = "float")]
    pub psi_threshold: f64,
    /// Kolmogorov-Smirnov distance over the same bins.
    #[serde(with = "float")]
    pub ks: f64,
    /// Significance threshold of `ks`.
    #[serde(with = "float")]
    pub ks_threshold: f64,
    /// Interior bin edges.
    pub edges: Vec<f64>,
    /// Frames per bin, `edges.len() + 1` values. Windows and robots add up exactly.
    pub counts: Vec<u64>,
    /// Whether the feature is flagged.
    pub flagged: bool,
}

/// A drift window closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftReportBody {
    /// Registry name of the model.
    pub model: String,
    /// Registry version of the model.
    pub model_version: String,
    /// Bundle digest the baseline belongs to.
    pub digest: String,
    /// `bundle` or `learnt`.
    pub baseline: String,
    /// Number of the window since the baseline was set, from 1.
    pub window: u64,
    /// Time of the window's first frame, microseconds since the Unix epoch.
    pub start_us: i64,
    /// Time of the window's last frame.
    pub end_us: i64,
    /// Chance per window, over all features, of a false significance.
    pub false_alarm_rate: f64,
    /// Any feature is flagged.
    pub flagged: bool,
    /// Greatest psi of the features.
    #[serde(with = "float")]
    pub max_psi: f64,
    /// Per feature.
    pub features: Vec<DriftFeatureBody>,
}

/// Accuracy of a model against ground truth so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationBody {
    /// Registry name of the model.
    pub model: String,
    /// Registry version of the model.
    pub model_version: String,
    /// Bundle digest of the model.
    pub digest: String,
    /// Results of this digest joined to truth.
    pub samples: u64,
    /// Of those, the right ones.
    pub correct: u64,
    /// `correct / samples`, 0 to 1.
    #[serde(with = "float")]
    pub accuracy: f64,
}

/// Inference over one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceSummaryBody {
    /// Length of the period, microseconds.
    pub period_us: i64,
    /// Results seen in the period.
    pub results: u64,
    /// Results per second.
    #[serde(with = "float")]
    pub rate_hz: f64,
    /// Median latency, microseconds.
    pub latency_p50_us: u32,
    /// 95th percentile of latency, microseconds.
    pub latency_p95_us: u32,
    /// Mean score of the winning class; NaN when the model gives none.
    #[serde(with = "float")]
    pub mean_score: f64,
    /// Bundle digest of the period's last result.
    pub digest: String,
}

/// Step of a mission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissionKind {
    /// Began.
    Started,
    /// Reached a waypoint.
    Waypoint,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
}

/// A mission took a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissionBody {
    /// Counts the robot's mission events from 1 without gaps: whoever reads can tell that none is missing.
    pub sequence: u64,
    /// Mission.
    pub mission_id: String,
    /// Step.
    pub step: MissionKind,
    /// 0 to 1.
    #[serde(with = "float")]
    pub progress: f64,
    /// For people.
    #[serde(default)]
    pub detail: String,
}

/// The uplink came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkBody {
    /// Whether the control plane answers.
    pub connected: bool,
    /// `mqtt`, `zenoh` or `http`.
    pub uplink: String,
    /// Why it changed, for people.
    #[serde(default)]
    pub reason: String,
}

/// Something is wrong on the robot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultBody {
    /// What has the fault: a node, a slot, the log.
    pub source: String,
    /// What is wrong and what to do.
    pub message: String,
}
