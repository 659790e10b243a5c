//! Models and versions, in `registry.db`: reading them. [`change`](crate::model_change) writes.

use async_trait::async_trait;
use edgeflow_core::{
    ModelName, OrganisationId,
    model::{Model, ModelChange, ModelVersion, NewModelVersion, Origin, VersionBundle, VersionChange},
};
use edgeflow_store::{ModelStore, StoreError};
use futures::FutureExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Registry,
    connect::failed,
    decode::{corrupt, get, get_json, get_name, get_u64, int},
    model_change,
};

/// Models with their aliases, and what else must hold of them.
macro_rules! models {
    ($more:literal) => {
        concat!(
            "SELECT m.*, (SELECT json_group_object(alias, number) FROM model_aliases WHERE model = m.id) AS aliases \
             FROM models m WHERE m.organisation = ?1 AND m.deleted_at_us IS NULL",
            $more
        )
    };
}

/// Versions with their aliases, and what else must hold of them.
macro_rules! versions {
    ($more:literal) => {
        concat!(
            "SELECT v.*, m.name AS model_name, \
             (SELECT json_group_array(alias) FROM model_aliases a WHERE a.model = v.model AND a.number = v.number) AS aliases \
             FROM model_versions v JOIN models m ON m.id = v.model \
             WHERE v.organisation = ?1 AND v.deleted_at_us IS NULL AND m.deleted_at_us IS NULL",
            $more
        )
    };
}

#[async_trait]
impl ModelStore for Registry {
    async fn create_model(&self, organisation: &OrganisationId, model: &Model) -> Result<(), StoreError> {
        let (organisation, model) = (organisation.clone(), model.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    if model_change::insert_model(connection, &organisation, &model).await? {
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
        let row = sqlx::query(models!(" AND m.name = ?2"))
            .bind(organisation.as_str())
            .bind(name.as_str())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a model"))?;
        row.as_ref().map(model_of).transpose()
    }

    async fn models(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Model>, StoreError> {
        let rows = sqlx::query(models!(" AND m.name > ?2 ORDER BY m.name LIMIT ?3"))
            .bind(organisation.as_str())
            .bind(after.unwrap_or_default())
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing models"))?;
        rows.iter().map(model_of).collect()
    }

    async fn change_model(
        &self,
        organisation: &OrganisationId,
        name: &ModelName,
        change: &ModelChange,
        at_us: i64,
    ) -> Result<Model, StoreError> {
        let (organisation, name, change) = (organisation.clone(), name.clone(), change.clone());
        self.0
            .writer
            .run(move |connection| async move { model_change::change_model(connection, &organisation, &name, change, at_us).await }.boxed())
            .await
    }

    async fn delete_model(&self, organisation: &OrganisationId, name: &ModelName, at_us: i64) -> Result<(), StoreError> {
        let (organisation, name) = (organisation.clone(), name.clone());
        self.0
            .writer
            .run(move |connection| async move { model_change::delete_model(connection, &organisation, &name, at_us).await }.boxed())
            .await
    }

    async fn create_model_version(&self, organisation: &OrganisationId, new: &NewModelVersion) -> Result<(ModelVersion, bool), StoreError> {
        let (organisation, new) = (organisation.clone(), new.clone());
        self.0.writer.run(move |connection| async move { model_change::insert_once(connection, &organisation, new).await }.boxed()).await
    }

    async fn add_model_version(&self, organisation: &OrganisationId, new: &NewModelVersion) -> Result<ModelVersion, StoreError> {
        let (organisation, new) = (organisation.clone(), new.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let model = model_change::require_model(connection, &organisation, &new.model).await?;
                    model_change::insert_version(connection, &organisation, model, new).await
                }
                .boxed()
            })
            .await
    }

    async fn model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
    ) -> Result<Option<ModelVersion>, StoreError> {
        let row = sqlx::query(versions!(" AND m.name = ?2 AND v.number = ?3"))
            .bind(organisation.as_str())
            .bind(model.as_str())
            .bind(int(number)?)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a model version"))?;
        row.as_ref().map(version_of).transpose()
    }

    async fn model_versions(&self, organisation: &OrganisationId, model: Option<&ModelName>) -> Result<Vec<ModelVersion>, StoreError> {
        let rows = sqlx::query(versions!(" AND (?2 IS NULL OR m.name = ?2) ORDER BY m.name, v.number DESC"))
            .bind(organisation.as_str())
            .bind(model.map(ModelName::as_str))
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing model versions"))?;
        rows.iter().map(version_of).collect()
    }

    async fn change_model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
        change: &VersionChange,
        at_us: i64,
    ) -> Result<ModelVersion, StoreError> {
        let (organisation, model, change) = (organisation.clone(), model.clone(), change.clone());
        self.0
            .writer
            .run(move |connection| {
                async move { model_change::change_version(connection, &organisation, &model, number, change, at_us).await }.boxed()
            })
            .await
    }

    async fn delete_model_version(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: u64,
        at_us: i64,
    ) -> Result<(), StoreError> {
        let (organisation, model) = (organisation.clone(), model.clone());
        self.0
            .writer
            .run(move |connection| {
                async move { model_change::delete_version(connection, &organisation, &model, number, at_us).await }.boxed()
            })
            .await
    }

    async fn artifact(&self, organisation: &OrganisationId, sha256: &str) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query("SELECT size_bytes FROM model_version_files WHERE sha256 = ?2 AND organisation = ?1 LIMIT 1")
            .bind(organisation.as_str())
            .bind(sha256)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("looking up an artifact"))?;
        row.as_ref().map(|row| get_u64(row, "size_bytes")).transpose()
    }
}

/// The number and the model of that name, inside of a transaction.
pub(crate) async fn model_in(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    name: &ModelName,
) -> Result<Option<(i64, Model)>, StoreError> {
    let row = sqlx::query(models!(" AND m.name = ?2"))
        .bind(organisation.as_str())
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed("reading a model"))?;
    row.as_ref().map(|row| Ok((get(row, "id")?, model_of(row)?))).transpose()
}

/// The version of that number, inside of a transaction.
pub(crate) async fn version_in(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    model: i64,
    number: u64,
) -> Result<Option<ModelVersion>, StoreError> {
    let row = sqlx::query(versions!(" AND v.model = ?2 AND v.number = ?3"))
        .bind(organisation.as_str())
        .bind(model)
        .bind(int(number)?)
        .fetch_optional(connection)
        .await
        .map_err(failed("reading a model version"))?;
    row.as_ref().map(version_of).transpose()
}

fn model_of(row: &SqliteRow) -> Result<Model, StoreError> {
    Ok(Model {
        name: get_name(row, "name")?,
        description: get(row, "description")?,
        tags: get_json(row, "tags")?,
        aliases: get_json(row, "aliases")?,
        created_at_us: get(row, "created_at_us")?,
        created_by: get(row, "created_by")?,
        updated_at_us: get(row, "updated_at_us")?,
    })
}

pub(crate) fn version_of(row: &SqliteRow) -> Result<ModelVersion, StoreError> {
    let bundle = match get::<Option<String>>(row, "digest")? {
        None => None,
        Some(digest) => Some(VersionBundle {
            kind: get_json(row, "kind")?,
            digest,
            model_digest: get(row, "model_digest")?,
            files: get_json(row, "files")?,
            schema: get_json(row, "schema")?,
            labels: get_json(row, "labels")?,
            manifest: get(row, "manifest")?,
            report: match get::<Option<&str>>(row, "report")? {
                None => None,
                Some(text) => serde_json::from_str(text).map_err(|error| corrupt("report")(&error))?,
            },
        }),
    };
    Ok(ModelVersion {
        number: get_u64(row, "number")?,
        registered: NewModelVersion {
            model: get_name(row, "model_name")?,
            bundle,
            note: get(row, "note")?,
            origin: Origin {
                source: get(row, "source")?,
                folder: get::<Option<&str>>(row, "folder")?.map(str::parse).transpose().map_err(|error| corrupt("folder")(&error))?,
                run_id: get(row, "run_id")?,
                run_link: get(row, "run_link")?,
                model_id: get(row, "model_id")?,
            },
            description: get(row, "description")?,
            tags: get_json(row, "tags")?,
            created_at_us: get(row, "created_at_us")?,
            created_by: get(row, "created_by")?,
        },
        stage: get::<&str>(row, "stage")?.parse().map_err(|error| corrupt("stage")(&error))?,
        aliases: get_json(row, "aliases")?,
        updated_at_us: get(row, "updated_at_us")?,
    })
}

/// The newest number of a model, deleted versions included; 0 when it never had one.
pub(crate) async fn newest_number(connection: &mut SqliteConnection, model: i64) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM model_versions WHERE model = ?1").bind(model).fetch_one(connection).await;
    let number: i64 = row.and_then(|row| row.try_get(0)).map_err(failed("numbering a model version"))?;
    Ok(number.unsigned_abs())
}
