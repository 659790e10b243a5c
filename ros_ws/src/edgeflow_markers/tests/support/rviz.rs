//! RViz's rules for a `MarkerArray`, as its marker display and the message's own comments have them. RViz breaks no build: a
//! marker that is wrong is simply not seen, so the rules are checked here.

use std::collections::{BTreeMap, BTreeSet};

use edgeflow_ros::constants::visualization_msgs::msg::Marker as kind;
use edgeflow_ros::visualization_msgs::msg::{Marker, MarkerArray};

/// Everything that RViz would complain about or leave out.
pub(crate) fn violations(array: &MarkerArray) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for marker in &array.markers {
        let mut broken = of_one(marker);
        if !seen.insert((marker.ns.clone(), marker.id)) {
            broken.push("ns and id are in the array twice");
        }
        found.extend(broken.into_iter().map(|rule| format!("{}/{}: {rule}", marker.ns, marker.id)));
    }
    found
}

fn of_one(marker: &Marker) -> Vec<&'static str> {
    let Marker { pose, scale, color, .. } = marker;
    let mut broken = Vec::new();
    let mut rule = |holds: bool, text| {
        if !holds {
            broken.push(text);
        }
    };
    rule(!marker.ns.is_empty(), "no namespace: it cannot be switched off");
    rule(marker.action == kind::ADD || marker.action == kind::DELETE, "its action is not one that names it");
    if marker.action == kind::DELETE {
        return broken;
    }
    rule(!marker.header.frame_id.is_empty(), "no frame_id: nothing to transform");
    rule(!marker.header.frame_id.starts_with('/'), "tf2 frames have no leading slash");
    let newest = marker.header.stamp.sec == 0 && marker.header.stamp.nanosec == 0;
    rule(!marker.frame_locked || newest, "frame_locked looks up the newest transform, so another stamp means nothing");
    let lifetime_ns = i64::from(marker.lifetime.sec) * 1_000_000_000 + i64::from(marker.lifetime.nanosec);
    rule(lifetime_ns == 0 || lifetime_ns > 100_000, "a lifetime up to 0.1 ms counts as none");
    let q = &pose.orientation;
    let floats = [pose.position.x, pose.position.y, pose.position.z, q.x, q.y, q.z, q.w, scale.x, scale.y, scale.z];
    rule(floats.iter().all(|value| value.is_finite()), "nan or inf in pose or scale");
    rule(((q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w).sqrt() - 1.0).abs() < 1e-6, "the orientation is no unit quaternion");
    rule([color.r, color.g, color.b, color.a].iter().all(|value| (0.0..=1.0).contains(value)), "a colour is not from 0 to 1");
    rule(color.a > 0.0, "alpha 0 is invisible");
    rule(marker.points.iter().all(|p| p.x.is_finite() && p.y.is_finite() && p.z.is_finite()), "nan or inf in points");
    rule(marker.colors.is_empty() || marker.colors.len() == marker.points.len(), "colors must be as many as points, or none");
    match marker.type_ {
        kind::CYLINDER => rule(scale.x > 0.0 && scale.y > 0.0 && scale.z > 0.0, "a scale of 0 in one of x, y, z"),
        kind::LINE_STRIP => {
            rule(scale.x > 0.0, "a line's width is scale.x");
            rule(marker.points.len() > 1, "a line needs two points");
        }
        kind::TEXT_VIEW_FACING => {
            rule(scale.z > 0.0, "a text's height is scale.z");
            rule(!marker.text.trim().is_empty(), "a text without a letter");
        }
        _ => rule(false, "a type that is not checked here"),
    }
    rule(marker.text.is_empty() || marker.type_ == kind::TEXT_VIEW_FACING, "text is for text markers");
    rule(marker.points.is_empty() || marker.type_ == kind::LINE_STRIP, "points are for lists and lines");
    rule(marker.mesh_resource.is_empty() && marker.texture_resource.is_empty(), "resources are for meshes");
    broken
}

/// A viewer's screen: what remains of all arrays that reached it.
#[derive(Default)]
pub(crate) struct Screen(pub(crate) BTreeMap<(String, i32), Marker>);

impl Screen {
    pub(crate) fn show(&mut self, array: &MarkerArray) {
        assert_eq!(violations(array), Vec::<String>::new());
        for marker in &array.markers {
            let id = (marker.ns.clone(), marker.id);
            if marker.action == kind::DELETE {
                self.0.remove(&id);
            } else {
                self.0.insert(id, marker.clone());
            }
        }
    }

    pub(crate) fn of<'a>(&'a self, ns: &'a str) -> impl Iterator<Item = &'a Marker> {
        self.0.values().filter(move |marker| marker.ns == ns)
    }
}
