//! What went into runs and came out of them: datasets and logged models, the edges lineage is read from.

use edgeflow_core::{
    dataset::{Dataset, DatasetInput},
    run::ModelLink,
};
use edgeflow_store::StoreError;
use sqlx::SqliteConnection;

use crate::{connect::failed, decode::get};

/// Which way a model crosses a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// Says which datasets went into a run. What was said before stands.
pub(crate) async fn insert_datasets(
    connection: &mut SqliteConnection,
    organisation: &str,
    run: i64,
    inputs: &[DatasetInput],
) -> Result<(), StoreError> {
    let logging = failed("logging a dataset");
    for DatasetInput { dataset, tags } in inputs {
        let id = insert_dataset(connection, organisation, run, dataset).await?;
        let added = sqlx::query(
            "INSERT OR IGNORE INTO run_datasets (run, dataset, place) \
             SELECT ?1, ?2, COUNT(*) FROM run_datasets WHERE run = ?1",
        )
        .bind(run)
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(&logging)?;
        if added.rows_affected() == 0 {
            continue;
        }
        for tag in tags {
            sqlx::query("INSERT OR IGNORE INTO run_dataset_tags (run, dataset, key, value) VALUES (?1, ?2, ?3, ?4)")
                .bind(run)
                .bind(id)
                .bind(&tag.key)
                .bind(&tag.value)
                .execute(&mut *connection)
                .await
                .map_err(&logging)?;
        }
    }
    Ok(())
}

async fn insert_dataset(connection: &mut SqliteConnection, organisation: &str, run: i64, dataset: &Dataset) -> Result<i64, StoreError> {
    sqlx::query(
        "INSERT OR IGNORE INTO datasets (organisation, experiment, name, digest, source_type, source, schema, profile) \
         SELECT ?1, experiment, ?3, ?4, ?5, ?6, ?7, ?8 FROM runs WHERE run = ?2",
    )
    .bind(organisation)
    .bind(run)
    .bind(&dataset.name)
    .bind(&dataset.digest)
    .bind(&dataset.source_type)
    .bind(&dataset.source)
    .bind(&dataset.schema)
    .bind(&dataset.profile)
    .execute(&mut *connection)
    .await
    .map_err(failed("logging a dataset"))?;
    let row = sqlx::query(
        "SELECT d.dataset FROM datasets d JOIN runs r ON r.experiment = d.experiment \
         WHERE r.run = ?2 AND d.organisation = ?1 AND d.name = ?3 AND d.digest = ?4",
    )
    .bind(organisation)
    .bind(run)
    .bind(&dataset.name)
    .bind(&dataset.digest)
    .fetch_one(connection)
    .await
    .map_err(failed("looking for a dataset"))?;
    get(&row, "dataset")
}

/// Says which logged models crossed a run. What was said before stands.
pub(crate) async fn insert_models(
    connection: &mut SqliteConnection,
    run: i64,
    direction: Direction,
    models: &[ModelLink],
) -> Result<(), StoreError> {
    for ModelLink { model_id, step } in models {
        sqlx::query("INSERT OR IGNORE INTO run_models (run, direction, model, step) VALUES (?1, ?2, ?3, ?4)")
            .bind(run)
            .bind(direction.as_str())
            .bind(model_id)
            .bind(*step)
            .execute(&mut *connection)
            .await
            .map_err(failed("logging a model of a run"))?;
    }
    Ok(())
}
