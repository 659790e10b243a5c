//! Captures, in `fleet.db`.

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId, RobotId,
    capture::{Gone, MAX_UNFINISHED, Offered},
};
use edgeflow_store::{CaptureStore, StoreError};
use edgeflow_wire::CaptureInfo;
use futures::FutureExt;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Fleet,
    connect::failed,
    decode::{corrupt, get, get_json, get_name, int, json},
};

#[async_trait]
impl CaptureStore for Fleet {
    async fn offer_capture(&self, robot: &RobotId, info: &CaptureInfo, now_us: i64) -> Result<Offered, StoreError> {
        let (robot, info) = (robot.clone(), info.clone());
        self.0.writer.run(move |connection| async move { offer(connection, robot, info, now_us).await }.boxed()).await
    }

    async fn capture(&self, robot: &RobotId, id: &str) -> Result<Option<Offered>, StoreError> {
        let row = sqlx::query("SELECT * FROM captures WHERE organisation = ?1 AND target = ?2 AND id = ?3")
            .bind(robot.organisation.as_str())
            .bind(robot.as_str())
            .bind(id)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a capture"))?;
        row.as_ref().map(offered).transpose()
    }

    async fn captures(&self, robot: &RobotId, before: Option<i64>, limit: u32) -> Result<Vec<Offered>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM captures WHERE organisation = ?1 AND target = ?2 AND number < ?3 ORDER BY number DESC LIMIT ?4")
                .bind(robot.organisation.as_str())
                .bind(robot.as_str())
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.0.readers)
                .await
                .map_err(failed("listing captures"))?;
        rows.iter().map(offered).collect()
    }

    async fn touch_capture(&self, number: i64, now_us: i64) -> Result<(), StoreError> {
        self.change("UPDATE captures SET touched_us = ?2 WHERE number = ?1 AND gone_us IS NULL", number, now_us, None).await
    }

    async fn store_capture(&self, number: i64, now_us: i64) -> Result<(), StoreError> {
        self.change("UPDATE captures SET stored_us = ?2 WHERE number = ?1 AND gone_us IS NULL AND stored_us IS NULL", number, now_us, None)
            .await
    }

    async fn drop_capture(&self, number: i64, why: Gone, now_us: i64) -> Result<(), StoreError> {
        let sql = "UPDATE captures SET gone_us = ?2, gone_why = ?3 WHERE number = ?1 AND gone_us IS NULL";
        self.change(sql, number, now_us, Some(why.as_str())).await
    }

    async fn captures_here(&self) -> Result<Vec<Offered>, StoreError> {
        let rows = sqlx::query("SELECT * FROM captures WHERE gone_us IS NULL ORDER BY number")
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing captures"))?;
        rows.iter().map(offered).collect()
    }
}

impl Fleet {
    async fn change(&self, sql: &'static str, number: i64, now_us: i64, why: Option<&'static str>) -> Result<(), StoreError> {
        self.0.writer.run(move |connection| async move { change(connection, sql, number, now_us, why).await }.boxed()).await
    }
}

async fn change(
    connection: &mut SqliteConnection,
    sql: &'static str,
    number: i64,
    now_us: i64,
    why: Option<&'static str>,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql).bind(number).bind(now_us);
    let query = if let Some(why) = why { query.bind(why) } else { query };
    query.execute(connection).await.map(drop).map_err(failed("changing a capture"))
}

async fn offer(connection: &mut SqliteConnection, robot: RobotId, info: CaptureInfo, now_us: i64) -> Result<Offered, StoreError> {
    let offering = failed("offering a capture");
    let known = sqlx::query("SELECT * FROM captures WHERE organisation = ?1 AND target = ?2 AND id = ?3")
        .bind(robot.organisation.as_str())
        .bind(robot.as_str())
        .bind(&info.id)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&offering)?;
    if let Some(row) = known {
        let known = offered(&row)?;
        if (&known.info.sha256, known.info.size_bytes) != (&info.sha256, info.size_bytes) {
            return Err(StoreError::Taken { what: "capture", name: info.id });
        }
        // What was given up, or arrived as another, may be tried again.
        if let Some((_, Gone::Unfinished | Gone::Mismatch)) = known.gone {
            sqlx::query("UPDATE captures SET gone_us = NULL, gone_why = NULL, touched_us = ?2 WHERE number = ?1")
                .bind(known.number)
                .bind(now_us)
                .execute(connection)
                .await
                .map_err(&offering)?;
            return Ok(Offered { gone: None, touched_us: now_us, ..known });
        }
        return Ok(known);
    }
    let row = sqlx::query(
        "SELECT COUNT(*) AS open FROM captures WHERE organisation = ?1 AND target = ?2 AND stored_us IS NULL AND gone_us IS NULL",
    )
    .bind(robot.organisation.as_str())
    .bind(robot.as_str())
    .fetch_one(&mut *connection)
    .await
    .map_err(&offering)?;
    let open: i64 = get(&row, "open")?;
    if usize::try_from(open).unwrap_or(usize::MAX) >= MAX_UNFINISHED {
        let reason = format!("{open} captures of {} are on their way already: finish one of them", robot.name);
        return Err(CoreError::BadCapture { path: "id".to_owned(), reason }.into());
    }
    let row = sqlx::query(
        "INSERT INTO captures (id, organisation, target, info, size_bytes, touched_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING number",
    )
    .bind(&info.id)
    .bind(robot.organisation.as_str())
    .bind(robot.as_str())
    .bind(json(&info)?)
    .bind(int(info.size_bytes)?)
    .bind(now_us)
    .fetch_one(connection)
    .await
    .map_err(&offering)?;
    Ok(Offered { number: get(&row, "number")?, robot, info, touched_us: now_us, stored_us: None, gone: None })
}

pub(crate) fn offered(row: &SqliteRow) -> Result<Offered, StoreError> {
    let gone = match (get::<Option<i64>>(row, "gone_us")?, get::<Option<String>>(row, "gone_why")?) {
        (Some(at_us), Some(word)) => {
            let why = Gone::ALL.into_iter().find(|why| why.as_str() == word).ok_or_else(|| corrupt("capture")(&word))?;
            Some((at_us, why))
        }
        _ => None,
    };
    let organisation: OrganisationId = get_name(row, "organisation")?;
    Ok(Offered {
        number: get(row, "number")?,
        robot: RobotId { organisation, name: get_name(row, "target")? },
        info: get_json(row, "info")?,
        touched_us: get(row, "touched_us")?,
        stored_us: get(row, "stored_us")?,
        gone,
    })
}
