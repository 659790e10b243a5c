//! Whether a graph takes what its manifest feeds it, and gives what its manifest reads.

mod input;
mod output;

use crate::{Error, Manifest, OnnxSchema, Result, ValueInfo};

/// Checks that the message `manifest` describes fits the graph's input, that its constants fit the others, and that the
/// outputs it decodes are there in the shapes its decoder reads, with as many classes as there are labels.
///
/// # Errors
/// [`Error::Mismatch`] says what was expected and what the graph has.
pub fn check_manifest(schema: &OnnxSchema, manifest: &Manifest) -> Result<()> {
    if let Some(spec) = &manifest.input {
        input::check(schema, spec, &manifest.constants)?;
    }
    if let Some(spec) = &manifest.output {
        output::check(schema, spec, &manifest.labels)?;
    }
    Ok(())
}

fn find<'a>(values: &'a [ValueInfo], name: Option<&str>, key: &str, role: &str) -> Result<&'a ValueInfo> {
    match (name, values) {
        (Some(name), _) => values
            .iter()
            .find(|value| value.name == name)
            .ok_or_else(|| mismatch(format!("`{key}` is {name:?}, but the graph's {role}s are {}", names(values)))),
        (None, [only]) => Ok(only),
        (None, _) => Err(mismatch(format!("`{key}` is missing and the graph's {role}s are {}; name one", names(values)))),
    }
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfo>) -> String {
    let names: Vec<&str> = values.into_iter().map(|value| value.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn mismatch(message: String) -> Error {
    Error::Mismatch { message }
}
