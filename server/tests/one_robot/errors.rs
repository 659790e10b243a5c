//! Frames without an answer: the inference node counts them, the bridge tells of them, gates look at them.

use crate::world::{PATIENCE, World};
use edgeflow_ros::{QosProfile, sensor_msgs::msg::Image};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// A camera that publishes until the graph is gone; with `spoil` every second frame is cut short.
async fn stream(world: &World, spoil: Arc<AtomicBool>) {
    let images = world.node.create_publisher::<Image>("camera/image", QosProfile::default().keep_last(100).reliable()).unwrap();
    assert!(images.wait_for_subscribers(1, PATIENCE).await);
    let node = world.node.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(40));
        for number in 0_u64.. {
            ticks.tick().await;
            let length = if spoil.load(Relaxed) && number.is_multiple_of(2) { 96 } else { 96 * 96 };
            let mut image = Image { width: 96, height: 96, step: 96, encoding: "mono8".into(), data: vec![90; length], ..Image::default() };
            image.header.stamp = node.now();
            if images.publish(&image).is_err() {
                return;
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_under_which_frames_go_unanswered_is_seen_by_its_error_rate_and_taken_back() {
    let world = World::start().await;
    let spoil = Arc::new(AtomicBool::new(false));
    stream(&world, Arc::clone(&spoil)).await;
    // Summaries of what served before.
    let whole = |entries: &Value| {
        let entries = entries["items"].as_array().unwrap();
        entries.iter().filter(|entry| entry["kind"] == "inference_summary" && entry["body"]["failed"] == 0).count() >= 3
    };
    world.until_at("/targets/robot-1/entries?class=summary&limit=1000", "frames all answered", whole).await;
    let spec = json!({
        "release": { "kind": "model", "name": "label-reader", "version": "2" },
        "targets": { "names": ["robot-1"] },
        "strategy": { "stages": [{ "name": "canary", "names": ["robot-1"], "soak_s": 6 }], "deadline_s": 60 },
        "gates": [{ "name": "answers", "expression": "updated.error_rate.mean <= 0.01", "min_samples": 60 }],
        "on_failure": "rollback_all",
    });
    let (status, rollout) = world.server.post("/rollouts", spec).await;
    assert_eq!(status, StatusCode::CREATED, "{rollout}");
    let path = format!("/rollouts/{}", rollout["id"].as_str().unwrap());
    world.until_serves(1).await;
    spoil.store(true, Relaxed);

    world.until_serves(0).await;
    let ended = |rollout: &Value| ["rolled_back", "failed", "succeeded"].iter().any(|phase| rollout["phase"] == *phase);
    let rollout = world.until_at(&path, "ended", ended).await;
    assert_eq!(rollout["phase"], "rolled_back", "{rollout:#}");
    let evidence = rollout["plan"][0]["evidence"].as_array().unwrap();
    let gate = evidence.iter().find(|gate| gate["gate"] == "answers").unwrap();
    let seen = gate["updated"]["error_rate"]["mean"].as_f64().unwrap();
    assert!(gate["verdict"] == "fail" && seen > 0.2, "{gate:#}");

    // The numbers are there: about half of the frames, and none before.
    let series = world.server.get(&format!("{path}/metrics?metric=error_rate")).await;
    let mean = |arm: &str| {
        let points: Vec<(f64, f64)> =
            series[arm].as_array().unwrap().iter().map(|point: &Value| (point[1].as_f64().unwrap(), point[2].as_f64().unwrap())).collect();
        let frames: f64 = points.iter().map(|(_, n)| n).sum();
        (points.iter().map(|(mean, n)| mean * n).sum::<f64>() / frames, frames)
    };
    let (failed, frames) = mean("updated");
    assert!((0.2..0.7).contains(&failed) && frames >= 60.0, "{series:#}");
    assert_eq!(mean("before").0, 0.0, "{series:#}");
    world.stop().await;
}
