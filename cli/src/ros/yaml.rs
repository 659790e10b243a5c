//! Messages as YAML, the way `ros2` prints and reads them.
//!
//! Written here rather than by a YAML library, because the order of fields is that of the type, long arrays and strings
//! are cut as `ros2 topic echo` cuts them, and text that only looks like a number or a truth value must be quoted.

use edgeflow_ros::registry::{self, Array, Element, FieldDescription, TypeDescription};
use serde_json::{Map, Value, json};
use std::fmt::Write;

use crate::error::CliError;

/// How much of a message is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Elements of an array and characters of a string; `None` shows all.
    pub(super) truncate: Option<usize>,
    /// Arrays by type and length only.
    pub(super) no_arr: bool,
    /// Strings by length only.
    pub(super) no_str: bool,
}

impl Style {
    /// What `ros2` shows unless told otherwise.
    pub(super) const DEFAULT: Self = Self { truncate: Some(128), no_arr: false, no_str: false };
    /// Everything.
    #[cfg(test)]
    pub(super) const FULL: Self = Self { truncate: None, no_arr: false, no_str: false };
}

/// A message as YAML, each line ended.
pub(super) fn print(ty: &TypeDescription, value: &Value, style: Style) -> String {
    let mut printer = Printer { style, out: String::new() };
    printer.fields(ty.fields, value, 0, true);
    if ty.fields.is_empty() {
        printer.out.push_str("{}\n");
    }
    printer.out
}

/// One field of a message as YAML, given by its dotted path.
pub(super) fn print_field(field: &FieldDescription, value: &Value, style: Style) -> String {
    let mut printer = Printer { style, out: String::new() };
    match (field.array, field.ty) {
        (Array::Single, Element::Message(name)) => printer.fields(fields_of(name), value, 0, true),
        (Array::Single, element) => {
            let text = printer.scalar(element, value);
            printer.out.push_str(&text);
            printer.out.push('\n');
        }
        _ => printer.array(field, value, 0),
    }
    printer.out.trim_start_matches([' ', '\n']).to_owned()
}

/// The field at a dotted path.
pub(super) fn field_at(ty: &TypeDescription, path: &str) -> Result<&'static FieldDescription, String> {
    let mut fields = ty.fields;
    let mut name = ty.name;
    let mut found = None;
    for part in path.split('.') {
        let Some(field) = fields.iter().find(|field| field.name == part) else {
            let known = fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no field {part:?}: {name} has the fields {known}"));
        };
        fields = match (field.array, field.ty) {
            (Array::Single, Element::Message(inner)) => {
                name = inner;
                fields_of(inner)
            }
            _ => {
                name = field.ty.name();
                &[]
            }
        };
        found = Some(field);
    }
    found.ok_or_else(|| "is empty".to_owned())
}

fn fields_of(name: &str) -> &'static [FieldDescription] {
    // Every type that a known type names is known.
    registry::message(name).map_or(&[], |ty| ty.fields)
}

struct Printer {
    style: Style,
    out: String,
}

impl Printer {
    /// The fields of a message. The first line is not indented when it goes on after a dash.
    fn fields(&mut self, fields: &[FieldDescription], value: &Value, indent: usize, fresh_line: bool) {
        for (index, field) in fields.iter().enumerate() {
            if index > 0 || fresh_line {
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
            self.out.push_str(field.name);
            self.out.push(':');
            self.field(field, value.get(field.name).unwrap_or(&Value::Null), indent);
        }
    }

    fn field(&mut self, field: &FieldDescription, value: &Value, indent: usize) {
        match (field.array, field.ty) {
            (Array::Single, Element::Message(name)) => match fields_of(name) {
                [] => self.out.push_str(" {}\n"),
                fields => {
                    self.out.push('\n');
                    self.fields(fields, value, indent + 2, true);
                }
            },
            (Array::Single, element) => {
                let text = self.scalar(element, value);
                let _ = writeln!(self.out, " {text}");
            }
            _ => self.array(field, value, indent),
        }
    }

    fn array(&mut self, field: &FieldDescription, value: &Value, indent: usize) {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        if self.style.no_arr {
            let element = field.ty.name();
            let _ = match field.array {
                Array::Fixed(length) => writeln!(self.out, " '<array type: {element}[{length}]>'"),
                _ => writeln!(self.out, " '<sequence type: {element}, length: {}>'", items.len()),
            };
            return;
        }
        if items.is_empty() {
            self.out.push_str(" []\n");
            return;
        }
        self.out.push('\n');
        let shown = self.style.truncate.unwrap_or(usize::MAX);
        for item in items.iter().take(shown) {
            self.out.extend(std::iter::repeat_n(' ', indent));
            self.out.push_str("- ");
            match field.ty {
                Element::Message(name) => match fields_of(name) {
                    [] => self.out.push_str("{}\n"),
                    fields => self.fields(fields, item, indent + 2, false),
                },
                element => {
                    let text = self.scalar(element, item);
                    self.out.push_str(&text);
                    self.out.push('\n');
                }
            }
        }
        if items.len() > shown {
            self.out.extend(std::iter::repeat_n(' ', indent));
            self.out.push_str("- '...'\n");
        }
    }

    fn scalar(&self, element: Element, value: &Value) -> String {
        match (element, value) {
            (Element::String, Value::String(text)) if self.style.no_str => format!("'<string length: <{}>>'", text.chars().count()),
            (Element::String, Value::String(text)) => match self.style.truncate {
                Some(most) if text.chars().count() > most => quote(&format!("{}...", text.chars().take(most).collect::<String>())),
                _ => quote(text),
            },
            // NaN and the infinities, which come spelled out.
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        }
    }
}

/// Text as a YAML scalar that is read as text again, by YAML 1.1 readers too.
fn quote(text: &str) -> String {
    let plain_start = text.starts_with(|first: char| first.is_alphabetic() || matches!(first, '/' | '_'));
    let plain = plain_start
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(|char| char.is_alphanumeric() || " _-./:+@()=;".contains(char))
        && !matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    if plain {
        text.to_owned()
    } else if text.chars().any(|char| char.is_control() || matches!(char, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        let mut quoted = String::from("\"");
        for char in text.chars() {
            match char {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                    let _ = write!(quoted, "\\u{:04x}", u32::from(other));
                }
                other => quoted.push(other),
            }
        }
        quoted.push('"');
        quoted
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A value as written on the command line: YAML, `@FILE`, `@-` for standard input; nothing is an empty message.
pub(super) fn read(given: Option<&str>) -> Result<Value, CliError> {
    let (what, text) = match given {
        None => return Ok(json!({})),
        Some("@-") => (
            "standard input".to_owned(),
            std::io::read_to_string(std::io::stdin()).map_err(|source| CliError::Read { path: "standard input".into(), source })?,
        ),
        Some(given) => match given.strip_prefix('@') {
            Some(path) => {
                (path.to_owned(), std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?)
            }
            None => ("the value".to_owned(), given.to_owned()),
        },
    };
    let text = text.trim().trim_start_matches("---").trim_end_matches("---");
    let value: serde_norway::Value = serde_norway::from_str(text).map_err(|source| CliError::Yaml { what: what.clone(), source })?;
    match to_json(value).map_err(|reason| CliError::Value { what: what.clone(), reason })? {
        Value::Null => Ok(json!({})),
        Value::Object(fields) => Ok(Value::Object(fields)),
        other => Err(CliError::Value { what, reason: format!("write the fields of the message, for instance '{{data: {other}}}'") }),
    }
}

fn to_json(value: serde_norway::Value) -> Result<Value, String> {
    use serde_norway::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(truth) => Value::Bool(truth),
        Yaml::String(text) => Value::String(text),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => json!(integer),
            (_, Some(integer), _) => json!(integer),
            // What JSON has no number for is spelled out, as the registry reads it.
            (_, _, Some(float)) if float.is_nan() => json!(".nan"),
            (_, _, Some(float)) if float.is_infinite() => json!(if float > 0.0 { ".inf" } else { "-.inf" }),
            (_, _, float) => json!(float),
        },
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?),
        Yaml::Mapping(fields) => {
            let mut map = Map::new();
            for (key, value) in fields {
                let Yaml::String(key) = key else { return Err("the name of a field is not text: quote it".to_owned()) };
                map.insert(key, to_json(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tagged) => return Err(format!("the tag {} has no meaning here", tagged.tag)),
    })
}

/// Replaces `auto` for a header and `now` for a time by the present, as `ros2 topic pub` does.
pub(super) fn stamp(ty: &TypeDescription, value: &mut Value, now: &Value) {
    for field in ty.fields {
        let Element::Message(name) = field.ty else { continue };
        let Some(inner) = value.get_mut(field.name) else { continue };
        match (name, inner.as_str(), field.array) {
            ("std_msgs/msg/Header", Some("auto"), Array::Single) => *inner = json!({"stamp": now}),
            ("builtin_interfaces/msg/Time", Some("now"), Array::Single) => *inner = now.clone(),
            (_, None, Array::Single) => {
                if let Ok(ty) = registry::message(name) {
                    stamp(ty, inner, now);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_printed_as_ros2_does() {
        let ty = registry::message("sensor_msgs/msg/Image").unwrap();
        let value = ty
            .complete(&json!({"header": {"stamp": {"sec": 7}, "frame_id": "camera"}, "height": 2, "encoding": "mono8", "data": [1, 2, 3]}))
            .unwrap();
        let text = "header:\n  stamp:\n    sec: 7\n    nanosec: 0\n  frame_id: camera\nheight: 2\nwidth: 0\nencoding: mono8\nis_bigendian: 0\nstep: 0\ndata:\n- 1\n- 2\n- 3\n";
        assert_eq!(print(ty, &value, Style::DEFAULT), text);
    }

    #[test]
    fn lists_of_messages_nest_under_their_dash() {
        let ty = registry::message("edgeflow_msgs/msg/InferenceResult").unwrap();
        let value =
            ty.complete(&json!({"label": "3", "score": ".nan", "outputs": [{"name": "a", "shape": [1, 2]}, {"name": "b"}]})).unwrap();
        let text = print(ty, &value, Style::FULL);
        assert!(text.contains("label: '3'\n") && text.contains("score: .nan\n") && text.contains("scores: []\n"), "{text}");
        assert!(text.contains("outputs:\n- name: a\n  dtype: 0\n  shape:\n  - 1\n  - 2\n  data: []\n  strings: []\n- name: b\n"), "{text}");
    }

    #[test]
    fn long_values_are_cut_or_named() {
        let ty = registry::message("sensor_msgs/msg/Image").unwrap();
        let value = ty.complete(&json!({"data": vec![7; 129], "encoding": "x".repeat(129)})).unwrap();
        let cut = print(ty, &value, Style::DEFAULT);
        assert_eq!(cut.matches("- 7\n").count(), 128);
        assert!(cut.ends_with("- '...'\n") && cut.contains(&format!("encoding: {}...\n", "x".repeat(128))), "{cut}");
        assert_eq!(print(ty, &value, Style::FULL).matches("- 7\n").count(), 129);
        let named = print(ty, &value, Style { no_arr: true, no_str: true, ..Style::DEFAULT });
        assert!(
            named.contains("data: '<sequence type: uint8, length: 129>'\n") && named.contains("encoding: '<string length: <129>>'\n"),
            "{named}"
        );
    }

    #[test]
    fn text_is_read_back_as_the_same_text() {
        let hard = [
            "",
            " ",
            "a",
            "true",
            "No",
            "~",
            "null",
            "1",
            "1.5",
            "-",
            "- a",
            "a: b",
            "a:",
            "a #b",
            "#",
            "'",
            "it's",
            "\"",
            "\\",
            "a\nb",
            "tab\t",
            "ümläut",
            "🙂",
            "[",
            "{}",
            "@x",
            "/robot_1/camera",
            "2024-01-01",
            "0x1f",
            "1e5",
            ".inf",
            "%",
            "&a",
            "*a",
            "!t",
            "|",
            ">",
            "?",
            "\u{85}",
            "\u{2028}",
            "\u{7f}",
            "y",
            "on",
            "key=value; other",
            "...",
            "---",
            "\u{feff}x",
            "\0",
        ];
        let ty = registry::message("std_msgs/msg/String").unwrap();
        for text in hard {
            let printed = print(ty, &json!({"data": text}), Style::FULL);
            let read = read(Some(&printed)).unwrap_or_else(|error| panic!("{text:?} printed as {printed:?}: {error}"));
            assert_eq!(read, json!({"data": text}), "printed as {printed:?}");
        }
    }

    #[test]
    fn numbers_survive_the_round_trip() {
        let ty = registry::message("geometry_msgs/msg/Point").unwrap();
        for value in [
            json!({"x": 0.1, "y": 1e300, "z": -1e-7}),
            json!({"x": ".nan", "y": ".inf", "z": "-.inf"}),
            json!({"x": 3.0, "y": 0.0, "z": -0.0}),
        ] {
            let read = read(Some(&print(ty, &value, Style::FULL))).unwrap();
            assert_eq!(ty.complete(&read).unwrap(), value);
        }
        let ty = registry::message("std_msgs/msg/UInt64").unwrap();
        let value = json!({"data": u64::MAX});
        assert_eq!(read(Some(&print(ty, &value, Style::FULL))).unwrap(), value);
    }

    #[test]
    fn headers_and_times_can_be_stamped() {
        let ty = registry::message("sensor_msgs/msg/Image").unwrap();
        let now = json!({"sec": 5, "nanosec": 6});
        let mut value = json!({"header": "auto", "height": 1});
        stamp(ty, &mut value, &now);
        assert_eq!(value, json!({"header": {"stamp": {"sec": 5, "nanosec": 6}}, "height": 1}));
        let mut value = json!({"header": {"stamp": "now", "frame_id": "x"}});
        stamp(ty, &mut value, &now);
        assert_eq!(value["header"], json!({"stamp": {"sec": 5, "nanosec": 6}, "frame_id": "x"}));
    }

    #[test]
    fn fields_are_found_by_path() {
        let ty = registry::message("sensor_msgs/msg/Image").unwrap();
        assert_eq!(field_at(ty, "header.stamp.sec").unwrap().name, "sec");
        let error = field_at(ty, "header.stamp.second").unwrap_err();
        assert!(error.contains("\"second\"") && error.contains("sec, nanosec"), "{error}");
        assert!(field_at(ty, "height.x").is_err() && field_at(ty, "").is_err());
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_place() {
        for (text, part) in [
            ("{a: ", "is not YAML"),
            ("3", "{data: 3}"),
            ("{1: 2}", "quote it"),
            ("!x {a: 1}", "tag"),
            ("@/does/not/exist.yaml", "could not read /does/not/exist.yaml"),
        ] {
            let error = read(Some(text)).unwrap_err();
            let shown = crate::error::with_sources(&error);
            assert!(shown.contains(part), "{text}: {shown}");
        }
        assert_eq!(read(None).unwrap(), json!({}));
        assert_eq!(read(Some("")).unwrap(), json!({}));
    }
}
