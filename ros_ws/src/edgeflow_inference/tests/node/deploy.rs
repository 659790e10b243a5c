//! `~/deploy_model`, as `ros2 action send_goal --feedback` drives it.

use edgeflow_ros::constants::edgeflow_msgs::action::DeployModel::Feedback as step;
use edgeflow_ros::edgeflow_msgs::action::DeployModel::{Action, Goal};
use edgeflow_ros::{ActionClient, GoalStatus};
use futures::StreamExt;

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

async fn client(scene: &Scene) -> ActionClient<Action> {
    let client = scene.neighbour.create_action_client("inference_node/deploy_model").unwrap();
    client.wait_for_server(PATIENCE).await.unwrap();
    client
}

fn goal(path: &std::path::Path) -> Goal {
    Goal { bundle_path: path.to_str().unwrap().into(), model_name: "pixels".into(), model_version: "2".into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_tells_its_steps_and_ends_with_the_model_swapped_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    let client = client(&scene).await;
    let mut goal = client.send_goal(goal(&pixel_bundle(dir.path(), 1)), PATIENCE).await.unwrap();
    let mut told = Vec::new();
    while told.last() != Some(&step::ACTIVE) {
        let feedback = tokio::time::timeout(PATIENCE, goal.next()).await.unwrap().unwrap();
        assert!((0.0..=1.0).contains(&feedback.progress));
        told.push(feedback.status);
    }
    assert_eq!(told, [step::DOWNLOADING, step::VERIFYING, step::WARMING, step::ACTIVE]);
    let outcome = goal.result(PATIENCE).await.unwrap();
    assert_eq!(outcome.status, GoalStatus::Succeeded);
    assert!(outcome.result.success && outcome.result.digest.starts_with("sha256:") && outcome.result.swap_gap_us > 0);
    scene.shoot(1, gray(0));
    let result = next(&mut scene.results).await;
    assert_eq!((result.label.as_str(), result.model_digest), ("b", outcome.result.digest));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_fails_or_is_canceled_leaves_the_running_model_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    let client = client(&scene).await;
    let failed = client.send_goal(goal(&dir.path().join("nowhere")), PATIENCE).await.unwrap();
    let outcome = failed.result(PATIENCE).await.unwrap();
    assert_eq!(outcome.status, GoalStatus::Aborted);
    assert!(!outcome.result.success && outcome.result.message.contains("nowhere"), "{:?}", outcome.result);

    // A bundle on a pipe nobody writes to: it is being read until the test says so.
    let slow = dir.path().join("slow");
    std::fs::create_dir(&slow).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(slow.join("model.onnx")).status().unwrap().success());
    let mut canceled = client.send_goal(goal(&slow), PATIENCE).await.unwrap();
    while canceled.next().await.unwrap().status != step::VERIFYING {}
    canceled.cancel(PATIENCE).await.unwrap();
    // Each time it is opened; the last writer waits for a reader until the process ends.
    std::thread::spawn(move || while std::fs::write(slow.join("model.onnx"), pixel_model([0.0; 4])).is_ok() {});
    let outcome = canceled.result(PATIENCE).await.unwrap();
    assert_eq!(outcome.status, GoalStatus::Canceled, "{:?}", outcome.result);
    assert!(!outcome.result.success);

    scene.shoot(1, gray(0));
    let result = next(&mut scene.results).await;
    assert_eq!((result.label.as_str(), &result.model_digest), ("a", &outcome.result.digest));
    scene.stop().await;
}
