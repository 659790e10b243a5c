//! `edgeflow logs`: lines of a robot, as they reached the control plane: events of its bridge and nodes, and what a telemetry policy
//! forwards of `/rosout`.

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::client::{Client, encode};
use crate::{
    error::CliError,
    output,
    when::{past, when},
};

/// How often is asked for more.
const POLL: Duration = Duration::from_secs(1);
/// Lines of one request.
const PAGE: u32 = 1000;

/// Arguments of `edgeflow logs`.
#[derive(Args)]
#[command(after_help = "\
Lines are what a robot holds for worth telling: deployments, faults, drift, missions, links, commands, events that software on it
reports, and messages of /rosout where its telemetry policy has a route of them in the class event. Times are the robot's own clock.

Examples:
  edgeflow logs robot-07                            the newest 50 lines
  edgeflow logs robot-07 --since 2h --level warning
  edgeflow logs robot-07 --follow                   until Ctrl-C; with --output json one object a line
  edgeflow logs --level error --since 2026-03-03T14:00")]
pub(crate) struct LogsArguments {
    /// The robot; all of them when not said.
    #[arg(value_name = "ROBOT")]
    target: Option<String>,
    /// Only lines since then: 90s, 5m, 2h or 7d ago, or a time.
    #[arg(long, value_name = "TIME", value_parser = past)]
    since: Option<i64>,
    /// Only lines that ask for so much attention.
    #[arg(long, value_enum, default_value_t)]
    level: Level,
    /// The newest so many lines; all of them with --since.
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "since")]
    lines: Option<usize>,
    /// Go on with what comes.
    #[arg(short, long)]
    follow: bool,
}

/// How much a line asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Good to know.
    #[default]
    Info,
    /// Worth a look.
    Warning,
    /// Something is broken.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Of `rcl_interfaces/msg/Log`.
    fn of_rosout(level: f64) -> Self {
        match level {
            level if level >= 40.0 => Self::Error,
            level if level >= 30.0 => Self::Warning,
            _ => Self::Info,
        }
    }
}

#[derive(Deserialize)]
struct Event {
    id: i64,
    target: String,
    kind: String,
    t_us: i64,
    received_us: i64,
    title: String,
    severity: Level,
    body: Value,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

/// A line, and the event it was made of.
struct Line {
    id: i64,
    t_us: i64,
    received_us: i64,
    level: Level,
    target: String,
    text: String,
    whole: Value,
}

impl Line {
    fn of(whole: Value, path: &str) -> Result<Self, CliError> {
        let event: Event = super::document(whole.clone(), path)?;
        let (level, text) = rosout(&event).unwrap_or((event.severity, event.title));
        Ok(Self { id: event.id, t_us: event.t_us, received_us: event.received_us, level, target: event.target, text, whole })
    }

    fn json(mut self) -> Value {
        if let Some(fields) = self.whole.as_object_mut() {
            fields.insert("level".to_owned(), json!(self.level.word()));
            fields.insert("line".to_owned(), json!(self.text));
        }
        self.whole
    }

    fn print(self) -> Result<(), CliError> {
        if output::as_json() {
            return output::line(self.json());
        }
        let (at, level) = (when(self.t_us), self.level.word());
        output::line(format!("{at} {level:7} {} {}", self.target, self.text))
    }
}

/// A message of `/rosout` that a policy forwards as a sample, as `ros2` prints one.
fn rosout(event: &Event) -> Option<(Level, String)> {
    let topic = event.body.get("topic").and_then(Value::as_str)?;
    if event.kind != "topic_sample" || !topic.ends_with("/rosout") {
        return None;
    }
    let values = event.body.get("values")?;
    let level = Level::of_rosout(values.get("level").and_then(Value::as_f64)?);
    let text = |name| values.get(name).and_then(Value::as_str);
    Some((level, format!("[{}] {}", text("name").unwrap_or("?"), text("msg")?)))
}

pub(crate) async fn logs(arguments: LogsArguments) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    if let Some(target) = &arguments.target {
        // A name nobody has is told now, not by silence.
        client.get(&format!("/targets/{}", encode(target)), &[]).await?;
    }
    let most = arguments.lines.unwrap_or(if arguments.since.is_some() { usize::MAX } else { 50 });
    let (newest, lines) = read(&client, &arguments, None, most).await?;
    if !arguments.follow {
        if output::as_json() {
            return super::json(&json!({ "items": lines.into_iter().map(Line::json).collect::<Vec<_>>() }));
        }
        return lines.into_iter().try_for_each(Line::print);
    }
    lines.into_iter().try_for_each(Line::print)?;
    let mut newest = newest;
    loop {
        tokio::time::sleep(POLL).await;
        let (seen, lines) = match read(&client, &arguments, Some(newest), usize::MAX).await {
            Ok(read) => read,
            // Whoever follows wants to see what comes after a restart, too.
            Err(CliError::Unreachable { .. } | CliError::Identity(_)) => continue,
            Err(error) => return Err(error),
        };
        newest = newest.max(seen);
        lines.into_iter().try_for_each(Line::print)?;
    }
}

/// The newest id there is, and lines beyond `after`, oldest first: at most `most`, the newest of them.
async fn read(client: &Client, arguments: &LogsArguments, after: Option<i64>, most: usize) -> Result<(i64, Vec<Line>), CliError> {
    let (mut newest, mut lines, mut next) = (after.unwrap_or_default(), Vec::new(), None::<String>);
    'pages: loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(arguments.target.clone().map(|target| ("target", target)));
        query.extend(next.take().map(|next| ("after", next)));
        let page: Page = super::document(client.get("/events", &query).await?, "/events")?;
        for item in page.items {
            let line = Line::of(item, "/events")?;
            newest = newest.max(line.id);
            // They come newest first by arrival.
            if after.is_some_and(|after| line.id <= after) || lines.len() >= most {
                break 'pages;
            }
            // What happened since then cannot have arrived before; what arrived since then may well be older.
            if arguments.since.is_some_and(|since| line.received_us < since) {
                break 'pages;
            }
            if line.level >= arguments.level && arguments.since.is_none_or(|since| line.t_us >= since) {
                lines.push(line);
            }
        }
        match page.next {
            Some(following) => next = Some(following),
            None => break,
        }
    }
    lines.reverse();
    Ok((newest, lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: Value) -> Line {
        Line::of(event, "/events").unwrap()
    }

    fn event(kind: &str, body: &Value) -> Value {
        json!({ "id": 7, "target": "robot-1", "kind": kind, "t_us": 1, "received_us": 2, "title": "told", "severity": "info", "body": body })
    }

    #[test]
    fn a_message_of_rosout_is_a_line_of_its_node() {
        let values = json!({ "level": 40, "name": "planner", "msg": "no way" });
        let told = line(event("topic_sample", &json!({ "topic": "/robot_1/rosout", "values": values })));
        assert_eq!((told.level, told.text.as_str()), (Level::Error, "[planner] no way"));
        let told = line(event("topic_sample", &json!({ "topic": "/rosout", "values": { "level": 30.0, "msg": "slow" } })));
        assert_eq!((told.level, told.text.as_str()), (Level::Warning, "[?] slow"));
    }

    #[test]
    fn what_is_no_message_of_rosout_keeps_its_title() {
        for (kind, body) in [
            ("topic_sample", json!({ "topic": "/battery", "values": { "level": 40 } })),
            ("topic_sample", json!({ "topic": "/rosout", "values": { "name": "x" } })),
            ("fault", json!({ "source": "x", "message": "y" })),
        ] {
            let told = line(event(kind, &body));
            assert_eq!((told.level, told.text.as_str()), (Level::Info, "told"), "{body}");
        }
    }
}
