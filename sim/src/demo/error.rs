//! Why the story could not begin, or did not hold.

use std::path::PathBuf;

/// Errors of the demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Files that the demo needs are not there.
    #[error("the demo needs what is not there:{}", listed(what))]
    Missing {
        /// What is missing, each with its remedy.
        what: Vec<String>,
    },
    /// Something on this machine holds what the demo needs.
    #[error("the demo cannot start, this is in its way:{}", listed(what))]
    InTheWay {
        /// What is in the way, each with its remedy.
        what: Vec<String>,
    },
    /// A file or folder could not be read or written.
    #[error("could not {action}: {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("could not start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A program ended while the demo needed it.
    #[error("{name} ended ({status}); its log is {}{}", log.display(), tail(last_lines))]
    Ended {
        /// The process.
        name: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        last_lines: String,
    },
    /// A program's first line is not what was agreed on.
    #[error("{name} began with {line:?} instead of {expected:?}; its log is {}", log.display())]
    FirstLine {
        /// The process.
        name: String,
        /// What it printed.
        line: String,
        /// What it should have printed.
        expected: &'static str,
        /// Its log.
        log: PathBuf,
    },
    /// The control plane could not be reached.
    #[error("{method} {path} got no answer from the control plane")]
    Http {
        /// Method.
        method: &'static str,
        /// Path.
        path: String,
        /// Why it failed.
        #[source]
        source: reqwest::Error,
    },
    /// The control plane refused a request.
    #[error("{method} {path} was answered with {status}: {message}")]
    Refused {
        /// Method.
        method: &'static str,
        /// Path.
        path: String,
        /// HTTP status.
        status: u16,
        /// The control plane's message.
        message: String,
    },
    /// ROS refused something.
    #[error("could not {action}")]
    Ros {
        /// What was tried.
        action: String,
        /// Why it failed.
        #[source]
        source: edgeflow_ros::Error,
    },
    /// A robot's service answered that it could not.
    #[error("{robot} did not {action}: {message}")]
    Robot {
        /// The robot.
        robot: String,
        /// What it was asked.
        action: String,
        /// Its answer.
        message: String,
    },
    /// What was waited for did not come.
    #[error("waited {limit_s} s for {what}, but {seen}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long, seconds.
        limit_s: u64,
        /// What was there instead.
        seen: String,
    },
    /// A step's claim turned out false.
    #[error("{0}")]
    NotHeld(String),
    /// The system does not let the demo listen for signals.
    #[error("could not listen for Ctrl-C")]
    Signals(#[source] std::io::Error),
    /// The user stopped the demo.
    #[error("stopped by the user before the story was told")]
    Interrupted,
}

fn listed(what: &[String]) -> String {
    what.iter().map(|item| format!("\n  - {item}")).collect()
}

fn tail(last_lines: &str) -> String {
    last_lines.lines().map(|line| format!("\n    | {line}")).collect()
}
