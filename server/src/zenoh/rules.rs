//! How the router is configured: what it listens on, whom it trusts, and who may do what.

use edgeflow_core::TargetName;
use edgeflow_wire::{LiveKeys, MAX_DOCUMENT_BYTES, Topics, WireError};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};
use zenoh::Config;

use crate::app::{AuthorityFiles, certificate_name};

/// Most robots at a time.
const MAX_SESSIONS: usize = 10_000;

/// The router's configuration.
///
/// # Errors
/// What zenoh does not take.
pub(super) fn config(
    address: SocketAddr,
    files: &AuthorityFiles,
    robots: &BTreeSet<TargetName>,
    places: &BTreeSet<String>,
) -> Result<Config, String> {
    let json = json(address, files, robots, places).map_err(|error| error.to_string())?;
    // Not as text: the rules of a large fleet are megabytes of it.
    Config::from_deserializer(json).map_err(|error| error.map_or_else(|error| error.to_string(), |_| "it is invalid".to_owned()))
}

fn json(address: SocketAddr, files: &AuthorityFiles, robots: &BTreeSet<TargetName>, places: &BTreeSet<String>) -> Result<Value, WireError> {
    Ok(json!({
        "mode": "router",
        "listen": { "endpoints": [format!("tls/{address}")], "timeout_ms": 0, "exit_on_failure": true },
        "connect": { "endpoints": [] },
        "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
        "adminspace": { "enabled": false },
        "transport": {
            "shared_memory": { "enabled": false },
            "unicast": { "max_sessions": MAX_SESSIONS, "max_links": 1, "accept_timeout": 10_000, "accept_pending": 100 },
            "link": {
                "protocols": ["tls"],
                // A robot that does not read is cut before it delays others.
                "tx": { "queue": { "congestion_control": { "block": { "wait_before_close": 1_000_000 } } } },
                "rx": { "max_message_size": 2 * MAX_DOCUMENT_BYTES },
                "tls": {
                    "root_ca_certificate": files.ca,
                    "listen_certificate": files.server_certificate,
                    "listen_private_key": files.server_key,
                    "enable_mtls": true,
                    "close_link_on_expiration": true,
                },
            },
        },
        "access_control": access_control(robots, places)?,
    }))
}

/// Everything is refused but what a robot needs of its own keys, and an operator of those of a session, in the direction they
/// need it.
fn access_control(robots: &BTreeSet<TargetName>, places: &BTreeSet<String>) -> Result<Value, WireError> {
    let (mut rules, mut subjects, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    for robot in robots {
        let name = robot.as_str();
        let topics = Topics::new(name)?;
        let live = LiveKeys::of_robot(&topics);
        let mut of_robot = Vec::new();
        let mut allow = |what: &str, flow: &str, message: &str, keys: Vec<String>| {
            let id = format!("{name} {what}");
            rules.push(json!({ "id": id, "permission": "allow", "flows": [flow], "messages": [message], "key_exprs": keys }));
            of_robot.push(id);
        };
        allow("asks", "ingress", "query", vec![topics.telemetry(), topics.deploy()]);
        allow("is answered", "egress", "reply", vec![topics.telemetry(), topics.deploy()]);
        allow("listens", "ingress", "declare_subscriber", vec![topics.deploy(), topics.command(), live.any_down()]);
        allow("hears", "egress", "put", vec![topics.deploy(), topics.command(), live.any_down()]);
        allow("shows", "ingress", "put", vec![live.any_up(), live.about()]);
        allow("looks out", "ingress", "declare_liveliness_subscriber", vec![live.here()]);
        allow("is looked at", "egress", "liveliness_token", vec![live.here()]);
        allow("is here", "ingress", "liveliness_token", vec![topics.alive()]);
        subjects.push(json!({ "id": name, "cert_common_names": [name], "link_protocols": ["tls"] }));
        policies.push(json!({ "rules": of_robot, "subjects": [name] }));
    }
    for place in places {
        let Some(live) = LiveKeys::of_session(place) else { continue };
        let name = certificate_name(place);
        let mut of_operator = Vec::new();
        let mut allow = |what: &str, flow: &str, message: &str, keys: Vec<String>| {
            let id = format!("{name} {what}");
            rules.push(json!({ "id": id, "permission": "allow", "flows": [flow], "messages": [message], "key_exprs": keys }));
            of_operator.push(id);
        };
        allow("listens", "ingress", "declare_subscriber", vec![live.any_up(), live.about()]);
        allow("hears", "egress", "put", vec![live.any_up(), live.about()]);
        allow("sends", "ingress", "put", vec![live.any_down()]);
        allow("is here", "ingress", "liveliness_token", vec![live.here()]);
        subjects.push(json!({ "id": name, "cert_common_names": [name], "link_protocols": ["tls"] }));
        policies.push(json!({ "rules": of_operator, "subjects": [name] }));
    }
    Ok(json!({ "enabled": true, "default_permission": "deny", "rules": rules, "subjects": subjects, "policies": policies }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<TargetName> {
        names.iter().map(|name| TargetName::new(*name).unwrap()).collect()
    }

    #[test]
    fn each_robot_has_its_own_keys_and_the_default_is_no() {
        let places = ["a-0".to_owned(), "a-1".to_owned()].into();
        let control = access_control(&names(&["robot-1", "robot-2"]), &places).unwrap();
        assert_eq!((&control["enabled"], &control["default_permission"]), (&json!(true), &json!("deny")));
        for policy in control["policies"].as_array().unwrap() {
            let subject = policy["subjects"][0].as_str().unwrap();
            for rule in policy["rules"].as_array().unwrap() {
                let rule = control["rules"].as_array().unwrap().iter().find(|found| found["id"] == *rule).unwrap();
                for key in rule["key_exprs"].as_array().unwrap() {
                    let own = match subject.strip_prefix("operator:") {
                        Some(place) => format!("edgeflow/targets/*/live/{place}/"),
                        None => format!("edgeflow/targets/{subject}/"),
                    };
                    assert!(key.as_str().unwrap().starts_with(&own), "{key}");
                }
            }
        }
        assert_eq!(control["rules"].as_array().unwrap().len(), 2 * 8 + 2 * 4);
    }

    #[test]
    fn zenoh_reads_it_with_and_without_robots() {
        let files = AuthorityFiles { ca: "/ca".into(), server_certificate: "/certificate".into(), server_key: "/key".into() };
        for robots in [names(&[]), names(&["robot-1", "robot-2"])] {
            let config = config("127.0.0.1:7448".parse().unwrap(), &files, &robots, &["a-0".to_owned()].into()).unwrap();
            assert!(config.get_json("access_control").unwrap().contains("\"deny\""));
        }
    }
}
