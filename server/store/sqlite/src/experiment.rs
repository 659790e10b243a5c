//! Experiments, in `registry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId,
    experiment::{DEFAULT_EXPERIMENT, Experiment, Lifecycle, NewExperiment, Pair, View, default_location},
    search::{Filter, Order},
};
use edgeflow_store::{ExperimentStore, Slice, StoreError};
use futures::FutureExt;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};
use std::collections::HashMap;

use crate::{
    Registry,
    connect::failed,
    decode::{get, get_name, int},
    search::{EVERY, Scheme},
};

const SCHEME: Scheme = Scheme {
    attributes: &[
        ("name", "e.name", "e.name"),
        ("experiment_id", "CAST(e.number AS TEXT)", "e.number"),
        ("creation_time", "e.created_ms", "e.created_ms"),
        ("last_update_time", "e.updated_ms", "e.updated_ms"),
    ],
    metrics: "",
    params: "",
    tags: "FROM experiment_tags x WHERE x.organisation = e.organisation AND x.experiment = e.number",
    datasets: &[],
};

#[async_trait]
impl ExperimentStore for Registry {
    async fn ensure_default_experiment(&self, organisation: &OrganisationId, created_ms: i64) -> Result<(), StoreError> {
        let organisation = organisation.to_string();
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let (number, name) = DEFAULT_EXPERIMENT;
                    sqlx::query(
                        "INSERT INTO experiments (organisation, number, name, artifact_location, lifecycle, created_ms, updated_ms) \
                         VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?5) ON CONFLICT DO NOTHING",
                    )
                    .bind(organisation)
                    .bind(number)
                    .bind(name)
                    .bind(default_location(number))
                    .bind(created_ms)
                    .execute(connection)
                    .await
                    .map(drop)
                    .map_err(failed("making the default experiment"))
                }
                .boxed()
            })
            .await
    }

    async fn create_experiment(&self, organisation: &OrganisationId, new: &NewExperiment) -> Result<Experiment, StoreError> {
        let (organisation, new) = (organisation.to_string(), new.clone());
        self.0.writer.run(move |connection| async move { insert(connection, &organisation, new).await }.boxed()).await
    }

    async fn experiment(&self, organisation: &OrganisationId, number: i64) -> Result<Option<Experiment>, StoreError> {
        let row = sqlx::query("SELECT * FROM experiments WHERE organisation = ?1 AND number = ?2")
            .bind(organisation.as_str())
            .bind(number)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading an experiment"))?;
        Ok(self.tagged(organisation, row.as_slice()).await?.pop())
    }

    async fn experiment_by_name(&self, organisation: &OrganisationId, name: &str) -> Result<Option<Experiment>, StoreError> {
        let row = sqlx::query("SELECT * FROM experiments WHERE organisation = ?1 AND name = ?2")
            .bind(organisation.as_str())
            .bind(name)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading an experiment"))?;
        Ok(self.tagged(organisation, row.as_slice()).await?.pop())
    }

    async fn search_experiments(
        &self,
        organisation: &OrganisationId,
        view: View,
        filter: &Filter,
        orders: &[Order],
        slice: Slice,
    ) -> Result<Vec<Experiment>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT e.* FROM experiments e WHERE e.organisation = ");
        query.push_bind(organisation.to_string());
        push_lifecycles(&mut query, "e.lifecycle", view);
        SCHEME.push_filter(&mut query, filter, EVERY)?;
        let ties = if orders.is_empty() { "e.created_ms DESC, e.number DESC" } else { "e.number" };
        SCHEME.push_orders(&mut query, orders.iter().map(|order| (order, EVERY)), ties)?;
        push_slice(&mut query, slice)?;
        let rows = query.build().fetch_all(&self.0.readers).await.map_err(failed("searching experiments"))?;
        self.tagged(organisation, &rows).await
    }

    async fn rename_experiment(&self, organisation: &OrganisationId, number: i64, name: &str, now_ms: i64) -> Result<(), StoreError> {
        let (organisation, name) = (organisation.to_string(), name.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    active(connection, &organisation, number).await?;
                    let changed =
                        sqlx::query("UPDATE OR IGNORE experiments SET name = ?3, updated_ms = ?4 WHERE organisation = ?1 AND number = ?2")
                            .bind(organisation)
                            .bind(number)
                            .bind(&name)
                            .bind(now_ms)
                            .execute(connection)
                            .await
                            .map_err(failed("renaming an experiment"))?;
                    if changed.rows_affected() == 0 { Err(StoreError::Taken { what: "experiment", name }) } else { Ok(()) }
                }
                .boxed()
            })
            .await
    }

    async fn set_experiment_lifecycle(
        &self,
        organisation: &OrganisationId,
        number: i64,
        lifecycle: Lifecycle,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let organisation = organisation.to_string();
        let lane = self.1.shared();
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let is = lifecycle_of(connection, &organisation, number).await?;
                    if is == lifecycle {
                        let state = if is == Lifecycle::Active { "deleted" } else { "active" };
                        return Err(CoreError::WrongState { what: "experiment", name: number.to_string(), state }.into());
                    }
                    // Who writes metrics next looks again whether it may.
                    lane.forget_all();
                    let change = failed("changing an experiment's lifecycle");
                    sqlx::query("UPDATE experiments SET lifecycle = ?3, updated_ms = ?4 WHERE organisation = ?1 AND number = ?2")
                        .bind(&organisation)
                        .bind(number)
                        .bind(lifecycle.as_str())
                        .bind(now_ms)
                        .execute(&mut *connection)
                        .await
                        .map_err(&change)?;
                    sqlx::query("UPDATE runs SET lifecycle = ?3 WHERE organisation = ?1 AND experiment = ?2 AND lifecycle != ?3")
                        .bind(organisation)
                        .bind(number)
                        .bind(lifecycle.as_str())
                        .execute(connection)
                        .await
                        .map(drop)
                        .map_err(change)
                }
                .boxed()
            })
            .await
    }

    async fn set_experiment_tag(&self, organisation: &OrganisationId, number: i64, tag: &Pair) -> Result<(), StoreError> {
        let (organisation, tag) = (organisation.to_string(), tag.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    active(connection, &organisation, number).await?;
                    insert_tag(connection, &organisation, number, &tag).await
                }
                .boxed()
            })
            .await
    }

    async fn delete_experiment_tag(&self, organisation: &OrganisationId, number: i64, key: &str) -> Result<(), StoreError> {
        let (organisation, key) = (organisation.to_string(), key.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    active(connection, &organisation, number).await?;
                    let gone = sqlx::query("DELETE FROM experiment_tags WHERE organisation = ?1 AND experiment = ?2 AND key = ?3")
                        .bind(organisation)
                        .bind(number)
                        .bind(&key)
                        .execute(connection)
                        .await
                        .map_err(failed("removing an experiment's tag"))?;
                    if gone.rows_affected() == 0 { Err(StoreError::Missing { what: "tag", name: key }) } else { Ok(()) }
                }
                .boxed()
            })
            .await
    }
}

impl Registry {
    /// Experiments of rows, with their tags.
    async fn tagged(&self, organisation: &OrganisationId, rows: &[SqliteRow]) -> Result<Vec<Experiment>, StoreError> {
        let mut experiments = rows.iter().map(experiment_of).collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<i64> = experiments.iter().map(|experiment| experiment.number).collect();
        let rows = sqlx::query(
            "SELECT experiment, key, value FROM experiment_tags \
             WHERE organisation = ?1 AND experiment IN (SELECT value FROM json_each(?2)) ORDER BY experiment, key",
        )
        .bind(organisation.as_str())
        .bind(list(&numbers))
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("reading experiments' tags"))?;
        let mut tags: HashMap<i64, Vec<Pair>> = HashMap::new();
        for row in &rows {
            tags.entry(get(row, "experiment")?).or_default().push(pair_of(row)?);
        }
        for experiment in &mut experiments {
            experiment.tags = tags.remove(&experiment.number).unwrap_or_default();
        }
        Ok(experiments)
    }
}

/// Numbers as one parameter, for `json_each`.
pub(crate) fn list(numbers: &[i64]) -> String {
    serde_json::Value::from(numbers.to_vec()).to_string()
}

/// A row's `key` and `value`.
pub(crate) fn pair_of(row: &SqliteRow) -> Result<Pair, StoreError> {
    Ok(Pair { key: get(row, "key")?, value: get(row, "value")? })
}

/// Appends the condition a view makes.
pub(crate) fn push_lifecycles(query: &mut QueryBuilder<Sqlite>, column: &'static str, view: View) {
    query.push(" AND ").push(column).push(" IN (");
    let mut words = query.separated(", ");
    for lifecycle in view.lifecycles() {
        words.push_bind(lifecycle.as_str());
    }
    query.push(")");
}

/// Appends the part of the list.
pub(crate) fn push_slice(query: &mut QueryBuilder<Sqlite>, slice: Slice) -> Result<(), StoreError> {
    query.push(" LIMIT ").push_bind(slice.limit).push(" OFFSET ").push_bind(int(slice.offset)?);
    Ok(())
}

/// Its lifecycle; `Missing` when it is not there.
pub(crate) async fn lifecycle_of(connection: &mut SqliteConnection, organisation: &str, number: i64) -> Result<Lifecycle, StoreError> {
    let row = sqlx::query("SELECT lifecycle FROM experiments WHERE organisation = ?1 AND number = ?2")
        .bind(organisation)
        .bind(number)
        .fetch_optional(connection)
        .await
        .map_err(failed("looking for an experiment"))?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "experiment", name: number.to_string() })?;
    get_name(&row, "lifecycle")
}

/// Refuses what is done to an experiment that is deleted or not there.
pub(crate) async fn active(connection: &mut SqliteConnection, organisation: &str, number: i64) -> Result<(), StoreError> {
    match lifecycle_of(connection, organisation, number).await? {
        Lifecycle::Active => Ok(()),
        Lifecycle::Deleted => Err(CoreError::Deleted { what: "experiment", name: number.to_string() }.into()),
    }
}

async fn insert(connection: &mut SqliteConnection, organisation: &str, new: NewExperiment) -> Result<Experiment, StoreError> {
    let making = failed("making an experiment");
    let row = sqlx::query(
        "INSERT INTO experiments (organisation, number, name, artifact_location, lifecycle, created_ms, updated_ms) \
         SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, COALESCE(?3, 'mlflow-artifacts:/' || (COALESCE(MAX(number), 0) + 1)), 'active', ?4, ?4 \
         FROM experiments WHERE organisation = ?1 ON CONFLICT DO NOTHING RETURNING number, artifact_location",
    )
    .bind(organisation)
    .bind(&new.name)
    .bind(&new.artifact_location)
    .bind(new.created_ms)
    .fetch_optional(&mut *connection)
    .await
    .map_err(&making)?;
    let Some(row) = row else { return Err(StoreError::Taken { what: "experiment", name: new.name }) };
    let number: i64 = row.try_get("number").map_err(&making)?;
    for tag in &new.tags {
        insert_tag(connection, organisation, number, tag).await?;
    }
    Ok(Experiment {
        number,
        name: new.name,
        artifact_location: get(&row, "artifact_location")?,
        lifecycle: Lifecycle::Active,
        created_ms: new.created_ms,
        updated_ms: new.created_ms,
        tags: new.tags,
    })
}

async fn insert_tag(connection: &mut SqliteConnection, organisation: &str, number: i64, tag: &Pair) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO experiment_tags (organisation, experiment, key, value) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET value = excluded.value",
    )
    .bind(organisation)
    .bind(number)
    .bind(&tag.key)
    .bind(&tag.value)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("setting an experiment's tag"))
}

fn experiment_of(row: &SqliteRow) -> Result<Experiment, StoreError> {
    Ok(Experiment {
        number: get(row, "number")?,
        name: get(row, "name")?,
        artifact_location: get(row, "artifact_location")?,
        lifecycle: get_name(row, "lifecycle")?,
        created_ms: get(row, "created_ms")?,
        updated_ms: get(row, "updated_ms")?,
        tags: Vec::new(),
    })
}
