//! Facts about a robot, and the line each makes for people.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Category, Place};
use crate::{
    RobotId,
    audit::AuditRecord,
    capture::Offered,
    command::{GivenCommand, view as command_view},
    entry::{LossView, StoredEntry},
    event::{self, Severity},
    identity::{Certificate, CertificateView},
    lineage::Interval,
    words::counted,
};

/// A deployment, as one of its robots met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its number.
    pub deployment: i64,
    /// Which model.
    pub model: String,
    /// Which version of it.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
    /// Into which slot.
    pub slot: String,
    /// The desired state that says so.
    pub desired: edgeflow_wire::Version,
    /// When, by our clock.
    pub at_us: i64,
    /// Who.
    pub created_by: String,
    /// The rollout that told it, if one did.
    pub rollout: Option<i64>,
}

/// Something that touched a robot.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// It began to say that a bundle serves; instead of what, when that ended there and then.
    Began(Interval, Option<String>),
    /// It said that nothing serves any more.
    Ended(Interval),
    /// It said this.
    Entry(StoredEntry),
    /// A range of its log will never come.
    Lost(LossView),
    /// It came with a log of this name; whether that was its first.
    Epoch(String, bool),
    /// It was told to run something.
    Told(Told),
    /// It was given a command.
    Commanded(GivenCommand),
    /// A recording of its arrived.
    CaptureStored(Offered),
    /// A recording of its went.
    CaptureGone(Offered),
    /// A certificate of its was revoked.
    Revoked(Certificate),
    /// Somebody did something to it.
    Act(AuditRecord),
}

/// A fact and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Touch {
    /// Its place.
    pub place: Place,
    /// What.
    pub fact: Fact,
}

/// Whose clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockOf {
    /// The robot's.
    Robot,
    /// Ours.
    Server,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TimelineItem {
    /// Names it, for good.
    pub id: String,
    /// What it is about.
    pub category: Category,
    /// Finer: `interval_began`, `interval_ended`, `deployment`, `command`, `capture_stored`, `capture_gone`, `certificate_revoked`,
    /// `log_loss`, `log_epoch`, the action of an act on record such as `set_policy` (what came of it when it was not done, such as `denied`), or the kind of
    /// an entry of the robot's log.
    pub kind: String,
    /// Its place in time, microseconds since the Unix epoch.
    pub at_us: i64,
    /// By whose clock that is.
    pub clock: ClockOf,
    /// When, by the robot's clock, where it has said so.
    pub robot_us: Option<i64>,
    /// When, by ours: done here, or heard of.
    pub server_us: Option<i64>,
    /// Who: `robot:{name}`, `administrator`, or `edgeflow-server` for what it did of itself.
    pub who: String,
    /// One line for people.
    pub title: String,
    /// How much it asks for attention.
    pub severity: Severity,
    /// Particulars.
    pub body: Value,
}

const SERVER: &str = "edgeflow-server";

/// A fact as it is shown at `now_us`.
pub fn view(robot: &RobotId, touch: Touch, now_us: i64) -> TimelineItem {
    let Touch { place, fact } = touch;
    let said_by = format!("robot:{}", robot.name);
    let line = line_of(fact, place.at_us, now_us);
    TimelineItem {
        id: format!("{}:{}", place.source.as_str(), place.id),
        category: line.category,
        kind: line.kind,
        at_us: place.at_us,
        clock: line.clock,
        robot_us: line.robot_us,
        server_us: line.server_us,
        who: line.who.unwrap_or(said_by),
        title: line.title,
        severity: line.severity,
        body: line.body,
    }
}

/// What is said of a fact. Without a `who` the robot said it.
struct Line {
    category: Category,
    kind: String,
    clock: ClockOf,
    robot_us: Option<i64>,
    server_us: Option<i64>,
    who: Option<String>,
    title: String,
    severity: Severity,
    body: Value,
}

fn line_of(fact: Fact, at_us: i64, now_us: i64) -> Line {
    let by_robot = |category, kind: &str, title: String, body: Value| Line {
        category,
        kind: kind.to_owned(),
        clock: ClockOf::Robot,
        robot_us: Some(at_us),
        server_us: None,
        who: None,
        title,
        severity: Severity::Info,
        body,
    };
    let by_us = |category, kind: &str, who: String, title: String, body: Value| Line {
        category,
        kind: kind.to_owned(),
        clock: ClockOf::Server,
        robot_us: None,
        server_us: Some(at_us),
        who: Some(who),
        title,
        severity: Severity::Info,
        body,
    };
    match fact {
        Fact::Began(interval, before) => {
            let instead = before.as_ref().map(|before| format!(" instead of {before}")).unwrap_or_default();
            let title = format!("{} {} serves in {}{instead}", interval.model, interval.version, interval.slot);
            by_robot(Category::Attested, "interval_began", title, json!({ "interval": interval, "before": before }))
        }
        Fact::Ended(interval) => {
            let title = format!("{} {} serves in {} no more", interval.model, interval.version, interval.slot);
            by_robot(Category::Attested, "interval_ended", title, json!({ "interval": interval }))
        }
        Fact::Entry(entry) => {
            let (title, severity) = event::headline(&entry.content);
            let kind = entry.content.kind().to_owned();
            Line {
                category: Category::of(&kind, Category::kinds),
                clock: ClockOf::Robot,
                robot_us: Some(entry.t_us),
                server_us: Some(entry.received_us),
                who: None,
                title,
                severity,
                body: crate::entry::body(&entry.content),
                kind,
            }
        }
        Fact::Lost(loss) => Line {
            category: Category::Log,
            kind: "log_loss".to_owned(),
            clock: if loss.last_t_us.is_some() { ClockOf::Robot } else { ClockOf::Server },
            robot_us: loss.last_t_us,
            server_us: Some(loss.recorded_us),
            who: None,
            title: format!("{}: {}", lost(loss.count, &loss.class), loss.cause.as_str()),
            severity: Severity::Warning,
            body: json!(loss),
        },
        Fact::Epoch(epoch, first) => Line {
            category: Category::Log,
            kind: "log_epoch".to_owned(),
            clock: ClockOf::Server,
            robot_us: None,
            server_us: Some(at_us),
            who: None,
            title: if first { format!("first log, {epoch}") } else { format!("another log, {epoch}") },
            severity: if first { Severity::Info } else { Severity::Warning },
            body: json!({ "epoch": epoch, "first": first }),
        },
        Fact::Told(told) => {
            let by = told.rollout.map(|id| format!(" by rollout {id}")).unwrap_or_default();
            let title = format!("told to run {} {} in {}{by}", told.model, told.version, told.slot);
            let body = json!({
                "deployment": told.deployment.to_string(), "model": told.model, "version": told.version, "digest": told.digest,
                "slot": told.slot, "server_epoch": told.desired.server_epoch, "generation": told.desired.generation,
                "rollout": told.rollout.map(|id| id.to_string()),
            });
            by_us(Category::Desired, "deployment", told.created_by, title, body)
        }
        Fact::Commanded(command) => {
            let view = command_view(&command, now_us);
            let what = view.action.get("kind").and_then(Value::as_str).unwrap_or("command").replace('_', " ");
            let title = format!("told to {what}");
            Line { robot_us: view.ended_us, ..by_us(Category::Command, "command", view.created_by.clone(), title, json!(view)) }
        }
        Fact::CaptureStored(offered) => {
            let about = about_capture(&offered);
            by_us(Category::Capture, "capture_stored", SERVER.to_owned(), format!("capture {about} is here"), json!(offered.info))
        }
        Fact::CaptureGone(offered) => {
            let about = about_capture(&offered);
            let why = offered.gone.map_or("", |(_, why)| why.as_str());
            let body = json!({ "id": offered.info.id, "why": why });
            by_us(Category::Capture, "capture_gone", SERVER.to_owned(), format!("capture {about} was removed: {why}"), body)
        }
        Fact::Revoked(certificate) => {
            let title = format!("certificate {} revoked", certificate.serial);
            let body = json!(CertificateView::from(&certificate));
            by_us(Category::Identity, "certificate_revoked", SERVER.to_owned(), title, body)
        }
        Fact::Act(act) => {
            let category = Category::of(&act.action, Category::actions);
            let what = act.action.replace('_', " ");
            if act.outcome == "done" {
                by_us(category, &act.action, act.who, what, act.detail)
            } else {
                let body = json!({ "action": act.action, "detail": act.detail });
                let line = by_us(category, &act.outcome, act.who, format!("{what}: {}", act.outcome), body);
                Line { severity: Severity::Warning, ..line }
            }
        }
    }
}

fn about_capture(offered: &Offered) -> &str {
    if offered.info.reason.is_empty() { &offered.info.id } else { &offered.info.reason }
}

/// What is lost of a log.
fn lost(count: u64, class: &str) -> String {
    counted(count, &format!("entry of class {class} is lost"), &format!("entries of class {class} are lost"))
}
