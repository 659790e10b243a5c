//! Revisions: what was declared, by whom, when and why; numbered, never changed but in whether it was approved.

use edgeflow_wire::SlotSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{FleetChange, FleetPlan, FleetSpec};
use crate::CoreError;

/// What became of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// It waits for a second person.
    Proposed,
    /// It took effect, and stands.
    Applied,
    /// Somebody turned it down.
    Rejected,
    /// It took effect and another came after it, or it waited and another took effect first.
    Superseded,
}

impl RevisionState {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            RevisionState::Proposed => "proposed",
            RevisionState::Applied => "applied",
            RevisionState::Rejected => "rejected",
            RevisionState::Superseded => "superseded",
        }
    }
}

/// A revision to be put on record.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRevision {
    /// The revision it was planned against; 0 when nothing was declared.
    pub based_on: i64,
    /// Why, for people.
    pub message: String,
    /// SHA-256 of the declaration, 64 hex digits.
    pub digest: String,
    /// What is declared.
    pub spec: FleetSpec,
    /// What its releases stood for, by the path of the part.
    pub resolved: BTreeMap<String, SlotSpec>,
    /// What it changes, as planned.
    pub plan: FleetPlan,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
}

/// A revision in short.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RevisionHead {
    /// Its number, from 1.
    pub revision: i64,
    /// The revision it was planned against; 0 when nothing was declared.
    pub based_on: i64,
    /// What became of it.
    pub state: RevisionState,
    /// Why, for people.
    pub message: String,
    /// SHA-256 of the declaration, 64 hex digits.
    pub digest: String,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who.
    pub created_by: String,
    /// Who approved or rejected it; `null` when nobody had to.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at_us: Option<i64>,
    /// What they said.
    pub reason: String,
    /// How many robots it changes, as planned.
    pub robots: u64,
}

/// A revision as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// In short.
    pub head: RevisionHead,
    /// What is declared.
    pub spec: FleetSpec,
    /// What its releases stood for, by the path of the part.
    pub resolved: BTreeMap<String, SlotSpec>,
    /// What it changes, as planned.
    pub plan: FleetPlan,
}

/// A revision in full, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct RevisionView {
    /// In short.
    #[serde(flatten)]
    pub head: RevisionHead,
    /// What is declared.
    pub spec: FleetSpec,
    /// What differs from the revision it was planned against.
    pub changes: Vec<FleetChange>,
    /// Which robots it changes, and how, as planned.
    pub plan: FleetPlan,
}

impl Revision {
    /// Whether `who` may decide about it now. `current` is the newest revision that took effect.
    pub fn decidable(&self, who: &str, current: i64, approve: bool) -> Result<(), CoreError> {
        let head = &self.head;
        let refused = |reason: String| Err(CoreError::NotDecidable { revision: head.revision, reason });
        if head.state != RevisionState::Proposed {
            let since = if head.state == RevisionState::Superseded {
                ": another one has taken effect since; plan and propose it again"
            } else {
                ""
            };
            return refused(format!("it is {}{since}", head.state.as_str()));
        }
        if !approve {
            return Ok(());
        }
        if head.created_by == who {
            return refused(format!("{who} proposed it: a second person must approve"));
        }
        if head.based_on != current {
            return refused(format!(
                "it was planned against revision {}, and {current} has taken effect since: plan and propose it again",
                head.based_on
            ));
        }
        Ok(())
    }
}
