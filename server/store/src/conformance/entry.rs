//! Promises about robots' logs: once, in order, losses on record, and all that follows from entries.

use edgeflow_core::{
    entry::{EntryFilter, LogView, StoredEntry},
    event,
    ingestion::{Position, body_of},
    lineage::{Interval, IntervalFilter},
};
use edgeflow_wire::{
    Ack, AckOutcome, Batch, Class, Content, DeploymentStatusBody, EntryBody, EvaluationBody, FaultBody, InferenceSummaryBody, LinkBody,
    MissionBody, MissionKind, ObservedState, Point, PointsBody, SlotState, SlotStatus, StateBody, Version,
};

use super::fixtures::{batch, deployment, entry, entry_with, hello, known, loss, org, other_org, robot, run, target, target_name};
use crate::{Ingested, StoreError, Stores};

async fn ingest(stores: &Stores, batch: &Batch) -> Ingested {
    stores.entries.ingest_batch(&robot("r1"), batch, 500).await.unwrap()
}

fn next(ingested: &Ingested) -> u64 {
    assert_eq!(ingested.outcome, AckOutcome::Accepted);
    ingested.next[0].next_seq
}

async fn log(stores: &Stores) -> LogView {
    let (classes, refused) = stores.entries.account(&robot("r1")).await.unwrap();
    LogView::new(&target_name("r1"), classes, refused)
}

async fn all(stores: &Stores) -> Vec<StoredEntry> {
    let filter = EntryFilter { ascending: true, limit: 1000, ..EntryFilter::default() };
    stores.entries.entries(&org(), &filter).await.unwrap()
}

/// Duplicates.
pub async fn a_batch_is_stored_once_however_often_it_comes(stores: Stores) {
    let first = ingest(&stores, &run(1..=3)).await;
    assert_eq!((next(&first), first.stored.len()), (4, 3));
    assert_eq!(first.next, [Ack { class: Class::Event, next_seq: 4 }]);
    let again = ingest(&stores, &run(1..=3)).await;
    assert_eq!((next(&again), again.stored.len()), (4, 0));
    let overlap = ingest(&stores, &run(2..=5)).await;
    assert_eq!((next(&overlap), overlap.stored.iter().map(|entry| entry.seq).collect::<Vec<_>>()), (6, vec![4, 5]));
    let log = log(&stores).await;
    assert_eq!((log.entries.stored, log.entries.duplicated, log.entries.missing, log.entries.lost_recorded), (5, 0, 0, 0));
    let stored = all(&stores).await;
    assert_eq!(stored.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let original = entry(4);
    assert_eq!((&stored[3].content, stored[3].t_us, stored[3].received_us), (&original.content, original.t_us, 500));
    assert_eq!(stored[3], overlap.stored[0], "what is told of is what is stored");
    let elsewhere = stores.entries.ingest_batch(&robot("r2"), &run(1..=1), 500).await.unwrap();
    assert_eq!(next(&elsewhere), 2, "each robot has positions of its own");
}

/// Gaps.
pub async fn a_gap_is_out_of_order_and_stores_nothing(stores: Stores) {
    ingest(&stores, &run(1..=2)).await;
    let gap = ingest(&stores, &run(4..=5)).await;
    assert_eq!((gap.outcome, gap.next[0].next_seq, gap.stored.len()), (AckOutcome::OutOfOrder, 3, 0));
    assert_eq!(all(&stores).await.len(), 2);
}

/// Evictions.
pub async fn an_evicted_range_is_recorded_with_the_batch_that_names_it(stores: Stores) {
    ingest(&stores, &run(1..=2)).await;
    let with_loss = Batch { loss: Some(loss(2, 6)), ..run(7..=8) };
    let taken = ingest(&stores, &with_loss).await;
    assert_eq!((next(&taken), taken.stored.len(), taken.lost), (9, 2, 4));
    let again = ingest(&stores, &with_loss).await;
    assert_eq!((next(&again), again.lost), (9, 0), "a loss is recorded once");
    let only_loss = Batch { loss: Some(loss(9, 9)), ..run(1..=1) };
    let only_loss = Batch { entries: vec![], ..only_loss };
    assert_eq!(next(&ingest(&stores, &only_loss).await), 10);
    let log = log(&stores).await;
    assert_eq!((log.classes[0].next_seq, log.classes[0].lost, log.classes[0].rewound, log.entries.missing), (10, 5, 0, 0));
}

/// Restores.
pub async fn a_restored_server_records_what_it_forgot(stores: Stores) {
    ingest(&stores, &run(1..=2)).await;
    // The robot trimmed up to 9 because another memory of this server acknowledged it.
    let met = stores.entries.ingest_hello(&robot("r1"), &hello("e1", 10, 12), 600).await.unwrap();
    assert_eq!(met.outcome, AckOutcome::Accepted);
    let positions: Vec<u64> = met.next.iter().map(|ack| ack.next_seq).collect();
    assert_eq!(positions, [Position::default().next_seq, 3, 1, 1], "of all classes");
    let taken = ingest(&stores, &run(10..=11)).await;
    assert_eq!((next(&taken), taken.lost), (12, 7));
    let log = log(&stores).await;
    assert_eq!((log.classes.iter().map(|class| class.rewound).sum::<u64>(), log.entries.missing), (7, 0));
}

/// Clones.
pub async fn a_cloned_log_is_refused(stores: Stores) {
    ingest(&stores, &run(1..=5)).await;
    let mut other = run(4..=6);
    other.entries[1] = entry_with(5, Content::Unknown { kind: "test".into(), body: serde_json::json!({ "seq": "another" }) });
    let refused = ingest(&stores, &other).await;
    assert!(matches!(&refused.outcome, AckOutcome::EpochRefused { reason } if reason.contains("entry 5")), "{refused:?}");
    assert_eq!(all(&stores).await.len(), 5, "nothing of it is stored");
    let short = stores.entries.ingest_hello(&robot("r1"), &hello("e1", 1, 4), 600).await.unwrap();
    assert!(matches!(&short.outcome, AckOutcome::EpochRefused { reason } if reason.contains("3 entries but 5")), "{short:?}");
    assert_eq!(log(&stores).await.refused_batches, 2);
    let fresh = stores.entries.ingest_batch(&robot("r1"), &batch("e2", Class::Event, vec![entry(1)]), 700).await.unwrap();
    assert_eq!(next(&fresh), 2, "a new epoch begins at 1");
    assert_eq!(next(&ingest(&stores, &run(6..=6)).await), 7, "the original goes on");
}

/// Nonsense.
pub async fn a_malformed_batch_leaves_nothing(stores: Stores) {
    let mut bad = run(1..=3);
    bad.entries.remove(1);
    let error = stores.entries.ingest_batch(&robot("r1"), &bad, 500).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    let backwards = stores.entries.ingest_hello(&robot("r1"), &hello("e1", 5, 2), 500).await.unwrap_err();
    assert!(matches!(backwards, StoreError::Refused(_)), "{backwards}");
    assert!(all(&stores).await.is_empty());
    stores.entries.count_refused(&robot("r1")).await.unwrap();
    assert_eq!(log(&stores).await.refused_batches, 1);
    assert!(
        stores.entries.attested(&org(), &[target_name("r1"), target_name("r2"), target_name("ghost")]).await.unwrap()[&target_name("r1")]
            .last_seen_us
            .is_none(),
        "a refusal is no sign of life"
    );
}

fn mission(sequence: u64) -> EntryBody {
    mission_step(sequence, MissionKind::Waypoint)
}

fn mission_step(sequence: u64, step: MissionKind) -> EntryBody {
    let (mission_id, detail) = ("m1".to_owned(), String::new());
    EntryBody::Mission(MissionBody { sequence, mission_id, step, progress: 0.5, detail })
}

/// Lists of entries.
pub async fn entries_are_listed_by_arrival_kind_and_class(stores: Stores) {
    ingest(&stores, &known(Class::Event, 1, vec![mission(1), mission(2)])).await;
    let fault = EntryBody::Fault(FaultBody { source: "log".into(), message: "full".into() });
    ingest(&stores, &known(Class::Critical, 1, vec![fault])).await;
    stores.entries.ingest_batch(&robot("r2"), &run(1..=1), 500).await.unwrap();
    let list = |filter: EntryFilter| {
        let entries = stores.entries.clone();
        async move {
            let found = entries.entries(&org(), &filter).await.unwrap();
            found.into_iter().map(|entry| (entry.target.to_string(), entry.class, entry.seq)).collect::<Vec<_>>()
        }
    };
    let one = |class, seq| ("r1".to_owned(), class, seq);
    let r1 = EntryFilter { target: Some(target_name("r1")), limit: 10, ..EntryFilter::default() };
    let newest_first = [one(Class::Critical, 1), one(Class::Event, 2), one(Class::Event, 1)];
    assert_eq!(list(r1.clone()).await, newest_first);
    assert_eq!(list(EntryFilter { ascending: true, limit: 1, ..r1.clone() }).await, [one(Class::Event, 1)]);
    assert_eq!(list(EntryFilter { kinds: vec!["fault".into()], ..r1.clone() }).await, [one(Class::Critical, 1)]);
    assert_eq!(list(EntryFilter { kinds: vec!["mission".into(), "fault".into()], ..r1.clone() }).await, newest_first);
    assert_eq!(list(EntryFilter { classes: vec![Class::Event, Class::Detail], ..r1.clone() }).await, newest_first[1..]);
    let everyone = EntryFilter { limit: 10, ..EntryFilter::default() };
    assert_eq!(list(everyone.clone()).await.len(), 4);
    let ids: Vec<i64> = all(&stores).await.iter().map(|entry| entry.id).collect();
    assert_eq!(list(EntryFilter { after: Some(ids[1]), ascending: true, ..everyone.clone() }).await.len(), 2);
    assert_eq!(list(EntryFilter { after: Some(ids[1]), ..everyone }).await, [one(Class::Event, 1)]);
    let theirs = EntryFilter { limit: 10, ..EntryFilter::default() };
    assert!(stores.entries.entries(&other_org(), &theirs).await.unwrap().is_empty());
}

/// What is not routine.
pub async fn notable_entries_are_found_among_routine_ones(stores: Stores) {
    let link = |connected| EntryBody::Link(LinkBody { connected, uplink: "mqtt".into(), reason: "cut".into() });
    let steps = [MissionKind::Started, MissionKind::Failed, MissionKind::Succeeded];
    let mut said: Vec<EntryBody> = (1..).zip(steps).map(|(sequence, step)| mission_step(sequence, step)).collect();
    said.extend([link(false), state(1, SlotStatus::Active, "d1"), link(true), mission(4)]);
    ingest(&stores, &known(Class::Event, 1, said)).await;
    ingest(&stores, &known(Class::Critical, 1, vec![EntryBody::Fault(FaultBody { source: "log".into(), message: "full".into() })])).await;
    let strange = Content::Unknown { kind: "gripper".into(), body: serde_json::json!({ "step": "failed" }) };
    stores.entries.ingest_batch(&robot("r2"), &batch("e1", Class::Event, vec![entry_with(1, strange.clone())]), 500).await.unwrap();
    stores.entries.ingest_batch(&robot("r2"), &batch("e1", Class::Detail, vec![entry_with(1, strange)]), 500).await.unwrap();
    let everything = all(&stores).await;
    let expected: Vec<i64> = everything.iter().filter(|entry| event::notable(entry.class, &entry.content)).map(|entry| entry.id).collect();
    assert_eq!((everything.len(), expected.len()), (10, 5), "a failed mission, the link twice, a fault, and what nobody knows");
    let list = |filter: EntryFilter| {
        let entries = stores.entries.clone();
        async move {
            let found = entries.entries(&org(), &filter).await.unwrap();
            found.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        }
    };
    let notable = EntryFilter { notable: true, limit: 100, ..EntryFilter::default() };
    assert_eq!(list(EntryFilter { ascending: true, ..notable.clone() }).await, expected);
    let newest_first: Vec<i64> = expected.iter().rev().copied().collect();
    assert_eq!(list(notable.clone()).await, newest_first);
    assert_eq!(list(EntryFilter { after: Some(newest_first[0]), limit: 2, ..notable.clone() }).await, newest_first[1..3]);
    let r1 = EntryFilter { target: Some(target_name("r1")), ..notable };
    assert_eq!(list(r1.clone()).await, newest_first[1..]);
    assert_eq!(list(EntryFilter { ascending: true, kinds: vec!["link".into()], ..r1 }).await.len(), 2);
}

/// Kinds of a later version.
pub async fn entries_of_kinds_nobody_knows_are_kept(stores: Stores) {
    let body = serde_json::json!({ "force_n": 3.5, "text": "é \u{1F916}", "big": "18446744073709551615" });
    let strange = entry_with(1, Content::Unknown { kind: "gripper".into(), body });
    ingest(&stores, &batch("e1", Class::Detail, vec![strange.clone()])).await;
    let stored = all(&stores).await;
    assert_eq!(stored[0].content, strange.content);
    assert_eq!(body_of(&strange).unwrap().0, "gripper");
}

fn state(generation: u64, status: SlotStatus, digest: &str) -> EntryBody {
    let slot = SlotState { status, model: "reader".into(), version: digest.into(), digest: digest.into(), ..SlotState::default() };
    let observed = ObservedState { version: Version { server_epoch: 1, generation } };
    EntryBody::State(StateBody { observed, slots: [("default".to_owned(), slot)].into(), software: "0.1.0".into(), ..StateBody::default() })
}

fn step(generation: u64, status: SlotStatus, digest: &str, running: &str) -> EntryBody {
    EntryBody::DeploymentStatus(DeploymentStatusBody {
        for_version: Version { server_epoch: 1, generation },
        slot: "default".into(),
        status,
        model: "reader".into(),
        model_version: digest.into(),
        digest: digest.into(),
        running_digest: running.into(),
        ..DeploymentStatusBody::default()
    })
}

fn evaluation(accuracy: f64) -> EntryBody {
    let (model, model_version, digest) = ("reader".to_owned(), "1".to_owned(), "a".to_owned());
    EntryBody::Evaluation(EvaluationBody { model, model_version, digest, samples: 10, correct: 9, accuracy })
}

/// What follows.
pub async fn what_robots_attest_follows_from_their_entries(stores: Stores) {
    ingest(&stores, &known(Class::Event, 1, vec![state(1, SlotStatus::Active, "a"), state(2, SlotStatus::Downloading, "a")])).await;
    ingest(&stores, &known(Class::Summary, 1, vec![evaluation(0.5), evaluation(f64::NAN)])).await;
    stores.entries.touch(&robot("r2"), 900).await.unwrap();
    let attested = stores.entries.attested(&org(), &[target_name("r1"), target_name("r2"), target_name("ghost")]).await.unwrap();
    assert_eq!(attested[&target_name("r2")].last_seen_us, Some(900));
    let r1 = &attested[&target_name("r1")];
    assert_eq!(r1.last_seen_us, Some(500));
    let (now, at_us) = r1.state().unwrap();
    assert_eq!((now.observed.version.generation, at_us), (2, 1_002));
    assert_eq!((r1.slots["default"].state.status, r1.slots["default"].since_us), (SlotStatus::Downloading, 1_002));
    assert!(matches!(&r1.newest["evaluation"].content, Content::Known(EntryBody::Evaluation(body)) if body.accuracy.is_nan()));
    // A critical entry that is newer by the clock, though it arrives in another class.
    let later = batch("e1", Class::Critical, vec![entry_at(1, 2_000, step(2, SlotStatus::Active, "b", "b"))]);
    ingest(&stores, &later).await;
    let attested = stores.entries.attested(&org(), &[target_name("r1")]).await.unwrap();
    let slot = &attested[&target_name("r1")].slots["default"];
    assert_eq!((attested.len(), slot.state.digest.as_str(), slot.state.status), (1, "b", SlotStatus::Active));
    assert!(stores.entries.attested(&other_org(), &[target_name("r1")]).await.unwrap().is_empty());
}

fn entry_at(seq: u64, t_us: i64, body: EntryBody) -> edgeflow_wire::Entry {
    edgeflow_wire::Entry { t_us, ..entry_with(seq, body) }
}

/// Epochs.
pub async fn a_new_epoch_is_newer_than_an_old_one(stores: Stores) {
    ingest(&stores, &known(Class::Event, 1, vec![state(1, SlotStatus::Active, "a"), state(2, SlotStatus::Active, "b")])).await;
    let reborn = Batch { epoch: "e2".into(), ..known(Class::Event, 1, vec![state(3, SlotStatus::Active, "c")]) };
    ingest(&stores, &reborn).await;
    ingest(&stores, &known(Class::Event, 3, vec![state(2, SlotStatus::Active, "late")])).await;
    let attested = stores.entries.attested(&org(), &[target_name("r1")]).await.unwrap();
    assert_eq!(attested[&target_name("r1")].slots["default"].state.digest, "c");
    let log = log(&stores).await;
    assert_eq!(log.classes.iter().map(|class| (class.epoch.as_str(), class.stored)).collect::<Vec<_>>(), [("e1", 3), ("e2", 1)]);
}

/// Lineage.
pub async fn what_ran_is_kept_as_the_robot_said_it(stores: Stores) {
    let active = |digest: &str| state(1, SlotStatus::Active, digest);
    // On its way to b, a serves on; then none does, which is told by another class; then a again.
    let words = vec![active("a"), state(2, SlotStatus::Downloading, "a"), active("a"), active("b")];
    ingest(&stores, &known(Class::Event, 1, words)).await;
    ingest(&stores, &batch("e1", Class::Critical, vec![entry_at(1, 2_000, step(2, SlotStatus::Failed, "c", ""))])).await;
    ingest(&stores, &batch("e1", Class::Critical, vec![entry_at(2, 1_500, step(2, SlotStatus::Active, "a", "a"))])).await;
    let late = batch("e1", Class::Event, vec![entry_at(5, 1_400, active("late"))]);
    ingest(&stores, &late).await;
    let interval = |digest: &str, from_us: i64, last_us: i64, to_us: Option<i64>| {
        let (slot, model, version) = ("default".to_owned(), "reader".to_owned(), digest.to_owned());
        Interval { slot, model, version, digest: digest.to_owned(), from_us, last_us, to_us }
    };
    let read = |from_us: i64, to_us: i64| {
        let lineage = stores.lineage.clone();
        async move { lineage.intervals(&robot("r1"), &IntervalFilter { from_us, to_us, limit: 10 }).await.unwrap() }
    };
    let whole = read(0, i64::MAX).await;
    let digests: Vec<_> = whole.iter().map(|one| (one.digest.as_str(), one.from_us, one.last_us, one.to_us)).collect();
    assert_eq!(digests, [("a", 1_500, 1_500, None), ("b", 1_004, 1_004, Some(2_000)), ("a", 1_001, 1_003, Some(1_004))]);
    assert_eq!(read(1_002, 1_003).await.len(), 1);
    assert_eq!(
        read(1_004, 1_005).await,
        [interval("b", 1_004, 1_004, Some(2_000))].map(|one| Interval { version: whole[1].version.clone(), ..one })
    );
    assert!(read(0, 1_001).await.is_empty(), "before the robot said anything nothing is known");
    let reborn = Batch { epoch: "e2".into(), ..known(Class::Event, 1, vec![active("c")]) };
    ingest(&stores, &reborn).await;
    let whole = read(0, i64::MAX).await;
    assert_eq!(whole.iter().filter(|one| one.to_us.is_none()).map(|one| one.digest.as_str()).collect::<Vec<_>>(), ["c"]);
    assert!(whole.iter().all(|one| one.to_us.is_none_or(|to_us| to_us >= one.from_us && one.last_us >= one.from_us)), "{whole:?}");
    let other = robot("r2");
    stores.entries.ingest_batch(&other, &known(Class::Event, 1, vec![active("a")]), 500).await.unwrap();
    let ran = stores.lineage.ran(&org(), "a", None, 0, 10).await.unwrap();
    let seen: Vec<_> = ran.iter().map(|(_, ran)| (ran.target.as_str(), ran.first_us, ran.intervals, ran.now)).collect();
    assert_eq!(seen, [("r1", 1_001, 2, false), ("r2", 1_001, 1, true)]);
    let (cursor, _) = ran[0];
    assert_eq!(stores.lineage.ran(&org(), "a", None, cursor, 10).await.unwrap().len(), 1);
    assert_eq!(stores.lineage.ran(&org(), "a", None, 0, 1).await.unwrap().len(), 1);
    assert!(stores.lineage.ran(&other_org(), "a", None, 0, 10).await.unwrap().is_empty());
    let at = |at_us: i64| {
        let lineage = stores.lineage.clone();
        async move { lineage.ran(&org(), "a", Some(at_us), 0, 10).await.unwrap().into_iter().map(|(_, ran)| ran.target).collect::<Vec<_>>() }
    };
    assert_eq!((at(1_003).await, at(1_004).await, at(1_000).await.len()), (vec!["r1".into(), "r2".into()], vec!["r2".to_owned()], 0));
    // Which desired state an interval was the answer to is the robot's own word, and not every interval has one.
    let (told, untold) = (interval("a", 1_500, 1_500, None), interval("b", 1_004, 1_004, Some(2_000)));
    let answered = stores.lineage.answered(&robot("r1"), &told).await.unwrap();
    assert_eq!(answered.map(|version| version.generation), Some(2));
    assert_eq!(stores.lineage.answered(&robot("r1"), &untold).await.unwrap(), None);
    assert_eq!(stores.lineage.answered(&other, &told).await.unwrap(), None);
}

/// Progress of deployments.
pub async fn steps_of_deployments_are_found_by_what_was_asked(stores: Stores) {
    stores.server.identity(1).await.unwrap();
    stores.targets.create_target(&target("r1")).await.unwrap();
    let first = stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    let second = stores.deployments.create_deployment(&org(), &deployment("b", &["r1"])).await.unwrap();
    let third = stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    let steps =
        vec![step(1, SlotStatus::Downloading, "a", ""), step(1, SlotStatus::Active, "a", "a"), step(3, SlotStatus::Active, "a", "a")];
    ingest(&stores, &known(Class::Critical, 1, steps)).await;
    let stored = stores.deployments.deployments(&org(), None, None, 9).await.unwrap();
    let found = |id: i64| {
        let wanted: Vec<_> = stored.iter().filter(|deployment| deployment.id == id).cloned().collect();
        let entries = stores.entries.clone();
        async move {
            let found = entries.attestations(&org(), &wanted).await.unwrap();
            found.into_iter().map(|one| (one.version.generation, one.status, one.at_us)).collect::<Vec<_>>()
        }
    };
    assert_eq!(found(first.id).await, [(1, SlotStatus::Active, 1_002)]);
    assert_eq!(found(second.id).await, []);
    assert_eq!(found(third.id).await, [(3, SlotStatus::Active, 1_003)]);
    assert_eq!(stores.entries.attestations(&org(), &stored).await.unwrap().len(), 2);
    assert!(stores.entries.attestations(&org(), &[]).await.unwrap().is_empty());
}

/// Series.
pub async fn samples_are_read_as_series(stores: Stores) {
    let summary = |rate_hz: f64, results: u64| {
        EntryBody::InferenceSummary(InferenceSummaryBody {
            period_us: 5_000_000,
            results,
            rate_hz,
            latency_p50_us: 800,
            latency_p95_us: 1_200,
            mean_score: f64::NAN,
            digest: "a".into(),
            failed: None,
        })
    };
    let bodies = vec![summary(19.5, 90), summary(20.25, 100), summary(0.0, 0), evaluation(0.9375)];
    ingest(&stores, &known(Class::Summary, 1, bodies)).await;
    let series = |channel: &'static str, since: i64, limit: u32| {
        let telemetry = stores.telemetry.clone();
        async move { telemetry.samples(&robot("r1"), channel, since, limit).await.unwrap() }
    };
    assert_eq!(series("fps", 0, 10).await, [(1_001, 19.5), (1_002, 20.25), (1_003, 0.0)]);
    assert_eq!(series("fps", 0, 2).await, [(1_002, 20.25), (1_003, 0.0)], "the newest, oldest first");
    assert_eq!(series("latency_p95_us", 1_002, 10).await, [(1_002, 1_200.0)], "no latency where there was no result");
    assert_eq!(series("accuracy", 0, 10).await, [(1_004, 0.9375)]);
    assert_eq!(series("mean_score", 0, 10).await, [], "NaN is no sample");
    assert_eq!(stores.telemetry.channels(&robot("r1")).await.unwrap(), ["accuracy", "fps", "latency_p50_us", "latency_p95_us"]);
}

/// What software on the robot sends by itself keeps the unit it gave, the newest.
pub async fn channels_that_robots_name_keep_their_unit(stores: Stores) {
    let points = |channel: &str, unit: &str, t_us: i64| {
        EntryBody::Points(PointsBody { channel: channel.to_owned(), unit: unit.to_owned(), points: vec![Point { t_us, value: 21.5 }] })
    };
    let bodies = vec![points("charger/temperature", "K", 5), points("charger/temperature", "degC", 6), points("doors", "", 7)];
    ingest(&stores, &known(Class::Summary, 1, bodies)).await;
    let units = stores.telemetry.units(&robot("r1")).await.unwrap();
    assert_eq!(units.into_iter().collect::<Vec<_>>(), [("charger/temperature".into(), "degC".into()), ("doors".into(), String::new())]);
    assert_eq!(stores.telemetry.units(&robot("r2")).await.unwrap().len(), 0);
    assert_eq!(stores.telemetry.channels(&robot("r1")).await.unwrap(), ["charger/temperature", "doors"]);
}

/// Concurrency: what is committed together must not mix.
pub async fn many_robots_at_once_lose_nothing(stores: Stores) {
    const ROBOTS: usize = 20;
    const BATCHES: u64 = 10;
    let mut robots = Vec::new();
    for number in 0..ROBOTS {
        let entries = stores.entries.clone();
        robots.push(tokio::spawn(async move {
            let robot = robot(&format!("r{number}"));
            for at in 0..BATCHES {
                let good = run(at * 5 + 1..=at * 5 + 5);
                let taken = entries.ingest_batch(&robot, &good, 1).await.unwrap();
                assert_eq!(next(&taken), at * 5 + 6);
                let mut bad = run(at * 5 + 6..=at * 5 + 8);
                bad.entries.swap(0, 1);
                assert!(entries.ingest_batch(&robot, &bad, 1).await.is_err(), "one that fails takes no other with it");
            }
        }));
    }
    for robot in robots {
        robot.await.unwrap();
    }
    for number in 0..ROBOTS {
        let (classes, _) = stores.entries.account(&robot(&format!("r{number}"))).await.unwrap();
        assert_eq!((classes[0].next_seq, classes[0].stored, classes[0].distinct), (51, 50, 50));
    }
}
