//! What outputs mean, as the rest of ROS 2 hears it: `vision_msgs`, label images, a picture with everything drawn in.

use std::time::Duration;

use edgeflow_inference::image::Decompressed;
use edgeflow_ros::edgeflow_msgs::msg::{InferenceResult, Tensor, TensorList};
use edgeflow_ros::edgeflow_msgs::srv::Infer;
use edgeflow_ros::sensor_msgs::msg::{CompressedImage, Image};
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::vision_msgs::msg::{Classification, Detection2D, Detection2DArray, LabelInfo, VisionInfo};
use edgeflow_ros::{Message, ParameterClient, ParameterValue, Publisher, QosProfile, Queue, Subscription};

use super::digits::*;
use super::support::*;
use super::{PATIENCE, Scene, gray, next};

impl Scene {
    /// A node with the detector of digits.
    async fn detecting(parameters: &[(&str, &str)]) -> (Self, Subscription<Detection2DArray>) {
        let compressed = ("qos_overrides./inference_node/image/compressed.subscription.reliability", "reliable");
        let scene = Self::loaded(&detector(), &[&[compressed], parameters].concat()).await;
        let detections = scene.hear("detections").await;
        (scene, detections)
    }

    /// Subscribes a topic of the node, and waits until the node knows.
    async fn hear<T: Message>(&self, leaf: &str) -> Subscription<T> {
        // Pictures are for viewers, and best effort.
        let qos = if leaf == "annotated" { QosProfile::sensor_data() } else { QosProfile::default().keep_all() };
        let heard = self.neighbour.subscribe(&format!("inference_node/{leaf}"), qos, Queue::all()).unwrap();
        let topic = format!("~/{leaf}");
        let known = |n: &edgeflow_ros::Node| n.count_subscribers(&topic).unwrap_or(0) > 0 && n.count_publishers(&topic).unwrap_or(0) > 0;
        assert!(self.node.node().wait_for_graph(PATIENCE, known).await, "{leaf}");
        heard
    }

    async fn compressing_camera(&self) -> Publisher<CompressedImage> {
        let camera = self.neighbour.create_publisher("inference_node/image/compressed", QosProfile::default().keep_all()).unwrap();
        assert!(camera.wait_for_subscribers(1, PATIENCE).await);
        camera
    }

    async fn set(&self, name: &str, value: ParameterValue) -> edgeflow_ros::Result<()> {
        let parameters = ParameterClient::new(&self.neighbour, "/inference_node", PATIENCE).unwrap();
        parameters.set(name, &value).await
    }
}

/// Latched topics are for whoever comes late.
async fn latched<T: Message>(scene: &Scene, leaf: &str) -> T {
    let qos = QosProfile::default().transient_local();
    next(&mut scene.neighbour.subscribe(&format!("inference_node/{leaf}"), qos, Queue::all()).unwrap()).await
}

fn header(stamp: i32) -> Header {
    let mut header = Header { frame_id: "camera".into(), ..Header::default() };
    header.stamp.sec = stamp;
    header
}

/// Left, top, right, bottom.
fn corners(detection: &Detection2D) -> [f64; 4] {
    let (centre, x, y) = (&detection.bbox.center.position, detection.bbox.size_x / 2.0, detection.bbox.size_y / 2.0);
    [centre.x - x, centre.y - y, centre.x + x, centre.y + y]
}

/// Every digit is there once, each of its edges within `tolerance` pixels, and there is nothing else.
fn assert_found(found: &Detection2DArray, digits: &[Placed], side: usize, tolerance: f64, what: &str) {
    let name = |d: &Detection2D| d.results[0].hypothesis.class_id.clone();
    let seen: Vec<_> = found.detections.iter().map(|d| (name(d), corners(d))).collect();
    assert_eq!(found.detections.len(), digits.len(), "{what}: {seen:?}");
    for Placed { digit, left, top } in digits {
        let truth = [*left, *top, left + side, top + side].map(|v| v as f64);
        let near = |d: &&Detection2D| corners(d).iter().zip(&truth).all(|(got, want)| (got - want).abs() <= tolerance);
        let there = found.detections.iter().filter(|d| name(d) == NAMES[*digit]).find(near);
        let there = there.unwrap_or_else(|| panic!("{what}: no {} at {truth:?}: {seen:?}", NAMES[*digit]));
        assert_eq!(there.header, found.header, "{what}");
        assert!(there.results[0].hypothesis.score > 0.5 && there.bbox.center.theta == 0.0, "{what}: {there:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_digits_are_found_to_within_a_pixel_of_the_frame_they_are_in() {
    let (mut scene, mut detections) = Scene::detecting(&[]).await;
    // Letterboxed to 320 x 320: a border above and below, left and right, and none. Two frame pixels are one of the input: odd places are
    // half an input pixel off.
    let (landscape, _) = python_scene();
    let portrait = [placed(3, 13, 600), placed(8, 447, 0), placed(1, 200, 301), placed(1, 240, 301), placed(0, 0, 0)];
    let square = [placed(9, 608, 608), placed(6, 0, 608), placed(2, 311, 299)];
    let frames = [(640, 480, &landscape[..]), (480, 640, &portrait), (640, 640, &square), (640, 480, &[])];
    for (stamp, (width, height, digits)) in (1..).zip(frames) {
        scene.shoot(stamp, self::scene(width, height, 4, digits));
        let found = next(&mut detections).await;
        assert_eq!(found.header, header(stamp));
        assert_found(&found, digits, 32, 1.0, &format!("{width} x {height}"));
        let scores: Vec<f64> = found.detections.iter().map(|d| d.results[0].hypothesis.score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "best first: {scores:?}");
    }
    // Four frame pixels to one of the input.
    let large = [placed(4, 640, 360), placed(7, 1216, 656), placed(5, 4, 32)];
    scene.shoot(5, self::scene(1280, 720, 8, &large));
    assert_found(&next(&mut detections).await, &large, 64, 1.0, "1280 x 720");
    // The result goes on beside it, and an image in a request.
    let results: Vec<InferenceResult> = vec![next(&mut scene.results).await, next(&mut scene.results).await];
    assert!(results.iter().all(|r| r.label.is_empty() && r.class_id == -1 && r.outputs.is_empty()), "{results:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_every_sort_show_the_same_digits() {
    let (scene, mut detections) = Scene::detecting(&[]).await;
    let (digits, jpeg) = python_scene();
    let grey = self::scene(640, 480, 4, &digits);
    let encodings = ["mono16", "16UC1", "32FC1", "rgb8", "bgr8", "bgra8", "yuyv", "uyvy", "nv12"];
    for (stamp, encoding) in (1..).zip(encodings) {
        scene.shoot(stamp, in_encoding(&grey, encoding));
        let found = next(&mut detections).await;
        assert_eq!(found.header, header(stamp));
        assert_found(&found, &digits, 32, 1.0, encoding);
    }
    let camera = scene.compressing_camera().await;
    let pictures =
        [("png", png(&grey)), ("rgb8; png compressed bgr8", png(&in_encoding(&grey, "rgb8"))), ("rgb8; jpeg compressed bgr8", jpeg)];
    for (stamp, (format, data)) in (20..).zip(pictures) {
        // What is damaged is counted, and the next one is served.
        camera.publish(&CompressedImage { header: header(0), format: format.into(), data: data[..data.len() / 3].to_vec() }).unwrap();
        camera.publish(&CompressedImage { header: header(stamp), format: format.into(), data }).unwrap();
        let found = next(&mut detections).await;
        assert_eq!(found.header, header(stamp));
        assert_found(&found, &digits, 32, 1.0, format);
    }
    let counters = scene.stop().await;
    assert_eq!((counters.results, counters.refused, counters.dropped), (12, 3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn thresholds_change_while_the_node_runs() {
    let (scene, mut detections) = Scene::detecting(&[("max_detections", "4")]).await;
    let (digits, _) = python_scene();
    let frame = self::scene(640, 480, 4, &digits);
    let count = async |detections: &mut Subscription<Detection2DArray>| {
        scene.shoot(1, frame.clone());
        next(detections).await.detections.len()
    };
    assert_eq!(count(&mut detections).await, 4);
    assert_eq!(latched::<LabelInfo>(&scene, "label_info").await.threshold, 0.5);
    scene.set("max_detections", ParameterValue::Integer(-1)).await.unwrap();
    assert_eq!(count(&mut detections).await, 10);
    // Three digits lie half a pixel off the input's and score less.
    scene.set("score_threshold", ParameterValue::Double(0.95)).await.unwrap();
    assert_eq!(count(&mut detections).await, 7);
    assert_eq!(latched::<LabelInfo>(&scene, "label_info").await.threshold, 0.95);
    scene.set("score_threshold", ParameterValue::Integer(0)).await.unwrap();
    scene.set("iou_threshold", ParameterValue::Double(1.0)).await.unwrap();
    scene.set("max_detections", ParameterValue::Integer(5000)).await.unwrap();
    assert_eq!(count(&mut detections).await, 5000, "every place is taken for something");
    for (name, value) in [("score_threshold", -0.5), ("iou_threshold", 1.5), ("score_threshold", f64::NAN)] {
        let error = scene.set(name, ParameterValue::Double(value)).await.unwrap_err().to_string();
        assert!(error.contains("must be"), "{error}");
    }
    for name in ["score_threshold", "iou_threshold", "max_detections"] {
        scene.set(name, ParameterValue::Integer(-1)).await.unwrap();
    }
    assert_eq!(count(&mut detections).await, 10);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_have_the_best_first_and_as_many_as_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::loaded(&pixel_bundle(dir.path(), 2), &[("top_k", "3")]).await;
    let mut classes = scene.hear::<Classification>("classification").await;
    // A quarter of the frame each: 0, 128, 0 (and 2 by the bias), 64 of 256.
    let data = vec![0, 128, 0, 64];
    let image = Image { width: 2, height: 2, step: 2, encoding: "mono8".into(), data, ..Default::default() };
    let of = |c: &Classification| c.results.iter().map(|r| (r.class_id.clone(), r.score)).collect::<Vec<_>>();
    scene.shoot(3, image.clone());
    let got = next(&mut classes).await;
    assert_eq!(got.header, header(3));
    assert_eq!(of(&got), [("c".to_owned(), 2.0), ("b".to_owned(), 0.5), ("d".to_owned(), 0.25)]);
    scene.set("score_threshold", ParameterValue::Double(0.3)).await.unwrap();
    scene.shoot(4, image.clone());
    assert_eq!(of(&next(&mut classes).await), [("c".to_owned(), 2.0), ("b".to_owned(), 0.5)]);
    scene.set("top_k", ParameterValue::Integer(1)).await.unwrap();
    scene.shoot(5, image);
    assert_eq!(of(&next(&mut classes).await), [("c".to_owned(), 2.0)]);
    // Classes of tensors, too.
    let feed = scene.neighbour.create_publisher::<TensorList>("inference_node/tensors", QosProfile::default().keep_all()).unwrap();
    assert!(feed.wait_for_subscribers(1, PATIENCE).await);
    let data = [0.0f32, 0.0, -2.0, 0.75].iter().flat_map(|v| v.to_le_bytes()).collect();
    let x = Tensor { name: "X".into(), dtype: Tensor::FLOAT32, shape: vec![1, 4], data, ..Default::default() };
    feed.publish(&TensorList { header: header(6), tensors: vec![x] }).unwrap();
    let got = next(&mut classes).await;
    assert_eq!((got.header.clone(), of(&got)), (header(6), vec![("d".to_owned(), 0.75)]));
    scene.stop().await;
}

/// The strongest colour of each pixel, as class 0, 1 or 2.
pub(crate) fn segmenter(dir: &std::path::Path, classes: u64) -> std::path::PathBuf {
    let graph = match classes {
        3 => model(&[node("Identity", &["X"], &["Y"])], &[], &[value("X", FLOAT, &[1, 3, 4, 4])], &[value("Y", FLOAT, &[1, 3, 4, 4])]),
        // As many classes of which the last one is the greatest everywhere.
        _ => model(
            &[node("ReduceMean", &["X"], &["mean"]), node("Mul", &["mean", "none"], &["zero"]), node("Add", &["zero", "ramp"], &["Y"])],
            &[
                floats("none", &[1], &[0.0]),
                floats("ramp", &[1, classes, 2, 2], &(0..classes * 4).map(|i| (i / 4) as f32).collect::<Vec<_>>()),
            ],
            &[value("X", FLOAT, &[1, 3, 4, 4])],
            &[value("Y", FLOAT, &[1, classes, 2, 2])],
        ),
    };
    let manifest = "v: 1\ninput: {encoding: rgb8, resize: {width: 4, height: 4, mode: letterbox, filter: box}, layout: nchw}\noutput: {decode: segmentation}\n";
    let labels = if classes == 3 { "labels: [red, green, blue]\n" } else { "" };
    bundle(&dir.join(format!("segments-{classes}")), &graph, Some(&format!("{manifest}{labels}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn label_images_have_the_size_of_the_frame() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&segmenter(dir.path(), 3), &[]).await;
    let mut labels = scene.hear::<Image>("segmentation").await;
    // 8 x 4, letterboxed to 4 x 2 with a row above and below: a red, a green, a blue and a red column of 2.
    let row: Vec<u8> = [[200, 10, 0], [10, 200, 0], [0, 10, 200], [200, 0, 10]].iter().flat_map(|p| [*p, *p]).flatten().collect();
    let image = Image { width: 8, height: 4, step: 24, encoding: "rgb8".into(), data: row.repeat(4), ..Default::default() };
    scene.shoot(6, image.clone());
    let got = next(&mut labels).await;
    assert_eq!(got.header, header(6));
    assert_eq!((got.width, got.height, got.step, got.encoding.as_str()), (8, 4, 8, "mono8"));
    assert_eq!(got.data, [0, 0, 1, 1, 2, 2, 0, 0].repeat(4));
    // More classes than 8 bits hold.
    let answer = scene.call_load(&segmenter(dir.path(), 300), "").await;
    assert!(answer.success, "{answer:?}");
    scene.shoot(7, image);
    let got = next(&mut labels).await;
    assert_eq!((got.width, got.height, got.step, got.encoding.as_str(), got.is_bigendian), (8, 4, 16, "16UC1", 0));
    assert_eq!(got.data, 299u16.to_le_bytes().repeat(32));
    assert!(next(&mut scene.results).await.label.is_empty());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_labels_are_those_of_the_model_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::loaded(&pixel_bundle(dir.path(), 2), &[]).await;
    let topics = async |scene: &Scene, there: &[&str], gone: &[&str]| {
        let count = |n: &edgeflow_ros::Node, leaf: &str| n.count_publishers(&format!("~/{leaf}")).unwrap_or(9);
        let fits = |n: &edgeflow_ros::Node| there.iter().all(|t| count(n, t) == 1) && gone.iter().all(|t| count(n, t) == 0);
        assert!(scene.node.node().wait_for_graph(PATIENCE, fits).await, "{there:?} but not {gone:?}");
    };
    topics(&scene, &["classification", "annotated", "vision_info", "label_info"], &["detections", "segmentation"]).await;
    let names = |info: &LabelInfo| info.class_map.iter().map(|c| (c.class_id, c.class_name.clone())).collect::<Vec<_>>();
    let numbered = |names: &[&str]| (0..).zip(names.iter().map(|n| (*n).to_owned())).collect::<Vec<(u16, String)>>();
    let info: VisionInfo = latched(&scene, "vision_info").await;
    assert_eq!((info.method.as_str(), info.database_version), ("pixels 1", 1));
    assert_eq!(info.database_location, "/inference_node/label_info");
    assert_eq!(names(&latched(&scene, "label_info").await), numbered(&["a", "b", "c", "d"]));

    let loaded = scene.call_load(&detector(), "").await;
    assert!(loaded.success, "{loaded:?}");
    topics(&scene, &["detections", "annotated", "vision_info"], &["classification", "segmentation"]).await;
    assert_eq!(names(&latched(&scene, "label_info").await), numbered(&NAMES));
    assert_eq!(latched::<VisionInfo>(&scene, "vision_info").await.database_version, 2);

    // Other names, from the next load on; a list that does not fit the graph is not loaded.
    let list = |names: &[&str]| ParameterValue::StringArray(names.iter().map(|n| (*n).to_owned()).collect());
    let error = scene.set("labels", list(&["x", "x"])).await.unwrap_err().to_string();
    assert!(error.contains("label \"x\" is there twice"), "{error}");
    scene.set("labels", list(&["null", "eins"])).await.unwrap();
    let refused = scene.call_load(&detector(), "").await;
    assert!(!refused.success && refused.message.contains("10 classes, but 2 labels are named"), "{refused:?}");
    assert!(refused.message.contains("the parameter `labels`"), "{refused:?}");
    let german = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];
    scene.set("labels", list(&german)).await.unwrap();
    let again = scene.call_load(&detector(), &loaded.digest).await;
    assert!(again.success, "{again:?}");
    assert_eq!(names(&latched(&scene, "label_info").await), numbered(&german));
    let mut detections = scene.hear::<Detection2DArray>("detections").await;
    scene.shoot(1, self::scene(640, 480, 4, &[placed(5, 100, 100)]));
    assert_eq!(next(&mut detections).await.detections[0].results[0].hypothesis.class_id, "fünf");

    // A model that only gives tensors has none of it.
    let error = scene.set("labels", list(&["a", ""])).await.unwrap_err().to_string();
    assert!(error.contains("label 1 is empty"), "{error}");
    scene.set("labels", list(&[""])).await.unwrap();
    assert!(scene.call_load(&detector(), "").await.success);
    assert_eq!(names(&latched(&scene, "label_info").await), numbered(&NAMES));
    let plain = bundle(&dir.path().join("plain"), &pixel_model([0.0; 4]), None);
    assert!(scene.call_load(&plain, "").await.success);
    topics(&scene, &["result"], &["classification", "detections", "segmentation", "annotated", "vision_info", "label_info"]).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_slot_has_topics_and_thresholds_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let digits = detector();
    let parameters = [
        ("slots", "[default, digits]"),
        ("digits.bundle_path", digits.to_str().unwrap()),
        ("digits.max_detections", "2"),
        ("qos_overrides./inference_node/digits/image.subscription.reliability", "reliable"),
    ];
    let scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &parameters).await;
    let mut detections = scene.hear::<Detection2DArray>("digits/detections").await;
    let camera = scene.neighbour.create_publisher("inference_node/digits/image", QosProfile::default().keep_all()).unwrap();
    assert!(camera.wait_for_subscribers(1, PATIENCE).await);
    let (placed, _) = python_scene();
    camera.publish(&self::scene(640, 480, 4, &placed)).unwrap();
    assert_eq!(next(&mut detections).await.detections.len(), 2);
    assert_eq!(latched::<VisionInfo>(&scene, "digits/vision_info").await.database_location, "/inference_node/digits/label_info");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_annotated_picture_is_drawn_for_whoever_looks() {
    let (scene, mut detections) = Scene::detecting(&[]).await;
    let (digits, _) = python_scene();
    let frame = self::scene(640, 480, 4, &digits);
    let mut pictures = scene.hear::<Image>("annotated").await;
    // The topic is best effort: of a busy machine one picture may not come.
    let picture = loop {
        scene.shoot(9, frame.clone());
        assert_eq!(next(&mut detections).await.detections.len(), 10);
        if let Ok(picture) = tokio::time::timeout(Duration::from_secs(1), next(&mut pictures)).await {
            break picture;
        }
    };
    assert_eq!(picture.header, header(9));
    assert_eq!((picture.width, picture.height, picture.step, picture.encoding.as_str()), (640, 480, 1920, "rgb8"));
    let at = |x: usize, y: usize| <[u8; 3]>::try_from(&picture.data[(y * 640 + x) * 3..][..3]).unwrap();
    // Zero at 40, 32 has a line of two pixels along its edges, in the colour of class 0; elsewhere it is the frame.
    for (x, y) in [(40, 50), (71, 50), (55, 63), (55, 32)] {
        assert_eq!(at(x, y), [230, 159, 0], "{x} {y}");
    }
    for (x, y) in [(45, 45), (56, 48), (320, 150), (639, 479)] {
        assert_eq!(at(x, y), [frame.data[y * 640 + x]; 3], "{x} {y}");
    }
    // Looked at by a person: EDGEFLOW_PICTURE names a file.
    if let Some(path) = std::env::var_os("EDGEFLOW_PICTURE") {
        std::fs::write(path, png(&picture)).unwrap();
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_of_thirty_frames_a_second_loses_none() {
    const FRAMES: i32 = 90;
    let (mut scene, mut detections) = Scene::detecting(&[]).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / 30);
    for stamp in 0..FRAMES {
        ticks.tick().await;
        scene.shoot(stamp, self::scene(640, 480, 4, &[placed(stamp as usize % 10, stamp as usize * 6, 100)]));
    }
    for stamp in 0..FRAMES {
        let found = next(&mut detections).await;
        assert_eq!(found.header, header(stamp));
        assert_found(&found, &[placed(stamp as usize % 10, stamp as usize * 6, 100)], 32, 1.0, "in order");
        assert_eq!(next(&mut scene.results).await.header, header(stamp));
    }
    let counters = scene.stop().await;
    assert_eq!((counters.results, counters.refused, counters.dropped), (FRAMES as u64, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_changes_while_the_node_runs_and_what_it_drops_is_counted() {
    const BURST: i32 = 200;
    let (mut scene, _) = Scene::detecting(&[]).await;
    // A frame takes far longer than its way: all of them wait, or only the newest.
    let frame = self::scene(640, 480, 4, &[placed(1, 0, 0)]);
    for (policy, depth) in [("latest", 1000), ("all", 3)] {
        scene.set("queue_policy", ParameterValue::String(policy.into())).await.unwrap();
        scene.set("queue_depth", ParameterValue::Integer(depth)).await.unwrap();
        for stamp in 1..=BURST {
            scene.shoot(stamp, frame.clone());
        }
        if policy == "latest" {
            // The newest always gets through.
            while next(&mut scene.results).await.header.stamp.sec < BURST {}
        }
    }
    let error = scene.set("queue_policy", ParameterValue::String("newest".into())).await.unwrap_err().to_string();
    assert!(error.contains("one of all, latest"), "{error}");
    let counters = scene.stop().await;
    assert_eq!(counters.results + counters.dropped, 2 * BURST as u64, "{counters:?}");
    assert!(counters.results >= 5 && counters.dropped > BURST as u64, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_the_model_cannot_take_is_counted_and_shows_nothing() {
    let (scene, mut detections) = Scene::detecting(&[]).await;
    scene.shoot(1, Image { data: vec![0; 15], ..gray(0) });
    scene.shoot(2, gray(0));
    let found = next(&mut detections).await;
    assert_eq!((found.header, found.detections.len()), (header(2), 0));
    let counters = scene.stop().await;
    assert_eq!((counters.results, counters.refused), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_hold_a_compressed_image() {
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::loaded(&pixel_bundle(dir.path(), 0), &[]).await;
    let (_, jpeg) = python_scene();
    let Decompressed { width, height, step, encoding, data, .. } = Decompressed::new(&jpeg).unwrap();
    let image = Image { header: header(7), width, height, step, encoding: encoding.into(), data, ..Default::default() };
    let compressed_image = CompressedImage { header: header(7), format: "jpeg".into(), data: jpeg };
    let ask = async |image: &Image, compressed_image: &CompressedImage| {
        let request = Infer::Request { image: image.clone(), compressed_image: compressed_image.clone(), ..Default::default() };
        scene.infer.call(&request, PATIENCE).await.unwrap()
    };
    let plain = ask(&image, &CompressedImage::default()).await;
    let answer = ask(&Image::default(), &compressed_image).await;
    assert!(plain.success && answer.success && answer.result.header == header(7), "{}", answer.message);
    assert_eq!((answer.result.label, answer.result.scores, answer.outputs), (plain.result.label, plain.result.scores, plain.outputs));
    let both = ask(&image, &compressed_image).await;
    assert_eq!(both.message, "image refused: there are two; give image or compressed_image");
    let cut = CompressedImage { data: compressed_image.data[..900].to_vec(), ..compressed_image };
    let damaged = ask(&Image::default(), &cut).await;
    assert!(!damaged.success && damaged.message.contains("its JPEG data cannot be decoded"), "{}", damaged.message);
    scene.stop().await;
}
