//! Types of the embedded stack: plain structs with serde derives, their ROS names and their type hashes.

use super::{rust, source::Packages};
use anyhow::Result;
use hiroz_codegen::types::ResolvedMessage;
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
                let full = format!("{package}/srv/{name}");
                writeln!(out, "/// `{full}`\n#[allow(non_snake_case)]\npub mod {name} {{\nuse crate::messages::wire::*;")?;
                emit_message(&mut out, &service.request, "Request", &format!("{full}_Request"))?;
                emit_message(&mut out, &service.response, "Response", &format!("{full}_Response"))?;
                writeln!(out, "/// The service type itself.\n#[derive(Clone, Debug, Default, PartialEq)]\npub struct Service;")?;
                writeln!(out, "impl ServiceType for Service {{ type Request = Request; type Response = Response;")?;
                writeln!(
                    out,
                    "const TYPE_NAME: &'static str = {full:?}; const TYPE_HASH: &'static str = {:?}; }}\n}}",
                    service.type_hash.to_rihs_string()
                )?;
            }
            writeln!(out, "}}")?;
        }
        writeln!(out, "}}")?;
    }
    Ok(out)
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
