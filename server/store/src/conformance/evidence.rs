//! What robots report of how well they work.

use edgeflow_core::{
    observation::{Frames, RobotWindow, Source},
    retention::Cause,
    rollout::Reported,
};
use edgeflow_wire::{Class, Content, Entry, EntryBody, EvaluationBody, InferenceSummaryBody, StateBody};
use serde_json::json;
use std::collections::BTreeMap;

use super::fixtures::{batch, hello, org, other_org, robot, target_name};
use crate::Stores;

const SECOND: i64 = 1_000_000;

fn at(seq: u64, t_us: i64, content: impl Into<Content>) -> Entry {
    Entry { seq, t_us, boot_us: t_us, content: content.into() }
}

fn evaluation(digest: &str, samples: u64, correct: u64) -> EntryBody {
    let accuracy = correct as f64 / samples as f64;
    EntryBody::Evaluation(EvaluationBody {
        model: "reader".into(),
        model_version: "1".into(),
        digest: digest.into(),
        samples,
        correct,
        accuracy,
    })
}

fn summary(digest: &str, results: u64, latency_p50_us: u32, failed: Option<u64>) -> EntryBody {
    EntryBody::InferenceSummary(InferenceSummaryBody {
        period_us: SECOND,
        results,
        rate_hz: 10.0,
        latency_p50_us,
        latency_p95_us: 2 * latency_p50_us,
        mean_score: f64::NAN,
        digest: digest.into(),
        failed,
    })
}

fn other(kind: &str, body: serde_json::Value) -> Content {
    serde_json::from_value(json!({ "kind": kind, "body": body })).unwrap()
}

fn mission(step: &str) -> Content {
    other("mission", json!({"sequence": 1, "mission_id": "m", "step": step, "progress": 1.0}))
}

fn window(name: &str, from_us: i64, to_us: i64) -> RobotWindow {
    RobotWindow { target: target_name(name), from_us, to_us }
}

async fn take(stores: &Stores, name: &str, class: Class, entries: Vec<Entry>) {
    let robot = robot(name);
    stores.entries.ingest_hello(&robot, &hello("e1", 1, 1), 1).await.unwrap();
    stores.entries.ingest_batch(&robot, &batch("e1", class, entries), 1).await.unwrap();
}

/// Value and frames of each report of `r1`.
async fn of_r1(stores: &Stores, metric: &str, frames: Frames, from_us: i64, to_us: i64) -> Vec<(f64, u64)> {
    let windows = [window("r1", from_us, to_us), window("r2", from_us, to_us), window("unknown", 0, 9)];
    let told = stores.evidence.reported(&org(), &Source::of(metric), &frames, &windows).await.unwrap();
    assert!(told.keys().all(|robot| robot.as_str() != "unknown"));
    told.get(&target_name("r1")).into_iter().flatten().map(|report| (report.value, report.frames)).collect()
}

/// A bundle that ran before.
pub async fn what_a_bundle_did_before_the_window_is_not_counted_again(stores: Stores) {
    let entries = vec![
        at(1, 10 * SECOND, evaluation("new", 100, 100)),
        at(2, 11 * SECOND, evaluation("old", 50, 40)),
        at(3, 12 * SECOND, evaluation("old", 60, 44)),
        at(4, 14 * SECOND, evaluation("new", 120, 105)),
        at(5, 15 * SECOND, evaluation("new", 130, 109)),
    ];
    take(&stores, "r1", Class::Summary, entries).await;
    let of_new = of_r1(&stores, "accuracy", Frames::Of("new".into()), 13 * SECOND, 20 * SECOND).await;
    assert_eq!(of_new, [(0.25, 20), (0.4, 10)], "not the hundred before");
    let of_old = of_r1(&stores, "accuracy", Frames::NotOf("new".into()), 10_500_000, 20 * SECOND).await;
    assert_eq!(of_old, [(0.8, 50), (0.4, 10)], "its first frames are in the window");
    assert_eq!(of_r1(&stores, "accuracy", Frames::All, 12_500_000, 14 * SECOND).await, [(0.25, 20)]);
}

/// Metrics of robots.
pub async fn what_robots_report_is_read_of_many_at_once(stores: Stores) {
    let entries = vec![
        at(1, 10 * SECOND, evaluation("old", 100, 90)),
        at(2, 11 * SECOND, summary("old", 10, 5, None)),
        at(3, 20 * SECOND, evaluation("old", 150, 130)),
        at(4, 21 * SECOND, summary("new", 10, 7, Some(10))),
        at(5, 22 * SECOND, evaluation("new", 20, 10)),
        at(6, 23 * SECOND, summary("new", 20, 9, Some(0))),
        at(7, 24 * SECOND, evaluation("new", 60, 40)),
        // Whoever counts began anew.
        at(8, 26 * SECOND, evaluation("new", 10, 9)),
    ];
    take(&stores, "r1", Class::Summary, entries).await;
    take(&stores, "r2", Class::Summary, vec![at(1, 22 * SECOND, summary("old", 30, 3, None))]).await;
    let slot = |digest: &str| json!({"status": "active", "model": "reader", "version": "1", "digest": digest});
    let state = |digest: &str| {
        let state = json!({"observed": {"server_epoch": "0", "generation": "0"}, "slots": {"default": slot(digest)}, "software": "1"});
        EntryBody::State(serde_json::from_value::<StateBody>(state).unwrap())
    };
    let events = vec![
        at(1, 9 * SECOND, state("old")),
        at(2, 20 * SECOND, state("new")),
        at(3, 25 * SECOND, mission("started")),
        at(4, 30 * SECOND, mission("succeeded")),
        at(5, 31 * SECOND, mission("failed")),
        at(6, 31 * SECOND, other("application_event", json!({"source": "hmi", "name": "intervention"}))),
        at(
            7,
            31 * SECOND,
            other("points", json!({"channel": "grip", "points": [{"t_us": 31_000_000, "value": 4.0}, {"t_us": 90_000_000, "value": 6.0}]})),
        ),
    ];
    take(&stores, "r1", Class::Event, events).await;

    let since = |digest: &'static str| {
        let stores = &stores;
        async move { stores.evidence.serving_since(&org(), "default", digest, &[target_name("r1"), target_name("r2")]).await.unwrap() }
    };
    assert_eq!(since("new").await, BTreeMap::from([(target_name("r1"), 20 * SECOND)]));
    assert_eq!(since("old").await, BTreeMap::from([(target_name("r1"), 9 * SECOND)]));
    assert!(since("other").await.is_empty());

    let words = stores.evidence.stamped_and_came(&org(), &[target_name("r1"), target_name("unknown")]).await.unwrap();
    assert_eq!(words.len(), 1, "who never said anything is not there");
    let of_r1_words = &words[&target_name("r1")];
    assert!(of_r1_words.iter().all(|(_, came_us)| *came_us == 1) && of_r1_words.iter().any(|(stamped_us, _)| *stamped_us >= 20 * SECOND));

    let new = || Frames::Of("new".into());
    let old = || Frames::NotOf("new".into());
    let (from, to) = (20 * SECOND, 200 * SECOND);
    // What lies before the window is what is subtracted; other digests have counts of their own.
    assert_eq!(of_r1(&stores, "accuracy", new(), from, to).await, [(0.5, 20), (0.75, 40), (0.9, 10)]);
    assert_eq!(of_r1(&stores, "accuracy", old(), 15 * SECOND, to).await, [(0.8, 50)]);
    assert_eq!(of_r1(&stores, "accuracy", Frames::All, 23 * SECOND, 25 * SECOND).await, [(0.75, 40)]);
    // A period that began before the window is not of it.
    assert_eq!(of_r1(&stores, "latency_p50_us", new(), from, to).await, [(7.0, 20), (9.0, 20)]);
    assert_eq!(of_r1(&stores, "latency_p95_us", new(), from + 1, to).await, [(18.0, 20)]);
    assert_eq!(of_r1(&stores, "error_rate", new(), from, to).await, [(0.5, 20), (0.0, 20)]);
    assert!(of_r1(&stores, "error_rate", old(), 0, to).await.is_empty(), "a robot that does not say has none");
    assert_eq!(of_r1(&stores, "fps", Frames::All, 0, to).await, [(10.0, 10), (10.0, 20), (10.0, 20)]);
    // Missions are of no digest.
    assert_eq!(of_r1(&stores, "mission_success", new(), from, to).await, [(1.0, 1), (0.0, 1)]);
    assert_eq!(of_r1(&stores, "interventions", new(), from, to).await, [(60.0, 1)]);
    assert_eq!(of_r1(&stores, "grip", new(), from, to).await, [(4.0, 1), (6.0, 1)]);
    assert!(of_r1(&stores, "sensor_health", new(), from, to).await.is_empty());
    assert!(of_r1(&stores, "output_drift", new(), from, to).await.is_empty());

    let both =
        stores.evidence.reported(&org(), &Source::of("fps"), &Frames::All, &[window("r2", 0, to), window("r1", 0, to)]).await.unwrap();
    assert_eq!(both[&target_name("r2")], [Reported { t_us: 22 * SECOND, value: 10.0, frames: 30 }]);
    assert_eq!(both.len(), 2);
    // What comes close together is one report.
    let coarse = stores.evidence.reported(&org(), &Source::of("fps"), &Frames::All, &[window("r1", 0, 24_000 * SECOND)]).await.unwrap();
    assert_eq!(coarse[&target_name("r1")], [Reported { t_us: 23 * SECOND, value: 10.0, frames: 50 }]);
    assert!(stores.evidence.reported(&other_org(), &Source::of("fps"), &Frames::All, &[window("r1", 0, to)]).await.unwrap().is_empty());

    let health = vec![at(
        8,
        40 * SECOND,
        other(
            "topic_window",
            json!({"route": "r", "topic": "/diagnostics", "policy": "1", "start_us": 40_000_000, "end_us": 44_000_000, "messages": 4, "fields":
                {"level": {"as": "state", "count": 4, "states": {"OK": {"us": 3_000_000, "entered": 1}}, "unknown_us": 0, "last": "OK"}}}),
        ),
    )];
    take(&stores, "r1", Class::Event, health).await;
    assert_eq!(of_r1(&stores, "sensor_health", new(), from, to).await, [(0.75, 1)]);
}

/// Observations are kept as long as their entries.
pub async fn what_robots_report_goes_with_its_entries(stores: Stores) {
    let entries = vec![at(1, 10 * SECOND, summary("d", 10, 5, None)), at(2, 20 * SECOND, summary("d", 10, 7, None))];
    take(&stores, "r1", Class::Summary, entries).await;
    let read = || of_r1(&stores, "latency_p50_us", Frames::All, 0, 60 * SECOND);
    assert_eq!(read().await, [(5.0, 10), (7.0, 10)]);
    let removed = stores.retention.remove_entries(Class::Summary, "inference_summary", 100, 1, Cause::Age, 100).await.unwrap();
    assert_eq!((removed.count, read().await), (1, vec![(7.0, 10)]));
}
