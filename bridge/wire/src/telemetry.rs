//! What a policy's routes report: windows, single values, and the robot's word on the policy itself.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{Class, EventSeverity, float, u64_string};

/// A window of one route on one topic closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicWindowBody {
    /// Route of the policy.
    pub route: String,
    /// Topic, absolute.
    pub topic: String,
    /// Version of the policy.
    #[serde(with = "u64_string")]
    pub policy: u64,
    /// Begin, microseconds since the Unix epoch, by the robot's clock.
    pub start_us: i64,
    /// End.
    pub end_us: i64,
    /// Messages received.
    pub messages: u64,
    /// Field path to what its values were. A field that no message had a value of is not there.
    pub fields: BTreeMap<String, FieldWindow>,
}

/// What the values of one field were over a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum FieldWindow {
    /// Amounts.
    Number(NumberWindow),
    /// States.
    State(StateWindow),
}

/// Amounts over a window. What is not finite is counted apart and in none of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberWindow {
    /// Finite values.
    pub count: u64,
    /// Values that were NaN or infinite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_finite: u64,
    /// The least; this and what follows is NaN when there was none.
    #[serde(with = "float")]
    pub min: f64,
    /// The greatest.
    #[serde(with = "float")]
    pub max: f64,
    /// Their mean.
    #[serde(with = "float")]
    pub mean: f64,
    /// Median: exact for few values, within 1 % of its magnitude for many.
    #[serde(with = "float")]
    pub p50: f64,
    /// 95th percentile, as exact as the median.
    #[serde(with = "float")]
    pub p95: f64,
    /// The newest.
    #[serde(with = "float")]
    pub last: f64,
}

/// States over a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWindow {
    /// Messages that said a state.
    pub count: u64,
    /// State to the time spent in it. Those beyond 32 are together `(other)`.
    pub states: BTreeMap<String, TimeInState>,
    /// Time in which the state was not known, microseconds: before the first message, or while nobody published.
    pub unknown_us: i64,
    /// The newest.
    pub last: String,
}

/// Time spent in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TimeInState {
    /// Microseconds.
    pub us: i64,
    /// How often it began.
    pub entered: u64,
}

/// Values of one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicSampleBody {
    /// Route of the policy.
    pub route: String,
    /// Topic, absolute.
    pub topic: String,
    /// Version of the policy.
    #[serde(with = "u64_string")]
    pub policy: u64,
    /// Field path to its value. A field the message has no value of (an index beyond an array's end) is not there.
    pub values: BTreeMap<String, SampleValue>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SampleValue {
    /// A boolean.
    Bool(bool),
    /// An amount, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
    Number(#[serde(with = "float")] f64),
    /// A string, or the name of a state. Integers beyond 2^53 are strings too.
    Text(String),
}

/// What became of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyOutcome {
    /// It rules now.
    Applied,
    /// It is not obeyed; the one before still rules.
    Refused,
}

/// The robot's word on a policy: its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatusBody {
    /// Version it is about.
    #[serde(with = "u64_string")]
    pub version: u64,
    /// What became of it.
    pub outcome: PolicyOutcome,
    /// Why it was refused, with its place in the document.
    #[serde(default)]
    pub reason: String,
    /// Version that rules now; 0 when none does.
    #[serde(with = "u64_string")]
    pub ruling: u64,
}

/// More of some topics is reported for a while, or no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EscalationBody {
    /// Its name: the command's id, or as the policy has it.
    pub name: String,
    /// Whether it begins.
    pub active: bool,
    /// Why it begins or ends.
    pub reason: String,
    /// How long it lasts, seconds; 0 at its end.
    #[serde(with = "float")]
    pub for_s: f64,
}

/// A trigger of the policy fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerBody {
    /// Its name.
    pub name: String,
    /// Version of the policy.
    #[serde(with = "u64_string")]
    pub policy: u64,
    /// How much it asks for attention.
    #[serde(default)]
    pub severity: EventSeverity,
    /// For people, as the policy has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when its condition held, microseconds since the Unix epoch, by the robot's clock.
    pub since_us: i64,
    /// What the condition names to the values it had then: `battery.percentage`.
    pub values: BTreeMap<String, SampleValue>,
}

/// What the robot gives up while its host is short of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurvivalBody {
    /// Entries of this class and below are not made now; none: all are.
    pub shed: Option<Class>,
    /// Why.
    pub reason: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Content, EntryBody};

    #[test]
    fn windows_and_samples_survive_the_way_with_what_json_has_no_number_for() {
        let nan = NumberWindow {
            count: 0,
            not_finite: 3,
            min: f64::NAN,
            max: f64::INFINITY,
            mean: 1.5,
            p50: 0.0,
            p95: -2.0,
            last: f64::NEG_INFINITY,
        };
        let state = StateWindow {
            count: 1,
            states: BTreeMap::from([("OK".into(), TimeInState { us: 7, entered: 1 })]),
            unknown_us: 3,
            last: "OK".into(),
        };
        let window = TopicWindowBody {
            route: "r".into(),
            topic: "/t".into(),
            policy: u64::MAX,
            start_us: 1,
            end_us: 2,
            messages: 4,
            fields: BTreeMap::from([("a".into(), FieldWindow::Number(nan)), ("b".into(), FieldWindow::State(state))]),
        };
        let text = serde_json::to_string(&Content::from(EntryBody::TopicWindow(window))).unwrap();
        let back: Content = serde_json::from_str(&text).unwrap();
        assert!(matches!(back, Content::Known(EntryBody::TopicWindow(_))), "{text}");
        assert_eq!(serde_json::to_string(&back).unwrap(), text);

        let values = [SampleValue::Bool(true), SampleValue::Number(f64::INFINITY), SampleValue::Number(2.0), SampleValue::Text("x".into())];
        let values: BTreeMap<String, SampleValue> = ["a", "b", "c", "d"].map(String::from).into_iter().zip(values).collect();
        let sample = TopicSampleBody { route: "r".into(), topic: "/t".into(), policy: 1, values };
        let content = Content::from(EntryBody::TopicSample(sample));
        assert_eq!(serde_json::from_str::<Content>(&serde_json::to_string(&content).unwrap()).unwrap(), content);
    }
}
