//! Interface files (`.msg`) as they are installed, for types whose package brings no description beside them: those of before
//! Iron, and those that were put there by hand. See "About ROS 2 interfaces" for the grammar.

use super::{
    Array, default,
    described::{Described, Field, Type, described, field_type, type_id},
};
use crate::installed;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Deeper than that no message is made of others.
const MAX_TYPES: usize = 500;

/// Reads the type of this name and all it consists of; `known` has types that need no file. `None` when there is no such file.
///
/// # Errors
/// The file that cannot be used, and why.
pub(super) fn read(prefixes: &[PathBuf], name: &str, known: impl Fn(&str) -> Option<Type>) -> Result<Option<Described>, (PathBuf, String)> {
    let Some(path) = path(prefixes, name) else { return Ok(None) };
    let main = file(&path, name)?;
    let mut parts: BTreeMap<String, Type> = BTreeMap::new();
    let mut open = vec![(path, main.clone())];
    while let Some((from, ty)) = open.pop() {
        for nested in ty.fields.iter().map(|field| &field.ty.nested_type_name).filter(|name| !name.is_empty() && *name != &main.type_name) {
            if parts.contains_key(nested) {
                continue;
            }
            let part = match (known(nested), self::path(prefixes, nested)) {
                (Some(known), _) => (from.clone(), known),
                (None, Some(path)) => {
                    let part = file(&path, nested)?;
                    (path, part)
                }
                (None, None) => return Err((from, format!("{nested} is not installed"))),
            };
            parts.insert(nested.clone(), part.1.clone());
            if parts.len() > MAX_TYPES {
                return Err((from, format!("it consists of more than {MAX_TYPES} types")));
            }
            open.push(part);
        }
    }
    Ok(Some(Described { type_description: main, referenced_type_descriptions: parts.into_values().collect() }))
}

fn path(prefixes: &[PathBuf], name: &str) -> Option<PathBuf> {
    let (package, rest) = name.split_once('/')?;
    let path = installed::share(prefixes, package)?.join(format!("{rest}.msg"));
    path.is_file().then_some(path)
}

fn file(path: &Path, name: &str) -> Result<Type, (PathBuf, String)> {
    let text = std::fs::read_to_string(path).map_err(|error| (path.to_owned(), error.to_string()))?;
    parse(&text, name).map_err(|(line, reason)| (path.to_owned(), format!("line {line}: {reason}")))
}

/// Type `name` of a file. Constants are passed over.
fn parse(text: &str, name: &str) -> Result<Type, (usize, String)> {
    let package = name.split('/').next().unwrap_or_default();
    let mut fields = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(field) = field(line, package).map_err(|reason| (at + 1, reason))? {
            fields.push(field);
        }
    }
    Ok(described(name.to_owned(), fields))
}

/// `geometry_msgs/Point[<=4] points  # the corners`
fn field(line: &str, package: &str) -> Result<Option<Field>, String> {
    // What stands behind the name may be a string with a `#` in it; nothing before it can.
    let mut words = line.split_whitespace();
    let Some(ty) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(None) };
    let rest = line.trim_start().get(ty.len()..).unwrap_or_default().trim_start();
    let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    if name.is_empty() {
        return Err(format!("{ty:?} has no name"));
    }
    let behind = behind.trim_start();
    if behind.starts_with('=') {
        return Ok(None);
    }
    let (element, array) = match ty.split_once('[') {
        None => (ty, Array::Single),
        Some((element, size)) => {
            let size = size.strip_suffix(']').ok_or_else(|| format!("{ty:?} is no type"))?;
            let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{ty:?} is no array"));
            let array = match size.strip_prefix("<=") {
                Some(bound) => Array::Bounded(number(bound)?),
                None if size.is_empty() => Array::Unbounded,
                None => Array::Fixed(number(size)?),
            };
            (element, array)
        }
    };
    let (element, bound) = match element.split_once("<=") {
        Some(("string", bound)) => ("string", Some(bound.parse().map_err(|_| format!("{ty:?} is no string"))?)),
        Some(_) => return Err(format!("{ty:?} is no type")),
        None => (element, None),
    };
    let element = match (type_id(element), element.split('/').collect::<Vec<_>>().as_slice()) {
        (Some(_), _) => element.to_owned(),
        (None, ["wstring"]) => return Err("wstring is not supported".to_owned()),
        (None, ["Header"]) => "std_msgs/msg/Header".to_owned(),
        (None, [name]) if is_name(name) => format!("{package}/msg/{name}"),
        (None, [package, name] | [package, "msg", name]) if is_name(package) && is_name(name) => format!("{package}/msg/{name}"),
        _ => return Err(format!("{ty:?} is no type")),
    };
    let string = element == "string" && array == Array::Single;
    let default_value = default::of_file(behind, string);
    Ok(Some(Field { default_value, ..Field::new(name, field_type(&element, array, bound)) }))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_rosidl_reads_it() {
        let text = "# A grip\nuint8 OPEN=0\nstring GREETING = a # b\n\nstd_msgs/Header header # when\nuint8 grip 1\nstring<=10[<=3] tags\n\
                    float64[9] covariance\ngeometry_msgs/msg/Point[] points\nFinger[2] fingers\nstring note \"a # b\"\nchar c\n\tbool ok\n";
        let ty = parse(text, "gripper_msgs/msg/Grip").unwrap();
        let fields: Vec<_> =
            ty.fields.iter().map(|field| (field.name.as_str(), field.ty.type_id, field.ty.nested_type_name.as_str())).collect();
        let wanted = [
            ("header", 1, "std_msgs/msg/Header"),
            ("grip", 3, ""),
            ("tags", 21 + 96, ""),
            ("covariance", 11 + 48, ""),
            ("points", 1 + 144, "geometry_msgs/msg/Point"),
            ("fingers", 1 + 48, "gripper_msgs/msg/Finger"),
            ("note", 17, ""),
            ("c", 3, ""),
            ("ok", 15, ""),
        ];
        assert_eq!(fields, wanted);
        assert_eq!((ty.fields[2].ty.capacity, ty.fields[2].ty.string_capacity, ty.fields[3].ty.capacity), (3, 10, 9));
        assert_eq!(parse("uint8 A=1\n", "a/msg/A").unwrap().members(), []);
        for (text, line, reason) in [
            ("bool\n", 1, "no name"),
            ("\nbool[ x\n", 2, "no type"),
            ("int32[x] a\n", 1, "no array"),
            ("wstring w\n", 1, "not supported"),
            ("a/b/c d\n", 1, "no type"),
            ("../x y\n", 1, "no type"),
            ("int8<=3 y\n", 1, "no type"),
        ] {
            let (at, error) = parse(text, "a/msg/A").unwrap_err();
            assert!(at == line && error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn what_hiroz_ships_as_files_has_the_hash_of_what_was_generated_from_it() {
        // The definition of a compiled-in type, written as a file and read again.
        let dir = tempfile::tempdir().unwrap();
        for ty in crate::registry::TYPES.iter().filter(|ty| ty.name.contains("/msg/")) {
            let (package, rest) = ty.name.split_once('/').unwrap();
            let share = dir.path().join("share").join(package);
            std::fs::create_dir_all(share.join("msg")).unwrap();
            std::fs::write(share.join("package.xml"), "<package/>").unwrap();
            let text = ty.definition();
            std::fs::write(share.join(format!("{rest}.msg")), text.split("=====").next().unwrap()).unwrap();
        }
        let prefixes = [dir.path().to_owned()];
        for ty in crate::registry::TYPES.iter().filter(|ty| ty.name.contains("/msg/")) {
            let read = read(&prefixes, ty.name, |_| None).unwrap().unwrap();
            assert_eq!(read.hashes().unwrap()[ty.name], ty.hash, "{}", ty.name);
        }
    }
}
