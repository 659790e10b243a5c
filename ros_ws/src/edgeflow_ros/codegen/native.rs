//! Types of the r2r stack: r2r generates its own, so this re-exports them. For `doc-only`, whose
//! bundled bindings know neither our messages nor a few standard packages, stand-ins of the same
//! shape are generated; they type-check and can never run.

use super::{action, rust, source::Packages};
use anyhow::Result;
use hiroz_codegen::types::{ResolvedMessage, ResolvedService};
use std::fmt::Write;

/// Packages in the bindings which r2r bundles for `doc-only`.
const BUNDLED: &[&str] = &[
    "action_msgs",
    "builtin_interfaces",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "nav_msgs",
    "rcl_interfaces",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "unique_identifier_msgs",
    "visualization_msgs",
];

pub fn emit(packages: &Packages, doc_only: bool) -> Result<String> {
    let mut out = String::new();
    for (package, content) in packages {
        if !doc_only || BUNDLED.contains(&package.as_str()) {
            writeln!(out, "pub use r2r::{package};")?;
            continue;
        }
        writeln!(out, "/// Interface package `{package}`.\npub mod {package} {{")?;
        if !content.messages.is_empty() {
            writeln!(out, "/// Messages of `{package}`.\npub mod msg {{\nuse serde::{{Deserialize, Serialize}};")?;
            for (name, message) in &content.messages {
                stand_in(&mut out, message, name, &format!("{package}/msg/{name}"))?;
            }
            writeln!(out, "}}")?;
        }
        if !content.services.is_empty() {
            writeln!(out, "/// Services of `{package}`.\npub mod srv {{")?;
            for (name, service) in &content.services {
                stand_in_service(&mut out, service, name, &format!("{package}/srv/{name}"))?;
            }
            writeln!(out, "}}")?;
        }
        if !content.actions.is_empty() {
            writeln!(out, "/// Actions of `{package}`.\npub mod action {{")?;
            for (name, content) in &content.actions {
                let full = format!("{package}/action/{name}");
                writeln!(out, "/// `{full}`\n#[allow(non_snake_case)]\npub mod {name} {{\nuse serde::{{Deserialize, Serialize}};")?;
                for (part, message) in content.messages() {
                    stand_in(&mut out, message, part, &format!("{full}_{part}"))?;
                }
                for (part, service) in content.services() {
                    stand_in_service(&mut out, service, part, &format!("{full}_{part}"))?;
                }
                writeln!(
                    out,
                    "/// The action type itself.\n#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]\npub struct Action();\ncrate::messages::doc_only_action!({{\n{}}});\n}}",
                    action::ITEMS
                )?;
            }
            writeln!(out, "}}")?;
        }
        writeln!(out, "}}")?;
    }
    Ok(out)
}

fn stand_in_service(out: &mut String, service: &ResolvedService, name: &str, full: &str) -> Result<()> {
    writeln!(out, "/// `{full}`\n#[allow(non_snake_case)]\npub mod {name} {{\nuse serde::{{Deserialize, Serialize}};")?;
    stand_in(out, &service.request, "Request", &format!("{full}_Request"))?;
    stand_in(out, &service.response, "Response", &format!("{full}_Response"))?;
    writeln!(
        out,
        "/// The service type itself.\n#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]\npub struct Service();\ncrate::messages::doc_only_service!();\n}}"
    )?;
    Ok(())
}

fn stand_in(out: &mut String, message: &ResolvedMessage, name: &str, full: &str) -> Result<()> {
    let mut text = String::new();
    rust::structure(&mut text, &message.parsed, name, full, ", Serialize, Deserialize")?;
    // No wire, no special treatment by serde.
    for line in text.lines().filter(|line| !line.trim_start().starts_with("#[serde(with")) {
        writeln!(out, "{line}")?;
    }
    // r2r's integer constants are C enums with one variant each, so that only `as` gets their value.
    for c in &message.parsed.constants {
        let (constant, ty, value) = rust::constant(c, full)?;
        if ty.starts_with(['u', 'i']) {
            writeln!(
                out,
                "#[doc(hidden)]\n#[allow(non_camel_case_types)]\n#[repr(i64)]\n#[derive(Debug, Clone, Hash, PartialEq, Eq)]\npub enum {name}__{constant} {{ {constant} = {value} }}"
            )?;
            writeln!(out, "impl {name} {{ pub const {constant}: {name}__{constant} = {name}__{constant}::{constant}; }}")?;
        } else {
            writeln!(out, "impl {name} {{ pub const {constant}: {} = {value}; }}", ty.replace("&str", "&'static str"))?;
        }
    }
    writeln!(out, "crate::messages::doc_only_message!({name});")?;
    Ok(())
}
