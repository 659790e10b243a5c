//! Parameters: their values and types, what is declared of them, and the standard services that
//! `ros2 param` talks to. Written once for both stacks.

mod assignments;
mod client;
mod declare;
mod services;
mod store;

use serde_norway::Value as Yaml;
use std::fmt;

pub(crate) use assignments::{Assignment, for_node, parse_assignment, read_file};
pub use client::ParameterClient;
pub use declare::{DeclaredParameter, ParameterBuilder};
pub(crate) use services::{Names, ParameterServer};
pub(crate) use store::{Descriptor, Entry, Range, Store};

/// A parameter's value, as ROS 2 types it.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// `bool`
    Bool(bool),
    /// `integer`
    Integer(i64),
    /// `double`
    Double(f64),
    /// `string`
    String(String),
    /// `bool_array`
    BoolArray(Vec<bool>),
    /// `integer_array`
    IntegerArray(Vec<i64>),
    /// `double_array`
    DoubleArray(Vec<f64>),
    /// `string_array`
    StringArray(Vec<String>),
}

impl ParameterValue {
    /// The type's name as `ros2 param` prints it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Integer(_) => "integer",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::BoolArray(_) => "bool array",
            Self::IntegerArray(_) => "integer array",
            Self::DoubleArray(_) => "double array",
            Self::StringArray(_) => "string array",
        }
    }

    /// From text as it stands behind `-p name:=`: YAML, where nothing at all is an empty string.
    ///
    /// # Errors
    /// Why it is no value of a parameter.
    pub fn parse(text: &str) -> Result<Self, String> {
        // As in rcl.
        if text.trim().is_empty() {
            return Ok(Self::String(String::new()));
        }
        let yaml: Yaml = serde_norway::from_str(text).map_err(|e| format!("the value is not YAML: {e}"))?;
        Self::from_yaml(&yaml)
    }

    /// A scalar or a list of scalars of one type. Integers among doubles become doubles.
    pub(crate) fn from_yaml(yaml: &Yaml) -> Result<Self, String> {
        Ok(match yaml {
            Yaml::Bool(v) => Self::Bool(*v),
            Yaml::Number(n) => match n.as_i64() {
                Some(v) => Self::Integer(v),
                None if n.is_u64() => return Err(format!("{n} does not fit a 64-bit signed integer")),
                None => Self::Double(n.as_f64().ok_or_else(|| format!("{n} is no number"))?),
            },
            Yaml::String(v) => Self::String(v.clone()),
            Yaml::Sequence(items) => Self::list(items)?,
            Yaml::Null => return Err("it has no value".into()),
            Yaml::Mapping(_) | Yaml::Tagged(_) => return Err("a value must be a scalar or a list of scalars".into()),
        })
    }

    fn list(items: &[Yaml]) -> Result<Self, String> {
        let items: Vec<_> = items.iter().map(Self::from_yaml).collect::<Result<_, _>>()?;
        fn all<T>(items: &[ParameterValue], one: impl Fn(&ParameterValue) -> Option<T>) -> Option<Vec<T>> {
            items.iter().map(one).collect()
        }
        // YAML cannot say what an empty list is a list of: any array type takes it.
        if items.is_empty() {
            return Ok(Self::StringArray(Vec::new()));
        }
        None.or_else(|| all(&items, |v| if let Self::Bool(v) = v { Some(*v) } else { None }).map(Self::BoolArray))
            .or_else(|| all(&items, |v| if let Self::Integer(v) = v { Some(*v) } else { None }).map(Self::IntegerArray))
            .or_else(|| all(&items, Self::as_double).map(Self::DoubleArray))
            .or_else(|| all(&items, |v| if let Self::String(v) = v { Some(v.clone()) } else { None }).map(Self::StringArray))
            .ok_or_else(|| "the elements of a list must have one type".into())
    }

    fn as_double(&self) -> Option<f64> {
        match self {
            Self::Double(v) => Some(*v),
            #[allow(clippy::cast_precision_loss)]
            Self::Integer(v) => Some(*v as f64),
            _ => None,
        }
    }
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Integer(v) => write!(f, "{v}"),
            Self::Double(v) => write!(f, "{v:?}"),
            Self::String(v) => write!(f, "\"{v}\""),
            Self::BoolArray(v) => write!(f, "{v:?}"),
            Self::IntegerArray(v) => write!(f, "{v:?}"),
            Self::DoubleArray(v) => write!(f, "{v:?}"),
            Self::StringArray(v) => write!(f, "{v:?}"),
        }
    }
}

/// A Rust type a parameter can have.
pub trait ParameterType: Clone + Send + Sync + Sized + 'static {
    /// The type's name, for errors.
    const NAME: &'static str;

    /// From a value that came from outside; `None` when the type does not fit. An integer fits a double.
    fn from_value(value: ParameterValue) -> Option<Self>;

    /// As a value.
    fn into_value(self) -> ParameterValue;
}

macro_rules! parameter_type {
    ($type:ty, $variant:ident, $name:literal $(, $other:pat => $convert:expr)*) => {
        impl ParameterType for $type {
            const NAME: &'static str = $name;

            fn from_value(value: ParameterValue) -> Option<Self> {
                match value {
                    ParameterValue::$variant(v) => Some(v),
                    $($other => $convert,)*
                    _ => None,
                }
            }

            fn into_value(self) -> ParameterValue {
                ParameterValue::$variant(self)
            }
        }
    };
}

parameter_type!(bool, Bool, "a bool");
parameter_type!(i64, Integer, "an integer");
parameter_type!(f64, Double, "a double", v @ ParameterValue::Integer(_) => v.as_double());
parameter_type!(String, String, "a string");
parameter_type!(Vec<bool>, BoolArray, "a bool array", ParameterValue::StringArray(v) => v.is_empty().then(Vec::new));
parameter_type!(Vec<i64>, IntegerArray, "an integer array", ParameterValue::StringArray(v) => v.is_empty().then(Vec::new));
parameter_type!(Vec<f64>, DoubleArray, "a double array",
    ParameterValue::IntegerArray(v) => v.into_iter().map(|v| ParameterValue::Integer(v).as_double()).collect(),
    ParameterValue::StringArray(v) => v.is_empty().then(Vec::new));
parameter_type!(Vec<String>, StringArray, "a string array");
