//! A target: one robot that the control plane knows.

use std::fmt;

use crate::{OrganisationId, TargetName};

/// A robot whose identity was proved. Names are unique over all organisations, because a topic holds nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RobotId {
    /// Whose robot it is.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: TargetName,
}

impl RobotId {
    /// The robot's name, as it stands in topics.
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }
}

impl fmt::Display for RobotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
