//! What embedded types and doc-only stand-ins share: Rust names, types and defaults, spelled as r2r spells them.

use anyhow::{Result, bail};
use hiroz_codegen::types::{ArrayType, Constant, DefaultValue, Field, ParsedMessage};
use std::fmt::Write;

/// Field names that are Rust keywords get an underscore behind them, as in r2r.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else", "enum", "extern",
    "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv",
    "pub", "ref", "return", "Self", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized",
    "use", "virtual", "where", "while", "yield",
];

pub fn ident(name: &str) -> String {
    if KEYWORDS.contains(&name) { format!("{name}_") } else { name.to_string() }
}

/// The Rust type of a ROS primitive; `None` for a message.
pub fn primitive(ros: &str) -> Option<&'static str> {
    Some(match ros {
        "bool" => "bool",
        "byte" | "char" | "uint8" => "u8",
        "int8" => "i8",
        "int16" => "i16",
        "uint16" => "u16",
        "int32" => "i32",
        "uint32" => "u32",
        "int64" => "i64",
        "uint64" => "u64",
        "float32" => "f32",
        "float64" => "f64",
        "string" => "std::string::String",
        _ => return None,
    })
}

/// Path of the generated messages, from anywhere in the crate.
const ROOT: &str = "crate::messages";

/// Path of a message type; a part of an action (`Name_Goal`) is in the module of the action.
fn path(package: &str, name: &str) -> String {
    match name.split_once('_') {
        Some((action, part)) => format!("{ROOT}::{package}::action::{action}::{part}"),
        None => format!("{ROOT}::{package}::msg::{name}"),
    }
}

/// One field in Rust.
pub struct RustField {
    pub name: String,
    pub ty: String,
    /// How serde has to treat it, if not by default.
    pub with: Option<String>,
    /// Initial value, if `Default::default()` of the type is not it.
    pub initial: Option<String>,
}

pub fn field(message: &ParsedMessage, field: &Field) -> Result<RustField> {
    let ty = &field.field_type;
    let base = match primitive(&ty.base_type) {
        Some(rust) => rust.to_string(),
        None => path(ty.package.as_deref().unwrap_or(&message.package), &ty.base_type),
    };
    let single = matches!(ty.array, ArrayType::Single);
    let mut initial = match &field.default {
        Some(default) => Some(literal(default, &base)?),
        None => None,
    };
    let mut with = None;
    if let ArrayType::Fixed(n) = ty.array {
        with = Some(format!("Fixed::<{n}>"));
        initial = initial.or_else(|| Some(format!("vec![Default::default(); {n}]")));
    } else if !single && base == "u8" {
        with = Some("bytes".to_string());
    }
    let ty = if single { base } else { format!("Vec<{base}>") };
    Ok(RustField { name: ident(&field.name), ty, with, initial })
}

fn literal(default: &DefaultValue, base: &str) -> Result<String> {
    fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
        format!("vec![{}]", items.iter().map(one).collect::<Vec<_>>().join(", "))
    }
    let float = |v: &f64| format!("{v:?} as {base}");
    let int = |v: &i64| format!("{v} as {base}");
    let string = |v: &String| format!("{v:?}.to_string()");
    Ok(match default {
        DefaultValue::Bool(v) => v.to_string(),
        DefaultValue::Int(v) => int(v),
        DefaultValue::Float(v) => float(v),
        DefaultValue::String(v) => string(v),
        DefaultValue::BoolArray(v) => list(v, bool::to_string),
        DefaultValue::IntArray(v) => list(v, int),
        DefaultValue::FloatArray(v) => list(v, float),
        DefaultValue::StringArray(v) => list(v, string),
    })
}

/// The struct and its default. `derives` besides Clone, Debug and PartialEq.
pub fn structure(out: &mut String, message: &ParsedMessage, name: &str, full: &str, derives: &str) -> Result<()> {
    let fields: Vec<_> = message.fields.iter().map(|f| field(message, f)).collect::<Result<_>>()?;
    let plain = fields.iter().all(|f| f.initial.is_none());
    let default = if plain { ", Default" } else { "" };
    writeln!(out, "/// `{full}`\n#[derive(Clone, Debug, PartialEq{default}{derives})]\npub struct {name} {{")?;
    for f in &fields {
        if let (Some(with), false) = (&f.with, derives.is_empty()) {
            writeln!(out, "    #[serde(with = \"{with}\")]")?;
        }
        writeln!(out, "    pub {}: {},", f.name, f.ty)?;
    }
    writeln!(out, "}}")?;
    if !plain {
        writeln!(out, "impl Default for {name} {{\n    fn default() -> Self {{\n        Self {{")?;
        for f in &fields {
            writeln!(out, "            {}: {},", f.name, f.initial.as_deref().unwrap_or("Default::default()"))?;
        }
        writeln!(out, "        }}\n    }}\n}}")?;
    }
    Ok(())
}

/// One constant in Rust: name, type and value.
pub fn constant(c: &Constant, full: &str) -> Result<(String, &'static str, String)> {
    let Some(ty) = primitive(&c.const_type) else { bail!("{full}: constant {} has the unknown type {}", c.name, c.const_type) };
    let value = c.value.trim();
    let (ty, value) = match ty {
        "std::string::String" => ("&str", format!("{:?}", value.trim_matches(['"', '\'']))),
        "bool" => ("bool", matches!(value, "true" | "True" | "1").to_string()),
        "f32" | "f64" => (ty, format!("{value} as {ty}")),
        _ => (ty, value.to_string()),
    };
    Ok((c.name.clone(), ty, value))
}

/// The constants as items of the struct, with their own types.
pub fn constants(out: &mut String, message: &ParsedMessage, name: &str, full: &str) -> Result<()> {
    if message.constants.is_empty() {
        return Ok(());
    }
    writeln!(out, "impl {name} {{")?;
    for c in &message.constants {
        let (constant, ty, value) = constant(c, full)?;
        writeln!(out, "    pub const {constant}: {} = {value};", ty.replace("&str", "&'static str"))?;
    }
    writeln!(out, "}}")?;
    Ok(())
}
