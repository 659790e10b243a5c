//! What command line and parameter files give to which node.

use super::ParameterValue;
use crate::error::{Error, Result};
use serde_norway::Value as Yaml;
use std::collections::BTreeMap;

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
    Ok(Assignment { node, name: name.to_string(), value: ParameterValue::parse(value)? })
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
    use super::{super::ParameterType, *};
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
