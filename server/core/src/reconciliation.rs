//! Two sides change what a robot has: the control plane declares, and people at the robot change things by hand, perhaps while
//! it cannot be reached. Nothing of either is overwritten without a word.
//!
//! Each slot has a [`VersionVector`]. The robot counts the changes made on it and says which declaration it has followed; the control
//! plane says which document declared the slot last and how many of the robot's changes it has settled. The control plane wins where
//! nobody changed anything on the robot; a change that was made there stands until an operator settles it.

use edgeflow_wire::{Activity, DesiredState, Hold, SlotKind, SlotSpec, SlotState, VersionVector};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::{CoreError, SlotName, desired::after, target::Attested};

/// How a slot stands between its two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The robot follows what is declared, or is about to.
    Follows,
    /// It was changed on the robot; nothing was declared since.
    Local,
    /// It was changed on the robot, and something else was declared without knowing of that.
    Conflict,
}

/// How a robot that is at `robot` stands to a control plane that is at `control`.
pub fn standing(robot: &VersionVector, control: &VersionVector) -> Standing {
    if !robot.keeps(control) {
        Standing::Follows
    } else if control.control > robot.control {
        Standing::Conflict
    } else {
        Standing::Local
    }
}

/// How one slot stands, as far as the robot has said.
pub fn slot_standing(desired: &DesiredState, slot: &str, now: Option<&SlotState>) -> Standing {
    let Some((now, robot)) = now.and_then(|now| now.vector.map(|robot| (now, robot))) else { return Standing::Follows };
    // A change that is gone again, or that made what is declared, asks nothing of anybody.
    let same = desired.slots.get(slot).is_some_and(|spec| spec.digest == now.digest);
    if now.local.is_none() || same {
        return Standing::Follows;
    }
    standing(&robot, &desired.vectors.get(slot).copied().unwrap_or_default())
}

/// Whose content a slot shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What the robot has becomes what is declared.
    Robot,
    /// What is declared replaces what the robot has.
    Control,
}

/// A decision about one slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Which slot.
    pub slot: SlotName,
    /// How many of the robot's changes whoever decided knew of.
    pub changes: u64,
    /// What shall be declared; `None` leaves what is.
    pub declare: Option<SlotSpec>,
}

/// The document that follows `current` when these decisions were made: all of them in one generation. A change that is made on the
/// robot after what the decision knew of stands again.
///
/// Fails when `server_epoch` is below that of `current`.
pub fn settle(current: &DesiredState, server_epoch: u64, settled: &[Settled]) -> Result<DesiredState, CoreError> {
    let mut next = DesiredState { version: after(current.version, server_epoch)?, ..current.clone() };
    for Settled { slot, changes, declare } in settled {
        if let Some(spec) = declare {
            next.slots.insert(slot.to_string(), spec.clone());
        }
        let vector = next.vectors.entry(slot.to_string()).or_default();
        *vector = VersionVector { robot: vector.robot.max(*changes), control: next.version };
    }
    Ok(next)
}

/// One side of a slot, as shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SideView {
    /// Registered name; empty when there is nothing.
    pub model: String,
    /// Its version.
    pub version: String,
    /// Its bundle digest.
    pub digest: String,
    /// Changes made on the robot that this side knows of.
    pub changes: u64,
    /// Generation of the declaration that this side knows of.
    pub generation: u64,
}

/// A slot that was changed on the robot, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ConflictView {
    /// Which slot.
    pub slot: String,
    /// What it holds.
    #[schema(value_type = String)]
    pub kind: SlotKind,
    /// `local`, or `conflict` when something else was declared meanwhile.
    pub standing: Standing,
    /// What was changed, for people.
    pub what: String,
    /// When the robot noticed, by its clock, microseconds since the Unix epoch.
    pub since_us: i64,
    /// What the robot has.
    pub robot: SideView,
    /// What is declared.
    pub control: SideView,
}

/// Slots that were changed on the robot and that nobody has settled: conflicts first.
pub fn conflicts(desired: &DesiredState, attested: &Attested) -> Vec<ConflictView> {
    let mut found: Vec<ConflictView> = attested
        .slots
        .iter()
        .filter_map(|(slot, now)| {
            let standing = slot_standing(desired, slot, Some(&now.state));
            if standing == Standing::Follows {
                return None;
            }
            let side =
                |vector: VersionVector| SideView { changes: vector.robot, generation: vector.control.generation, ..SideView::default() };
            let robot = side(now.state.vector.unwrap_or_default());
            let control = side(desired.vectors.get(slot).copied().unwrap_or_default());
            let local = now.state.local.clone().unwrap_or_default();
            Some(ConflictView {
                slot: slot.clone(),
                kind: now.state.kind,
                standing,
                what: local.what,
                since_us: local.since_us,
                robot: SideView {
                    model: now.state.model.clone(),
                    version: now.state.version.clone(),
                    digest: now.state.digest.clone(),
                    ..robot
                },
                control: match desired.slots.get(slot) {
                    Some(spec) => {
                        SideView { model: spec.model.clone(), version: spec.version.clone(), digest: spec.digest.clone(), ..control }
                    }
                    None => control,
                },
            })
        })
        .collect();
    found.sort_by_key(|conflict| conflict.standing != Standing::Conflict);
    found
}

/// That a robot is held, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HoldView {
    /// Why.
    pub reason: String,
    /// Who: `administrator`, or `robot` when it was asked for on the robot itself.
    pub by: String,
    /// Since when, microseconds since the Unix epoch.
    pub since_us: i64,
}

/// Who holds the robot: the control plane, or somebody at the robot as far as it has said.
pub fn held(desired: &DesiredState, attested: &Attested) -> Option<HoldView> {
    let said = || attested.state().and_then(|(state, _)| state.held.clone()).filter(|hold| hold.by == Hold::AT_ROBOT);
    let Hold { reason, by, since_us } = desired.hold.clone().or_else(said)?;
    Some(HoldView { reason, by, since_us })
}

/// What a robot does, as shown; `null` where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ActivityView {
    /// A mission runs.
    pub mission: Option<bool>,
    /// Its battery is charging.
    pub charging: Option<bool>,
    /// Node of a slot to its lifecycle state.
    pub lifecycle: BTreeMap<String, String>,
}

impl From<&Activity> for ActivityView {
    fn from(activity: &Activity) -> Self {
        Self { mission: activity.mission, charging: activity.charging, lifecycle: activity.lifecycle.clone() }
    }
}

/// Why a robot cannot be given something of this kind in this slot: it has said which slots it has, and this is none of them. `None` when
/// it can, and of a robot that has said nothing yet: what it can have is not known.
pub fn lacks(kind: SlotKind, slot: &str, attested: &Attested) -> Option<String> {
    let (state, _) = attested.state()?;
    let has = kind.is_model() || state.slots.get(slot).is_some_and(|now| now.kind == kind);
    (!has).then(|| format!("it has no slot {slot} of kind {kind}: declare it in its bridge's slots_file, or update its bridge"))
}

/// Something that is otherwise than it was declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DifferenceView {
    /// `slot:NAME` of a model or a map, `software:NAME` of a package, `config:NAME` of configuration, or `policy`.
    pub what: String,
    /// What was declared; empty: that nothing shall be there.
    pub declared: String,
    /// What the robot says; empty: nothing is there.
    pub actual: String,
}

fn label(model: &str, version: &str, digest: &str) -> String {
    if digest.is_empty() { String::new() } else { format!("{model} version {version} ({digest})") }
}

/// What is otherwise than declared, as the robot last said. Empty of a robot that has said nothing yet.
pub fn difference(desired: &DesiredState, attested: &Attested) -> Vec<DifferenceView> {
    let Some((state, _)) = attested.state() else { return Vec::new() };
    let mut found = Vec::new();
    // What was once declared and shall be gone is a difference as long as it is there; what nobody ever declared is the robot's own.
    let slots: BTreeSet<&String> = desired.slots.keys().chain(desired.vectors.keys()).collect();
    for slot in slots {
        let (spec, now) = (desired.slots.get(slot), attested.slots.get(slot).map(|now| &now.state));
        let (wanted, there) = (spec.map_or("", |spec| &spec.digest), now.map_or("", |now| &now.digest));
        let kind = spec.map(|spec| spec.kind).or(now.map(|now| now.kind)).unwrap_or_default();
        let prefix = match kind {
            SlotKind::Model | SlotKind::Map | SlotKind::Unknown => "slot",
            SlotKind::Package => "software",
            SlotKind::Config => "config",
        };
        let what = format!("{prefix}:{slot}");
        if wanted != there {
            let installed = now.map(|now| now.software.as_str()).filter(|software| !software.is_empty());
            let mut actual = now.map_or_else(String::new, |now| label(&now.model, &now.version, &now.digest));
            if let Some(software) = installed {
                actual = format!("{actual}, says it is {software}");
            }
            found.push(DifferenceView {
                what,
                declared: spec.map_or_else(String::new, |spec| label(&spec.model, &spec.version, &spec.digest)),
                actual,
            });
        } else if let Some(files) = state.configuration.get(slot).filter(|files| !files.applied.is_empty() && files.applied != files.digest)
        {
            found.push(DifferenceView { what, declared: files.applied.clone(), actual: files.digest.clone() });
        }
    }
    let (declared, ruling) = (desired.policy.as_ref().map_or(0, |policy| policy.version), state.policy_version);
    if let Some(ruling) = ruling.filter(|ruling| *ruling != declared) {
        found.push(DifferenceView {
            what: "policy".to_owned(),
            declared: format!("version {declared}"),
            actual: format!("version {ruling}"),
        });
    }
    found
}

#[cfg(test)]
#[path = "reconciliation_tests.rs"]
mod tests;
