//! What happens to lineage: the feeds that triggers write in `registry.db` and `telemetry.db`, and the deployments of `fleet.db`, whose
//! numbers are their order.

use async_trait::async_trait;
use edgeflow_core::{OrganisationId, openlineage::Happening};
use edgeflow_store::{HappeningStore, StoreError, ToldStore};
use futures::FutureExt;
use sqlx::sqlite::SqliteRow;

use crate::{
    Fleet, Registry, Telemetry,
    connect::failed,
    decode::{get, get_name},
    deployment::collect,
    lineage::interval_of,
    model::version_of,
};

/// Of a version `v.*` is what [`version_of`] reads; of a run it is NULL.
const OF_REGISTRY: &str = "SELECT f.seq, r.id AS feed_run, f.status AS run_status, f.at_us AS run_at_us, m.name AS model_name, v.*, \
     f.began, \
     (SELECT json_group_array(alias) FROM model_aliases a WHERE a.model = v.model AND a.number = v.number) AS aliases \
     FROM (SELECT * FROM lineage_feed WHERE organisation = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3) f \
     LEFT JOIN runs r ON r.run = f.run LEFT JOIN model_versions v ON v.model = f.model AND v.number = f.number \
     LEFT JOIN models m ON m.id = v.model ORDER BY f.seq";

const OF_FLEET: &str = "SELECT d.*, t.target, t.server_epoch, t.generation, t.superseded_server_epoch, t.superseded_generation \
     FROM (SELECT * FROM deployments WHERE organisation = ?1 AND id > ?2 ORDER BY id LIMIT ?3) d \
     JOIN deployment_targets t ON t.deployment = d.id ORDER BY d.id, t.target";

const OF_TELEMETRY: &str = "SELECT f.seq, f.ended, i.id, r.target, i.slot, i.model, i.version, i.digest, i.from_us, i.to_us, \
     COALESCE(i.last_us, s.t_us, i.from_us) AS last_us \
     FROM (SELECT * FROM lineage_feed WHERE organisation = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3) f \
     JOIN intervals i ON i.id = f.interval JOIN robots r ON r.id = i.robot LEFT JOIN slots s ON s.robot = i.robot AND s.slot = i.slot \
     ORDER BY f.seq";

#[async_trait]
impl HappeningStore for Registry {
    async fn happenings(&self, organisation: &OrganisationId, after: i64, limit: u32) -> Result<Vec<(i64, Happening)>, StoreError> {
        let rows = sqlx::query(OF_REGISTRY)
            .bind(organisation.as_str())
            .bind(after)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading what happened to runs and versions"))?;
        let happening = |row: &SqliteRow| {
            let happening = match get::<Option<String>>(row, "feed_run")? {
                Some(run_id) => {
                    let (status, at_us, began) = (get_name(row, "run_status")?, get(row, "run_at_us")?, get::<i64>(row, "began")? != 0);
                    Happening::Run { run_id, status, at_us, began }
                }
                None => Happening::Registered(Box::new(version_of(row)?), get::<Option<i64>>(row, "deleted_at_us")?.is_some()),
            };
            Ok((get(row, "seq")?, happening))
        };
        rows.iter().map(happening).collect()
    }
}

#[async_trait]
impl HappeningStore for Fleet {
    async fn happenings(&self, organisation: &OrganisationId, after: i64, limit: u32) -> Result<Vec<(i64, Happening)>, StoreError> {
        let rows = sqlx::query(OF_FLEET).bind(organisation.as_str()).bind(after).bind(limit).fetch(&self.0.readers);
        let made = collect(rows, "reading which deployments were made").await?;
        Ok(made.into_iter().map(|deployment| (deployment.id, Happening::Deployed(deployment))).collect())
    }
}

#[async_trait]
impl HappeningStore for Telemetry {
    async fn happenings(&self, organisation: &OrganisationId, after: i64, limit: u32) -> Result<Vec<(i64, Happening)>, StoreError> {
        let rows = sqlx::query(OF_TELEMETRY)
            .bind(organisation.as_str())
            .bind(after)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading what robots began and ceased to run"))?;
        let happening = |row: &SqliteRow| {
            let (id, target, interval) = (get(row, "id")?, get(row, "target")?, interval_of(row)?);
            Ok((get(row, "seq")?, Happening::Served { id, target, interval, ended: get::<i64>(row, "ended")? != 0 }))
        };
        rows.iter().map(happening).collect()
    }
}

#[async_trait]
impl ToldStore for Registry {
    async fn told(&self, url: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT cursor FROM lineage_told WHERE url = ?1")
            .bind(url)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading how far lineage was told"))?;
        row.as_ref().map(|row| get(row, "cursor")).transpose()
    }

    async fn set_told(&self, url: &str, cursor: &str) -> Result<(), StoreError> {
        let (url, cursor) = (url.to_owned(), cursor.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    sqlx::query("INSERT INTO lineage_told (url, cursor) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET cursor = excluded.cursor")
                        .bind(url)
                        .bind(cursor)
                        .execute(connection)
                        .await
                        .map(drop)
                        .map_err(failed("noting how far lineage was told"))
                }
                .boxed()
            })
            .await
    }
}
