//! Captures: recordings of topics that wait on the robot, and their way to the control plane.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::u64_string;

/// What a capture is. With this a robot offers its file to the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CaptureInfo {
    /// Its name: 1 to 63 lower-case letters, digits and dashes, one of a kind on its robot.
    pub id: String,
    /// Why it was made.
    pub reason: String,
    /// Version of the policy that says of what.
    #[serde(with = "u64_string")]
    pub policy: u64,
    /// When there was a reason, microseconds since the Unix epoch, by the robot's clock; as all times here.
    pub triggered_us: i64,
    /// Time of its first message; 0 when it has none.
    pub start_us: i64,
    /// Time of its last message.
    pub end_us: i64,
    /// Messages in it.
    pub messages: u64,
    /// Messages that came faster than they could be written, or that there was no room for.
    #[serde(default)]
    pub missed: u64,
    /// Topic to its messages.
    pub topics: BTreeMap<String, u64>,
    /// Size of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
}

/// What became of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureState {
    /// It waits on the robot. Class `event`.
    Recorded,
    /// The control plane has it. Class `event`.
    Uploaded,
    /// It had to make room for a newer one before it was uploaded, and is lost. Class `critical`.
    Dropped,
    /// The control plane does not take it, and it is lost. Class `critical`.
    Refused,
    /// It could not be written, and is lost. Class `critical`.
    Failed,
}

/// Something became of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureBody {
    /// Which.
    #[serde(flatten)]
    pub info: CaptureInfo,
    /// What became of it.
    pub state: CaptureState,
    /// Why it is lost; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How much of a capture the control plane has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureProgress {
    /// Bytes that are there, from the file's begin: the next part begins here.
    pub received_bytes: u64,
    /// It is whole, and what came is what was offered.
    pub stored: bool,
}

/// Most bytes of one part.
pub const MAX_CAPTURE_PART_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Content, EntryBody};

    #[test]
    fn what_became_of_a_capture_survives_the_way() {
        let info = CaptureInfo {
            id: "17-ab".into(),
            policy: u64::MAX,
            size_bytes: 7,
            topics: BTreeMap::from([("/scan".into(), 3)]),
            ..CaptureInfo::default()
        };
        let content = Content::from(EntryBody::Capture(CaptureBody { info, state: CaptureState::Dropped, message: "no room".into() }));
        let text = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&text).unwrap(), content, "{text}");
        assert!(text.contains(r#""kind":"capture""#) && text.contains(r#""state":"dropped""#), "{text}");
    }
}
