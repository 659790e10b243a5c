//! Promises about what is kept how long: removed once, on record, and folded to what it was.

use edgeflow_core::{
    entry::{EntryFilter, LogView},
    retention::{Cause, RemovalView, Removed},
    rollup::{Resolution, RollUp, fold},
    telemetry::KeptFrom,
};
use edgeflow_wire::{Class, Entry, EntryBody, EvaluationBody};

use super::fixtures::{batch, entry_with, known, loss, org, robot, run, target_name};
use crate::{KindAge, Stores};

const MINUTE_US: i64 = 60_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

async fn ingest_at(stores: &Stores, name: &str, batch: &edgeflow_wire::Batch, received_us: i64) {
    let ingested = stores.entries.ingest_batch(&robot(name), batch, received_us).await.unwrap();
    assert_eq!(ingested.outcome, edgeflow_wire::AckOutcome::Accepted);
}

async fn log(stores: &Stores) -> LogView {
    let (classes, refused) = stores.entries.account(&robot("r1")).await.unwrap();
    LogView::new(&target_name("r1"), classes, refused)
}

async fn seqs(stores: &Stores) -> Vec<u64> {
    let filter = EntryFilter { target: Some(target_name("r1")), ascending: true, limit: 1000, ..EntryFilter::default() };
    stores.entries.entries(&org(), &filter).await.unwrap().iter().map(|entry| entry.seq).collect()
}

/// Entries go by class, kind and arrival, and what went is told.
pub async fn entries_are_removed_by_their_age_and_it_is_on_record(stores: Stores) {
    for at in 0..4 {
        ingest_at(&stores, "r1", &run(2 * at + 1..=2 * at + 2), 100 * at as i64).await;
    }
    ingest_at(&stores, "r1", &known(Class::Summary, 1, vec![evaluation(0.5)]), 5).await;
    ingest_at(&stores, "r2", &run(1..=1), 50).await;
    let of = |class, kind: &str, oldest_us| KindAge { class, kind: kind.into(), oldest_us };
    assert_eq!(stores.retention.kinds().await.unwrap(), [of(Class::Event, "test", 0), of(Class::Summary, "evaluation", 5)]);

    let remove = |before_us, limit, cause| {
        let retention = stores.retention.clone();
        async move { retention.remove_entries(Class::Event, "test", before_us, limit, cause, 999).await.unwrap() }
    };
    // `test` and `{"seq":1}`, of the two oldest.
    assert_eq!(remove(200, 2, Cause::Age).await, Removed { count: 2, bytes: 2 * 13 });
    assert_eq!(seqs(&stores).await, [3, 4, 5, 6, 7, 8, 1]);
    assert_eq!(remove(200, 10, Cause::Age).await.count, 3, "of the other robot, too");
    assert_eq!(remove(200, 10, Cause::Age).await, Removed::default(), "a second time changes nothing");
    assert_eq!(remove(i64::MAX, 1, Cause::Space).await.count, 1);
    assert_eq!(seqs(&stores).await, [6, 7, 8, 1]);

    let told = stores.retention.removals(&robot("r1")).await.unwrap();
    let record = |cause, count, first_t_us, last_t_us| RemovalView {
        what: "entries".into(),
        epoch: Some("e1".into()),
        class: Some("event".into()),
        kind: Some("test".into()),
        cause,
        count,
        bytes: 13 * count,
        first_t_us,
        last_t_us,
        at_us: 999,
    };
    assert_eq!(told, [record(Cause::Age, 4, 1_001, 1_004), record(Cause::Space, 1, 1_005, 1_005)]);
    assert!(stores.retention.removals(&robot("r3")).await.unwrap().is_empty());
    let entries = log(&stores).await.entries;
    assert_eq!((entries.stored, entries.removed, entries.missing, entries.duplicated), (4, 5, 0, 0), "removed is not missing");
    // What was removed and comes again was taken before.
    ingest_at(&stores, "r1", &run(1..=9), 500).await;
    assert_eq!(seqs(&stores).await, [6, 7, 8, 1, 9]);
    assert_eq!(log(&stores).await.entries.missing, 0);
}

/// Losses are listed.
pub async fn losses_are_listed_with_what_the_robot_said_of_them(stores: Stores) {
    let mut late = run(6..=7);
    late.loss = Some(loss(1, 5));
    ingest_at(&stores, "r1", &late, 500).await;
    let mut later = batch("e1", Class::Summary, vec![entry_with(3, evaluation(0.5))]);
    later.loss = Some(loss(1, 2));
    ingest_at(&stores, "r1", &later, 600).await;
    let losses = stores.entries.losses(&robot("r1"), 10).await.unwrap();
    let told: Vec<_> = losses.iter().map(|one| (one.class.as_str(), one.first_seq, one.last_seq, one.count, one.recorded_us)).collect();
    assert_eq!(told, [("summary", 1, 2, 2, 600), ("event", 1, 5, 5, 500)]);
    let first = &losses[1];
    assert_eq!((first.epoch.as_str(), first.bytes, first.first_t_us, first.last_t_us), ("e1", 77, Some(1), Some(2)));
    assert_eq!(first.cause, edgeflow_core::ingestion::LossCause::Evicted);
    assert_eq!(stores.entries.losses(&robot("r1"), 1).await.unwrap(), losses[..1]);
    assert!(stores.entries.losses(&robot("r2"), 10).await.unwrap().is_empty());
    // What a robot's disk did not keep: as many as it knows of, and behind them as many as there may have been.
    for (range, at_most) in [((8, 9), false), ((10, 30), true)] {
        let mut damaged = run(1..=1);
        damaged.entries.clear();
        damaged.loss = Some(edgeflow_wire::Loss { damaged: true, at_most, bytes: 0, ..loss(range.0, range.1) });
        ingest_at(&stores, "r1", &damaged, 700).await;
    }
    let losses = stores.entries.losses(&robot("r1"), 2).await.unwrap();
    let told: Vec<_> = losses.iter().map(|one| (one.cause.as_str(), one.first_seq, one.last_seq, one.first_t_us)).collect();
    assert_eq!(told, [("log_damaged_at_most", 10, 30, Some(1)), ("log_damaged", 8, 9, Some(1))]);
    let log = log(&stores).await;
    let event = log.classes.iter().find(|class| class.class == "event").unwrap();
    assert_eq!((event.next_seq, event.lost, event.at_most, log.entries.missing), (31, 28, 21, 0));
}

fn evaluation(accuracy: f64) -> EntryBody {
    let (model, model_version, digest) = ("reader".to_owned(), "1".to_owned(), "a".to_owned());
    EntryBody::Evaluation(EvaluationBody { model, model_version, digest, samples: 10, correct: 9, accuracy })
}

/// A robot's channel `accuracy`, sample by sample.
async fn say(stores: &Stores, first: u64, samples: &[(i64, f64)]) {
    let entries = samples.iter().zip(first..).map(|(&(t_us, value), seq)| Entry { t_us, ..entry_with(seq, evaluation(value)) });
    ingest_at(stores, "r1", &batch("e1", Class::Summary, entries.collect()), 500).await;
}

async fn rolled(stores: &Stores, resolution: Resolution, since_us: i64, limit: u32) -> Vec<(i64, RollUp)> {
    stores.telemetry.rollups(&robot("r1"), "accuracy", resolution, since_us, limit).await.unwrap()
}

fn whole(resolution: Resolution, samples: &[(i64, f64)]) -> Vec<(i64, RollUp)> {
    fold(resolution, samples.iter().map(|&(t_us, value)| (t_us, RollUp::of(t_us, value)))).into_iter().collect()
}

/// Some four hours of samples whose sums are exact, before the epoch and after it.
fn samples() -> Vec<(i64, f64)> {
    (0..600i64).map(|i| (-HOUR_US + 25_000_003 * i, f64::from((i * 37 % 101) as i32) / 64.0)).collect()
}

/// Folding.
pub async fn numbers_fold_to_what_they_were_however_they_are_folded(stores: Stores) {
    let all = samples();
    let (early, late) = (all.iter().step_by(2).copied().collect::<Vec<_>>(), all.iter().skip(1).step_by(2).copied().collect::<Vec<_>>());
    say(&stores, 1, &early).await;
    let fold = |resolution, before_us, limit| {
        let retention = stores.retention.clone();
        async move { retention.fold_numbers(resolution, before_us, limit, Cause::Age, 999).await.unwrap() }
    };
    assert_eq!(rolled(&stores, Resolution::Minute, i64::MIN, 10_000).await, whole(Resolution::Minute, &early), "before anything is folded");
    assert_eq!(stores.telemetry.kept_from(&robot("r1"), "accuracy").await.unwrap(), KeptFrom::default());
    assert_eq!(stores.retention.oldest_number(Resolution::Raw).await.unwrap(), Some(-HOUR_US));
    assert_eq!(stores.retention.oldest_number(Resolution::Hour).await.unwrap(), None);

    // A few at a time, in the middle of minutes; then what comes late, some of it into minutes that are folded and hours that are.
    let cut = HOUR_US + 30_000_000;
    let due = early.iter().filter(|(t, _)| *t < cut).count() as u64;
    let mut folded = Removed::default();
    loop {
        let step = fold(Resolution::Raw, cut, 7).await;
        assert_eq!(step.bytes, 16 * step.count);
        assert_eq!(rolled(&stores, Resolution::Minute, i64::MIN, 10_000).await, whole(Resolution::Minute, &early), "whenever one looks");
        folded += step;
        if step.count == 0 {
            break;
        }
    }
    assert_eq!(folded.count, due);
    assert_eq!(stores.telemetry.samples(&robot("r1"), "accuracy", i64::MIN, 10_000).await.unwrap().len() as u64, 300 - due);
    while fold(Resolution::Minute, 0, 5).await.count > 0 {}
    say(&stores, 301, &late).await;
    for _ in 0..2 {
        while fold(Resolution::Raw, cut, 1_000).await.count > 0 {}
        while fold(Resolution::Minute, 0, 1_000).await.count > 0 {}
        // The second round finds nothing to do.
        for limit in [10_000, 3] {
            let hours = whole(Resolution::Hour, &all);
            let newest = hours.len().saturating_sub(limit as usize);
            assert_eq!(rolled(&stores, Resolution::Hour, i64::MIN, limit).await, hours[newest..], "the hours of the whole");
            let minutes: Vec<_> = whole(Resolution::Minute, &all).into_iter().filter(|(t, _)| *t >= 0).collect();
            let newest = minutes.len().saturating_sub(limit as usize);
            assert_eq!(rolled(&stores, Resolution::Minute, i64::MIN, limit).await, minutes[newest..], "minutes as far as there are");
        }
    }
    assert_eq!(rolled(&stores, Resolution::Hour, 10, 10_000).await, whole(Resolution::Hour, &all)[1..], "from the hour that time is in");
    let kept = stores.telemetry.kept_from(&robot("r1"), "accuracy").await.unwrap();
    assert_eq!(kept, KeptFrom { raw_us: Some(HOUR_US + MINUTE_US), minute_us: Some(0), hour_us: None });

    // The last hour there is goes for good, and that is told.
    assert_eq!(fold(Resolution::Hour, 0, 10).await.count, 1);
    assert_eq!(fold(Resolution::Hour, 0, 10).await.count, 0);
    assert_eq!(rolled(&stores, Resolution::Hour, i64::MIN, 10_000).await, whole(Resolution::Hour, &all)[1..]);
    assert_eq!(stores.telemetry.kept_from(&robot("r1"), "accuracy").await.unwrap().hour_us, Some(0));
    let told = stores.retention.removals(&robot("r1")).await.unwrap();
    let told: Vec<_> = told.iter().map(|one| (one.what.as_str(), one.first_t_us, one.last_t_us < cut, one.class.is_none())).collect();
    assert_eq!(told, [("hour", -HOUR_US, true, true), ("minute", -HOUR_US, true, true), ("raw", -HOUR_US, true, true)]);

    // A channel that was folded altogether is still one.
    while fold(Resolution::Raw, i64::MAX, 1_000).await.count > 0 {}
    assert!(stores.telemetry.samples(&robot("r1"), "accuracy", i64::MIN, 10).await.unwrap().is_empty());
    assert_eq!(stores.telemetry.channels(&robot("r1")).await.unwrap(), ["accuracy"]);
    assert!(stores.telemetry.rollups(&robot("r2"), "accuracy", Resolution::Hour, 0, 10).await.unwrap().is_empty());
}

/// Many channels in one step.
pub async fn numbers_of_every_robot_and_channel_are_folded(stores: Stores) {
    for name in ["r1", "r2", "r3"] {
        let bodies = (0..40).map(|i| {
            EntryBody::InferenceSummary(edgeflow_wire::InferenceSummaryBody {
                period_us: 1,
                results: 1,
                rate_hz: f64::from(i),
                latency_p50_us: 1,
                latency_p95_us: 2,
                mean_score: 0.5,
                digest: String::new(),
                failed: None,
            })
        });
        ingest_at(&stores, name, &known(Class::Summary, 1, bodies.collect()), 5).await;
    }
    // Stamps are 1,001 to 1,040 microseconds; the first 20 of each are due.
    let fold = || stores.retention.fold_numbers(Resolution::Raw, 1_021, 50, Cause::Space, 9);
    let mut folded = 0;
    loop {
        let step = fold().await.unwrap().count;
        assert!(step <= 50, "a step stays small: {step}");
        folded += step;
        if step == 0 {
            break;
        }
    }
    assert_eq!(folded, 3 * 4 * 20);
    for name in ["r1", "r2", "r3"] {
        let minute = stores.telemetry.rollups(&robot(name), "fps", Resolution::Minute, 0, 9).await.unwrap();
        assert_eq!(minute.len(), 1);
        let all = minute[0].1;
        assert_eq!((all.count, all.min, all.max, all.mean(), all.last, all.last_t_us), (40, 0.0, 39.0, 19.5, 39.0, 1_040));
        assert_eq!(stores.telemetry.samples(&robot(name), "fps", 0, 100).await.unwrap().len(), 20);
    }
    let usage = stores.retention.usage().await.unwrap();
    assert!(usage.used_bytes > 0 && usage.used_bytes <= usage.file_bytes, "{usage:?}");
    assert_eq!(stores.retention.shrink().await.unwrap(), 0, "there is next to nothing to give back");
}
