//! The audit trail, in `registry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId,
    audit::{AuditRecord, NewAudit},
};
use edgeflow_store::{AuditStore, StoreError};
use futures::FutureExt;
use sqlx::sqlite::SqliteRow;

use crate::{
    Registry,
    connect::failed,
    decode::{get, get_json, json},
};

#[async_trait]
impl AuditStore for Registry {
    async fn append_audit(&self, organisation: &OrganisationId, new: &NewAudit) -> Result<(), StoreError> {
        let (organisation, new, detail) = (organisation.to_string(), new.clone(), json(&new.detail)?);
        self.0
            .writer
            .run(move |connection| {
                async move {
                    sqlx::query(
                    "INSERT INTO audit (organisation, at_us, who, action, resource, outcome, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )
                .bind(organisation)
                .bind(new.at_us)
                .bind(new.who)
                .bind(new.action)
                .bind(new.resource)
                .bind(new.outcome)
                .bind(detail)
                .execute(connection)
                .await
                .map(drop)
                .map_err(failed("appending to the audit trail"))
                }
                .boxed()
            })
            .await
    }

    async fn audit(&self, organisation: &OrganisationId, before: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM audit WHERE organisation = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3")
            .bind(organisation.as_str())
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading the audit trail"))?;
        rows.iter().map(record_of).collect()
    }

    async fn audit_of(&self, organisation: &OrganisationId, resources: &[String], limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query(
            // By time, as the index of resources has it: by id the whole trail would be walked.
            "SELECT * FROM audit WHERE organisation = ?1 AND resource IN (SELECT value FROM json_each(?2)) \
             ORDER BY at_us DESC, id DESC LIMIT ?3",
        )
        .bind(organisation.as_str())
        .bind(json(&resources)?)
        .bind(limit)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("reading the audit trail"))?;
        rows.iter().map(record_of).collect()
    }
}

/// An act of a row.
pub(crate) fn record_of(row: &SqliteRow) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        id: get(row, "id")?,
        at_us: get(row, "at_us")?,
        who: get(row, "who")?,
        action: get(row, "action")?,
        resource: get(row, "resource")?,
        outcome: get(row, "outcome")?,
        detail: get_json(row, "detail")?,
    })
}
