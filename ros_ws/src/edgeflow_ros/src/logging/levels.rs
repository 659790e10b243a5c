//! Which events are logged: by the command line as ROS has it, else by `RUST_LOG`.

use crate::{args::Arguments, stack};
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;

/// From the most to the least specific.
#[derive(Debug)]
pub(super) struct Levels {
    default: LevelFilter,
    /// Dotted names of modules, which are matched as Rust's filters match them: by their beginning.
    modules: Vec<(String, LevelFilter)>,
    /// Names of loggers, which are hierarchies by their dots. They are modules too, since only the reader
    /// of a log line knows which of the two he has seen.
    loggers: Vec<(String, LevelFilter)>,
}

impl Levels {
    /// Also what is wrong with `RUST_LOG`, if something is.
    pub(super) fn new(arguments: &Arguments, environment: Option<&str>) -> (Self, Option<String>) {
        let environment = environment.filter(|text| !text.trim().is_empty() && arguments.log_level.is_none());
        let (mut complaint, mut modules) = (None, Vec::new());
        let mut default = arguments.log_level.as_deref().map_or(LevelFilter::INFO, level);
        let targets = environment.and_then(|text| {
            let parsed = text.parse::<Targets>();
            parsed.inspect_err(|error| complaint = Some(format!("RUST_LOG={text} is not understood and ignored: {error}"))).ok()
        });
        match targets {
            Some(targets) => {
                default = targets.default_level().unwrap_or(LevelFilter::ERROR);
                modules.extend(targets.iter().map(|(target, level)| (target.replace("::", "."), level)));
            }
            None => modules.extend(stack::INTERNALS.iter().map(|name| ((*name).to_string(), LevelFilter::WARN))),
        }
        let loggers: Vec<_> = arguments.logger_levels.iter().map(|(name, wanted)| (name.clone(), level(wanted))).collect();
        // The later wins, and the longer before the shorter.
        modules.extend(loggers.iter().cloned());
        let ordered = |mut rules: Vec<(String, LevelFilter)>| {
            rules.reverse();
            rules.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
            rules
        };
        (Self { default, modules: ordered(modules), loggers: ordered(loggers) }, complaint)
    }

    /// Whether an event of a logger of this name is logged.
    pub(super) fn enabled(&self, metadata: &Metadata<'_>, logger: &str) -> bool {
        self.allows(metadata.target(), logger, *metadata.level())
    }

    fn allows(&self, target: &str, logger: &str, level: Level) -> bool {
        let module = target.replace("::", ".");
        let by_module = self.modules.iter().find(|(name, _)| module.starts_with(name.as_str()));
        let below = |name: &str| logger.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let rule = by_module.or_else(|| self.loggers.iter().find(|(name, _)| below(name)));
        level <= rule.map_or(self.default, |(_, level)| *level)
    }

    /// The most that is logged of anything.
    pub(super) fn most(&self) -> LevelFilter {
        self.modules.iter().map(|(_, level)| *level).fold(self.default, LevelFilter::max)
    }
}

/// A ROS level, of those the arguments allow.
fn level(ros: &str) -> LevelFilter {
    match ros {
        "debug" => LevelFilter::TRACE,
        "warn" => LevelFilter::WARN,
        "error" | "fatal" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(arguments: &str, environment: Option<&str>) -> (Levels, Option<String>) {
        let arguments = Arguments::parse(arguments.split_whitespace().map(str::to_string)).unwrap();
        Levels::new(&arguments, environment)
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_info_is_the_default() {
        let (by_default, _) = levels("", None);
        assert!(by_default.allows("app", "node", Level::INFO) && !by_default.allows("app", "node", Level::DEBUG));
        let (environment, _) = levels("", Some("warn,app::camera=debug"));
        assert!(!environment.allows("app", "node", Level::INFO));
        assert!(environment.allows("app::camera::frames", "node", Level::DEBUG));
        let (arguments, _) = levels("--ros-args --log-level debug", Some("error"));
        assert!(arguments.allows("app", "node", Level::TRACE), "ROS has no trace: it is part of debug");
    }

    #[test]
    fn a_level_can_be_for_one_logger_one_namespace_or_one_module() {
        let (levels, _) =
            levels("--ros-args --log-level robot_1:=warn --log-level robot_1.camera:=debug --log-level app.drift:=error", None);
        assert!(levels.allows("app", "robot_1.camera", Level::DEBUG));
        assert!(!levels.allows("app", "robot_1.camera_2", Level::INFO) && levels.allows("app", "robot_1.camera_2", Level::WARN));
        assert!(levels.allows("app", "robot_10.camera", Level::INFO));
        assert!(!levels.allows("app::drift::window", "robot_1.camera", Level::WARN), "the module is the more specific");
        assert_eq!(levels.most(), LevelFilter::TRACE);
    }

    #[test]
    fn the_transport_is_quiet_unless_named() {
        let Some(name) = stack::INTERNALS.first() else { return };
        let (quiet, _) = levels("--ros-args --log-level debug", None);
        assert!(!quiet.allows(name, "node", Level::INFO) && quiet.allows(name, "node", Level::WARN));
        let (loud, _) = levels(&format!("--ros-args --log-level {name}:=debug"), None);
        assert!(loud.allows(name, "node", Level::DEBUG));
    }

    #[test]
    fn an_environment_that_makes_no_sense_is_said_and_ignored() {
        let (levels, complaint) = levels("", Some("app=loud"));
        assert!(complaint.unwrap().contains("RUST_LOG=app=loud"));
        assert!(levels.allows("app", "node", Level::INFO));
    }
}
