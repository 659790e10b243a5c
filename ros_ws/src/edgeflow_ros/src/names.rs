//! ROS names: what is valid, how relative and private ones become absolute, and how they are remapped.

use crate::error::{Error, Result};

/// A node name: letters, digits and underscores, not starting with a digit.
///
/// # Errors
/// [`Error::Name`] with the rule it breaks.
pub fn validate_node(name: &str) -> Result<()> {
    token(name).map_err(|reason| Error::Name { kind: "node", name: name.into(), reason })
}

/// A namespace as the user wrote it, made absolute: "" and "/" are the root, "a" is "/a".
///
/// # Errors
/// [`Error::Name`] with the rule it breaks.
pub fn absolute_namespace(namespace: &str) -> Result<String> {
    if namespace.is_empty() || namespace == "/" {
        return Ok("/".into());
    }
    let absolute = if namespace.starts_with('/') { namespace.to_string() } else { format!("/{namespace}") };
    tokens(&absolute[1..]).map_err(|reason| Error::Name { kind: "namespace", name: namespace.into(), reason })?;
    Ok(absolute)
}

/// `/namespace/name` of a node whose namespace is absolute.
#[must_use]
pub fn fully_qualified(namespace: &str, name: &str) -> String {
    if namespace == "/" { format!("/{name}") } else { format!("{namespace}/{name}") }
}

/// Makes a topic or service name absolute: `/a` stays, `~/a` goes below the node, `a` into its namespace.
///
/// `kind` is "topic" or "service", for the error.
///
/// # Errors
/// [`Error::Name`] with the rule it breaks.
pub fn expand(kind: &'static str, name: &str, namespace: &str, node: &str) -> Result<String> {
    let fail = |reason: String| Error::Name { kind, name: name.into(), reason };
    let absolute = if let Some(private) = name.strip_prefix('~') {
        match private.strip_prefix('/') {
            Some(rest) => format!("{}/{rest}", fully_qualified(namespace, node)),
            None if private.is_empty() => fully_qualified(namespace, node),
            None => return Err(fail("write ~/ before a private name".into())),
        }
    } else if name.starts_with('/') {
        name.to_string()
    } else {
        fully_qualified(namespace, name)
    };
    tokens(&absolute[1..]).map_err(fail)?;
    Ok(absolute)
}

fn tokens(path: &str) -> Result<(), String> {
    path.split('/').try_for_each(token)
}

fn token(token: &str) -> Result<(), String> {
    if token.is_empty() {
        return Err("it must not be empty, end in / or contain //".into());
    }
    if token.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("\"{token}\" must not start with a digit"));
    }
    match token.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
        Some(c) => Err(format!("'{c}' is not allowed: use letters, digits and underscores")),
        None => Ok(()),
    }
}

/// What a remap rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Node,
    Namespace,
    Topic,
    Service,
    TopicOrService,
}

/// One `-r [node:]from:=to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remap {
    pub(crate) scope: Scope,
    /// Only for the node of this name.
    pub(crate) node: Option<String>,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Remap {
    pub(crate) fn parse(rule: &str) -> Result<Self, String> {
        let (from, to) = rule.split_once(":=").ok_or("write from:=to")?;
        let (scheme, rest) = if let Some(rest) = from.strip_prefix("rostopic://") {
            (Some(Scope::Topic), rest)
        } else if let Some(rest) = from.strip_prefix("rosservice://") {
            (Some(Scope::Service), rest)
        } else {
            (None, from)
        };
        let (node, from) = match rest.split_once(':') {
            Some((node, from)) => {
                token(node)?;
                (Some(node.to_string()), from)
            }
            None => (None, rest),
        };
        if from.is_empty() || to.is_empty() {
            return Err("both sides of := must be there".into());
        }
        let scope = match from {
            "__node" | "__name" => Scope::Node,
            "__ns" => Scope::Namespace,
            _ => scheme.unwrap_or(Scope::TopicOrService),
        };
        match scope {
            Scope::Node => token(to)?,
            Scope::Namespace if !to.starts_with('/') => return Err("a namespace must start with /".into()),
            Scope::Namespace => absolute_namespace(to).map(|_| ()).map_err(|e| e.to_string())?,
            Scope::Topic | Scope::Service | Scope::TopicOrService => {}
        }
        Ok(Self { scope, node, from: from.to_string(), to: to.to_string() })
    }
}

/// The remap rules of a process. The first that matches wins, as in rcl.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remaps(pub(crate) Vec<Remap>);

impl Remaps {
    fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Remap> {
        self.0.iter().filter(move |rule| rule.node.as_deref().is_none_or(|n| n == node))
    }

    /// Name and absolute namespace a node gets instead of those in its code.
    pub(crate) fn node(&self, name: &str, namespace: &str) -> Result<(String, String)> {
        let renamed = self.of(name).find(|r| r.scope == Scope::Node).map_or(name, |r| &r.to);
        let moved = self.of(name).find(|r| r.scope == Scope::Namespace).map_or(namespace, |r| &r.to);
        validate_node(renamed)?;
        Ok((renamed.to_string(), absolute_namespace(moved)?))
    }

    /// The absolute name a topic or service gets.
    pub(crate) fn resolve(&self, kind: &'static str, name: &str, namespace: &str, node: &str) -> Result<String> {
        let own = if kind == "topic" { Scope::Topic } else { Scope::Service };
        let absolute = expand(kind, name, namespace, node)?;
        for rule in self.of(node).filter(|r| r.scope == own || r.scope == Scope::TopicOrService) {
            if expand(kind, &rule.from, namespace, node)? == absolute {
                return expand(kind, &rule.to, namespace, node);
            }
        }
        Ok(absolute)
    }
}

/// Package, kind and type of a type's full name; none for a name that breaks rosidl's rules, which must not become that of a file.
#[cfg_attr(not(feature = "r2r"), allow(dead_code))] // only that stack looks for libraries
pub(crate) fn type_parts(type_name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = type_name.split('/');
    let (package, kind, ty) = (parts.next()?, parts.next()?, parts.next()?);
    let plain = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // As rosidl's: `[a-z][a-z0-9_]*` without two underscores in a row or one at the end, and `[A-Z][A-Za-z0-9]*`, with those of the
    // parts of services and actions behind it, which have an underscore between.
    let is_package = package.starts_with(|first: char| first.is_ascii_lowercase())
        && package.split('_').all(|word| plain(word) && !word.bytes().any(|byte| byte.is_ascii_uppercase()));
    let is_type = ty.split('_').all(|word| plain(word) && word.starts_with(|first: char| first.is_ascii_uppercase()));
    (parts.next().is_none() && matches!(kind, "msg" | "srv" | "action") && is_package && is_type).then_some((package, kind, ty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remaps(rules: &[&str]) -> Remaps {
        Remaps(rules.iter().map(|r| Remap::parse(r).unwrap()).collect())
    }

    #[test]
    fn names_expand_by_the_rules_of_ros() {
        let expand = |name| expand("topic", name, "/robot_1", "camera").unwrap();
        assert_eq!(expand("/a/b"), "/a/b");
        assert_eq!(expand("a/b"), "/robot_1/a/b");
        assert_eq!(expand("~/a"), "/robot_1/camera/a");
        assert_eq!(expand("~"), "/robot_1/camera");
        assert_eq!(super::expand("topic", "a", "/", "n").unwrap(), "/a");
        assert_eq!(super::expand("topic", "~/a", "/", "n").unwrap(), "/n/a");
    }

    #[test]
    fn bad_names_say_which_rule_they_break() {
        for (name, reason) in [("", "empty"), ("a//b", "//"), ("a/", "end in /"), ("1a", "digit"), ("a-b", "'-'"), ("~a", "~/")] {
            let error = expand("topic", name, "/", "n").unwrap_err().to_string();
            assert!(error.contains(reason) && error.starts_with("topic name"), "{error}");
        }
        assert!(validate_node("robot-1").unwrap_err().to_string().contains("'-'"));
        assert_eq!(absolute_namespace("robot_1").unwrap(), "/robot_1");
        assert_eq!(absolute_namespace("").unwrap(), "/");
    }

    #[test]
    fn remaps_apply_to_expanded_names_and_the_first_wins() {
        let rules = remaps(&["~/image:=camera/image", "chatter:=/first", "/robot_1/chatter:=/second"]);
        let resolve = |name| rules.resolve("topic", name, "/robot_1", "inference_node").unwrap();
        assert_eq!(resolve("~/image"), "/robot_1/camera/image");
        assert_eq!(resolve("inference_node/image"), "/robot_1/camera/image");
        assert_eq!(resolve("/robot_1/chatter"), "/first");
        assert_eq!(resolve("/other/chatter"), "/other/chatter");
    }

    #[test]
    fn rules_can_be_for_one_node_one_kind_or_the_node_itself() {
        let rules = remaps(&["talker:a:=b", "__ns:=/robot_1", "talker:__node:=speaker", "rosservice://s:=t"]);
        assert_eq!(rules.node("talker", "").unwrap(), ("speaker".into(), "/robot_1".into()));
        assert_eq!(rules.node("listener", "/x").unwrap(), ("listener".into(), "/robot_1".into()));
        assert_eq!(rules.resolve("topic", "a", "/", "talker").unwrap(), "/b");
        assert_eq!(rules.resolve("topic", "a", "/", "listener").unwrap(), "/a");
        assert_eq!(rules.resolve("service", "s", "/", "n").unwrap(), "/t");
        assert_eq!(rules.resolve("topic", "s", "/", "n").unwrap(), "/s");
    }

    #[test]
    fn malformed_rules_are_refused() {
        for rule in ["a", ":=b", "a:=", "__node:=a-b", "__ns:=robot_1", "a-b:c:=d"] {
            assert!(Remap::parse(rule).is_err(), "{rule}");
        }
    }

    #[test]
    fn names_of_types_follow_rosidls_rules() {
        for (name, parts) in [
            ("std_msgs/msg/String", ("std_msgs", "msg", "String")),
            ("a1_b2/srv/Ask_Request", ("a1_b2", "srv", "Ask_Request")),
            ("our_msgs/action/Go_SendGoal_Response", ("our_msgs", "action", "Go_SendGoal_Response")),
            ("p/msg/T2", ("p", "msg", "T2")),
        ] {
            assert_eq!(type_parts(name), Some(parts));
        }
        let malformed = ["", "String", "std_msgs/String", "std_msgs/msg/", "/msg/String", "std_msgs/msg/String/x", "std_msgs/idl/String"];
        let packages = [
            "../msg/String",
            "std-msgs/msg/String",
            "Std_msgs/msg/String",
            "std__msgs/msg/String",
            "std_msgs_/msg/String",
            "1std/msg/String",
        ];
        let types = ["std_msgs/msg/string", "std_msgs/msg/Str ing", "std_msgs/msg/String_", "std_msgs/msg/String\0", "std_msgs/msg/Stríng"];
        for name in malformed.iter().chain(&packages).chain(&types) {
            assert_eq!(type_parts(name), None, "{name}");
        }
    }
}
