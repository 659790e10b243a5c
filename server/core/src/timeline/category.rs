//! What lines of the timeline are about, and where the facts behind them are kept.

use serde::Serialize;
use std::str::FromStr;

use crate::CoreError;

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
    pub(super) fn kinds(self) -> &'static [&'static str] {
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
    pub(super) fn actions(self) -> &'static [&'static str] {
        match self {
            Category::Command => &["command"],
            Category::Policy => &["set_policy"],
            Category::Identity => &["enrol_target", "bootstrap_target", "issue_certificate", "revoke_target"],
            Category::Live => &["live"],
            _ => &[],
        }
    }

    pub(super) fn of(word: &str, claimed: fn(Category) -> &'static [&'static str]) -> Self {
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

    pub(super) fn as_str(self) -> &'static str {
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
    pub(super) fn categories(self) -> &'static [Category] {
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
