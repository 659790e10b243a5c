//! Reads interface packages and resolves them: types in a fixed order, each with its RIHS01 hash.

use super::{
    action::{self, Action},
    hash::{Types, full_name},
};
use anyhow::{Context, Result, bail};
use hiroz_codegen::{
    discovery,
    types::{ArrayType, Field, FieldType, ParsedMessage, ResolvedMessage, ResolvedService},
};
use std::{collections::BTreeMap, path::PathBuf};

/// One interface package.
#[derive(Default)]
pub struct Package {
    pub messages: BTreeMap<String, ResolvedMessage>,
    pub services: BTreeMap<String, ResolvedService>,
    pub actions: BTreeMap<String, Action>,
}

/// Every package by name.
pub type Packages = BTreeMap<String, Package>;

/// Reads these packages; `correct` sees each message before it is hashed.
pub fn read(folders: &[PathBuf], correct: fn(ParsedMessage) -> ParsedMessage) -> Result<Packages> {
    let folders: Vec<_> = folders.iter().map(PathBuf::as_path).collect();
    let (messages, services, actions) = discovery::discover_all(&folders).context("read interface files")?;
    for message in &messages {
        refuse_wide_strings(message)?;
    }
    for service in &services {
        refuse_wide_strings(&service.request)?;
        refuse_wide_strings(&service.response)?;
    }
    for action in &actions {
        action::parts(action)?.iter().try_for_each(refuse_wide_strings)?;
    }
    let messages: Vec<_> = messages.into_iter().map(correct).collect();
    // All are described before any is hashed, so their order does not matter.
    let mut types = Types::default();
    let name = |message: &ParsedMessage| full_name(&message.package, &message.name);
    messages.iter().try_for_each(|message| types.describe(message, &name(message)))?;

    let mut packages = Packages::new();
    for message in messages {
        let full = name(&message);
        let message = types.message(message, &full)?;
        let package = packages.entry(message.parsed.package.clone()).or_default();
        package.messages.insert(message.parsed.name.clone(), message);
    }
    for service in services {
        let full = format!("{}/srv/{}", service.package, service.name);
        let service = types.service(service, &full)?;
        let package = packages.entry(service.parsed.package.clone()).or_default();
        package.services.insert(service.parsed.name.clone(), service);
    }
    for action in actions {
        let action = action::resolve(&mut types, action)?;
        let package = packages.entry(action.package.clone()).or_default();
        package.actions.insert(action.name.clone(), action);
    }
    Ok(packages)
}

/// `hiroz-codegen` has this message as it became after Jazzy.
pub fn corrected(mut message: ParsedMessage) -> ParsedMessage {
    if (message.package.as_str(), message.name.as_str()) == ("lifecycle_msgs", "TransitionEvent") {
        let field_type = FieldType { base_type: "uint64".into(), package: None, array: ArrayType::Single, string_bound: None };
        message.fields.retain(|field| field.name != "stamp");
        message.fields.insert(0, Field { name: "timestamp".into(), field_type, default: None });
    }
    message
}

/// A `wstring` is UTF-16 on the wire and no interface we use has one: better refused here than wrong on the wire.
fn refuse_wide_strings(message: &ParsedMessage) -> Result<()> {
    for field in &message.fields {
        if matches!(field.field_type.base_type.as_str(), "wstring" | "wchar") {
            bail!(
                "{}/{}: field {} is a {}, which is not supported: use string (UTF-8)",
                message.package,
                message.name,
                field.name,
                field.field_type.base_type
            );
        }
    }
    Ok(())
}

/// Name and hash of every type of a package.
pub fn hashes(package: &str, content: &Package) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut service = |service: &ResolvedService, full: String| {
        all.insert(format!("{full}_Request"), service.request.type_hash.to_rihs_string());
        all.insert(format!("{full}_Response"), service.response.type_hash.to_rihs_string());
        all.insert(full, service.type_hash.to_rihs_string());
    };
    content.services.iter().for_each(|(name, content)| service(content, format!("{package}/srv/{name}")));
    for (name, action) in &content.actions {
        action.services().into_iter().for_each(|(part, content)| service(content, format!("{package}/action/{name}_{part}")));
    }
    for (name, action) in &content.actions {
        let messages = action.messages().into_iter();
        all.extend(messages.map(|(part, message)| (format!("{package}/action/{name}_{part}"), message.type_hash.to_rihs_string())));
    }
    all.extend(content.messages.iter().map(|(name, message)| (format!("{package}/msg/{name}"), message.type_hash.to_rihs_string())));
    all
}
