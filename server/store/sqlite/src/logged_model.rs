//! Logged models, in `registry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId,
    experiment::{Lifecycle, Pair, View},
    logged_model::{LoggedModel, ModelMetric, ModelOrder, ModelStatus, NewLoggedModel},
    search::Field,
};
use edgeflow_store::{LoggedModelStore, ModelSearch, Slice, StoreError};
use futures::FutureExt;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};
use std::collections::HashMap;

use crate::{
    Registry,
    connect::failed,
    decode::{get, get_name},
    experiment::{active, list, pair_of, push_lifecycles, push_slice},
    run_read::metric_of,
    search::Scheme,
};

const SCHEME: Scheme = Scheme {
    attributes: &[
        ("name", "m.name", "m.name"),
        ("model_id", "m.id", "m.id"),
        ("model_type", "m.model_type", "m.model_type"),
        ("status", "m.status", "m.status"),
        ("source_run_id", "m.source_run_id", "m.source_run_id"),
        ("experiment_id", "CAST(m.experiment AS TEXT)", "m.experiment"),
        ("creation_timestamp", "m.created_ms", "m.created_ms"),
        ("last_updated_timestamp", "m.updated_ms", "m.updated_ms"),
    ],
    metrics: "FROM logged_model_metrics x WHERE x.model = m.model",
    params: "FROM logged_model_params x WHERE x.model = m.model",
    tags: "FROM logged_model_tags x WHERE x.model = m.model",
    datasets: &[],
};

#[async_trait]
impl LoggedModelStore for Registry {
    async fn create_logged_model(&self, organisation: &OrganisationId, new: &NewLoggedModel) -> Result<LoggedModel, StoreError> {
        let (owner, new) = (organisation.to_string(), new.clone());
        let id = new.id.clone();
        self.0.writer.run(move |connection| async move { insert(connection, &owner, &new).await }.boxed()).await?;
        self.there(organisation, &id).await
    }

    async fn logged_model(&self, organisation: &OrganisationId, id: &str) -> Result<Option<LoggedModel>, StoreError> {
        let mut reader = self.0.readers.begin().await.map_err(failed("reading a logged model"))?;
        let row = sqlx::query("SELECT * FROM logged_models WHERE organisation = ?1 AND id = ?2")
            .bind(organisation.as_str())
            .bind(id)
            .fetch_optional(&mut *reader)
            .await
            .map_err(failed("reading a logged model"))?;
        Ok(complete(&mut reader, row.as_slice()).await?.pop())
    }

    async fn logged_models_of(&self, organisation: &OrganisationId, run_id: &str) -> Result<Vec<LoggedModel>, StoreError> {
        let mut reader = self.0.readers.begin().await.map_err(failed("reading a run's logged models"))?;
        let rows = sqlx::query("SELECT * FROM logged_models WHERE organisation = ?1 AND source_run_id = ?2 ORDER BY created_ms, model")
            .bind(organisation.as_str())
            .bind(run_id)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed("reading a run's logged models"))?;
        complete(&mut reader, &rows).await
    }

    async fn search_logged_models(
        &self,
        organisation: &OrganisationId,
        search: &ModelSearch,
        slice: Slice,
    ) -> Result<Vec<LoggedModel>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT m.* FROM logged_models m WHERE m.organisation = ");
        query.push_bind(organisation.to_string());
        query.push(" AND m.experiment IN (SELECT value FROM json_each(").push_bind(list(&search.experiments)).push("))");
        push_lifecycles(&mut query, "m.lifecycle", View::Active);
        let datasets = search.datasets.clone();
        SCHEME.push_filter(&mut query, &search.filter, &|query| push_datasets(query, &datasets))?;
        let about_metrics = search.filter.conditions.iter().any(|condition| matches!(condition.field, Field::Metric(_)));
        if !search.datasets.is_empty() && !about_metrics {
            query.push(" AND EXISTS (SELECT 1 ").push(SCHEME.metrics);
            push_datasets(&mut query, &search.datasets);
            query.push(")");
        }
        let narrowed: Vec<_> = search
            .orders
            .iter()
            .map(|ModelOrder { order, dataset }| {
                let datasets: Vec<_> = dataset.clone().into_iter().collect();
                (order, move |query: &mut QueryBuilder<Sqlite>| push_datasets(query, &datasets))
            })
            .collect();
        let orders = narrowed.iter().map(|(order, narrow)| (*order, narrow as crate::search::Narrow<'_>));
        SCHEME.push_orders(&mut query, orders, "m.created_ms DESC, m.id")?;
        push_slice(&mut query, slice)?;
        let mut reader = self.0.readers.begin().await.map_err(failed("searching logged models"))?;
        let rows = query.build().fetch_all(&mut *reader).await.map_err(failed("searching logged models"))?;
        complete(&mut reader, &rows).await
    }

    async fn finalize_logged_model(
        &self,
        organisation: &OrganisationId,
        id: &str,
        status: ModelStatus,
        message: &str,
        now_ms: i64,
    ) -> Result<LoggedModel, StoreError> {
        let (owner, name, message) = (organisation.to_string(), id.to_owned(), message.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let model = row_of(connection, &owner, &name).await?;
                    sqlx::query("UPDATE logged_models SET status = ?2, status_message = ?3, updated_ms = ?4 WHERE model = ?1")
                        .bind(model)
                        .bind(status.as_str())
                        .bind(message)
                        .bind(now_ms)
                        .execute(connection)
                        .await
                        .map(drop)
                        .map_err(failed("finalizing a logged model"))
                }
                .boxed()
            })
            .await?;
        self.there(organisation, id).await
    }

    async fn delete_logged_model(&self, organisation: &OrganisationId, id: &str, now_ms: i64) -> Result<(), StoreError> {
        let (organisation, id) = (organisation.to_string(), id.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let changed =
                        sqlx::query("UPDATE logged_models SET lifecycle = 'deleted', updated_ms = ?3 WHERE organisation = ?1 AND id = ?2")
                            .bind(organisation)
                            .bind(&id)
                            .bind(now_ms)
                            .execute(connection)
                            .await
                            .map_err(failed("deleting a logged model"))?;
                    if changed.rows_affected() == 0 { Err(missing(&id)) } else { Ok(()) }
                }
                .boxed()
            })
            .await
    }

    async fn set_logged_model_tags(&self, organisation: &OrganisationId, id: &str, tags: &[Pair]) -> Result<(), StoreError> {
        let (organisation, id, tags) = (organisation.to_string(), id.to_owned(), tags.to_vec());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let model = row_of(connection, &organisation, &id).await?;
                    insert_tags(connection, model, &tags).await
                }
                .boxed()
            })
            .await
    }

    async fn delete_logged_model_tag(&self, organisation: &OrganisationId, id: &str, key: &str) -> Result<(), StoreError> {
        let (organisation, id, key) = (organisation.to_string(), id.to_owned(), key.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let model = row_of(connection, &organisation, &id).await?;
                    let gone = sqlx::query("DELETE FROM logged_model_tags WHERE model = ?1 AND key = ?2")
                        .bind(model)
                        .bind(&key)
                        .execute(connection)
                        .await
                        .map_err(failed("removing a logged model's tag"))?;
                    if gone.rows_affected() == 0 { Err(StoreError::Missing { what: "tag", name: key }) } else { Ok(()) }
                }
                .boxed()
            })
            .await
    }

    async fn log_logged_model_params(&self, organisation: &OrganisationId, id: &str, params: &[Pair]) -> Result<(), StoreError> {
        let (organisation, id, params) = (organisation.to_string(), id.to_owned(), params.to_vec());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let model = row_of(connection, &organisation, &id).await?;
                    insert_params(connection, model, &id, &params).await
                }
                .boxed()
            })
            .await
    }
}

impl Registry {
    async fn there(&self, organisation: &OrganisationId, id: &str) -> Result<LoggedModel, StoreError> {
        self.logged_model(organisation, id).await?.ok_or_else(|| missing(id))
    }
}

fn missing(id: &str) -> StoreError {
    StoreError::Missing { what: "logged model", name: id.to_owned() }
}

/// Row of one that is there and not deleted.
pub(crate) async fn row_of(connection: &mut SqliteConnection, organisation: &str, id: &str) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT model FROM logged_models WHERE organisation = ?1 AND id = ?2 AND lifecycle = 'active'")
        .bind(organisation)
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(failed("looking for a logged model"))?;
    get(&row.ok_or_else(|| missing(id))?, "model")
}

/// Appends that a metric was measured on one of these; nothing when there are none.
fn push_datasets(query: &mut QueryBuilder<Sqlite>, datasets: &[(String, Option<String>)]) {
    if datasets.is_empty() {
        return;
    }
    query.push(" AND (");
    for (place, (name, digest)) in datasets.iter().enumerate() {
        query.push(if place == 0 { "(" } else { " OR (" }).push("x.dataset_name = ").push_bind(name.clone());
        if let Some(digest) = digest {
            query.push(" AND x.dataset_digest = ").push_bind(digest.clone());
        }
        query.push(")");
    }
    query.push(")");
}

async fn insert(connection: &mut SqliteConnection, organisation: &str, new: &NewLoggedModel) -> Result<(), StoreError> {
    active(connection, organisation, new.experiment).await?;
    let row = sqlx::query(
        "INSERT INTO logged_models (organisation, id, experiment, name, artifact_uri, model_type, source_run_id, status, status_message, \
         lifecycle, created_ms, updated_ms) \
         SELECT ?1, ?2, ?3, ?4, e.artifact_location || '/models/' || ?2 || '/artifacts', ?5, ?6, 'PENDING', '', 'active', ?7, ?7 \
         FROM experiments e WHERE e.organisation = ?1 AND e.number = ?3 RETURNING model",
    )
    .bind(organisation)
    .bind(&new.id)
    .bind(new.experiment)
    .bind(&new.name)
    .bind(&new.model_type)
    .bind(&new.source_run_id)
    .bind(new.created_ms)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed("making a logged model"))?;
    let model = get(&row, "model")?;
    insert_params(connection, model, &new.id, &new.params).await?;
    insert_tags(connection, model, &new.tags).await
}

async fn insert_tags(connection: &mut SqliteConnection, model: i64, tags: &[Pair]) -> Result<(), StoreError> {
    for tag in tags {
        sqlx::query(
            "INSERT INTO logged_model_tags (model, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
        )
        .bind(model)
        .bind(&tag.key)
        .bind(&tag.value)
        .execute(&mut *connection)
        .await
        .map_err(failed("setting a logged model's tag"))?;
    }
    Ok(())
}

async fn insert_params(connection: &mut SqliteConnection, model: i64, id: &str, params: &[Pair]) -> Result<(), StoreError> {
    for param in params {
        let adding = failed("logging a model's parameter");
        let added = sqlx::query("INSERT OR IGNORE INTO logged_model_params (model, key, value) VALUES (?1, ?2, ?3)")
            .bind(model)
            .bind(&param.key)
            .bind(&param.value)
            .execute(&mut *connection)
            .await
            .map_err(&adding)?;
        if added.rows_affected() == 1 {
            continue;
        }
        let row = sqlx::query("SELECT value FROM logged_model_params WHERE model = ?1 AND key = ?2")
            .bind(model)
            .bind(&param.key)
            .fetch_one(&mut *connection)
            .await
            .map_err(adding)?;
        let old: String = get(&row, "value")?;
        if old != param.value {
            let (key, new) = (param.key.clone(), param.value.clone());
            return Err(CoreError::ParamChanged { run: id.to_owned(), key, old, new }.into());
        }
    }
    Ok(())
}

/// Models of rows, with all that belongs to them.
async fn complete(reader: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<Vec<LoggedModel>, StoreError> {
    let reading = failed("reading logged models");
    let keys = rows.iter().map(|row| get(row, "model")).collect::<Result<Vec<i64>, _>>()?;
    let keys_json = list(&keys);
    let mut models = rows.iter().map(model_of).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<i64, usize> = keys.into_iter().enumerate().map(|(place, key)| (key, place)).collect();
    for (sql, params) in [
        ("SELECT * FROM logged_model_params WHERE model IN (SELECT value FROM json_each(?1)) ORDER BY model, key", true),
        ("SELECT * FROM logged_model_tags WHERE model IN (SELECT value FROM json_each(?1)) ORDER BY model, key", false),
    ] {
        for row in sqlx::query(sql).bind(&keys_json).fetch_all(&mut *reader).await.map_err(&reading)? {
            let model = places.get(&get(&row, "model")?).and_then(|place| models.get_mut(*place));
            if let Some(model) = model {
                (if params { &mut model.params } else { &mut model.tags }).push(pair_of(&row)?);
            }
        }
    }
    let metrics = sqlx::query(
        "SELECT x.*, r.id AS run_id FROM logged_model_metrics x JOIN runs r ON r.run = x.run \
         WHERE x.model IN (SELECT value FROM json_each(?1)) ORDER BY x.model, x.key, x.timestamp_ms, x.step",
    )
    .bind(&keys_json)
    .fetch_all(&mut *reader)
    .await
    .map_err(&reading)?;
    for row in &metrics {
        if let Some(model) = places.get(&get(row, "model")?).and_then(|place| models.get_mut(*place)) {
            model.metrics.push(ModelMetric {
                metric: metric_of(row)?,
                run_id: get(row, "run_id")?,
                dataset_name: get(row, "dataset_name")?,
                dataset_digest: get(row, "dataset_digest")?,
            });
        }
    }
    Ok(models)
}

fn model_of(row: &SqliteRow) -> Result<LoggedModel, StoreError> {
    Ok(LoggedModel {
        id: get(row, "id")?,
        experiment: get(row, "experiment")?,
        name: get(row, "name")?,
        artifact_uri: get(row, "artifact_uri")?,
        model_type: get(row, "model_type")?,
        source_run_id: get(row, "source_run_id")?,
        status: get_name(row, "status")?,
        status_message: get(row, "status_message")?,
        lifecycle: get_name::<Lifecycle>(row, "lifecycle")?,
        created_ms: get(row, "created_ms")?,
        updated_ms: get(row, "updated_ms")?,
        params: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
    })
}
