//! Standard output that may be closed before we are done.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    fmt::{self, Display},
    io::{self, Write},
    str::FromStr,
    sync::OnceLock,
};

use crate::error::CliError;

/// How lists and documents are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: what the API said, or a list of objects with the table's headings as keys.
    Json,
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Json { "json" } else { "table" })
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ => Err("give table or json".to_owned()),
        }
    }
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// Says how, once, before anything is printed.
pub(crate) fn choose(format: Format) {
    let _ = FORMAT.set(format);
}

/// Whether programs read along.
pub(crate) fn as_json() -> bool {
    FORMAT.get() == Some(&Format::Json)
}

/// So many robots.
pub(crate) fn robots(count: usize) -> String {
    if count == 1 { "1 robot".to_owned() } else { format!("{count} robots") }
}

/// Prints a line and flushes it: whoever reads along sees it now.
pub(crate) fn line(text: impl Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Says what was done: a line to people, a document to programs.
pub(crate) fn said(text: impl Display, document: &Value) -> Result<(), CliError> {
    if as_json() { line(format!("{document:#}")) } else { line(text) }
}

/// Prints names, one a line; a list of them to programs.
pub(crate) fn lines(names: impl IntoIterator<Item = impl Into<String> + Display>) -> Result<(), CliError> {
    if as_json() {
        return line(format!("{:#}", names.into_iter().map(|name| Value::from(name.into())).collect::<Value>()));
    }
    names.into_iter().try_for_each(line)
}

/// Prints text that ends its own lines.
pub(crate) fn text(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Prints rows under headings, each column as wide as it needs.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), CliError> {
    if as_json() {
        let keys = headings.map(|heading| heading.trim().to_lowercase().replace(' ', "_"));
        let object = |row: &[String; N]| keys.iter().cloned().zip(row.iter().map(|cell| Value::from(cell.trim()))).collect::<Map<_, _>>();
        return line(format!("{:#}", rows.iter().map(object).map(Value::from).collect::<Value>()));
    }
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = String::new();
    for row in std::iter::once(&headings.map(str::to_owned)).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        lines.push_str(cells.join("  ").trim_end());
        lines.push('\n');
    }
    text(&lines)
}
