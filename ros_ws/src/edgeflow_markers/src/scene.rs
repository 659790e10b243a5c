//! What RViz shall show: a column for each of the newest drift windows, the way driven during it, the model's name where a
//! model begins, and the present status in words.
//!
//! Every array is the whole scene: it says of each id that was ever used whether it is there (ADD) or not (DELETE). So a
//! message that is lost, or a viewer that comes late and gets only the latched one, leaves nothing stale on the screen. Ids
//! are slots of a ring as long as the scene is large, which bounds both.

use std::collections::VecDeque;

use edgeflow_ros::builtin_interfaces::msg::{Duration, Time};
use edgeflow_ros::constants::visualization_msgs::msg::Marker as kind;
use edgeflow_ros::edgeflow_msgs::msg::DriftReport;
use edgeflow_ros::geometry_msgs::msg::{Point as PointMsg, Pose, Quaternion, Vector3};
use edgeflow_ros::std_msgs::msg::{ColorRGBA, Header};
use edgeflow_ros::visualization_msgs::msg::{Marker, MarkerArray};

use crate::nanoseconds;
use crate::severity::Severity;
use crate::track::{Point, Track};

/// Namespaces of the markers; each is a check box in RViz.
pub const NAMESPACES: [&str; 4] = [COLUMNS, WAYS, MODELS, STATUS];
const COLUMNS: &str = "drift";
const WAYS: &str = "path";
const MODELS: &str = "model";
const STATUS: &str = "status";

/// Points of the way driven during one window.
const WAY_POINTS: usize = 64;

/// Readable on RViz's dark background.
const TEXT: ColorRGBA = ColorRGBA { r: 0.95, g: 0.95, b: 0.95, a: 1.0 };

/// How the scene looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Style {
    /// Diameter of a column, metres; everything else is in proportion.
    pub size_m: f64,
    /// Windows shown.
    pub max_windows: usize,
    /// How long a window is shown; `None`: until `max_windows` newer ones have come.
    pub lifetime_ns: Option<i64>,
    /// Frame of a window whose place on the path is not known; empty: the frame of the report.
    pub frame_id: String,
}

/// A report that can be shown nowhere: the robot's place is not known, and the report names no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the drift report has no frame_id and no pose has come: publish odometry, or set the parameter frame_id")]
pub struct Nowhere;

struct Window {
    /// Of the windows ever taken in, from 0.
    number: usize,
    shown_since_ns: i64,
    frame_id: String,
    at: Point,
    /// On the robot's path, not merely at its camera.
    on_path: bool,
    way: Vec<Point>,
    severity: Severity,
    /// Name of the model, where another one begins.
    model_begins: Option<String>,
}

/// The windows shown.
pub struct Scene {
    style: Style,
    windows: VecDeque<Window>,
    /// Windows ever taken in.
    taken: usize,
    newest_digest: Option<String>,
    newest_frame_id: String,
    status: Option<String>,
}

impl Scene {
    /// Nothing shown yet.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { style, windows: VecDeque::new(), taken: 0, newest_digest: None, newest_frame_id: String::new(), status: None }
    }

    /// Shows the same windows in another style; whether it is another. The number of windows stays as it was.
    pub fn restyle(&mut self, style: Style) -> bool {
        let style = Style { max_windows: self.style.max_windows, ..style };
        let changes = self.style != style;
        self.style = style;
        changes
    }

    /// Takes in a closed window, at the place where the robot was when it closed. Without a place it stands at the report's
    /// frame, and only the newest of these is shown: they would all stand in each other.
    ///
    /// # Errors
    /// [`Nowhere`]; the scene stays as it was.
    pub fn add(&mut self, report: &DriftReport, track: &Track, now_ns: i64) -> Result<Severity, Nowhere> {
        let closed_ns = nanoseconds(&report.header.stamp);
        let place = track.at(closed_ns);
        let frame_id = match (place, self.style.frame_id.is_empty()) {
            (Some(_), _) => track.frame_id(),
            (None, false) => &self.style.frame_id,
            (None, true) => &report.header.frame_id,
        };
        if frame_id.is_empty() {
            return Err(Nowhere);
        }
        let oldest = (self.taken + 1).saturating_sub(self.style.max_windows);
        self.windows.retain(|window| window.on_path && window.number >= oldest);
        let model_begins = self.newest_digest.as_ref() != Some(&report.model_digest);
        let severity = Severity::of(report);
        let window = Window {
            number: self.taken,
            shown_since_ns: now_ns,
            frame_id: frame_id.to_owned(),
            at: place.unwrap_or_default(),
            on_path: place.is_some(),
            way: if place.is_some() { track.between(nanoseconds(&report.window_start), closed_ns, WAY_POINTS) } else { Vec::new() },
            model_begins: model_begins.then(|| model(report)),
            severity: severity.clone(),
        };
        self.status = Some(format!("{}: {}\n{}", model(report), severity.headline(), severity.detail()));
        self.newest_digest = Some(report.model_digest.clone());
        self.newest_frame_id.clone_from(&window.frame_id);
        self.taken += 1;
        self.windows.push_back(window);
        Ok(severity)
    }

    /// Forgets windows whose time is over; whether there were any.
    pub fn expire(&mut self, now_ns: i64) -> bool {
        let before = self.windows.len();
        if let Some(lifetime_ns) = self.style.lifetime_ns {
            self.windows.retain(|window| age(window, now_ns) < lifetime_ns);
        }
        before != self.windows.len()
    }

    /// The whole scene.
    #[must_use]
    pub fn markers(&self, now_ns: i64) -> MarkerArray {
        let slots = self.taken.min(self.style.max_windows);
        let mut shown: Vec<Option<&Window>> = vec![None; slots];
        for window in &self.windows {
            shown[window.number % self.style.max_windows] = Some(window);
        }
        let mut markers = Vec::with_capacity(3 * slots + 1);
        for (slot, window) in shown.into_iter().enumerate() {
            let drawn = [
                (COLUMNS, window.map(|window| self.column(window))),
                (WAYS, window.and_then(|window| self.way(window))),
                (MODELS, window.and_then(|window| self.label(window))),
            ];
            markers.extend(drawn.map(|(ns, marker)| self.placed(ns, slot, window, marker, now_ns)));
        }
        if let Some(status) = &self.status {
            let newest = self.windows.back();
            let marker = newest.map(|window| self.text(status.clone(), self.lifted(window.at, 3.6)));
            markers.push(self.placed(STATUS, 0, newest, marker, now_ns));
        }
        MarkerArray { markers }
    }

    /// Height and colour say how far the window is beyond chance.
    fn column(&self, window: &Window) -> Marker {
        let size = self.style.size_m;
        let height = size * (0.2 + 2.0 * window.severity.strength());
        let [x, y, z] = window.at;
        Marker {
            type_: kind::CYLINDER,
            pose: upright([x, y, z + height / 2.0]),
            scale: Vector3 { x: size, y: size, z: height },
            color: window.severity.color(),
            ..Marker::default()
        }
    }

    /// The way driven during the window, if the robot moved.
    fn way(&self, window: &Window) -> Option<Marker> {
        (window.way.len() > 1).then(|| Marker {
            type_: kind::LINE_STRIP,
            pose: upright([0.0; 3]),
            scale: Vector3 { x: self.style.size_m * 0.2, y: 0.0, z: 0.0 },
            color: window.severity.color(),
            points: window.way.iter().map(|[x, y, z]| PointMsg { x: *x, y: *y, z: *z }).collect(),
            ..Marker::default()
        })
    }

    fn label(&self, window: &Window) -> Option<Marker> {
        window.model_begins.as_ref().map(|name| self.text(name.clone(), self.lifted(window.at, 2.6)))
    }

    fn text(&self, text: String, at: Point) -> Marker {
        Marker {
            type_: kind::TEXT_VIEW_FACING,
            pose: upright(at),
            scale: Vector3 { x: 0.0, y: 0.0, z: self.style.size_m * 0.6 },
            color: TEXT,
            text,
            ..Marker::default()
        }
    }

    /// Above the tallest column, which is 2.2 sizes.
    fn lifted(&self, [x, y, z]: Point, sizes: f64) -> Point {
        [x, y, z + sizes * self.style.size_m]
    }

    /// Gives a marker its name, frame and time; no marker means that there is none of this name.
    fn placed(&self, ns: &str, id: usize, window: Option<&Window>, marker: Option<Marker>, now_ns: i64) -> Marker {
        // At most 10,000 by the parameter's range.
        let (ns, id) = (ns.to_owned(), i32::try_from(id).unwrap_or(i32::MAX));
        // Stamp 0 asks for the newest transform, and frame_locked asks again with each frame drawn. With the window's own stamp a
        // viewer that starts later would look for a transform that has left its buffer, and never show the marker.
        let header = |frame_id: &str| Header { stamp: Time { sec: 0, nanosec: 0 }, frame_id: frame_id.to_owned() };
        match (window, marker) {
            (Some(window), Some(marker)) => Marker {
                header: header(&window.frame_id),
                ns,
                id,
                action: kind::ADD,
                lifetime: self.lifetime(window, now_ns),
                frame_locked: true,
                ..marker
            },
            _ => Marker { header: header(&self.newest_frame_id), ns, id, action: kind::DELETE, ..Marker::default() },
        }
    }

    /// What is left of it, so that viewers forget the window even if this node is gone by then. 0 is for ever.
    fn lifetime(&self, window: &Window, now_ns: i64) -> Duration {
        let left = self.style.lifetime_ns.map_or(0, |lifetime| (lifetime - age(window, now_ns)).max(1_000_000));
        Duration { sec: i32::try_from(left / 1_000_000_000).unwrap_or(i32::MAX), nanosec: (left % 1_000_000_000) as u32 }
    }
}

/// A clock that was set back makes no window younger than new.
fn age(window: &Window, now_ns: i64) -> i64 {
    (now_ns - window.shown_since_ns).max(0)
}

fn upright([x, y, z]: Point) -> Pose {
    Pose { position: PointMsg { x, y, z }, orientation: Quaternion { x: 0.0, y: 0.0, z: 0.0, w: 1.0 } }
}

/// Name and version, or the digest of a model that nobody named.
fn model(report: &DriftReport) -> String {
    match (report.model_name.as_str(), report.model_version.as_str()) {
        ("", _) if report.model_digest.is_empty() => "unnamed model".to_owned(),
        ("", _) => report.model_digest.chars().take("sha256:".len() + 12).collect(),
        (name, "") => name.to_owned(),
        (name, version) => format!("{name} {version}"),
    }
}
