//! Drift of what the model says, baselines that are set while the node runs, and vectors.

use std::path::{Path, PathBuf};

use edgeflow_drift::{Baseline, BaselineBuilder, OUTPUT_PREFIX};
use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport, Tensor, TensorList};
use edgeflow_ros::edgeflow_msgs::srv::{ResetDrift, SetBaseline};
use edgeflow_ros::rcl_interfaces::msg::{Parameter, ParameterValue};
use edgeflow_ros::rcl_interfaces::srv::SetParameters;
use edgeflow_ros::sensor_msgs::msg::Image;

use super::support::{FLOAT, PIXEL_MANIFEST, bundle, floats, model, node, pixel_bundle, pixel_model, value};
use super::*;

/// Numbers that look random enough, 0 to 1.
pub(crate) fn scatter(i: i32) -> f64 {
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11) as f64 / (1u64 << 53) as f64
}

/// A frame whose brightest quarter says which class it is; as a whole all of them are alike.
fn lit(quarter: usize) -> Image {
    let data = (0..16).map(|i| if (i / 8) * 2 + (i % 4) / 2 == quarter { 200 } else { 40 }).collect();
    Image { width: 4, height: 4, step: 4, encoding: "mono8".into(), data, ..Default::default() }
}

/// A bundle whose class is the brightest quarter.
fn quarters(dir: &Path) -> PathBuf {
    bundle(&dir.join("quarters"), &pixel_model([0.0; 4]), Some(PIXEL_MANIFEST))
}

pub(crate) fn feature<'a>(report: &'a DriftReport, name: &str) -> &'a DriftFeature {
    report.features.iter().find(|feature| feature.name == name).unwrap_or_else(|| panic!("no {name} in {report:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_comes_to_say_something_else_is_drift_though_its_frames_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = [("drift_window_frames", "50"), ("drift_baseline_frames", "200")];
    let mut scene = Scene::loaded(&quarters(dir.path()), &parameters).await;
    (0..250).for_each(|i| scene.shoot(i, lit((4.0 * scatter(i)) as usize)));
    let usual = next(&mut scene.drift).await;
    let names: Vec<&str> = usual.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["brightness", "contrast", "sharpness", "output.class", "output.confidence"]);
    let class = feature(&usual, "output.class");
    assert_eq!(class.categories, ["a", "b", "c", "d", "(other)"]);
    assert_eq!((class.subject.as_str(), class.baseline.as_str(), class.counts.iter().sum::<u64>()), ("output", "learnt", 50));
    assert_eq!(feature(&usual, "brightness").subject, "input");
    assert!(!usual.flagged && usual.duration_s == 50.0 && usual.false_alarms_per_day == 0.1, "{usual:?}");

    (250..350).for_each(|i| scene.shoot(i, lit(2)));
    let (first, second) = (next(&mut scene.drift).await, next(&mut scene.drift).await);
    assert!(!first.flagged && feature(&first, "output.class").significant, "{first:?}");
    let flagged: Vec<&str> = second.features.iter().filter(|f| f.flagged).map(|f| f.name.as_str()).collect();
    assert_eq!(flagged, ["output.class"]);
    let class = feature(&second, "output.class");
    assert!(class.chi_square > class.chi_square_threshold && class.p_value <= class.p_threshold && class.mean.is_nan(), "{class:?}");
    assert_eq!(class.counts, [0, 0, 50, 0, 0]);

    // Another model says other things of the same frames: they are learnt anew, while the camera's window goes on.
    (350..375).for_each(|i| scene.shoot(i, lit(2)));
    while next(&mut scene.results).await.header.stamp.sec < 374 {}
    assert!(scene.call_load(&pixel_bundle(dir.path(), 3), "").await.success);
    (375..400).for_each(|i| scene.shoot(i, lit(2)));
    let report = next(&mut scene.drift).await;
    let names: Vec<&str> = report.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!((report.window, report.window_start.sec, report.flagged), (4, 350, false), "{report:?}");
    assert_eq!(names, ["brightness", "contrast", "sharpness"]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_anew_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = [("drift_window_frames", "50"), ("drift_baseline_frames", "100")];
    let mut scene = Scene::loaded(&quarters(dir.path()), &parameters).await;
    let reset = scene.client::<ResetDrift::Service>("reset_drift").await;
    (0..100).for_each(|i| scene.shoot(i, lit((4.0 * scatter(i)) as usize)));
    (100..200).for_each(|i| scene.shoot(i, lit(2)));
    let (_, flagged) = (next(&mut scene.drift).await, next(&mut scene.drift).await);
    assert!(flagged.flagged, "{flagged:?}");

    let answer = reset.call(&ResetDrift::Request::default(), PATIENCE).await.unwrap();
    assert!(answer.success, "{}", answer.message);
    // What was drift is what is usual now.
    (200..400).for_each(|i| scene.shoot(i, lit(2)));
    let reports = [next(&mut scene.drift).await, next(&mut scene.drift).await];
    assert_eq!(
        reports.each_ref().map(|report| (report.window, report.window_start.sec, report.flagged)),
        [(1, 300, false), (2, 350, false)]
    );

    let answer = reset.call(&ResetDrift::Request { slot: "other".into() }, PATIENCE).await.unwrap();
    assert!(!answer.success && answer.message.contains("unknown slot `other`"), "{}", answer.message);
    scene.stop().await;
}

/// A baseline of brightness alone, of levels from there on.
fn brightness(from: f64) -> Baseline {
    let mut builder = BaselineBuilder::new(&[("brightness", "0..255")]);
    (0..400).for_each(|i| builder.push(&[from + (40.0 * scatter(i)).floor()]).unwrap());
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_is_set_while_the_node_runs_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = pixel_bundle(dir.path(), 0);
    std::fs::write(path.join("baseline.json"), brightness(100.0).to_json().unwrap()).unwrap();
    let mut scene = Scene::loaded(&path, &[("drift_window_frames", "20")]).await;
    let set = scene.client::<SetBaseline::Service>("set_baseline").await;
    let stamp = std::cell::Cell::new(0);
    let shoot = |scene: &Scene, from: u8| {
        stamp.set(stamp.get() + 1);
        scene.shoot(stamp.get(), gray(from + (40.0 * scatter(1000 + stamp.get())) as u8));
    };
    // Twenty frames of a level, and their report.
    let window = async |scene: &mut Scene, from: u8| {
        (0..20).for_each(|_| shoot(scene, from));
        next(&mut scene.drift).await
    };
    let report = window(&mut scene, 100).await;
    assert!(!report.flagged && !report.features[0].significant && report.baseline == "bundle", "{report:?}");

    let unknown = brightness(0.0).to_json().unwrap().replace("brightness", "temperature");
    let output = brightness(0.0).to_json().unwrap().replace("brightness", &format!("{OUTPUT_PREFIX}loudness"));
    let json = |baseline_json: &str| SetBaseline::Request { baseline_json: baseline_json.into(), ..Default::default() };
    let refused = [
        (json("{}"), "baseline.json:1:"),
        (json(&unknown), "`temperature`, but what is measured of this model is brightness, contrast, sharpness"),
        (json(&output), "`output.loudness`, but what is measured of this model is output.class, output.confidence"),
        (SetBaseline::Request { baseline_path: "/nowhere/baseline.json".into(), ..Default::default() }, "/nowhere/baseline.json"),
        (SetBaseline::Request { learn_frames: 99, ..Default::default() }, "at least 100"),
        (SetBaseline::Request::default(), "give one of baseline_path, baseline_json and learn_frames"),
        (SetBaseline::Request { learn_frames: 100, ..json("{}") }, "give one of"),
        (SetBaseline::Request { slot: "other".into(), ..json("{}") }, "unknown slot"),
    ];
    for (request, want) in refused {
        let answer = set.call(&request, PATIENCE).await.unwrap();
        assert!(!answer.success && answer.message.contains(want), "{} should say {want}", answer.message);
    }
    let report = window(&mut scene, 100).await;
    assert_eq!((report.window, report.features[0].significant), (2, false), "the old one stays: {report:?}");

    // From a file: what was usual is drift, and the other way around.
    let file = dir.path().join("brighter.json");
    std::fs::write(&file, brightness(200.0).to_json().unwrap()).unwrap();
    let answer =
        set.call(&SetBaseline::Request { baseline_path: file.to_str().unwrap().into(), ..Default::default() }, PATIENCE).await.unwrap();
    assert!(answer.success, "{}", answer.message);
    let report = window(&mut scene, 100).await;
    assert!(report.window == 1 && report.features[0].significant, "{report:?}");
    assert!(!window(&mut scene, 200).await.features[0].significant);

    // As text; then from the next frames.
    assert!(set.call(&json(&brightness(100.0).to_json().unwrap()), PATIENCE).await.unwrap().success);
    let report = window(&mut scene, 100).await;
    assert!(report.window == 1 && !report.features[0].significant, "{report:?}");
    assert!(set.call(&SetBaseline::Request { learn_frames: 100, ..Default::default() }, PATIENCE).await.unwrap().success);
    // A hundred frames are learnt from and bring no report; the first window after them does.
    (0..100).for_each(|_| shoot(&scene, 60));
    let first = stamp.get() + 1;
    let report = window(&mut scene, 60).await;
    assert_eq!((report.window, report.window_start.sec, report.baseline.as_str()), (1, first, "learnt"), "{report:?}");
    assert!(!report.features[0].significant);
    scene.stop().await;
}

/// A bundle that adds to three numbers.
fn adder(dir: &Path) -> PathBuf {
    let onnx = model(
        &[node("Add", &["X", "bias"], &["Y"])],
        &[floats("bias", &[1, 3], &[0.0, 10.0, 0.0])],
        &[value("X", FLOAT, &[0, 3])],
        &[value("Y", FLOAT, &[0, 3])],
    );
    bundle(&dir.join("adder"), &onnx, None)
}

fn list(stamp: i32, numbers: [f64; 3]) -> TensorList {
    let data = numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
    let tensor = Tensor { name: "X".into(), dtype: FLOAT as u8, shape: vec![1, 3], data, ..Default::default() };
    let mut list = TensorList { tensors: vec![tensor], ..Default::default() };
    list.header.stamp.sec = stamp;
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_drift_by_column_and_windows_change_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = adder(dir.path());
    let numbers = |i: i32| [0, 1, 2].map(|column| scatter(3 * i + column));
    // Of a table whose columns have names of their own.
    let mut builder = BaselineBuilder::new(&[("temperature", "K"), ("load", ""), ("slip", "m")]);
    (0..500).for_each(|i| builder.push(&numbers(i)).unwrap());
    std::fs::write(path.join("baseline.json"), builder.build().unwrap().to_json().unwrap()).unwrap();
    let qos = ("qos_overrides./inference_node/tensors.subscription.reliability", "reliable");
    let parameters = [qos, ("drift_window_frames", "40"), ("drift_baseline_frames", "100")];
    let mut scene = Scene::loaded(&path, &parameters).await;
    let tensors = scene.neighbour.create_publisher::<TensorList>("inference_node/tensors", QosProfile::default().keep_all()).unwrap();
    assert!(tensors.wait_for_subscribers(1, PATIENCE).await);
    (0..120).for_each(|i| tensors.publish(&list(i, numbers(1000 + i))).unwrap());
    let reports = [next(&mut scene.drift).await, next(&mut scene.drift).await, next(&mut scene.drift).await];
    let names = |report: &DriftReport| report.features.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&reports[2]), ["temperature", "load", "slip"], "outputs are still being learnt");
    assert!(reports.iter().all(|report| !report.flagged));

    // One column moves, and with it the model's second output.
    let moved = |i: i32| {
        let [a, b, c] = numbers(1000 + i);
        list(i, [a, b + 0.8, c])
    };
    (120..200).for_each(|i| tensors.publish(&moved(i)).unwrap());
    let (_, report) = (next(&mut scene.drift).await, next(&mut scene.drift).await);
    assert_eq!(names(&report), ["temperature", "load", "slip", "output.Y[0]", "output.Y[1]", "output.Y[2]"]);
    let flagged: Vec<&str> = report.features.iter().filter(|f| f.flagged).map(|f| f.name.as_str()).collect();
    assert_eq!(flagged, ["load", "output.Y[1]"], "{report:?}");
    assert_eq!((feature(&report, "load").baseline.as_str(), feature(&report, "output.Y[1]").baseline.as_str()), ("bundle", "learnt"));

    let set = scene.client::<SetParameters::Service>("set_parameters").await;
    let seconds = Parameter { name: "drift_window_s".into(), value: ParameterValue { type_: 3, double_value: 24.0, ..Default::default() } };
    let alarms = Parameter {
        name: "drift_false_alarms_per_day".into(),
        value: ParameterValue { type_: 3, double_value: 5.0, ..Default::default() },
    };
    let results = set.call(&SetParameters::Request { parameters: vec![seconds, alarms] }, PATIENCE).await.unwrap().results;
    assert!(results.iter().all(|result| result.successful), "{results:?}");
    (200..225).for_each(|i| tensors.publish(&moved(i)).unwrap());
    let report = next(&mut scene.drift).await;
    assert_eq!((report.window_start.sec, report.header.stamp.sec, report.false_alarms_per_day), (200, 224, 5.0), "{report:?}");
    scene.stop().await;
}
