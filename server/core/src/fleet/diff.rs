//! What differs between two declarations, part by part: what a reviewer reads.

use serde::Serialize;
use serde_json::Value;

use super::FleetSpec;

/// One place that differs.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FleetChange {
    /// Where, such as `slots.reader.release.version`.
    pub path: String,
    /// What it said; `null` when it is new.
    pub before: Value,
    /// What it says; `null` when it is gone.
    pub after: Value,
}

/// What differs, by place. A part that is new or gone is one change.
pub fn changes(before: &FleetSpec, after: &FleetSpec) -> Vec<FleetChange> {
    let mut found = Vec::new();
    let value = |spec: &FleetSpec| serde_json::to_value(spec).unwrap_or_default();
    walk("", &value(before), &value(after), &mut found);
    found
}

fn walk(path: &str, before: &Value, after: &Value, found: &mut Vec<FleetChange>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (old.get(key), new.get(key)) {
                    // A whole kind of parts that is new or gone is told part by part.
                    (None, Some(Value::Object(parts))) if !path.contains('.') => {
                        walk(&path, &Value::Object(Default::default()), &Value::Object(parts.clone()), found)
                    }
                    (Some(Value::Object(parts)), None) if !path.contains('.') => {
                        walk(&path, &Value::Object(parts.clone()), &Value::Object(Default::default()), found)
                    }
                    (before, after) => walk(&path, before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null), found),
                }
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(FleetChange { path: path.to_owned(), before: before.clone(), after: after.clone() }),
    }
}
