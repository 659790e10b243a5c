//! Everything that touched a robot: what it said, what it was told and what was done to it, in one order.
//!
//! The facts are in several databases and by two clocks. Each has a place that never changes, `(time, source, id)`, so that pages
//! of the merged order neither repeat nor leave out anything, whatever arrives meanwhile before the window's end.

use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{
    CoreError, RobotId,
    audit::AuditRecord,
    capture::Offered,
    command::{GivenCommand, view as command_view},
    entry::{LossView, StoredEntry},
    event::{self, Severity},
    identity::{Certificate, CertificateView},
    lineage::Interval,
};

/// What a line of the timeline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// What the robot said it ran.
    Attested,
    /// What it was told to run: a desired state with a deployment behind it.
    Desired,
    /// Its steps towards that, and its reports of its slots.
    Deployment,
    /// A momentary act, and what came of it.
    Command,
    /// What it shall report of its topics.
    Policy,
    /// Its inputs and outputs against the baseline, and how accurate it was.
    Drift,
    /// Enrolment, tokens, certificates, revocation.
    Identity,
    /// Recordings.
    Capture,
    /// Its log and its link: losses, new epochs, connections.
    Log,
    /// Somebody looked at its topics live.
    Live,
    /// All else it said.
    Event,
}

impl Category {
    /// All of them.
    pub const ALL: [Category; 11] = [
        Category::Attested,
        Category::Desired,
        Category::Deployment,
        Category::Command,
        Category::Policy,
        Category::Drift,
        Category::Identity,
        Category::Capture,
        Category::Log,
        Category::Live,
        Category::Event,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Attested => "attested",
            Category::Desired => "desired",
            Category::Deployment => "deployment",
            Category::Command => "command",
            Category::Policy => "policy",
            Category::Drift => "drift",
            Category::Identity => "identity",
            Category::Capture => "capture",
            Category::Log => "log",
            Category::Live => "live",
            Category::Event => "event",
        }
    }

    /// Kinds of entries of a robot's log that are about it. Kinds nobody claims are events.
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Category::Deployment => &["deployment_status", "state"],
            Category::Command => &["command_status"],
            Category::Policy => &["policy_status", "escalation"],
            Category::Drift => &["drift_report", "evaluation"],
            Category::Capture => &["capture"],
            Category::Log => &["link", "survival"],
            Category::Live => &["live"],
            _ => &[],
        }
    }

    /// Acts on record that are about it. Acts nobody claims are events.
    fn actions(self) -> &'static [&'static str] {
        match self {
            Category::Command => &["command"],
            Category::Policy => &["set_policy"],
            Category::Identity => &["enrol_target", "bootstrap_target", "issue_certificate", "revoke_target"],
            Category::Live => &["live"],
            _ => &[],
        }
    }

    fn of(word: &str, claimed: fn(Category) -> &'static [&'static str]) -> Self {
        Self::ALL.into_iter().find(|category| claimed(*category).contains(&word)).unwrap_or(Category::Event)
    }
}

impl FromStr for Category {
    type Err = CoreError;

    fn from_str(word: &str) -> Result<Self, CoreError> {
        Self::ALL.into_iter().find(|category| category.as_str() == word).ok_or_else(|| CoreError::UnknownWord {
            what: "category",
            word: word.to_owned(),
            expected: "attested, desired, deployment, command, policy, drift, identity, capture, log, live or event",
        })
    }
}

/// Where a fact is kept. Their order decides between facts of the same microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Where an interval begins.
    Began,
    /// Where one ends and nothing follows.
    Ended,
    /// An entry of the robot's log.
    Entry,
    /// A range of it that will never come.
    Loss,
    /// An incarnation of it.
    Epoch,
    /// A deployment that names the robot.
    Deployment,
    /// A command.
    Command,
    /// A capture that arrived.
    CaptureStored,
    /// A capture that went.
    CaptureGone,
    /// A certificate that was revoked.
    Certificate,
    /// An act on record.
    Act,
}

impl Source {
    /// All of them, in their order.
    pub const ALL: [Source; 11] = [
        Source::Began,
        Source::Ended,
        Source::Entry,
        Source::Loss,
        Source::Epoch,
        Source::Deployment,
        Source::Command,
        Source::CaptureStored,
        Source::CaptureGone,
        Source::Certificate,
        Source::Act,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Source::Began => "interval",
            Source::Ended => "interval-end",
            Source::Entry => "entry",
            Source::Loss => "loss",
            Source::Epoch => "epoch",
            Source::Deployment => "deployment",
            Source::Command => "command",
            Source::CaptureStored => "capture",
            Source::CaptureGone => "capture-gone",
            Source::Certificate => "certificate",
            Source::Act => "act",
        }
    }

    /// Categories its facts can be of.
    fn categories(self) -> &'static [Category] {
        match self {
            Source::Began | Source::Ended => &[Category::Attested],
            Source::Loss | Source::Epoch => &[Category::Log],
            Source::Deployment => &[Category::Desired],
            Source::Command => &[Category::Command],
            Source::CaptureStored | Source::CaptureGone => &[Category::Capture],
            Source::Certificate => &[Category::Identity],
            Source::Entry => &[
                Category::Deployment,
                Category::Command,
                Category::Policy,
                Category::Drift,
                Category::Capture,
                Category::Log,
                Category::Live,
                Category::Event,
            ],
            Source::Act => &[Category::Command, Category::Policy, Category::Identity, Category::Live, Category::Event],
        }
    }
}

/// A place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Kept where.
    pub source: Source,
    /// Its number there.
    pub id: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at_us, self.source.as_str(), self.id)
    }
}

impl FromStr for Place {
    type Err = CoreError;

    fn from_str(text: &str) -> Result<Self, CoreError> {
        let bad = || CoreError::BadName { what: "place", name: text.chars().take(64).collect(), rule: "give the \"next\" of a page" };
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(bad);
        let (at_us, source, id) = (part()?, part()?, part()?);
        let source = Source::ALL.into_iter().find(|known| known.as_str() == source).ok_or_else(bad)?;
        Ok(Self { at_us: at_us.parse().map_err(|_| bad())?, source, id: id.parse().map_err(|_| bad())? })
    }
}

/// Which part of a robot's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Nothing before.
    pub from_us: i64,
    /// Nothing from then on.
    pub to_us: i64,
    /// Only these; all when empty.
    pub categories: BTreeSet<Category>,
    /// Only what is older in the order.
    pub after: Option<Place>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// What a window asks of one source: places `(time, id)` from `from_us` on and below `below`, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// No earlier time.
    pub from_us: i64,
    /// Only smaller places.
    pub below: (i64, i64),
    /// At most so many.
    pub limit: u32,
}

/// Which words of a list: kinds of entries, or actions on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Only these; `None`: any.
    pub only: Option<Vec<&'static str>>,
    /// But not these.
    pub except: Vec<&'static str>,
}

impl Window {
    /// All there is.
    pub fn everything(limit: u32) -> Self {
        Self { from_us: i64::MIN, to_us: i64::MAX, categories: BTreeSet::new(), after: None, limit }
    }

    fn wants(&self, category: Category) -> bool {
        self.categories.is_empty() || self.categories.contains(&category)
    }

    /// What is asked of a source; `None` when nothing is.
    pub fn span(&self, source: Source) -> Option<Span> {
        if !source.categories().iter().any(|category| self.wants(*category)) {
            return None;
        }
        let window = (self.to_us, i64::MIN);
        let below = self.after.map_or(window, |after| {
            let bound = match source.cmp(&after.source) {
                std::cmp::Ordering::Less => (after.at_us, i64::MAX),
                std::cmp::Ordering::Equal => (after.at_us, after.id),
                std::cmp::Ordering::Greater => (after.at_us, i64::MIN),
            };
            bound.min(window)
        });
        Some(Span { from_us: self.from_us, below, limit: self.limit })
    }

    /// Kinds of entries that are asked for.
    pub fn kinds(&self) -> Words {
        self.words(Category::kinds)
    }

    /// Acts that are asked for.
    pub fn actions(&self) -> Words {
        self.words(Category::actions)
    }

    fn words(&self, claimed: fn(Category) -> &'static [&'static str]) -> Words {
        let of = |wanted: bool| Category::ALL.into_iter().filter(move |one| self.wants(*one) == wanted).flat_map(claimed).copied();
        if self.wants(Category::Event) {
            Words { only: None, except: of(false).collect() }
        } else {
            Words { only: Some(of(true).collect()), except: Vec::new() }
        }
    }
}

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

/// Puts pages of several sources into one: the newest first, at most `limit`, and where to go on.
pub fn merge(parts: Vec<Vec<Touch>>, limit: u32) -> (Vec<Touch>, Option<Place>) {
    let mut all: Vec<Touch> = parts.into_iter().flatten().collect();
    all.sort_by_key(|moment| std::cmp::Reverse(moment.place));
    let more = all.len() > limit as usize;
    all.truncate(limit as usize);
    let next = all.last().filter(|_| more).map(|last| last.place);
    (all, next)
}

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
            title: format!("{} entries of class {} are lost: {}", loss.count, loss.class, loss.cause.as_str()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at_us: i64, source: Source, id: i64) -> Place {
        Place { at_us, source, id }
    }

    #[test]
    fn a_place_reads_back_and_nonsense_is_refused() {
        for source in Source::ALL {
            for at_us in [i64::MIN, -1, 0, i64::MAX] {
                let place = place(at_us, source, -7);
                assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
            }
        }
        for text in ["", "1", "1.entry", "1.entry.", "x.entry.1", "1.letter.1", "1.entry.1.1"] {
            assert!(text.parse::<Place>().unwrap_err().to_string().contains("\"next\" of a page"), "{text}");
        }
    }

    #[test]
    fn every_source_goes_on_where_the_page_before_ended() {
        let window = |after| Window { from_us: 0, to_us: 100, categories: BTreeSet::new(), after, limit: 5 };
        assert_eq!(window(None).span(Source::Entry), Some(Span { from_us: 0, below: (100, i64::MIN), limit: 5 }));
        let after = Some(place(50, Source::Entry, 9));
        let below = |source| window(after).span(source).unwrap().below;
        assert_eq!(below(Source::Entry), (50, 9));
        assert_eq!(below(Source::Began), (50, i64::MAX), "of the same time it comes after entries, all of it");
        assert_eq!(below(Source::Act), (50, i64::MIN), "of the same time it came before entries, all of it");
        let beyond = Some(place(500, Source::Entry, 9));
        assert_eq!(window(beyond).span(Source::Entry).unwrap().below, (100, i64::MIN), "never out of the window");
    }

    #[test]
    fn categories_choose_sources_kinds_and_acts_and_what_nobody_claims_is_an_event() {
        let window = |categories: &[Category]| Window { categories: categories.iter().copied().collect(), ..Window::everything(1) };
        let drift = window(&[Category::Drift]);
        assert_eq!(drift.kinds(), Words { only: Some(vec!["drift_report", "evaluation"]), except: vec![] });
        assert_eq!((drift.span(Source::Began), drift.span(Source::Act)), (None, None));
        let events = window(&[Category::Event, Category::Log]);
        let Words { only: None, except } = events.kinds() else { panic!("any kind but those of other categories") };
        assert!(except.contains(&"state") && !except.contains(&"link") && !except.contains(&"mission"), "{except:?}");
        assert_eq!(window(&[]).kinds(), Words { only: None, except: vec![] });
        assert_eq!(Category::of("mission", Category::kinds), Category::Event);
        assert_eq!(Category::of("revoke_target", Category::actions), Category::Identity);
        for category in Category::ALL {
            assert_eq!(category.as_str().parse::<Category>().unwrap(), category);
            for kind in category.kinds() {
                assert!(Source::Entry.categories().contains(&category), "{kind} would never be asked for");
            }
            for action in category.actions() {
                assert!(Source::Act.categories().contains(&category), "{action} would never be asked for");
            }
        }
    }

    #[test]
    fn pages_of_sources_become_one_the_newest_first_and_name_the_next() {
        let touch = |at_us, source, id| Touch { place: place(at_us, source, id), fact: Fact::Epoch(format!("{id}"), true) };
        let parts =
            || vec![vec![touch(5, Source::Entry, 1), touch(3, Source::Entry, 0)], vec![touch(5, Source::Act, 4), touch(4, Source::Act, 3)]];
        let (page, next) = merge(parts(), 3);
        let places: Vec<_> = page.iter().map(|touch| touch.place.to_string()).collect();
        assert_eq!(places, ["5.act.4", "5.entry.1", "4.act.3"]);
        assert_eq!(next, Some(place(4, Source::Act, 3)));
        assert_eq!(merge(parts(), 4).1, None);
    }
}
