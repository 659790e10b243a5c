//! Types that were not compiled in: of the descriptions which rosidl installs beside each interface (since Iron;
//! `share/PACKAGE/msg/TYPE.json`), of the interface files where there is none (`TYPE.msg`), and of what a publisher's node says of
//! them. A type that was taken up once is kept for the life of the program, so there are never more of them than types installed
//! and published.

use super::{
    ConstantDescription, TypeDescription,
    described::{Described, Type, field_of},
    msg_file,
};
use crate::{
    error::{Error, Result},
    installed,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

static KNOWN: RwLock<BTreeMap<&'static str, &'static TypeDescription>> = RwLock::new(BTreeMap::new());

/// A type that was read before.
pub(super) fn find(name: &str) -> Option<&'static TypeDescription> {
    KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
}

/// The message type of this name: compiled in, or else installed below one of the prefixes in which ROS looks.
///
/// # Errors
/// [`Error::UnknownType`], [`Error::OtherDefinition`] when `hash` (what a publisher says of it) is of another definition,
/// [`Error::Description`] for a description that cannot be read.
pub fn resolve(name: &str, hash: Option<&str>) -> Result<&'static TypeDescription> {
    resolve_in(&installed::prefixes(), name, hash)
}

/// As [`resolve`], below these prefixes.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_in(prefixes: &[PathBuf], name: &str, hash: Option<&str>) -> Result<&'static TypeDescription> {
    let ty = match super::message(name) {
        Ok(ty) => ty,
        Err(unknown) => match load(prefixes, &super::full(name, "msg"))? {
            Some(ty) => ty,
            None => return Err(unknown),
        },
    };
    match hash {
        Some(hash) if hash != ty.hash => {
            Err(Error::OtherDefinition { type_name: name.into(), published: hash.into(), known: ty.hash.into() })
        }
        _ => Ok(ty),
    }
}

#[derive(Deserialize)]
struct File {
    type_description_msg: Described,
    type_hashes: Vec<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    type_name: String,
    hash_string: String,
}

/// Reads the description of a type and of all it consists of, or its interface file where there is no description; `None` when
/// it is not installed.
fn load(prefixes: &[PathBuf], name: &str) -> Result<Option<&'static TypeDescription>> {
    let Some((package, rest)) = name.split_once('/') else { return Ok(None) };
    // What names a file must not lead elsewhere.
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'/') {
        return Ok(None);
    }
    let Some(share) = installed::share(prefixes, package) else { return Ok(None) };
    let path = share.join(format!("{rest}.json"));
    let fail = |path: &Path, reason: String| Error::Description { type_name: name.into(), path: path.display().to_string(), reason };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let known = |name: &str| super::find(name).map(Type::from);
            let read = msg_file::read(prefixes, name, known).map_err(|(path, reason)| fail(&path, reason))?;
            let Some(described) = read else { return Ok(None) };
            let path = share.join(format!("{rest}.msg"));
            let hashes = described.hashes().map_err(|reason| fail(&path, reason))?;
            return adopt(&described, &hashes, |name| constants(prefixes, name), |reason| fail(&path, reason)).map(Some);
        }
        Err(error) => return Err(fail(&path, error.to_string())),
    };
    let file: File = serde_json::from_slice(&bytes).map_err(|error| fail(&path, error.to_string()))?;
    let described = file.type_description_msg;
    if described.type_description.type_name != name {
        return Err(fail(&path, format!("it describes {}", described.type_description.type_name)));
    }
    let hashes = file.type_hashes.into_iter().map(|hash| (hash.type_name, hash.hash_string)).collect();
    adopt(&described, &hashes, |name| constants(prefixes, name), |reason| fail(&path, reason)).map(Some)
}

/// Takes up the type that somebody describes. They are believed because of its hash, which is that of what is published.
///
/// # Errors
/// [`Error::OtherDefinition`] when it is the description of something else, [`Error::Description`] when it cannot be used.
pub(crate) fn learn(name: &str, hash: &str, described: &Described, origin: &str) -> Result<&'static TypeDescription> {
    let fail = |reason: String| Error::Description { type_name: name.into(), path: origin.into(), reason };
    if described.type_description.type_name != name {
        return Err(fail(format!("it describes {}", described.type_description.type_name)));
    }
    let hashes = described.hashes().map_err(fail)?;
    let computed = hashes.get(name).map(String::as_str).unwrap_or_default();
    if computed != hash {
        return Err(Error::OtherDefinition { type_name: name.into(), published: hash.into(), known: computed.into() });
    }
    adopt(described, &hashes, |_| Vec::new(), fail)
}

/// Keeps a type and all it consists of, unless they contradict what is known.
fn adopt(
    described: &Described,
    hashes: &BTreeMap<String, String>,
    constants: impl Fn(&str) -> Vec<ConstantDescription>,
    fail: impl Fn(String) -> Error,
) -> Result<&'static TypeDescription> {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let mut fresh: Vec<(&Type, &str)> = Vec::new();
    for ty in described.all() {
        let hash = hashes.get(&ty.type_name).ok_or_else(|| fail(format!("it has no hash of {}", ty.type_name)))?;
        let there = super::find_compiled(&ty.type_name).or_else(|| known.get(ty.type_name.as_str()).copied());
        match there {
            Some(there) if there.hash != hash => {
                return Err(Error::OtherDefinition { type_name: ty.type_name.clone(), published: hash.clone(), known: there.hash.into() });
            }
            Some(_) => {}
            None => fresh.push((ty, hash)),
        }
    }
    if let Some(endless) = endless(&fresh) {
        return Err(fail(format!("{endless} consists of itself")));
    }
    let mut made = Vec::new();
    for (ty, hash) in fresh {
        let mut fields = Vec::new();
        for field in ty.members() {
            let nested = |name: &str| described.all().any(|ty| ty.type_name == name) || super::find_compiled(name).is_some();
            fields.push(field_of(field, nested).map_err(|reason| fail(format!("{}.{}: {reason}", ty.type_name, field.name)))?);
        }
        made.push((ty.type_name.clone(), hash.to_owned(), fields, constants(&ty.type_name)));
    }
    // Nothing can go wrong any more: what is made here stays for the life of the program.
    for (name, hash, fields, constants) in made {
        let ty: &'static TypeDescription = Box::leak(Box::new(TypeDescription {
            name: name.leak(),
            hash: hash.leak(),
            fields: fields.leak(),
            constants: constants.leak(),
        }));
        known.insert(ty.name, ty);
    }
    let name = described.type_description.type_name.as_str();
    super::find_compiled(name).or_else(|| known.get(name).copied()).ok_or_else(|| fail("it was not kept".to_owned()))
}

/// A type that contains itself, directly or by another: a message of it would have no end.
fn endless<'a>(fresh: &[(&'a Type, &str)]) -> Option<&'a str> {
    let mut left: Vec<&Type> = fresh.iter().map(|(ty, _)| *ty).collect();
    loop {
        let open: Vec<&str> = left.iter().map(|ty| ty.type_name.as_str()).collect();
        let before = left.len();
        left.retain(|ty| ty.fields.iter().any(|field| open.contains(&field.ty.nested_type_name.as_str())));
        if left.len() == before {
            return left.first().map(|ty| ty.type_name.as_str());
        }
    }
}

/// Constants are in the interface file only; without it there are none.
fn constants(prefixes: &[PathBuf], name: &str) -> Vec<ConstantDescription> {
    let path = name.split_once('/').and_then(|(package, rest)| Some(installed::share(prefixes, package)?.join(format!("{rest}.msg"))));
    let text = path.as_deref().map(|path: &Path| std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default();
    text.lines().filter_map(constant).collect()
}

fn constant(line: &str) -> Option<ConstantDescription> {
    let line = line.split('#').next()?.trim();
    let (ty, rest) = line.split_once(char::is_whitespace)?;
    let (name, value) = rest.split_once('=')?;
    let name = name.trim();
    let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') && !name.is_empty();
    is_name.then(|| ConstantDescription { ty: ty.to_owned().leak(), name: name.to_owned().leak(), value: value.trim().to_owned().leak() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{
        Array,
        described::{Field, described, field_type},
    };
    use serde_json::{Value, json};

    fn install(prefix: &Path, name: &str, description: &Value, msg: &str) {
        let (package, rest) = name.split_once('/').unwrap();
        let share = prefix.join("share").join(package);
        std::fs::create_dir_all(share.join("msg")).unwrap();
        std::fs::write(share.join("package.xml"), "<package/>").unwrap();
        std::fs::write(share.join(format!("{rest}.json")), description.to_string()).unwrap();
        std::fs::write(share.join(format!("{rest}.msg")), msg).unwrap();
    }

    fn field(name: &str, type_id: u8, nested: &str) -> Value {
        json!({"name": name, "default_value": "", "type": {"type_id": type_id, "capacity": 0, "string_capacity": 0, "nested_type_name": nested}})
    }

    fn description(name: &str, hash: &str, fields: &[Value], header_hash: &str) -> Value {
        let header = json!({"type_name": "std_msgs/msg/Header", "fields": []});
        let time = json!({"type_name": "builtin_interfaces/msg/Time", "fields": []});
        let time_hash = crate::registry::message("builtin_interfaces/msg/Time").unwrap().hash;
        json!({
            "type_description_msg": {"type_description": {"type_name": name, "fields": fields}, "referenced_type_descriptions": [header, time]},
            "type_hashes": [{"type_name": name, "hash_string": hash}, {"type_name": "std_msgs/msg/Header", "hash_string": header_hash},
                {"type_name": "builtin_interfaces/msg/Time", "hash_string": time_hash}]
        })
    }

    #[test]
    fn a_type_that_was_not_compiled_in_is_read_with_its_parts_and_constants() {
        let dir = tempfile::tempdir().unwrap();
        let prefixes = [dir.path().to_owned()];
        let header_hash = crate::registry::message("std_msgs/msg/Header").unwrap().hash;
        let mut fields = [field("header", 1, "std_msgs/msg/Header"), field("grip", 3, ""), field("force_n", 11 + 144, "")];
        fields[1]["default_value"] = json!("1");
        fields[2]["default_value"] = json!("(0.5, -1.0)");
        let (name, hash) = ("gripper_msgs/msg/Grip", "RIHS01_00");
        install(dir.path(), name, &description(name, hash, &fields, header_hash), "uint8 OPEN = 0 # wide\nuint8 SHUT=1\nuint8 grip\n");
        assert!(resolve_in(&[], name, None).is_err());
        let ty = resolve_in(&prefixes, name, Some(hash)).unwrap();
        let value = json!({"header": {"stamp": {"sec": 1, "nanosec": 2}, "frame_id": "hand"}, "grip": 1, "force_n": [0.5, 1.5]});
        let body = ty.encode(&value).unwrap();
        assert_eq!(ty.decode(&body).unwrap(), value);
        let default = ty.default_value();
        assert_eq!((&default["grip"], &default["force_n"]), (&json!(1), &json!([0.5, -1.0])));
        assert_eq!(ty.constants.iter().map(|constant| (constant.name, constant.value)).collect::<Vec<_>>(), [("OPEN", "0"), ("SHUT", "1")]);
        assert!(std::ptr::eq(ty, resolve_in(&[], name, None).unwrap()), "it is known from now on");
        let other = resolve_in(&prefixes, name, Some("RIHS01_01")).unwrap_err().to_string();
        assert!(other.contains("RIHS01_01") && other.contains(name), "{other}");
    }

    #[test]
    fn descriptions_that_contradict_what_is_compiled_in_or_themselves_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let prefixes = [dir.path().to_owned()];
        let header_hash = crate::registry::message("std_msgs/msg/Header").unwrap().hash;
        let mut default = field("on", 15, "");
        default["default_value"] = json!("perhaps");
        for (name, fields, hash, reason) in [
            ("bad_msgs/msg/Header", vec![field("header", 1, "std_msgs/msg/Header")], "RIHS01_ff", "std_msgs/msg/Header"),
            ("bad_msgs/msg/Nested", vec![field("part", 1, "bad_msgs/msg/Missing")], header_hash, "bad_msgs/msg/Missing is not described"),
            (
                "bad_msgs/msg/Endless",
                vec![field("parts", 1 + 144, "bad_msgs/msg/Endless")],
                header_hash,
                "bad_msgs/msg/Endless consists of itself",
            ),
            ("bad_msgs/msg/Default", vec![default], header_hash, "bad_msgs/msg/Default.on: default \"perhaps\""),
            ("bad_msgs/msg/Wide", vec![field("text", 18, "")], header_hash, "type id 18"),
        ] {
            install(dir.path(), name, &description(name, "RIHS01_00", &fields, hash), "");
            let error = resolve_in(&prefixes, name, None).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        std::fs::write(dir.path().join("share/bad_msgs/msg/Plain.msg"), "bad_msgs/Missing part\n").unwrap();
        let error = resolve_in(&prefixes, "bad_msgs/msg/Plain", None).unwrap_err().to_string();
        assert!(error.contains("Plain.msg") && error.contains("bad_msgs/msg/Missing is not installed"), "{error}");
        std::fs::write(dir.path().join("share/bad_msgs/msg/Torn.json"), "{").unwrap();
        assert!(resolve_in(&prefixes, "bad_msgs/msg/Torn", None).unwrap_err().to_string().contains("Torn.json"));
        assert!(resolve_in(&prefixes, "bad_msgs/../../x", None).unwrap_err().to_string().contains("no message type"));
        assert!(resolve("sensor_msgs/msg/Image", None).is_ok());
    }

    #[test]
    fn an_interface_file_alone_is_enough_and_has_the_hash_that_rosidl_would_give_it() {
        let dir = tempfile::tempdir().unwrap();
        let share = dir.path().join("share/plain_msgs");
        std::fs::create_dir_all(share.join("msg")).unwrap();
        std::fs::write(share.join("package.xml"), "<package/>").unwrap();
        std::fs::write(share.join("msg/Inner.msg"), "uint8 LOW=1\nfloat32[2] levels [0.5, 1] # both\n").unwrap();
        std::fs::write(share.join("msg/Outer.msg"), "std_msgs/Header header\nInner[] parts # of this package\nstring<=4 name \"abc\"\n")
            .unwrap();
        let prefixes = [dir.path().to_owned()];
        let ty = resolve_in(&prefixes, "plain_msgs/msg/Outer", None).unwrap();
        let value =
            json!({"header": {"stamp": {"sec": 1, "nanosec": 2}, "frame_id": "a"}, "parts": [{"levels": [0.5, 1.5]}], "name": "abcd"});
        assert_eq!(ty.decode(&ty.encode(&value).unwrap()).unwrap(), value);
        let inner = find("plain_msgs/msg/Inner").unwrap();
        assert_eq!((&inner.default_value()["levels"], &ty.default_value()["name"]), (&json!([0.5, 1.0]), &json!("abc")));
        assert_eq!(inner.constants.iter().map(|constant| constant.name).collect::<Vec<_>>(), ["LOW"]);
        // Whoever publishes it with rosidl's hash of it is understood, and with another one not.
        assert!(std::ptr::eq(ty, resolve_in(&[], "plain_msgs/msg/Outer", Some(ty.hash)).unwrap()));
        assert_eq!(ty.described().hashes().unwrap()["plain_msgs/msg/Outer"], ty.hash);
    }

    #[test]
    fn what_somebody_says_of_a_type_is_believed_for_its_hash_only() {
        let header = crate::registry::message("std_msgs/msg/Header").unwrap();
        let fields = vec![
            Field::new("header", field_type(header.name, Array::Single, None)),
            Field::new("force_n", field_type("float64", Array::Unbounded, None)),
        ];
        let told = |fields: Vec<Field>| {
            let parts = header.described();
            let mut referenced = parts.referenced_type_descriptions;
            referenced.push(parts.type_description);
            Described { type_description: described("told_msgs/msg/Grip".into(), fields), referenced_type_descriptions: referenced }
        };
        let good = told(fields.clone());
        let hash = good.hashes().unwrap()["told_msgs/msg/Grip"].clone();
        let lie = told(fields[..1].to_vec());
        let error = learn("told_msgs/msg/Grip", &hash, &lie, "/liar").unwrap_err();
        assert!(matches!(error, Error::OtherDefinition { .. }), "{error}");
        assert!(find("told_msgs/msg/Grip").is_none(), "nothing is kept of it");
        // The parts are checked as well: a Header that is another one does not fit the one compiled in.
        let mut other = told(fields);
        other.referenced_type_descriptions.iter_mut().find(|ty| ty.type_name == header.name).unwrap().fields.pop();
        let other_hash = other.hashes().unwrap()["told_msgs/msg/Grip"].clone();
        let error = learn("told_msgs/msg/Grip", &other_hash, &other, "/liar").unwrap_err();
        assert!(error.to_string().contains("std_msgs/msg/Header"), "{error}");
        let ty = learn("told_msgs/msg/Grip", &hash, &good, "/honest").unwrap();
        assert_eq!((ty.hash, ty.fields.len()), (hash.as_str(), 2));
        assert!(std::ptr::eq(ty, resolve_in(&[], "told_msgs/msg/Grip", Some(&hash)).unwrap()));
    }
}
