//! What crosses between a robot and its control plane, whichever uplink carries it.
//!
//! Robots tail their edge log upwards as [`Batch`]es; the control plane answers with an [`Ack`] that names the next
//! sequence number it wants, and sends [`DesiredState`] and [`Command`]s downwards inside an [`Envelope`]. Every document carries `v`,
//! unknown fields are ignored, and nothing here knows a transport, a clock or a database.

mod body;
mod capture;
mod class;
mod codec;
mod command;
mod desired;
mod live;
mod log;
mod news;
mod number;
mod policy;
mod state;
mod telemetry;
mod topic;

pub use body::{
    ApplicationEventBody, Content, DeploymentStatusBody, DriftFeatureBody, DriftReportBody, EntryBody, EvaluationBody, EventSeverity,
    FaultBody, InferenceSummaryBody, LinkBody, MissionBody, MissionKind, Point, PointsBody,
};
pub use capture::{CaptureBody, CaptureInfo, CaptureProgress, CaptureState, MAX_CAPTURE_PART_BYTES};
pub use class::Class;
pub use codec::{MAX_DECODED_BYTES, MAX_DOCUMENT_BYTES, WireError, decode, encode};
pub use command::{Action, Command, CommandOutcome, CommandStatusBody};
pub use desired::{BundleFileRef, DesiredState, DocumentKind, Envelope, Signature, SlotKind, SlotSpec, Version};
pub use live::{
    LiveAbout, LiveBody, LiveCounts, LiveDirection, LiveKeys, LiveMark, LiveRequest, LiveTopic, LiveTopicAbout, MAX_LIVE_MESSAGE_BYTES,
    MAX_LIVE_S, MAX_LIVE_TOPICS,
};
pub use log::{Ack, AckOutcome, Batch, ClassPosition, Entry, Hello, LogAck, Loss, Upstream};
pub use news::News;
pub use number::{float, u64_string};
pub use policy::{
    Capture, Escalation, Field, FieldPath, MAX_CONDITION_BYTES, MAX_POLICY_BYTES, OnChange, PolicyError, Reason, Reduce, Route, Samples,
    Step, TelemetryPolicy, Treat, Trigger, VersionedPolicy, Watch, Window, name_matches,
};
pub use state::{Activity, ConfigurationState, Hold, LocalChange, ObservedState, SlotState, SlotStatus, StateBody, VersionVector};
pub use telemetry::{
    EscalationBody, FieldWindow, NumberWindow, PolicyOutcome, PolicyStatusBody, SampleValue, StateWindow, SurvivalBody, TimeInState,
    TopicSampleBody, TopicWindowBody, TriggerBody,
};
pub use topic::Topics;

/// Version of every document in this crate, the value of its `v` field.
pub const WIRE_VERSION: u32 = 1;
