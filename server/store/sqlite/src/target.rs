//! Robots and their desired state, in `fleet.db`.

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId, RobotId, SlotName, TargetName, desired,
    reconciliation::{Settled, settle},
    target::Target,
};
use edgeflow_store::{StoreError, TargetStore};
use edgeflow_wire::{DesiredState, Hold, Version, WIRE_VERSION};
use futures::FutureExt;
use rusqlite::{Connection, Row};
use serde_json::Value;
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Fleet,
    connect::{each, failed},
    decode::{corrupt, get, get_hash, get_json, get_name, get_u64, int, json},
    deployment::server_epoch,
    rollout_hold,
};

/// Robots whose names are in a JSON array. CROSS JOIN keeps the order: from the names to the robots.
pub(crate) const NAMED: &str = "SELECT t.* FROM json_each(?2) k CROSS JOIN targets t ON t.name = k.value \
     WHERE t.organisation = ?1 AND t.revoked_at_us IS NULL ORDER BY t.name";

/// What [`looked_up`] reads, in this order.
macro_rules! looked_up {
    ($from:literal) => {
        concat!(
            "SELECT t.name, t.organisation, t.labels, t.token_hash, t.created_at_us, t.server_epoch, t.generation, t.slots, t.policy, \
             t.vectors, t.hold FROM ",
            $from
        )
    };
}

const ONE: &str = looked_up!("targets t WHERE t.name = ?1 AND t.revoked_at_us IS NULL");
const SOME: &str = looked_up!(
    "json_each(?2) k CROSS JOIN targets t ON t.name = k.value WHERE t.organisation = ?1 AND t.revoked_at_us IS NULL ORDER BY t.name"
);

#[async_trait]
impl TargetStore for Fleet {
    async fn create_target(&self, target: &Target) -> Result<(), StoreError> {
        let (target, labels) = (target.clone(), json(&target.labels)?);
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let done = sqlx::query(
                        "INSERT INTO targets (name, organisation, labels, token_hash, created_at_us) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT (name) DO UPDATE SET labels = excluded.labels, token_hash = excluded.token_hash, \
                     created_at_us = excluded.created_at_us, revoked_at_us = NULL, fleet_due = 1, fleet_waits = NULL \
                     WHERE revoked_at_us IS NOT NULL AND organisation = excluded.organisation",
                    )
                    .bind(target.id.name.as_str())
                    .bind(target.id.organisation.as_str())
                    .bind(labels)
                    .bind(target.token_hash.to_vec())
                    .bind(target.created_at_us)
                    .execute(connection)
                    .await
                    .map_err(failed("enrolling a robot"))?;
                    if done.rows_affected() == 1 {
                        Ok(())
                    } else {
                        Err(StoreError::Taken { what: "robot", name: target.id.name.to_string() })
                    }
                }
                .boxed()
            })
            .await
    }

    async fn target(&self, organisation: &OrganisationId, name: &TargetName) -> Result<Option<Target>, StoreError> {
        let target = self.target_anywhere(name).await?;
        Ok(target.filter(|target| target.id.organisation == *organisation))
    }

    async fn target_anywhere(&self, name: &TargetName) -> Result<Option<Target>, StoreError> {
        self.1.read("reading a robot", ONE, |statement| {
            let mut rows = statement.query([name.as_str()])?;
            rows.next()?.map(looked_up).transpose()
        })
    }

    async fn targets(&self, organisation: &OrganisationId, after: Option<&str>, limit: u32) -> Result<Vec<Target>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM targets WHERE organisation = ?1 AND name > ?2 AND revoked_at_us IS NULL ORDER BY name LIMIT ?3")
                .bind(organisation.as_str())
                .bind(after.unwrap_or_default())
                .bind(limit)
                .fetch(&self.0.readers);
        each(rows, "listing robots", target_of).await
    }

    async fn targets_named(&self, organisation: &OrganisationId, names: &[TargetName]) -> Result<Vec<Target>, StoreError> {
        const WHAT: &str = "reading robots";
        let (organisation, names) = (organisation.to_string(), json(&names)?);
        let read = move |connection: &Connection| -> rusqlite::Result<Vec<Target>> {
            connection.prepare_cached(SOME)?.query_map([&organisation, &names], looked_up)?.collect()
        };
        let wrap = |source| StoreError::Failed { operation: WHAT, source: Box::new(source) };
        self.1.read_much(WHAT, move |connection| read(connection).map_err(wrap)).await
    }

    async fn set_labels(
        &self,
        organisation: &OrganisationId,
        name: &TargetName,
        labels: &BTreeMap<String, String>,
    ) -> Result<Target, StoreError> {
        let (organisation, name, labels) = (organisation.to_string(), name.to_string(), json(labels)?);
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let row = sqlx::query(
                        "UPDATE targets SET labels = ?3, fleet_due = 1, fleet_waits = NULL \
                         WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL RETURNING *",
                    )
                    .bind(organisation)
                    .bind(&name)
                    .bind(labels)
                    .fetch_optional(connection)
                    .await
                    .map_err(failed("labelling a robot"))?;
                    target_of(&row.ok_or(StoreError::Missing { what: "robot", name })?)
                }
                .boxed()
            })
            .await
    }

    async fn labelled_targets(&self, organisation: &OrganisationId) -> Result<Vec<(TargetName, BTreeMap<String, String>)>, StoreError> {
        let rows = sqlx::query("SELECT name, labels FROM targets WHERE organisation = ?1 AND revoked_at_us IS NULL ORDER BY name")
            .bind(organisation.as_str())
            .fetch(&self.0.readers);
        each(rows, "reading the labels of robots", |row| Ok((get_name(row, "name")?, get_json(row, "labels")?))).await
    }

    async fn set_policy(&self, organisation: &OrganisationId, name: &TargetName, policy: &Value) -> Result<(Target, bool), StoreError> {
        let (organisation, name, policy) = (organisation.clone(), name.clone(), policy.clone());
        self.0.writer.run(move |connection| async move { declare_policy(connection, &organisation, &name, policy).await }.boxed()).await
    }

    async fn set_hold(&self, organisation: &OrganisationId, name: &TargetName, hold: Option<&Hold>) -> Result<(Target, bool), StoreError> {
        let hold = hold.cloned();
        let change = move |current: &DesiredState, server_epoch| desired::with_hold(current, server_epoch, hold);
        self.redeclare(organisation, name, change).await
    }

    async fn undeclare(&self, organisation: &OrganisationId, name: &TargetName, slot: &SlotName) -> Result<(Target, bool), StoreError> {
        let (organisation, name, slot) = (organisation.clone(), name.clone(), slot.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    rollout_hold::refuse(connection, &organisation, slot.as_str(), std::slice::from_ref(&name)).await?;
                    let change = |current: &DesiredState, server_epoch| desired::without_slot(current, server_epoch, &slot);
                    redeclare(connection, &organisation, &name, change).await
                }
                .boxed()
            })
            .await
    }

    async fn settle(&self, organisation: &OrganisationId, name: &TargetName, settled: &[Settled]) -> Result<Target, StoreError> {
        let settled = settled.to_vec();
        let change = move |current: &DesiredState, server_epoch| settle(current, server_epoch, &settled).map(Some);
        self.redeclare(organisation, name, change).await.map(|(target, _)| target)
    }

    async fn desired_files(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT file.value ->> 'sha256' AS sha256 FROM targets, json_each(targets.slots) slot, json_each(slot.value, '$.files') file",
        )
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("listing what robots are told to have"))?;
        rows.iter().map(|row| get(row, "sha256")).collect()
    }

    async fn targets_told(
        &self,
        organisation: &OrganisationId,
        model: &str,
        version: &str,
        limit: u32,
    ) -> Result<Vec<TargetName>, StoreError> {
        let rows = sqlx::query(
            "WITH open AS MATERIALIZED (SELECT id, state ->> '$.release.spec.model' = ?2 AND state ->> '$.release.spec.version' = ?3 AS brings \
             FROM rollouts WHERE standing < 2 AND organisation = ?1) \
             SELECT targets.name FROM targets, json_each(targets.slots) slot WHERE organisation = ?1 AND revoked_at_us IS NULL \
             AND slot.value ->> 'model' = ?2 AND slot.value ->> 'version' = ?3 \
             UNION SELECT b.target FROM open JOIN rollout_robots b ON b.rollout = open.id WHERE b.phase <> 'skipped' \
             AND (open.brings OR b.before ->> 'model' = ?2 AND b.before ->> 'version' = ?3) ORDER BY 1 LIMIT ?4",
        )
        .bind(organisation.as_str())
        .bind(model)
        .bind(version)
        .bind(limit)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("looking for robots that are told to have a version"))?;
        rows.iter().map(|row| get_name(row, "name")).collect()
    }

    async fn revoke_target(&self, organisation: &OrganisationId, name: &TargetName, at_us: i64) -> Result<bool, StoreError> {
        let (organisation, name) = (organisation.to_string(), name.to_string());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let revoke = failed("revoking a robot");
                    let done = sqlx::query(
                        "UPDATE targets SET revoked_at_us = ?3 WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL",
                    )
                    .bind(organisation)
                    .bind(&name)
                    .bind(at_us)
                    .execute(&mut *connection)
                    .await
                    .map_err(&revoke)?;
                    if done.rows_affected() == 0 {
                        return Ok(false);
                    }
                    sqlx::query("UPDATE certificates SET revoked_at_us = ?2 WHERE target = ?1 AND revoked_at_us IS NULL")
                        .bind(&name)
                        .bind(at_us)
                        .execute(&mut *connection)
                        .await
                        .map_err(&revoke)?;
                    let tokens = sqlx::query("DELETE FROM bootstraps WHERE target = ?1").bind(&name);
                    tokens.execute(connection).await.map(|_| true).map_err(&revoke)
                }
                .boxed()
            })
            .await
    }
}

pub(crate) async fn declare_policy(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    name: &TargetName,
    policy: Value,
) -> Result<(Target, bool), StoreError> {
    let declare = failed("declaring a robot's policy");
    rollout_hold::refuse(connection, organisation, rollout_hold::POLICY, std::slice::from_ref(name)).await?;
    let server_epoch = server_epoch(connection).await?;
    let row = sqlx::query("SELECT * FROM targets WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL")
        .bind(organisation.as_str())
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&declare)?;
    let target = target_of(&row.ok_or_else(|| StoreError::Missing { what: "robot", name: name.to_string() })?)?;
    let Some(next) = desired::with_policy(&target.desired, server_epoch, policy)? else { return Ok((target, false)) };
    sqlx::query("UPDATE targets SET server_epoch = ?2, generation = ?3, policy = ?4 WHERE name = ?1")
        .bind(name.as_str())
        .bind(int(next.version.server_epoch)?)
        .bind(int(next.version.generation)?)
        .bind(json(&next.policy)?)
        .execute(connection)
        .await
        .map_err(&declare)?;
    Ok((Target { desired: next, ..target }, true))
}

impl Fleet {
    /// Gives a robot the document that `change` makes of the one it has, if it makes one.
    async fn redeclare(
        &self,
        organisation: &OrganisationId,
        name: &TargetName,
        change: impl FnOnce(&DesiredState, u64) -> Result<Option<DesiredState>, CoreError> + Send + 'static,
    ) -> Result<(Target, bool), StoreError> {
        let (organisation, name) = (organisation.clone(), name.clone());
        self.0.writer.run(move |connection| async move { redeclare(connection, &organisation, &name, change).await }.boxed()).await
    }
}

/// The same within a transaction. Deployments that stood for a slot whose content changes are superseded.
pub(crate) async fn redeclare(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    name: &TargetName,
    change: impl FnOnce(&DesiredState, u64) -> Result<Option<DesiredState>, CoreError> + Send,
) -> Result<(Target, bool), StoreError> {
    let declare = failed("declaring a robot's desired state");
    let epoch = sqlx::query("SELECT server_epoch FROM server").fetch_one(&mut *connection).await.map_err(&declare)?;
    let row = sqlx::query("SELECT * FROM targets WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL")
        .bind(organisation.as_str())
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&declare)?;
    let target = target_of(&row.ok_or_else(|| StoreError::Missing { what: "robot", name: name.to_string() })?)?;
    let Some(next) = change(&target.desired, get_u64(&epoch, "server_epoch")?)? else { return Ok((target, false)) };
    let (epoch, generation) = (int(next.version.server_epoch)?, int(next.version.generation)?);
    sqlx::query("UPDATE targets SET server_epoch = ?2, generation = ?3, slots = ?4, vectors = ?5, hold = ?6 WHERE name = ?1")
        .bind(name.as_str())
        .bind(epoch)
        .bind(generation)
        .bind(json(&next.slots)?)
        .bind(json(&next.vectors)?)
        .bind(next.hold.as_ref().map(json).transpose()?)
        .execute(&mut *connection)
        .await
        .map_err(&declare)?;
    let slots: BTreeSet<&String> = target.desired.slots.keys().chain(next.slots.keys()).collect();
    for slot in slots.into_iter().filter(|slot| target.desired.slots.get(*slot) != next.slots.get(*slot)) {
        sqlx::query(
            "UPDATE deployment_targets SET superseded_server_epoch = ?3, superseded_generation = ?4 \
             WHERE target = ?1 AND slot = ?2 AND superseded_generation IS NULL",
        )
        .bind(name.as_str())
        .bind(slot)
        .bind(epoch)
        .bind(generation)
        .execute(&mut *connection)
        .await
        .map_err(&declare)?;
    }
    Ok((Target { desired: next, ..target }, true))
}

/// A robot from its row.
fn looked_up(row: &Row<'_>) -> rusqlite::Result<Target> {
    let text = |column: usize| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?);
    let count = |column: usize| u64::try_from(row.get::<_, i64>(column)?).map_err(unread(column));
    let name: TargetName = row.get_ref(0)?.as_str()?.parse().map_err(unread(0))?;
    Ok(Target {
        desired: DesiredState {
            v: WIRE_VERSION,
            target: name.to_string(),
            version: Version { server_epoch: count(5)?, generation: count(6)? },
            slots: read(7, row.get_ref(7)?.as_str()?)?,
            policy: text(8)?.map(|text| read(8, text)).transpose()?,
            vectors: read(9, row.get_ref(9)?.as_str()?)?,
            hold: text(10)?.map(|text| read(10, text)).transpose()?,
        },
        id: RobotId { organisation: row.get_ref(1)?.as_str()?.parse().map_err(unread(1))?, name },
        labels: read(2, row.get_ref(2)?.as_str()?)?,
        token_hash: row.get(3)?,
        created_at_us: row.get(4)?,
    })
}

fn unread<E: std::error::Error + Send + Sync + 'static>(column: usize) -> impl Fn(E) -> rusqlite::Error {
    move |error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// Text of JSON.
fn read<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(unread(column))
}

pub(crate) fn target_of(row: &SqliteRow) -> Result<Target, StoreError> {
    let name: TargetName = get_name(row, "name")?;
    let version = Version { server_epoch: get_u64(row, "server_epoch")?, generation: get_u64(row, "generation")? };
    let policy = get::<Option<&str>>(row, "policy")?.map(serde_json::from_str).transpose();
    let policy = policy.map_err(|error| corrupt("policy")(&error))?;
    Ok(Target {
        desired: DesiredState {
            v: WIRE_VERSION,
            target: name.to_string(),
            version,
            slots: get_json(row, "slots")?,
            policy,
            vectors: get_json(row, "vectors")?,
            hold: get::<Option<&str>>(row, "hold")?.map(serde_json::from_str).transpose().map_err(|error| corrupt("hold")(&error))?,
        },
        id: RobotId { organisation: get_name(row, "organisation")?, name },
        labels: get_json(row, "labels")?,
        token_hash: get_hash(row, "token_hash")?,
        created_at_us: get(row, "created_at_us")?,
    })
}
