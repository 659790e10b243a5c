//! Changing runs, in `registry.db`. They are read in [`run_read`](crate::run_read).

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId,
    dataset::{DatasetInput, DatasetSummary},
    experiment::{Lifecycle, Pair, View},
    run::{LogBatch, Metric, ModelLink, NAME_TAG, NewRun, Run, RunChange, RunInfo},
    search::{Filter, Order},
};
use edgeflow_store::{RunStore, Slice, StoreError};
use futures::FutureExt;
use sqlx::SqliteConnection;

use crate::{
    Registry,
    connect::failed,
    decode::{get, get_name},
    experiment::active,
    input::{Direction, insert_datasets, insert_models},
    run_read,
};

#[async_trait]
impl RunStore for Registry {
    async fn create_run(&self, organisation: &OrganisationId, new: &NewRun) -> Result<Run, StoreError> {
        let (owner, run) = (organisation.to_string(), new.clone());
        self.0.writer.run(move |connection| async move { insert(connection, &owner, &run).await }.boxed()).await?;
        self.run(organisation, &new.id).await?.ok_or_else(|| missing(&new.id))
    }

    async fn run(&self, organisation: &OrganisationId, id: &str) -> Result<Option<Run>, StoreError> {
        run_read::run(&self.0.readers, organisation, id).await
    }

    async fn search_runs(
        &self,
        organisation: &OrganisationId,
        experiments: &[i64],
        view: View,
        filter: &Filter,
        orders: &[Order],
        slice: Slice,
    ) -> Result<Vec<Run>, StoreError> {
        run_read::search(&self.0.readers, organisation, experiments, view, filter, orders, slice).await
    }

    async fn update_run(&self, organisation: &OrganisationId, id: &str, change: &RunChange) -> Result<RunInfo, StoreError> {
        let (owner, name, change, lane) = (organisation.to_string(), id.to_owned(), change.clone(), self.1.shared());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let run = lane.run_row(connection, &owner, &name).await?;
                    sqlx::query("UPDATE runs SET status = COALESCE(?2, status), end_ms = COALESCE(?3, end_ms) WHERE run = ?1")
                        .bind(run)
                        .bind(change.status.map(edgeflow_core::run::RunStatus::as_str))
                        .bind(change.end_ms)
                        .execute(&mut *connection)
                        .await
                        .map_err(failed("changing a run"))?;
                    match change.name {
                        Some(name) => insert_tag(connection, run, &Pair::new(NAME_TAG, name)).await,
                        None => Ok(()),
                    }
                }
                .boxed()
            })
            .await?;
        run_read::info(&self.0.readers, organisation, id).await?.ok_or_else(|| missing(id))
    }

    async fn set_run_lifecycle(&self, organisation: &OrganisationId, id: &str, lifecycle: Lifecycle) -> Result<(), StoreError> {
        let (organisation, id, lane) = (organisation.to_string(), id.to_owned(), self.1.shared());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    // Who writes metrics next looks again whether it may.
                    lane.forget_all();
                    let changed = sqlx::query("UPDATE runs SET lifecycle = ?3 WHERE organisation = ?1 AND id = ?2")
                        .bind(organisation)
                        .bind(&id)
                        .bind(lifecycle.as_str())
                        .execute(connection)
                        .await
                        .map_err(failed("changing a run's lifecycle"))?;
                    if changed.rows_affected() == 0 { Err(missing(&id)) } else { Ok(()) }
                }
                .boxed()
            })
            .await
    }

    async fn log(&self, organisation: &OrganisationId, id: &str, batch: LogBatch) -> Result<(), StoreError> {
        let (organisation, id) = (organisation.to_string(), id.to_owned());
        self.1.log(organisation, id, batch).await
    }

    async fn delete_run_tag(&self, organisation: &OrganisationId, id: &str, key: &str) -> Result<(), StoreError> {
        let (organisation, id, key, lane) = (organisation.to_string(), id.to_owned(), key.to_owned(), self.1.shared());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let run = lane.run_row(connection, &organisation, &id).await?;
                    let gone = sqlx::query("DELETE FROM run_tags WHERE run = ?1 AND key = ?2")
                        .bind(run)
                        .bind(&key)
                        .execute(connection)
                        .await
                        .map_err(failed("removing a run's tag"))?;
                    if gone.rows_affected() == 0 { Err(StoreError::Missing { what: "tag", name: key }) } else { Ok(()) }
                }
                .boxed()
            })
            .await
    }

    async fn log_inputs(
        &self,
        organisation: &OrganisationId,
        id: &str,
        datasets: &[DatasetInput],
        models: &[ModelLink],
    ) -> Result<(), StoreError> {
        let (organisation, id, lane) = (organisation.to_string(), id.to_owned(), self.1.shared());
        let (datasets, models) = (datasets.to_vec(), models.to_vec());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let run = lane.run_row(connection, &organisation, &id).await?;
                    insert_datasets(connection, &organisation, run, &datasets).await?;
                    insert_models(connection, run, Direction::In, &models).await
                }
                .boxed()
            })
            .await
    }

    async fn log_outputs(&self, organisation: &OrganisationId, id: &str, models: &[ModelLink]) -> Result<(), StoreError> {
        let (organisation, id, models, lane) = (organisation.to_string(), id.to_owned(), models.to_vec(), self.1.shared());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let run = lane.run_row(connection, &organisation, &id).await?;
                    insert_models(connection, run, Direction::Out, &models).await
                }
                .boxed()
            })
            .await
    }

    async fn metric_history(&self, organisation: &OrganisationId, id: &str, key: &str, slice: Slice) -> Result<Vec<Metric>, StoreError> {
        run_read::history(&self.0.readers, organisation, id, key, slice).await
    }

    async fn metric_steps(
        &self,
        organisation: &OrganisationId,
        ids: &[String],
        key: &str,
        within: (i64, i64),
    ) -> Result<Vec<i64>, StoreError> {
        run_read::steps(&self.0.readers, organisation, ids, key, within).await
    }

    async fn metric_at_steps(
        &self,
        organisation: &OrganisationId,
        ids: &[String],
        key: &str,
        steps: &[i64],
    ) -> Result<Vec<(String, Metric)>, StoreError> {
        run_read::at_steps(&self.0.readers, organisation, ids, key, steps).await
    }

    async fn datasets(&self, organisation: &OrganisationId, experiments: &[i64], limit: u32) -> Result<Vec<DatasetSummary>, StoreError> {
        run_read::datasets(&self.0.readers, organisation, experiments, limit).await
    }
}

fn missing(id: &str) -> StoreError {
    StoreError::Missing { what: "run", name: id.to_owned() }
}

async fn insert(connection: &mut SqliteConnection, organisation: &str, new: &NewRun) -> Result<(), StoreError> {
    active(connection, organisation, new.experiment).await?;
    let row = sqlx::query(
        "INSERT INTO runs (organisation, id, experiment, name, user, status, start_ms, end_ms, lifecycle, artifact_uri) \
         SELECT ?1, ?2, ?3, ?4, ?5, 'RUNNING', ?6, NULL, 'active', e.artifact_location || '/' || ?2 || '/artifacts' \
         FROM experiments e WHERE e.organisation = ?1 AND e.number = ?3 RETURNING run",
    )
    .bind(organisation)
    .bind(&new.id)
    .bind(new.experiment)
    .bind(&new.name)
    .bind(&new.user)
    .bind(new.start_ms)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed("making a run"))?;
    let run = get(&row, "run")?;
    for tag in &new.tags {
        insert_tag(connection, run, tag).await?;
    }
    Ok(())
}

/// The row of a run that may be written to.
pub(crate) async fn active_run(connection: &mut SqliteConnection, organisation: &str, id: &str) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT run, lifecycle FROM runs WHERE organisation = ?1 AND id = ?2")
        .bind(organisation)
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(failed("looking for a run"))?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "run", name: id.to_owned() })?;
    match get_name::<Lifecycle>(&row, "lifecycle")? {
        Lifecycle::Active => get(&row, "run"),
        Lifecycle::Deleted => Err(CoreError::Deleted { what: "run", name: id.to_owned() }.into()),
    }
}

/// Sets a run's tag; the one that is its name names it.
async fn insert_tag(connection: &mut SqliteConnection, run: i64, tag: &Pair) -> Result<(), StoreError> {
    let setting = failed("setting a run's tag");
    sqlx::query("INSERT INTO run_tags (run, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value")
        .bind(run)
        .bind(&tag.key)
        .bind(&tag.value)
        .execute(&mut *connection)
        .await
        .map_err(&setting)?;
    if tag.key == NAME_TAG {
        sqlx::query("UPDATE runs SET name = ?2 WHERE run = ?1").bind(run).bind(&tag.value).execute(connection).await.map_err(&setting)?;
    }
    Ok(())
}
