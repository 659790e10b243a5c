//! What several of these tests need: reports, positions, and RViz's rules.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

pub(crate) mod rviz;

use edgeflow_markers::scene::Style;
use edgeflow_ros::builtin_interfaces::msg::Time;
use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport};
use edgeflow_ros::std_msgs::msg::Header;

pub(crate) const S: i64 = 1_000_000_000;

pub(crate) fn header(frame_id: &str, ns: i64) -> Header {
    Header { stamp: Time { sec: (ns / S) as i32, nanosec: (ns % S) as u32 }, frame_id: frame_id.into() }
}

/// A window of five seconds that ends at `end_s`, with a PSI threshold of 0.5.
pub(crate) fn report(end_s: i64, psi: f64) -> DriftReport {
    let feature = DriftFeature {
        name: "brightness".into(),
        psi,
        psi_threshold: 0.5,
        ks: 0.01,
        ks_threshold: 0.2,
        flagged: psi > 0.5,
        ..DriftFeature::default()
    };
    DriftReport {
        header: header("camera", end_s * S),
        window_start: header("", (end_s - 5) * S).stamp,
        model_name: "label-reader".into(),
        model_version: "2".into(),
        model_digest: "sha256:0123456789abcdef".into(),
        window: (end_s / 5) as u64,
        flagged: feature.flagged,
        max_psi: psi,
        features: vec![feature],
        ..DriftReport::default()
    }
}

pub(crate) fn style() -> Style {
    Style { size_m: 0.5, max_windows: 100, lifetime_ns: None, frame_id: String::new() }
}
