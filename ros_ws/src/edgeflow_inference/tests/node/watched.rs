//! Drift of what models find and mark, and of inputs that are no images, as whoever subscribes `~/drift` reads it.

use edgeflow_drift::BaselineBuilder;
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::sensor_msgs::msg::{Image, Imu, PointCloud2};

use super::adapted::{TURNING, mirror, reliable, scan, turning};
use super::digits::{self, NAMES, placed};
use super::drift::{feature, scatter};
use super::support::bundle;
use super::vision::segmenter;
use super::{Scene, next};

/// What is learnt from, and how long a window is.
const LEARNING: [(&str, &str); 2] = [("drift_window_frames", "50"), ("drift_baseline_frames", "200")];

fn names(report: &DriftReport) -> Vec<&str> {
    report.features.iter().map(|feature| feature.name.as_str()).collect()
}

fn flagged(report: &DriftReport) -> Vec<&str> {
    report.features.iter().filter(|feature| feature.flagged).map(|feature| feature.name.as_str()).collect()
}

/// A number of 0 to `below`, by chance.
fn dice(i: i32, throw: i32, below: usize) -> usize {
    (below as f64 * scatter(16 * i + throw)) as usize
}

/// So many digits of five that follow `first`.
fn digits(i: i32, count: usize, first: usize) -> Image {
    let place = |k: usize| placed(first + dice(i, k as i32, 5), 20 + 50 * k, 30 + 40 * (k % 3));
    digits::scene(320, 240, 2, &(0..count).map(place).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detector_that_comes_to_find_other_things_or_fewer_of_them_is_drift() {
    let parameters = [("drift_window_frames", "30"), ("drift_baseline_frames", "150")];
    let mut scene = Scene::loaded(&digits::detector(), &parameters).await;
    let some = |i: i32| 2 + dice(i, 15, 4);
    (0..210).for_each(|i| scene.shoot(i, digits(i, some(i), 0)));
    for window in 1..=2 {
        let usual = next(&mut scene.drift).await;
        assert!(!usual.flagged && usual.window == window, "frames like those of the baseline: {usual:?}");
        let counts = NAMES.map(|name| format!("output.count[{name}]"));
        let outputs: Vec<&str> = ["output.detections", "output.mean_score"].into_iter().chain(counts.iter().map(String::as_str)).collect();
        assert_eq!(names(&usual)[..3], ["brightness", "contrast", "sharpness"]);
        assert_eq!(names(&usual)[3..], outputs);
        let (found, zeros) = (feature(&usual, "output.detections"), feature(&usual, "output.count[zero]"));
        assert_eq!((found.subject.as_str(), found.baseline.as_str(), found.counts.iter().sum::<u64>()), ("output", "learnt", 30));
        assert!((2.0..=5.0).contains(&found.mean) && (0.0..2.0).contains(&zeros.mean), "{found:?} {zeros:?}");
    }

    // As many digits, but five to nine.
    (210..270).for_each(|i| scene.shoot(i, digits(i, some(i), 5)));
    let (first, second) = (next(&mut scene.drift).await, next(&mut scene.drift).await);
    assert!(!first.flagged && feature(&first, "output.count[seven]").significant, "{first:?}");
    let other = flagged(&second);
    for name in &NAMES {
        assert!(other.contains(&format!("output.count[{name}]").as_str()), "{name} is not among {other:?}");
    }
    assert!(!other.contains(&"output.detections"), "as many as ever: {other:?}");

    // The old ones, but one at a time.
    (270..330).for_each(|i| scene.shoot(i, digits(i, 1, 0)));
    next(&mut scene.drift).await;
    let fewer = next(&mut scene.drift).await;
    assert!(flagged(&fewer).contains(&"output.detections") && (feature(&fewer, "output.detections").mean - 1.0).abs() < 1e-3, "{fewer:?}");
    assert!(!flagged(&fewer).contains(&"output.count[seven]"), "nothing to be seen of it any more: {fewer:?}");
    let counters = scene.stop().await;
    assert_eq!((counters.results, counters.refused, counters.dropped), (330, 0, 0));
}

/// Four columns of red, green and blue, each of the class that `pick` gives it.
fn columns(i: i32, pick: impl Fn(usize) -> usize) -> Image {
    let colours = [[200u8, 10, 0], [10, 200, 0], [0, 10, 200]];
    let row: Vec<u8> = (0..4).flat_map(|column| [colours[pick(dice(i, column, 100))]; 2]).flatten().collect();
    Image { width: 8, height: 4, step: 24, encoding: "rgb8".into(), data: row.repeat(4), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segmentation_whose_classes_take_other_shares_is_drift() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::loaded(&segmenter(dir.path(), 3), &LEARNING).await;
    (0..300).for_each(|i| scene.shoot(i, columns(i, |of_100| of_100 % 3)));
    for _ in 0..2 {
        let usual = next(&mut scene.drift).await;
        assert!(!usual.flagged, "{usual:?}");
        assert_eq!(names(&usual)[3..], ["red", "green", "blue", "output.share[red]", "output.share[green]", "output.share[blue]"]);
        let share = |name: &str| feature(&usual, &format!("output.share[{name}]")).mean;
        assert!((share("red") + share("green") + share("blue") - 1.0).abs() < 1e-6 && share("red") > 0.2, "{usual:?}");
    }
    // Blue takes green's place in four of five columns.
    (300..400).for_each(|i| scene.shoot(i, columns(i, |of_100| if of_100 % 3 == 1 && of_100 < 80 { 2 } else { of_100 % 3 })));
    next(&mut scene.drift).await;
    let report = next(&mut scene.drift).await;
    let flagged = flagged(&report);
    assert!(flagged.contains(&"output.share[green]") && flagged.contains(&"output.share[blue]"), "{flagged:?}");
    assert!(!flagged.contains(&"output.share[red]"), "{flagged:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_drift_by_their_points_and_columns() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "v: 1\ninput: {kind: point_cloud, fields: [x, intensity], points: 32, std: [10, 1000]}\n";
    let path = bundle(&dir.path().join("scans"), &mirror(&[1, 32, 2]), Some(manifest));
    let (name, value) = reliable("points");
    let mut scene = Scene::loaded(&path, &[&LEARNING[..], &[(&name, value)]].concat()).await;
    let lidar = scene.source::<PointCloud2>("points").await;
    let room = |i: i32, points: usize, dust: f64| {
        let point = |k: i32| (10.0 * scatter(1000 * i + k) as f32, 0.0, (1000.0 * (1.0 - dust) * scatter(1000 * i + 500 + k)) as u16);
        scan(i, &(0..(points + dice(i, 1, 20)) as i32).map(point).collect::<Vec<_>>())
    };
    (0..300).for_each(|i| lidar.publish(&room(i, 60, 0.0)).unwrap());
    for _ in 0..2 {
        let usual = next(&mut scene.drift).await;
        assert_eq!(names(&usual)[..5], ["points", "x", "x.std", "intensity", "intensity.std"]);
        assert!(!usual.flagged && feature(&usual, "points").subject == "input", "{usual:?}");
        // What the sensor said, not what the model was fed with.
        assert!((feature(&usual, "x").mean - 5.0).abs() < 0.5 && (feature(&usual, "intensity").mean - 500.0).abs() < 50.0, "{usual:?}");
    }
    // Half of the view is covered.
    (300..400).for_each(|i| lidar.publish(&room(i, 25, 0.0)).unwrap());
    next(&mut scene.drift).await;
    let covered = next(&mut scene.drift).await;
    assert!(flagged(&covered).contains(&"points") && !flagged(&covered).contains(&"intensity"), "{covered:?}");
    // The window of the sensor is dusty.
    (400..500).for_each(|i| lidar.publish(&room(i, 60, 0.4)).unwrap());
    next(&mut scene.drift).await;
    let dusty = next(&mut scene.drift).await;
    let inputs: Vec<&str> = flagged(&dusty).into_iter().filter(|name| !name.starts_with("output.")).collect();
    assert_eq!(inputs, ["intensity", "intensity.std"]);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_drift_by_column_in_the_sensors_units() {
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&dir.path().join("turning"), &mirror(&[1, 2, 1]), Some(TURNING));
    // Of a recording whose column has another name. The manifest divides by 2 what the graph is fed with.
    let mut builder = BaselineBuilder::new(&[("gyro_z", "rad/s")]);
    (0..500).for_each(|i| builder.push(&[scatter(i)]).unwrap());
    std::fs::write(path.join("baseline.json"), builder.build().unwrap().to_json().unwrap()).unwrap();
    let (name, value) = reliable("imu");
    let parameters = [(name.as_str(), value), ("drift_window_frames", "40"), ("drift_baseline_frames", "1000")];
    let mut scene = Scene::loaded(&path, &parameters).await;
    let imu = scene.source::<Imu>("imu").await;
    // Two messages are one window of the model, and one frame of the watch.
    let publish = |i: u32, rate: f64| imu.publish(&turning(10 * i, rate)).unwrap();
    (0..160).for_each(|i| publish(i, scatter(1000 + i as i32)));
    for _ in 0..2 {
        let usual = next(&mut scene.drift).await;
        assert_eq!(names(&usual), ["gyro_z"]);
        assert!(!usual.flagged && (feature(&usual, "gyro_z").mean - 0.5).abs() < 0.2, "{usual:?}");
    }
    (160..320).for_each(|i| publish(i, 0.4 + scatter(1000 + i as i32)));
    next(&mut scene.drift).await;
    assert_eq!(flagged(&next(&mut scene.drift).await), ["gyro_z"]);
    scene.stop().await;
}
