//! Captures on a real robot: recordings of what nodes publish, from before there was a reason.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use common::{
    Held,
    robot::{PATIENCE, World, counted, known, now_us},
};
use edgeflow_ros::{
    Publisher, QosProfile, cdr,
    edgeflow_msgs::msg::{DriftFeature, DriftReport},
    sensor_msgs::msg::{BatteryState, Image},
    std_msgs::msg::Int32,
};
use edgeflow_wire::{CaptureBody, CaptureState, Class, CommandOutcome, EntryBody, PolicyOutcome};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, path::Path, time::Duration};

fn captures(held: &Held, state: CaptureState) -> Vec<CaptureBody> {
    let told = known(held, "capture").into_iter().filter_map(|(_, body)| match body {
        EntryBody::Capture(capture) if capture.state == state => Some(capture),
        _ => None,
    });
    told.collect()
}

/// Topic to its messages, behind a check of what makes a file one of ROS 2.
fn read(path: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).unwrap();
    let mut read: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for message in mcap::MessageStream::new(&bytes).unwrap() {
        let message = message.unwrap();
        let schema = message.channel.schema.clone().unwrap();
        assert_eq!((schema.encoding.as_str(), message.channel.message_encoding.as_str()), ("ros2msg", "cdr"));
        assert!(message.log_time > 1_600_000_000_000_000_000);
        read.entry(message.channel.topic.clone()).or_default().push(message.data.to_vec());
    }
    read
}

fn files(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.data().join("captures")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An image that no compression makes smaller.
fn noise(bytes: usize, seed: u64) -> Image {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    Image { height: 1, width: bytes as u32, data: (0..bytes).map(|_| next()).collect(), ..Image::default() }
}

const ALLOWED: &str = "[count, camera/*, battery]";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_makes_a_file_of_what_came_before_it_and_after() {
    let mut world = World::new().await;
    let qos = QosProfile::default;
    let count = world.robot.create_publisher::<Int32>("count", qos()).unwrap();
    let image = world.robot.create_publisher::<Image>("camera/image", qos().best_effort()).unwrap();
    let private = world.robot.create_publisher::<Int32>("private", qos()).unwrap();
    let bridge = world.bridge(&[("capture_topics", ALLOWED)]);
    world.rule(1, json!({"capture": {"allow": ["**"], "deny": ["battery"], "before_s": 60, "after_s": 600, "max_mb": 8}})).await;
    assert!(count.wait_for_subscribers(1, PATIENCE).await && image.wait_for_subscribers(1, PATIENCE).await);
    let began_us = now_us();
    for data in 0..100 {
        count.publish(&Int32 { data }).unwrap();
    }
    image.publish(&noise(10_000, 1)).unwrap();
    world.diagnosed("capture", |status| counted(status, "bytes in memory") > 10_000 + 100 * 64).await;
    assert_eq!((private.subscriber_count(), files(&world).len()), (0, 0), "not allowed on this robot, and nothing without a reason");

    world.give("c1", json!({"kind": "capture", "reason": "odd noise", "after_s": 4}));
    // As soon as it is begun: the diagnostics say so once a second, which is much of the time there is.
    tokio::time::timeout(PATIENCE, async {
        while !files(&world).iter().any(|name| name.ends_with(".part")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("no capture is begun");
    count.publish(&Int32 { data: 100 }).unwrap();
    let status = world.ended("c1").await;
    assert_eq!((status.outcome, status.message.as_str()), (CommandOutcome::Done, ""));
    let result = &status.result;
    let id = result["capture"].as_str().unwrap();
    assert_eq!((result["messages"].as_u64(), result["missed"].as_u64()), (Some(102), Some(0)));
    assert_eq!(result["where"], json!(format!("/api/v1/targets/robot-1/captures/{id}")));
    assert!(result["start_us"].as_i64().unwrap() >= began_us && result["end_us"].as_i64() > result["start_us"].as_i64());

    let path = world.data().join(format!("captures/{id}.mcap"));
    let bytes = std::fs::read(&path).unwrap();
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((result["sha256"].as_str(), result["size_bytes"].as_u64()), (Some(digest.as_str()), Some(bytes.len() as u64)));
    let summary = mcap::Summary::read(&bytes).unwrap().unwrap();
    assert!(summary.schemas.values().any(|schema| schema.name == "sensor_msgs/msg/Image"));
    let told = read(&path);
    let counted: Vec<Vec<u8>> = (0..=100).map(|data| cdr::encode(&Int32 { data }).unwrap()).collect();
    assert_eq!(told["/robot_1/count"], counted, "what came before the command and after it, octet by octet");
    assert_eq!(told["/robot_1/camera/image"], [cdr::encode(&noise(10_000, 1)).unwrap()]);
    assert_eq!(told.len(), 2);
    world.plane.until("the capture is told", |held| !captures(held, CaptureState::Recorded).is_empty()).await;
    let body = captures(&world.plane.held.lock().unwrap(), CaptureState::Recorded).remove(0);
    assert!(body.info.reason.contains("odd noise") && body.info.policy == 1 && body.info.sha256 == digest, "{body:?}");

    // Cut off while it is written: removed and told; the command is not tried again.
    world.give("c2", json!({"kind": "capture"}));
    world.diagnosed("capture", |status| status.message == "1 are written").await;
    assert!(files(&world).iter().any(|name| name.ends_with(".part")), "{:?}", files(&world));
    drop(bridge);
    let _bridge = world.bridge(&[("capture_topics", ALLOWED)]);
    world.plane.until("the loss is told", |held| !captures(held, CaptureState::Failed).is_empty()).await;
    assert_eq!(world.ended("c2").await.outcome, CommandOutcome::Interrupted);
    let lost = captures(&world.plane.held.lock().unwrap(), CaptureState::Failed).remove(0);
    assert!(lost.message.contains("stopped while it was written"), "{lost:?}");
    assert_eq!(files(&world), [format!("{id}.json"), format!("{id}.mcap")], "what was whole still waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_captures_without_a_link_and_the_oldest_file_makes_room() {
    let mut world = World::new().await;
    let battery = world.robot.create_publisher::<BatteryState>("battery", QosProfile::default()).unwrap();
    let image = world.robot.create_publisher::<Image>("camera/image", QosProfile::default()).unwrap();
    let _bridge = world.bridge(&[("capture_topics", ALLOWED), ("capture_budget_mb", "1")]);
    let weak = json!({"name": "weak", "when": "battery.percentage < 0.2", "min_interval_s": 0,
        "watch": {"battery": {"topic": "battery", "type": "sensor_msgs/msg/BatteryState"}}});
    let capture = json!({"allow": ["camera/*"], "before_s": 600, "after_s": 0, "max_mb": 1, "on": [{"kind": "trigger", "name": "weak"}],
        "min_interval_s": 0});
    world.rule(1, json!({"triggers": [weak], "capture": capture})).await;
    assert!(battery.wait_for_subscribers(1, PATIENCE).await && image.wait_for_subscribers(1, PATIENCE).await);

    world.plane.away(true);
    world.diagnosed("uplink", |status| status.message.starts_with("not connected")).await;
    let fire = |publisher: &Publisher<BatteryState>| {
        for percentage in [0.5, 0.1] {
            publisher.publish(&BatteryState { percentage, ..BatteryState::default() }).unwrap();
        }
    };
    // Three times what the ring may hold: the newest stay.
    for seed in 0..6 {
        image.publish(&noise(500_000, seed)).unwrap();
    }
    let kept = world.diagnosed("capture", |status| counted(status, "bytes in memory") > 1_000_000).await;
    assert!(counted(&kept, "bytes in memory") <= 1024 * 1024, "{kept:?}");
    fire(&battery);
    world.diagnosed("capture", |status| counted(status, "made") == 1).await;
    let known_us = now_us();
    let first = files(&world);
    let told = read(&world.data().join("captures").join(first.iter().find(|name| name.ends_with(".mcap")).unwrap()));
    let newest: Vec<Vec<u8>> = [4, 5].map(|seed| cdr::encode(&noise(500_000, seed)).unwrap()).into();
    assert_eq!(told["/robot_1/camera/image"], newest);
    fire(&battery);
    world.diagnosed("capture", |status| counted(status, "made") == 2).await;
    assert!(!files(&world).contains(&first[0]) && files(&world).len() == 2, "{first:?} made room: {:?}", files(&world));

    world.plane.away(false);
    let arrived = |held: &Held| !captures(held, CaptureState::Dropped).is_empty() && captures(held, CaptureState::Recorded).len() == 2;
    world.plane.until("the loss arrives", arrived).await;
    let held = world.plane.held.lock().unwrap();
    let recorded = captures(&held, CaptureState::Recorded);
    let lost = captures(&held, CaptureState::Dropped).remove(0);
    assert_eq!((recorded.len(), lost.info.id.as_str()), (2, recorded[0].info.id.as_str()));
    assert!(recorded[0].info.reason == "trigger weak" && recorded[0].info.triggered_us <= known_us, "{recorded:?}");
    assert!(first[0].starts_with(&lost.info.id) && lost.message.contains("capture_budget_mb"), "{lost:?}");
    let entry = known(&held, "capture").into_iter().find(|(_, body)| matches!(body, EntryBody::Capture(one) if *one == lost)).unwrap().0;
    assert!(held.entries.iter().any(|((_, class), entries)| *class == Class::Critical && entries.contains(&entry)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flagged_drift_window_captures_what_the_model_saw_before_it() {
    let mut world = World::new().await;
    let image = world.robot.create_publisher::<Image>("camera/image", QosProfile::default()).unwrap();
    let drift = world.robot.create_publisher::<DriftReport>("inference_node/drift", QosProfile::default()).unwrap();
    let _bridge = world.bridge(&[("capture_topics", ALLOWED), ("drift_period_s", "0.0")]);
    let capture =
        json!({"allow": ["camera/*"], "before_s": 600, "after_s": 0, "max_mb": 8, "on": [{"kind": "drift"}], "min_interval_s": 0});
    world.rule(1, json!({ "capture": capture })).await;
    assert!(image.wait_for_subscribers(1, PATIENCE).await && drift.wait_for_subscribers(1, PATIENCE).await);
    let images = [1, 2, 3].map(|seed| noise(10_000, seed));
    images.iter().for_each(|one| image.publish(one).unwrap());
    world.diagnosed("capture", |status| counted(status, "bytes in memory") > 30_000).await;

    // What an inference node publishes: first a window like the baseline, then one that is not.
    let window = |window: u64, flagged: bool| {
        let mean = if flagged { 0.9 } else { 0.5 };
        let feature = DriftFeature {
            name: "brightness".into(),
            subject: "input".into(),
            baseline: "bundle".into(),
            n: 200,
            n_effective: 180.0,
            mean,
            baseline_mean: 0.5,
            edges: vec![0.25, 0.5, 0.75],
            counts: if flagged { vec![0, 0, 10, 190] } else { vec![50; 4] },
            significant: flagged,
            flagged,
            ..DriftFeature::default()
        };
        let (model_name, model_digest) = ("reader".to_owned(), "d".repeat(64));
        DriftReport {
            model_name,
            model_digest,
            baseline: "bundle".into(),
            window,
            features: vec![feature],
            flagged,
            ..DriftReport::default()
        }
    };
    let told = |held: &Held| known(held, "drift_report").len();
    drift.publish(&window(1, false)).unwrap();
    world.plane.until("the quiet window is told", |held| told(held) == 1).await;
    assert_eq!(files(&world).len(), 0, "nothing drifts, nothing is captured");
    drift.publish(&window(2, true)).unwrap();
    world.plane.until("the capture is told", |held| !captures(held, CaptureState::Recorded).is_empty()).await;

    let held = world.plane.held.lock().unwrap();
    let [recorded] = &captures(&held, CaptureState::Recorded)[..] else { panic!("more than one") };
    assert_eq!((recorded.info.reason.as_str(), recorded.info.policy, recorded.info.messages), ("drift was flagged", 1, 3));
    let path = world.data().join(format!("captures/{}.mcap", recorded.info.id));
    assert_eq!(format!("{:x}", Sha256::digest(std::fs::read(&path).unwrap())), recorded.info.sha256);
    let images = images.map(|one| cdr::encode(&one).unwrap());
    assert_eq!(read(&path)["/robot_1/camera/image"], images, "octet by octet");
    // The flagged window itself is an event beside it.
    let flagged =
        known(&held, "drift_report").into_iter().find(|(_, body)| matches!(body, EntryBody::DriftReport(report) if report.flagged));
    assert!(held.entries.get(&(epoch_of(&held), Class::Event)).is_some_and(|events| events.contains(&flagged.unwrap().0)));
}

fn epoch_of(held: &Held) -> String {
    held.entries.keys().next().unwrap().0.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_captures_only_what_its_parameters_allow() {
    let mut world = World::new().await;
    let bridge = world.bridge(&[]);
    let capture = json!({"capture": {"allow": ["**"], "max_mb": 65}});
    let word = world.apply(1, capture.clone()).await;
    assert_eq!((word.outcome, word.ruling), (PolicyOutcome::Refused, 0));
    assert!(word.reason.starts_with("capture: this robot's parameter capture_topics allows nothing"), "{}", word.reason);
    drop(bridge);
    let _bridge = world.bridge(&[("capture_topics", ALLOWED)]);
    let word = world.apply(2, capture).await;
    assert!(word.reason.starts_with("capture.max_mb: 65 is more than this robot's parameter capture_memory_mb, 64"), "{}", word.reason);
    world.give("none", json!({"kind": "capture"}));
    let status = world.ended("none").await;
    assert_eq!((status.outcome, status.message.as_str()), (CommandOutcome::Failed, "the robot's policy captures nothing"));
    // A fault is a reason, too.
    let count = world.robot.create_publisher::<Int32>("count", QosProfile::default()).unwrap();
    let broken = json!({"name": "broken", "allow": ["count"], "fields": ["nothing"], "window": {"period_s": 60}});
    let on = json!([{"kind": "fault", "source": "route *"}]);
    world.rule(3, json!({"routes": [broken], "capture": {"allow": ["count"], "after_s": 0.1, "on": on}})).await;
    let told = |held: &Held| {
        captures(held, CaptureState::Recorded).iter().any(|one| one.info.reason == "a fault of route broken on /robot_1/count")
    };
    world.plane.until("a fault is captured", told).await;
    drop(count);
    // Stopped in the midst of one, the bridge finishes it.
    world.rule(4, json!({"capture": {"allow": ["**"], "after_s": 600}})).await;
    world.give("long", json!({"kind": "capture"}));
    world.diagnosed("capture", |status| status.message == "1 are written").await;
    let mut program = _bridge;
    assert!(std::process::Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || program.0.wait());
    assert!(tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap().unwrap().success());
    assert_eq!(files(&world).iter().filter(|name| name.ends_with(".mcap")).count(), 2, "{:?}", files(&world));
}
