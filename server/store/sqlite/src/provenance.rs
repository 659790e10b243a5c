//! Which runs and datasets versions come from, in `registry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId,
    model::ModelVersion,
    provenance::{JUDGED_BY, Registered, Via},
};
use edgeflow_store::{ProvenanceStore, StoreError};
use sqlx::sqlite::SqliteRow;

use crate::{
    Registry,
    connect::failed,
    decode::{corrupt, get, json},
    model::version_of,
};

macro_rules! registered {
    ($of:literal) => {
        concat!(
            "SELECT m.name, v.number, v.digest, v.run_id, v.model_id, v.created_at_us, v.created_by, v.deleted_at_us \
             FROM model_versions v JOIN models m ON m.id = v.model WHERE v.organisation = ?1 AND ",
            $of
        )
    };
}

const BY_DIGEST: &str =
    registered!("v.digest IN (SELECT value FROM json_each(?2)) ORDER BY v.created_at_us DESC, v.model DESC, v.number DESC");

const BUNDLE_VERSIONS: &str = "SELECT v.*, m.name AS model_name, \
     (SELECT json_group_array(alias) FROM model_aliases a WHERE a.model = v.model AND a.number = v.number) AS aliases \
     FROM model_versions v JOIN models m ON m.id = v.model WHERE v.organisation = ?1 AND v.digest = ?2 \
     ORDER BY v.created_at_us DESC, v.model DESC, v.number DESC";

/// A run leads to the runs that take in a model of its, whether it is the model's source or said that it came out, and to its children.
/// Ways are cut where they could only go in circles.
const ANCESTORS: &str = "WITH RECURSIVE up (run, id, via, depth) AS ( \
       SELECT r.run, r.id, 'made', 0 FROM runs r WHERE r.organisation = ?1 AND r.id = ?2 \
       UNION SELECT s.run, s.id, 'model', u.depth + 1 FROM up u JOIN run_models i ON i.run = u.run AND i.direction = 'in' \
         JOIN logged_models m ON m.organisation = ?1 AND m.id = i.model JOIN runs s ON s.organisation = ?1 AND s.id = m.source_run_id \
         WHERE u.depth < 50 \
       UNION SELECT s.run, s.id, 'model', u.depth + 1 FROM up u JOIN run_models i ON i.run = u.run AND i.direction = 'in' \
         JOIN run_models o ON o.model = i.model AND o.direction = 'out' JOIN runs s ON s.run = o.run AND s.organisation = ?1 \
         WHERE u.depth < 50 \
       UNION SELECT s.run, s.id, 'parent', u.depth + 1 FROM up u JOIN run_tags t ON t.run = u.run AND t.key = 'mlflow.parentRunId' \
         JOIN runs s ON s.organisation = ?1 AND s.id = t.value WHERE u.depth < 50) \
     SELECT id, via, MIN(depth) AS depth FROM up GROUP BY id ORDER BY MIN(depth), run DESC LIMIT ?3";

/// Begins a statement with `down`: the runs that were trained on a dataset of digest ?2, and those that such runs led to. `CROSS JOIN` is
/// SQLite's way to say which table comes first: without it each step would walk every run and logged model there is.
macro_rules! down {
    ($of:expr) => {
        concat!(
            "WITH RECURSIVE down (run, id) AS ( \
       SELECT r.run, r.id FROM datasets d JOIN run_datasets x ON x.dataset = d.dataset JOIN runs r ON r.run = x.run \
         WHERE d.organisation = ?1 AND d.digest = ?2 AND NOT EXISTS ( \
           SELECT 1 FROM run_dataset_tags t JOIN json_each(?3) j ON t.value LIKE j.value || '%' \
           WHERE t.run = x.run AND t.dataset = x.dataset AND t.key = 'mlflow.data.context') \
       UNION SELECT r.run, r.id FROM down u CROSS JOIN logged_models m ON m.organisation = ?1 AND m.source_run_id = u.id \
         JOIN run_models i ON i.model = m.id AND i.direction = 'in' JOIN runs r ON r.run = i.run AND r.organisation = ?1 \
       UNION SELECT r.run, r.id FROM down u CROSS JOIN run_models o ON o.run = u.run AND o.direction = 'out' \
         JOIN run_models i ON i.model = o.model AND i.direction = 'in' JOIN runs r ON r.run = i.run AND r.organisation = ?1 \
       UNION SELECT r.run, r.id FROM down u CROSS JOIN run_tags t ON t.value = u.id AND t.key = 'mlflow.parentRunId' \
         CROSS JOIN runs r ON r.run = t.run AND r.organisation = ?1) ",
            $of
        )
    };
}

const TRAINED_ON: &str = down!("SELECT r.id FROM down u JOIN runs r ON r.run = u.run ORDER BY r.start_ms, r.run LIMIT ?4");
const MADE_FROM: &str = down!(registered!(
    "v.rowid IN (SELECT rowid FROM model_versions WHERE organisation = ?1 AND run_id IN (SELECT id FROM down) \
       UNION SELECT rowid FROM model_versions WHERE organisation = ?1 AND model_id IN (SELECT o.model FROM down u CROSS JOIN run_models o \
         ON o.run = u.run AND o.direction = 'out')) ORDER BY v.created_at_us, v.model, v.number"
));

#[async_trait]
impl ProvenanceStore for Registry {
    async fn registered(&self, organisation: &OrganisationId, digests: &[String]) -> Result<Vec<Registered>, StoreError> {
        let rows = sqlx::query(BY_DIGEST)
            .bind(organisation.as_str())
            .bind(json(&digests)?)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("looking for versions of a bundle"))?;
        rows.iter().map(registered_of).collect()
    }

    async fn bundle_versions(&self, organisation: &OrganisationId, digest: &str) -> Result<Vec<(ModelVersion, bool)>, StoreError> {
        let rows = sqlx::query(BUNDLE_VERSIONS)
            .bind(organisation.as_str())
            .bind(digest)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("reading the versions of a bundle"))?;
        rows.iter().map(|row| Ok((version_of(row)?, get::<Option<i64>>(row, "deleted_at_us")?.is_some()))).collect()
    }

    async fn trained_on(&self, organisation: &OrganisationId, dataset_digest: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(TRAINED_ON)
            .bind(organisation.as_str())
            .bind(dataset_digest)
            .bind(json(&JUDGED_BY)?)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("following a dataset to its runs"))?;
        rows.iter().map(|row| get(row, "id")).collect()
    }

    async fn ancestors(&self, organisation: &OrganisationId, run_id: &str, limit: u32) -> Result<Vec<(String, Via)>, StoreError> {
        let rows = sqlx::query(ANCESTORS)
            .bind(organisation.as_str())
            .bind(run_id)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("following runs to their origin"))?;
        let ancestor = |row| {
            let via = match get::<&str>(row, "via")? {
                "made" => Via::Made,
                "model" => Via::Model,
                "parent" => Via::Parent,
                other => return Err(corrupt("via")(&other)),
            };
            Ok((get(row, "id")?, via))
        };
        rows.iter().map(ancestor).collect()
    }

    async fn made_from(&self, organisation: &OrganisationId, dataset_digest: &str) -> Result<Vec<Registered>, StoreError> {
        let rows = sqlx::query(MADE_FROM)
            .bind(organisation.as_str())
            .bind(dataset_digest)
            .bind(json(&JUDGED_BY)?)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("following a dataset to its models"))?;
        rows.iter().map(registered_of).collect()
    }
}

fn registered_of(row: &SqliteRow) -> Result<Registered, StoreError> {
    Ok(Registered {
        model: get(row, "name")?,
        version: get::<i64>(row, "number")?.to_string(),
        digest: get(row, "digest")?,
        run_id: get(row, "run_id")?,
        model_id: get(row, "model_id")?,
        created_at_us: get(row, "created_at_us")?,
        created_by: get(row, "created_by")?,
        deleted: get::<Option<i64>>(row, "deleted_at_us")?.is_some(),
    })
}
