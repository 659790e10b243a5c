//! Commands, in `fleet.db`.

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId, RobotId,
    command::{Ended, GivenCommand, MAX_OPEN, NewCommand},
};
use edgeflow_store::{CommandStore, StoreError};
use futures::FutureExt;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Fleet,
    connect::failed,
    decode::{corrupt, get, get_json, get_name, json},
};

#[async_trait]
impl CommandStore for Fleet {
    async fn create_command(&self, organisation: &OrganisationId, new: &NewCommand) -> Result<GivenCommand, StoreError> {
        let (organisation, new) = (organisation.clone(), new.clone());
        self.0.writer.run(move |connection| async move { create(connection, &organisation, new).await }.boxed()).await
    }

    async fn command(&self, robot: &RobotId, id: &str) -> Result<Option<GivenCommand>, StoreError> {
        let row = sqlx::query("SELECT * FROM commands WHERE organisation = ?1 AND target = ?2 AND id = ?3")
            .bind(robot.organisation.as_str())
            .bind(robot.as_str())
            .bind(id)
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a command"))?;
        row.as_ref().map(command_of).transpose()
    }

    async fn commands(&self, robot: &RobotId, before: Option<i64>, limit: u32) -> Result<Vec<GivenCommand>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM commands WHERE organisation = ?1 AND target = ?2 AND number < ?3 ORDER BY number DESC LIMIT ?4")
                .bind(robot.organisation.as_str())
                .bind(robot.as_str())
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.0.readers)
                .await
                .map_err(failed("listing commands"))?;
        rows.iter().map(command_of).collect()
    }

    async fn open_commands(&self, robot: &RobotId, after: i64, now_us: i64) -> Result<Vec<GivenCommand>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM commands WHERE organisation = ?1 AND target = ?2 AND outcome IS NULL AND number > ?3 AND expires_us >= ?4 \
             ORDER BY number",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.as_str())
        .bind(after)
        .bind(now_us)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("listing open commands"))?;
        rows.iter().map(command_of).collect()
    }

    async fn end_commands(&self, robot: &RobotId, ended: &[(String, Ended)]) -> Result<(), StoreError> {
        let (robot, ended) = (robot.clone(), ended.to_vec());
        self.0.writer.run(move |connection| async move { end(connection, &robot, &ended).await }.boxed()).await
    }
}

async fn create(connection: &mut SqliteConnection, organisation: &OrganisationId, new: NewCommand) -> Result<GivenCommand, StoreError> {
    let give = failed("giving a command");
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM commands c WHERE c.target = t.name AND c.outcome IS NULL AND c.expires_us >= ?3) AS open \
         FROM targets t WHERE t.organisation = ?1 AND t.name = ?2 AND t.revoked_at_us IS NULL",
    )
    .bind(organisation.as_str())
    .bind(new.target.as_str())
    .bind(new.issued_us)
    .fetch_optional(&mut *connection)
    .await
    .map_err(&give)?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "robot", name: new.target.to_string() })?;
    let open: i64 = get(&row, "open")?;
    if usize::try_from(open).unwrap_or(usize::MAX) >= MAX_OPEN {
        let reason = format!("{open} commands of {} wait for its word already", new.target);
        return Err(CoreError::BadCommand { path: "target".to_owned(), reason }.into());
    }
    let row = sqlx::query(
        "INSERT INTO commands (id, organisation, target, action, issued_us, expires_us, created_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         RETURNING number",
    )
    .bind(&new.id)
    .bind(organisation.as_str())
    .bind(new.target.as_str())
    .bind(json(&new.action)?)
    .bind(new.issued_us)
    .bind(new.expires_us)
    .bind(&new.created_by)
    .fetch_one(connection)
    .await
    .map_err(&give)?;
    Ok(GivenCommand { number: get(&row, "number")?, given: new, ended: None })
}

async fn end(connection: &mut SqliteConnection, robot: &RobotId, ended: &[(String, Ended)]) -> Result<(), StoreError> {
    for (id, ended) in ended {
        sqlx::query(
            "UPDATE commands SET outcome = ?4, message = ?5, result = ?6, ended_us = ?7 \
             WHERE organisation = ?1 AND target = ?2 AND id = ?3 AND outcome IS NULL",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.as_str())
        .bind(id)
        .bind(json(&ended.outcome)?)
        .bind(&ended.message)
        .bind(json(&ended.result)?)
        .bind(ended.at_us)
        .execute(&mut *connection)
        .await
        .map_err(failed("noting how a command ended"))?;
    }
    Ok(())
}

pub(crate) fn command_of(row: &SqliteRow) -> Result<GivenCommand, StoreError> {
    let outcome: Option<String> = get(row, "outcome")?;
    let ended = match outcome {
        Some(outcome) => Some(Ended {
            outcome: serde_json::from_str(&outcome).map_err(|error| corrupt("command")(&error))?,
            message: get(row, "message")?,
            result: get_json(row, "result")?,
            at_us: get(row, "ended_us")?,
        }),
        None => None,
    };
    let given = NewCommand {
        id: get(row, "id")?,
        target: get_name(row, "target")?,
        action: get_json(row, "action")?,
        issued_us: get(row, "issued_us")?,
        expires_us: get(row, "expires_us")?,
        created_by: get(row, "created_by")?,
    };
    Ok(GivenCommand { number: get(row, "number")?, given, ended })
}
