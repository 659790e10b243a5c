//! What is on the screen after any number of drift windows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use edgeflow_markers::scene::{NAMESPACES, Nowhere, Scene, Style};
use edgeflow_markers::track::{Source, Track};
use support::rviz::{Screen, violations};
use support::*;

/// A robot that drives one metre per second along x, and stands still from the hundredth second on.
fn track() -> Track {
    let mut track = Track::new(0.1, None);
    for second in 0..1000 {
        track.push(Source::Odometry, &header("odom", second * S), [second.min(100) as f64, 0.0, 0.0]);
    }
    track
}

fn scene_of(windows: i64, style: Style) -> Scene {
    let (mut scene, track) = (Scene::new(style), track());
    for window in 1..=windows {
        scene.add(&report(5 * window, 0.1 * window as f64), &track, 5 * window * S).unwrap();
    }
    scene
}

#[test]
fn each_window_is_a_column_where_it_closed_with_the_way_driven_in_it() {
    let mut screen = Screen::default();
    screen.show(&scene_of(8, style()).markers(40 * S));
    let columns: Vec<_> = screen.of("drift").collect();
    assert_eq!(columns.len(), 8);
    for (i, column) in columns.iter().enumerate() {
        assert_eq!((column.pose.position.x, column.header.frame_id.as_str()), (5.0 * (i + 1) as f64, "odom"));
        assert!((column.pose.position.z - column.scale.z / 2.0).abs() < 1e-9, "it stands on the ground");
    }
    assert!(columns.windows(2).all(|pair| pair[0].scale.z < pair[1].scale.z), "more drift is higher");
    let (steady, drifting) = (&columns[0].color, &columns[7].color);
    assert!(drifting.r > steady.r && drifting.g < steady.g, "more drift is redder");
    let ways: Vec<_> = screen.of("path").map(|way| (way.points[0].x, way.points[way.points.len() - 1].x)).collect();
    assert_eq!(ways, (0..8).map(|i| (5.0 * f64::from(i), 5.0 * f64::from(i + 1))).collect::<Vec<_>>());
    let texts: Vec<_> = screen.of("model").chain(screen.of("status")).map(|marker| marker.text.as_str()).collect();
    assert_eq!(texts, ["label-reader 2", "label-reader 2: DRIFTING\nbrightness: PSI 0.80, threshold 0.50"]);
}

#[test]
fn a_label_stands_where_another_model_begins() {
    let (mut scene, track, mut screen) = (Scene::new(style()), track(), Screen::default());
    for (window, version) in [(1, "1"), (2, "1"), (3, "2"), (4, "2")] {
        let report = edgeflow_ros::edgeflow_msgs::msg::DriftReport {
            model_version: version.into(),
            model_digest: format!("sha256:{version}"),
            ..report(5 * window, 0.1)
        };
        scene.add(&report, &track, 0).unwrap();
    }
    screen.show(&scene.markers(0));
    let labels: Vec<_> = screen.of("model").map(|marker| (marker.text.as_str(), marker.pose.position.x)).collect();
    assert_eq!(labels, [("label-reader 1", 5.0), ("label-reader 2", 15.0)]);
}

#[test]
fn the_oldest_windows_go_and_a_viewer_that_missed_messages_shows_the_same() {
    let bounded = || Style { max_windows: 10, ..style() };
    let (mut scene, track) = (Scene::new(bounded()), track());
    let (mut attentive, mut sleepy) = (Screen::default(), Screen::default());
    for window in 1..=57 {
        scene.add(&report(5 * window, 0.1), &track, 5 * window * S).unwrap();
        let array = scene.markers(5 * window * S);
        assert!(array.markers.len() <= 3 * 10 + 1, "{}", array.markers.len());
        attentive.show(&array);
        if window % 7 == 1 {
            sleepy.show(&array);
        }
    }
    let mut latecomer = Screen::default();
    latecomer.show(&scene.markers(57 * 5 * S));
    assert_eq!(attentive.0, latecomer.0);
    assert_eq!(sleepy.0, latecomer.0, "57 is 1 beyond a multiple of 7");
    assert_eq!(latecomer.of("drift").count(), 10);
    assert_eq!(latecomer.of("path").count(), 0, "it stood still during the last ten windows");
}

#[test]
fn a_window_leaves_when_its_time_is_over_and_tells_viewers_when() {
    let mut scene = scene_of(4, Style { lifetime_ns: Some(12 * S), ..style() });
    let mut screen = Screen::default();
    // Closed at 5, 10, 15 and 20 s.
    assert!(scene.expire(20 * S));
    screen.show(&scene.markers(20 * S));
    let lifetimes: Vec<_> = screen.of("drift").map(|column| column.lifetime.sec).collect();
    assert_eq!(lifetimes, [2, 7, 12]);
    assert!(!scene.expire(21 * S));
    assert!(scene.expire(40 * S));
    screen.show(&scene.markers(40 * S));
    assert_eq!(screen.0.len(), 0, "the status goes with the last window");
}

#[test]
fn without_a_pose_the_newest_window_stands_at_the_camera() {
    let mut scene = Scene::new(style());
    let mut screen = Screen::default();
    let nowhere = Track::new(0.1, None);
    for window in 1..=3 {
        scene.add(&report(5 * window, 1.0), &nowhere, 0).unwrap();
        screen.show(&scene.markers(0));
    }
    let columns: Vec<_> = screen.of("drift").map(|column| (column.header.frame_id.as_str(), column.pose.position.x)).collect();
    assert_eq!(columns, [("camera", 0.0)]);
    assert_eq!(screen.of("path").count(), 0);
    scene.add(&report(20, 1.0), &track(), 0).unwrap();
    screen.show(&scene.markers(0));
    let frames: Vec<_> = screen.of("drift").map(|column| column.header.frame_id.as_str()).collect();
    assert_eq!(frames, ["odom"], "once the path is known, the camera's column is gone");

    let mut overridden = Scene::new(Style { frame_id: "base_link".into(), ..style() });
    overridden.add(&report(5, 1.0), &nowhere, 0).unwrap();
    assert!(overridden.markers(0).markers.iter().all(|marker| marker.header.frame_id == "base_link"));
}

#[test]
fn a_report_from_nowhere_is_refused_and_changes_nothing() {
    let mut scene = scene_of(2, style());
    let before = scene.markers(0);
    let mut lost = report(15, 1.0);
    lost.header.frame_id.clear();
    let told = scene.add(&lost, &Track::new(0.1, None), 0).unwrap_err();
    assert_eq!(told, Nowhere);
    assert!(told.to_string().contains("frame_id"), "{told}");
    assert_eq!(scene.markers(0), before);
}

#[test]
fn every_namespace_is_announced_and_rules_hold_for_odd_reports() {
    let mut screen = Screen::default();
    screen.show(&scene_of(3, style()).markers(0));
    for ns in NAMESPACES {
        assert!(screen.of(ns).count() > 0, "{ns}");
    }
    let mut scene = Scene::new(style());
    let mut odd = report(5, f64::NAN);
    odd.model_name.clear();
    odd.features.push(edgeflow_ros::edgeflow_msgs::msg::DriftFeature { psi: f64::INFINITY, flagged: true, ..Default::default() });
    odd.flagged = true;
    scene.add(&odd, &track(), 0).unwrap();
    odd.features.clear();
    odd.model_digest.clear();
    scene.add(&odd, &track(), 0).unwrap();
    screen.show(&scene.markers(0));
}

#[test]
fn the_rules_find_what_rviz_would_not_show() {
    let good = scene_of(2, style()).markers(0);
    assert_eq!(violations(&good), Vec::<String>::new());
    let broken = |change: fn(&mut edgeflow_ros::visualization_msgs::msg::Marker)| {
        let mut array = good.clone();
        change(&mut array.markers[0]);
        violations(&array)
    };
    for (found, rule) in [
        (broken(|m| m.header.frame_id.clear()), "no frame_id"),
        (broken(|m| m.scale.z = 0.0), "a scale of 0"),
        (broken(|m| m.color.a = 0.0), "alpha 0"),
        (broken(|m| m.pose.orientation.w = 0.0), "no unit quaternion"),
        (broken(|m| m.pose.position.x = f64::NAN), "nan or inf"),
        (broken(|m| m.header.stamp.sec = 7), "newest transform"),
        (broken(|m| m.lifetime.nanosec = 100), "counts as none"),
        (broken(|m| m.action = 1), "its action"),
        (broken(|m| m.id = 1), "twice"),
        (broken(|m| m.ns.clear()), "no namespace"),
    ] {
        assert!(found.iter().any(|text| text.contains(rule)), "{rule}: {found:?}");
    }
}
