//! What a robot reports of its topics: the document, and what is wrong with one.
//!
//! Nothing of a topic leaves the robot unless a route names it. A document is taken whole or refused whole: one that is
//! half understood could send more than was wanted, so an unknown field is an error here, unlike elsewhere on the wire.
//! Whether a topic's type has the fields that a route names is known only where the topic is: on the robot.

mod capture;
mod check;
mod field;
mod trigger;

use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

pub use capture::Capture;
pub use check::name_matches;
pub(crate) use check::{MAX_CAPTURE_S, MAX_ESCALATION_S, check_escalated};
pub use field::{FieldPath, Step};
pub use trigger::{MAX_CONDITION_BYTES, Trigger, Watch};

use crate::{Class, u64_string};

/// Most bytes of a policy as JSON.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// A policy and its place in the order of a robot's policies, as desired state carries it.
///
/// The document stays as it came, so that one which this version cannot read is refused by itself, not with all of the desired state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionedPolicy {
    /// Count of changes to this robot's policy, from 1.
    #[serde(with = "u64_string")]
    pub version: u64,
    /// JSON of a [`TelemetryPolicy`].
    pub document: serde_json::Value,
}

/// What a robot reports of its topics. Without routes: nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryPolicy {
    /// What is reported. A topic that several routes match is reported by each.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// More of some topics for a while, when there is a reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    /// What the robot notices by itself. Each time is an entry, and may be a reason for an escalation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Which topics' newest messages are kept, to make a file of them when there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Most entries a second of all routes together, on average over a minute; when it is short, lower priorities go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_entries_per_s: Option<f64>,
}

/// More of some topics for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// Its name, as a route's.
    pub name: String,
    /// What begins it.
    pub when: Reason,
    /// How long it lasts, seconds, up to an hour.
    pub for_s: f64,
    /// How long after its end it does not begin again, seconds.
    #[serde(default = "rest_s")]
    pub rest_s: f64,
    /// What is reported meanwhile, in the class `detail`.
    pub routes: Vec<Route>,
}

fn rest_s() -> f64 {
    600.0
}

/// What begins an escalation on the robot itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reason {
    /// A drift window is flagged.
    Drift {},
    /// Something has a fault.
    Fault {
        /// What has it, as a pattern: `inference_node`, `route *`.
        source: String,
    },
    /// A trigger of the policy fires.
    Trigger {
        /// Its name.
        name: String,
    },
}

/// Which topics, which of their fields, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name: 1 to 63 lower-case letters, digits, dashes and underscores.
    pub name: String,
    /// Topics: ROS names, absolute or relative to the robot's namespace, in which `*` is anything within one part and `**`
    /// any number of parts.
    pub allow: Vec<String>,
    /// Of these, the ones left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Only topics of this type, such as `nav_msgs/msg/Odometry`. A topic of another type is no error then.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Fields of the message.
    pub fields: Vec<Field>,
    /// Sum up each period into one entry. Either this or `samples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Send single values. Either this or `window`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// `event`, `summary` or `detail`; `summary` for windows and `detail` for samples when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// 0 to 9: the greater, the later it is given up when entries are too many.
    #[serde(default = "middle")]
    pub priority: u8,
    /// A publisher that is there and silent for so long, seconds, is a stuck route: subscribed anew and told as a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_period_s: Option<f64>,
}

fn middle() -> u8 {
    5
}

impl Route {
    /// The value class of its entries.
    pub fn class(&self) -> Class {
        self.class.unwrap_or(if self.window.is_some() { Class::Summary } else { Class::Detail })
    }
}

/// One field of a message. As JSON the path alone, or an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Such as `pose.pose.position.x`, `ranges[3]` or `status[*].level`.
    pub path: FieldPath,
    /// Whether its values are amounts or states.
    #[serde(rename = "as")]
    pub treat: Treat,
    /// How the values of `[*]` in one message become one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            path: FieldPath,
            #[serde(default, rename = "as")]
            treat: Treat,
            #[serde(default)]
            reduce: Option<Reduce>,
        }
        struct Either;
        impl<'de> de::Visitor<'de> for Either {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path such as \"pose.pose.position.x\", or {path, as, reduce}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
                Ok(Field { path: text.parse().map_err(E::custom)?, treat: Treat::Auto, reduce: None })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                let Whole { path, treat, reduce } = Whole::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Field { path, treat, reduce })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Whether values are amounts, of which there is a mean, or states, in which time is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Treat {
    /// Numbers are amounts; booleans and strings are states.
    #[default]
    Auto,
    /// Amounts. A boolean counts as 0 or 1.
    Number,
    /// States. Integers get the names of the constants in the message's definition.
    State,
}

/// How many values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// The least.
    Min,
    /// The greatest: the worst of many levels, or whether any is true.
    Max,
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// How many there are.
    Count,
}

/// Aggregation to windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Length, seconds. Windows end at whole multiples of it since the Unix epoch, so that those of many robots add up.
    pub period_s: f64,
}

/// Single values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// Most samples a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hz: Option<f64>,
    /// Only when a field changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_change: Option<OnChange>,
}

/// What counts as a change.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnChange {
    /// A number changed when it differs by more than this from what was sent last.
    #[serde(default)]
    pub deadband: f64,
}

/// What is wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct PolicyError {
    /// Where in the document, such as `routes[0].window.period_s`.
    pub path: String,
    /// What is wrong and what is possible.
    pub reason: String,
}
