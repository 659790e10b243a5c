//! Reads interface packages and resolves them: types in a fixed order, each with its RIHS01 hash.

use anyhow::{Context, Result, bail};
use hiroz_codegen::{
    discovery,
    resolver::Resolver,
    types::{ParsedMessage, ResolvedMessage, ResolvedService},
};
use std::{collections::BTreeMap, path::PathBuf};

/// One interface package.
#[derive(Default)]
pub struct Package {
    pub messages: BTreeMap<String, ResolvedMessage>,
    pub services: BTreeMap<String, ResolvedService>,
}

/// Every package by name.
pub type Packages = BTreeMap<String, Package>;

pub fn read(folders: &[PathBuf]) -> Result<Packages> {
    let folders: Vec<_> = folders.iter().map(PathBuf::as_path).collect();
    let (messages, services, _actions) = discovery::discover_all(&folders).context("read interface files")?;
    for message in &messages {
        refuse_wide_strings(message)?;
    }
    for service in &services {
        refuse_wide_strings(&service.request)?;
        refuse_wide_strings(&service.response)?;
    }
    let mut resolver = Resolver::new(false);
    let messages = resolver.resolve_messages(messages).context("resolve messages")?;
    let services = resolver.resolve_services(services).context("resolve services")?;

    let mut packages = Packages::new();
    for message in messages {
        let package = packages.entry(message.parsed.package.clone()).or_default();
        package.messages.insert(message.parsed.name.clone(), message);
    }
    for service in services {
        let package = packages.entry(service.parsed.package.clone()).or_default();
        package.services.insert(service.parsed.name.clone(), service);
    }
    Ok(packages)
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
