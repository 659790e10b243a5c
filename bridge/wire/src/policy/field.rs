//! The way to a field inside a message: `pose.pose.position.x`, `ranges[3]`, `status[*].level`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{fmt, str::FromStr};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Into the field of this name.
    Field(String),
    /// To this element of an array, from 0.
    At(usize),
    /// To every element of an array.
    Every,
}

/// The way to a field inside a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// Its steps; the first is a field.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether one message can have many values of it.
    pub fn is_many(&self) -> bool {
        self.0.contains(&Step::Every)
    }
}

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text:?} is no field path: {what}; write pose.pose.position.x, ranges[3] or status[*].level");
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
            let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !well_formed {
                return Err(wrong(&format!("{name:?} is no name of a field")));
            }
            steps.push(Step::Field(name.to_owned()));
            while !rest.is_empty() {
                let inside = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let Some((index, after)) = inside else { return Err(wrong("a bracket is not closed")) };
                steps.push(match index {
                    "*" => Step::Every,
                    digits => Step::At(digits.parse().map_err(|_| wrong(&format!("{digits:?} is neither an index nor *")))?),
                });
                rest = after;
            }
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if at == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::At(index) => write!(f, "[{index}]")?,
                Step::Every => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for FieldPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_are_written_as_they_are_read() {
        for text in ["x", "pose.pose.position.x", "ranges[3]", "status[*].level", "grid[0][*].cell_2.v"] {
            assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), text);
        }
        let path: FieldPath = "status[*].values[2]".parse().unwrap();
        assert_eq!(path.steps(), [Step::Field("status".into()), Step::Every, Step::Field("values".into()), Step::At(2)]);
        assert!(path.is_many());
    }

    #[test]
    fn what_is_no_path_is_named() {
        for text in ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[-1]", "a[1", "[0]", "a]b", "a[1]b", "1a", "a b", "a/b", "_a"] {
            let error = text.parse::<FieldPath>().unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
    }
}
