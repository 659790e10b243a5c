//! May they, and that they did: the one place every use-case asks before it acts and tells after.

use edgeflow_core::{
    Page, Principal,
    audit::{AuditRecord, NewAudit},
    principal::{Action, Resource, decide},
};

use crate::app::{App, AppError};

impl App {
    /// Whether `principal` may do this. A refusal to change something is put on record.
    pub(crate) async fn permit(&self, principal: &Principal, action: Action, resource: Resource) -> Result<(), AppError> {
        let name = resource.to_string();
        let Err(denied) = decide(principal, action, resource) else { return Ok(()) };
        self.append(principal, action, &name, "denied", serde_json::Value::Null).await;
        Err(denied.into())
    }

    /// Puts an act on record, after it was done.
    pub(crate) async fn record(&self, principal: &Principal, action: Action, resource: &str, detail: serde_json::Value) {
        self.append(principal, action, resource, "done", detail).await;
    }

    async fn append(&self, principal: &Principal, action: Action, resource: &str, outcome: &str, detail: serde_json::Value) {
        let new = NewAudit {
            at_us: self.now_us(),
            who: principal.who.to_string(),
            action: action.as_str().to_owned(),
            resource: resource.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        // The act is done and durable: failing it now would tell a lie, so what cannot be recorded is shouted instead.
        if let Err(error) = self.stores.audit.append_audit(&principal.organisation, &new).await {
            tracing::error!(%error, audit.who = new.who, audit.action = new.action, audit.resource = resource, "an act was not recorded");
        }
    }

    /// The audit trail, newest first.
    pub async fn audit(&self, principal: &Principal, after: Option<i64>, limit: u32) -> Result<Page<AuditRecord>, AppError> {
        self.permit(principal, Action::ReadAudit, Resource::Organisation).await?;
        let records = self.stores.audit.audit(&principal.organisation, after, limit + 1).await?;
        Ok(Page::cut(records, limit, |record| record.id.to_string()))
    }
}
