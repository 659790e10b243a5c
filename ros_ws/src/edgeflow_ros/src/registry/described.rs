//! Types as REP 2016 describes them (`type_description_interfaces`), and the hash of a description (RIHS01, REP 2011): the SHA-256
//! of what a type and all it consists of are, so that whoever tells it need not be believed.

use super::{Array, Element, FieldDescription, TypeDescription, default, find};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What rosidl puts into a type without fields, since IDL has no empty structs.
const PLACEHOLDER: &str = "structure_needs_at_least_one_member";
/// Types beyond this are an array: fixed, bounded or unbounded, in this order.
const ARRAY: u8 = 48;
/// Nothing that is described by somebody else may be larger: types of a message, and fields of all of them.
const MAX_TYPES: usize = 500;
const MAX_FIELDS: usize = 10_000;

/// A type and all it consists of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Described {
    pub(crate) type_description: Type,
    #[serde(default)]
    pub(crate) referenced_type_descriptions: Vec<Type>,
}

/// One type. The order of the fields here and below is that of the hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Type {
    pub(crate) type_name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) ty: FieldType,
    /// As rosidl writes it; no part of the hash.
    #[serde(default, skip_serializing)]
    pub(crate) default_value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct FieldType {
    pub(crate) type_id: u8,
    #[serde(default)]
    pub(crate) capacity: u64,
    #[serde(default)]
    pub(crate) string_capacity: u64,
    #[serde(default)]
    pub(crate) nested_type_name: String,
}

impl Field {
    /// Without a default of its own.
    pub(crate) fn new(name: impl Into<String>, ty: FieldType) -> Self {
        Self { name: name.into(), ty, default_value: String::new() }
    }
}

impl Type {
    /// Without rosidl's placeholder.
    pub(super) fn members(&self) -> &[Field] {
        match self.fields.as_slice() {
            [only] if only.name == PLACEHOLDER => &[],
            fields => fields,
        }
    }

    fn nested(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.ty.nested_type_name.as_str()).filter(|name| !name.is_empty())
    }
}

impl Described {
    /// Every type, the one that is described last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Type> {
        self.referenced_type_descriptions.iter().chain([&self.type_description])
    }

    /// The hash of each of its types by name.
    ///
    /// # Errors
    /// What is missing, twice there, or too much.
    pub(super) fn hashes(&self) -> Result<BTreeMap<String, String>, String> {
        let types: BTreeMap<&str, &Type> = self.all().map(|ty| (ty.type_name.as_str(), ty)).collect();
        if types.len() != self.all().count() {
            return Err("it describes a type twice".to_owned());
        }
        if types.len() > MAX_TYPES || self.all().map(|ty| ty.fields.len()).sum::<usize>() > MAX_FIELDS {
            return Err(format!("it has more than {MAX_TYPES} types or {MAX_FIELDS} fields"));
        }
        types.keys().map(|name| Ok(((*name).to_owned(), hash(name, &types)?))).collect()
    }
}

/// The hash of a type among others that it may consist of.
fn hash(name: &str, types: &BTreeMap<&str, &Type>) -> Result<String, String> {
    let get = |name: &str| types.get(name).copied().ok_or_else(|| format!("{name} is not described"));
    let ty = get(name)?;
    let (mut parts, mut open) = (BTreeSet::new(), vec![ty]);
    while let Some(next) = open.pop() {
        for nested in next.nested() {
            if parts.insert(nested) {
                open.push(get(nested)?);
            }
        }
    }
    let referenced = parts.into_iter().map(get).collect::<Result<Vec<_>, _>>()?;
    #[derive(Serialize)]
    struct Hashed<'a> {
        type_description: &'a Type,
        referenced_type_descriptions: Vec<&'a Type>,
    }
    let mut json = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut json, Spaced);
    let hashed = Hashed { type_description: ty, referenced_type_descriptions: referenced };
    hashed.serialize(&mut writer).map_err(|error| error.to_string())?;
    let digest = Sha256::digest(&json);
    Ok(digest.iter().fold("RIHS01_".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

/// JSON as Python's `json.dumps` writes it, with a space behind commas and colons.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// What `type_description_interfaces/msg/FieldType` numbers, as we have it.
pub(super) fn field_of(field: &Field, nested: impl Fn(&str) -> bool) -> Result<FieldDescription, String> {
    let FieldType { type_id, capacity, string_capacity, nested_type_name } = &field.ty;
    let size = |size: u64| usize::try_from(size).map_err(|_| format!("{size} elements are too many"));
    let array = match type_id / ARRAY {
        0 => Array::Single,
        1 => Array::Fixed(size(*capacity)?),
        2 => Array::Bounded(size(*capacity)?),
        3 => Array::Unbounded,
        _ => return Err(format!("unknown type id {type_id}")),
    };
    let mut string_bound = None;
    let ty = match type_id % ARRAY {
        1 if nested(nested_type_name) => Element::Message(nested_type_name.clone().leak()),
        1 => return Err(format!("{nested_type_name} is not described")),
        2 => Element::Int8,
        3 => Element::Uint8,
        4 => Element::Int16,
        5 => Element::Uint16,
        6 => Element::Int32,
        7 => Element::Uint32,
        8 => Element::Int64,
        9 => Element::Uint64,
        10 => Element::Float32,
        11 => Element::Float64,
        13 => Element::Char,
        15 => Element::Bool,
        16 => Element::Byte,
        17 => Element::String,
        21 => {
            string_bound = Some(size(*string_capacity)?);
            Element::String
        }
        other => return Err(format!("type id {other} (wide strings and the like) is not supported")),
    };
    let mut made = FieldDescription { name: field.name.clone().leak(), ty, array, string_bound, default: None };
    made.default = default::json(&field.default_value, &made)?.map(|json| &*json.leak());
    Ok(made)
}

/// The number of a plain type by its name in interface files.
pub(super) fn type_id(name: &str) -> Option<u8> {
    Some(match name {
        "int8" => 2,
        // rosidl has taken `char` for this since Dashing.
        "uint8" | "char" => 3,
        "int16" => 4,
        "uint16" => 5,
        "int32" => 6,
        "uint32" => 7,
        "int64" => 8,
        "uint64" => 9,
        "float32" => 10,
        "float64" => 11,
        "bool" => 15,
        "byte" => 16,
        "string" => 17,
        _ => return None,
    })
}

/// A field's type.
pub(super) fn field_type(element: &str, array: Array, string_bound: Option<usize>) -> FieldType {
    let (base, nested) = match (type_id(element), string_bound) {
        (Some(17), Some(_)) => (21, String::new()),
        (Some(id), _) => (id, String::new()),
        (None, _) => (1, element.to_owned()),
    };
    let (kind, capacity) = match array {
        Array::Single => (0, 0),
        Array::Fixed(n) => (1, n),
        Array::Bounded(n) => (2, n),
        Array::Unbounded => (3, 0),
    };
    FieldType {
        type_id: base + kind * ARRAY,
        capacity: capacity as u64,
        string_capacity: string_bound.unwrap_or_default() as u64,
        nested_type_name: nested,
    }
}

/// A type of these fields; without any it has the placeholder.
pub(super) fn described(type_name: String, fields: Vec<Field>) -> Type {
    let placeholder = || vec![Field::new(PLACEHOLDER, field_type("uint8", Array::Single, None))];
    Type { type_name, fields: if fields.is_empty() { placeholder() } else { fields } }
}

impl From<&TypeDescription> for Type {
    fn from(ty: &TypeDescription) -> Self {
        let field = |field: &FieldDescription| Field::new(field.name, field_type(field.ty.name(), field.array, field.string_bound));
        described(ty.name.to_owned(), ty.fields.iter().map(field).collect())
    }
}

impl TypeDescription {
    /// This type and all it consists of, as others are told.
    pub(crate) fn described(&self) -> Described {
        let type_description = Type::from(self);
        let mut parts: BTreeMap<String, Type> = BTreeMap::new();
        let mut open: Vec<String> = type_description.nested().map(str::to_owned).collect();
        while let Some(name) = open.pop() {
            if parts.contains_key(&name) {
                continue;
            }
            if let Some(part) = find(&name).map(Type::from) {
                open.extend(part.nested().map(str::to_owned));
                parts.insert(name, part);
            }
        }
        Described { type_description, referenced_type_descriptions: parts.into_values().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::TYPES;

    #[test]
    fn what_is_compiled_in_has_the_hash_that_it_had_when_it_was_generated() {
        for ty in TYPES {
            let hashes = ty.described().hashes().unwrap();
            assert_eq!(hashes.get(ty.name).map(String::as_str), Some(ty.hash), "{}", ty.name);
        }
        // As rosidl has it.
        let hash = |name: &str| crate::registry::message(name).unwrap().hash;
        assert_eq!(hash("std_msgs/msg/String"), "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18");
        let service = crate::registry::service("type_description_interfaces/srv/GetTypeDescription").unwrap();
        assert_eq!(service.hash, "RIHS01_69b9c19c1021405984cc60dbbb1edceb147a6538b411d812ba6afabeed962cd5");
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let field = |name: &str| Field::new("f", field_type(name, Array::Single, None));
        let ty = |name: &str, of: &str| described(name.into(), vec![field(of)]);
        let hashes = |main: Type, parts: Vec<Type>| Described { type_description: main, referenced_type_descriptions: parts }.hashes();
        assert!(hashes(ty("a/msg/A", "a/msg/B"), vec![]).unwrap_err().contains("a/msg/B is not described"));
        assert!(hashes(ty("a/msg/A", "bool"), vec![ty("a/msg/A", "int8")]).unwrap_err().contains("twice"));
        let many = (0..MAX_TYPES).map(|n| ty(&format!("a/msg/T{n}"), "bool")).collect();
        assert!(hashes(ty("a/msg/A", "bool"), many).unwrap_err().contains("more than"));
        // A circle ends.
        assert!(hashes(ty("a/msg/A", "a/msg/A"), vec![]).is_ok());
    }
}
