//! Draws a `MarkerArray` as RViz would, seen from above at an angle: enough for a picture in the documents, without a GPU.

use std::fmt::Write;

use edgeflow_ros::constants::visualization_msgs::msg::Marker as kind;
use edgeflow_ros::std_msgs::msg::ColorRGBA;
use edgeflow_ros::visualization_msgs::msg::Marker;

/// How far the view is from straight above, degrees.
const TILT_DEG: f64 = 50.0;
const PX_PER_M: f64 = 44.0;
const MARGIN_M: f64 = 0.9;

/// What of the ground is seen, metres.
pub(crate) struct Ground {
    pub(crate) width: f64,
    pub(crate) depth: f64,
    /// Room above the far edge for what stands there.
    pub(crate) height: f64,
}

impl Ground {
    /// Orthographic: x to the right, y away from the viewer, z up.
    fn project(&self, x: f64, y: f64, z: f64) -> (f64, f64) {
        let (sin, cos) = TILT_DEG.to_radians().sin_cos();
        let down = (self.depth - y) * cos + (self.height - z) * sin;
        ((x + MARGIN_M) * PX_PER_M, (down + MARGIN_M) * PX_PER_M)
    }
}

/// The picture of all these markers, which share one frame.
pub(crate) fn svg<'a>(ground: &Ground, title: &str, markers: impl Iterator<Item = &'a Marker>) -> String {
    let (width, height) = (ground.project(ground.width + MARGIN_M, 0.0, 0.0).0, ground.project(0.0, 0.0, 0.0).1 + MARGIN_M * PX_PER_M);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" role=\"img\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#303030\"/>\n<g stroke=\"#5a5a5c\" stroke-width=\"1\">\n"
    );
    for (from, to) in grid(ground) {
        let ((x1, y1), (x2, y2)) = (ground.project(from.0, from.1, 0.0), ground.project(to.0, to.1, 0.0));
        writeln!(out, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>").unwrap();
    }
    out.push_str("</g>\n");
    // From the ground up and from the back to the front, as a depth buffer would have it.
    let mut ordered: Vec<_> = markers.collect();
    let layer = |marker: &Marker| match marker.type_ {
        kind::LINE_STRIP => 0,
        kind::CYLINDER => 1,
        _ => 2,
    };
    ordered.sort_by(|a, b| layer(a).cmp(&layer(b)).then(b.pose.position.y.total_cmp(&a.pose.position.y)));
    for marker in ordered {
        match marker.type_ {
            kind::LINE_STRIP => line(&mut out, ground, marker),
            kind::CYLINDER => column(&mut out, ground, marker),
            kind::TEXT_VIEW_FACING => text(&mut out, ground, marker),
            other => panic!("marker type {other} is not drawn"),
        }
    }
    out.push_str("</svg>\n");
    out
}

fn grid(ground: &Ground) -> Vec<((f64, f64), (f64, f64))> {
    let (width, depth) = (ground.width.ceil() as i32, ground.depth.ceil() as i32);
    let across = (0..=depth).map(|y| ((0.0, f64::from(y)), (f64::from(width), f64::from(y))));
    let along = (0..=width).map(|x| ((f64::from(x), 0.0), (f64::from(x), f64::from(depth))));
    across.chain(along).collect()
}

fn line(out: &mut String, ground: &Ground, marker: &Marker) {
    let points: Vec<_> = marker.points.iter().map(|p| ground.project(p.x, p.y, p.z)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let (points, width, color) = (points.join(" "), marker.scale.x * PX_PER_M, rgb(&marker.color, 1.0));
    writeln!(out, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width:.1}\" stroke-linejoin=\"round\"/>")
        .unwrap();
}

fn column(out: &mut String, ground: &Ground, marker: &Marker) {
    let (at, scale) = (&marker.pose.position, &marker.scale);
    let (x, top) = ground.project(at.x, at.y, at.z + scale.z / 2.0);
    let (_, foot) = ground.project(at.x, at.y, at.z - scale.z / 2.0);
    let (rx, ry) = (scale.x / 2.0 * PX_PER_M, scale.y / 2.0 * PX_PER_M * TILT_DEG.to_radians().cos());
    let (left, right) = (x - rx, x + rx);
    let (side, lid) = (rgb(&marker.color, 0.72), rgb(&marker.color, 1.0));
    writeln!(
        out,
        "<path d=\"M{left:.1} {top:.1}V{foot:.1}A{rx:.1} {ry:.1} 0 0 0 {right:.1} {foot:.1}V{top:.1}Z\" fill=\"{side}\"/>\
         <ellipse cx=\"{x:.1}\" cy=\"{top:.1}\" rx=\"{rx:.1}\" ry=\"{ry:.1}\" fill=\"{lid}\"/>"
    )
    .unwrap();
}

fn text(out: &mut String, ground: &Ground, marker: &Marker) {
    let at = &marker.pose.position;
    let (x, y) = ground.project(at.x, at.y, at.z);
    let (size, color) = (marker.scale.z * PX_PER_M, rgb(&marker.color, 1.0));
    let lines: Vec<_> = marker.text.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        let y = y + size * 1.2 * (i as f64 - (lines.len() - 1) as f64 / 2.0) + size * 0.35;
        let line = line.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size:.1}\" text-anchor=\"middle\" fill=\"{color}\">{line}</text>")
            .unwrap();
    }
}

fn rgb(color: &ColorRGBA, light: f32) -> String {
    let [r, g, b] = [color.r, color.g, color.b].map(|value| (value * light * 255.0).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}
