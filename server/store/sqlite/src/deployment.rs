//! Deployments, in `fleet.db`, beside the desired states they change.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    deployment::{Asked, Deployment, NewDeployment},
    desired,
};
use edgeflow_store::{DeploymentStore, StoreError};
use edgeflow_wire::Version;
use futures::FutureExt;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Fleet,
    connect::failed,
    decode::{get, get_name, get_u64, int, json},
    rollout_hold,
    target::target_of,
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
        let rows = sqlx::query(STANDING)
            .bind(organisation.as_str())
            .bind(json(&targets)?)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing the deployments of robots"))?;
        collect(&rows)
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
        let rows = query.fetch_all(&self.0.readers).await.map_err(failed("listing a bundle's deployments"))?;
        collect(&rows)
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
        let rows = sqlx::query(LIST)
            .bind(organisation.as_str())
            .bind(below)
            .bind(from)
            .bind(limit)
            .bind(rollout)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing deployments"))?;
        collect(&rows)
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
        "INSERT INTO deployments (organisation, model, version, digest, slot, created_at_us, created_by) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
    )
    .bind(organisation.as_str())
    .bind(new.model.as_str())
    .bind(&new.version)
    .bind(&new.spec.digest)
    .bind(new.slot.as_str())
    .bind(new.created_at_us)
    .bind(&new.created_by)
    .fetch_one(&mut *connection)
    .await
    .map_err(&deploy)?;
    let id = get(&row, "id")?;
    let mut asked = Vec::with_capacity(new.targets.len());
    for target in &new.targets {
        let version = declare(connection, organisation, &new, id, target, server_epoch).await?;
        asked.push(Asked { target: target.clone(), version, superseded_by: None });
    }
    asked.sort_by(|a, b| a.target.cmp(&b.target));
    let NewDeployment { model, version, spec, slot, created_at_us, created_by, .. } = new;
    Ok(Deployment { id, model, version, digest: spec.digest, slot, asked, created_at_us, created_by, rollout: None })
}

/// Incarnation of the control plane, which desired states carry.
pub(crate) async fn server_epoch(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT server_epoch FROM server").fetch_one(connection).await.map_err(failed("reading the server epoch"))?;
    get_u64(&row, "server_epoch")
}

/// Gives one robot its next desired state.
async fn declare(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    new: &NewDeployment,
    deployment: i64,
    target: &TargetName,
    server_epoch: u64,
) -> Result<Version, StoreError> {
    let declare = failed("declaring a robot's desired state");
    let row = sqlx::query("SELECT * FROM targets WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL")
        .bind(organisation.as_str())
        .bind(target.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(&declare)?;
    let row = row.ok_or_else(|| StoreError::Missing { what: "robot", name: target.to_string() })?;
    let next = desired::with_slot(&target_of(&row)?.desired, server_epoch, &new.slot, new.spec.clone())?;
    let (epoch, generation) = (int(next.version.server_epoch)?, int(next.version.generation)?);
    sqlx::query("UPDATE targets SET server_epoch = ?2, generation = ?3, slots = ?4, vectors = ?5 WHERE name = ?1")
        .bind(target.as_str())
        .bind(epoch)
        .bind(generation)
        .bind(json(&next.slots)?)
        .bind(json(&next.vectors)?)
        .execute(&mut *connection)
        .await
        .map_err(&declare)?;
    sqlx::query(
        "UPDATE deployment_targets SET superseded_server_epoch = ?3, superseded_generation = ?4 \
         WHERE target = ?1 AND slot = ?2 AND superseded_generation IS NULL",
    )
    .bind(target.as_str())
    .bind(new.slot.as_str())
    .bind(epoch)
    .bind(generation)
    .execute(&mut *connection)
    .await
    .map_err(&declare)?;
    sqlx::query(
        "INSERT INTO deployment_targets (deployment, organisation, target, slot, server_epoch, generation) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(deployment)
    .bind(organisation.as_str())
    .bind(target.as_str())
    .bind(new.slot.as_str())
    .bind(epoch)
    .bind(generation)
    .execute(connection)
    .await
    .map_err(&declare)?;
    Ok(next.version)
}

/// One row per robot, those of a deployment together, to deployments.
pub(crate) fn collect(rows: &[SqliteRow]) -> Result<Vec<Deployment>, StoreError> {
    let mut deployments: Vec<Deployment> = Vec::new();
    for row in rows {
        let id: i64 = get(row, "id")?;
        if deployments.last().is_none_or(|last| last.id != id) {
            deployments.push(Deployment {
                id,
                model: get_name(row, "model")?,
                version: get(row, "version")?,
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
    }
    Ok(deployments)
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
