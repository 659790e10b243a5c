//! Names that people give to things: checked once, at the edge, and never again.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use crate::CoreError;

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            pub fn new(name: impl Into<String>) -> Result<Self, CoreError> {
                let name = name.into();
                let check: fn(&str) -> bool = $check;
                if check(&name) { Ok(Self(name)) } else { Err(CoreError::BadName { what: $what, name, rule: $rule }) }
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = CoreError;
            fn from_str(name: &str) -> Result<Self, CoreError> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = CoreError;
            fn try_from(name: String) -> Result<Self, CoreError> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

fn dashed(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What MLflow's clients may call a model, as far as it harms nobody: a model's name is part of addresses, where it is escaped, and
/// of `models:/name/version`, where `/` and `:` would end it; it is never part of a path or a topic.
fn free(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 250
        && name.trim() == name
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | ':' | '\\'))
}

fn underscored(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

name_type!(
    /// An organisation: whose a resource is.
    OrganisationId,
    "organisation",
    "use 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit",
    dashed
);
name_type!(
    /// A robot's name. It is part of MQTT topics and of ROS namespaces, hence narrow.
    TargetName,
    "robot name",
    "use 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit",
    dashed
);
name_type!(
    /// A person's name, as their acts are recorded under.
    OperatorName,
    "operator name",
    "use 1 to 63 lower-case letters, digits and dashes, starting with a letter or digit",
    dashed
);
name_type!(
    /// A registered model's name.
    ModelName,
    "model name",
    "use 1 to 250 bytes of any letters, digits, signs and spaces but / : and backslash, without spaces around it",
    free
);
name_type!(
    /// A slot on a robot that holds one deployable thing.
    SlotName,
    "slot name",
    "use 1 to 63 lower-case letters, digits, dashes and underscores, starting with a letter",
    underscored
);

impl OrganisationId {
    /// The one organisation there is until sign-in comes.
    pub fn first() -> Self {
        Self("default".to_owned())
    }
}

impl SlotName {
    /// The slot every robot has.
    pub fn default_slot() -> Self {
        Self("default".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_a_topic_a_path_or_a_url_are_refused() {
        for bad in ["", "a/b", "../x", "+", "#", "é", " ", "a b", "-a", "a\0"] {
            assert!(TargetName::new(bad).is_err(), "{bad:?}");
            assert!(SlotName::new(bad).is_err(), "{bad:?}");
        }
        assert!(TargetName::new("a".repeat(64)).is_err());
        assert!(TargetName::new("Robot").is_err());
    }

    #[test]
    fn a_model_is_called_what_people_call_it_unless_that_could_be_something_else() {
        for good in ["label-reader", "Größe 模型 (v2)", "50% off", "a+b#c?", "-a", "..."] {
            assert!(ModelName::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", " a", "a ", "a/b", "../x", "models:/a", "a\\b", "a\0", "a\nb", ".", "..", &"é".repeat(126)] {
            assert!(ModelName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_is_quoted_with_the_rule() {
        let message = TargetName::new("Robot 1").unwrap_err().to_string();
        assert!(message.contains("\"Robot 1\"") && message.contains("lower-case"), "{message}");
    }
}
