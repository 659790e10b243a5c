//! Live forwarding: messages of some topics of a robot at an operator's site while somebody looks, and back. Best effort and for
//! a while; what has to arrive travels through the log.
//!
//! A session is opened by a command ([`Action::Live`](crate::Action::Live)). Messages go as raw CDR bodies through the control
//! plane's zenoh router, on keys of that session below `edgeflow/targets/{id}/live/{session}`:
//!
//! | key | who puts | what |
//! | --- | --- | --- |
//! | `up/{lane}` | robot | messages of the session's topics from the robot, in their order |
//! | `about` | robot | [`LiveAbout`], each second and when it changes |
//! | `down/{lane}` | operator | messages of the topics to the robot |
//! | `here` | operator, a liveliness token | somebody looks; the robot sends nothing without it |

use serde::{Deserialize, Serialize};

use crate::{MAX_DOCUMENT_BYTES, PolicyError, Topics, float};

/// Longest session, seconds.
pub const MAX_LIVE_S: f64 = 3_600.0;
/// Most topics of a session, both directions together.
pub const MAX_LIVE_TOPICS: usize = 16;
/// Most bytes of a message: the router takes no larger ones. A larger one is left out, counted and shown.
pub const MAX_LIVE_MESSAGE_BYTES: usize = MAX_DOCUMENT_BYTES;
/// Most messages a second that can be asked for, per topic.
const MAX_HZ: f64 = 1_000.0;
/// Most kilobits a second that can be asked for.
const MAX_KBPS: u32 = 1_000_000;
const MAX_SESSION_BYTES: usize = 40;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveRequest {
    /// The session's name: lower-case letters, digits and dashes. It is the control plane's to give.
    pub session: String,
    /// How long, seconds, up to [`MAX_LIVE_S`], counted by the time since boot.
    pub for_s: f64,
    /// Topics whose messages go to the operator, absolute or relative to the robot's namespace.
    #[serde(default)]
    pub from_robot: Vec<String>,
    /// Topics on which the robot publishes what the operator sends.
    #[serde(default)]
    pub to_robot: Vec<LiveTopic>,
    /// Most messages a second of each topic.
    pub max_hz: f64,
    /// Most kilobits a second of all topics of a direction together.
    pub max_kbps: u32,
}

/// A topic to the robot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveTopic {
    /// Its name.
    pub topic: String,
    /// Its type, for a topic that nobody uses on the robot's graph yet.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
}

impl LiveRequest {
    /// Checks names and numbers; `for_s` is whoever's business who reads the action.
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        let wrong = |path: &str, reason: String| Err(PolicyError { path: path.to_owned(), reason });
        if !is_session(&self.session) {
            return wrong("session", format!("{:?} is no name of a session", self.session));
        }
        let topics: Vec<&str> =
            self.from_robot.iter().map(String::as_str).chain(self.to_robot.iter().map(|to| to.topic.as_str())).collect();
        if topics.is_empty() || topics.len() > MAX_LIVE_TOPICS {
            return wrong("from_robot", format!("name 1 to {MAX_LIVE_TOPICS} topics, in both directions together"));
        }
        if let Some(twice) = topics.iter().enumerate().find(|(at, topic)| topics.get(..*at).is_some_and(|before| before.contains(topic))) {
            // In both directions it would go round for ever.
            return wrong("from_robot", format!("{:?} is named twice", twice.1));
        }
        if !(self.max_hz > 0.0 && self.max_hz <= MAX_HZ) {
            return wrong("max_hz", format!("{} is not in 0 to {MAX_HZ}", self.max_hz));
        }
        if self.max_kbps == 0 || self.max_kbps > MAX_KBPS {
            return wrong("max_kbps", format!("{} is not in 1 to {MAX_KBPS}", self.max_kbps));
        }
        Ok(())
    }
}

fn is_session(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= MAX_SESSION_BYTES && name.bytes().all(good)
}

/// Which way messages of a topic go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveDirection {
    /// To the operator.
    FromRobot,
    /// To the robot.
    ToRobot,
}

/// What became of a topic's messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveCounts {
    /// Messages that came.
    pub received: u64,
    /// Those that were passed on.
    pub forwarded: u64,
    /// Those that a newer one replaced, since the rate or the bytes a second allowed no more, or that a full queue dropped.
    pub left_out: u64,
    /// Those of more than [`MAX_LIVE_MESSAGE_BYTES`].
    pub too_large: u64,
    /// Bytes that were passed on.
    pub bytes: u64,
}

/// A topic of a session, as the robot tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTopicAbout {
    /// Which way its messages go.
    pub direction: LiveDirection,
    /// Its absolute name on the robot.
    pub topic: String,
    /// Rises with each change of its type; messages carry it.
    pub epoch: u32,
    /// Its type, once that is known.
    #[serde(default, rename = "type")]
    pub type_name: String,
    /// The type's hash.
    #[serde(default)]
    pub hash: String,
    /// Whether its publishers are reliable.
    #[serde(default)]
    pub reliable: bool,
    /// Whether its publishers keep what they said for those who come later.
    #[serde(default)]
    pub latched: bool,
    /// Why nothing is passed on, if so.
    #[serde(default)]
    pub problem: String,
    /// What became of its messages on the robot.
    #[serde(default)]
    pub counts: LiveCounts,
}

/// What a robot tells of a session, beside its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveAbout {
    /// [`WIRE_VERSION`](crate::WIRE_VERSION).
    pub v: u32,
    /// How much longer it lasts, seconds.
    #[serde(with = "float")]
    pub remaining_s: f64,
    /// Kilobits a second that the robot grants.
    pub max_kbps: u32,
    /// Why it has ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Its topics: those from the robot in their order, then those to it.
    pub topics: Vec<LiveTopicAbout>,
}

/// A live session began or ended: what was passed on and what was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveBody {
    /// Its name.
    pub session: String,
    /// Whether it begins.
    pub active: bool,
    /// Why it begins or ends.
    pub reason: String,
    /// How long it may last, seconds; 0 at its end.
    #[serde(with = "float")]
    pub for_s: f64,
    /// Its topics.
    pub topics: Vec<LiveTopicAbout>,
}

/// What goes beside each message: under which type it was sent, and its number, so that who hears knows what was lost on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveMark {
    /// [`LiveTopicAbout::epoch`].
    pub epoch: u32,
    /// From 1, without gaps where it is sent.
    pub seq: u64,
}

impl LiveMark {
    /// As it travels.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (epoch, seq) = bytes.split_at_mut(4);
        epoch.copy_from_slice(&self.epoch.to_le_bytes());
        seq.copy_from_slice(&self.seq.to_le_bytes());
        bytes
    }

    /// What came; none when it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, seq) = bytes.split_at_checked(4)?;
        Some(Self { epoch: u32::from_le_bytes(epoch.try_into().ok()?), seq: u64::from_le_bytes(seq.try_into().ok()?) })
    }
}

/// The keys of a session, or of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveKeys {
    base: String,
}

impl LiveKeys {
    /// Of one session of a robot; none when that is no name of a session.
    pub fn of(robot: &Topics, session: &str) -> Option<Self> {
        is_session(session).then(|| Self { base: format!("{}live/{session}", robot.prefix()) })
    }

    /// Of every session of a robot, for rules.
    pub fn of_robot(robot: &Topics) -> Self {
        Self { base: format!("{}live/*", robot.prefix()) }
    }

    /// Of a session with whichever robot, for rules; none when that is no name of a session.
    pub fn of_session(session: &str) -> Option<Self> {
        is_session(session).then(|| Self { base: format!("edgeflow/targets/*/live/{session}") })
    }

    /// Messages of a topic from the robot.
    pub fn up(&self, lane: usize) -> String {
        format!("{}/up/{lane}", self.base)
    }

    /// Messages of every topic from the robot.
    pub fn any_up(&self) -> String {
        format!("{}/up/*", self.base)
    }

    /// Messages of a topic to the robot.
    pub fn down(&self, lane: usize) -> String {
        format!("{}/down/{lane}", self.base)
    }

    /// Messages of every topic to the robot.
    pub fn any_down(&self) -> String {
        format!("{}/down/*", self.base)
    }

    /// What the robot tells of the session.
    pub fn about(&self) -> String {
        format!("{}/about", self.base)
    }

    /// The operator's token.
    pub fn here(&self) -> String {
        format!("{}/here", self.base)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Action;
    use serde_json::{Value, json};

    fn action(change: (&str, Value)) -> Value {
        let mut action = json!({"kind": "live", "session": "a-1", "for_s": 60, "from_robot": ["camera"], "max_hz": 5, "max_kbps": 2000});
        action[change.0] = change.1;
        action
    }

    #[test]
    fn what_is_asked_for_is_checked() {
        let Action::Live(request) = Action::parse(&action(("to_robot", json!([{"topic": "/cmd_vel"}])))).unwrap() else { unreachable!() };
        assert_eq!((request.from_robot.len(), request.to_robot[0].topic.as_str()), (1, "/cmd_vel"));
        for (change, path, reason) in [
            (("session", json!("../x")), "action.session", "no name"),
            (("for_s", json!(3601)), "action.for_s", "0 to 3600"),
            (("from_robot", json!([])), "action.from_robot", "1 to 16"),
            (("from_robot", json!(vec!["t"; 17])), "action.from_robot", "1 to 16"),
            (("to_robot", json!([{"topic": "camera"}])), "action.from_robot", "twice"),
            (("max_hz", json!(0)), "action.max_hz", "not in 0"),
            (("max_kbps", json!(0)), "action.max_kbps", "not in 1"),
            (("max_hertz", json!(1)), "action", "unknown field"),
        ] {
            let error = Action::parse(&action(change)).unwrap_err();
            assert!(error.path.starts_with(path) && error.reason.contains(reason), "{error}");
        }
    }

    #[test]
    fn keys_stay_below_their_robot_and_marks_read_back() {
        let robot = Topics::new("robot-07").unwrap();
        let keys = LiveKeys::of(&robot, "a-1").unwrap();
        assert_eq!(keys.up(3), "edgeflow/targets/robot-07/live/a-1/up/3");
        assert_eq!(LiveKeys::of_session("a-1").unwrap().here(), "edgeflow/targets/*/live/a-1/here");
        for session in ["", "*", "a/b", "a#", "A", &"a".repeat(41)] {
            assert!(LiveKeys::of(&robot, session).is_none() && LiveKeys::of_session(session).is_none(), "{session:?}");
        }
        let mark = LiveMark { epoch: 7, seq: u64::MAX - 1 };
        assert_eq!(LiveMark::from_bytes(&mark.to_bytes()), Some(mark));
        assert_eq!(LiveMark::from_bytes(b"short"), None);
    }
}
