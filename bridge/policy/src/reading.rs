//! One value of one field.

use edgeflow_wire::SampleValue;

/// Integers up to this magnitude are exact as JSON numbers.
const EXACT: i128 = 1 << 53;

/// One value of one field, as a message has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// A string.
    Text(&'a str),
}

impl Reading<'_> {
    /// As an amount; none of a string.
    pub fn amount(self) -> Option<f64> {
        match self {
            Reading::Bool(value) => Some(f64::from(u8::from(value))),
            Reading::Integer(value) => Some(value as f64),
            Reading::Float(value) => Some(value),
            Reading::Text(_) => None,
        }
    }

    /// As a state, written to `state`: integers by their names, where they have one.
    pub(crate) fn state(self, names: &[(i128, String)], state: &mut String) {
        use std::fmt::Write;
        state.clear();
        // Writing to a string cannot fail.
        let _ = match self {
            Reading::Bool(value) => write!(state, "{value}"),
            Reading::Integer(value) => match names.iter().find(|(named, _)| *named == value) {
                Some((_, name)) => write!(state, "{name}"),
                None => write!(state, "{value}"),
            },
            Reading::Float(value) => write!(state, "{value}"),
            Reading::Text(text) => write!(state, "{text}"),
        };
    }

    /// As it is sent by itself.
    pub(crate) fn sample(self) -> SampleValue {
        match self {
            Reading::Bool(value) => SampleValue::Bool(value),
            Reading::Integer(value) if value.abs() <= EXACT => SampleValue::Number(value as f64),
            Reading::Integer(value) => SampleValue::Text(value.to_string()),
            Reading::Float(value) => SampleValue::Number(value),
            Reading::Text(text) => SampleValue::Text(text.to_owned()),
        }
    }
}
