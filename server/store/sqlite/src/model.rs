//! Models and versions, in `registry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    ModelName, OrganisationId,
    model::{Model, ModelVersion, NewModelVersion},
};
use edgeflow_store::{ModelStore, StoreError};
use futures::FutureExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Registry,
    connect::failed,
    decode::{get, get_json, get_name, get_u64, int, json},
};

#[async_trait]
impl ModelStore for Registry {
    async fn create_model(&self, organisation: &OrganisationId, model: &Model) -> Result<(), StoreError> {
        let (organisation, model) = (organisation.clone(), model.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    if insert_model(connection, &organisation, &model).await? {
                        Ok(())
                    } else {
                        Err(StoreError::Taken { what: "model", name: model.name.to_string() })
                    }
                }
                .boxed()
            })
            .await
    }

    async fn model(&self, organisation: &OrganisationId, name: &ModelName) -> Result<Option<Model>, StoreError> {
        let row = sqlx::query("SELECT * FROM models WHERE organisation = ?1 AND name = ?2")
            .bind(organisation.as_str())
            .bind(name.as_str())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a model"))?;
        row.as_ref().map(model_of).transpose()
    }

    async fn models(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Model>, StoreError> {
        let rows = sqlx::query("SELECT * FROM models WHERE organisation = ?1 AND name > ?2 ORDER BY name LIMIT ?3")
            .bind(organisation.as_str())
            .bind(after.unwrap_or_default())
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing models"))?;
        rows.iter().map(model_of).collect()
    }

    async fn create_model_version(&self, organisation: &OrganisationId, new: &NewModelVersion) -> Result<(ModelVersion, bool), StoreError> {
        let (organisation, new) = (organisation.clone(), new.clone());
        self.0.writer.run(move |connection| async move { insert_version(connection, &organisation, new).await }.boxed()).await
    }

    async fn model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
    ) -> Result<Option<ModelVersion>, StoreError> {
        let row = sqlx::query("SELECT * FROM model_versions WHERE organisation = ?1 AND model = ?2 AND number = ?3")
            .bind(organisation.as_str())
            .bind(model.as_str())
            .bind(int(number)?)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a model version"))?;
        row.as_ref().map(version_of).transpose()
    }

    async fn model_versions(&self, organisation: &OrganisationId, model: &ModelName) -> Result<Vec<ModelVersion>, StoreError> {
        let rows = sqlx::query("SELECT * FROM model_versions WHERE organisation = ?1 AND model = ?2 ORDER BY number DESC")
            .bind(organisation.as_str())
            .bind(model.as_str())
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing model versions"))?;
        rows.iter().map(version_of).collect()
    }

    async fn artifact(&self, organisation: &OrganisationId, sha256: &str) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query("SELECT size_bytes FROM artifact_references WHERE organisation = ?1 AND sha256 = ?2")
            .bind(organisation.as_str())
            .bind(sha256)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("looking up an artifact"))?;
        row.as_ref().map(|row| get_u64(row, "size_bytes")).transpose()
    }
}

/// Whether the model is new.
async fn insert_model(connection: &mut SqliteConnection, organisation: &OrganisationId, model: &Model) -> Result<bool, StoreError> {
    sqlx::query("INSERT INTO models (organisation, name, description, created_at_us) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")
        .bind(organisation.as_str())
        .bind(model.name.as_str())
        .bind(&model.description)
        .bind(model.created_at_us)
        .execute(connection)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(failed("making a model"))
}

async fn insert_version(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    new: NewModelVersion,
) -> Result<(ModelVersion, bool), StoreError> {
    let model = Model { name: new.model.clone(), description: String::new(), created_at_us: new.created_at_us };
    insert_model(connection, organisation, &model).await?;
    let known = sqlx::query("SELECT * FROM model_versions WHERE organisation = ?1 AND model = ?2 AND digest = ?3")
        .bind(organisation.as_str())
        .bind(new.model.as_str())
        .bind(&new.digest)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed("looking for a model version"))?;
    if let Some(row) = known {
        return Ok((version_of(&row)?, false));
    }
    let row = sqlx::query(
        "INSERT INTO model_versions (organisation, model, number, digest, model_digest, files, schema, labels, manifest, description, \
         created_at_us, created_by) \
         SELECT ?1, ?2, COALESCE(MAX(number), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 \
         FROM model_versions WHERE organisation = ?1 AND model = ?2 RETURNING number",
    )
    .bind(organisation.as_str())
    .bind(new.model.as_str())
    .bind(&new.digest)
    .bind(&new.model_digest)
    .bind(json(&new.files)?)
    .bind(json(&new.schema)?)
    .bind(json(&new.labels)?)
    .bind(&new.manifest)
    .bind(&new.description)
    .bind(new.created_at_us)
    .bind(&new.created_by)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed("registering a model version"))?;
    for file in &new.files {
        sqlx::query("INSERT INTO artifact_references (organisation, sha256, size_bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
            .bind(organisation.as_str())
            .bind(file.sha256.hex())
            .bind(int(file.size_bytes)?)
            .execute(&mut *connection)
            .await
            .map_err(failed("registering an artifact"))?;
    }
    let number: i64 = row.try_get(0).map_err(failed("registering a model version"))?;
    Ok((ModelVersion { number: number.unsigned_abs(), registered: new }, true))
}

fn model_of(row: &SqliteRow) -> Result<Model, StoreError> {
    Ok(Model { name: get_name(row, "name")?, description: get(row, "description")?, created_at_us: get(row, "created_at_us")? })
}

fn version_of(row: &SqliteRow) -> Result<ModelVersion, StoreError> {
    Ok(ModelVersion {
        number: get_u64(row, "number")?,
        registered: NewModelVersion {
            model: get_name(row, "model")?,
            digest: get(row, "digest")?,
            model_digest: get(row, "model_digest")?,
            files: get_json(row, "files")?,
            schema: get_json(row, "schema")?,
            labels: get_json(row, "labels")?,
            manifest: get(row, "manifest")?,
            description: get(row, "description")?,
            created_at_us: get(row, "created_at_us")?,
            created_by: get(row, "created_by")?,
        },
    })
}
