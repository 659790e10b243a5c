//! Which topics a robot keeps the newest messages of, to make a file of them when there is a reason.

use serde::{Deserialize, Serialize};

use super::Reason;

/// Which topics, how much of them, and when. Nothing of it leaves the robot before there is a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Topics, as in a route. The robot's parameter `capture_topics` says which of them may be.
    pub allow: Vec<String>,
    /// Of these, the ones left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// How much is kept in memory: messages of so many seconds.
    #[serde(default = "before_s")]
    pub before_s: f64,
    /// How long messages are added after the reason, seconds.
    #[serde(default = "after_s")]
    pub after_s: f64,
    /// Most megabytes (1024 * 1024 bytes) of messages that are kept in memory, and as many that are added.
    #[serde(default = "max_mb")]
    pub max_mb: u32,
    /// What is a reason, beside a command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<Reason>,
    /// After one of these reasons none of them is one for so long, seconds.
    #[serde(default = "min_interval_s")]
    pub min_interval_s: f64,
}

fn before_s() -> f64 {
    10.0
}

fn after_s() -> f64 {
    5.0
}

fn max_mb() -> u32 {
    32
}

fn min_interval_s() -> f64 {
    600.0
}
