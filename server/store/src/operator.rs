//! People with tokens of their own.

use async_trait::async_trait;
use edgeflow_core::{OperatorName, OrganisationId, operator::Operator};

use crate::StoreError;

/// People with tokens of their own. One who was removed is gone from every answer.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// Takes somebody in. `Taken` when the name is in use, in whichever organisation, or was in another one; a name that was removed
    /// can come back in its own.
    async fn create_operator(&self, operator: &Operator) -> Result<(), StoreError>;

    /// The person of that name, of whichever organisation: for proving who they are, nothing else.
    async fn operator_anywhere(&self, name: &OperatorName) -> Result<Option<Operator>, StoreError>;

    /// People of an organisation, by name.
    async fn operators(&self, organisation: &OrganisationId) -> Result<Vec<Operator>, StoreError>;

    /// Takes a person's token away. Whether there was one.
    async fn remove_operator(&self, organisation: &OrganisationId, name: &OperatorName, at_us: i64) -> Result<bool, StoreError>;
}
