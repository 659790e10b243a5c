//! What a ROS user expects of any node: diagnostics that say how it is, and the time that everybody else has.

use edgeflow_drift::{BaselineBuilder, IMAGE_FEATURES, image_features};
use edgeflow_ros::constants::diagnostic_msgs::msg::DiagnosticStatus as level;
use edgeflow_ros::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus};
use edgeflow_ros::edgeflow_msgs::msg::{DeploymentStatus, InferenceResult};
use edgeflow_ros::rosgraph_msgs::msg::Clock;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::std_msgs::msg::Float32MultiArray;
use edgeflow_ros::{QosProfile, Queue};

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

fn value<'a>(status: &'a DiagnosticStatus, key: &str) -> &'a str {
    let found = status.values.iter().find(|pair| pair.key == key);
    found.map_or_else(|| panic!("no {key} in {status:?}"), |pair| pair.value.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn diagnostics_tell_model_rate_latency_losses_and_drift() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = pixel_bundle(dir.path(), 0);
    let mut baseline = BaselineBuilder::new(&IMAGE_FEATURES[..1]);
    for i in 0..400 {
        let usual = 100 + (i * 17 % 40) as u8;
        baseline.push(&image_features(&[usual; 16], 4, 4, 4).unwrap().values()[..1]).unwrap();
    }
    std::fs::write(bundle.join("baseline.json"), baseline.build().unwrap().to_json().unwrap()).unwrap();
    let mut scene = Scene::loaded(&bundle, &[("drift_window_frames", "40")]).await;
    let mut diagnostics = scene.neighbour.subscribe::<DiagnosticArray>("/diagnostics", QosProfile::default(), Queue::all()).unwrap();
    let digest = scene.info.call(&Default::default(), PATIENCE).await.unwrap().model.digest;

    let array = next(&mut diagnostics).await;
    let quiet = &array.status[0];
    assert_eq!((array.status.len(), quiet.name.as_str(), quiet.level), (1, "inference_node: inference", level::OK));
    assert_eq!((quiet.message.as_str(), value(quiet, "drift")), ("serving", "no window yet"));

    scene.shoot(0, Image { step: 1, ..gray(0) });
    for stamp in 1..=120 {
        scene.shoot(stamp, gray(200 + (stamp * 17 % 40) as u8));
    }
    while next(&mut scene.results).await.header.stamp.sec < 120 {}
    let (mut refused, mut rate, mut latency) = (false, 0.0f64, None);
    let last = loop {
        let array = next(&mut diagnostics).await;
        let status = array.status.into_iter().next().unwrap();
        let number = |key: &str| value(&status, key).parse::<f64>();
        refused |= status.level == level::ERROR && status.message == "1 frames without a result in the last second";
        rate = rate.max(number("result rate (Hz)").unwrap());
        if let (Ok(median), Ok(p95), Ok(greatest)) = (number("latency median (ms)"), number("latency p95 (ms)"), number("latency max (ms)"))
        {
            assert!(0.0 < median && median <= p95 && p95 <= greatest, "{status:?}");
            latency = Some(median);
        }
        if refused && value(&status, "results") == "120" && status.level != level::ERROR {
            break status;
        }
    };
    assert!(rate > 0.0 && latency.is_some());
    assert_eq!(["model", "model version", "bundle digest"].map(|key| value(&last, key)), ["pixels", "1", digest.as_str()]);
    assert_eq!(["frames dropped", "frames refused", "frames without model"].map(|key| value(&last, key)), ["0", "1", "0"]);
    assert_eq!((value(&last, "drift"), last.level), ("flagged", level::WARN));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_time_is_on_everything_the_node_stamps_and_frames_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let path = pixel_bundle(dir.path(), 0);
    let mut scene = Scene::new(&[("use_sim_time", "true")]).await;
    let clock = scene.neighbour.create_publisher::<Clock>("/clock", QosProfile::default()).unwrap();
    assert!(clock.wait_for_subscribers(1, PATIENCE).await);
    let mut tick = Clock::default();
    tick.clock.sec = 1000;
    clock.publish(&tick).unwrap();
    let heard = async {
        while scene.node.node().now().sec != 1000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
    assert!(scene.call_load(&path, "").await.success);
    assert_eq!(scene.status_until(DeploymentStatus::ACTIVE).await.stamp.sec, 1000);
    let mut diagnostics = scene.neighbour.subscribe::<DiagnosticArray>("/diagnostics", QosProfile::default(), Queue::all()).unwrap();
    assert_eq!(next(&mut diagnostics).await.header.stamp.sec, 1000);
    scene.shoot(7, gray(0));
    assert_eq!(next(&mut scene.results).await.header.stamp.sec, 7);

    let copy = model(&[node("Identity", &["x"], &["y"])], &[], &[value_of_any_shape("x", FLOAT)], &[value_of_any_shape("y", FLOAT)]);
    let arrays = bundle(&dir.path().join("arrays"), &copy, Some("v: 1\ninput: {kind: array, elements: 1}\n"));
    assert!(scene.call_load(&arrays, "").await.success);
    let numbers = scene.neighbour.create_publisher::<Float32MultiArray>("inference_node/array", QosProfile::default()).unwrap();
    assert!(numbers.wait_for_subscribers(1, PATIENCE).await);
    numbers.publish(&Float32MultiArray { data: vec![1.0], ..Default::default() }).unwrap();
    let result: InferenceResult = next(&mut scene.results).await;
    assert_eq!(result.header.stamp.sec, 1000);
    scene.stop().await;
}
