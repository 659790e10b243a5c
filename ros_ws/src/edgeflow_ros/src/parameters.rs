//! Parameters: their types, and the values which command line and parameter files give them.

use crate::error::{Error, Result};
use serde_norway::Value as Yaml;
use std::{collections::BTreeMap, fmt};

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
pub trait ParameterType: Sized {
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

/// A value for the nodes that match, from `-p` or a parameter file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    node: NodePattern,
    name: String,
    value: ParameterValue,
}

/// Which nodes an assignment is for.
#[derive(Clone, Debug, PartialEq)]
enum NodePattern {
    /// By name, in whatever namespace.
    Name(String),
    /// By fully-qualified name; `*` stands for one token, `**` for any number.
    Path(Vec<String>),
}

impl NodePattern {
    fn path(path: &str) -> Self {
        Self::Path(path.split('/').filter(|t| !t.is_empty()).map(str::to_string).collect())
    }

    fn matches(&self, fully_qualified: &str, name: &str) -> bool {
        fn walk(pattern: &[String], path: &[&str]) -> bool {
            match pattern.split_first() {
                None => path.is_empty(),
                Some((first, rest)) if first == "**" => (0..=path.len()).any(|skip| walk(rest, &path[skip..])),
                Some((first, rest)) => path.split_first().is_some_and(|(head, tail)| (first == "*" || first == head) && walk(rest, tail)),
            }
        }
        match self {
            Self::Name(n) => n == name,
            Self::Path(pattern) => {
                let path: Vec<_> = fully_qualified.split('/').filter(|t| !t.is_empty()).collect();
                walk(pattern, &path)
            }
        }
    }
}

/// Parses `-p [node:]name:=yaml`.
pub(crate) fn parse_assignment(text: &str) -> Result<Assignment, String> {
    let (name, value) = text.split_once(":=").ok_or("write name:=value")?;
    let (node, name) = match name.split_once(':') {
        Some((node, name)) => (NodePattern::Name(node.to_string()), name),
        None => (NodePattern::path("/**"), name),
    };
    if name.is_empty() {
        return Err("the parameter's name is missing".into());
    }
    let yaml: Yaml = serde_norway::from_str(value).map_err(|e| format!("the value is not YAML: {e}"))?;
    // `-p name:=` is an empty string, as in rcl.
    let value = if value.trim().is_empty() { ParameterValue::String(String::new()) } else { ParameterValue::from_yaml(&yaml)? };
    Ok(Assignment { node, name: name.to_string(), value })
}

/// Reads a ROS 2 parameter file: node names (also nested by namespace, also with wildcards), below
/// each `ros__parameters`, below that names (also nested) and values.
pub(crate) fn read_file(path: &str) -> Result<Vec<Assignment>> {
    let fail = |reason: String| Error::ParameterFile { path: path.into(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    let yaml: Yaml = serde_norway::from_str(&text).map_err(|e| fail(e.to_string()))?;
    let mut assignments = Vec::new();
    nodes(&yaml, "", &mut assignments).map_err(fail)?;
    Ok(assignments)
}

const SECTION: &str = "ros__parameters";

fn nodes(yaml: &Yaml, path: &str, out: &mut Vec<Assignment>) -> Result<(), String> {
    let at = if path.is_empty() { "the top level" } else { path };
    if yaml.is_null() && path.is_empty() {
        return Ok(());
    }
    let map = yaml.as_mapping().ok_or_else(|| format!("{at} must be a map of node names, each with {SECTION} below it"))?;
    for (key, value) in map {
        let key = key.as_str().ok_or_else(|| format!("below {at}: a node name must be a string"))?;
        if key == SECTION {
            if path.is_empty() {
                return Err(format!("{SECTION} must be below a node name, for instance /**"));
            }
            // A plain name without a slash is for nodes of that name at the root, as in rcl.
            values(value, &NodePattern::path(path), "", out).map_err(|reason| format!("{path}: {reason}"))?;
        } else {
            nodes(value, &format!("{path}/{}", key.trim_matches('/')), out)?;
        }
    }
    Ok(())
}

fn values(yaml: &Yaml, node: &NodePattern, prefix: &str, out: &mut Vec<Assignment>) -> Result<(), String> {
    match yaml {
        Yaml::Mapping(map) => {
            for (key, value) in map {
                let key = key.as_str().ok_or_else(|| format!("below {SECTION}: a parameter's name must be a string"))?;
                let name = if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") };
                values(value, node, &name, out)?;
            }
            Ok(())
        }
        Yaml::Null if prefix.is_empty() => Ok(()),
        _ if prefix.is_empty() => Err(format!("{SECTION} must be a map of parameters")),
        value => {
            let value = ParameterValue::from_yaml(value).map_err(|reason| format!("parameter {prefix}: {reason}"))?;
            out.push(Assignment { node: node.clone(), name: prefix.to_string(), value });
            Ok(())
        }
    }
}

/// What the assignments give one node; the later wins.
pub(crate) fn for_node(assignments: &[Assignment], namespace: &str, name: &str) -> BTreeMap<String, ParameterValue> {
    let fully_qualified = crate::names::fully_qualified(namespace, name);
    let matching = assignments.iter().filter(|a| a.node.matches(&fully_qualified, name));
    matching.map(|a| (a.name.clone(), a.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ParameterValue as V;

    fn file(text: &str) -> Result<Vec<Assignment>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("params.yaml");
        std::fs::write(&path, text).unwrap();
        read_file(path.to_str().unwrap())
    }

    #[test]
    fn values_have_the_types_yaml_gives_them() {
        let value = |text: &str| parse_assignment(&format!("p:={text}")).unwrap().value;
        assert_eq!(value("true"), V::Bool(true));
        assert_eq!(value("3"), V::Integer(3));
        assert_eq!(value("3.0"), V::Double(3.0));
        assert_eq!(value("127.0.0.1:80"), V::String("127.0.0.1:80".into()));
        assert_eq!(value("\"3\""), V::String("3".into()));
        assert_eq!(value(""), V::String(String::new()));
        assert_eq!(value("[1, 2.5]"), V::DoubleArray(vec![1.0, 2.5]));
        assert_eq!(value("[a, b]"), V::StringArray(vec!["a".into(), "b".into()]));
        assert_eq!(<Vec<i64>>::from_value(value("[]")), Some(vec![]));
        assert_eq!(f64::from_value(value("20")), Some(20.0));
        assert_eq!(i64::from_value(value("20.0")), None);
    }

    #[test]
    fn malformed_assignments_say_what_is_wrong() {
        for (text, reason) in
            [("p", "name:=value"), (":=1", "name is missing"), ("p:=[1, a]", "one type"), ("p:={a: 1}", "scalar"), ("p:=[", "YAML")]
        {
            let error = parse_assignment(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn files_reach_nodes_by_name_namespace_and_wildcard_and_the_later_wins() {
        let all = file(
            "/**:\n  ros__parameters: {a: 1, nested: {b: text}}\n\
             /robot_1/camera:\n  ros__parameters: {a: 2}\n\
             robot_2:\n  camera:\n    ros__parameters: {a: 3}\n\
             /*/lidar:\n  ros__parameters: {a: 4}\n",
        )
        .unwrap();
        let a = |ns: &str, name: &str| for_node(&all, ns, name)["a"].clone();
        assert_eq!(a("/robot_1", "camera"), V::Integer(2));
        assert_eq!(a("/robot_2", "camera"), V::Integer(3));
        assert_eq!(a("/robot_2", "lidar"), V::Integer(4));
        assert_eq!(a("/a/b", "lidar"), V::Integer(1));
        assert_eq!(for_node(&all, "/", "x")["nested.b"], V::String("text".into()));
    }

    #[test]
    fn assignments_can_be_for_one_node() {
        let all = [parse_assignment("rate:=1").unwrap(), parse_assignment("camera:rate:=2").unwrap()];
        assert_eq!(for_node(&all, "/robot_1", "camera")["rate"], V::Integer(2));
        assert_eq!(for_node(&all, "/robot_1", "lidar")["rate"], V::Integer(1));
    }

    #[test]
    fn malformed_files_are_named_with_the_reason() {
        let missing = read_file("/nowhere/params.yaml").unwrap_err().to_string();
        assert!(missing.contains("/nowhere/params.yaml"), "{missing}");
        for (text, reason) in [
            ("[1]", "map of node names"),
            ("ros__parameters: {a: 1}", "below a node name"),
            ("n:\n  ros__parameters: 3", "map of parameters"),
            ("n:\n  ros__parameters: {a: }", "parameter a: it has no value"),
            ("n: 3", "ros__parameters"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(file("").unwrap().is_empty());
    }
}
