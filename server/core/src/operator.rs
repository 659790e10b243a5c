//! People with tokens of their own, so that what is done is known by who did it, and a second person can look at it first.

use serde::Serialize;

use crate::{OperatorName, OrganisationId};

/// A person who may act here. The token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Inside which organisation.
    pub organisation: OrganisationId,
    /// Their name; unique over all organisations, since a token holds nothing else.
    pub name: OperatorName,
    /// SHA-256 of their token.
    pub token_hash: [u8; 32],
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who made it.
    pub created_by: String,
}

/// A person, as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OperatorView {
    /// Their name.
    pub name: String,
    /// When, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// Who made it.
    pub created_by: String,
}

impl From<&Operator> for OperatorView {
    fn from(operator: &Operator) -> Self {
        let Operator { name, created_at_us, created_by, .. } = operator;
        Self { name: name.to_string(), created_at_us: *created_at_us, created_by: created_by.clone() }
    }
}

/// What an operator's token begins with. No robot's name has an underscore, so no robot's token does.
const PREFIX: &str = "op_";

/// The token of `name` with that secret.
pub fn token(name: &OperatorName, secret: &str) -> String {
    format!("{PREFIX}{name}.{secret}")
}

/// Whose token that is, if it is in the form of an operator's.
pub fn name_in(token: &str) -> Option<OperatorName> {
    let (name, _) = token.strip_prefix(PREFIX)?.split_once('.')?;
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_whose_it_is_and_is_never_taken_for_a_robots() {
        let ada = OperatorName::new("ada").unwrap();
        let given = token(&ada, "5ec2e7");
        assert_eq!(name_in(&given), Some(ada));
        assert!(crate::TargetName::new(given.split_once('.').unwrap().0).is_err());
        for other in ["ada.5ec2e7", "op_ada", "op_.x", "op_a/b.x", ""] {
            assert_eq!(name_in(other), None, "{other}");
        }
    }
}
