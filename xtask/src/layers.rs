//! The arrows between the crates, as docs/ARCHITECTURE.md draws them, checked against `cargo metadata`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;

use crate::repo;

/// Each crate and the crates of ours it may use. A crate that is not here must be given its place first.
const ARROWS: &[(&str, &[&str])] = &[
    // model/: pure, knows nobody
    ("edgeflow_bundle", &[]),
    ("edgeflow_drift", &[]),
    // bridge/: wire <- {edge_log, policy, identity <- uplink} <- bridge_node -> the door
    ("edgeflow_wire", &[]),
    ("edgeflow_edge_log", &["edgeflow_wire"]),
    ("edgeflow_identity", &["edgeflow_wire"]),
    ("edgeflow_uplink", &["edgeflow_identity", "edgeflow_wire"]),
    ("edgeflow_policy", &["edgeflow_wire"]),
    (
        "edgeflow_bridge",
        &[
            "edgeflow_bundle",
            "edgeflow_edge_log",
            "edgeflow_identity",
            "edgeflow_policy",
            "edgeflow_ros",
            "edgeflow_uplink",
            "edgeflow_wire",
        ],
    ),
    // ros_ws/: knows neither server/ nor bridge/
    ("edgeflow_ros", &[]),
    ("edgeflow_inference", &["edgeflow_bundle", "edgeflow_drift", "edgeflow_ros"]),
    ("edgeflow_markers", &["edgeflow_ros"]),
    // server/: core <- store <- app <- {http, mqtt, background} <- main
    // What a policy may say is decided in one place, which is as pure as core: a policy that robots would refuse is refused at once.
    // Statistics of drift add up over robots by the arithmetic that robots use.
    ("edgeflow_core", &["edgeflow_bundle", "edgeflow_drift", "edgeflow_policy", "edgeflow_wire"]),
    ("edgeflow_store", &["edgeflow_bundle", "edgeflow_core", "edgeflow_wire"]),
    ("edgeflow_store_sqlite", &["edgeflow_bundle", "edgeflow_core", "edgeflow_store", "edgeflow_wire"]),
    ("edgeflow_server", &["edgeflow_bundle", "edgeflow_core", "edgeflow_store", "edgeflow_store_sqlite", "edgeflow_wire"]),
    // cli/ and sim/: nobody uses them
    (
        "edgeflow_cli",
        // Declarations are read by the very types that the control plane reads them by, so that a mistake is told with its line.
        &[
            "edgeflow_core",
            "edgeflow_drift",
            "edgeflow_edge_log",
            "edgeflow_identity",
            "edgeflow_policy",
            "edgeflow_ros",
            "edgeflow_uplink",
            "edgeflow_wire",
        ],
    ),
    ("edgeflow_sim", &["edgeflow_drift", "edgeflow_edge_log", "edgeflow_ros", "edgeflow_wire"]),
    ("xtask", &[]),
];

/// Crates that decide and therefore must not reach for time, chance, threads, files, databases or sockets.
const PURE: &[&str] = &["edgeflow_bundle", "edgeflow_core", "edgeflow_drift", "edgeflow_policy", "edgeflow_wire"];
const IMPURE: &[&str] = &["axum", "ort", "rand", "reqwest", "rumqttc", "rusqlite", "sqlx", "tokio", "zenoh", "hiroz", "r2r"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Checks every crate of the workspace; names each arrow that runs the wrong way.
pub(crate) fn run() -> Result<()> {
    let output = repo::cargo()?.args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("could not read `cargo metadata`")?;
    let wrong = wrong_arrows(&metadata.packages);
    if wrong.is_empty() {
        println!("{} crates, every arrow runs as drawn", metadata.packages.len());
        return Ok(());
    }
    bail!("arrows that run the wrong way:\n  {}", wrong.join("\n  "));
}

fn wrong_arrows(packages: &[Package]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            wrong.push(format!("{} has no place in xtask/src/layers.rs: give it one", package.name));
            continue;
        };
        // Tests may bring in what they drive; what ships may not.
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev")) {
            let name = dependency.name.as_str();
            if ours.contains(name) && !allowed.contains(&name) {
                wrong.push(format!("{} -> {name}", package.name));
            }
            if PURE.contains(&package.name.as_str()) && IMPURE.contains(&name) {
                wrong.push(format!("{} is pure and must not use {name}", package.name));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies =
            dependencies.iter().map(|(name, kind)| Dependency { name: (*name).into(), kind: kind.map(str::to_owned) }).collect();
        Package { name: name.into(), dependencies }
    }

    #[test]
    fn a_node_that_reaches_into_the_server_is_named() {
        let packages = [package("edgeflow_inference", &[("edgeflow_core", None)]), package("edgeflow_core", &[])];
        assert_eq!(wrong_arrows(&packages), ["edgeflow_inference -> edgeflow_core"]);
    }

    #[test]
    fn pure_crates_may_use_a_runtime_in_tests_only() {
        assert_eq!(wrong_arrows(&[package("edgeflow_drift", &[("rand", Some("dev"))])]), Vec::<String>::new());
        assert_eq!(wrong_arrows(&[package("edgeflow_drift", &[("rand", None)])]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        assert_eq!(wrong_arrows(&[package("edgeflow_new", &[])]).len(), 1);
    }
}
