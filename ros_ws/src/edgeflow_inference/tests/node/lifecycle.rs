//! The lifecycle, as `ros2 lifecycle` and a lifecycle manager drive it.

use edgeflow_ros::constants::lifecycle_msgs::msg::{State, Transition};
use edgeflow_ros::edgeflow_msgs::msg::DeploymentStatus;
use edgeflow_ros::edgeflow_msgs::srv::Infer;
use edgeflow_ros::lifecycle_msgs::{
    msg::{self, TransitionEvent},
    srv::{ChangeState, GetState},
};
use edgeflow_ros::{ParameterClient, ParameterValue, QosProfile, Queue};

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

impl Scene {
    /// A node that waits to be told, with a bundle to load.
    async fn managed(bundle: &std::path::Path) -> Self {
        Self::joined(&[("autostart", "false"), ("bundle_path", bundle.to_str().unwrap())]).await
    }

    /// Asks for a transition; whether it succeeded.
    async fn change(&self, id: u8) -> bool {
        let client = self.neighbour.create_client::<ChangeState::Service>("inference_node/change_state").unwrap();
        client.wait_for_service(PATIENCE).await.unwrap();
        let request = ChangeState::Request { transition: msg::Transition { id, ..Default::default() } };
        client.call(&request, PATIENCE).await.unwrap().success
    }

    async fn state(&self) -> u8 {
        let client = self.neighbour.create_client::<GetState::Service>("inference_node/get_state").unwrap();
        client.wait_for_service(PATIENCE).await.unwrap();
        client.call(&GetState::Request::default(), PATIENCE).await.unwrap().current_state.id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_active_node_takes_frames_and_cleanup_frees_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::managed(&pixel_bundle(dir.path(), 1)).await;
    assert_eq!(scene.state().await, State::PRIMARY_STATE_UNCONFIGURED);
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(!info.success, "nothing is loaded before configure: {info:?}");

    assert!(scene.change(Transition::TRANSITION_CONFIGURE).await);
    assert_eq!(scene.state().await, State::PRIMARY_STATE_INACTIVE);
    let active = scene.status_until(DeploymentStatus::ACTIVE).await;
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(info.success && info.model.digest == active.digest, "{info:?}");
    assert_eq!(scene.camera.subscriber_count(), 0, "an inactive node hears no camera");
    let answer = scene.infer.call(&Infer::Request { image: gray(0), ..Default::default() }, PATIENCE).await.unwrap();
    assert!(!answer.success && answer.message.contains("ros2 lifecycle set /inference_node activate"), "{answer:?}");

    assert!(scene.change(Transition::TRANSITION_ACTIVATE).await);
    assert!(scene.camera.wait_for_subscribers(1, PATIENCE).await);
    scene.shoot(1, gray(0));
    assert_eq!(next(&mut scene.results).await.label, "b");

    assert!(scene.change(Transition::TRANSITION_DEACTIVATE).await);
    let camera = scene.camera.topic().to_owned();
    assert!(scene.neighbour.wait_for_graph(PATIENCE, |n| n.count_subscribers(&camera).unwrap() == 0).await);
    scene.shoot(2, gray(0));
    assert!(scene.change(Transition::TRANSITION_ACTIVATE).await);
    assert!(scene.camera.wait_for_subscribers(1, PATIENCE).await);
    scene.shoot(3, gray(0));
    assert_eq!(next(&mut scene.results).await.header.stamp.sec, 3, "the frame in between has no result");

    assert!(scene.change(Transition::TRANSITION_DEACTIVATE).await);
    assert!(scene.change(Transition::TRANSITION_CLEANUP).await);
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(!info.success && info.message.contains("no model is loaded"), "{info:?}");
    let status = scene.status_until(DeploymentStatus::PENDING).await;
    assert!(status.running_digest.is_empty(), "{status:?}");
    assert_eq!(scene.stop().await.results, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_node_is_not_configured_by_a_bundle_that_cannot_be_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::managed(&dir.path().join("nowhere")).await;
    assert!(!scene.change(Transition::TRANSITION_CONFIGURE).await);
    assert_eq!(scene.state().await, State::PRIMARY_STATE_UNCONFIGURED);
    let failed = scene.status_until(DeploymentStatus::FAILED).await;
    assert!(failed.reason.contains("nowhere"), "{failed:?}");
    assert!(!scene.change(Transition::TRANSITION_ACTIVATE).await, "not from unconfigured");
    // Another one may be named, as for any managed node.
    let path = pixel_bundle(dir.path(), 1).to_str().unwrap().to_owned();
    let parameters = ParameterClient::new(&scene.neighbour, "/inference_node", PATIENCE).unwrap();
    parameters.set("bundle_path", &ParameterValue::String(path)).await.unwrap();
    assert!(scene.change(Transition::TRANSITION_CONFIGURE).await);
    assert_eq!(scene.status_until(DeploymentStatus::ACTIVE).await.model_name, "says-1");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_shut_down_over_its_services_still_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    scene.shoot(1, gray(0));
    next(&mut scene.results).await;
    assert!(scene.change(Transition::TRANSITION_ACTIVE_SHUTDOWN).await);
    assert_eq!(scene.state().await, State::PRIMARY_STATE_FINALIZED);
    assert_eq!(scene.stop().await.results, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_told_as_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::managed(&pixel_bundle(dir.path(), 1)).await;
    let topic = "inference_node/transition_event";
    let mut events = scene.neighbour.subscribe::<TransitionEvent>(topic, QosProfile::default(), Queue::all()).unwrap();
    assert!(scene.node.node().wait_for_graph(PATIENCE, |n| n.count_subscribers("~/transition_event").unwrap_or(0) > 0).await);
    assert!(scene.change(Transition::TRANSITION_CONFIGURE).await);
    assert!(scene.change(Transition::TRANSITION_ACTIVATE).await);
    for step in [("unconfigured", "configuring"), ("configuring", "inactive"), ("inactive", "activating"), ("activating", "active")] {
        let event = next(&mut events).await;
        assert_eq!((event.start_state.label.as_str(), event.goal_state.label.as_str()), step);
    }
    scene.stop().await;
}
