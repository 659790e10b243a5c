//! Robots and their desired state, in `fleet.db`.

use async_trait::async_trait;
use edgeflow_core::{OrganisationId, RobotId, TargetName, target::Target};
use edgeflow_store::{StoreError, TargetStore};
use edgeflow_wire::{DesiredState, Version, WIRE_VERSION};
use futures::FutureExt;
use sqlx::sqlite::SqliteRow;

use crate::{
    Fleet,
    connect::failed,
    decode::{get, get_hash, get_json, get_name, get_u64, json},
};

#[async_trait]
impl TargetStore for Fleet {
    async fn create_target(&self, target: &Target) -> Result<(), StoreError> {
        let (target, labels) = (target.clone(), json(&target.labels)?);
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let done = sqlx::query(
                        "INSERT INTO targets (name, organisation, labels, token_hash, created_at_us) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (name) DO UPDATE SET labels = excluded.labels, token_hash = excluded.token_hash, \
                     created_at_us = excluded.created_at_us, revoked_at_us = NULL \
                     WHERE revoked_at_us IS NOT NULL AND organisation = excluded.organisation",
                    )
                    .bind(target.id.name.as_str())
                    .bind(target.id.organisation.as_str())
                    .bind(labels)
                    .bind(target.token_hash.to_vec())
                    .bind(target.created_at_us)
                    .execute(connection)
                    .await
                    .map_err(failed("enrolling a robot"))?;
                    if done.rows_affected() == 1 {
                        Ok(())
                    } else {
                        Err(StoreError::Taken { what: "robot", name: target.id.name.to_string() })
                    }
                }
                .boxed()
            })
            .await
    }

    async fn target(&self, organisation: &OrganisationId, name: &TargetName) -> Result<Option<Target>, StoreError> {
        let target = self.target_anywhere(name).await?;
        Ok(target.filter(|target| target.id.organisation == *organisation))
    }

    async fn target_anywhere(&self, name: &TargetName) -> Result<Option<Target>, StoreError> {
        let row = sqlx::query("SELECT * FROM targets WHERE name = ?1 AND revoked_at_us IS NULL")
            .bind(name.as_str())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a robot"))?;
        row.as_ref().map(target_of).transpose()
    }

    async fn targets(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Target>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM targets WHERE organisation = ?1 AND name > ?2 AND revoked_at_us IS NULL ORDER BY name LIMIT ?3")
                .bind(organisation.as_str())
                .bind(after.unwrap_or_default())
                .bind(limit)
                .fetch_all(&self.0.readers)
                .await
                .map_err(failed("listing robots"))?;
        rows.iter().map(target_of).collect()
    }

    async fn revoke_target(&self, organisation: &OrganisationId, name: &TargetName, at_us: i64) -> Result<bool, StoreError> {
        let (organisation, name) = (organisation.to_string(), name.to_string());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let revoke = failed("revoking a robot");
                    let done = sqlx::query(
                        "UPDATE targets SET revoked_at_us = ?3 WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL",
                    )
                    .bind(organisation)
                    .bind(&name)
                    .bind(at_us)
                    .execute(&mut *connection)
                    .await
                    .map_err(&revoke)?;
                    if done.rows_affected() == 0 {
                        return Ok(false);
                    }
                    sqlx::query("UPDATE certificates SET revoked_at_us = ?2 WHERE target = ?1 AND revoked_at_us IS NULL")
                        .bind(&name)
                        .bind(at_us)
                        .execute(&mut *connection)
                        .await
                        .map_err(&revoke)?;
                    let tokens = sqlx::query("DELETE FROM bootstraps WHERE target = ?1").bind(&name);
                    tokens.execute(connection).await.map(|_| true).map_err(&revoke)
                }
                .boxed()
            })
            .await
    }
}

pub(crate) fn target_of(row: &SqliteRow) -> Result<Target, StoreError> {
    let name: TargetName = get_name(row, "name")?;
    let version = Version { server_epoch: get_u64(row, "server_epoch")?, generation: get_u64(row, "generation")? };
    Ok(Target {
        desired: DesiredState { v: WIRE_VERSION, target: name.to_string(), version, slots: get_json(row, "slots")? },
        id: RobotId { organisation: get_name(row, "organisation")?, name },
        labels: get_json(row, "labels")?,
        token_hash: get_hash(row, "token_hash")?,
        created_at_us: get(row, "created_at_us")?,
    })
}
