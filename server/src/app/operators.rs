//! People with tokens of their own: made by the administrator, and then whoever acts is known by name.

use edgeflow_core::{
    OperatorName, Principal,
    operator::{self, Operator, OperatorView},
    principal::{Action, Resource},
};

use crate::app::{
    App, AppError,
    auth::{hash, random_hex},
};

impl App {
    /// Takes somebody in. Their token is the answer, this once.
    pub async fn create_operator(&self, principal: &Principal, name: OperatorName) -> Result<String, AppError> {
        self.permit(principal, Action::ManageOperators, Resource::Organisation).await?;
        let token = operator::token(&name, &random_hex()?);
        let new = Operator {
            organisation: principal.organisation.clone(),
            name,
            token_hash: hash(&token),
            created_at_us: self.now_us(),
            created_by: principal.who.to_string(),
        };
        self.stores.operators.create_operator(&new).await?;
        self.record(principal, Action::ManageOperators, &format!("operator/{}", new.name), serde_json::json!({ "created": true })).await;
        Ok(token)
    }

    /// Who there is, by name.
    pub async fn operators(&self, principal: &Principal) -> Result<Vec<OperatorView>, AppError> {
        self.permit(principal, Action::ReadServer, Resource::Organisation).await?;
        Ok(self.stores.operators.operators(&principal.organisation).await?.iter().map(OperatorView::from).collect())
    }

    /// Takes somebody's token away. What they did stays theirs.
    pub async fn remove_operator(&self, principal: &Principal, name: &OperatorName) -> Result<(), AppError> {
        self.permit(principal, Action::ManageOperators, Resource::Organisation).await?;
        if !self.stores.operators.remove_operator(&principal.organisation, name, self.now_us()).await? {
            return Err(AppError::NotFound { what: "operator", name: name.to_string() });
        }
        self.record(principal, Action::ManageOperators, &format!("operator/{name}"), serde_json::json!({ "removed": true })).await;
        Ok(())
    }

    /// The person whose token that is.
    pub(crate) async fn operator_of(&self, name: &OperatorName, given: [u8; 32]) -> Result<Option<Operator>, AppError> {
        use subtle::ConstantTimeEq;
        let found = self.stores.operators.operator_anywhere(name).await?;
        // An unknown name is compared too, so that its answer takes as long.
        let expected = found.as_ref().map_or([0; 32], |operator| operator.token_hash);
        Ok(if bool::from(given.ct_eq(&expected)) { found } else { None })
    }
}
