//! Lines as rcutils forms them, by `RCUTILS_CONSOLE_OUTPUT_FORMAT`.

use crate::logging::{Record, Severity};
use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

const ENVIRONMENT: &str = "RCUTILS_CONSOLE_OUTPUT_FORMAT";
const DEFAULT: &str = "[{severity}] [{time}] [{name}]: {message}";

pub(super) struct Format(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Severity,
    Name,
    Message,
    Function,
    File,
    Line,
    Seconds,
    Nanoseconds,
}

impl Part {
    fn named(token: &str) -> Option<Self> {
        Some(match token {
            "severity" => Self::Severity,
            "name" => Self::Name,
            "message" => Self::Message,
            "function_name" => Self::Function,
            "file_name" => Self::File,
            "line_number" => Self::Line,
            "time" => Self::Seconds,
            "time_as_nanoseconds" => Self::Nanoseconds,
            _ => return None,
        })
    }
}

impl Format {
    pub(super) fn from_environment() -> Self {
        Self::parse(std::env::var(ENVIRONMENT).ok().filter(|text| !text.is_empty()).as_deref().unwrap_or(DEFAULT))
    }

    /// What is in braces but no token stays as it is, as in rcutils.
    fn parse(text: &str) -> Self {
        let text = text.replace("\\n", "\n").replace("\\t", "\t");
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, behind)) = rest.split_once('{') {
            let token = behind.split_once('}').and_then(|(token, after)| Some((Part::named(token)?, after)));
            let (text, part, after) = match token {
                Some((part, after)) => (before.to_string(), Some(part), after),
                None => (format!("{before}{{"), None, behind),
            };
            parts.push(Part::Text(text));
            parts.extend(part);
            rest = after;
        }
        parts.push(Part::Text(rest.to_string()));
        Self(parts)
    }

    /// Without an end of line.
    pub(super) fn line(&self, record: &Record) -> String {
        let mut line = String::with_capacity(record.message.len() + 64);
        for part in &self.0 {
            match part {
                Part::Text(text) => line += text,
                Part::Severity => line += severity(record.severity),
                Part::Name => line += &record.logger,
                Part::Message => line += &record.message,
                Part::Function => line += record.function,
                Part::File => line += record.file,
                Part::Line => line += &record.line.to_string(),
                Part::Seconds => {
                    let since = since_epoch(record.at);
                    let written = write!(line, "{:010}.{:09}", since.as_secs(), since.subsec_nanos());
                    debug_assert!(written.is_ok(), "a String takes everything");
                }
                Part::Nanoseconds => line += &format!("{:019}", since_epoch(record.at).as_nanos()),
            }
        }
        line
    }
}

fn since_epoch(at: SystemTime) -> std::time::Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warn => "WARN",
        Severity::Error => "ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(format: &str) -> String {
        Format::parse(format).line(&Record {
            at: UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
            severity: Severity::Warn,
            logger: "robot_1.camera".into(),
            message: "dark {time}".into(),
            file: "src/camera.rs",
            line: 7,
            function: "camera::frames",
            internal: false,
        })
    }

    #[test]
    fn lines_look_as_those_of_ros() {
        assert_eq!(line(DEFAULT), "[WARN] [1700000000.123456789] [robot_1.camera]: dark {time}");
        assert_eq!(
            line("{time_as_nanoseconds} {file_name}:{line_number}\\t({function_name}) {message}"),
            "1700000000123456789 src/camera.rs:7\t(camera::frames) dark {time}"
        );
        assert_eq!(line("{what} {{name}} {severity"), "{what} {robot_1.camera} {severity");
    }
}
