//! The tables of the registry: every type's fields as static data, the same for both stacks.

use super::{hash::full_name, source::Packages};
use anyhow::Result;
use hiroz_codegen::types::{ArrayType, DefaultValue, ParsedMessage, ResolvedMessage, ResolvedService};
use std::{collections::BTreeMap, fmt::Write};

pub fn emit(packages: &Packages) -> Result<String> {
    // Looked up by name, so sorted by name.
    let (mut types, mut services, mut actions) = (BTreeMap::new(), BTreeMap::new(), String::new());
    for (package, content) in packages {
        for (name, message) in &content.messages {
            let full = format!("{package}/msg/{name}");
            types.insert(full.clone(), entry(message, &full)?);
        }
        for (name, content) in &content.services {
            service(&mut types, &mut services, content, format!("{package}/srv/{name}"))?;
        }
        for (name, action) in &content.actions {
            let full = format!("{package}/action/{name}");
            for (part, message) in action.messages() {
                let part = format!("{full}_{part}");
                types.insert(part.clone(), entry(message, &part)?);
            }
            for (part, content) in action.services() {
                service(&mut types, &mut services, content, format!("{full}_{part}"))?;
            }
            writeln!(actions, "    ActionDescription {{ name: {full:?} }},")?;
        }
    }
    let types: String = types.into_values().collect();
    let services: String = services.into_values().collect();
    Ok(format!(
        "/// Every message type, sorted by name.\npub(crate) static TYPES: &[TypeDescription] = &[\n{types}];\n\n\
         /// Every service type, sorted by name.\npub(crate) static SERVICES: &[ServiceDescription] = &[\n{services}];\n\n\
         /// Every action type, sorted by name.\npub(crate) static ACTIONS: &[ActionDescription] = &[\n{actions}];\n"
    ))
}

type Entries = BTreeMap<String, String>;

fn service(types: &mut Entries, services: &mut Entries, service: &ResolvedService, full: String) -> Result<()> {
    for (message, part) in [(&service.request, "Request"), (&service.response, "Response")] {
        let part = format!("{full}_{part}");
        types.insert(part.clone(), entry(message, &part)?);
    }
    let hash = service.type_hash.to_rihs_string();
    let text = format!(
        "    ServiceDescription {{ name: {full:?}, hash: {hash:?}, request: \"{full}_Request\", response: \"{full}_Response\" }},\n"
    );
    services.insert(full, text);
    Ok(())
}

fn entry(message: &ResolvedMessage, full: &str) -> Result<String> {
    let parsed = &message.parsed;
    let mut out = String::new();
    writeln!(out, "    TypeDescription {{ name: {full:?}, hash: {:?}, fields: &[", message.type_hash.to_rihs_string())?;
    for field in &parsed.fields {
        let ty = &field.field_type;
        let array = match ty.array {
            ArrayType::Single => "Array::Single".to_string(),
            ArrayType::Fixed(n) => format!("Array::Fixed({n})"),
            ArrayType::Bounded(n) => format!("Array::Bounded({n})"),
            ArrayType::Unbounded => "Array::Unbounded".to_string(),
        };
        let default = field.default.as_ref().map(json);
        writeln!(
            out,
            "        FieldDescription {{ name: {:?}, ty: {}, array: {array}, string_bound: {:?}, default: {default:?} }},",
            field.name,
            element(parsed, &ty.base_type, ty.package.as_deref()),
            ty.string_bound
        )?;
    }
    writeln!(out, "    ], constants: &[")?;
    for c in &parsed.constants {
        writeln!(out, "        ConstantDescription {{ ty: {:?}, name: {:?}, value: {:?} }},", c.const_type, c.name, c.value.trim())?;
    }
    writeln!(out, "    ] }},")?;
    Ok(out)
}

fn element(message: &ParsedMessage, base: &str, package: Option<&str>) -> String {
    let element = match base {
        "bool" => "Bool",
        "byte" => "Byte",
        "char" => "Char",
        "int8" => "Int8",
        "uint8" => "Uint8",
        "int16" => "Int16",
        "uint16" => "Uint16",
        "int32" => "Int32",
        "uint32" => "Uint32",
        "int64" => "Int64",
        "uint64" => "Uint64",
        "float32" => "Float32",
        "float64" => "Float64",
        "string" => "String",
        _ => return format!("Element::Message({:?})", full_name(package.unwrap_or(&message.package), base)),
    };
    format!("Element::{element}")
}

/// A default as JSON text. Rust's debug form of these is JSON already, floats included.
fn json(default: &DefaultValue) -> String {
    match default {
        DefaultValue::Bool(v) => v.to_string(),
        DefaultValue::Int(v) => v.to_string(),
        DefaultValue::Float(v) => format!("{v:?}"),
        DefaultValue::String(v) => format!("{v:?}"),
        DefaultValue::BoolArray(v) => format!("{v:?}"),
        DefaultValue::IntArray(v) => format!("{v:?}"),
        DefaultValue::FloatArray(v) => format!("{v:?}"),
        DefaultValue::StringArray(v) => format!("{v:?}"),
    }
}
