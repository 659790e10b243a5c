//! Several models in one node, the way back, and a shadow.

use edgeflow_ros::edgeflow_msgs::msg::{DeploymentStatus, InferenceResult, ShadowResult};
use edgeflow_ros::edgeflow_msgs::srv::{GetModelInfo, Infer, LoadModel, RollbackModel, SetShadow};
use edgeflow_ros::rcl_interfaces::msg::{Parameter, ParameterType, ParameterValue};
use edgeflow_ros::rcl_interfaces::srv::SetParameters;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Client, QosProfile, Queue, Service};

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

impl Scene {
    pub(super) async fn client<S: Service>(&self, name: &str) -> Client<S> {
        let client = self.neighbour.create_client::<S>(&format!("inference_node/{name}")).unwrap();
        client.wait_for_service(PATIENCE).await.unwrap();
        client
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_serve_two_models_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, third) = (pixel_bundle(dir.path(), 0), pixel_bundle(dir.path(), 1), pixel_bundle(dir.path(), 2));
    let parameters = [
        ("slots", "[default, signs]"),
        ("signs.bundle_path", second.to_str().unwrap()),
        ("signs.model_version", "'7'"),
        ("qos_overrides./inference_node/signs/image.subscription.reliability", "reliable"),
    ];
    let mut scene = Scene::loaded(&first, &parameters).await;
    let reliable = QosProfile::default().keep_all();
    let camera = scene.neighbour.create_publisher::<Image>("inference_node/signs/image", reliable).unwrap();
    let mut results = scene.neighbour.subscribe::<InferenceResult>("inference_node/signs/result", reliable, Queue::all()).unwrap();
    assert!(camera.wait_for_subscribers(1, PATIENCE).await);
    assert!(scene.node.node().wait_for_graph(PATIENCE, |n| n.count_subscribers("~/signs/result").unwrap_or(0) > 0).await);
    camera.publish(&gray(0)).unwrap();
    scene.shoot(1, gray(0));
    let (here, there) = (next(&mut scene.results).await, next(&mut results).await);
    assert_eq!((here.slot.as_str(), here.label.as_str()), ("default", "a"));
    assert_eq!((there.slot.as_str(), there.label.as_str(), there.model_version.as_str()), ("signs", "b", "7"));

    let load = LoadModel::Request { slot: "signs".into(), bundle_path: third.to_str().unwrap().into(), ..Default::default() };
    assert!(scene.load.call(&load, PATIENCE).await.unwrap().success);
    let asked = Infer::Request { slot: "signs".into(), image: gray(0), ..Default::default() };
    let answer = scene.infer.call(&asked, PATIENCE).await.unwrap();
    assert_eq!((answer.result.slot.as_str(), answer.result.label.as_str()), ("signs", "c"), "{answer:?}");
    let answer = scene.infer.call(&Infer::Request { image: gray(0), ..Default::default() }, PATIENCE).await.unwrap();
    assert_eq!(answer.result.label, "a", "the other slot is untouched");
    let unknown = scene.info.call(&GetModelInfo::Request { slot: "faces".into() }, PATIENCE).await.unwrap();
    assert_eq!(unknown.message, "unknown slot `faces`; this node has default, signs");
    assert_eq!(scene.stop().await.results, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_model_before_back_without_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    let rollback = scene.client::<RollbackModel::Service>("rollback_model").await;
    let nothing = rollback.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(!nothing.success && nothing.message.contains("no previous model"), "{nothing:?}");

    let before = scene.info.call(&Default::default(), PATIENCE).await.unwrap().model;
    let loaded = scene.call_load(&pixel_bundle(dir.path(), 3), "").await;
    assert!(loaded.success && loaded.digest != before.digest);
    std::fs::remove_dir_all(dir.path()).unwrap();
    scene.status_until(DeploymentStatus::ACTIVE).await;
    let back = rollback.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(back.success && back.swap_gap_us > 0, "{back:?}");
    assert_eq!((&back.digest, &back.model_name, back.model_version.as_str()), (&before.digest, &before.name, "1"));
    let status = scene.status_until(DeploymentStatus::ROLLED_BACK).await;
    assert_eq!((&status.digest, &status.running_digest), (&loaded.digest, &before.digest));
    assert!(status.reason.contains("rolled back to pixels 1"), "{status:?}");
    scene.shoot(1, gray(0));
    assert_eq!(next(&mut scene.results).await.label, "a");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_its_results_are_never_published() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    let set = scene.client::<SetShadow::Service>("set_shadow").await;
    let bad = SetShadow::Request { bundle_path: "/nowhere".into(), ..Default::default() };
    let answer = set.call(&bad, PATIENCE).await.unwrap();
    assert!(!answer.success && answer.message.contains("/nowhere"), "{answer:?}");

    let mut comparisons = scene.neighbour.subscribe::<ShadowResult>("inference_node/shadow", QosProfile::default(), Queue::all()).unwrap();
    let other = pixel_bundle(dir.path(), 1);
    let request = SetShadow::Request { bundle_path: other.to_str().unwrap().into(), model_version: "9".into(), ..Default::default() };
    let shadow = set.call(&request, PATIENCE).await.unwrap();
    assert!(shadow.success, "{shadow:?}");
    assert!(scene.node.node().wait_for_graph(PATIENCE, |n| n.count_subscribers("~/shadow").unwrap_or(0) > 0).await);
    let running = scene.info.call(&Default::default(), PATIENCE).await.unwrap().model.digest;
    assert_ne!(running, shadow.digest);
    for stamp in 1..=3 {
        scene.shoot(stamp, gray(0));
        assert_eq!(next(&mut scene.results).await.model_digest, running);
        let seen = next(&mut comparisons).await;
        assert_eq!((seen.header.stamp.sec, &seen.model_digest, &seen.shadow_digest), (stamp, &running, &shadow.digest));
        assert_eq!((seen.agrees, seen.label.as_str(), seen.shadow_label.as_str(), seen.shadow_version.as_str()), (false, "a", "b", "9"));
        assert_eq!((seen.compared, seen.agreed, seen.failed, seen.max_difference), (stamp as u64, 0, 0, 2.0));
    }
    // Beside itself it agrees, and the counts begin anew.
    assert!(scene.call_load(&other, &shadow.digest).await.success);
    scene.shoot(4, gray(0));
    let seen = next(&mut comparisons).await;
    assert_eq!((seen.agrees, seen.compared, seen.agreed, seen.max_difference), (true, 1, 1, 0.0));

    assert!(set.call(&Default::default(), PATIENCE).await.unwrap().success);
    let gone = scene.node.node().wait_for_graph(PATIENCE, |n| n.count_publishers("~/shadow").unwrap_or(1) == 0).await;
    assert!(gone, "without a shadow there is no topic");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_sessions_are_built_can_be_changed_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    let set = scene.client::<SetParameters::Service>("set_parameters").await;
    let value = |providers: &[&str]| ParameterValue {
        type_: ParameterType::PARAMETER_STRING_ARRAY,
        string_array_value: providers.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let put = async |providers: &[&str]| {
        let parameters = vec![Parameter { name: "execution_providers".into(), value: value(providers) }];
        set.call(&SetParameters::Request { parameters }, PATIENCE).await.unwrap().results.remove(0)
    };
    let refused = put(&["abacus"]).await;
    assert!(!refused.successful && refused.reason.contains("of cpu, cuda, tensorrt, openvino, got \"abacus\""), "{refused:?}");
    assert!(put(&["cuda", "cpu"]).await.successful);
    let answer = scene.call_load(&pixel_bundle(dir.path(), 1), "").await;
    assert!(!answer.success && answer.message.contains("no execution provider `cuda`, it offers cpu"), "{answer:?}");
    assert!(put(&["cpu"]).await.successful);
    assert!(scene.call_load(&pixel_bundle(dir.path(), 1), "").await.success);
    scene.stop().await;
}
