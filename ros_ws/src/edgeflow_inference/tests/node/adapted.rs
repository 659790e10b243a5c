//! Scans, samples and arrays on their topics, to results with their headers.

use edgeflow_inference::node::Counters;
use edgeflow_ros::edgeflow_msgs::msg::{InferenceResult, ShadowResult, Tensor};
use edgeflow_ros::edgeflow_msgs::srv::{Infer, SetShadow};
use edgeflow_ros::sensor_msgs::msg::{Imu, JointState, PointCloud2, PointField};
use edgeflow_ros::std_msgs::msg::Float32MultiArray;
use edgeflow_ros::{Message, Publisher, QosProfile, Queue};

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

impl Scene {
    pub(crate) async fn source<T: Message>(&self, leaf: &str) -> Publisher<T> {
        let publisher = self.neighbour.create_publisher::<T>(&format!("inference_node/{leaf}"), QosProfile::default().keep_all()).unwrap();
        assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
        publisher
    }
}

/// A parameter that makes every message on a topic count.
pub(crate) fn reliable(leaf: &str) -> (String, &'static str) {
    (format!("qos_overrides./inference_node/{leaf}.subscription.reliability"), "reliable")
}

/// A graph that gives back what it is given.
pub(crate) fn mirror(shape: &[u64]) -> Vec<u8> {
    model(&[node("Identity", &["x"], &["y"])], &[], &[value("x", FLOAT, shape)], &[value("y", FLOAT, shape)])
}

fn floats_of(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.dtype, Tensor::FLOAT32);
    tensor.data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Stamp in seconds, source and numbers of a result.
fn told(result: &InferenceResult) -> (i32, &str, Vec<f32>) {
    (result.header.stamp.sec, result.header.frame_id.as_str(), floats_of(&result.outputs[0]))
}

/// A scan of x, y as float32 and an intensity of 16 bits, with two bytes of padding.
pub(crate) fn scan(stamp: i32, points: &[(f32, f32, u16)]) -> PointCloud2 {
    let field = |name: &str, offset, datatype| PointField { name: name.into(), offset, datatype, count: 1 };
    let point = |&(x, y, intensity): &(f32, f32, u16)| [&x.to_le_bytes()[..], &y.to_le_bytes(), &intensity.to_le_bytes(), &[0; 2]].concat();
    let mut scan = PointCloud2 {
        height: 1,
        width: points.len() as u32,
        fields: vec![field("x", 0, 7), field("y", 4, 7), field("intensity", 8, 4)],
        point_step: 12,
        row_step: 12 * points.len() as u32,
        data: points.iter().flat_map(point).collect(),
        ..Default::default()
    };
    scan.header.stamp.sec = stamp;
    scan.header.frame_id = "lidar".into();
    scan
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_becomes_its_points_and_what_is_no_such_scan_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "v: 1\ninput: {kind: point_cloud, fields: [intensity, x], scale: [0.001, 1]}\n";
    let bundle = bundle(&dir.path().join("scans"), &mirror(&[1, 0, 2]), Some(manifest));
    let (name, value) = reliable("points");
    let mut scene = Scene::loaded(&bundle, &[(&name, value)]).await;
    let lidar = scene.source::<PointCloud2>("points").await;
    lidar.publish(&scan(1, &[(1.5, 9.0, 500), (f32::NAN, 9.0, 7), (-2.5, 9.0, 60_000)])).unwrap();
    let result = next(&mut scene.results).await;
    assert_eq!(told(&result), (1, "lidar", vec![0.5, 1.5, 60.0, -2.5]));
    assert_eq!(result.outputs[0].shape, [1, 2, 2]);

    let mut without = scan(2, &[(1.0, 2.0, 3)]);
    without.fields.truncate(2);
    lidar.publish(&without).unwrap();
    scene.shoot(3, gray(0));
    lidar.publish(&scan(4, &[(1.0, 2.0, 3000)])).unwrap();
    assert_eq!(told(&next(&mut scene.results).await), (4, "lidar", vec![3.0, 1.0]));
    let answer = scene.infer.call(&Infer::Request { image: gray(0), ..Default::default() }, PATIENCE).await.unwrap();
    assert_eq!(answer.message, "this model takes no images: its edgeflow.yaml describes point_cloud");
    assert_eq!(scene.stop().await, Counters { results: 2, refused: 2, ..Counters::default() });
}

pub(crate) fn turning(stamp_ms: u32, rate: f64) -> Imu {
    let mut imu = Imu::default();
    imu.header.stamp.sec = (stamp_ms / 1000) as i32;
    imu.header.stamp.nanosec = stamp_ms % 1000 * 1_000_000;
    imu.header.frame_id = "imu_link".into();
    imu.angular_velocity.z = rate;
    imu.orientation_covariance[0] = -1.0;
    imu
}

/// What a window of two rates is made of here: a stride of two, and gaps of more than 50 ms end it.
pub(crate) const TURNING: &str =
    "v: 1\ninput: {kind: imu, fields: [angular_velocity.z], window: 2, stride: 2, max_gap_s: 0.05, std: [2]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_an_imu_are_computed_by_stride_and_never_over_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&dir.path().join("turning"), &mirror(&[1, 2, 1]), Some(TURNING));
    let (name, value) = reliable("imu");
    let mut scene = Scene::loaded(&path, &[(&name, value)]).await;
    let imu = scene.source::<Imu>("imu").await;
    for (ms, rate) in [(0, 0.0), (10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0), (900, 9.0), (910, 10.0), (905, 8.0), (915, 6.0)] {
        imu.publish(&turning(ms, rate)).unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        let result = next(&mut scene.results).await;
        assert_eq!(result.header.frame_id, "imu_link");
        seen.push((result.header.stamp.nanosec / 1_000_000, floats_of(&result.outputs[0])));
    }
    assert_eq!(seen, [(10, vec![0.0, 0.5]), (30, vec![1.0, 1.5]), (910, vec![4.5, 5.0]), (915, vec![4.0, 3.0])]);
    // Another model takes what an IMU without a compass does not know.
    let upright = "v: 1\ninput: {kind: imu, fields: [orientation.w]}\n";
    let upright = bundle(&dir.path().join("upright"), &mirror(&[1, 1, 1]), Some(upright));
    assert!(scene.call_load(&upright, "").await.success);
    let mut known = turning(951, 0.0);
    (known.orientation.w, known.orientation_covariance[0]) = (1.0, 0.1);
    imu.publish(&turning(950, 0.0)).unwrap();
    imu.publish(&known).unwrap();
    assert_eq!(told(&next(&mut scene.results).await).2, [1.0]);
    // Its messages are no neighbours of the first one's.
    assert!(scene.call_load(&path, "").await.success);
    imu.publish(&turning(960, 2.0)).unwrap();
    imu.publish(&turning(970, 4.0)).unwrap();
    assert_eq!(told(&next(&mut scene.results).await).2, [1.0, 2.0]);
    assert_eq!(scene.stop().await, Counters { results: 6, refused: 1, gathered: 6, interrupted: 2, ..Counters::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_given_the_windows_of_the_active_model() {
    let dir = tempfile::tempdir().unwrap();
    let active = bundle(&dir.path().join("turning"), &mirror(&[1, 2, 1]), Some(TURNING));
    let twice = model(&[node("Add", &["x", "x"], &["y"])], &[], &[value("x", FLOAT, &[1, 2, 1])], &[value("y", FLOAT, &[1, 2, 1])]);
    let shadow = bundle(&dir.path().join("twice"), &twice, Some(TURNING));
    let other = bundle(&dir.path().join("other"), &mirror(&[1, 2, 1]), Some(&TURNING.replace("stride: 2", "stride: 1")));
    let (name, value) = reliable("imu");
    let mut scene = Scene::loaded(&active, &[(&name, value)]).await;
    let imu = scene.source::<Imu>("imu").await;
    let set = scene.neighbour.create_client::<SetShadow::Service>("inference_node/set_shadow").unwrap();
    set.wait_for_service(PATIENCE).await.unwrap();
    let mut comparisons = scene.neighbour.subscribe::<ShadowResult>("inference_node/shadow", QosProfile::default(), Queue::all()).unwrap();
    let mut stamp = 0;
    for (path, difference, error) in [(shadow, 3.0, ""), (other, f64::NAN, "its `input` is another than that of the active model")] {
        let request = SetShadow::Request { bundle_path: path.to_str().unwrap().into(), ..Default::default() };
        assert!(set.call(&request, PATIENCE).await.unwrap().success);
        assert!(scene.node.node().wait_for_graph(PATIENCE, |n| n.count_subscribers("~/shadow").unwrap_or(0) > 0).await);
        for rate in [4.0, 6.0] {
            stamp += 10;
            imu.publish(&turning(stamp, rate)).unwrap();
        }
        assert_eq!(told(&next(&mut scene.results).await).2, [2.0, 3.0]);
        let seen = next(&mut comparisons).await;
        assert!(seen.error.contains(error) && seen.error.is_empty() == error.is_empty(), "{seen:?}");
        assert_eq!(seen.max_difference.to_bits(), difference.to_bits(), "{seen:?}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joint_states_are_found_by_name_and_constants_fill_the_other_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = model(
        &[node("Mul", &["state", "gain"], &["y"])],
        &[],
        &[value("state", FLOAT, &[1, 4]), value("gain", FLOAT, &[1])],
        &[value("y", FLOAT, &[1, 4])],
    );
    let manifest = "v: 1
input: {kind: joint_state, tensor: state, joints: [shoulder, elbow], fields: [position, velocity], layout: flat}
constants: [{name: gain, shape: [1], data: [10]}]
";
    let arm = bundle(&dir.path().join("arm"), &onnx, Some(manifest));
    let (name, value) = reliable("arm/joint_states");
    let parameters = [("slots", "[default, arm]"), ("arm.bundle_path", arm.to_str().unwrap()), (&name, value)];
    let scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &parameters).await;
    let mut results =
        scene.neighbour.subscribe::<InferenceResult>("inference_node/arm/result", QosProfile::default().keep_all(), Queue::all()).unwrap();
    assert!(scene.node.node().wait_for_graph(PATIENCE, |n| n.count_subscribers("~/arm/result").unwrap_or(0) > 0).await);
    let joints = scene.source::<JointState>("arm/joint_states").await;
    let mut state = JointState {
        name: ["gripper", "elbow", "shoulder"].map(String::from).to_vec(),
        position: vec![9.0, 2.0, 1.0],
        velocity: vec![9.0, 0.2, 0.1],
        ..Default::default()
    };
    state.header.stamp.sec = 5;
    joints.publish(&JointState { velocity: vec![], ..state.clone() }).unwrap();
    joints.publish(&state).unwrap();
    let result = next(&mut results).await;
    assert_eq!((told(&result), result.slot.as_str()), ((5, "", vec![10.0, 20.0, 1.0, 2.0]), "arm"));
    assert_eq!(scene.stop().await, Counters { results: 1, refused: 1, ..Counters::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_are_stamped_when_they_come() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "v: 1\ninput: {kind: array, elements: 2, window: 2, layout: columns_rows, max_gap_s: 60}\n";
    let path = bundle(&dir.path().join("arrays"), &mirror(&[1, 2, 2]), Some(manifest));
    let (name, value) = reliable("array");
    let mut scene = Scene::loaded(&path, &[(&name, value)]).await;
    let arrays = scene.source::<Float32MultiArray>("array").await;
    let before = scene.neighbour.now();
    for data in [vec![1.0, 2.0], vec![7.0], vec![3.0, 4.0]] {
        arrays.publish(&Float32MultiArray { data, ..Default::default() }).unwrap();
    }
    let result = next(&mut scene.results).await;
    assert_eq!(floats_of(&result.outputs[0]), [1.0, 3.0, 2.0, 4.0]);
    assert!((result.header.stamp.sec, result.header.stamp.nanosec) >= (before.sec, before.nanosec), "{:?} {before:?}", result.header);
    assert_eq!(scene.stop().await, Counters { results: 1, refused: 1, gathered: 1, ..Counters::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_fills_one_of_several_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let onnx = model(
        &[node("Add", &["X", "bias"], &["probabilities"])],
        &[],
        &[value("X", FLOAT, &[0, 4]), value("bias", FLOAT, &[1, 4])],
        &[value("probabilities", FLOAT, &[0, 4])],
    );
    let with = |constants: &str| {
        let image = PIXEL_MANIFEST.replace("input: {encoding", "input: {tensor: X, encoding");
        assert_ne!(image, PIXEL_MANIFEST);
        format!("{image}{constants}")
    };
    let good = bundle(&dir.path().join("good"), &onnx, Some(&with("constants: [{name: bias, shape: [1, 4], data: [0, 0, 2, 0]}]\n")));
    let bad = bundle(&dir.path().join("bad"), &onnx, Some(&with("")));
    let mut scene = Scene::loaded(&good, &[]).await;
    scene.shoot(1, gray(0));
    assert_eq!(next(&mut scene.results).await.label, "c");
    let answer = scene.call_load(&bad, "").await;
    assert!(
        !answer.success && answer.message.contains("the graph also wants bias; give what is always the same as `constants`"),
        "{answer:?}"
    );
    scene.stop().await;
}
