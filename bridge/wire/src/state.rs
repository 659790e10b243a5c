//! What a robot says it is, runs and does. What came with later versions of the robot is optional: an older robot does not say
//! it, an older control plane reads over it.

use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

use crate::{SlotKind, Version, u64_string};

/// Where a slot is on its way to its declared content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotStatus {
    /// Known, not begun.
    #[default]
    Pending,
    /// Fetching the bundle.
    Downloading,
    /// Checking digests.
    Verifying,
    /// Building the session beside the running one; of what is no model: being applied.
    Warming,
    /// Serving.
    Active,
    /// Refused or broken; what ran before keeps running.
    Failed,
    /// Taken back to what ran before.
    RolledBack,
}

impl SlotStatus {
    /// All of them, in the order in which a slot goes through them.
    pub const ALL: [SlotStatus; 7] = [
        SlotStatus::Pending,
        SlotStatus::Downloading,
        SlotStatus::Verifying,
        SlotStatus::Warming,
        SlotStatus::Active,
        SlotStatus::Failed,
        SlotStatus::RolledBack,
    ];
}

/// The newest desired state a robot has taken up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedState {
    /// Its version.
    #[serde(flatten)]
    pub version: Version,
}

/// How far each of the two sides that can change a slot has come: the robot, where people change things by hand, and the control
/// plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionVector {
    /// Changes that were made on the robot itself. Said by the robot: how many there were; in a desired state: how many of them the
    /// control plane has settled.
    #[serde(with = "u64_string")]
    pub robot: u64,
    /// The desired state that declared it last. Said by the robot: the one it has followed.
    #[serde(flatten)]
    pub control: Version,
}

impl VersionVector {
    /// Whether a robot that is here keeps what it has against what the control plane, which is at `declared`, wants: somebody changed
    /// it on the robot, and nobody has settled that yet.
    pub fn keeps(&self, declared: &VersionVector) -> bool {
        self.robot > declared.robot
    }
}

impl PartialOrd for VersionVector {
    /// `None` where each side has changes that the other does not know: they are concurrent.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.robot.cmp(&other.robot), self.control.cmp(&other.control)) {
            (robot, control) if robot == control => Some(robot),
            (Ordering::Equal, control) => Some(control),
            (robot, Ordering::Equal) => Some(robot),
            _ => None,
        }
    }
}

/// One slot as the robot sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotState {
    /// What the slot holds.
    #[serde(default, skip_serializing_if = "SlotKind::is_model", deserialize_with = "SlotKind::any")]
    pub kind: SlotKind,
    /// Where it is on its way.
    pub status: SlotStatus,
    /// Registry name of the model (or map, package, configuration) that serves now; empty when none does.
    pub model: String,
    /// Registry version of what serves now.
    pub version: String,
    /// Bundle digest that serves now: the attested truth. Empty when none does.
    pub digest: String,
    /// Why, when failed or rolled back.
    #[serde(default)]
    pub reason: String,
    /// Of a package: the software version that what applies it says is installed; empty when it says none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub software: String,
    /// How often it was changed on the robot itself, and which declaration of it the robot has followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VersionVector>,
    /// A change that was made on the robot itself and stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalChange>,
}

/// Somebody changed a slot on the robot itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalChange {
    /// When it was noticed, by the robot's clock, microseconds since the Unix epoch.
    pub since_us: i64,
    /// What was changed, for people.
    pub what: String,
    /// Bundle digest the robot had brought about before.
    #[serde(default)]
    pub from: String,
}

/// What the robot does, for whoever wants to leave it alone meanwhile. What it cannot know is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// A mission runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mission: Option<bool>,
    /// Its battery is charging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charging: Option<bool>,
    /// Node of a slot to its lifecycle state: `unconfigured`, `inactive`, `active` or `finalized`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lifecycle: BTreeMap<String, String>,
}

impl Activity {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes of desired state are not applied while this stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why, for people.
    pub reason: String,
    /// Who: `administrator`, or `robot` when it was asked for on the robot itself.
    pub by: String,
    /// Since when, microseconds since the Unix epoch.
    pub since_us: i64,
}

impl Hold {
    /// `by` of a hold that was asked for on the robot itself.
    pub const AT_ROBOT: &str = "robot";
}

/// Files that are the configuration of something, as they are now and as they were when the robot last applied it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationState {
    /// Digest of their content now; empty when there are none.
    pub digest: String,
    /// Digest of their content right after what is declared was applied; empty before.
    #[serde(default)]
    pub applied: String,
}

/// What the robot is and runs now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBody {
    /// Newest desired state taken up.
    pub observed: ObservedState,
    /// Slot name to its state.
    pub slots: BTreeMap<String, SlotState>,
    /// Software version of the bridge.
    pub software: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Activity::is_empty")]
    pub activity: Activity,
    /// Slot to the files on the robot that its content became, where the robot watches them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, ConfigurationState>,
    /// Version of the telemetry policy that rules; 0: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<u64>,
    /// All changes that were made on the robot itself, and the desired state it follows: an older one than `observed` while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VersionVector>,
    /// It is held, by the control plane or by somebody at the robot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"observed":{"server_epoch":"1","generation":"2"},"slots":{"default":{"status":"active","model":"m",
        "version":"1","digest":"d","reason":""}},"software":"0.1.0"}"#;

    fn vector(robot: u64, server_epoch: u64, generation: u64) -> VersionVector {
        VersionVector { robot, control: Version { server_epoch, generation } }
    }

    #[test]
    fn a_state_of_an_older_robot_is_read_and_one_that_says_no_more_is_written_like_it() {
        let state: StateBody = serde_json::from_str(FIRST).unwrap();
        assert_eq!((state.slots["default"].kind, state.activity.mission, &state.held), (SlotKind::Model, None, &None));
        let written = serde_json::to_value(&state).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(FIRST).unwrap());
        let later = FIRST.replace(r#"{"status""#, r#"{"kind":"gripper","status""#);
        let state: StateBody = serde_json::from_str(&later).unwrap();
        assert_eq!(state.slots["default"].kind, SlotKind::Unknown, "a robot of a later version is understood but for that");
    }

    #[test]
    fn all_a_robot_says_survives_the_wire() {
        let local = LocalChange { since_us: 3, what: "files".into(), from: "d".into() };
        let slot = SlotState {
            kind: SlotKind::Config,
            status: SlotStatus::Active,
            software: "1.2".into(),
            vector: Some(vector(2, 1, u64::MAX)),
            local: Some(local),
            ..SlotState::default()
        };
        let state = StateBody {
            slots: BTreeMap::from([("nav".into(), slot)]),
            activity: Activity {
                mission: Some(true),
                charging: Some(false),
                lifecycle: BTreeMap::from([("/planner".into(), "active".into())]),
            },
            configuration: BTreeMap::from([("nav".into(), ConfigurationState { digest: "a".into(), applied: "b".into() })]),
            policy_version: Some(4),
            vector: Some(vector(2, 1, 9)),
            held: Some(Hold { reason: "audit".into(), by: "robot".into(), since_us: 1 }),
            ..StateBody::default()
        };
        let json = serde_json::to_string(&state).unwrap();
        assert!(json.contains(r#""vector":{"robot":"2","server_epoch":"1","generation":"18446744073709551615"}"#), "{json}");
        assert_eq!(serde_json::from_str::<StateBody>(&json).unwrap(), state);
    }

    #[test]
    fn a_vector_comes_after_another_when_neither_side_of_it_is_behind() {
        assert!(vector(1, 1, 2) > vector(1, 1, 1) && vector(2, 1, 1) > vector(1, 1, 1) && vector(1, 2, 0) > vector(1, 1, 9));
        assert_eq!(vector(2, 1, 1).partial_cmp(&vector(1, 1, 2)), None, "each knows what the other does not");
        assert_eq!(vector(1, 1, 1).partial_cmp(&vector(1, 1, 1)), Some(Ordering::Equal));
    }
}
