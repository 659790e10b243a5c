//! Taking a robot's log: the rule of `edgeflow_core::ingestion`, in one transaction with all that follows from it.

use edgeflow_core::{
    RobotId,
    entry::StoredEntry,
    event,
    ingestion::{self, Held, LostRange, Plan, Position, agrees, body_of},
};
use edgeflow_store::{Ingested, StoreError};
use edgeflow_wire::{Ack, AckOutcome, Batch, Class, Hello};
use sqlx::{Row, SqliteConnection};

use crate::{
    connect::failed,
    decode::{class_number, get, get_u64, int, json},
    project,
};

/// Row id of a robot, made when missing; it was heard of at `at_us`.
pub(crate) async fn robot_row(connection: &mut SqliteConnection, robot: &RobotId, at_us: Option<i64>) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO robots (organisation, target, last_seen_us) VALUES (?1, ?2, ?3) \
         ON CONFLICT (organisation, target) DO UPDATE SET last_seen_us = MAX(COALESCE(last_seen_us, 0), COALESCE(?3, last_seen_us, 0)) \
         RETURNING id",
    )
    .bind(robot.organisation.as_str())
    .bind(robot.name.as_str())
    .bind(at_us)
    .fetch_one(connection)
    .await
    .map_err(failed("noting a robot"))?;
    get(&row, "id")
}

/// Row id of an epoch, made when missing: its place in the order of first sight.
async fn epoch_row(connection: &mut SqliteConnection, robot: i64, epoch: &str, seen_us: i64) -> Result<i64, StoreError> {
    let note = failed("noting an epoch");
    let known = sqlx::query("SELECT id FROM epochs WHERE robot = ?1 AND epoch = ?2")
        .bind(robot)
        .bind(epoch)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&note)?;
    if let Some(row) = known {
        return get(&row, "id");
    }
    let row = sqlx::query("INSERT INTO epochs (robot, epoch, seen_us) VALUES (?1, ?2, ?3) RETURNING id")
        .bind(robot)
        .bind(epoch)
        .bind(seen_us)
        .fetch_one(connection)
        .await
        .map_err(&note)?;
    get(&row, "id")
}

async fn position(connection: &mut SqliteConnection, robot: i64, epoch: i64, class: Class) -> Result<Position, StoreError> {
    let row = sqlx::query("SELECT next_seq, robot_first_seq FROM positions WHERE robot = ?1 AND epoch = ?2 AND class = ?3")
        .bind(robot)
        .bind(epoch)
        .bind(class_number(class))
        .fetch_optional(connection)
        .await
        .map_err(failed("reading a position"))?;
    row.map_or(Ok(Position::default()), |row| {
        Ok(Position { next_seq: get_u64(&row, "next_seq")?, robot_first_seq: get_u64(&row, "robot_first_seq")? })
    })
}

async fn set_position(
    connection: &mut SqliteConnection,
    robot: i64,
    epoch: i64,
    class: Class,
    position: Position,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO positions (robot, epoch, class, next_seq, robot_first_seq) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET next_seq = excluded.next_seq, robot_first_seq = excluded.robot_first_seq",
    )
    .bind(robot)
    .bind(epoch)
    .bind(class_number(class))
    .bind(int(position.next_seq)?)
    .bind(int(position.robot_first_seq)?)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("moving a position"))
}

/// Counts a document that was refused.
pub(crate) async fn count_refused(connection: &mut SqliteConnection, robot: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE robots SET refused = refused + 1 WHERE id = ?1")
        .bind(robot)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed("counting a refusal"))
}

/// A robot's first word on a connection.
pub(crate) async fn hello(
    connection: &mut SqliteConnection,
    robot: &RobotId,
    hello: &Hello,
    received_us: i64,
) -> Result<Ingested, StoreError> {
    ingestion::check_hello(hello)?;
    let robot_id = robot_row(connection, robot, Some(received_us)).await?;
    let epoch = epoch_row(connection, robot_id, &hello.epoch, received_us).await?;
    let mut outcome = AckOutcome::Accepted;
    let mut next = Vec::with_capacity(Class::ALL.len());
    let mut moved = Vec::new();
    for class in Class::ALL {
        let held = position(connection, robot_id, epoch, class).await?;
        next.push(Ack { class, next_seq: held.next_seq });
        let Some(claimed) = hello.classes.iter().find(|claimed| claimed.class == class) else { continue };
        match ingestion::greet(held.next_seq, claimed) {
            Ok(()) => moved.push((class, Position { robot_first_seq: claimed.first_seq, ..held })),
            Err(reason) => outcome = AckOutcome::EpochRefused { reason },
        }
    }
    if outcome == AckOutcome::Accepted {
        for (class, position) in moved {
            set_position(connection, robot_id, epoch, class, position).await?;
        }
    } else {
        count_refused(connection, robot_id).await?;
    }
    Ok(Ingested { outcome, next, stored: Vec::new(), lost: 0 })
}

/// A batch.
pub(crate) async fn batch(
    connection: &mut SqliteConnection,
    robot: &RobotId,
    batch: &Batch,
    received_us: i64,
) -> Result<Ingested, StoreError> {
    ingestion::check(batch)?;
    let class = batch.class;
    let robot_id = robot_row(connection, robot, Some(received_us)).await?;
    let epoch = epoch_row(connection, robot_id, &batch.epoch, received_us).await?;
    let before = position(connection, robot_id, epoch, class).await?;
    let answer = |outcome, next_seq| Ingested { outcome, next: vec![Ack { class, next_seq }], stored: Vec::new(), lost: 0 };
    let Plan::Apply { skip, lost, next_seq } = ingestion::plan(before, batch) else {
        return Ok(answer(AckOutcome::OutOfOrder, before.next_seq));
    };
    let place = Place { robot: robot_id, epoch, class };
    if let Some(seq) = first_disagreement(connection, place, batch, skip).await? {
        count_refused(connection, robot_id).await?;
        let reason = format!("entry {seq} of class {class} was held here with other content; the log was cloned, open a new epoch");
        return Ok(answer(AckOutcome::EpochRefused { reason }, before.next_seq));
    }
    for range in &lost {
        record_loss(connection, robot, place, range, batch, received_us).await?;
    }
    let stored = insert(connection, robot, place, batch, skip, received_us).await?;
    if next_seq != before.next_seq {
        set_position(connection, robot_id, epoch, class, Position { next_seq, ..before }).await?;
    }
    project::project(connection, robot, place, &stored).await?;
    let lost = lost.iter().map(LostRange::count).sum();
    Ok(Ingested { stored, lost, ..answer(AckOutcome::Accepted, next_seq) })
}

/// Which log of which robot.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) robot: i64,
    pub(crate) epoch: i64,
    pub(crate) class: Class,
}

async fn first_disagreement(
    connection: &mut SqliteConnection,
    place: Place,
    batch: &Batch,
    skip: usize,
) -> Result<Option<u64>, StoreError> {
    let overlap = &batch.entries[..skip];
    let (Some(first), Some(last)) = (overlap.first(), overlap.last()) else { return Ok(None) };
    let rows = sqlx::query(
        "SELECT seq, t_us, boot_us, kind, body FROM entries WHERE robot = ?1 AND epoch = ?2 AND class = ?3 AND seq BETWEEN ?4 AND ?5",
    )
    .bind(place.robot)
    .bind(place.epoch)
    .bind(class_number(place.class))
    .bind(int(first.seq)?)
    .bind(int(last.seq)?)
    .fetch_all(connection)
    .await
    .map_err(failed("comparing an overlap"))?;
    for row in &rows {
        let held = Held {
            seq: get_u64(row, "seq")?,
            t_us: get(row, "t_us")?,
            boot_us: get(row, "boot_us")?,
            kind: get(row, "kind")?,
            body: get(row, "body")?,
        };
        let again = overlap.iter().find(|entry| entry.seq == held.seq);
        if again.is_some_and(|entry| !agrees(&held, entry)) {
            return Ok(Some(held.seq));
        }
    }
    Ok(None)
}

async fn record_loss(
    connection: &mut SqliteConnection,
    robot: &RobotId,
    place: Place,
    range: &LostRange,
    batch: &Batch,
    received_us: i64,
) -> Result<(), StoreError> {
    let told = batch.loss.as_ref().filter(|_| range.cause != ingestion::LossCause::ServerRewound);
    sqlx::query(
        "INSERT INTO losses (organisation, robot, epoch, class, first_seq, last_seq, cause, bytes, first_t_us, last_t_us, recorded_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(robot.organisation.as_str())
    .bind(place.robot)
    .bind(place.epoch)
    .bind(class_number(place.class))
    .bind(int(range.first_seq)?)
    .bind(int(range.last_seq)?)
    .bind(range.cause.as_str())
    .bind(int(told.map_or(0, |loss| loss.bytes))?)
    .bind(told.map(|loss| loss.first_t_us))
    .bind(told.map(|loss| loss.last_t_us))
    .bind(received_us)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("recording a loss"))
}

/// All new entries in one statement, as rows of a JSON array.
async fn insert(
    connection: &mut SqliteConnection,
    robot: &RobotId,
    place: Place,
    batch: &Batch,
    skip: usize,
    received_us: i64,
) -> Result<Vec<StoredEntry>, StoreError> {
    let new = &batch.entries[skip..];
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::with_capacity(new.len());
    for entry in new {
        let (kind, body) = body_of(entry)?;
        let notable = u8::from(event::notable(batch.class, &entry.content));
        rows.push((entry.seq, kind, entry.t_us, entry.boot_us, body, notable));
    }
    let ids = sqlx::query(
        "INSERT INTO entries (organisation, robot, epoch, class, seq, kind, t_us, boot_us, received_us, body, notable) \
         SELECT ?1, ?2, ?3, ?4, value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?5, value ->> 4, value ->> 5 FROM json_each(?6) RETURNING id",
    )
    .bind(robot.organisation.as_str())
    .bind(place.robot)
    .bind(place.epoch)
    .bind(class_number(place.class))
    .bind(received_us)
    .bind(json(&rows)?)
    .fetch_all(connection)
    .await
    .map_err(failed("storing entries"))?;
    let mut ids: Vec<i64> = ids.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed("storing entries"))?;
    ids.sort_unstable();
    let stored = ids.into_iter().zip(new).map(|(id, entry)| StoredEntry {
        id,
        target: robot.name.clone(),
        epoch: batch.epoch.clone(),
        class: batch.class,
        seq: entry.seq,
        t_us: entry.t_us,
        received_us,
        content: entry.content.clone(),
    });
    Ok(stored.collect())
}
