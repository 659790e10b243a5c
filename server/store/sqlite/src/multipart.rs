//! Uploads that come in parts, in `registry.db`.

use async_trait::async_trait;
use edgeflow_bundle::Digest;
use edgeflow_core::multipart::{KeptPart, MultipartUpload};
use edgeflow_store::{MultipartStore, StoreError};
use futures::FutureExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Registry,
    connect::failed,
    decode::{corrupt, get, get_name, get_u64, int},
};

#[async_trait]
impl MultipartStore for Registry {
    async fn open_multipart(&self, upload: &MultipartUpload, at_us: i64) -> Result<(), StoreError> {
        let upload = upload.clone();
        self.0.writer.run(move |connection| async move { open(connection, &upload, at_us).await }.boxed()).await
    }

    async fn multipart(&self, id: &str) -> Result<Option<MultipartUpload>, StoreError> {
        let reading = failed("reading an upload");
        // One statement: an upload that is completed meanwhile is seen before it, or after.
        let rows = sqlx::query(
            "SELECT organisation, path, parts, completed, number, sha256, size_bytes FROM multipart_uploads \
             LEFT JOIN multipart_parts ON upload = id WHERE id = ?1 ORDER BY number",
        )
        .bind(id)
        .fetch_all(&self.0.readers)
        .await
        .map_err(reading)?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(MultipartUpload {
            id: id.to_owned(),
            organisation: get_name(row, "organisation")?,
            path: get_name(row, "path")?,
            parts: get(row, "parts")?,
            completed: get(row, "completed")?,
            kept: rows.iter().filter_map(|row| part_of(row).transpose()).collect::<Result<_, _>>()?,
        }))
    }

    async fn keep_part(&self, id: &str, part: &KeptPart, at_us: i64) -> Result<(), StoreError> {
        let (id, part) = (id.to_owned(), part.clone());
        self.0.writer.run(move |connection| async move { keep(connection, id, &part, at_us).await }.boxed()).await
    }

    async fn complete_multipart(&self, id: &str, at_us: i64) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.0.writer.run(move |connection| async move { complete(connection, &id, at_us).await }.boxed()).await
    }

    async fn abort_multipart(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.0.writer.run(move |connection| async move { abort(connection, &id).await }.boxed()).await
    }

    async fn stale_multiparts(&self, before_us: i64, limit: u32) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT id FROM multipart_uploads WHERE touched_us < ?1 ORDER BY touched_us LIMIT ?2")
            .bind(before_us)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("looking for uploads nobody goes on with"))?;
        rows.iter().map(|row| get(row, "id")).collect()
    }
}

/// The part in a row; `None` when the upload has none yet.
fn part_of(row: &SqliteRow) -> Result<Option<KeptPart>, StoreError> {
    let number: Option<u32> = row.try_get("number").map_err(|error| corrupt("number")(&error))?;
    let Some(number) = number else { return Ok(None) };
    let sha256 = Digest::from_hex(get(row, "sha256")?).map_err(|error| corrupt("sha256")(&error))?;
    Ok(Some(KeptPart { number, sha256, size_bytes: get_u64(row, "size_bytes")? }))
}

async fn open(connection: &mut SqliteConnection, upload: &MultipartUpload, at_us: i64) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO multipart_uploads (id, organisation, path, parts, completed, touched_us) VALUES (?1, ?2, ?3, ?4, FALSE, ?5)")
        .bind(&upload.id)
        .bind(upload.organisation.as_str())
        .bind(upload.path.as_str())
        .bind(upload.parts)
        .bind(at_us)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("beginning an upload"))
}

async fn keep(connection: &mut SqliteConnection, id: String, part: &KeptPart, at_us: i64) -> Result<(), StoreError> {
    let keeping = failed("keeping a part");
    let touched = sqlx::query("UPDATE multipart_uploads SET touched_us = ?2 WHERE id = ?1 AND NOT completed")
        .bind(&id)
        .bind(at_us)
        .execute(&mut *connection)
        .await
        .map_err(&keeping)?;
    if touched.rows_affected() == 0 {
        return Err(StoreError::Missing { what: "upload", name: id });
    }
    sqlx::query(
        "INSERT INTO multipart_parts (upload, number, sha256, size_bytes) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (upload, number) DO UPDATE SET sha256 = excluded.sha256, size_bytes = excluded.size_bytes",
    )
    .bind(id)
    .bind(part.number)
    .bind(part.sha256.hex())
    .bind(int(part.size_bytes)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(keeping)
}

async fn complete(connection: &mut SqliteConnection, id: &str, at_us: i64) -> Result<(), StoreError> {
    forget_parts(connection, id).await?;
    sqlx::query("UPDATE multipart_uploads SET completed = TRUE, touched_us = ?2 WHERE id = ?1")
        .bind(id)
        .bind(at_us)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("completing an upload"))
}

async fn abort(connection: &mut SqliteConnection, id: &str) -> Result<bool, StoreError> {
    forget_parts(connection, id).await?;
    let gone = sqlx::query("DELETE FROM multipart_uploads WHERE id = ?1").bind(id).execute(connection).await;
    gone.map(|done| done.rows_affected() > 0).map_err(failed("giving an upload up"))
}

async fn forget_parts(connection: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
    let gone = sqlx::query("DELETE FROM multipart_parts WHERE upload = ?1").bind(id).execute(connection).await;
    gone.map(drop).map_err(failed("forgetting the parts of an upload"))
}
