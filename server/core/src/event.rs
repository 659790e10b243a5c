//! The timeline: entries worth a line to a person.

use edgeflow_wire::{
    CaptureState, Class, CommandOutcome, Content, EntryBody, EventSeverity, MissionKind, PolicyOutcome, SampleValue, SlotStatus,
};
use serde::Serialize;

use crate::{
    entry::{StoredEntry, body},
    rollout::{Happened, HistoryEntry, Phase},
    words::counted,
};

/// Classes whose entries make the timeline.
pub const TIMELINE_CLASSES: [Class; 2] = [Class::Critical, Class::Event];

/// Kinds of entries that come all the time from a robot with which all is well: steps of missions, reports of its state, and numbers.
pub const ROUTINE_KINDS: [&str; 7] = ["mission", "state", "points", "topic_window", "topic_sample", "evaluation", "inference_summary"];

/// Whether an entry belongs on the timeline of somebody who wants to see what is not routine.
pub fn notable(class: Class, content: &Content) -> bool {
    let routine = match content {
        Content::Known(EntryBody::Mission(mission)) => mission.step != MissionKind::Failed,
        content => ROUTINE_KINDS.contains(&content.kind()),
    };
    TIMELINE_CLASSES.contains(&class) && !routine
}

/// How much an event asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look.
    Warning,
    /// Something is broken.
    Error,
}

impl From<EventSeverity> for Severity {
    fn from(severity: EventSeverity) -> Self {
        match severity {
            EventSeverity::Info => Self::Info,
            EventSeverity::Warning => Self::Warning,
            EventSeverity::Error => Self::Error,
        }
    }
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EventView {
    /// Place in the order of arrival; below zero of what happened to a rollout.
    pub id: i64,
    /// Whose event; empty when it is about no robot, but about a rollout.
    pub target: String,
    /// `critical` or `event`.
    pub class: String,
    /// What kind of fact it is.
    pub kind: String,
    /// When it happened, by the robot's clock, microseconds since the Unix epoch.
    pub t_us: i64,
    /// When it arrived, by ours.
    pub received_us: i64,
    /// One line for people.
    pub title: String,
    /// How much it asks for attention.
    pub severity: Severity,
    /// Particulars.
    pub body: serde_json::Value,
}

/// The line an entry makes; `None` when its class does not belong on the timeline.
pub fn of(entry: &StoredEntry) -> Option<EventView> {
    if !TIMELINE_CLASSES.contains(&entry.class) {
        return None;
    }
    let (title, severity) = headline(&entry.content);
    Some(EventView {
        id: entry.id,
        target: entry.target.to_string(),
        class: entry.class.as_str().to_owned(),
        kind: entry.content.kind().to_owned(),
        t_us: entry.t_us,
        received_us: entry.received_us,
        title,
        severity,
        body: body(&entry.content),
    })
}

fn said(value: &SampleValue) -> String {
    match value {
        SampleValue::Bool(value) => value.to_string(),
        SampleValue::Number(value) => value.to_string(),
        SampleValue::Text(value) => value.clone(),
    }
}

/// What a person hears of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutHappened {
    /// Place in the order in which things happened to rollouts.
    pub id: i64,
    /// Its number.
    pub rollout: i64,
    /// What it brings, such as `label-reader 2`; a policy has neither name nor version.
    pub what: String,
    /// What happened.
    pub entry: HistoryEntry,
}

/// What happens to a rollout that makes a line; what happens to one robot of it, that robot says itself.
pub const ROLLOUT_EVENTS: [Happened; 11] = [
    Happened::Created,
    Happened::Queued,
    Happened::ApprovalAsked,
    Happened::Approved,
    Happened::StageFailed,
    Happened::Paused,
    Happened::Resumed,
    Happened::Promoted,
    Happened::RollbackBegan,
    Happened::Retried,
    Happened::Ended,
];

/// Kind of a line about a rollout.
pub const ROLLOUT_KIND: &str = "rollout";

/// The line of something that happened to a rollout; `None` when it makes none. It is about no robot, and its number is negative, so
/// that it is none of an entry.
pub fn of_rollout(happened: &RolloutHappened) -> Option<EventView> {
    let RolloutHappened { id, rollout, what, entry } = happened;
    if !ROLLOUT_EVENTS.contains(&entry.happened) {
        return None;
    }
    let stage = entry.stage.as_deref().unwrap_or_default();
    let (does, severity) = match entry.happened {
        Happened::Queued => ("waits".to_owned(), Severity::Info),
        Happened::ApprovalAsked => (format!("waits for approval of stage {stage}"), Severity::Warning),
        Happened::Approved => (format!("may begin stage {stage}"), Severity::Info),
        Happened::StageFailed => (format!("failed in stage {stage}"), Severity::Error),
        Happened::Paused => ("is paused".to_owned(), Severity::Warning),
        Happened::Resumed => ("goes on".to_owned(), Severity::Info),
        Happened::Promoted => (format!("passed stage {stage} on somebody's word"), Severity::Warning),
        Happened::RollbackBegan => ("goes back".to_owned(), Severity::Warning),
        Happened::Retried => ("is tried again".to_owned(), Severity::Info),
        Happened::Ended => match entry.phase {
            Phase::Succeeded => ("succeeded".to_owned(), Severity::Info),
            Phase::RolledBack => ("is rolled back".to_owned(), Severity::Warning),
            Phase::Aborted => ("was aborted".to_owned(), Severity::Warning),
            _ => ("failed".to_owned(), Severity::Error),
        },
        _ => ("was made".to_owned(), Severity::Info),
    };
    let cause = if entry.cause.is_empty() { String::new() } else { format!(": {}", entry.cause) };
    let what = if what.is_empty() { String::new() } else { format!(" of {what}") };
    Some(EventView {
        id: -id,
        target: String::new(),
        class: Class::Critical.as_str().to_owned(),
        kind: ROLLOUT_KIND.to_owned(),
        t_us: entry.at_us,
        received_us: entry.at_us,
        title: format!("rollout {rollout}{what} {does}{cause}"),
        severity,
        body: serde_json::json!({ "rollout": rollout.to_string(), "happened": entry.happened, "phase": entry.phase, "stage": entry.stage }),
    })
}

pub(crate) fn headline(content: &Content) -> (String, Severity) {
    let known = match content {
        Content::Known(known) => known,
        Content::Unknown { kind, .. } => return (kind.replace('_', " "), Severity::Info),
    };
    match known {
        EntryBody::State(state) => {
            let running: Vec<String> = state
                .slots
                .iter()
                .map(|(slot, now)| match now.digest.as_str() {
                    "" => format!("nothing in {slot}"),
                    _ => format!("{} {} in {slot}", now.model, now.version),
                })
                .collect();
            let severity =
                if state.slots.values().any(|now| now.status == SlotStatus::Failed) { Severity::Warning } else { Severity::Info };
            (format!("runs {}", if running.is_empty() { "nothing".to_owned() } else { running.join(", ") }), severity)
        }
        EntryBody::DeploymentStatus(step) => {
            let what = format!("{} {}", step.model, step.model_version);
            match step.status {
                SlotStatus::Pending => (format!("{what} declared"), Severity::Info),
                SlotStatus::Downloading => (format!("downloading {what}"), Severity::Info),
                SlotStatus::Verifying => (format!("verifying {what}"), Severity::Info),
                SlotStatus::Warming => (format!("warming up {what}"), Severity::Info),
                SlotStatus::Active => (format!("{what} active"), Severity::Info),
                SlotStatus::Failed => (format!("{what} failed: {}", step.reason), Severity::Error),
                SlotStatus::RolledBack => (format!("{what} rolled back: {}", step.reason), Severity::Warning),
            }
        }
        EntryBody::DriftReport(report) if report.flagged => {
            let flagged: Vec<_> = report.features.iter().filter(|one| one.flagged).collect();
            let names: Vec<&str> = flagged.iter().map(|one| one.name.as_str()).collect();
            let what = if flagged.iter().all(|one| one.subject == "output") { "output" } else { "input" };
            (format!("{what} drift in {} (PSI {:.2})", names.join(", "), report.max_psi), Severity::Warning)
        }
        EntryBody::DriftReport(_) => ("inputs and outputs fit the baseline".to_owned(), Severity::Info),
        EntryBody::Evaluation(evaluation) => (
            format!("accuracy {:.1} % over {}", evaluation.accuracy * 100.0, counted(evaluation.samples, "result", "results")),
            Severity::Info,
        ),
        EntryBody::InferenceSummary(summary) => (format!("{:.1} results per second", summary.rate_hz), Severity::Info),
        EntryBody::Mission(mission) => match mission.step {
            MissionKind::Started => (format!("mission {} started", mission.mission_id), Severity::Info),
            MissionKind::Waypoint => (format!("mission {} at {:.0} %", mission.mission_id, mission.progress * 100.0), Severity::Info),
            MissionKind::Succeeded => (format!("mission {} succeeded", mission.mission_id), Severity::Info),
            MissionKind::Failed => (format!("mission {} failed: {}", mission.mission_id, mission.detail), Severity::Error),
        },
        EntryBody::Link(link) if link.connected => (format!("uplink back ({})", link.uplink), Severity::Info),
        EntryBody::Link(link) => (format!("uplink lost ({}): {}", link.uplink, link.reason), Severity::Warning),
        EntryBody::Fault(fault) => (format!("{}: {}", fault.source, fault.message), Severity::Error),
        EntryBody::ApplicationEvent(event) => {
            let what = format!("{}: {}", event.source, event.name.replace('_', " "));
            let title = if event.message.is_empty() { what } else { format!("{what}: {}", event.message) };
            (title, event.severity.into())
        }
        EntryBody::Points(points) => (format!("{} of {}", counted(points.points.len(), "point", "points"), points.channel), Severity::Info),
        EntryBody::TopicWindow(window) => {
            (format!("{} of {}: {}", window.route, window.topic, counted(window.messages, "message", "messages")), Severity::Info)
        }
        EntryBody::TopicSample(sample) => {
            let values: Vec<String> = sample.values.iter().map(|(path, value)| format!("{path} {}", said(value))).collect();
            (format!("{}: {}", sample.topic, values.join(", ")), Severity::Info)
        }
        EntryBody::PolicyStatus(status) => match status.outcome {
            PolicyOutcome::Applied => (format!("telemetry policy {} applied", status.version), Severity::Info),
            PolicyOutcome::Refused => (format!("telemetry policy {} refused: {}", status.version, status.reason), Severity::Error),
        },
        EntryBody::Escalation(escalation) if escalation.active => {
            (format!("{} escalated for {:.0} s: {}", escalation.name, escalation.for_s, escalation.reason), Severity::Warning)
        }
        EntryBody::Escalation(escalation) => (format!("escalation {} ended: {}", escalation.name, escalation.reason), Severity::Info),
        EntryBody::Live(live) if live.active => {
            let topics: Vec<&str> = live.topics.iter().map(|about| about.topic.as_str()).collect();
            (format!("live session {} of {} for {:.0} s", live.session, topics.join(", "), live.for_s), Severity::Info)
        }
        EntryBody::Live(live) => {
            let forwarded: u64 = live.topics.iter().map(|about| about.counts.forwarded).sum();
            let left_out: u64 = live.topics.iter().map(|about| about.counts.left_out + about.counts.too_large).sum();
            let what = format!("live session {} ended: {}", live.session, live.reason);
            (format!("{what}; {} forwarded, {left_out} left out", counted(forwarded, "message", "messages")), Severity::Info)
        }
        EntryBody::Survival(survival) => match survival.shed {
            Some(class) => (format!("entries of class {class} and below are given up: {}", survival.reason), Severity::Warning),
            None => (format!("all entries are made again: {}", survival.reason), Severity::Info),
        },
        EntryBody::Trigger(trigger) => {
            let what = if trigger.message.is_empty() {
                let values: Vec<String> = trigger.values.iter().map(|(path, value)| format!("{path} {}", said(value))).collect();
                values.join(", ")
            } else {
                trigger.message.clone()
            };
            (format!("{}: {what}", trigger.name), trigger.severity.into())
        }
        EntryBody::Capture(capture) => {
            let of = if capture.info.reason.is_empty() { &capture.info.id } else { &capture.info.reason };
            match capture.state {
                CaptureState::Recorded => {
                    (format!("captured {}: {of}", counted(capture.info.messages, "message", "messages")), Severity::Info)
                }
                CaptureState::Uploaded => (format!("capture uploaded: {of}"), Severity::Info),
                CaptureState::Dropped => (format!("capture lost ({of}): {}", capture.message), Severity::Warning),
                CaptureState::Refused => (format!("capture refused ({of}): {}", capture.message), Severity::Error),
                CaptureState::Failed => (format!("capture failed ({of}): {}", capture.message), Severity::Error),
            }
        }
        EntryBody::CommandStatus(status) => match status.outcome {
            CommandOutcome::Done => (format!("command {} done", status.id), Severity::Info),
            CommandOutcome::Expired => (format!("command {} expired", status.id), Severity::Warning),
            CommandOutcome::Refused => (format!("command {} refused: {}", status.id, status.message), Severity::Warning),
            CommandOutcome::Interrupted => (format!("command {} was interrupted: {}", status.id, status.message), Severity::Warning),
            CommandOutcome::Failed => (format!("command {} failed: {}", status.id, status.message), Severity::Error),
        },
    }
}
