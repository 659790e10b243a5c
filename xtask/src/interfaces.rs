//! What a node says of its topics, services and actions in `--help`, as tables for its README.
//!
//! In a section `topics`, `services` or `actions` an entry is a line `NAME DIRECTION TYPE; QOS` or `NAME TYPE`, indented by two, perhaps
//! with `; while ...` or `; where ...` behind it for what is not always there; lines indented by six say what it is.

use anyhow::{Context, Result, bail};
use std::fmt::Write as _;

/// Sections of the help, and of a README.
pub(crate) const KINDS: [&str; 3] = ["topics", "services", "actions"];

/// A topic, a service or an action.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// One of [`KINDS`].
    pub(crate) kind: &'static str,
    /// As the node's code has it: `~/private`, `relative` or `/absolute`.
    pub(crate) name: String,
    /// Of a topic: whether the node publishes it.
    pub(crate) is_out: bool,
    /// `package/Type`.
    pub(crate) of_type: String,
    qos: String,
    /// When it is there, if not always.
    pub(crate) condition: Option<String>,
    what: String,
}

/// Everything that a help text describes so.
pub(crate) fn parse(help: &str) -> Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::new();
    let mut section = None;
    for line in help.lines() {
        let text = line.trim();
        match line.len() - line.trim_start().len() {
            _ if text.is_empty() => section = None,
            0 => section = KINDS.into_iter().find(|kind| text.split(' ').next() == Some(kind)),
            2 => {
                if let Some(kind) = section {
                    found.push(entry(kind, text).with_context(|| format!("help: `{text}`"))?);
                }
            }
            _ => {
                if let (Some(_), Some(last)) = (section, found.last_mut()) {
                    let space = if last.what.is_empty() { "" } else { " " };
                    let _ = write!(last.what, "{space}{text}");
                }
            }
        }
    }
    Ok(found)
}

fn entry(kind: &'static str, text: &str) -> Result<Interface> {
    let mut parts = text.split("; ");
    let words: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
    let (name, is_out, of_type) = match (kind, &words[..]) {
        ("topics", [name, "in", of_type]) => (name, false, of_type),
        ("topics", [name, "out", of_type]) => (name, true, of_type),
        ("services" | "actions", [name, of_type]) => (name, false, of_type),
        _ => bail!("a topic is `NAME in|out TYPE; QOS`, a service or an action `NAME TYPE`"),
    };
    let qos = if kind == "topics" { parts.next().context("a topic has a quality of service")? } else { "" };
    let condition = parts.next().map(str::to_owned);
    let (name, of_type) = ((*name).to_owned(), (*of_type).to_owned());
    Ok(Interface { kind, name, is_out, of_type, qos: qos.to_owned(), condition, what: String::new() })
}

/// Those of a kind as rows.
pub(crate) fn table(interfaces: &[Interface], kind: &str) -> String {
    let mut table = match kind {
        "topics" => "| topic | type | direction | QoS | what |\n| --- | --- | --- | --- | --- |\n".to_owned(),
        "services" => "| service | type | what |\n| --- | --- | --- |\n".to_owned(),
        _ => "| action | type | what |\n| --- | --- | --- |\n".to_owned(),
    };
    for Interface { name, is_out, of_type, qos, condition, what, .. } in interfaces.iter().filter(|one| one.kind == kind) {
        let _ = write!(table, "| `{name}` | `{of_type}` |");
        if kind == "topics" {
            let _ = write!(table, " {} | {qos} |", if *is_out { "out" } else { "in" });
        }
        let condition = condition.as_ref().map(|when| format!("; {when}")).unwrap_or_default();
        let _ = writeln!(table, " {what}{condition} |");
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HELP: &str = "\
node: does things

topics (of other slots below ~/SLOT/)
  ~/image    in  sensor_msgs/Image; best effort, 5
      frames,
      as they come
  /diagnostics out diagnostic_msgs/DiagnosticArray; reliable, 10; while it runs
      once a second
services
  ~/load pkg/Load
      loads
parameters
  autostart       by itself  (true)
";

    #[test]
    fn help_becomes_tables() {
        let found = parse(HELP).unwrap();
        assert_eq!(
            table(&found, "topics").lines().skip(2).collect::<Vec<_>>(),
            [
                "| `~/image` | `sensor_msgs/Image` | in | best effort, 5 | frames, as they come |",
                "| `/diagnostics` | `diagnostic_msgs/DiagnosticArray` | out | reliable, 10 | once a second; while it runs |"
            ]
        );
        assert_eq!(table(&found, "services").lines().last(), Some("| `~/load` | `pkg/Load` | loads |"));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn what_is_half_said_is_an_error() {
        for line in ["~/image sensor_msgs/Image; 5", "~/image in sensor_msgs/Image", "~/image out of; 5; x y"] {
            let parsed = parse(&format!("topics\n  {line}\n"));
            assert_eq!(parsed.is_ok(), line.contains("x y"), "{line}: {parsed:?}");
        }
    }
}
