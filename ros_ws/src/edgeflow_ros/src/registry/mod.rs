//! Generated types by name, at run time: what each consists of, and values of it as JSON.
//!
//! Numbers are JSON numbers, 64-bit ones included; NaN and the infinities, which JSON lacks, are the
//! strings `.nan`, `.inf` and `-.inf`, as YAML spells them. Octet arrays are lists of numbers. Fields
//! have their ROS names, without Rust's escapes.

mod cdr;
mod default;
mod definition;
mod described;
mod installed;
mod msg_file;
mod projection;
mod value;

use crate::error::{Error, Result};

pub(crate) use described::{Described, Field, FieldType, Type};
pub(crate) use installed::learn;
pub use installed::{resolve, resolve_in};
pub use projection::{Projection, Scalar, Step};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// A message type; requests and responses of services are such too, named `pkg/srv/Name_Request`, and so are
/// the parts of actions, named `pkg/action/Name_Goal`.
#[derive(Debug)]
pub struct TypeDescription {
    /// For instance `std_msgs/msg/String`.
    pub name: &'static str,
    /// `RIHS01_` and 64 hex digits.
    pub hash: &'static str,
    /// In the order of the wire.
    pub fields: &'static [FieldDescription],
    /// In the order of the definition.
    pub constants: &'static [ConstantDescription],
}

/// A service type.
#[derive(Debug)]
pub struct ServiceDescription {
    /// For instance `std_srvs/srv/Trigger`.
    pub name: &'static str,
    /// `RIHS01_` and 64 hex digits.
    pub hash: &'static str,
    request: &'static str,
    response: &'static str,
}

/// An action type.
#[derive(Debug)]
pub struct ActionDescription {
    /// For instance `edgeflow_msgs/action/DeployModel`.
    pub name: &'static str,
}

/// A field of a message.
#[derive(Debug)]
pub struct FieldDescription {
    /// Its ROS name.
    pub name: &'static str,
    /// Type of the field, or of its elements.
    pub ty: Element,
    /// Whether and how it is an array.
    pub array: Array,
    /// Greatest length of a bounded string.
    pub string_bound: Option<usize>,
    /// Default as JSON, if not zero or empty.
    default: Option<&'static str>,
}

/// A constant of a message.
#[derive(Debug)]
pub struct ConstantDescription {
    /// ROS name of its type.
    pub ty: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value as written.
    pub value: &'static str,
}

/// Type of a field, or of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Element {
    Bool,
    Byte,
    Char,
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float32,
    Float64,
    String,
    /// Name of a message type.
    Message(&'static str),
}

/// Whether and how a field is an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Array {
    /// It is none.
    Single,
    /// Of exactly so many elements.
    Fixed(usize),
    /// Of at most so many elements.
    Bounded(usize),
    /// Of any number of elements.
    Unbounded,
}

impl Element {
    /// Name in ROS interface files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Byte => "byte",
            Self::Char => "char",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Uint32 => "uint32",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Message(name) => name,
        }
    }
}

impl ServiceDescription {
    /// What is asked.
    #[must_use]
    pub fn request(&self) -> &'static TypeDescription {
        part(self.request)
    }

    /// What is answered.
    #[must_use]
    pub fn response(&self) -> &'static TypeDescription {
        part(self.response)
    }
}

impl ActionDescription {
    /// What is asked.
    #[must_use]
    pub fn goal(&self) -> &'static TypeDescription {
        part(&format!("{}_Goal", self.name))
    }

    /// How it ended.
    #[must_use]
    pub fn result(&self) -> &'static TypeDescription {
        part(&format!("{}_Result", self.name))
    }

    /// What is told on the way.
    #[must_use]
    pub fn feedback(&self) -> &'static TypeDescription {
        part(&format!("{}_Feedback", self.name))
    }

    /// Feedback with the goal it belongs to, as on the topic `<action>/_action/feedback`.
    #[must_use]
    pub fn feedback_message(&self) -> &'static TypeDescription {
        part(&format!("{}_FeedbackMessage", self.name))
    }

    /// Name of the type of the service `<action>/_action/send_goal`.
    #[must_use]
    pub fn send_goal(&self) -> String {
        format!("{}_SendGoal", self.name)
    }

    /// Name of the type of the service `<action>/_action/get_result`.
    #[must_use]
    pub fn get_result(&self) -> String {
        format!("{}_GetResult", self.name)
    }
}

/// A type that the tables themselves name. The generator resolves every reference, so it is there.
fn part(name: &str) -> &'static TypeDescription {
    static MISSING: TypeDescription = TypeDescription { name: "missing", hash: "", fields: &[], constants: &[] };
    let found = find(name);
    debug_assert!(found.is_some(), "the tables name {name} and lack it");
    found.unwrap_or(&MISSING)
}

fn find(name: &str) -> Option<&'static TypeDescription> {
    find_compiled(name).or_else(|| installed::find(name))
}

fn find_compiled(name: &str) -> Option<&'static TypeDescription> {
    TYPES.binary_search_by(|t| t.name.cmp(name)).ok().map(|i| &TYPES[i])
}

/// The type of this full name, if it was compiled in.
#[cfg(feature = "r2r")]
pub(crate) fn compiled(name: &str) -> Option<&'static TypeDescription> {
    find_compiled(name)
}

/// Name and type hash of everything that was compiled in.
#[cfg(feature = "r2r")]
pub(crate) fn hashes() -> impl Iterator<Item = (&'static str, &'static str)> {
    TYPES.iter().map(|t| (t.name, t.hash)).chain(SERVICES.iter().map(|s| (s.name, s.hash)))
}

/// The message type of this name, `pkg/msg/Type` or `pkg/Type`.
///
/// # Errors
/// [`Error::UnknownType`], with similar names.
pub fn message(name: &str) -> Result<&'static TypeDescription> {
    find(&full(name, "msg")).ok_or_else(|| unknown("message", name, messages()))
}

/// The service type of this name, `pkg/srv/Type` or `pkg/Type`.
///
/// # Errors
/// [`Error::UnknownType`], with similar names.
pub fn service(name: &str) -> Result<&'static ServiceDescription> {
    let wanted = full(name, "srv");
    SERVICES.iter().find(|s| s.name == wanted).ok_or_else(|| unknown("service", name, services()))
}

/// The action type of this name, `pkg/action/Type` or `pkg/Type`.
///
/// # Errors
/// [`Error::UnknownType`], with similar names.
pub fn action(name: &str) -> Result<&'static ActionDescription> {
    let wanted = full(name, "action");
    ACTIONS.iter().find(|a| a.name == wanted).ok_or_else(|| unknown("action", name, actions()))
}

/// Names of every message type, sorted.
pub fn messages() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|t| t.name).filter(|name| name.contains("/msg/"))
}

/// Names of every service type, sorted.
pub fn services() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|s| s.name).filter(|name| name.contains("/srv/"))
}

/// Names of every action type, sorted.
pub fn actions() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|a| a.name)
}

fn full(name: &str, kind: &str) -> String {
    match name.split_once('/') {
        Some((package, ty)) if !ty.contains('/') => format!("{package}/{kind}/{ty}"),
        _ => name.to_string(),
    }
}

fn unknown(kind: &'static str, name: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let mut similar: Vec<_> =
        known.filter(|k| !last.is_empty() && k.rsplit('/').next().is_some_and(|t| t.to_lowercase().contains(&last))).collect();
    // The closest in length first: a letter that is missing is likelier than a word.
    similar.sort_by_key(|known| known.len().abs_diff(name.len()));
    similar.truncate(5);
    let hint = if similar.is_empty() {
        ": write package/kind/Type, for instance std_msgs/msg/String".to_string()
    } else {
        format!(": did you mean {}?", similar.join(" or "))
    };
    Error::UnknownType { kind, name: name.into(), hint }
}
