//! Frames, requests, bundles and drift, while the node is active.

use std::net::SocketAddr;
use std::sync::Arc;

use edgeflow_drift::{BaselineBuilder, IMAGE_FEATURES, image_features};
use edgeflow_inference::node::{Counters, InferenceNode};
use edgeflow_ros::edgeflow_msgs::msg::{DeploymentStatus, Tensor, TensorList};
use edgeflow_ros::edgeflow_msgs::srv::{Infer, LoadModel};
use edgeflow_ros::router::Router;
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::{Context, QosProfile, Queue};

use super::support::*;
use super::{PATIENCE, Scene, gray, next};

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_images_cross_a_swap_in_order_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (pixel_bundle(dir.path(), 0), pixel_bundle(dir.path(), 1));
    let mut scene = Scene::loaded(&old, &[]).await;

    (0..100).for_each(|i| scene.shoot(i, gray(0)));
    let mut results = vec![next(&mut scene.results).await];
    let swap = {
        let load = Arc::clone(&scene.load);
        let request = LoadModel::Request {
            bundle_path: new.to_str().unwrap().to_owned(),
            model_name: "pixels".into(),
            model_version: "2".into(),
            ..Default::default()
        };
        tokio::spawn(async move { load.call(&request, PATIENCE).await.unwrap() })
    };
    for i in 100..200 {
        scene.shoot(i, gray(0));
        tokio::task::yield_now().await;
    }
    let answer = swap.await.unwrap();
    assert!(answer.success, "{}", answer.message);
    assert!(answer.swap_gap_us > 0);
    let active = scene.status_until(DeploymentStatus::ACTIVE).await;
    assert_eq!((&active.digest, &active.running_digest, active.swap_gap_us), (&answer.digest, &answer.digest, answer.swap_gap_us));
    (200..300).for_each(|i| scene.shoot(i, gray(0)));

    while results.len() < 300 {
        results.push(next(&mut scene.results).await);
    }
    let stamps: Vec<i32> = results.iter().map(|r| r.header.stamp.sec).collect();
    assert_eq!(stamps, (0..300).collect::<Vec<_>>());
    assert!(results.iter().all(|r| r.header.frame_id == "camera" && r.model_name == "pixels"));
    // Each result is of the model it names, and the model changes once.
    for result in &results {
        let label = if result.model_digest == answer.digest { "b" } else { "a" };
        assert_eq!((result.label.as_str(), result.scores.len()), (label, 4));
        assert_eq!(result.model_version, if label == "b" { "2" } else { "1" });
    }
    let digests: Vec<&str> = results.iter().map(|r| r.model_digest.as_str()).collect();
    assert_eq!(digests.windows(2).filter(|d| d[0] != d[1]).count(), 1);
    assert!(digests[0] != answer.digest && digests[200] == answer.digest, "what was taken after ACTIVE is of the new model");

    let counters = scene.stop().await;
    assert_eq!((counters.results, counters.refused, counters.dropped, counters.without_model), (300, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bundles_fail_by_name_and_the_running_model_keeps_running() {
    let dir = tempfile::tempdir().unwrap();
    let good = pixel_bundle(dir.path(), 0);
    let mut scene = Scene::loaded(&good, &[]).await;
    let running = scene.info.call(&Default::default(), PATIENCE).await.unwrap().model;
    assert_eq!(
        (running.labels.len(), running.inputs[0].shape.as_slice(), running.outputs[0].dtype),
        (4, [-1, 4].as_slice(), Tensor::FLOAT32)
    );

    let whole = pixel_model([0.0; 4]);
    let corrupt = bundle(&dir.path().join("corrupt"), &whole[..whole.len() / 2], Some(PIXEL_MANIFEST));
    let other = pixel_bundle(dir.path(), 1);
    let missing = dir.path().join("nowhere");
    let zeros = format!("sha256:{}", "0".repeat(64));
    for (path, digest, want) in [
        (&corrupt, "", "model.onnx"),
        (&missing, "", "nowhere"),
        (&other, zeros.as_str(), "expected sha256:000"),
        (&other, running.digest.as_str(), "has digest"),
    ] {
        let answer = scene.call_load(path, digest).await;
        assert!(!answer.success && answer.message.contains(want), "{answer:?}");
        assert_eq!(answer.digest, running.digest);
        let failed = scene.status_until(DeploymentStatus::FAILED).await;
        assert_eq!((&failed.reason, &failed.running_digest, failed.digest.as_str()), (&answer.message, &running.digest, digest));
    }
    // Requests that mean nothing change no status.
    let answer = scene.call_load(&other, "sha256:12").await;
    assert!(!answer.success && answer.message.contains("sha256:12"), "{answer:?}");
    let slot = LoadModel::Request { slot: "second".into(), ..Default::default() };
    let answer = scene.load.call(&slot, PATIENCE).await.unwrap();
    assert!(!answer.success && answer.message.contains("unknown slot `second`; this node has default"), "{answer:?}");

    scene.shoot(1, gray(0));
    let result = next(&mut scene.results).await;
    assert_eq!((result.model_digest.as_str(), result.label.as_str()), (running.digest.as_str(), "a"));

    // The same bundle under its right digest is taken.
    let answer = scene.call_load(&good, &running.digest).await;
    assert!(answer.success && answer.digest == running.digest, "{answer:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_frames_and_requests_are_refused_and_the_next_good_one_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 2), &[]).await;
    let bad = [
        (Image { encoding: "yuv411".into(), ..gray(0) }, "encoding `yuv411` is not supported"),
        (Image { data: vec![0; 15], ..gray(0) }, "data has 15 bytes, but height x step is 4 x 4 = 16"),
        (Image { step: 3, ..gray(0) }, "step is 3 bytes"),
        (Image { width: 0, ..gray(0) }, "it is 0 x 4 pixels"),
    ];
    for (image, want) in &bad {
        scene.shoot(0, image.clone());
        let answer = scene.infer.call(&Infer::Request { image: image.clone(), ..Default::default() }, PATIENCE).await.unwrap();
        assert!(!answer.success && answer.message.contains(want), "{answer:?}");
    }
    scene.shoot(7, gray(0));
    let result = next(&mut scene.results).await;
    assert_eq!((result.header.stamp.sec, result.label.as_str()), (7, "c"), "the first result is of the first good frame");

    let answer = scene.infer.call(&Infer::Request { image: gray(0), ..Default::default() }, PATIENCE).await.unwrap();
    assert!(answer.success && answer.result.label == "c" && answer.result.score == 2.0, "{answer:?}");
    assert_eq!((answer.outputs.len(), answer.outputs[0].shape.as_slice()), (1, [1, 4].as_slice()));

    let pixels: Vec<u8> = [0.0f32, 9.0, 0.0, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let x = Tensor { name: "X".into(), dtype: Tensor::FLOAT32, shape: vec![1, 4], data: pixels, ..Default::default() };
    let answer = scene.infer.call(&Infer::Request { inputs: vec![x.clone()], ..Default::default() }, PATIENCE).await.unwrap();
    assert!(answer.success && answer.result.label == "b", "{answer:?}");
    for (tensor, want) in [
        (Tensor { name: "Y".into(), ..x.clone() }, "tensor `Y` refused: the graph has no such input; it takes X"),
        (Tensor { shape: vec![1, 5], ..x.clone() }, "tensor `X` refused: shape [1, 5] of float32 needs 5 x 4 bytes, but data has 16"),
        (Tensor { shape: vec![2, 2], ..x.clone() }, "expected float32 of shape [-1, 4] (-1 is free), got float32 of shape [2, 2]"),
        (Tensor { dtype: Tensor::INT32, ..x }, "expected float32 of shape [-1, 4] (-1 is free), got int32"),
    ] {
        let answer = scene.infer.call(&Infer::Request { inputs: vec![tensor], ..Default::default() }, PATIENCE).await.unwrap();
        assert!(!answer.success && answer.message.contains(want), "{answer:?}");
    }
    let counters = scene.stop().await;
    assert_eq!((counters.results, counters.refused), (1, bad.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_model_the_node_says_so_and_waits_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let mut scene = Scene::new(&[("bundle_path", nowhere.to_str().unwrap())]).await;
    let failed = scene.status_until(DeploymentStatus::FAILED).await;
    assert!(failed.reason.contains("nowhere") && failed.running_digest.is_empty(), "{failed:?}");
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(!info.success && info.message.contains("no model is loaded; call ~/load_model"), "{info:?}");
    let answer = scene.infer.call(&Infer::Request { image: gray(0), ..Default::default() }, PATIENCE).await.unwrap();
    assert!(!answer.success && answer.message.contains("no model is loaded"), "{answer:?}");

    let answer = scene.call_load(&pixel_bundle(dir.path(), 3), "").await;
    assert!(answer.success && answer.swap_gap_us == 0, "{answer:?}");
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap();
    assert!(info.success && info.model.digest == answer.digest && info.model.model_digest != answer.digest, "{info:?}");
    assert_eq!((info.model.producer.as_str(), info.model.opset), ("edgeflow tests", 13));
    // The latched status reaches whoever comes now.
    let mut late = scene
        .neighbour
        .subscribe::<DeploymentStatus>("inference_node/status", QosProfile::default().transient_local(), Queue::all())
        .unwrap();
    let status = next(&mut late).await;
    assert_eq!((status.status, status.running_digest), (DeploymentStatus::ACTIVE, answer.digest));
    scene.stop().await;
}

/// Baseline of flat frames whose grey goes through `levels`.
fn baseline(levels: std::ops::Range<u8>) -> String {
    let mut builder = BaselineBuilder::new(&IMAGE_FEATURES[..1]);
    for i in 0..400u32 {
        let level = levels.start + (i * 17 % (u32::from(levels.end - levels.start))) as u8;
        let values = image_features(&[level; 16], 4, 4, 4).unwrap().values();
        builder.push(&values[..1]).unwrap();
    }
    builder.build().unwrap().to_json().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drift_window_goes_on_across_a_swap_to_the_same_baseline_and_begins_anew_with_another() {
    let dir = tempfile::tempdir().unwrap();
    let bundles: Vec<_> = (0..3).map(|i| pixel_bundle(dir.path(), i)).collect();
    for (bundle, levels) in bundles.iter().zip([100..140, 100..140, 100..200]) {
        std::fs::write(bundle.join("baseline.json"), baseline(levels)).unwrap();
    }
    let mut scene = Scene::loaded(&bundles[0], &[("drift_window_frames", "40")]).await;
    let mut stamp = 0;
    let mut shoot = async |scene: &mut Scene, frames: u32, level: &dyn Fn(u32) -> u8| {
        for i in 0..frames {
            stamp += 1;
            scene.shoot(stamp, gray(level(i)));
        }
        // All of them computed, by the model that is active now.
        while next(&mut scene.results).await.header.stamp.sec < stamp {}
    };
    let usual = |i: u32| 100 + (i * 17 % 40) as u8;

    shoot(&mut scene, 25, &usual).await;
    let second = scene.call_load(&bundles[1], "").await;
    assert!(second.success, "{}", second.message);
    shoot(&mut scene, 15, &|i| usual(i + 25)).await;
    let report = next(&mut scene.drift).await;
    assert_eq!((report.window, report.window_start.sec, report.header.stamp.sec), (1, 1, 40));
    assert_eq!(
        (report.baseline.as_str(), report.model_digest.as_str(), report.model_version.as_str()),
        ("bundle", second.digest.as_str(), "2")
    );
    assert_eq!((report.features.len(), report.features[0].name.as_str(), report.features[0].n), (1, "brightness", 40));
    assert!(!report.flagged, "{report:?}");

    // Twice as bright: one significant window is chance, two are drift.
    shoot(&mut scene, 80, &|i| 200 + (i * 17 % 40) as u8).await;
    let (first, then) = (next(&mut scene.drift).await, next(&mut scene.drift).await);
    assert_eq!((first.flagged, then.flagged, then.window), (false, true, 3), "{then:?}");
    assert!(then.max_psi > then.features[0].psi_threshold && then.features[0].mean > 199.0, "{then:?}");

    // Another baseline: frames begun under the old one are not mixed in.
    shoot(&mut scene, 10, &usual).await;
    assert!(scene.call_load(&bundles[2], "").await.success);
    shoot(&mut scene, 40, &|i| 100 + (i * 17 % 100) as u8).await;
    let report = next(&mut scene.drift).await;
    assert_eq!((report.window, report.window_start.sec, report.flagged), (1, 131, false), "{report:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_baseline_one_is_learnt_from_the_first_frames_and_reports_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = [("drift_window_frames", "50"), ("drift_baseline_frames", "200")];
    let mut scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &parameters).await;
    (0..250).for_each(|i| scene.shoot(i, gray(100 + (i * 17 % 40) as u8)));
    let report = next(&mut scene.drift).await;
    assert_eq!((report.baseline.as_str(), report.window, report.window_start.sec, report.header.stamp.sec), ("learnt", 1, 200, 249));
    let names: Vec<&str> = report.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["brightness", "contrast", "sharpness", "output.class", "output.confidence"]);
    assert!(!report.flagged);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_mean_nothing_stop_the_start() {
    let router = Router::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    for (parameter, want) in [
        ("bundle_pth:=x", "no parameter bundle_pth"),
        ("queue_policy:=newest", "parameter queue_policy of /inference_node must be one of all, latest, got \"newest\""),
        ("queue_depth:=0", "parameter queue_depth of /inference_node must be from 1 to 100000, got 0"),
        ("queue_depth:=many", "queue_depth"),
        ("slots:=[a, a]", "slot \"a\" is named twice"),
        ("slots:=[A]", "must be lower-case letters"),
        ("execution_providers:=[npu]", "must be of cpu, cuda, tensorrt, openvino, got \"npu\""),
        ("max_concurrent_requests:=0", "must be from 1 to 10000, got 0"),
        ("qos_overrides./inference_node/image.subscription.reliability:=maybe", "maybe"),
        ("drift_window_frames:=5", "must be from 20 to 1000000, got 5"),
        ("drift_false_alarms_per_day:=2000.0", "drift_false_alarms_per_day of /inference_node must be from"),
        ("onnxruntime:=/nowhere/libonnxruntime.so", "/nowhere/libonnxruntime.so"),
    ] {
        let arguments = ["--ros-args", "-p", parameter].map(str::to_owned);
        let context = Context::builder().arguments(arguments).router(router.addr()).build().unwrap();
        let error = InferenceNode::start(&context).map(drop).unwrap_err().to_string();
        assert!(error.contains(want), "{parameter}: {error}");
        context.shutdown().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_with_a_stamp_give_results_with_it_and_the_graph_is_described() {
    let dir = tempfile::tempdir().unwrap();
    // sum = a + b: two inputs, no image.
    let mut onnx = model(
        &[node("Add", &["a", "b"], &["sum"])],
        &[],
        &[value("a", INT64, &[0, 2]), value("b", INT64, &[2])],
        &[value("sum", INT64, &[0, 2])],
    );
    onnx.extend(with_metadata("trained_on", "numbers"));
    let mut scene = Scene::loaded(&bundle(&dir.path().join("adds"), &onnx, None), &[("intra_op_threads", "2")]).await;
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap().model;
    let inputs: Vec<_> =
        info.inputs.iter().map(|i| (i.name.as_str(), i.dtype, i.type_name.as_str(), i.shape.clone(), i.rank_known)).collect();
    assert_eq!(inputs, [("a", Tensor::INT64, "int64", vec![-1, 2], true), ("b", Tensor::INT64, "int64", vec![2], true)]);
    assert_eq!((info.opset, info.ir_version, info.producer.as_str(), info.outputs[0].name.as_str()), (13, 8, "edgeflow tests", "sum"));
    assert_eq!((info.metadata[0].key.as_str(), info.metadata[0].value.as_str()), ("trained_on", "numbers"));

    let tensors = scene.neighbour.create_publisher::<TensorList>("inference_node/tensors", QosProfile::default()).unwrap();
    assert!(tensors.wait_for_subscribers(1, PATIENCE).await);
    let int64 = |name: &str, shape: &[i64], values: &[i64]| Tensor {
        name: name.into(),
        dtype: Tensor::INT64,
        shape: shape.to_vec(),
        data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    };
    let list = |stamp: i32, tensors: Vec<Tensor>| {
        let mut list = TensorList { tensors, ..Default::default() };
        list.header.stamp.sec = stamp;
        list.header.frame_id = "wheels".into();
        list
    };
    let (a, b) = (int64("a", &[1, 2], &[1, 2]), int64("b", &[2], &[10, 20]));
    tensors.publish(&list(1, vec![a.clone()])).unwrap();
    tensors.publish(&list(2, vec![b.clone(), a.clone()])).unwrap();
    let result = next(&mut scene.results).await;
    assert_eq!((result.header.stamp.sec, result.header.frame_id.as_str(), result.class_id), (2, "wheels", -1), "the first list lacks `b`");
    assert_eq!(result.slot, "default");
    assert_eq!(result.outputs, [int64("sum", &[1, 2], &[11, 22])]);

    let answer = scene.infer.call(&Infer::Request { inputs: vec![a, b], ..Default::default() }, PATIENCE).await.unwrap();
    assert!(answer.success && answer.result.outputs.is_empty(), "{answer:?}");
    assert_eq!(answer.outputs, result.outputs);
    assert_eq!(scene.stop().await, Counters { results: 1, refused: 1, ..Counters::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cast_or_left_out_of_results_is_said_in_the_models_info() {
    const FLOAT8E5M2: u64 = 19;
    let dir = tempfile::tempdir().unwrap();
    // A sequence of tensors, whose type has them in a field of its own.
    let floats = Proto::default().message(1, &Proto::default().int(1, FLOAT));
    let parts = Proto::default().text(1, "parts").message(2, &Proto::default().message(4, &Proto::default().message(1, &floats)));
    let onnx = model_of(
        21,
        10,
        &[node("SplitToSequence", &["X"], &["parts"]), cast("X", "Y", FLOAT8E5M2)],
        &[],
        &[value("X", FLOAT, &[1, 2])],
        &[parts, value("Y", FLOAT8E5M2, &[1, 2])],
    );
    let scene = Scene::loaded(&bundle(&dir.path().join("odd"), &onnx, None), &[("io_binding", "always")]).await;
    let info = scene.info.call(&Default::default(), PATIENCE).await.unwrap().model;
    let [parts, y] = &info.outputs[..] else { panic!("{info:?}") };
    assert!(parts.type_name.starts_with("seq(float32) (not moved: ") && parts.type_name.contains("SequenceAt"), "{parts:?}");
    assert_eq!((y.dtype, y.type_name.as_str()), (Tensor::FLOAT32, "float32 for float8e5m2"));
    let data = [1.0f32, 0.1].iter().flat_map(|x| x.to_le_bytes()).collect();
    let x = Tensor { name: "X".into(), dtype: Tensor::FLOAT32, shape: vec![1, 2], data, ..Default::default() };
    let answer = scene.infer.call(&Infer::Request { inputs: vec![x], ..Default::default() }, PATIENCE).await.unwrap();
    assert!(answer.success && answer.outputs.len() == 1, "{answer:?}");
    let expected: Vec<u8> = [1.0f32, 0.09375].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!((answer.outputs[0].name.as_str(), answer.outputs[0].dtype, &answer.outputs[0].data), ("Y", Tensor::FLOAT32, &expected));
    scene.stop().await;
}
