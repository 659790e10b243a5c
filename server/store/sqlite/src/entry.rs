//! Robots' logs, in `telemetry.db`.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    deployment::{Attestation, Deployment},
    entry::{ClassAccount, EntryFilter, LossView, StoredEntry},
    ingestion::LossCause,
    target::Attested,
};
use edgeflow_store::{EntryStore, Ingested, StoreError};
use edgeflow_wire::{Batch, Hello, Version};
use futures::FutureExt;
use rusqlite::Connection;
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeMap;

use crate::{
    Telemetry, attested,
    connect::{each, failed},
    decode::{class_number, content, corrupt, get, get_class, get_json, get_name, get_u64, int, json},
    ingest,
};

macro_rules! list_entries {
    ($of:expr, $order:literal) => {
        concat!(
            "SELECT e.id, r.target, p.epoch, e.class, e.seq, e.kind, e.t_us, e.received_us, e.body \
             FROM entries e JOIN robots r ON r.id = e.robot JOIN epochs p ON p.id = e.epoch WHERE ",
            $of,
            " AND (?3 IS NULL OR e.kind IN (SELECT value FROM json_each(?3))) AND (?4 IS NULL OR e.class IN (SELECT value FROM json_each(?4))) AND ",
            $order,
            " LIMIT ?6"
        )
    };
}

macro_rules! of_robot {
    ($more:literal) => {
        concat!("e.organisation = ?1 AND e.robot = (SELECT id FROM robots WHERE organisation = ?1 AND target = ?2)", $more)
    };
}

macro_rules! of_all {
    ($more:literal) => {
        concat!("e.organisation = ?1 AND ?2 IS NULL", $more)
    };
}

macro_rules! notable {
    ($of:ident) => {
        $of!(" AND e.notable = 1")
    };
}

/// Newest first, and oldest first.
const OF_ALL: [&str; 2] =
    [list_entries!(of_all!(""), "e.id < ?5 ORDER BY e.id DESC"), list_entries!(of_all!(""), "e.id > ?5 ORDER BY e.id")];
const OF_ROBOT: [&str; 2] =
    [list_entries!(of_robot!(""), "e.id < ?5 ORDER BY e.id DESC"), list_entries!(of_robot!(""), "e.id > ?5 ORDER BY e.id")];
const NOTABLE_OF_ALL: [&str; 2] =
    [list_entries!(notable!(of_all), "e.id < ?5 ORDER BY e.id DESC"), list_entries!(notable!(of_all), "e.id > ?5 ORDER BY e.id")];
const NOTABLE_OF_ROBOT: [&str; 2] =
    [list_entries!(notable!(of_robot), "e.id < ?5 ORDER BY e.id DESC"), list_entries!(notable!(of_robot), "e.id > ?5 ORDER BY e.id")];

const ACCOUNT: &str = "SELECT p.epoch, q.class, q.next_seq, \
     (SELECT COUNT(*) FROM entries e WHERE e.robot = q.robot AND e.epoch = q.epoch AND e.class = q.class) AS stored, \
     (SELECT COUNT(DISTINCT e.seq) FROM entries e WHERE e.robot = q.robot AND e.epoch = q.epoch AND e.class = q.class) AS different, \
     (SELECT COALESCE(SUM(l.last_seq - l.first_seq + 1), 0) FROM losses l \
      WHERE l.robot = q.robot AND l.epoch = q.epoch AND l.class = q.class) AS lost, \
     (SELECT COALESCE(SUM(l.last_seq - l.first_seq + 1), 0) FROM losses l \
      WHERE l.robot = q.robot AND l.epoch = q.epoch AND l.class = q.class AND l.cause = 'server_rewound') AS rewound, \
     (SELECT COALESCE(SUM(l.last_seq - l.first_seq + 1), 0) FROM losses l \
      WHERE l.robot = q.robot AND l.epoch = q.epoch AND l.class = q.class AND l.cause = 'log_damaged_at_most') AS at_most, \
     (SELECT COALESCE(SUM(m.count), 0) FROM removals m \
      WHERE m.robot = q.robot AND m.epoch = q.epoch AND m.what = 'entries' AND m.class = q.class) AS removed \
     FROM robots r JOIN positions q ON q.robot = r.id JOIN epochs p ON p.id = q.epoch \
     WHERE r.organisation = ?1 AND r.target = ?2 ORDER BY q.epoch, q.class";

/// The last row of each key of a JSON array `[target, slot, digest, epoch, generation, superseding epoch, superseding generation]`.
const ATTESTATIONS: &str = "SELECT a.id, r.target, a.slot, a.server_epoch, a.generation, a.digest, a.status, a.reason, a.at_us \
     FROM json_each(?2) k CROSS JOIN robots r ON r.organisation = ?1 AND r.target = k.value ->> 0 \
     CROSS JOIN attestations a ON a.id = (SELECT MAX(l.id) FROM attestations l \
     WHERE l.robot = r.id AND l.slot = k.value ->> 1 AND l.digest = k.value ->> 2 \
     AND (l.server_epoch, l.generation) >= (k.value ->> 3, k.value ->> 4) \
     AND (l.server_epoch, l.generation) < (k.value ->> 5, k.value ->> 6))";
/// Keys in one statement.
const CHUNK: usize = 1000;

#[async_trait]
impl EntryStore for Telemetry {
    async fn ingest_hello(&self, robot: &RobotId, hello: &Hello, received_us: i64) -> Result<Ingested, StoreError> {
        let (robot, hello) = (robot.clone(), hello.clone());
        self.0.writer.run(move |connection| async move { ingest::hello(connection, &robot, &hello, received_us).await }.boxed()).await
    }

    async fn ingest_batch(&self, robot: &RobotId, batch: &Batch, received_us: i64) -> Result<Ingested, StoreError> {
        let (robot, batch) = (robot.clone(), batch.clone());
        self.0.writer.run(move |connection| async move { ingest::batch(connection, &robot, &batch, received_us).await }.boxed()).await
    }

    async fn touch(&self, robot: &RobotId, at_us: i64) -> Result<(), StoreError> {
        let robot = robot.clone();
        self.0.writer.run(move |connection| async move { ingest::robot_row(connection, &robot, Some(at_us)).await.map(drop) }.boxed()).await
    }

    async fn count_refused(&self, robot: &RobotId) -> Result<(), StoreError> {
        let robot = robot.clone();
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let id = ingest::robot_row(connection, &robot, None).await?;
                    ingest::count_refused(connection, id).await
                }
                .boxed()
            })
            .await
    }

    async fn entries(&self, organisation: &OrganisationId, filter: &EntryFilter) -> Result<Vec<StoredEntry>, StoreError> {
        let [descending, ascending] = match (filter.target.is_some(), filter.notable) {
            (false, false) => OF_ALL,
            (true, false) => OF_ROBOT,
            (false, true) => NOTABLE_OF_ALL,
            (true, true) => NOTABLE_OF_ROBOT,
        };
        let sql = if filter.ascending { ascending } else { descending };
        let classes: Vec<i64> = filter.classes.iter().map(|class| class_number(*class)).collect();
        let classes = if classes.is_empty() { None } else { Some(json(&classes)?) };
        let kinds = if filter.kinds.is_empty() { None } else { Some(json(&filter.kinds)?) };
        let rows = sqlx::query(sql)
            .bind(organisation.as_str())
            .bind(filter.target.as_ref().map(TargetName::as_str))
            .bind(kinds)
            .bind(classes)
            .bind(filter.after.unwrap_or(if filter.ascending { 0 } else { i64::MAX }))
            .bind(filter.limit)
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing entries"))?;
        rows.iter().map(entry_of).collect()
    }

    async fn account(&self, robot: &RobotId) -> Result<(Vec<ClassAccount>, u64), StoreError> {
        let account = failed("accounting for a log");
        let mut reader = self.0.readers.begin().await.map_err(&account)?;
        let rows = sqlx::query(ACCOUNT)
            .bind(robot.organisation.as_str())
            .bind(robot.name.as_str())
            .fetch_all(&mut *reader)
            .await
            .map_err(&account)?;
        let refused = sqlx::query("SELECT refused FROM robots WHERE organisation = ?1 AND target = ?2")
            .bind(robot.organisation.as_str())
            .bind(robot.name.as_str())
            .fetch_optional(&mut *reader)
            .await
            .map_err(&account)?;
        let classes = rows.iter().map(account_of).collect::<Result<_, _>>()?;
        Ok((classes, refused.map_or(Ok(0), |row| get_u64(&row, "refused"))?))
    }

    async fn losses(&self, robot: &RobotId, limit: u32) -> Result<Vec<LossView>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.epoch, l.class, l.first_seq, l.last_seq, l.cause, l.bytes, l.first_t_us, l.last_t_us, l.recorded_us \
             FROM robots r JOIN losses l ON l.robot = r.id JOIN epochs p ON p.id = l.epoch \
             WHERE r.organisation = ?1 AND r.target = ?2 ORDER BY l.id DESC LIMIT ?3",
        )
        .bind(robot.organisation.as_str())
        .bind(robot.name.as_str())
        .bind(limit)
        .fetch_all(&self.0.readers)
        .await
        .map_err(failed("listing losses"))?;
        rows.iter().map(loss_of).collect()
    }

    async fn attested(&self, organisation: &OrganisationId, targets: &[TargetName]) -> Result<BTreeMap<TargetName, Attested>, StoreError> {
        self.read_attested(organisation, targets, None).await
    }

    async fn attested_of(
        &self,
        organisation: &OrganisationId,
        targets: &[TargetName],
        kinds: &[&str],
    ) -> Result<BTreeMap<TargetName, Attested>, StoreError> {
        self.read_attested(organisation, targets, Some(json(&kinds)?)).await
    }

    async fn attestations(&self, organisation: &OrganisationId, deployments: &[Deployment]) -> Result<Vec<Attestation>, StoreError> {
        let mut keys = Vec::new();
        for deployment in deployments {
            for asked in &deployment.asked {
                let until = asked
                    .superseded_by
                    .map_or(Ok((i64::MAX, 0)), |by| Ok::<_, StoreError>((int(by.server_epoch)?, int(by.generation)?)))?;
                let from = (int(asked.version.server_epoch)?, int(asked.version.generation)?);
                keys.push((&asked.target, &deployment.slot, &deployment.digest, from.0, from.1, until.0, until.1));
            }
        }
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(CHUNK) {
            let rows = sqlx::query(ATTESTATIONS).bind(organisation.as_str()).bind(json(&keys)?).fetch(&self.0.readers);
            found.extend(each(rows, "reading attestations", |row| Ok((get::<i64>(row, "id")?, attestation_of(row)?))).await?);
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        Ok(found.into_iter().map(|(_, attestation)| attestation).collect())
    }
}

impl Telemetry {
    /// What robots attested; of newest entries only those whose kinds are in a JSON array, all without one.
    async fn read_attested(
        &self,
        organisation: &OrganisationId,
        targets: &[TargetName],
        kinds: Option<String>,
    ) -> Result<BTreeMap<TargetName, Attested>, StoreError> {
        let (organisation, names) = (organisation.to_string(), json(&targets)?);
        let read = move |connection: &Connection| attested::read(connection, &organisation, &names, kinds.as_deref());
        self.1.read_much("reading what robots attested", read).await
    }
}

pub(crate) fn entry_of(row: &SqliteRow) -> Result<StoredEntry, StoreError> {
    Ok(StoredEntry {
        id: get(row, "id")?,
        target: get_name(row, "target")?,
        epoch: get(row, "epoch")?,
        class: get_class(row)?,
        seq: get_u64(row, "seq")?,
        t_us: get(row, "t_us")?,
        received_us: get(row, "received_us")?,
        content: content(get(row, "kind")?, get(row, "body")?)?,
    })
}

pub(crate) fn loss_of(row: &SqliteRow) -> Result<LossView, StoreError> {
    let (first_seq, last_seq) = (get_u64(row, "first_seq")?, get_u64(row, "last_seq")?);
    Ok(LossView {
        epoch: get(row, "epoch")?,
        class: get_class(row)?.as_str().to_owned(),
        first_seq,
        last_seq,
        count: (last_seq + 1).saturating_sub(first_seq),
        cause: LossCause::parse(get(row, "cause")?).map_err(|error| corrupt("cause")(&error))?,
        bytes: get_u64(row, "bytes")?,
        first_t_us: get(row, "first_t_us")?,
        last_t_us: get(row, "last_t_us")?,
        recorded_us: get(row, "recorded_us")?,
    })
}

fn account_of(row: &SqliteRow) -> Result<ClassAccount, StoreError> {
    Ok(ClassAccount {
        epoch: get(row, "epoch")?,
        class: get_class(row)?.as_str().to_owned(),
        next_seq: get_u64(row, "next_seq")?,
        stored: get_u64(row, "stored")?,
        distinct: get_u64(row, "different")?,
        lost: get_u64(row, "lost")?,
        rewound: get_u64(row, "rewound")?,
        at_most: get_u64(row, "at_most")?,
        removed: get_u64(row, "removed")?,
    })
}

fn attestation_of(row: &SqliteRow) -> Result<Attestation, StoreError> {
    Ok(Attestation {
        target: get_name(row, "target")?,
        slot: get_name(row, "slot")?,
        version: Version { server_epoch: get_u64(row, "server_epoch")?, generation: get_u64(row, "generation")? },
        digest: get(row, "digest")?,
        status: get_json(row, "status")?,
        reason: get(row, "reason")?,
        at_us: get(row, "at_us")?,
    })
}
