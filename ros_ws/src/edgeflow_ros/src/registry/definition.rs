//! Types as interface files have them: what a recording carries, so that whoever reads it needs no interface package.

use super::{Array, Element, FieldDescription, TypeDescription, part};
use std::fmt::Write;

/// What divides the definitions of one schema.
const DIVIDER: &str = "================================================================================";

impl TypeDescription {
    /// The definition as a .msg file would have it, without comments, and behind it those of all types it consists of, each
    /// after a line of `=` and one of `MSG: package/Type`. MCAP calls this schema encoding `ros2msg`.
    #[must_use]
    pub fn definition(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        let mut known = vec![self.name];
        let mut next = 0;
        let mut parts: Vec<&'static str> = self.nested().collect();
        while let Some(name) = parts.get(next).copied() {
            next += 1;
            if known.contains(&name) {
                continue;
            }
            known.push(name);
            let ty = part(name);
            let _ = writeln!(text, "{DIVIDER}\nMSG: {}", short(name));
            ty.write(&mut text);
            parts.extend(ty.nested());
        }
        text
    }

    fn nested(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().filter_map(|field| match field.ty {
            Element::Message(name) => Some(name),
            _ => None,
        })
    }

    fn write(&self, text: &mut String) {
        for constant in self.constants {
            let _ = writeln!(text, "{} {}={}", constant.ty, constant.name, constant.value);
        }
        for field in self.fields {
            let _ = writeln!(text, "{}", line(field));
        }
    }
}

fn line(field: &FieldDescription) -> String {
    let ty = match field.ty {
        Element::Message(name) => short(name),
        other => other.name().to_owned(),
    };
    let bound = field.string_bound.map(|bound| format!("<={bound}")).unwrap_or_default();
    let array = match field.array {
        Array::Single => String::new(),
        Array::Fixed(n) => format!("[{n}]"),
        Array::Bounded(n) => format!("[<={n}]"),
        Array::Unbounded => "[]".to_owned(),
    };
    let default = field.default.map(|json| format!(" {json}")).unwrap_or_default();
    format!("{ty}{bound}{array} {}{default}", field.name)
}

/// `sensor_msgs/msg/Image` is `sensor_msgs/Image` in a definition.
fn short(name: &str) -> String {
    name.replacen("/msg/", "/", 1)
}

#[cfg(test)]
mod tests {
    use crate::registry::{message, messages};

    #[test]
    fn a_definition_has_every_part_once() {
        let cloud = message("sensor_msgs/PointCloud2").unwrap().definition();
        let blocks: Vec<&str> = cloud.split(&format!("{}\n", super::DIVIDER)).collect();
        assert!(
            blocks[0]
                .starts_with("std_msgs/Header header\nuint32 height\nuint32 width\nsensor_msgs/PointField[] fields\nbool is_bigendian\n")
        );
        let names: Vec<&str> = blocks[1..].iter().map(|block| block.lines().next().unwrap()).collect();
        assert_eq!(names, ["MSG: std_msgs/Header", "MSG: sensor_msgs/PointField", "MSG: builtin_interfaces/Time"]);
        assert_eq!(blocks[3], "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n");
        assert!(blocks[2].starts_with("MSG: sensor_msgs/PointField\nuint8 INT8=1\n"), "{}", blocks[2]);
        assert!(blocks[2].ends_with("\nstring name\nuint32 offset\nuint8 datatype\nuint32 count\n"), "{}", blocks[2]);
    }

    #[test]
    fn arrays_bounds_and_defaults_are_kept() {
        let definition = |name: &str| message(name).unwrap().definition();
        assert!(definition("sensor_msgs/Imu").contains("\nfloat64[9] orientation_covariance\n"));
        assert!(definition("geometry_msgs/Quaternion").ends_with("float64 w 1\n"), "{}", definition("geometry_msgs/Quaternion"));
    }

    #[test]
    fn every_type_has_one() {
        for name in messages() {
            let text = message(name).unwrap().definition();
            assert!(text.matches("MSG: ").count() + 1 == text.split(super::DIVIDER).count(), "{name}: {text}");
        }
    }
}
