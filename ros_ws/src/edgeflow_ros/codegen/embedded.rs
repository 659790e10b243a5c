//! Types of the embedded stack: plain structs with serde derives, their ROS names and their type hashes.

use super::{action, rust, source::Packages};
use anyhow::Result;
use hiroz_codegen::types::{ResolvedMessage, ResolvedService};
use std::fmt::Write;

pub fn emit(packages: &Packages) -> Result<String> {
    let mut out = String::new();
    for (package, content) in packages {
        writeln!(out, "/// Interface package `{package}`.\npub mod {package} {{")?;
        if !content.messages.is_empty() {
            writeln!(out, "/// Messages of `{package}`.\npub mod msg {{\nuse crate::messages::wire::*;")?;
            for (name, message) in &content.messages {
                emit_message(&mut out, message, name, &format!("{package}/msg/{name}"))?;
            }
            writeln!(out, "}}")?;
        }
        if !content.services.is_empty() {
            writeln!(out, "/// Services of `{package}`.\npub mod srv {{")?;
            for (name, service) in &content.services {
                emit_service(&mut out, service, name, &format!("{package}/srv/{name}"))?;
            }
            writeln!(out, "}}")?;
        }
        if !content.actions.is_empty() {
            writeln!(out, "/// Actions of `{package}`.\npub mod action {{")?;
            for (name, content) in &content.actions {
                let full = format!("{package}/action/{name}");
                writeln!(out, "/// `{full}`\n#[allow(non_snake_case)]\npub mod {name} {{\nuse crate::messages::wire::*;")?;
                for (part, message) in content.messages() {
                    emit_message(&mut out, message, part, &format!("{full}_{part}"))?;
                }
                for (part, service) in content.services() {
                    emit_service(&mut out, service, part, &format!("{full}_{part}"))?;
                }
                writeln!(out, "/// The action type itself.\n#[derive(Clone, Debug, Default, PartialEq)]\npub struct Action;")?;
                writeln!(out, "impl ActionType for Action {{\nconst TYPE_NAME: &'static str = {full:?};\n{}}}\n}}", action::ITEMS)?;
            }
            writeln!(out, "}}")?;
        }
        writeln!(out, "}}")?;
    }
    Ok(out)
}

fn emit_service(out: &mut String, service: &ResolvedService, name: &str, full: &str) -> Result<()> {
    writeln!(out, "/// `{full}`\n#[allow(non_snake_case)]\npub mod {name} {{\nuse crate::messages::wire::*;")?;
    emit_message(out, &service.request, "Request", &format!("{full}_Request"))?;
    emit_message(out, &service.response, "Response", &format!("{full}_Response"))?;
    writeln!(out, "/// The service type itself.\n#[derive(Clone, Debug, Default, PartialEq)]\npub struct Service;")?;
    writeln!(out, "impl ServiceType for Service {{ type Request = Request; type Response = Response;")?;
    let hash = service.type_hash.to_rihs_string();
    writeln!(out, "const TYPE_NAME: &'static str = {full:?}; const TYPE_HASH: &'static str = {hash:?}; }}\n}}")?;
    Ok(())
}

fn emit_message(out: &mut String, message: &ResolvedMessage, name: &str, full: &str) -> Result<()> {
    // IDL: an empty struct is one padding octet on the wire, so serde must not derive nothing for it.
    let empty = message.parsed.fields.is_empty();
    rust::structure(out, &message.parsed, name, full, if empty { "" } else { ", Serialize, Deserialize" })?;
    rust::constants(out, &message.parsed, name, full)?;
    if empty {
        writeln!(out, "empty_on_the_wire!({name});")?;
    }
    writeln!(
        out,
        "impl MessageType for {name} {{ const TYPE_NAME: &'static str = {full:?}; const TYPE_HASH: &'static str = {:?}; }}",
        message.type_hash.to_rihs_string()
    )?;
    Ok(())
}
