//! What a robot shall notice by itself: conditions over fields of its topics.
//!
//! Only the form is here. Whether a condition is one is `edgeflow_policy`'s to say, and whether a type has a field the robot's.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{FieldPath, Reduce};
use crate::EventSeverity;

/// Most bytes of a condition.
pub const MAX_CONDITION_BYTES: usize = 512;

/// A condition over fields of topics, and what is said when it comes to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name, as a route's.
    pub name: String,
    /// The variables of `when`.
    pub watch: BTreeMap<String, Watch>,
    /// In the Common Expression Language: `battery.percentage < 0.2 && speed > 0.1`.
    pub when: String,
    /// How long it must hold without a break, seconds.
    #[serde(default)]
    pub for_s: f64,
    /// How long after it fired it does not fire again, seconds.
    #[serde(default = "min_interval_s")]
    pub min_interval_s: f64,
    /// How much it asks for attention.
    #[serde(default)]
    pub severity: EventSeverity,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

fn min_interval_s() -> f64 {
    60.0
}

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// One topic, absolute or relative to the robot's namespace.
    pub topic: String,
    /// Its type, such as `sensor_msgs/msg/BatteryState`: so that the policy is refused when it lacks a field, not when the
    /// topic appears.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The one field it stands for. Without it the variable is the message, and `when` says which fields: `battery.percentage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldPath>,
    /// How the values of `[*]` in one message become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// A value that is older than this, seconds, is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}
