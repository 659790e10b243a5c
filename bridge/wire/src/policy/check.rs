//! Reading a policy, and what only the whole of it can tell.

use std::collections::BTreeSet;

use super::{Capture, Escalation, MAX_CONDITION_BYTES, MAX_POLICY_BYTES, PolicyError, Reason, Route, TelemetryPolicy, Trigger, Watch};
use crate::Class;

const MAX_ROUTES: usize = 100;
const MAX_ESCALATIONS: usize = 8;
/// Longest escalation, seconds.
pub(crate) const MAX_ESCALATION_S: f64 = 3_600.0;
const MAX_TRIGGERS: usize = 32;
const MAX_REASONS: usize = 16;
/// Longest time before or after a reason that is captured, seconds.
pub(crate) const MAX_CAPTURE_S: f64 = 600.0;
const MAX_WATCHED: usize = 16;
const MAX_MESSAGE_BYTES: usize = 500;
/// Longest name of a variable, bytes.
const MAX_VARIABLE_BYTES: usize = 63;
const MAX_PATTERNS: usize = 50;
const MAX_FIELDS: usize = 50;

impl TelemetryPolicy {
    /// Reads a document and checks it.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(document: &serde_json::Value) -> Result<Self, PolicyError> {
        let bytes = document.to_string().len();
        if bytes > MAX_POLICY_BYTES {
            return Err(error(".", format!("{bytes} bytes are more than the {MAX_POLICY_BYTES} a policy may have")));
        }
        let policy: Self = serde_path_to_error::deserialize(document)
            .map_err(|wrong| PolicyError { path: wrong.path().to_string(), reason: wrong.inner().to_string() })?;
        policy.check()?;
        Ok(policy)
    }

    /// Checks what the types alone do not say.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.routes.len() > MAX_ROUTES {
            return Err(error("routes", format!("{} routes are more than {MAX_ROUTES}", self.routes.len())));
        }
        if let Some(rate) = self.max_entries_per_s {
            within("max_entries_per_s", rate, 0.01, 10_000.0)?;
        }
        let mut names = BTreeSet::new();
        if self.escalations.len() > MAX_ESCALATIONS {
            return Err(error("escalations", format!("{} are more than {MAX_ESCALATIONS}", self.escalations.len())));
        }
        for (at, escalation) in self.escalations.iter().enumerate() {
            escalation.check(&format!("escalations[{at}]"))?;
            if !names.insert(&escalation.name) {
                return Err(error(&format!("escalations[{at}].name"), format!("there is another escalation {:?}", escalation.name)));
            }
        }
        self.check_triggers()?;
        self.capture.as_ref().map_or(Ok(()), Capture::check)?;
        let mut names = BTreeSet::new();
        for (at, route) in self.routes.iter().enumerate() {
            let path = format!("routes[{at}]");
            route.check(&path)?;
            if !names.insert(&route.name) {
                return Err(error(&format!("{path}.name"), format!("there is another route {:?}", route.name)));
            }
        }
        Ok(())
    }

    fn check_triggers(&self) -> Result<(), PolicyError> {
        if self.triggers.len() > MAX_TRIGGERS {
            return Err(error("triggers", format!("{} are more than {MAX_TRIGGERS}", self.triggers.len())));
        }
        let mut names = BTreeSet::new();
        for (at, trigger) in self.triggers.iter().enumerate() {
            let path = format!("triggers[{at}]");
            trigger.check(&path)?;
            if !names.insert(&trigger.name) {
                return Err(error(&format!("{path}.name"), format!("there is another trigger {:?}", trigger.name)));
            }
        }
        let reasons = self.escalations.iter().enumerate().map(|(at, escalation)| (format!("escalations[{at}].when"), &escalation.when));
        let captures = self.capture.iter().flat_map(|capture| capture.on.iter().enumerate());
        let reasons = reasons.chain(captures.map(|(at, reason)| (format!("capture.on[{at}]"), reason)));
        for (path, reason) in reasons {
            if let Reason::Trigger { name } = reason
                && !names.contains(name)
            {
                return Err(error(&format!("{path}.name"), format!("there is no trigger {name:?}")));
            }
        }
        Ok(())
    }
}

impl Capture {
    fn check(&self) -> Result<(), PolicyError> {
        check_patterns("capture", &self.allow, &self.deny)?;
        within("capture.before_s", self.before_s, 0.0, MAX_CAPTURE_S)?;
        within("capture.after_s", self.after_s, 0.0, MAX_CAPTURE_S)?;
        within("capture.max_mb", self.max_mb.into(), 1.0, 1_024.0)?;
        if self.on.len() > MAX_REASONS {
            return Err(error("capture.on", format!("{} are more than {MAX_REASONS}", self.on.len())));
        }
        within("capture.min_interval_s", self.min_interval_s, 0.0, 604_800.0)
    }

    /// Whether the topic (an absolute name) is captured, of a robot whose names are relative to `namespace`.
    pub fn takes(&self, namespace: &str, topic: &str) -> bool {
        takes(&self.allow, &self.deny, namespace, topic)
    }
}

impl Trigger {
    fn check(&self, path: &str) -> Result<(), PolicyError> {
        check_name(&self.name).map_err(|reason| error(&format!("{path}.name"), reason))?;
        if self.watch.is_empty() || self.watch.len() > MAX_WATCHED {
            return Err(error(&format!("{path}.watch"), format!("name 1 to {MAX_WATCHED} variables")));
        }
        for (variable, watch) in &self.watch {
            let at = format!("{path}.watch.{variable}");
            check_variable(variable).map_err(|reason| error(&at, reason))?;
            watch.check(&at)?;
        }
        if self.when.len() > MAX_CONDITION_BYTES {
            return Err(error(&format!("{path}.when"), format!("{} bytes are more than {MAX_CONDITION_BYTES}", self.when.len())));
        }
        if self.message.len() > MAX_MESSAGE_BYTES {
            return Err(error(&format!("{path}.message"), format!("{} bytes are more than {MAX_MESSAGE_BYTES}", self.message.len())));
        }
        within(&format!("{path}.for_s"), self.for_s, 0.0, 86_400.0)?;
        within(&format!("{path}.min_interval_s"), self.min_interval_s, 0.0, 604_800.0)
    }
}

impl Watch {
    fn check(&self, path: &str) -> Result<(), PolicyError> {
        let at = |field: &str| format!("{path}.{field}");
        check_pattern(&self.topic).map_err(|reason| error(&at("topic"), reason))?;
        if self.topic.contains('*') {
            return Err(error(&at("topic"), format!("{:?} is a pattern: name one topic", self.topic)));
        }
        if !is_type_name(&self.type_name) {
            return Err(error(&at("type"), format!("{:?} is no message type: write package/msg/Type", self.type_name)));
        }
        let many = self.field.as_ref().is_some_and(super::FieldPath::is_many);
        if many && self.reduce.is_none() {
            return Err(error(&at("field"), "it has many values in a message: say with reduce how they become one".to_owned()));
        }
        if !many && self.reduce.is_some() {
            return Err(error(&at("reduce"), "it makes one of the many values of a field with [*]: leave it out".to_owned()));
        }
        self.max_age_s.map_or(Ok(()), |age| within(&at("max_age_s"), age, 0.1, 86_400.0))
    }
}

fn check_variable(name: &str) -> Result<(), String> {
    let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !well_formed || name.len() > MAX_VARIABLE_BYTES || name == "math" {
        return Err(format!(
            "{name:?} is no variable: use 1 to {MAX_VARIABLE_BYTES} letters, digits and underscores, a letter first; math is taken"
        ));
    }
    Ok(())
}

impl Escalation {
    fn check(&self, path: &str) -> Result<(), PolicyError> {
        check_name(&self.name).map_err(|reason| error(&format!("{path}.name"), reason))?;
        within(&format!("{path}.for_s"), self.for_s, 0.1, MAX_ESCALATION_S)?;
        within(&format!("{path}.rest_s"), self.rest_s, 0.0, 86_400.0)?;
        check_escalated(&self.routes).map_err(|wrong| PolicyError { path: format!("{path}.{}", wrong.path), ..wrong })
    }
}

/// Checks the routes of an escalation.
pub(crate) fn check_escalated(routes: &[Route]) -> Result<(), PolicyError> {
    if routes.is_empty() {
        return Err(error("routes", "name 1 route at least".to_owned()));
    }
    TelemetryPolicy { routes: routes.to_vec(), ..TelemetryPolicy::default() }.check()?;
    match routes.iter().position(|route| route.class.is_some_and(|class| class != Class::Detail)) {
        Some(at) => Err(error(&format!("routes[{at}].class"), "escalations are of the class detail".to_owned())),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let well_formed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(well_formed) {
        return Err(format!("{name:?} is no name: use 1 to 63 lower-case letters, digits, dashes and underscores"));
    }
    Ok(())
}

impl Route {
    fn check(&self, path: &str) -> Result<(), PolicyError> {
        let at = |field: &str| format!("{path}.{field}");
        check_name(&self.name).map_err(|reason| error(&at("name"), reason))?;
        check_patterns(path, &self.allow, &self.deny)?;
        if let Some(name) = &self.type_name
            && !is_type_name(name)
        {
            return Err(error(&at("type"), format!("{name:?} is no message type: write package/msg/Type")));
        }
        self.check_fields(path)?;
        match (&self.window, &self.samples) {
            (Some(window), None) => within(&at("window.period_s"), window.period_s, 0.1, 86_400.0)?,
            (None, Some(samples)) => {
                if samples.max_hz.is_none() && samples.on_change.is_none() {
                    return Err(error(&at("samples"), "every message would be sent: give max_hz or on_change".to_owned()));
                }
                if let Some(max_hz) = samples.max_hz {
                    within(&at("samples.max_hz"), max_hz, 0.000_1, 1_000.0)?;
                }
                if let Some(on_change) = samples.on_change {
                    within(&at("samples.on_change.deadband"), on_change.deadband, 0.0, f64::MAX)?;
                }
            }
            _ => return Err(error(path, "give either window or samples".to_owned())),
        }
        if self.class == Some(Class::Critical) {
            let reason = "critical is for faults and acknowledgements: use event, summary or detail";
            return Err(error(&at("class"), reason.to_owned()));
        }
        if self.priority > 9 {
            return Err(error(&at("priority"), format!("{} is not in 0 to 9", self.priority)));
        }
        self.expected_period_s.map_or(Ok(()), |period| within(&at("expected_period_s"), period, 0.1, 86_400.0))
    }

    fn check_fields(&self, path: &str) -> Result<(), PolicyError> {
        if self.fields.is_empty() || self.fields.len() > MAX_FIELDS {
            return Err(error(&format!("{path}.fields"), format!("name 1 to {MAX_FIELDS} fields")));
        }
        let mut seen = BTreeSet::new();
        for (index, field) in self.fields.iter().enumerate() {
            let at = format!("{path}.fields[{index}]");
            if !seen.insert(&field.path) {
                return Err(error(&at, format!("{} is there twice", field.path)));
            }
            if field.reduce.is_some() && !field.path.is_many() {
                return Err(error(&format!("{at}.reduce"), format!("{} has one value in a message: leave reduce out", field.path)));
            }
            if field.path.is_many() && field.reduce.is_none() && self.samples.is_some() {
                let reason = format!("{} has many values in a message: say with reduce how they become one", field.path);
                return Err(error(&at, reason));
            }
        }
        Ok(())
    }

    /// Whether this route takes the topic (an absolute name) of a robot whose names are relative to `namespace`.
    pub fn takes(&self, namespace: &str, topic: &str) -> bool {
        takes(&self.allow, &self.deny, namespace, topic)
    }
}

fn takes(allow: &[String], deny: &[String], namespace: &str, topic: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| name_matches(pattern, namespace, topic));
    any(allow) && !any(deny)
}

fn check_patterns(path: &str, allow: &[String], deny: &[String]) -> Result<(), PolicyError> {
    if allow.is_empty() || allow.len() > MAX_PATTERNS {
        return Err(error(&format!("{path}.allow"), format!("name 1 to {MAX_PATTERNS} topics")));
    }
    if deny.len() > MAX_PATTERNS {
        return Err(error(&format!("{path}.deny"), format!("name at most {MAX_PATTERNS} topics")));
    }
    for (list, patterns) in [("allow", allow), ("deny", deny)] {
        for (index, pattern) in patterns.iter().enumerate() {
            check_pattern(pattern).map_err(|reason| error(&format!("{path}.{list}[{index}]"), reason))?;
        }
    }
    Ok(())
}

/// Whether an absolute ROS name is what a pattern means: `*` is anything within one part, `**` any number of parts, and a
/// pattern that does not begin with a slash is relative to `namespace`.
pub fn name_matches(pattern: &str, namespace: &str, topic: &str) -> bool {
    if pattern.starts_with('/') {
        return fast_glob::glob_match(pattern, topic);
    }
    let below = topic.strip_prefix(namespace.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|relative| fast_glob::glob_match(pattern, relative))
}

fn check_pattern(pattern: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{pattern:?} is no topic pattern: {what}"));
    let parts = pattern.strip_prefix('/').unwrap_or(pattern);
    for part in parts.split('/') {
        if part.is_empty() {
            return wrong("a part between slashes is empty");
        }
        if part.contains("**") && part != "**" {
            return wrong("** stands alone between slashes");
        }
        if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'*') {
            return wrong("use letters, digits, underscores, slashes, * and **");
        }
    }
    Ok(())
}

fn is_type_name(name: &str) -> bool {
    let mut parts = name.split('/');
    let word = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
    };
    word(parts.next()) && parts.next() == Some("msg") && word(parts.next()) && parts.next().is_none()
}

fn within(path: &str, value: f64, low: f64, high: f64) -> Result<(), PolicyError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(error(path, format!("{value} is not in {low} to {high}"))) }
}

fn error(path: &str, reason: String) -> PolicyError {
    PolicyError { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn route() -> Value {
        json!({ "name": "pose", "allow": ["odom"], "fields": ["pose.pose.position.x"], "window": { "period_s": 60 } })
    }

    fn escalations(for_s: u32, routes: Value) -> Value {
        json!([{ "name": "look-closer", "when": { "kind": "drift" }, "for_s": for_s, "routes": routes }])
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<TelemetryPolicy, PolicyError> {
        let mut document = json!({ "routes": [route()] });
        change(&mut document);
        TelemetryPolicy::parse(&document)
    }

    #[test]
    fn a_policy_is_read_with_its_defaults_and_written_again() {
        let policy = with(|_| ()).unwrap();
        let route = &policy.routes[0];
        assert_eq!((route.class(), route.priority, route.deny.len()), (Class::Summary, 5, 0));
        let again = TelemetryPolicy::parse(&serde_json::to_value(&policy).unwrap()).unwrap();
        assert_eq!(again, policy);
        let samples = with(|policy| {
            policy["routes"][0]["window"].take();
            policy["routes"][0]["samples"] = json!({ "max_hz": 1 });
        });
        assert_eq!(samples.unwrap().routes[0].class(), Class::Detail);
        assert_eq!(TelemetryPolicy::parse(&json!({})).unwrap(), TelemetryPolicy::default());
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        type Change = fn(&mut Value);
        let cases: [(&str, &str, Change); 24] = [
            ("routes[0].name", "no name", |p| p["routes"][0]["name"] = json!("Pose")),
            ("routes[1].name", "another route", |p| p["routes"] = json!([route(), route()])),
            ("routes[0].allow", "1 to 50", |p| p["routes"][0]["allow"] = json!([])),
            ("routes[0].allow[0]", "** stands alone", |p| p["routes"][0]["allow"][0] = json!("/a**/b")),
            ("routes[0].deny[1]", "letters", |p| p["routes"][0]["deny"] = json!(["/a", "/b c"])),
            ("routes[0].allow[0]", "empty", |p| p["routes"][0]["allow"][0] = json!("/a//b")),
            ("routes[0].type", "package/msg/Type", |p| p["routes"][0]["type"] = json!("nav_msgs/Odometry")),
            ("routes[0].fields", "1 to 50", |p| p["routes"][0]["fields"] = json!([])),
            ("routes[0].fields[0]", "no field path", |p| p["routes"][0]["fields"][0] = json!("a[")),
            ("routes[0].fields[1]", "twice", |p| p["routes"][0]["fields"] = json!(["a", "a"])),
            ("routes[0].fields[0].reduce", "leave reduce out", |p| p["routes"][0]["fields"][0] = json!({"path": "a", "reduce": "max"})),
            ("routes[0].fields[0]", "unknown field `treat`", |p| p["routes"][0]["fields"][0] = json!({"path": "a", "treat": "x"})),
            ("routes[0].window.period_s", "0.1 to 86400", |p| p["routes"][0]["window"]["period_s"] = json!(0)),
            ("routes[0].window.period_s", "invalid type", |p| p["routes"][0]["window"]["period_s"] = json!("1 min")),
            ("routes[0]", "either window or samples", |p| p["routes"][0]["samples"] = json!({"max_hz": 1})),
            ("routes[0].windw", "unknown field", |p| p["routes"][0]["windw"] = json!({})),
            ("routes[0].class", "critical is for", |p| p["routes"][0]["class"] = json!("critical")),
            ("routes[0].priority", "0 to 9", |p| p["routes"][0]["priority"] = json!(10)),
            ("routes[0].expected_period_s", "0.1", |p| p["routes"][0]["expected_period_s"] = json!(0.01)),
            ("escalations[0].for_s", "0.1 to 3600", |p| p["escalations"] = escalations(7_200, json!([route()]))),
            ("escalations[0].routes", "1 route", |p| p["escalations"] = escalations(60, json!([]))),
            ("escalations[0].routes[0].window.period_s", "invalid type", |p| {
                let mut wrong = route();
                wrong["window"]["period_s"] = json!("x");
                p["escalations"] = escalations(60, json!([wrong]));
            }),
            ("escalations[0].routes[0].class", "class detail", |p| {
                let mut wrong = route();
                wrong["class"] = json!("event");
                p["escalations"] = escalations(60, json!([wrong]));
            }),
            ("max_entries_per_s", "0.01", |p| p["max_entries_per_s"] = json!(-1)),
        ];
        for (path, reason, change) in cases {
            let error = with(change).unwrap_err();
            assert!(error.path.starts_with(path) && error.reason.contains(reason), "{path} {reason}: {error}");
        }
        let every = with(|p| {
            p["routes"][0]["window"].take();
            p["routes"][0]["samples"] = json!({});
        });
        assert!(every.unwrap_err().reason.contains("max_hz or on_change"));
        let many = with(|p| {
            p["routes"][0]["window"].take();
            p["routes"][0]["samples"] = json!({"max_hz": 1});
            p["routes"][0]["fields"] = json!(["status[*].level"]);
        });
        assert!(many.unwrap_err().reason.contains("reduce"));
        let large = TelemetryPolicy::parse(&json!({ "routes": [], "note": "x".repeat(MAX_POLICY_BYTES) }));
        assert!(large.unwrap_err().reason.contains("bytes"));
    }

    #[test]
    fn triggers_are_read_and_their_mistakes_named() {
        let trigger = || {
            json!({ "name": "weak", "when": "battery.percentage < 0.2",
                "watch": {"battery": {"topic": "battery", "type": "sensor_msgs/msg/BatteryState"}} })
        };
        let read = with(|p| p["triggers"] = json!([trigger()])).unwrap().triggers.remove(0);
        assert_eq!((read.for_s, read.min_interval_s, read.severity), (0.0, 60.0, crate::EventSeverity::Info));
        type Change = fn(&mut Value);
        let cases: [(&str, &str, Change); 13] = [
            ("triggers[0].name", "no name", |t| t["name"] = json!("Weak")),
            ("triggers[0].watch", "1 to 16", |t| t["watch"] = json!({})),
            ("triggers[0].watch.math", "math is taken", |t| t["watch"]["math"] = t["watch"]["battery"].clone()),
            ("triggers[0].watch.a.b", "no variable", |t| t["watch"]["a.b"] = t["watch"]["battery"].clone()),
            ("triggers[0].watch.battery.topic", "name one topic", |t| t["watch"]["battery"]["topic"] = json!("**/battery")),
            ("triggers[0].watch.battery.type", "package/msg/Type", |t| t["watch"]["battery"]["type"] = json!("BatteryState")),
            ("triggers[0].watch.battery", "missing field `type`", |t| t["watch"]["battery"] = json!({"topic": "battery"})),
            ("triggers[0].watch.battery.field", "reduce", |t| t["watch"]["battery"]["field"] = json!("cell_voltage[*]")),
            ("triggers[0].watch.battery.reduce", "leave it out", |t| t["watch"]["battery"]["reduce"] = json!("min")),
            ("triggers[0].watch.battery.max_age_s", "0.1", |t| t["watch"]["battery"]["max_age_s"] = json!(0)),
            ("triggers[0].when", "more than 512", |t| t["when"] = json!("x".repeat(513))),
            ("triggers[0].for_s", "0 to 86400", |t| t["for_s"] = json!(-1)),
            ("triggers[0]", "unknown field `cooldown`", |t| t["cooldown"] = json!(1)),
        ];
        for (path, reason, change) in cases {
            let mut wrong = trigger();
            change(&mut wrong);
            let error = with(|p| p["triggers"] = json!([wrong])).unwrap_err();
            assert!(error.path.starts_with(path) && error.reason.contains(reason), "{path} {reason}: {error}");
        }
        let twice = with(|p| p["triggers"] = json!([trigger(), trigger()])).unwrap_err();
        assert!(twice.path == "triggers[1].name" && twice.reason.contains("another trigger"), "{twice}");
        let escalated = |name: &str| {
            with(|p| {
                p["triggers"] = json!([trigger()]);
                p["escalations"] = escalations(60, json!([route()]));
                p["escalations"][0]["when"] = json!({"kind": "trigger", "name": name});
            })
        };
        assert!(escalated("weak").is_ok());
        assert_eq!(escalated("strong").unwrap_err().path, "escalations[0].when.name");
    }

    #[test]
    fn captures_are_read_and_their_mistakes_named() {
        let with_capture = |capture: Value| {
            with(|p| {
                p["capture"] = json!({ "allow": ["scan", "camera/**"], "deny": ["camera/raw"] });
                p["capture"].as_object_mut().unwrap().append(&mut capture.as_object().unwrap().clone());
            })
        };
        let capture = with_capture(json!({})).unwrap().capture.unwrap();
        assert_eq!((capture.before_s, capture.after_s, capture.max_mb, capture.min_interval_s), (10.0, 5.0, 32, 600.0));
        assert!(capture.takes("/r", "/r/camera/a/b") && !capture.takes("/r", "/r/camera/raw") && !capture.takes("/r", "/r/odom"));
        for (capture, path) in [
            (json!({"allow": []}), "capture.allow"),
            (json!({"deny": ["/a b"]}), "capture.deny[0]"),
            (json!({"before_s": 601}), "capture.before_s"),
            (json!({"after_s": -1}), "capture.after_s"),
            (json!({"max_mb": 0}), "capture.max_mb"),
            (json!({"max_mb": 1.5}), "capture.max_mb"),
            (json!({"on": [{"kind": "drift"}, {"kind": "trigger", "name": "gone"}]}), "capture.on[1].name"),
            (json!({"seconds": 1}), "capture"),
        ] {
            let error = with_capture(capture.clone()).unwrap_err();
            assert!(error.path.starts_with(path), "{capture}: {error}");
        }
    }

    #[test]
    fn topics_are_taken_by_pattern_relative_or_absolute() {
        let takes = |allow: &[&str], deny: &[&str], topic: &str| {
            let policy = with(|p| {
                p["routes"][0]["allow"] = json!(allow);
                p["routes"][0]["deny"] = json!(deny);
            });
            policy.unwrap().routes[0].takes("/robot_1", topic)
        };
        assert!(takes(&["odom"], &[], "/robot_1/odom") && !takes(&["odom"], &[], "/odom"));
        assert!(!takes(&["odom"], &[], "/robot_10/odom") && !takes(&["odom"], &[], "/robot_1/arm/odom"));
        assert!(takes(&["**/odom"], &[], "/robot_1/arm/odom") && takes(&["**/odom"], &[], "/robot_1/odom"));
        assert!(takes(&["camera/*"], &[], "/robot_1/camera/info") && !takes(&["camera/*"], &[], "/robot_1/camera/a/b"));
        assert!(takes(&["/**"], &[], "/diagnostics") && takes(&["/**"], &[], "/robot_1/odom"));
        assert!(!takes(&["/**"], &["/robot_*/**"], "/robot_1/odom") && !takes(&["**"], &["odom"], "/robot_1/odom"));
        assert!(takes(&["/*/odom"], &[], "/robot_1/odom") && !takes(&["/*/odom"], &[], "/a/b/odom"));
    }
}
