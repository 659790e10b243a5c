//! What a step of a rollout declares: the desired states of many robots in a few statements, and the deployments that say who told them.

use edgeflow_core::{
    CoreError, OrganisationId, SlotName, TargetName, desired,
    rollout::{Release, RobotPhase, RobotProgress, Rollout, Step, Tell, Told, policy_text, slot_text},
    target::Target,
};
use edgeflow_store::StoreError;
use edgeflow_wire::{DesiredState, SlotSpec};
use serde_json::{Value, json as value};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;

use crate::{
    connect::failed,
    decode::{corrupt, get, int, json},
    deployment::{ASK, SUPERSEDE, server_epoch},
    target::{NAMED, target_of},
};

/// Robots that are told the same at the same time.
struct Lot {
    spec: SlotSpec,
    asked: Vec<(TargetName, i64, i64)>,
}

/// Declares what `step` tells its robots, and notes it in their `robots`. Who has a new desired state.
pub(crate) async fn tell(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    step: &Step,
    robots: &mut BTreeMap<TargetName, RobotProgress>,
    at_us: i64,
) -> Result<Vec<TargetName>, StoreError> {
    if step.tell.is_empty() {
        return Ok(Vec::new());
    }
    let epoch = server_epoch(connection).await?;
    let targets = targets(connection, organisation, &step.tell).await?;
    let mut changes = Vec::with_capacity(step.tell.len());
    // The same bundle may be registered more than once: robots are told which of them.
    let mut lots: BTreeMap<[String; 3], Lot> = BTreeMap::new();
    for Tell { target, what } in &step.tell {
        let robot = robots
            .get_mut(target)
            .ok_or_else(|| corrupt("rollout")(&format!("a step tells {target} and does not say where it is then")))?;
        let Some(found) = targets.get(target) else {
            skip(robot, at_us, "it is gone from the fleet".to_owned());
            continue;
        };
        let next = match next(&step.rollout, found, *what, robot, epoch)? {
            Ok(next) => next,
            Err(reason) => {
                skip(robot, at_us, reason);
                continue;
            }
        };
        let version = next.document.version;
        robot.told = Some(version);
        if next.document == found.desired {
            continue;
        }
        let asked = (target.clone(), int(version.server_epoch)?, int(version.generation)?);
        let DesiredState { slots, policy, vectors, .. } = &next.document;
        let policy = policy.as_ref().map(json).transpose()?;
        changes.push(value!([asked.0, asked.1, asked.2, json(slots)?, policy, json(vectors)?]));
        if let Some(spec) = next.spec {
            let which = [spec.model.clone(), spec.version.clone(), spec.digest.clone()];
            lots.entry(which).or_insert_with(|| Lot { spec, asked: Vec::new() }).asked.push(asked);
        }
    }
    declare(connection, &step.rollout, &changes).await?;
    for lot in lots.values() {
        deploy(connection, organisation, &step.rollout, lot, at_us).await?;
    }
    Ok(changes.iter().filter_map(|change| change.get(0)?.as_str()?.parse().ok()).collect())
}

fn skip(robot: &mut RobotProgress, at_us: i64, reason: String) {
    (robot.phase, robot.since_us, robot.reason) = (RobotPhase::Skipped, at_us, reason);
    (robot.waits_since_us, robot.wakes_us) = (None, None);
}

async fn targets(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    tell: &[Tell],
) -> Result<BTreeMap<TargetName, Target>, StoreError> {
    let names: Vec<&TargetName> = tell.iter().map(|tell| &tell.target).collect();
    let rows = sqlx::query(NAMED)
        .bind(organisation.as_str())
        .bind(json(&names)?)
        .fetch_all(connection)
        .await
        .map_err(failed("reading the robots of a rollout"))?;
    rows.iter().map(|row| target_of(row).map(|target| (target.id.name.clone(), target))).collect()
}

/// What a robot is to be next.
struct Next {
    document: DesiredState,
    /// What shall be in the slot, for the deployment that says so; nothing of a policy, and when the slot is given up.
    spec: Option<SlotSpec>,
}

/// The next document of a robot, with what it replaces noted in `robot`; or why it is not told.
fn next(rollout: &Rollout, target: &Target, what: Told, robot: &mut RobotProgress, epoch: u64) -> Result<Result<Next, String>, StoreError> {
    let current = &target.desired;
    match &rollout.release {
        Release::Slot { spec } => {
            let slot = SlotName::new(&rollout.spec.slot)?;
            let declared = current.slots.get(slot.as_str());
            let is = |spec: Option<&SlotSpec>| slot_text(declared) == slot_text(spec);
            let spec = match what {
                // One that is told again goes back to what was there before the first time.
                Told::Release if robot.told.is_none() => {
                    robot.before = declared.cloned();
                    Some(spec.clone())
                }
                Told::Release if is(Some(spec)) => Some(spec.clone()),
                Told::Back if is(Some(spec)) || is(robot.before.as_ref()) => robot.before.clone(),
                Told::Release | Told::Back => return Ok(Err(newer(declared))),
            };
            let document = match &spec {
                Some(spec) => desired::with_slot(current, epoch, &slot, spec.clone())?,
                None => desired::without_slot(current, epoch, &slot)?.unwrap_or_else(|| current.clone()),
            };
            Ok(Ok(Next { document, spec }))
        }
        Release::Policy { document } => {
            // An empty policy is none, unless it is what is released.
            let none = value!({});
            let declared = current.policy.as_ref().filter(|policy| policy.document != none || *document == none);
            let is = |document: Option<&Value>| declared.map(|policy| policy_text(&policy.document)) == document.map(policy_text);
            let before = robot.before_policy.as_ref().map(|policy| &policy.document);
            // One that is told the same again has refused it, or said nothing: it is asked anew.
            let again = match what {
                Told::Release => robot.told.is_some() && is(Some(document)),
                Told::Back => !is(Some(document)),
            };
            let policy = match what {
                Told::Release if robot.told.is_none() => {
                    robot.before_policy = declared.cloned();
                    document.clone()
                }
                Told::Release if is(Some(document)) => document.clone(),
                Told::Back if is(Some(document)) || is(before) => before.cloned().unwrap_or_else(|| value!({})),
                Told::Release | Told::Back => return Ok(Err("another policy was declared since: it stays".to_owned())),
            };
            let document = match again {
                true => desired::with_policy_again(current, epoch, policy)?,
                false => desired::with_policy(current, epoch, policy)?.unwrap_or_else(|| current.clone()),
            };
            Ok(Ok(Next { document, spec: None }))
        }
    }
}

fn newer(declared: Option<&SlotSpec>) -> String {
    match declared {
        Some(SlotSpec { model, version, .. }) => format!("{model} {version} was declared since: it stays"),
        None => "the slot was given up since: it stays so".to_owned(),
    }
}

/// Rows `[target, epoch, generation, slots, policy, vectors]`.
async fn declare(connection: &mut SqliteConnection, rollout: &Rollout, changes: &[Value]) -> Result<(), StoreError> {
    let declare = failed("declaring the desired states of a rollout's robots");
    let changes = json(&changes)?;
    sqlx::query(
        "UPDATE targets SET server_epoch = k.value ->> 1, generation = k.value ->> 2, slots = k.value ->> 3, policy = k.value ->> 4, \
         vectors = k.value ->> 5 \
         FROM json_each(?1) k WHERE targets.name = k.value ->> 0",
    )
    .bind(&changes)
    .execute(&mut *connection)
    .await
    .map_err(&declare)?;
    if matches!(rollout.release, Release::Policy { .. }) {
        return Ok(());
    }
    sqlx::query(SUPERSEDE).bind(&changes).bind(&rollout.spec.slot).execute(connection).await.map(drop).map_err(&declare)
}

async fn deploy(
    connection: &mut SqliteConnection,
    organisation: &OrganisationId,
    rollout: &Rollout,
    lot: &Lot,
    at_us: i64,
) -> Result<(), StoreError> {
    let deploy = failed("noting what a rollout told its robots");
    let row = sqlx::query(
        "INSERT INTO deployments (organisation, model, version, digest, slot, created_at_us, created_by, rollout, kind) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id",
    )
    .bind(organisation.as_str())
    .bind(&lot.spec.model)
    .bind(&lot.spec.version)
    .bind(&lot.spec.digest)
    .bind(&rollout.spec.slot)
    .bind(at_us)
    .bind(&rollout.created_by)
    .bind(rollout.id)
    .bind(lot.spec.kind.as_str())
    .fetch_one(&mut *connection)
    .await
    .map_err(&deploy)?;
    sqlx::query(ASK)
        .bind(get::<i64>(&row, "id")?)
        .bind(organisation.as_str())
        .bind(&rollout.spec.slot)
        .bind(json(&lot.asked)?)
        .execute(connection)
        .await
        .map(drop)
        .map_err(&deploy)
}

/// A name that no slot has.
pub(crate) fn slot_of(rollout: &Rollout) -> Result<String, CoreError> {
    match rollout.release {
        Release::Slot { .. } => SlotName::new(&rollout.spec.slot).map(|slot| slot.to_string()),
        Release::Policy { .. } => Ok(crate::rollout_hold::POLICY.to_owned()),
    }
}
