//! Files kept under paths, in `registry.db`.
//!
//! Folders have no rows: what lies in one is found by skipping through the index of paths, one step per child, however
//! much lies below.

use async_trait::async_trait;
use edgeflow_bundle::Digest;
use edgeflow_core::{
    CoreError, OrganisationId,
    artifact::{ArtifactEntry, ArtifactFile, ArtifactPath},
};
use edgeflow_store::{ArtifactStore, StoreError};
use futures::FutureExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Registry,
    connect::failed,
    decode::{corrupt, get, get_name, get_u64, int, json},
};

/// Beyond every path: bytes that begin no character stand above those that do.
const TOP: &str = "\u{10ffff}\u{10ffff}";

/// ?2 the folder with its slash, ?3 its end, ?4 beyond which path, ?5 how many. A child that is a folder is stepped over to
/// its end: ?6, beyond every name.
const CHILDREN: &str = "WITH RECURSIVE child(path, n) AS ( \
     SELECT (SELECT MIN(path) FROM artifact_paths WHERE organisation = ?1 AND path > ?4 AND path < ?3), 1 \
     UNION ALL \
     SELECT (SELECT MIN(path) FROM artifact_paths WHERE organisation = ?1 AND path < ?3 AND path > \
       CASE WHEN instr(substr(child.path, length(?2) + 1), '/') = 0 THEN child.path \
            ELSE substr(child.path, 1, length(?2) + instr(substr(child.path, length(?2) + 1), '/') - 1) || '/' || ?6 END), n + 1 \
     FROM child WHERE child.path IS NOT NULL AND n < ?5) \
     SELECT p.path, p.sha256, p.size_bytes FROM child JOIN artifact_paths p ON p.organisation = ?1 AND p.path = child.path ORDER BY p.path";
const TREE: &str = "SELECT * FROM artifact_paths WHERE organisation = ?1 AND path > ?2 AND path < ?3 ORDER BY path LIMIT ?4";
const REFERENCED: &str = "SELECT EXISTS (SELECT 1 FROM artifact_paths WHERE sha256 = ?1) \
     OR EXISTS (SELECT 1 FROM model_version_files WHERE sha256 = ?1)";
const DOUBT: &str = "INSERT INTO doubted_artifacts (sha256, since_us) VALUES (?1, ?2) \
     ON CONFLICT (sha256) DO UPDATE SET since_us = MAX(since_us, excluded.since_us)";
const PUT: &str = "INSERT INTO artifact_paths (organisation, path, sha256, size_bytes, created_at_us) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (organisation, path) DO UPDATE SET sha256 = excluded.sha256, size_bytes = excluded.size_bytes, \
     created_at_us = excluded.created_at_us";

/// Where the paths of a folder begin and end.
fn span(folder: Option<&ArtifactPath>) -> (String, String) {
    folder.map_or_else(|| (String::new(), TOP.to_owned()), |folder| (format!("{folder}/"), format!("{folder}0")))
}

#[async_trait]
impl ArtifactStore for Registry {
    async fn doubt_artifact(&self, sha256: &Digest, at_us: i64) -> Result<(), StoreError> {
        let sha256 = sha256.hex();
        self.0.writer.run(move |connection| async move { doubt(connection, &sha256, at_us).await }.boxed()).await
    }

    async fn put_artifact(&self, organisation: &OrganisationId, file: &ArtifactFile) -> Result<(), StoreError> {
        let (organisation, file) = (organisation.clone(), file.clone());
        self.0.writer.run(move |connection| async move { put(connection, &organisation, &file).await }.boxed()).await
    }

    async fn artifact_file(&self, organisation: &OrganisationId, path: &ArtifactPath) -> Result<Option<ArtifactFile>, StoreError> {
        let row = sqlx::query("SELECT * FROM artifact_paths WHERE organisation = ?1 AND path = ?2")
            .bind(organisation.as_str())
            .bind(path.as_str())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("looking up an artifact's path"))?;
        row.as_ref().map(file_of).transpose()
    }

    async fn artifact_children(
        &self,
        organisation: &OrganisationId,
        folder: Option<&ArtifactPath>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ArtifactEntry>, StoreError> {
        let (start, end) = span(folder);
        // Beyond a folder is beyond all that lies in it.
        let from = match after {
            Some(after) if after.ends_with('/') => format!("{start}{after}{TOP}"),
            after => format!("{start}{}", after.unwrap_or_default()),
        };
        let rows = sqlx::query(CHILDREN)
            .bind(organisation.as_str())
            .bind(&start)
            .bind(&end)
            .bind(from)
            .bind(limit)
            .bind(TOP)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing artifacts"))?;
        rows.iter()
            .map(|row| {
                let below = get::<&str>(row, "path")?.get(start.len()..).unwrap_or_default();
                Ok(match below.split_once('/') {
                    Some((name, _)) => ArtifactEntry { name: name.to_owned(), is_dir: true, size_bytes: None, sha256: None },
                    None => ArtifactEntry {
                        name: below.to_owned(),
                        is_dir: false,
                        size_bytes: Some(get_u64(row, "size_bytes")?),
                        sha256: Some(get(row, "sha256")?),
                    },
                })
            })
            .collect()
    }

    async fn artifact_tree(
        &self,
        organisation: &OrganisationId,
        folder: &ArtifactPath,
        limit: u32,
    ) -> Result<Vec<ArtifactFile>, StoreError> {
        let (start, end) = span(Some(folder));
        let rows = sqlx::query(TREE)
            .bind(organisation.as_str())
            .bind(start)
            .bind(end)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing artifacts"))?;
        rows.iter().map(file_of).collect()
    }

    async fn delete_artifacts(&self, organisation: &OrganisationId, path: &ArtifactPath, at_us: i64) -> Result<u64, StoreError> {
        let (organisation, path) = (organisation.clone(), path.clone());
        self.0.writer.run(move |connection| async move { delete(connection, &organisation, &path, at_us).await }.boxed()).await
    }

    async fn doubted_artifacts(&self, before_us: i64, limit: u32) -> Result<Vec<Digest>, StoreError> {
        let rows = sqlx::query("SELECT sha256 FROM doubted_artifacts WHERE since_us < ?1 ORDER BY since_us LIMIT ?2")
            .bind(before_us)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("looking for artifacts nobody refers to"))?;
        rows.iter().map(digest_of).collect()
    }

    async fn artifact_referenced(&self, sha256: &Digest) -> Result<bool, StoreError> {
        let row = sqlx::query(REFERENCED).bind(sha256.hex()).fetch_one(&self.0.readers).await;
        row.and_then(|row| row.try_get(0)).map_err(failed("looking who refers to an artifact"))
    }

    async fn settle_artifact(&self, sha256: &Digest) -> Result<(), StoreError> {
        let sha256 = sha256.hex();
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let settle = sqlx::query("DELETE FROM doubted_artifacts WHERE sha256 = ?1").bind(sha256).execute(connection);
                    settle.await.map(drop).map_err(failed("settling a doubt"))
                }
                .boxed()
            })
            .await
    }
}

pub(crate) async fn doubt(connection: &mut SqliteConnection, sha256: &str, at_us: i64) -> Result<(), StoreError> {
    let done = sqlx::query(DOUBT).bind(sha256).bind(at_us).execute(connection).await;
    done.map(drop).map_err(failed("doubting an artifact"))
}

async fn put(connection: &mut SqliteConnection, organisation: &OrganisationId, file: &ArtifactFile) -> Result<(), StoreError> {
    let keep = failed("keeping an artifact's path");
    let refused = |other: String, what| StoreError::Refused(CoreError::ArtifactInTheWay { path: file.path.to_string(), other, what });
    let above = file.path.folders().collect::<Vec<_>>();
    let in_the_way =
        sqlx::query("SELECT path FROM artifact_paths WHERE organisation = ?1 AND path IN (SELECT value FROM json_each(?2)) LIMIT 1")
            .bind(organisation.as_str())
            .bind(json(&above)?)
            .fetch_optional(&mut *connection)
            .await
            .map_err(&keep)?;
    if let Some(row) = in_the_way {
        return Err(refused(get(&row, "path")?, "file"));
    }
    let (start, end) = span(Some(&file.path));
    let below = sqlx::query(TREE).bind(organisation.as_str()).bind(start).bind(end).bind(1);
    if below.fetch_optional(&mut *connection).await.map_err(&keep)?.is_some() {
        return Err(refused(file.path.to_string(), "folder"));
    }
    let before = sqlx::query("SELECT sha256 FROM artifact_paths WHERE organisation = ?1 AND path = ?2")
        .bind(organisation.as_str())
        .bind(file.path.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&keep)?;
    if let Some(row) = before {
        doubt(connection, get(&row, "sha256")?, file.created_at_us).await?;
    }
    sqlx::query(PUT)
        .bind(organisation.as_str())
        .bind(file.path.as_str())
        .bind(file.sha256.hex())
        .bind(int(file.size_bytes)?)
        .bind(file.created_at_us)
        .execute(connection)
        .await
        .map(drop)
        .map_err(&keep)
}

async fn delete(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    path: &ArtifactPath,
    at_us: i64,
) -> Result<u64, StoreError> {
    let remove = failed("removing artifacts");
    let (start, end) = span(Some(path));
    // One statement each: a run may have thousands of files.
    sqlx::query(
        "INSERT INTO doubted_artifacts (sha256, since_us) \
         SELECT DISTINCT sha256, ?5 FROM artifact_paths WHERE organisation = ?1 AND (path = ?2 OR (path > ?3 AND path < ?4)) \
         ON CONFLICT (sha256) DO UPDATE SET since_us = MAX(since_us, excluded.since_us)",
    )
    .bind(organisation.as_str())
    .bind(path.as_str())
    .bind(&start)
    .bind(&end)
    .bind(at_us)
    .execute(&mut *connection)
    .await
    .map_err(&remove)?;
    sqlx::query("DELETE FROM artifact_paths WHERE organisation = ?1 AND (path = ?2 OR (path > ?3 AND path < ?4))")
        .bind(organisation.as_str())
        .bind(path.as_str())
        .bind(&start)
        .bind(&end)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(&remove)
}

fn digest_of(row: &SqliteRow) -> Result<Digest, StoreError> {
    Digest::from_hex(get(row, "sha256")?).map_err(|error| corrupt("sha256")(&error))
}

fn file_of(row: &SqliteRow) -> Result<ArtifactFile, StoreError> {
    Ok(ArtifactFile {
        path: get_name(row, "path")?,
        sha256: digest_of(row)?,
        size_bytes: get_u64(row, "size_bytes")?,
        created_at_us: get(row, "created_at_us")?,
    })
}
