//! Logging as ROS has it, with `tracing` as the source: every event goes to the console, to a log file
//! and to `/rosout`. What an event says, whether it is said and that saying it never holds anybody up is
//! decided here for both stacks, which only write to console and file ([`stack::LogOutlet`]).

mod backlog;
mod layer;
mod levels;
mod rosout;
mod throttle;

use crate::{context::Context, error::Result, names, node, stack};
use backlog::Backlog;
use layer::RosLayer;
use levels::Levels;
use rosout::Rosout;
pub(crate) use rosout::RosoutPublisher;
use std::{
    sync::{Arc, OnceLock, PoisonError, RwLock, Weak},
    time::{Duration, SystemTime},
};
use throttle::Throttle;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

/// How long leaving waits at most for records that are still to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Brings every `tracing` event of the program to the console, to a log file and to `/rosout`, under the
/// name of the context's node. Does nothing where a subscriber is installed already.
///
/// Levels: `--log-level level`, else `RUST_LOG`, else `info`; `--log-level name:=level` for one logger
/// (`robot_1.camera`) or one module (`edgeflow_inference.node`). The transport's own chatter is held at
/// warnings unless named.
pub fn init_tracing(context: &Context) {
    let arguments = &context.0.arguments;
    let (levels, complaint) = Levels::new(arguments, environment());
    let logger = context.0.logger.clone();
    let throttle = Arc::new(Throttle::default());
    let layer = RosLayer::new(levels, logger.clone(), throttle.clone());
    if tracing_subscriber::registry().with(layer).try_init().is_err() {
        return;
    }
    let (outlet, failure) = stack::LogOutlet::open(&arguments.log_outputs);
    if let Err(error) = backlog::write_in_background(logger, throttle, outlet) {
        // There is nobody else to tell.
        eprintln!("logging: no thread to write with: {error}");
    }
    for problem in [complaint, failure].into_iter().flatten() {
        tracing::warn!("{problem}");
    }
}

/// `RUST_LOG` as the program got it. To be asked for before a stack opens: rmw_zenoh sets it for its own ends.
pub(crate) fn environment() -> Option<&'static str> {
    static GIVEN: OnceLock<Option<String>> = OnceLock::new();
    GIVEN.get_or_init(|| std::env::var("RUST_LOG").ok()).as_deref()
}

/// Where logs go, from `--disable-stdout-logs` and its kind.
#[derive(Clone, Debug)]
pub(crate) struct LogOutputs {
    pub(crate) console: bool,
    /// `external-lib-logs`: that library writes the file.
    pub(crate) file: bool,
    pub(crate) rosout: bool,
    /// From `--log-file-name`, instead of the program's name.
    pub(crate) file_prefix: Option<String>,
}

impl Default for LogOutputs {
    fn default() -> Self {
        Self { console: true, file: true, rosout: true, file_prefix: None }
    }
}

/// ROS's levels. `tracing` has no fatal, and its trace is debug here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<&tracing::Level> for Severity {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// One log message.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) at: SystemTime,
    pub(crate) severity: Severity,
    /// `robot_1.camera`
    pub(crate) logger: Arc<str>,
    pub(crate) message: String,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    /// Path of the module; `tracing` does not know the function.
    pub(crate) function: &'static str,
    /// From the stack's own crates. Such a record must not cause traffic, or it would cause itself.
    pub(crate) internal: bool,
}

/// Under which name a program logs, and what it has yet to write.
pub(crate) struct Logger {
    /// The program's until there is a node.
    node: RwLock<(Arc<str>, Weak<node::Inner>)>,
    rosout: Rosout,
    backlog: Backlog,
}

impl Logger {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { node: RwLock::new((program_name().into(), Weak::new())), rosout: Rosout::default(), backlog: Backlog::default() })
    }

    /// What a node must hold as long as it wants to be heard on `/rosout`.
    pub(crate) fn join(&self, node: &stack::Node, outputs: &LogOutputs) -> Result<Option<RosoutPublisher>> {
        self.rosout.join(node, outputs)
    }

    /// From here on the program logs as this node, unless it does as another that still lives.
    pub(crate) fn introduce(&self, node: &Arc<node::Inner>, namespace: &str, name: &str) {
        let mut current = self.node.write().unwrap_or_else(PoisonError::into_inner);
        if current.1.strong_count() == 0 {
            *current = (logger_name(namespace, name).into(), Arc::downgrade(node));
        }
    }

    fn name(&self) -> Arc<str> {
        self.node.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Waits until what was logged so far is written, but not for long.
    pub(crate) fn flush(&self) {
        self.backlog.flush(LAST_WORDS);
    }
}

/// As rcl names a node's logger: `/robot_1/camera` is `robot_1.camera`.
fn logger_name(namespace: &str, name: &str) -> String {
    names::fully_qualified(namespace, name).trim_start_matches('/').replace('/', ".")
}

/// The executable's file name.
pub(crate) fn program_name() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(std::path::Path::file_stem).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "program".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loggers_are_named_as_rcl_names_them() {
        assert_eq!(logger_name("/", "camera"), "camera");
        assert_eq!(logger_name("/fleet/robot_1", "camera"), "fleet.robot_1.camera");
    }
}
