//! What the fleet was declared to be, in `fleet.db`, so that a revision and what it tells robots are one transaction.

use async_trait::async_trait;
use edgeflow_core::{
    CoreError, OrganisationId, RobotId, TargetName,
    fleet::{FleetPlan, FleetSpec, NewRevision, Revision, RevisionHead, RevisionState},
};
use edgeflow_store::{DueTarget, FleetOrders, FleetRollout, FleetStore, FleetTold, StoreError, Submitted};
use futures::FutureExt;
use sqlx::{SqliteConnection, sqlite::SqliteRow};
use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Fleet,
    connect::{each, failed},
    decode::{corrupt, get, get_json, get_name, get_u64, json},
    deployment, rollout_apply,
    target::declare_policy,
};

/// Of a revision, without what may be large; `?1` is the organisation.
macro_rules! heads {
    ($rest:literal) => {
        concat!(
            "SELECT revision, based_on, state, message, digest, robots, created_at_us, created_by, decided_at_us, decided_by, reason, \
             (SELECT COALESCE(MAX(revision), 0) FROM fleet_revisions WHERE organisation = ?1 AND state = 'applied') AS current \
             FROM fleet_revisions WHERE organisation = ?1 AND ",
            $rest
        )
    };
}

const ONE: &str = heads!("revision = ?2");
/// While nothing is declared every robot is due: none of those.
const DUE: &str = "SELECT organisation, name, fleet_waits FROM targets WHERE fleet_due = 1 AND revoked_at_us IS NULL \
     AND organisation IN (SELECT organisation FROM fleet_revisions WHERE state = 'applied') LIMIT ?1";
/// These robots (`null`: all) were looked at; who came meanwhile was not.
const LOOKED_AT: &str = "UPDATE targets SET fleet_due = ?2 <> 'null' AND name NOT IN (SELECT value FROM json_each(?2)), fleet_waits = NULL \
     WHERE organisation = ?1 AND (fleet_due = 1 OR name NOT IN (SELECT value FROM json_each(?2)))";
/// These robots were given all of what is declared.
const SETTLED: &str = "UPDATE targets SET fleet_due = 0, fleet_waits = NULL FROM json_each(?2) k \
     WHERE targets.name = k.value AND targets.organisation = ?1";
/// These robots were given all of it but these parts.
const WAITING: &str =
    "UPDATE targets SET fleet_waits = k.value FROM json_each(?2) k WHERE targets.name = k.key AND targets.organisation = ?1";

#[async_trait]
impl FleetStore for Fleet {
    async fn revisions(&self, organisation: &OrganisationId, before: Option<i64>, limit: u32) -> Result<Vec<RevisionHead>, StoreError> {
        let rows = sqlx::query(heads!("revision < ?2 ORDER BY revision DESC LIMIT ?3"))
            .bind(organisation.as_str())
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing revisions of the fleet"))?;
        rows.iter().map(head_of).collect()
    }

    async fn revision(&self, organisation: &OrganisationId, revision: i64) -> Result<Option<Revision>, StoreError> {
        let read = failed("reading a revision of the fleet");
        let mut reader = self.0.readers.begin().await.map_err(&read)?;
        revision_at(&mut reader, organisation.as_str(), revision).await
    }

    async fn current_revision(&self, organisation: &OrganisationId) -> Result<i64, StoreError> {
        let mut reader = self.0.readers.acquire().await.map_err(failed("reading which revision stands"))?;
        current(&mut reader, organisation.as_str()).await
    }

    async fn propose_revision(&self, organisation: &OrganisationId, new: &NewRevision) -> Result<RevisionHead, StoreError> {
        let (organisation, new) = (organisation.to_string(), new.clone());
        self.0
            .writer
            .run(move |connection| async move { insert(connection, &organisation, &new, RevisionState::Proposed).await }.boxed())
            .await
    }

    async fn apply_revision(
        &self,
        organisation: &OrganisationId,
        revision: &Submitted,
        orders: &FleetOrders,
    ) -> Result<Option<(RevisionHead, FleetTold)>, StoreError> {
        let (organisation, revision, orders) = (organisation.clone(), revision.clone(), orders.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let Some(over) = unchanged(connection, organisation.as_str(), &orders).await? else { return Ok(None) };
                    let head = match revision {
                        Submitted::New(new) => insert(connection, organisation.as_str(), &new, RevisionState::Applied).await?,
                        Submitted::Proposed { revision, by, reason, at_us } => {
                            let decision = Decision { revision, by: &by, reason: &reason, at_us };
                            decide(connection, organisation.as_str(), &decision, RevisionState::Applied).await?
                        }
                    };
                    let told = give(connection, &organisation, head.revision, orders).await?;
                    sqlx::query(LOOKED_AT)
                        .bind(organisation.as_str())
                        .bind(over)
                        .execute(connection)
                        .await
                        .map_err(failed("applying a revision of the fleet"))?;
                    Ok(Some((head, told)))
                }
                .boxed()
            })
            .await
    }

    async fn reject_revision(
        &self,
        organisation: &OrganisationId,
        revision: i64,
        by: &str,
        reason: &str,
        at_us: i64,
    ) -> Result<RevisionHead, StoreError> {
        let (organisation, by, reason) = (organisation.to_string(), by.to_owned(), reason.to_owned());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let decision = Decision { revision, by: &by, reason: &reason, at_us };
                    decide(connection, &organisation, &decision, RevisionState::Rejected).await
                }
                .boxed()
            })
            .await
    }

    async fn fleet_rollouts(&self, organisation: &OrganisationId) -> Result<Vec<(String, i64)>, StoreError> {
        let rows =
            sqlx::query("SELECT declaration, MAX(rollout) AS rollout FROM fleet_rollouts WHERE organisation = ?1 GROUP BY declaration")
                .bind(organisation.as_str())
                .fetch_all(&self.0.readers)
                .await
                .map_err(failed("listing rollouts of the fleet"))?;
        rows.iter().map(|row| Ok((get(row, "declaration")?, get(row, "rollout")?))).collect()
    }

    async fn due_targets(&self, limit: u32) -> Result<Vec<DueTarget>, StoreError> {
        let rows = sqlx::query(DUE)
            .bind(limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing robots that wait for what is declared"))?;
        let due = |row| {
            let robot = RobotId { organisation: get_name(row, "organisation")?, name: get_name(row, "name")? };
            let waits_for = get::<Option<&str>>(row, "fleet_waits")?.map(serde_json::from_str).transpose();
            Ok(DueTarget { robot, waits_for: waits_for.map_err(|error| corrupt("parts that a robot waits for")(&error))? })
        };
        rows.iter().map(due).collect()
    }

    async fn settle_targets(
        &self,
        organisation: &OrganisationId,
        revision: i64,
        settled: &[TargetName],
        waiting: &BTreeMap<TargetName, BTreeSet<String>>,
        orders: &FleetOrders,
    ) -> Result<Option<FleetTold>, StoreError> {
        let (organisation, settled, waiting, orders) = (organisation.clone(), json(&settled)?, json(waiting)?, orders.clone());
        self.0
            .writer
            .run(move |connection| {
                async move {
                    if current(connection, organisation.as_str()).await? != revision {
                        return Ok(None);
                    }
                    if unchanged(connection, organisation.as_str(), &orders).await?.is_none() {
                        return Ok(None);
                    }
                    let told = give(connection, &organisation, revision, orders).await?;
                    for (sql, robots) in [(SETTLED, settled), (WAITING, waiting)] {
                        sqlx::query(sql)
                            .bind(organisation.as_str())
                            .bind(robots)
                            .execute(&mut *connection)
                            .await
                            .map_err(failed("giving robots what is declared"))?;
                    }
                    Ok(Some(told))
                }
                .boxed()
            })
            .await
    }
}

/// What somebody says of a proposal.
struct Decision<'a> {
    revision: i64,
    by: &'a str,
    reason: &'a str,
    at_us: i64,
}

async fn current(connection: &mut SqliteConnection, organisation: &str) -> Result<i64, StoreError> {
    let row =
        sqlx::query("SELECT COALESCE(MAX(revision), 0) AS current FROM fleet_revisions WHERE organisation = ?1 AND state = 'applied'")
            .bind(organisation)
            .fetch_one(connection)
            .await
            .map_err(failed("reading which revision stands"))?;
    get(&row, "current")
}

async fn insert(
    connection: &mut SqliteConnection,
    organisation: &str,
    new: &NewRevision,
    state: RevisionState,
) -> Result<RevisionHead, StoreError> {
    let stands = current(connection, organisation).await?;
    if stands != new.based_on {
        return Err(CoreError::StaleRevision { based_on: new.based_on, current: stands }.into());
    }
    let row = sqlx::query(
        "INSERT INTO fleet_revisions (organisation, revision, based_on, state, message, digest, spec, resolved, plan, robots, created_at_us, created_by) \
         SELECT ?1, COALESCE(MAX(revision), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM fleet_revisions WHERE organisation = ?1 \
         RETURNING revision",
    )
    .bind(organisation)
    .bind(new.based_on)
    .bind(state.as_str())
    .bind(&new.message)
    .bind(&new.digest)
    .bind(json(&new.spec)?)
    .bind(json(&new.resolved)?)
    .bind(json(&new.plan)?)
    .bind(i64::try_from(new.plan.robots.len()).unwrap_or(i64::MAX))
    .bind(new.created_at_us)
    .bind(&new.created_by)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed("putting a revision of the fleet on record"))?;
    head_at(connection, organisation, get(&row, "revision")?).await
}

async fn decide(
    connection: &mut SqliteConnection,
    organisation: &str,
    decision: &Decision<'_>,
    state: RevisionState,
) -> Result<RevisionHead, StoreError> {
    let found = revision_at(connection, organisation, decision.revision).await?;
    let missing = || StoreError::Missing { what: "revision of the fleet", name: decision.revision.to_string() };
    let stands = current(connection, organisation).await?;
    found.ok_or_else(missing)?.decidable(decision.by, stands, state == RevisionState::Applied)?;
    sqlx::query(
        "UPDATE fleet_revisions SET state = ?3, decided_by = ?4, reason = ?5, decided_at_us = ?6 WHERE organisation = ?1 AND revision = ?2",
    )
    .bind(organisation)
    .bind(decision.revision)
    .bind(state.as_str())
    .bind(decision.by)
    .bind(decision.reason)
    .bind(decision.at_us)
    .execute(&mut *connection)
    .await
    .map_err(failed("deciding about a revision of the fleet"))?;
    head_at(connection, organisation, decision.revision).await
}

/// Names of the robots that orders are over, JSON (`null`: of whoever there is); `None` when one is gone or has other labels.
async fn unchanged(connection: &mut SqliteConnection, organisation: &str, orders: &FleetOrders) -> Result<Option<String>, StoreError> {
    let names = json(&orders.over.as_ref().map(|over| over.keys().collect::<Vec<_>>()))?;
    let Some(over) = &orders.over else { return Ok(Some(names)) };
    let rows = sqlx::query(
        "SELECT t.name, t.labels FROM json_each(?2) k CROSS JOIN targets t ON t.name = k.value \
         WHERE t.organisation = ?1 AND t.revoked_at_us IS NULL",
    )
    .bind(organisation)
    .bind(&names)
    .fetch(connection);
    let now = each(rows, "reading the labels of robots", |row| Ok((get_name(row, "name")?, get_json(row, "labels")?))).await?;
    let now: BTreeMap<TargetName, BTreeMap<String, String>> = now.into_iter().collect();
    Ok((now == *over).then_some(names))
}

/// Tells robots what they shall have.
async fn give(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    revision: i64,
    orders: FleetOrders,
) -> Result<FleetTold, StoreError> {
    let (mut told, mut changed) = (FleetTold::default(), BTreeSet::new());
    for (target, labels) in &orders.labels {
        let done = sqlx::query("UPDATE targets SET labels = ?3 WHERE organisation = ?1 AND name = ?2 AND revoked_at_us IS NULL")
            .bind(organisation.as_str())
            .bind(target.as_str())
            .bind(json(labels)?)
            .execute(&mut *connection)
            .await
            .map_err(failed("labelling robots"))?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "robot", name: target.to_string() });
        }
        changed.insert(target.clone());
    }
    for new in orders.slots {
        changed.extend(new.targets.iter().cloned());
        told.deployments.push(deployment::create(connection, organisation, new).await?);
    }
    for (document, targets) in orders.policies {
        for target in targets {
            declare_policy(connection, organisation, &target, document.clone()).await?;
            changed.insert(target);
        }
    }
    for FleetRollout { declaration, rollout, robots, history } in &orders.rollouts {
        let made = rollout_apply::create(connection, organisation, rollout, robots, history).await?;
        sqlx::query("INSERT INTO fleet_rollouts (organisation, declaration, revision, rollout) VALUES (?1, ?2, ?3, ?4)")
            .bind(organisation.as_str())
            .bind(declaration)
            .bind(revision)
            .bind(made.id)
            .execute(&mut *connection)
            .await
            .map_err(failed("noting a rollout of the fleet"))?;
        told.rollouts.push(made);
    }
    told.changed = changed.into_iter().collect();
    Ok(told)
}

async fn head_at(connection: &mut SqliteConnection, organisation: &str, revision: i64) -> Result<RevisionHead, StoreError> {
    let row = sqlx::query(ONE)
        .bind(organisation)
        .bind(revision)
        .fetch_one(connection)
        .await
        .map_err(failed("reading a revision of the fleet"))?;
    head_of(&row)
}

async fn revision_at(connection: &mut SqliteConnection, organisation: &str, revision: i64) -> Result<Option<Revision>, StoreError> {
    let read = failed("reading a revision of the fleet");
    let head = sqlx::query(ONE).bind(organisation).bind(revision).fetch_optional(&mut *connection).await.map_err(&read)?;
    let Some(head) = head else { return Ok(None) };
    let row = sqlx::query("SELECT spec, resolved, plan FROM fleet_revisions WHERE organisation = ?1 AND revision = ?2")
        .bind(organisation)
        .bind(revision)
        .fetch_one(connection)
        .await
        .map_err(&read)?;
    let (spec, plan): (FleetSpec, FleetPlan) = (get_json(&row, "spec")?, get_json(&row, "plan")?);
    Ok(Some(Revision { head: head_of(&head)?, spec, resolved: get_json(&row, "resolved")?, plan }))
}

fn head_of(row: &SqliteRow) -> Result<RevisionHead, StoreError> {
    let (revision, based_on, stands): (i64, i64, i64) = (get(row, "revision")?, get(row, "based_on")?, get(row, "current")?);
    let state = match get::<&str>(row, "state")? {
        "applied" if revision == stands => RevisionState::Applied,
        "proposed" if based_on == stands => RevisionState::Proposed,
        "applied" | "proposed" => RevisionState::Superseded,
        "rejected" => RevisionState::Rejected,
        other => return Err(corrupt("state of a revision")(&other)),
    };
    Ok(RevisionHead {
        revision,
        based_on,
        state,
        message: get(row, "message")?,
        digest: get(row, "digest")?,
        created_at_us: get(row, "created_at_us")?,
        created_by: get(row, "created_by")?,
        decided_by: get(row, "decided_by")?,
        decided_at_us: get(row, "decided_at_us")?,
        reason: get(row, "reason")?,
        robots: get_u64(row, "robots")?,
    })
}
