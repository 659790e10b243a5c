//! What an entry says. One variant per kind of fact; class and kind together say how it is kept.

use serde::{Deserialize, Serialize};

use crate::{
    CaptureBody, CommandStatusBody, EscalationBody, LiveBody, PolicyStatusBody, SlotKind, SlotStatus, StateBody, SurvivalBody,
    TopicSampleBody, TopicWindowBody, TriggerBody, Version, float,
};

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
    /// Software that is not ROS told the bridge what happened. Class `event`.
    ApplicationEvent(ApplicationEventBody),
    /// Numbers of a channel that such software registered. Class `summary` or `detail`, as it was registered.
    Points(PointsBody),
    /// A window of a policy's route closed. Class as the route says.
    TopicWindow(TopicWindowBody),
    /// Single values of a policy's route. Class as the route says.
    TopicSample(TopicSampleBody),
    /// A policy was taken up or refused. Class `critical`.
    PolicyStatus(PolicyStatusBody),
    /// What came of a command. Class `critical`.
    CommandStatus(CommandStatusBody),
    /// More of some topics is reported for a while, or no more. Class `event`.
    Escalation(EscalationBody),
    /// Messages of some topics are forwarded to an operator for a while, or no more. Class `event`.
    Live(LiveBody),
    /// The host is short of something, or has enough again. Class `critical`.
    Survival(SurvivalBody),
    /// A trigger of the policy fired. Class `event`.
    Trigger(TriggerBody),
    /// Something became of a capture. Class `event`, or `critical` when it is lost.
    Capture(CaptureBody),
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
            EntryBody::ApplicationEvent(_) => "application_event",
            EntryBody::Points(_) => "points",
            EntryBody::TopicWindow(_) => "topic_window",
            EntryBody::TopicSample(_) => "topic_sample",
            EntryBody::PolicyStatus(_) => "policy_status",
            EntryBody::CommandStatus(_) => "command_status",
            EntryBody::Escalation(_) => "escalation",
            EntryBody::Live(_) => "live",
            EntryBody::Survival(_) => "survival",
            EntryBody::Trigger(_) => "trigger",
            EntryBody::Capture(_) => "capture",
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

/// A deployment took a step on a robot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStatusBody {
    /// Desired state that asked for it.
    #[serde(flatten)]
    pub for_version: Version,
    /// Slot.
    pub slot: String,
    /// What the slot holds.
    #[serde(default, skip_serializing_if = "SlotKind::is_model", deserialize_with = "SlotKind::any")]
    pub kind: SlotKind,
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

/// One feature of a drift window. What came with later versions of the robot is optional: NaN or empty where it is not said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftFeatureBody {
    /// Feature name.
    pub name: String,
    /// `input` or `output`: of what the model sees, or of what it says.
    #[serde(default = "input")]
    pub subject: String,
    /// `bundle` or `learnt`.
    #[serde(default)]
    pub baseline: String,
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
    /// How far the mean has moved, in baseline standard deviations.
    #[serde(with = "float", default = "nan")]
    pub mean_shift: f64,
    /// Window over baseline standard deviation.
    #[serde(with = "float", default = "nan")]
    pub std_ratio: f64,
    /// Mean mid-rank in the baseline less 1/2.
    #[serde(with = "float", default = "nan")]
    pub location: f64,
    /// Significance threshold of the magnitude of `location`.
    #[serde(with = "float", default = "nan")]
    pub location_threshold: f64,
    /// Spread in ranks of the baseline, -1 to 2.
    #[serde(with = "float", default = "nan")]
    pub spread: f64,
    /// Significance threshold of the magnitude of `spread`.
    #[serde(with = "float", default = "nan")]
    pub spread_threshold: f64,
    /// Share of frames outside the baseline's range.
    #[serde(with = "float", default = "nan")]
    pub outside: f64,
    /// Significance threshold of `outside`.
    #[serde(with = "float", default = "nan")]
    pub outside_threshold: f64,
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
    /// Pearson's chi-square over the same bins or categories.
    #[serde(with = "float", default = "nan")]
    pub chi_square: f64,
    /// Significance threshold of `chi_square`.
    #[serde(with = "float", default = "nan")]
    pub chi_square_threshold: f64,
    /// Kullback-Leibler divergence, nats.
    #[serde(with = "float", default = "nan")]
    pub kl: f64,
    /// Jensen-Shannon divergence, nats.
    #[serde(with = "float", default = "nan")]
    pub js: f64,
    /// Wasserstein-1 distance, in the feature's unit.
    #[serde(with = "float", default = "nan")]
    pub wasserstein: f64,
    /// Chance of such a window when nothing has drifted.
    #[serde(with = "float", default = "nan")]
    pub p_value: f64,
    /// A `p_value` at or below this is significant.
    #[serde(with = "float", default = "nan")]
    pub p_threshold: f64,
    /// Statistic that chance explains least, such as `location`.
    #[serde(default)]
    pub strongest: String,
    /// Interior bin edges.
    pub edges: Vec<f64>,
    /// Names of the bins where there are categories; the last is of all others.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Frames per bin, `edges.len() + 1` values or one per category. Windows and robots add up exactly.
    pub counts: Vec<u64>,
    /// This window alone is beyond chance.
    #[serde(default)]
    pub significant: bool,
    /// Whether the feature is flagged.
    pub flagged: bool,
}

fn nan() -> f64 {
    f64::NAN
}

fn one() -> u64 {
    1
}

fn input() -> String {
    "input".to_owned()
}

impl DriftFeatureBody {
    /// A statistic that can alarm, in magnitude, and its threshold; `None` when no such statistic is known or it was not said.
    pub fn statistic(&self, name: &str) -> Option<(f64, f64)> {
        let (value, threshold) = match name {
            "location" => (self.location, self.location_threshold),
            "spread" => (self.spread, self.spread_threshold),
            "outside" => (self.outside, self.outside_threshold),
            "psi" => (self.psi, self.psi_threshold),
            "ks" => (self.ks, self.ks_threshold),
            "chi_square" => (self.chi_square, self.chi_square_threshold),
            _ => return None,
        };
        (!value.is_nan() && !threshold.is_nan()).then_some((value.abs(), threshold))
    }

    /// Name, magnitude and threshold of the statistic that chance explains least. Of a robot that does not say which it is,
    /// the PSI.
    pub fn leading(&self) -> (&str, f64, f64) {
        match self.statistic(&self.strongest) {
            Some((value, threshold)) => (&self.strongest, value, threshold),
            None => ("psi", self.psi, self.psi_threshold),
        }
    }
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
    /// Number of the window since the baseline was set, from 1; of several, the last one's.
    pub window: u64,
    /// Windows that were summed up: `n`, `n_effective`, counts, mean and deviation of a feature are those of all of them together,
    /// its statistics those of the strangest.
    #[serde(default = "one")]
    pub windows: u64,
    /// Time of the window's first frame, microseconds since the Unix epoch.
    pub start_us: i64,
    /// Time of the window's last frame.
    pub end_us: i64,
    /// False flags that one window may bring, over all features.
    pub false_alarm_rate: f64,
    /// False flags per day that are allowed; NaN from robots that had a rate per window only.
    #[serde(with = "float", default = "nan")]
    pub false_alarms_per_day: f64,
    /// What the window lasted, seconds; NaN from older robots.
    #[serde(with = "float", default = "nan")]
    pub duration_s: f64,
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
    /// Frames of the period that got no answer, because they were refused or the model failed on them; not known of older robots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
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

/// How much an event asks for attention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSeverity {
    /// Good to know.
    #[default]
    Info,
    /// Worth a look.
    Warning,
    /// Something is broken.
    Error,
}

/// Software on the robot that is not ROS says what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationEventBody {
    /// Program that says so.
    pub source: String,
    /// What kind of thing happened, such as `battery_swapped`.
    pub name: String,
    /// How much it asks for attention.
    #[serde(default)]
    pub severity: EventSeverity,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// Particulars, as they came.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}

/// One number of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When, microseconds since the Unix epoch.
    pub t_us: i64,
    /// How much, in the channel's unit.
    #[serde(with = "float")]
    pub value: f64,
}

/// Numbers of one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointsBody {
    /// Channel, as it was registered.
    pub channel: String,
    /// Its unit, such as `degC`; empty when it has none.
    #[serde(default)]
    pub unit: String,
    /// In the order in which they came.
    pub points: Vec<Point>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a robot of the first version sends of a feature.
    const FIRST: &str = r#"{"name":"brightness","n":100,"n_effective":80.0,"mean":1.0,"baseline_mean":2.0,"std":1.0,"baseline_std":1.0,
        "psi":0.9,"psi_threshold":0.4,"ks":0.1,"ks_threshold":"Infinity","edges":[1.0],"counts":[40,60],"flagged":true}"#;

    #[test]
    fn a_feature_of_an_older_robot_is_read_and_leads_with_its_psi() {
        let feature: DriftFeatureBody = serde_json::from_str(FIRST).unwrap();
        assert_eq!((feature.subject.as_str(), feature.leading()), ("input", ("psi", 0.9, 0.4)));
        assert!(feature.p_value.is_nan() && feature.categories.is_empty() && feature.statistic("location").is_none());
    }

    #[test]
    fn a_feature_leads_with_its_strongest_statistic_in_magnitude() {
        let mut feature: DriftFeatureBody = serde_json::from_str(FIRST).unwrap();
        (feature.strongest, feature.location, feature.location_threshold) = ("location".into(), -0.3, 0.1);
        assert_eq!(feature.leading(), ("location", 0.3, 0.1));
        let back: DriftFeatureBody = serde_json::from_str(&serde_json::to_string(&feature).unwrap()).unwrap();
        assert_eq!((back.leading(), back.spread.is_nan()), (("location", 0.3, 0.1), true));
    }
}
