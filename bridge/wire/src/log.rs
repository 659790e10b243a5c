//! The edge log on its way up, and the control plane's word on how far it holds it.

use serde::{Deserialize, Serialize};

use crate::{Class, Content, u64_string};

/// One durable fact of a robot. Identity: (robot, epoch, class, seq).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in its class, from 1, without gaps.
    #[serde(with = "u64_string")]
    pub seq: u64,
    /// When it happened, microseconds since the Unix epoch (UTC), by the robot's clock.
    pub t_us: i64,
    /// When it happened, microseconds since the robot booted: what is left of the truth when its clock steps.
    pub boot_us: i64,
    /// What happened.
    #[serde(flatten)]
    pub content: Content,
}

/// Entries that will never come, since the robot lost them before the control plane had them: they were evicted, or its disk did not
/// keep them. One range.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Loss {
    /// First lost sequence number.
    #[serde(with = "u64_string")]
    pub first_seq: u64,
    /// Last lost sequence number.
    #[serde(with = "u64_string")]
    pub last_seq: u64,
    /// Bytes that were dropped; 0 where the disk did not keep them.
    pub bytes: u64,
    /// Time of the first lost entry, microseconds since the Unix epoch; where the disk did not keep it, a moment not after it.
    pub first_t_us: i64,
    /// Time of the last lost entry, microseconds since the Unix epoch; where the disk did not keep it, when that was found.
    pub last_t_us: i64,
    /// The robot's disk did not keep them. Otherwise they were evicted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub damaged: bool,
    /// The range is an upper bound: numbers in it, from its end, may never have been given. At the very beginning of an epoch it stands
    /// for what a log before it may have held whose numbers nobody knows any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub at_most: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A run of one class of one robot's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// Identity of the log's incarnation.
    pub epoch: String,
    /// Class that all entries are of.
    pub class: Class,
    /// What is missing between the control plane's position and the first entry, if anything was evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Entries, ascending and gap-free.
    pub entries: Vec<Entry>,
}

/// First word on a new connection: who the log is and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// Identity of the log's incarnation.
    pub epoch: String,
    /// Software version of the bridge.
    pub software: String,
    /// Where each class stands.
    pub classes: Vec<ClassPosition>,
    /// The robot's clock now, microseconds since the Unix epoch.
    pub t_us: i64,
    /// The same moment, microseconds since the robot booted.
    pub boot_us: i64,
}

/// Where one class of the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPosition {
    /// The class.
    pub class: Class,
    /// Oldest sequence number still held; `next_seq` when none is.
    #[serde(with = "u64_string")]
    pub first_seq: u64,
    /// Sequence number the next append will get.
    #[serde(with = "u64_string")]
    pub next_seq: u64,
}

/// What a robot sends on its telemetry topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Upstream {
    /// First word on a connection.
    Hello(Hello),
    /// Log entries.
    Batch(Batch),
}

/// How the control plane took a hello or a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckOutcome {
    /// Held durably up to `next`.
    Accepted,
    /// Not applied because earlier entries are missing: send from `next`.
    OutOfOrder,
    /// This epoch is known with other content (a cloned disk): open a new one.
    EpochRefused {
        /// Why, for people.
        reason: String,
    },
}

/// The next sequence number the control plane wants of one class: everything below is durable there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The class.
    pub class: Class,
    /// First sequence number that is not held yet.
    #[serde(with = "u64_string")]
    pub next_seq: u64,
}

/// The control plane's answer: the only thing that lets a robot forget an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAck {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// Epoch it answers for.
    pub epoch: String,
    /// How the document was taken.
    pub outcome: AckOutcome,
    /// Position per class: all classes after a hello, the batch's class after a batch.
    pub next: Vec<Ack>,
    /// The control plane's clock, microseconds since the Unix epoch.
    pub server_time_us: i64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{EntryBody, EvaluationBody};

    #[test]
    fn an_entry_of_a_known_kind_survives_with_a_float_json_cannot_hold() {
        let body = EvaluationBody {
            model: "m".into(),
            model_version: "1".into(),
            digest: "d".into(),
            samples: 0,
            correct: 0,
            accuracy: f64::INFINITY,
        };
        let entry = Entry { seq: 1 << 60, t_us: -1, boot_us: 2, content: EntryBody::Evaluation(body).into() };
        let json = serde_json::to_string(&entry).unwrap();
        assert!(json.contains("\"kind\":\"evaluation\"") && json.contains("\"Infinity\""), "{json}");
        assert_eq!(serde_json::from_str::<Entry>(&json).unwrap(), entry);
    }

    #[test]
    fn a_loss_says_what_is_new_only_where_it_holds_and_is_read_without_it() {
        let evicted = Loss { first_seq: 1, last_seq: 4, bytes: 9, first_t_us: 1, last_t_us: 2, ..Loss::default() };
        let json = serde_json::to_string(&evicted).unwrap();
        assert_eq!(json, r#"{"first_seq":"1","last_seq":"4","bytes":9,"first_t_us":1,"last_t_us":2}"#);
        assert_eq!(serde_json::from_str::<Loss>(&json).unwrap(), evicted);
        let damaged = Loss { damaged: true, at_most: true, ..evicted };
        assert_eq!(serde_json::from_str::<Loss>(&serde_json::to_string(&damaged).unwrap()).unwrap(), damaged);
    }

    #[test]
    fn an_entry_of_a_later_kind_is_kept_as_it_came() {
        let json = r#"{"seq":"3","t_us":1,"boot_us":2,"kind":"gripper","body":{"force_n":3.5}}"#;
        let entry: Entry = serde_json::from_str(json).unwrap();
        assert_eq!(entry.content.kind(), "gripper");
        assert_eq!(serde_json::to_string(&entry).unwrap(), json);
    }
}
