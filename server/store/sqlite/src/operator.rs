//! People with tokens of their own, in `fleet.db`.

use async_trait::async_trait;
use edgeflow_core::{OperatorName, OrganisationId, operator::Operator};
use edgeflow_store::{OperatorStore, StoreError};
use futures::FutureExt;
use sqlx::sqlite::SqliteRow;

use crate::{
    Fleet,
    connect::failed,
    decode::{get, get_hash, get_name},
};

#[async_trait]
impl OperatorStore for Fleet {
    async fn create_operator(&self, operator: &Operator) -> Result<(), StoreError> {
        let operator = operator.clone();
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let done = sqlx::query(
                        "INSERT INTO operators (name, organisation, token_hash, created_at_us, created_by) VALUES (?1, ?2, ?3, ?4, ?5) \
                         ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, created_at_us = excluded.created_at_us, \
                         created_by = excluded.created_by, removed_at_us = NULL \
                         WHERE removed_at_us IS NOT NULL AND organisation = excluded.organisation",
                    )
                    .bind(operator.name.as_str())
                    .bind(operator.organisation.as_str())
                    .bind(operator.token_hash.to_vec())
                    .bind(operator.created_at_us)
                    .bind(&operator.created_by)
                    .execute(connection)
                    .await
                    .map_err(failed("taking an operator in"))?;
                    if done.rows_affected() == 1 {
                        Ok(())
                    } else {
                        Err(StoreError::Taken { what: "operator", name: operator.name.to_string() })
                    }
                }
                .boxed()
            })
            .await
    }

    async fn operator_anywhere(&self, name: &OperatorName) -> Result<Option<Operator>, StoreError> {
        let row = sqlx::query("SELECT * FROM operators WHERE name = ?1 AND removed_at_us IS NULL")
            .bind(name.as_str())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading an operator"))?;
        row.as_ref().map(operator_of).transpose()
    }

    async fn operators(&self, organisation: &OrganisationId) -> Result<Vec<Operator>, StoreError> {
        let rows = sqlx::query("SELECT * FROM operators WHERE organisation = ?1 AND removed_at_us IS NULL ORDER BY name")
            .bind(organisation.as_str())
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing operators"))?;
        rows.iter().map(operator_of).collect()
    }

    async fn remove_operator(&self, organisation: &OrganisationId, name: &OperatorName, at_us: i64) -> Result<bool, StoreError> {
        let (organisation, name) = (organisation.to_string(), name.to_string());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let done = sqlx::query(
                        "UPDATE operators SET removed_at_us = ?3 WHERE organisation = ?1 AND name = ?2 AND removed_at_us IS NULL",
                    )
                    .bind(organisation)
                    .bind(name)
                    .bind(at_us)
                    .execute(connection)
                    .await;
                    done.map(|done| done.rows_affected() == 1).map_err(failed("removing an operator"))
                }
                .boxed()
            })
            .await
    }
}

fn operator_of(row: &SqliteRow) -> Result<Operator, StoreError> {
    Ok(Operator {
        organisation: get_name(row, "organisation")?,
        name: get_name(row, "name")?,
        token_hash: get_hash(row, "token_hash")?,
        created_at_us: get(row, "created_at_us")?,
        created_by: get(row, "created_by")?,
    })
}
