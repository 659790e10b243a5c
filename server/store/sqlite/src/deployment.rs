//! Deployments, in `fleet.db`, beside the desired states they change.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    deployment::{Asked, Deployment, NewDeployment},
    desired,
    target::Target,
};
use edgeflow_store::{DeploymentStore, StoreError};
use edgeflow_wire::{SlotKind, Version};
use futures::{FutureExt, Stream};
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use std::collections::BTreeMap;

use crate::{
    Fleet,
    connect::{each, failed},
    decode::{corrupt, get, get_name, get_u64, int, json},
    rollout_hold,
    target::{NAMED, target_of},
};

const LIST: &str = "SELECT d.*, t.target, t.server_epoch, t.generation, t.superseded_server_epoch, t.superseded_generation \
     FROM (SELECT * FROM deployments WHERE organisation = ?1 AND id < ?2 AND id >= ?3 \
     AND (?5 IS NULL OR COALESCE(rollout, 0) = ?5) ORDER BY id DESC LIMIT ?4) d \
     JOIN deployment_targets t ON t.deployment = d.id ORDER BY d.id DESC, t.target";
const OF_BUNDLE: &str = "SELECT d.*, t.target, t.server_epoch, t.generation, t.superseded_server_epoch, t.superseded_generation \
     FROM deployments d JOIN deployment_targets t ON t.deployment = d.id \
     WHERE d.organisation = ?1 AND d.digest = ?2 ORDER BY d.id DESC, t.target LIMIT ?3";
const OF_BUNDLE_TO: &str = "SELECT d.*, t.target, t.server_epoch, t.generation, t.superseded_server_epoch, t.superseded_generation \
     FROM deployment_targets t JOIN deployments d ON d.id = t.deployment \
     WHERE t.target = ?4 AND d.organisation = ?1 AND d.digest = ?2 ORDER BY d.id DESC LIMIT ?3";
const STANDING: &str = "SELECT d.*, t.target, t.server_epoch, t.generation, t.superseded_server_epoch, t.superseded_generation \
     FROM deployments d JOIN deployment_targets t ON t.deployment = d.id \
     WHERE d.organisation = ?1 AND d.rollout IS NULL AND d.id IN (SELECT s.deployment FROM json_each(?2) k CROSS JOIN deployment_targets s \
     WHERE s.target = k.value AND s.superseded_generation IS NULL) \
     ORDER BY d.id DESC, t.target";

/// Rows of a JSON array `[target, epoch, generation, ..]` put an end to what stood in a slot of these robots.
pub(crate) const SUPERSEDE: &str = "UPDATE deployment_targets SET superseded_server_epoch = k.value ->> 1, \
     superseded_generation = k.value ->> 2 FROM json_each(?1) k WHERE deployment_targets.target = k.value ->> 0 \
     AND deployment_targets.slot = ?2 AND deployment_targets.superseded_generation IS NULL";
/// Rows of such an array are what a deployment asked for.
pub(crate) const ASK: &str = "INSERT INTO deployment_targets (deployment, organisation, target, slot, server_epoch, generation) \
     SELECT ?1, ?2, k.value ->> 0, ?3, k.value ->> 1, k.value ->> 2 FROM json_each(?4) k";
/// Robots declared for in one statement.
const CHUNK: usize = 1000;

#[async_trait]
impl DeploymentStore for Fleet {
    async fn create_deployment(&self, organisation: &OrganisationId, new: &NewDeployment) -> Result<Deployment, StoreError> {
        let (organisation, new) = (organisation.clone(), new.clone());
        self.0.writer.run(move |connection| async move { create(connection, &organisation, new).await }.boxed()).await
    }

    async fn deployment(&self, organisation: &OrganisationId, id: i64) -> Result<Option<Deployment>, StoreError> {
        Ok(self.list(organisation, (id, id.saturating_add(1)), None, 1).await?.pop())
    }

    async fn deployments(
        &self,
        organisation: &OrganisationId,
        rollout: Option<i64>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError> {
        self.list(organisation, (0, before.unwrap_or(i64::MAX)), rollout, limit).await
    }

    async fn standing_deployments(&self, organisation: &OrganisationId, targets: &[TargetName]) -> Result<Vec<Deployment>, StoreError> {
        let rows = sqlx::query(STANDING).bind(organisation.as_str()).bind(json(&targets)?).fetch(&self.0.readers);
        collect(rows, "listing the deployments of robots").await
    }

    async fn deployments_of(
        &self,
        organisation: &OrganisationId,
        digest: &str,
        target: Option<&TargetName>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError> {
        let query =
            sqlx::query(if target.is_some() { OF_BUNDLE_TO } else { OF_BUNDLE }).bind(organisation.as_str()).bind(digest).bind(limit);
        let query = if let Some(target) = target { query.bind(target.as_str()) } else { query };
        collect(query.fetch(&self.0.readers), "listing a bundle's deployments").await
    }
}

impl Fleet {
    async fn list(
        &self,
        organisation: &OrganisationId,
        (from, below): (i64, i64),
        rollout: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Deployment>, StoreError> {
        let rows = sqlx::query(LIST).bind(organisation.as_str()).bind(below).bind(from).bind(limit).bind(rollout).fetch(&self.0.readers);
        collect(rows, "listing deployments").await
    }
}

pub(crate) async fn create(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    new: NewDeployment,
) -> Result<Deployment, StoreError> {
    let deploy = failed("deploying");
    rollout_hold::refuse(connection, organisation, new.slot.as_str(), &new.targets).await?;
    let server_epoch = server_epoch(connection).await?;
    let row = sqlx::query(
        "INSERT INTO deployments (organisation, model, version, digest, slot, created_at_us, created_by, kind) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
    )
    .bind(organisation.as_str())
    .bind(new.model.as_str())
    .bind(&new.version)
    .bind(&new.spec.digest)
    .bind(new.slot.as_str())
    .bind(new.created_at_us)
    .bind(&new.created_by)
    .bind(new.spec.kind.as_str())
    .fetch_one(&mut *connection)
    .await
    .map_err(&deploy)?;
    let id = get(&row, "id")?;
    let mut asked = Vec::with_capacity(new.targets.len());
    for targets in new.targets.chunks(CHUNK) {
        asked.extend(declare(connection, organisation, (&new, id), targets, server_epoch).await?);
    }
    asked.sort_by(|a, b| a.target.cmp(&b.target));
    let NewDeployment { model, version, spec, slot, created_at_us, created_by, .. } = new;
    Ok(Deployment { id, model, version, kind: spec.kind, digest: spec.digest, slot, asked, created_at_us, created_by, rollout: None })
}

/// Incarnation of the control plane, which desired states carry.
pub(crate) async fn server_epoch(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT server_epoch FROM server").fetch_one(connection).await.map_err(failed("reading the server epoch"))?;
    get_u64(&row, "server_epoch")
}

/// Gives robots their next desired states.
async fn declare(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    (new, deployment): (&NewDeployment, i64),
    names: &[TargetName],
    server_epoch: u64,
) -> Result<Vec<Asked>, StoreError> {
    let declare = failed("declaring the desired states of robots");
    let rows = sqlx::query(NAMED).bind(organisation.as_str()).bind(json(&names)?).fetch(&mut *connection);
    let found = each(rows, "reading the robots of a deployment", target_of).await?;
    let found: BTreeMap<&TargetName, &Target> = found.iter().map(|target| (&target.id.name, target)).collect();
    let (mut asked, mut changes) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    for name in names {
        let target = found.get(name).ok_or_else(|| StoreError::Missing { what: "robot", name: name.to_string() })?;
        let next = desired::with_slot(&target.desired, server_epoch, &new.slot, new.spec.clone())?;
        let version = next.version;
        changes.push((name, int(version.server_epoch)?, int(version.generation)?, json(&next.slots)?, json(&next.vectors)?));
        asked.push(Asked { target: name.clone(), version, superseded_by: None });
    }
    let changes = json(&changes)?;
    sqlx::query(
        "UPDATE targets SET server_epoch = k.value ->> 1, generation = k.value ->> 2, slots = k.value ->> 3, vectors = k.value ->> 4 \
         FROM json_each(?1) k WHERE targets.name = k.value ->> 0",
    )
    .bind(&changes)
    .execute(&mut *connection)
    .await
    .map_err(&declare)?;
    sqlx::query(SUPERSEDE).bind(&changes).bind(new.slot.as_str()).execute(&mut *connection).await.map_err(&declare)?;
    sqlx::query(ASK)
        .bind(deployment)
        .bind(organisation.as_str())
        .bind(new.slot.as_str())
        .bind(&changes)
        .execute(connection)
        .await
        .map_err(&declare)?;
    Ok(asked)
}

/// One row per robot, those of a deployment together, to deployments.
pub(crate) async fn collect(
    rows: impl Stream<Item = sqlx::Result<SqliteRow>> + Unpin,
    operation: &'static str,
) -> Result<Vec<Deployment>, StoreError> {
    let mut deployments: Vec<Deployment> = Vec::new();
    let add = |row: &SqliteRow| {
        let id: i64 = get(row, "id")?;
        if deployments.last().is_none_or(|last| last.id != id) {
            deployments.push(Deployment {
                id,
                model: get_name(row, "model")?,
                version: get(row, "version")?,
                kind: kind_of(row)?,
                digest: get(row, "digest")?,
                slot: get_name(row, "slot")?,
                asked: Vec::new(),
                created_at_us: get(row, "created_at_us")?,
                created_by: get(row, "created_by")?,
                rollout: get(row, "rollout")?,
            });
        }
        let asked = asked_of(row)?;
        if let Some(deployment) = deployments.last_mut() {
            deployment.asked.push(asked);
        }
        Ok(())
    };
    each(rows, operation, add).await?;
    Ok(deployments)
}

fn kind_of(row: &SqliteRow) -> Result<SlotKind, StoreError> {
    let word: String = get(row, "kind")?;
    serde_json::from_value(word.into()).map_err(|error| corrupt("kind")(&error))
}

fn asked_of(row: &SqliteRow) -> Result<Asked, StoreError> {
    let superseded = get::<Option<i64>>(row, "superseded_generation")?.is_some();
    let superseded_by = if superseded {
        Some(Version { server_epoch: get_u64(row, "superseded_server_epoch")?, generation: get_u64(row, "superseded_generation")? })
    } else {
        None
    };
    let version = Version { server_epoch: get_u64(row, "server_epoch")?, generation: get_u64(row, "generation")? };
    Ok(Asked { target: get_name(row, "target")?, version, superseded_by })
}
