//! Constants of every type as modules of plain values: r2r's own have a type each, which no field has,
//! so node code that is to compile on both stacks takes them from here.

use super::{rust, source::Packages};
use anyhow::Result;
use hiroz_codegen::types::ParsedMessage;
use std::fmt::Write;

pub fn emit(packages: &Packages) -> Result<String> {
    let mut out = String::new();
    for (package, content) in packages {
        let mut messages = String::new();
        for (name, message) in &content.messages {
            module(&mut messages, &message.parsed, name, &format!("{package}/msg/{name}"))?;
        }
        let mut services = String::new();
        for (name, service) in &content.services {
            let mut parts = String::new();
            module(&mut parts, &service.request.parsed, "Request", &format!("{package}/srv/{name}_Request"))?;
            module(&mut parts, &service.response.parsed, "Response", &format!("{package}/srv/{name}_Response"))?;
            if !parts.is_empty() {
                writeln!(services, "#[allow(non_snake_case)]\npub mod {name} {{\n{parts}}}")?;
            }
        }
        let mut actions = String::new();
        for (name, action) in &content.actions {
            let mut parts = String::new();
            for (part, message) in action.messages() {
                module(&mut parts, &message.parsed, part, &format!("{package}/action/{name}_{part}"))?;
            }
            if !parts.is_empty() {
                writeln!(actions, "#[allow(non_snake_case)]\npub mod {name} {{\n{parts}}}")?;
            }
        }
        if messages.is_empty() && services.is_empty() && actions.is_empty() {
            continue;
        }
        writeln!(out, "pub mod {package} {{")?;
        for (kind, modules) in [("msg", messages), ("srv", services), ("action", actions)] {
            if !modules.is_empty() {
                writeln!(out, "pub mod {kind} {{\n{modules}}}")?;
            }
        }
        writeln!(out, "}}")?;
    }
    Ok(out)
}

fn module(out: &mut String, message: &ParsedMessage, name: &str, full: &str) -> Result<()> {
    if message.constants.is_empty() {
        return Ok(());
    }
    writeln!(out, "/// Constants of `{full}`.\n#[allow(non_snake_case)]\npub mod {name} {{")?;
    for c in &message.constants {
        let (constant, ty, value) = rust::constant(c, full)?;
        writeln!(out, "pub const {constant}: {ty} = {value};")?;
    }
    writeln!(out, "}}")?;
    Ok(())
}
