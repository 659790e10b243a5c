//! The picture in the documents is what the node would publish: a robot drives through a hall in which some lamps have
//! failed, and the drift of its camera's brightness is computed as on a robot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/drawing.rs"]
mod drawing;
mod support;

use drawing::Ground;
use edgeflow_drift::{BaselineBuilder, Config, Monitor, Report};
use edgeflow_markers::scene::Scene;
use edgeflow_markers::track::{Source, Track};
use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport};
use support::rviz::Screen;
use support::*;

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/images/drift-markers.svg");
const GROUND: Ground = Ground { width: 13.0, depth: 7.0, height: 2.2 };
const FRAME_HZ: i64 = 20;
const SPEED_M_S: f64 = 0.35;

/// Along three aisles, and still on the way.
const WAY: [(f64, f64); 6] = [(0.5, 0.5), (12.5, 0.5), (12.5, 3.5), (0.5, 3.5), (0.5, 6.5), (8.0, 6.5)];

fn at(metres: f64) -> Option<(f64, f64)> {
    let mut left = metres;
    for leg in WAY.windows(2) {
        let ((x, y), (to_x, to_y)) = (leg[0], leg[1]);
        let length = (to_x - x).hypot(to_y - y);
        if left <= length {
            return Some((x + (to_x - x) * left / length, y + (to_y - y) * left / length));
        }
        left -= length;
    }
    None
}

/// Share of the light that is left: lamps over the second aisle have failed.
fn light(x: f64, y: f64) -> f64 {
    let dark = (-((x - 6.0) / 4.6).powi(12) - ((y - 3.5) / 1.8).powi(4)).exp();
    1.0 - 0.2 * dark
}

/// The same numbers on every machine, roughly normal.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        (0..4).map(|_| self.uniform()).sum::<f64>() - 2.0
    }

    fn uniform(&mut self) -> f64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / 2f64.powi(64)
    }
}

fn message(report: &Report) -> DriftReport {
    let feature = &report.features[0];
    DriftReport {
        header: header("camera", report.end_ns),
        window_start: header("", report.start_ns).stamp,
        model_name: "label-reader".into(),
        model_version: "2".into(),
        model_digest: "sha256:picture".into(),
        flagged: report.flagged,
        max_psi: report.max_psi,
        features: vec![DriftFeature {
            name: feature.name.clone(),
            psi: feature.psi,
            psi_threshold: feature.psi_threshold,
            ks: feature.ks,
            ks_threshold: feature.ks_threshold,
            flagged: feature.flagged,
            ..DriftFeature::default()
        }],
        ..DriftReport::default()
    }
}

/// What remains on the screen, and the reports behind it.
fn driven() -> (Screen, Vec<DriftReport>) {
    let mut noise = Noise(7);
    let mut baseline = BaselineBuilder::new(&[("brightness", "grey levels")]);
    for _ in 0..2000 {
        baseline.push(&[120.0 + 9.0 * noise.next()]).unwrap();
    }
    let config = Config::default();
    let mut monitor = Monitor::new(baseline.build().unwrap(), config).unwrap();
    let (mut scene, mut track, mut reports) = (Scene::new(style()), Track::new(0.1, None), Vec::new());
    for frame in 0.. {
        let stamp_ns = frame * S / FRAME_HZ;
        let Some((x, y)) = at(SPEED_M_S * frame as f64 / FRAME_HZ as f64) else { break };
        track.push(Source::Odometry, &header("odom", stamp_ns), [x, y, 0.0]);
        if let Some(report) = monitor.push(stamp_ns, &[light(x, y) * (120.0 + 9.0 * noise.next())]).unwrap() {
            reports.push(message(&report));
            scene.add(&reports[reports.len() - 1], &track, stamp_ns).unwrap();
        }
    }
    let mut screen = Screen::default();
    screen.show(&scene.markers(0));
    (screen, reports)
}

#[test]
fn the_picture_in_the_documents_is_what_the_node_publishes() {
    let (screen, _) = driven();
    let drawn = drawing::svg(&GROUND, "Drift windows along a robot's path; lamps over the middle aisle have failed", screen.0.values());
    if std::env::var_os("EDGEFLOW_UPDATE_PICTURES").is_some() {
        std::fs::write(PICTURE, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(PICTURE).unwrap_or_default();
    assert!(
        kept == drawn,
        "docs/images/drift-markers.svg is out of date: EDGEFLOW_UPDATE_PICTURES=1 cargo test -p edgeflow_markers --test picture"
    );
}

#[test]
fn it_is_red_where_it_is_dark() {
    let (screen, reports) = driven();
    let columns: Vec<_> = screen.of("drift").collect();
    assert_eq!(columns.len(), reports.len());
    let (mut dark, mut lit) = (0, 0);
    for column in columns {
        let (x, y) = (column.pose.position.x, column.pose.position.y);
        // Two windows decide, so flags come and go a window (1.75 m) late.
        let (deep, far) = (light(x, y) < 0.81 && x < 6.0, (light(x, y) - 1.0).abs() < 1e-3 && (y - 3.5).abs() > 2.5);
        let red = column.color.r > 0.7 && column.color.g < 0.7;
        (dark, lit) = (dark + usize::from(deep), lit + usize::from(far));
        assert!(!deep || red, "dark at {x:.1} {y:.1} and not red");
        assert!(!far || !red, "light at {x:.1} {y:.1} and red");
    }
    assert!(dark > 0 && lit > 5, "{dark} dark, {lit} lit");
}
