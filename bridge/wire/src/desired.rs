//! What a robot shall be: declared by the control plane, taken up by the robot at its own pace.

use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, fmt};

use crate::{Hold, VersionVector, VersionedPolicy, u64_string};

/// Order of desired states: a robot refuses one that is lower than what it has taken up.
///
/// `server_epoch` rises when a control plane is restored from a backup, so that its generations win again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Version {
    /// Incarnation of the control plane's memory, from 1.
    #[serde(with = "u64_string")]
    pub server_epoch: u64,
    /// Count of changes to this robot's document within `server_epoch`, from 1; 0 is the empty document.
    #[serde(with = "u64_string")]
    pub generation: u64,
}

/// The whole declared state of one robot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DesiredState {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// Robot it is meant for; a robot refuses another's.
    pub target: String,
    /// Its place in the order of desired states.
    #[serde(flatten)]
    pub version: Version,
    /// Slot name to what shall be in it.
    pub slots: BTreeMap<String, SlotSpec>,
    /// What it reports of its topics; nothing was ever declared when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<VersionedPolicy>,
    /// Slot name to how far the control plane has come with it: which desired state declared it last (also that nothing shall be in
    /// it), and how many changes made on the robot it has settled. A robot with more of these keeps what it has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vectors: BTreeMap<String, VersionVector>,
    /// While this stands the robot changes nothing of what it has, whatever is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// What a slot holds. Read by itself, a kind nobody here knows is an error; in a document to or from a robot of another version it is
/// [`SlotKind::Unknown`], and concerns its slot alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A model bundle, served by an inference node.
    #[default]
    Model,
    /// A map, applied by what the robot declares for it.
    Map,
    /// Software, applied by what the robot declares for it.
    Package,
    /// Configuration, applied by what the robot declares for it.
    Config,
    /// Something that a later version knows.
    #[serde(skip_deserializing)]
    Unknown,
}

impl SlotKind {
    /// All that this version knows.
    pub const ALL: [SlotKind; 4] = [SlotKind::Model, SlotKind::Map, SlotKind::Package, SlotKind::Config];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SlotKind::Model => "model",
            SlotKind::Map => "map",
            SlotKind::Package => "package",
            SlotKind::Config => "config",
            SlotKind::Unknown => "unknown",
        }
    }

    /// Of this name; [`SlotKind::Unknown`] of one that only a later version knows.
    pub fn named(name: &str) -> Self {
        SlotKind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap_or(SlotKind::Unknown)
    }

    /// For documents between versions: reads any name.
    pub(crate) fn any<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::named(&String::deserialize(from)?))
    }

    /// Whether it is what every robot knows.
    pub fn is_model(&self) -> bool {
        *self == SlotKind::Model
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What shall be in one slot. What is missing of it fails the slot, not the document: a kind of a later version may have something
/// else in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSpec {
    /// What the slot holds.
    #[serde(deserialize_with = "SlotKind::any")]
    pub kind: SlotKind,
    /// Registry name of the model (or map, package, configuration).
    #[serde(default)]
    pub model: String,
    /// Registry version of it.
    #[serde(default)]
    pub version: String,
    /// Bundle digest, `sha256:` and 64 hex digits. It is the digest of `files`, so a robot checks it without trust.
    #[serde(default)]
    pub digest: String,
    /// Files of the bundle, fetched one by one by their own digest.
    #[serde(default)]
    pub files: Vec<BundleFileRef>,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFileRef {
    /// Path inside the bundle.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the content, 64 hex digits: fetched from `/api/v1/artifacts/{sha256}`.
    pub sha256: String,
}

/// A document to a robot and who vouches for it. The payload stays text, so that what was signed is what is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// JSON of the document.
    pub payload: String,
    /// Ed25519 signatures over [`Envelope::signed_bytes`]; a robot that pinned the control plane's keys wants one of them.
    #[serde(default)]
    pub signatures: Vec<Signature>,
}

impl Envelope {
    /// What is signed: the payload behind a line that says what it is for, so that a document of one kind never passes for
    /// one of another.
    pub fn signed_bytes(kind: DocumentKind, payload: &str) -> Vec<u8> {
        format!("edgeflow {} v{}\n{payload}", kind.as_str(), crate::WIRE_VERSION).into_bytes()
    }
}

/// What an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A [`DesiredState`].
    DesiredState,
    /// A momentary command.
    Command,
}

impl DocumentKind {
    /// As it stands in what is signed.
    pub fn as_str(self) -> &'static str {
        match self {
            DocumentKind::DesiredState => "desired_state",
            DocumentKind::Command => "command",
        }
    }
}

/// One signature over an envelope's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which key signed: the first 16 hex digits of the SHA-256 of the public key.
    pub key_id: String,
    /// The signature, base64.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_later_version_is_unknown_in_documents_and_an_error_by_itself() {
        let later = r#"{"v":1,"target":"r","server_epoch":"1","generation":"2","slots":{
            "arm":{"kind":"gripper","firmware":{"image":7}},"default":{"kind":"model","model":"m","version":"1","digest":"d","files":[]}}}"#;
        let state: DesiredState = serde_json::from_str(later).unwrap();
        assert_eq!((state.slots["arm"].kind, state.slots["default"].kind), (SlotKind::Unknown, SlotKind::Model));
        assert_eq!((state.slots["arm"].digest.as_str(), state.slots["default"].digest.as_str()), ("", "d"));
        let written = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<DesiredState>(&written).unwrap(), state);
        // Where a person says which kind it is, there is no such leniency.
        for name in ["\"gripper\"", "\"unknown\"", "7"] {
            assert!(serde_json::from_str::<SlotKind>(name).is_err(), "{name}");
        }
        for kind in SlotKind::ALL {
            assert_eq!((SlotKind::named(kind.as_str()), serde_json::from_str(&format!("\"{kind}\"")).unwrap()), (kind, kind));
        }
    }
}
