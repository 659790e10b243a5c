//! A route against a type: which octets it wants, and as what.

use edgeflow_policy::{Kind, Reading, Watched};
use edgeflow_ros::registry::{self, Element, Projection, Scalar, TypeDescription};
use edgeflow_wire::{Field, Reduce, Route, Step, Treat};

/// The fields of a route in messages of a type: the way to each, and what becomes of its values.
pub(crate) fn compile(route: &Route, ty: &'static TypeDescription) -> Result<Vec<(Projection, Watched)>, String> {
    route.fields.iter().map(|field| compile_field(route, field, ty)).collect()
}

fn compile_field(route: &Route, field: &Field, ty: &'static TypeDescription) -> Result<(Projection, Watched), String> {
    let steps: Vec<registry::Step<'_>> = field.path.steps().iter().map(step).collect();
    let projection = Projection::new(ty, &steps).map_err(|error| error.to_string())?;
    let element = projection.element();
    let wrong = |reason: &str| Err(format!("{} of {} is a {}: {reason}", field.path, ty.name, element.name()));
    let is_text = element == Element::String;
    let is_float = matches!(element, Element::Float32 | Element::Float64);
    if is_text && field.reduce.is_some_and(|reduce| reduce != Reduce::Count) {
        return wrong("only count makes one of many");
    }
    let states = || projection.constants().into_iter().map(|(value, name)| (value, name.to_owned())).collect();
    let kind = match field.treat {
        Treat::Number if is_text && field.reduce.is_none() => return wrong("leave out \"as\", or make it a state"),
        Treat::State if is_float => return wrong("a state is a boolean, an integer or a string"),
        Treat::Number => Kind::Number,
        Treat::State => Kind::State(states()),
        Treat::Auto if route.samples.is_some() => Kind::Plain,
        Treat::Auto if field.reduce == Some(Reduce::Count) => Kind::Number,
        Treat::Auto if is_text || element == Element::Bool => Kind::State(Vec::new()),
        Treat::Auto => Kind::Number,
    };
    if matches!(kind, Kind::State(_)) && field.path.is_many() && field.reduce.is_none() {
        return wrong("say with reduce how many states become one");
    }
    Ok((projection, Watched { path: field.path.to_string(), kind, reduce: field.reduce }))
}

pub(crate) fn step(step: &Step) -> registry::Step<'_> {
    match step {
        Step::Field(name) => registry::Step::Field(name),
        Step::At(index) => registry::Step::At(*index),
        Step::Every => registry::Step::Every,
    }
}

/// A value as the policy takes it.
pub(crate) fn reading(scalar: Scalar<'_>) -> Reading<'_> {
    match scalar {
        Scalar::Bool(value) => Reading::Bool(value),
        Scalar::Int(value) => Reading::Integer(value.into()),
        Scalar::Uint(value) => Reading::Integer(value.into()),
        Scalar::Single(value) => Reading::Float(value.into()),
        Scalar::Double(value) => Reading::Float(value),
        Scalar::Text(text) => Reading::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_wire::TelemetryPolicy;
    use serde_json::{Value, json};

    fn compiled(ty: &str, field: Value, samples: bool) -> Result<Watched, String> {
        let how = if samples { "samples" } else { "window" };
        let what = if samples { json!({"max_hz": 1}) } else { json!({"period_s": 1}) };
        let policy = json!({"routes": [{"name": "r", "allow": ["t"], "fields": [field], how: what}]});
        let policy = TelemetryPolicy::parse(&policy).unwrap();
        compile(&policy.routes[0], registry::message(ty).unwrap()).map(|mut fields| fields.remove(0).1)
    }

    #[test]
    fn a_field_is_taken_as_its_type_suggests_or_as_the_policy_says() {
        let diagnostics = "diagnostic_msgs/msg/DiagnosticArray";
        let kind = |ty, field, samples| compiled(ty, field, samples).unwrap().kind;
        assert_eq!(kind("nav_msgs/msg/Odometry", json!("pose.pose.position.x"), false), Kind::Number);
        assert_eq!(kind("nav_msgs/msg/Odometry", json!("child_frame_id"), false), Kind::State(vec![]));
        assert_eq!(kind("std_msgs/msg/Bool", json!("data"), false), Kind::State(vec![]));
        assert_eq!(kind("std_msgs/msg/Bool", json!({"path": "data", "as": "number"}), false), Kind::Number);
        assert_eq!(kind("std_msgs/msg/Bool", json!("data"), true), Kind::Plain);
        let worst = kind(diagnostics, json!({"path": "status[*].level", "as": "state", "reduce": "max"}), true);
        assert!(matches!(worst, Kind::State(names) if names.contains(&(2, "ERROR".into()))));
        assert_eq!(kind(diagnostics, json!({"path": "status[*].name", "reduce": "count"}), false), Kind::Number);
    }

    #[test]
    fn what_cannot_be_taken_so_is_named() {
        let diagnostics = "diagnostic_msgs/msg/DiagnosticArray";
        for (ty, field, reason) in [
            ("nav_msgs/msg/Odometry", json!("pose.pose.positon.x"), "no field \"positon\""),
            ("nav_msgs/msg/Odometry", json!({"path": "child_frame_id", "as": "number"}), "is a string"),
            ("nav_msgs/msg/Odometry", json!({"path": "pose.pose.position.x", "as": "state"}), "is a float64"),
            (diagnostics, json!({"path": "status[*].level", "as": "state"}), "reduce"),
            (diagnostics, json!("status[*].name"), "reduce"),
            (diagnostics, json!({"path": "status[*].name", "reduce": "max"}), "only count"),
        ] {
            let error = compiled(ty, field, false).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
