//! Models and versions, in `registry.db`: every write, inside of the transaction of the file's one writer.

use edgeflow_core::{
    ModelName, OrganisationId,
    artifact::ArtifactPath,
    model::{Model, ModelChange, ModelVersion, NewModelVersion, Stage, VersionChange},
};
use edgeflow_store::StoreError;
use sqlx::SqliteConnection;

use crate::{
    connect::failed,
    decode::{get_u64, int, json},
    model::{model_in, newest_number, version_in},
};

const INSERT_VERSION: &str = "INSERT INTO model_versions (model, number, organisation, digest, model_digest, files, schema, labels, manifest, \
     note, source, run_id, run_link, model_id, description, tags, created_at_us, created_by, updated_at_us, folder, report, kind) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?17, ?19, ?20, ?21)";

/// Whether the model is new.
pub(crate) async fn insert_model(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    model: &Model,
) -> Result<bool, StoreError> {
    sqlx::query(
        "INSERT INTO models (organisation, name, description, tags, created_at_us, created_by, updated_at_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5) ON CONFLICT DO NOTHING",
    )
    .bind(organisation.as_str())
    .bind(model.name.as_str())
    .bind(&model.description)
    .bind(json(&model.tags)?)
    .bind(model.created_at_us)
    .bind(&model.created_by)
    .execute(connection)
    .await
    .map(|done| done.rows_affected() == 1)
    .map_err(failed("making a model"))
}

/// The number of a model there must be.
pub(crate) async fn require_model(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    name: &ModelName,
) -> Result<i64, StoreError> {
    let found = model_in(connection, organisation, name).await?;
    found.map(|(id, _)| id).ok_or_else(|| StoreError::Missing { what: "model", name: name.to_string() })
}

/// Registers a bundle, unless it is a version of the model already.
pub(crate) async fn insert_once(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    new: NewModelVersion,
) -> Result<(ModelVersion, bool), StoreError> {
    insert_model(connection, organisation, &Model::new(new.model.clone(), new.created_at_us, new.created_by.clone())).await?;
    let model = require_model(connection, organisation, &new.model).await?;
    if let Some(bundle) = &new.bundle {
        let known = sqlx::query(
            "SELECT number FROM model_versions WHERE organisation = ?1 AND digest = ?2 AND model = ?3 AND deleted_at_us IS NULL \
             ORDER BY number DESC LIMIT 1",
        )
        .bind(organisation.as_str())
        .bind(&bundle.digest)
        .bind(model)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed("looking for a model version"))?;
        if let Some(row) = known {
            let known = version_in(connection, organisation, model, get_u64(&row, "number")?).await?;
            return known.map(|known| (known, false)).ok_or_else(|| missing_version(&new.model, 0));
        }
    }
    Ok((insert_version(connection, organisation, model, new).await?, true))
}

/// Registers a version under the next number.
pub(crate) async fn insert_version(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    model: i64,
    new: NewModelVersion,
) -> Result<ModelVersion, StoreError> {
    let number = newest_number(connection, model).await? + 1;
    let bundle = new.bundle.as_ref();
    sqlx::query(INSERT_VERSION)
        .bind(model)
        .bind(int(number)?)
        .bind(organisation.as_str())
        .bind(bundle.map(|bundle| bundle.digest.as_str()))
        .bind(bundle.map(|bundle| bundle.model_digest.as_str()))
        .bind(bundle.map(|bundle| json(&bundle.files)).transpose()?)
        .bind(bundle.map(|bundle| json(&bundle.schema)).transpose()?)
        .bind(bundle.map(|bundle| json(&bundle.labels)).transpose()?)
        .bind(bundle.and_then(|bundle| bundle.manifest.as_deref()))
        .bind(&new.note)
        .bind(&new.origin.source)
        .bind(&new.origin.run_id)
        .bind(&new.origin.run_link)
        .bind(&new.origin.model_id)
        .bind(&new.description)
        .bind(json(&new.tags)?)
        .bind(new.created_at_us)
        .bind(&new.created_by)
        .bind(new.origin.folder.as_ref().map(ArtifactPath::as_str))
        .bind(bundle.and_then(|bundle| bundle.report.as_ref()).map(json).transpose()?)
        .bind(json(&bundle.map(|bundle| bundle.kind).unwrap_or_default())?)
        .execute(&mut *connection)
        .await
        .map_err(failed("registering a model version"))?;
    for file in bundle.map(|bundle| bundle.files.as_slice()).unwrap_or_default() {
        sqlx::query(
            "INSERT INTO model_version_files (model, number, sha256, organisation, size_bytes) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )
        .bind(model)
        .bind(int(number)?)
        .bind(file.sha256.hex())
        .bind(organisation.as_str())
        .bind(int(file.size_bytes)?)
        .execute(&mut *connection)
        .await
        .map_err(failed("registering a version's files"))?;
    }
    touch_model(connection, model, new.created_at_us).await?;
    let updated_at_us = new.created_at_us;
    Ok(ModelVersion { number, registered: new, stage: Stage::None, aliases: Vec::new(), updated_at_us })
}

async fn touch_model(connection: &mut SqliteConnection, model: i64, at_us: i64) -> Result<(), StoreError> {
    let touch = sqlx::query("UPDATE models SET updated_at_us = ?2 WHERE id = ?1").bind(model).bind(at_us);
    touch.execute(connection).await.map(drop).map_err(failed("changing a model"))
}

pub(crate) async fn change_model(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    name: &ModelName,
    change: ModelChange,
    at_us: i64,
) -> Result<Model, StoreError> {
    let missing = || StoreError::Missing { what: "model", name: name.to_string() };
    let (id, mut model) = model_in(connection, organisation, name).await?.ok_or_else(missing)?;
    match change {
        ModelChange::Description(description) => model.description = description,
        ModelChange::Name(new) if new == model.name => {}
        ModelChange::Name(new) => {
            if model_in(connection, organisation, &new).await?.is_some() {
                return Err(StoreError::Taken { what: "model", name: new.to_string() });
            }
            model.name = new;
        }
        ModelChange::Tag(key, Some(value)) => drop(model.tags.insert(key, value)),
        ModelChange::Tag(key, None) => drop(model.tags.remove(&key)),
        ModelChange::Alias(alias, Some(number)) => {
            version_in(connection, organisation, id, number).await?.ok_or_else(|| missing_version(name, number))?;
            set_alias(connection, id, &alias, number).await?;
            model.aliases.insert(alias, number);
        }
        ModelChange::Alias(alias, None) => {
            drop_alias(connection, id, &alias).await?;
            model.aliases.remove(&alias);
        }
    }
    model.updated_at_us = at_us;
    sqlx::query("UPDATE models SET name = ?2, description = ?3, tags = ?4, updated_at_us = ?5 WHERE id = ?1")
        .bind(id)
        .bind(model.name.as_str())
        .bind(&model.description)
        .bind(json(&model.tags)?)
        .bind(at_us)
        .execute(connection)
        .await
        .map_err(failed("changing a model"))?;
    Ok(model)
}

async fn set_alias(connection: &mut SqliteConnection, model: i64, alias: &str, number: u64) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO model_aliases (model, alias, number) VALUES (?1, ?2, ?3)")
        .bind(model)
        .bind(alias)
        .bind(int(number)?)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("setting an alias"))
}

async fn drop_alias(connection: &mut SqliteConnection, model: i64, alias: &str) -> Result<(), StoreError> {
    let gone = sqlx::query("DELETE FROM model_aliases WHERE model = ?1 AND alias = ?2").bind(model).bind(alias);
    gone.execute(connection).await.map(drop).map_err(failed("removing an alias"))
}

fn missing_version(model: &ModelName, number: u64) -> StoreError {
    StoreError::Missing { what: "model version", name: format!("{model}/{number}") }
}

pub(crate) async fn change_version(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    model: &ModelName,
    number: u64,
    change: VersionChange,
    at_us: i64,
) -> Result<ModelVersion, StoreError> {
    let id = require_model(connection, organisation, model).await?;
    let found = version_in(connection, organisation, id, number).await?;
    let mut version = found.ok_or_else(|| missing_version(model, number))?;
    match change {
        VersionChange::Description(description) => version.registered.description = description,
        VersionChange::Tag(key, Some(value)) => drop(version.registered.tags.insert(key, value)),
        VersionChange::Tag(key, None) => drop(version.registered.tags.remove(&key)),
        VersionChange::Stage { stage, archive_others } => {
            version.stage = stage;
            if archive_others {
                sqlx::query("UPDATE model_versions SET stage = ?4, updated_at_us = ?5 WHERE model = ?1 AND number <> ?2 AND stage = ?3")
                    .bind(id)
                    .bind(int(number)?)
                    .bind(stage.as_str())
                    .bind(Stage::Archived.as_str())
                    .bind(at_us)
                    .execute(&mut *connection)
                    .await
                    .map_err(failed("archiving model versions"))?;
            }
        }
    }
    version.updated_at_us = at_us;
    sqlx::query("UPDATE model_versions SET description = ?3, stage = ?4, tags = ?5, updated_at_us = ?6 WHERE model = ?1 AND number = ?2")
        .bind(id)
        .bind(int(number)?)
        .bind(&version.registered.description)
        .bind(version.stage.as_str())
        .bind(json(&version.registered.tags)?)
        .bind(at_us)
        .execute(&mut *connection)
        .await
        .map_err(failed("changing a model version"))?;
    touch_model(connection, id, at_us).await?;
    Ok(version)
}

pub(crate) async fn delete_version(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    model: &ModelName,
    number: u64,
    at_us: i64,
) -> Result<(), StoreError> {
    let id = require_model(connection, organisation, model).await?;
    version_in(connection, organisation, id, number).await?.ok_or_else(|| missing_version(model, number))?;
    bury(connection, id, Some(number), at_us).await?;
    touch_model(connection, id, at_us).await
}

pub(crate) async fn delete_model(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    name: &ModelName,
    at_us: i64,
) -> Result<(), StoreError> {
    let id = require_model(connection, organisation, name).await?;
    bury(connection, id, None, at_us).await?;
    let gone = sqlx::query("UPDATE models SET deleted_at_us = ?2 WHERE id = ?1").bind(id).bind(at_us);
    gone.execute(connection).await.map(drop).map_err(failed("deleting a model"))
}

/// Deletes one version, or all of a model: the rows stay, their aliases and bytes do not.
async fn bury(connection: &mut SqliteConnection, model: i64, number: Option<u64>, at_us: i64) -> Result<(), StoreError> {
    let delete = failed("deleting model versions");
    let number = number.map(int).transpose()?;
    for statement in [
        "INSERT INTO doubted_artifacts (sha256, since_us) SELECT DISTINCT sha256, ?3 FROM model_version_files \
         WHERE model = ?1 AND (?2 IS NULL OR number = ?2) ON CONFLICT (sha256) DO UPDATE SET since_us = MAX(since_us, excluded.since_us)",
        "DELETE FROM model_version_files WHERE model = ?1 AND (?2 IS NULL OR number = ?2) AND ?3 IS NOT NULL",
        "DELETE FROM model_aliases WHERE model = ?1 AND (?2 IS NULL OR number = ?2) AND ?3 IS NOT NULL",
        "UPDATE model_versions SET deleted_at_us = ?3 WHERE model = ?1 AND (?2 IS NULL OR number = ?2) AND deleted_at_us IS NULL",
    ] {
        sqlx::query(statement).bind(model).bind(number).bind(at_us).execute(&mut *connection).await.map_err(&delete)?;
    }
    Ok(())
}
