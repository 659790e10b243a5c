//! What becomes of robots' logs over the years, and when there is no room for them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Robot, Server,
    clock::{DAY_US, StoodClock},
    options, summary,
};
use edgeflow_core::{Clock, retention::Policy};
use edgeflow_server::app::{App, AppOptions};
use edgeflow_wire::{Batch, Class, Content, EntryBody, FaultBody, Loss, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

const MINUTE_US: i64 = 60_000_000;
/// Midnight of some day, UTC.
const MIDNIGHT_US: i64 = 19_700 * DAY_US;

/// Entries of a class with the stamps they should have.
fn stamped(robot: &mut Robot, class: Class, entries: impl IntoIterator<Item = (i64, Content)>) -> Batch {
    let (stamps, contents): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let placeholder = stamps.iter().map(|_| summary(0.0)).collect();
    let mut batch = robot.append(class, placeholder);
    for ((entry, t_us), content) in batch.entries.iter_mut().zip(stamps).zip(contents) {
        (entry.t_us, entry.content) = (t_us, content);
    }
    batch
}

async fn send(app: &App, robot: &Robot, batch: Batch) {
    let ack = app.ingest(&robot.id, Upstream::Batch(batch)).await.unwrap();
    assert_eq!(ack.outcome, edgeflow_wire::AckOutcome::Accepted);
}

fn note(length: usize) -> Content {
    Content::Unknown { kind: "note".into(), body: json!({ "text": "x".repeat(length) }) }
}

fn fault() -> Content {
    EntryBody::Fault(FaultBody { source: "camera".into(), message: "gone".into() }).into()
}

async fn retain(app: &App) {
    app.retain(&CancellationToken::new()).await.unwrap();
}

/// Two hours of summaries, one every ten seconds, with rates 0, 1, 2, ...
fn two_hours() -> Vec<(i64, Content)> {
    (0..720).map(|i| (MIDNIGHT_US + 10_000_000 * i, summary(i as f64).into())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_grow_old_by_policy_and_every_answer_says_how_finely_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(MIDNIGHT_US);
    let policy = Policy { kinds: [("note".to_owned(), 3)].into(), ..Policy::default() };
    let server = Server::start_at(AppOptions { retention: policy, ..options(&folder) }, clock.clone()).await;
    let mut robot = server.enrol("robot-1").await;
    let batch = stamped(&mut robot, Class::Summary, two_hours());
    send(&server.app, &robot, batch).await;
    for class in [Class::Detail, Class::Event, Class::Critical] {
        // The clock of the robot is years off: what counts for entries is when they came.
        let batch = stamped(&mut robot, class, [(7, fault()), (MIDNIGHT_US, note(10))]);
        send(&server.app, &robot, batch).await;
    }
    let series = async |query: &str| server.get(&format!("/targets/robot-1/telemetry?channel=fps&limit=10000{query}")).await;
    let removals = async || server.get("/targets/robot-1/removals").await["items"].as_array().unwrap().clone();
    let kept = |view: &Value| {
        let keys = ["raw_from_us", "minute_from_us", "hour_from_us"];
        (view["resolution"].as_str().unwrap().to_owned(), keys.map(|key| view[key].as_i64().map(|us| (us - MIDNIGHT_US) / MINUTE_US)))
    };
    let since = format!("&since_us={MIDNIGHT_US}");

    retain(&server.app).await;
    assert!(removals().await.is_empty(), "nothing is old");
    let raw = series(&since).await;
    assert_eq!((kept(&raw), raw["points"].as_array().unwrap().len()), (("raw".into(), [None; 3]), 720));
    assert_eq!(raw["buckets"], json!([]));
    // What does not fit into the limit is shown more coarsely, before anything is folded too.
    let few = server.get(&format!("/targets/robot-1/telemetry?channel=fps&limit=200{since}")).await;
    assert_eq!((few["resolution"].as_str(), few["points"].as_array().unwrap().len()), (Some("minute"), 120));
    assert_eq!(
        few["buckets"][1],
        json!({ "t_us": MIDNIGHT_US + MINUTE_US, "count": 6, "min": 6.0, "max": 11.0, "mean": 8.5, "last": 11.0 })
    );
    assert_eq!(few["points"][1], json!([MIDNIGHT_US + MINUTE_US, 8.5]));
    let minutes = series(&format!("{since}&resolution=minute")).await["buckets"].clone();
    let hours = series(&format!("{since}&resolution=hour")).await["buckets"].clone();

    // A week and an hour: the first hour of numbers is by the minute; notes had three days, other details a week.
    clock.set(MIDNIGHT_US + 7 * DAY_US + 61 * MINUTE_US);
    retain(&server.app).await;
    let view = series(&since).await;
    assert_eq!((kept(&view), &view["buckets"]), (("minute".into(), [Some(60), None, None]), &minutes));
    assert_eq!(
        series(&format!("&since_us={}", MIDNIGHT_US + 60 * MINUTE_US)).await["points"].as_array().unwrap().len(),
        360,
        "raw as far as it is"
    );
    assert_eq!(series(&format!("{since}&resolution=raw")).await["points"].as_array().unwrap().len(), 360);
    let entries = server.get("/targets/robot-1/log").await["entries"].clone();
    assert_eq!(entries, json!({ "stored": 722, "duplicated": 0, "missing": 0, "lost_recorded": 0, "removed": 4 }));
    let told = removals().await;
    let short = |one: &Value| (one["what"].clone(), one["class"].clone(), one["kind"].clone(), one["cause"].clone(), one["count"].clone());
    let seen: Vec<_> = told.iter().map(short).collect();
    let expected = |what: &str, class: Value, kind: Value, count: u64| (json!(what), class, kind, json!("age"), json!(count));
    let expected = [
        expected("entries", json!("critical"), json!("note"), 1),
        expected("entries", json!("event"), json!("note"), 1),
        expected("entries", json!("detail"), json!("fault"), 1),
        expected("entries", json!("detail"), json!("note"), 1),
        expected("raw", json!(null), json!(null), 4 * 360),
    ];
    assert_eq!(seen, expected);
    assert_eq!((&told[2]["epoch"], &told[2]["last_t_us"], &told[2]["at_us"]), (&json!("epoch-1"), &json!(7), &json!(clock.now_us())));
    retain(&server.app).await;
    assert_eq!(removals().await, told, "a second round changes nothing");

    // A robot that was offline all the time: what it sends late joins what was folded.
    let mut late = server.enrol("robot-2").await;
    let batch = stamped(&mut late, Class::Summary, two_hours());
    send(&server.app, &late, batch).await;
    retain(&server.app).await;
    let view = server.get(&format!("/targets/robot-2/telemetry?channel=fps&resolution=minute{since}")).await;
    assert_eq!(view["buckets"], minutes);

    // Two months and more: hours, and only their numbers are left of the summaries.
    clock.set(MIDNIGHT_US + 62 * DAY_US);
    retain(&server.app).await;
    let view = series("").await;
    assert_eq!((kept(&view), &view["buckets"]), (("hour".into(), [Some(120), Some(120), None]), &hours));
    assert_eq!(server.get("/targets/robot-1/log").await["entries"]["stored"], 2, "the faults that were no details");
    // Years: nothing but the record, and what the robot is known by.
    clock.set(MIDNIGHT_US + 1_000 * DAY_US);
    retain(&server.app).await;
    let view = series("").await;
    assert_eq!((kept(&view), view["points"].as_array().unwrap().len()), (("hour".into(), [Some(120); 3]), 0));
    assert_eq!(
        server.get("/targets/robot-1/log").await["entries"],
        json!({ "stored": 0, "duplicated": 0, "missing": 0, "lost_recorded": 0, "removed": 726 })
    );
    assert_eq!(server.get("/targets/robot-1").await["fps"], json!(719.0));

    let retention = server.get("/retention").await;
    assert_eq!(
        (&retention["raw_days"], &retention["class_days"]["detail"], &retention["kind_days"]["note"]),
        (&json!(7), &json!(7), &json!(3))
    );
    let metrics = server.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "edgeflow_retention_removed_total{what=\"critical\",cause=\"age\"} 2",
        "edgeflow_retention_removed_total{what=\"raw\",cause=\"age\"} 5760",
        "edgeflow_retention_removed_total{what=\"hour\",cause=\"age\"} 16",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let (status, answer) = common::answer(server.request(Method::GET, "/targets/robot-1/telemetry?channel=fps&resolution=week")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["error"]["message"].as_str().unwrap().contains("expected raw, minute or hour, or auto"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_the_least_valuable_goes_first_and_the_file_stays_as_large_as_it_may() {
    const MAX_BYTES: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(MIDNIGHT_US);
    let policy = Policy { max_bytes: MAX_BYTES, ..Policy::default() };
    let server = Server::start_at(AppOptions { retention: policy, ..options(&folder) }, clock.clone()).await;
    let mut robot = server.enrol("robot-1").await;
    let (mut details, mut summaries) = (0u64, 0u64);
    for round in 0..12 {
        let now_us = MIDNIGHT_US + 600_000_000 * round;
        clock.set(now_us);
        // 1.2 MB a round; details up to the sixth, then summaries only.
        let class = if round < 6 { Class::Detail } else { Class::Summary };
        let batch = stamped(&mut robot, class, (0..600).map(|i| (now_us + i, note(1_500))));
        *(if round < 6 { &mut details } else { &mut summaries }) += 600;
        send(&server.app, &robot, batch).await;
        let batch = stamped(&mut robot, Class::Event, (0..10).map(|i| (now_us + i, fault())));
        send(&server.app, &robot, batch).await;
        retain(&server.app).await;
        let room = server.get("/retention").await;
        assert!(room["used_bytes"].as_u64().unwrap() <= MAX_BYTES, "{room}");
        let file = std::fs::metadata(folder.path().join("telemetry.db")).unwrap().len();
        // A round's worth is on disk before it is made room for, and a megabyte of free pages is kept for what comes next.
        assert!(file <= MAX_BYTES + 1_500_000 + (1 << 20), "{file} bytes in round {round}");
    }
    let log = server.get("/targets/robot-1/log").await;
    let of = |class: &str| log["classes"].as_array().unwrap().iter().find(|one| one["class"] == class).unwrap().clone();
    assert_eq!((&of("event")["stored"], &of("event")["removed"]), (&json!(120), &json!(0)), "all of what is worth more is there");
    assert_eq!((&of("detail")["stored"], &of("detail")["removed"]), (&json!(0), &json!(details)));
    let (stored, removed) = (of("summary")["stored"].as_u64().unwrap(), of("summary")["removed"].as_u64().unwrap());
    assert!(stored + removed == summaries && stored > 1_000 && removed > 500, "{log}");
    assert_eq!((&log["entries"]["missing"], &log["entries"]["duplicated"]), (&json!(0), &json!(0)));
    let oldest = server.get("/targets/robot-1/entries?class=summary&order=asc&limit=1").await["items"][0]["seq"].as_u64().unwrap();
    assert_eq!(oldest, removed + 1, "the oldest went");
    let told = server.get("/targets/robot-1/removals").await;
    let causes: Vec<_> = told["items"].as_array().unwrap().iter().map(|one| (one["class"].clone(), one["cause"].clone())).collect();
    assert_eq!(causes, [(json!("summary"), json!("space")), (json!("detail"), json!("space"))]);
    server.stop().await;
}

fn copied(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.file_type().unwrap().is_file()) {
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// All that retention changes.
async fn outcome(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for robot in ["robot-1", "robot-2"] {
        for channel in ["fps", "latency_p95_us"] {
            for resolution in ["raw", "minute", "hour"] {
                all.push(server.get(&format!("/targets/{robot}/telemetry?channel={channel}&resolution={resolution}&limit=10000")).await);
            }
        }
        for path in ["removals", "log", "entries?limit=1000"] {
            all.push(server.get(&format!("/targets/{robot}/{path}")).await);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_is_killed_again_and_again_comes_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(MIDNIGHT_US);
    let server = Server::start_at(options(&folder), clock.clone()).await;
    for name in ["robot-1", "robot-2"] {
        let mut robot = server.enrol(name).await;
        for days in [0, 3, 40, 64] {
            let shifted = two_hours().into_iter().map(|(t_us, content)| (t_us + days * DAY_US, content));
            let batch = stamped(&mut robot, Class::Summary, shifted);
            send(&server.app, &robot, batch).await;
        }
        let batch = stamped(&mut robot, Class::Detail, (0..2_000).map(|i| (MIDNIGHT_US + i, note(50))));
        send(&server.app, &robot, batch).await;
    }
    server.stop().await;
    // Of the first days hours, then minutes, then as it came; details are due.
    clock.set(MIDNIGHT_US + 65 * DAY_US);
    let other = copied(folder.path());
    let server = Server::start_at(options(&folder), clock.clone()).await;
    retain(&server.app).await;
    let expected = outcome(&server).await;
    server.stop().await;

    let (mut at, mut kills) = (other, 0u64);
    loop {
        let server = Server::start_at(options(&at), clock.clone()).await;
        let (app, shutdown) = (server.app.clone(), CancellationToken::new());
        let stop = shutdown.clone();
        let round = tokio::spawn(async move { app.retain(&stop).await });
        // Later each time, and sooner so, that it gets there whatever the machine.
        let through = tokio::time::timeout(Duration::from_millis(3 + kills + kills * kills / 10), async {
            while !round.is_finished() {
                tokio::task::yield_now().await;
            }
        });
        if through.await.is_ok() {
            round.await.unwrap().unwrap();
            assert_eq!(outcome(&server).await, expected);
            server.stop().await;
            break;
        }
        // The files as a crash leaves them, in the middle of whatever is being written.
        let crashed = copied(at.path());
        shutdown.cancel();
        round.await.unwrap().unwrap();
        server.stop().await;
        (at, kills) = (crashed, kills + 1);
    }
    eprintln!("through after {kills} kills");
    assert!(kills >= 3, "it was through after {kills} kills: kill it sooner");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_are_told_with_their_class_range_size_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    assert_eq!(server.get("/targets/robot-1/losses").await, json!({ "items": [], "next": null }));
    drop(robot.append(Class::Detail, vec![summary(0.0); 40]));
    let mut batch = robot.append(Class::Detail, vec![summary(1.0)]);
    batch.loss = Some(Loss { first_seq: 1, last_seq: 40, bytes: 12_345, first_t_us: 1_000, last_t_us: 9_000, ..Loss::default() });
    send(&server.app, &robot, batch).await;
    let losses = server.get("/targets/robot-1/losses").await;
    let mut told = losses["items"][0].clone();
    assert!(told["recorded_us"].take().as_i64().unwrap() > MIDNIGHT_US / 2);
    let expected = json!({ "epoch": "epoch-1", "class": "detail", "first_seq": 1, "last_seq": 40, "count": 40, "cause": "evicted",
        "bytes": 12_345, "first_t_us": 1_000, "last_t_us": 9_000, "recorded_us": null });
    assert_eq!(told, expected);
    let (status, _) = common::answer(server.request(Method::GET, "/targets/nobody/losses")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.stop().await;
}
