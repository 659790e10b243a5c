//! How valuable an entry is: what drains first and what is evicted last.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use crate::WireError;

/// Value class of an edge-log entry, most valuable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Faults, deployment status and acknowledgements.
    Critical,
    /// Things that happened: missions, links, state changes.
    Event,
    /// Periodic aggregates.
    Summary,
    /// Everything finer.
    Detail,
}

impl Class {
    /// Every class, most valuable first.
    pub const ALL: [Class; 4] = [Class::Critical, Class::Event, Class::Summary, Class::Detail];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Critical => "critical",
            Class::Event => "event",
            Class::Summary => "summary",
            Class::Detail => "detail",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = WireError;

    fn from_str(name: &str) -> Result<Self, WireError> {
        Class::ALL.into_iter().find(|class| class.as_str() == name).ok_or_else(|| WireError::UnknownClass { name: name.to_owned() })
    }
}
