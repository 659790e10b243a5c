//! The arguments ROS gives a program: everything between `--ros-args` and `--`.

use crate::{
    error::{Error, Result},
    logging::LogOutputs,
    names::{Remap, Remaps},
    parameters::{self, Assignment},
};

/// Parsed arguments of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) remaps: Remaps,
    pub(crate) assignments: Vec<Assignment>,
    /// From `--log-level`.
    pub(crate) log_level: Option<String>,
    /// From `--log-level name:=level`.
    pub(crate) logger_levels: Vec<(String, String)>,
    pub(crate) log_outputs: LogOutputs,
    /// What is not for ROS.
    pub(crate) rest: Vec<String>,
}

const LEVELS: [&str; 6] = ["debug", "info", "warn", "error", "fatal", "unset"];

impl Arguments {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        let mut arguments = arguments.into_iter();
        let mut ros = false;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--ros-args" => ros = true,
                "--" if ros => ros = false,
                _ if ros => parsed.ros(argument, &mut arguments)?,
                _ => parsed.rest.push(argument),
            }
        }
        Ok(parsed)
    }

    fn ros(&mut self, argument: String, rest: &mut impl Iterator<Item = String>) -> Result<()> {
        let mut value = || rest.next().ok_or_else(|| fail(&argument, "a value must follow"));
        match argument.as_str() {
            "-r" | "--remap" => {
                let rule = value()?;
                self.remaps.0.push(Remap::parse(&rule).map_err(|reason| fail(&format!("{argument} {rule}"), reason))?);
            }
            "-p" | "--param" => {
                let text = value()?;
                self.assignments.push(parameters::parse_assignment(&text).map_err(|reason| fail(&format!("{argument} {text}"), reason))?);
            }
            "--params-file" => self.assignments.extend(parameters::read_file(&value()?)?),
            "--log-level" => {
                let text = value()?;
                let (logger, level) = text.split_once(":=").map_or((None, text.as_str()), |(l, v)| (Some(l), v));
                let level = level.to_ascii_lowercase();
                if !LEVELS.contains(&level.as_str()) {
                    return Err(fail(&format!("{argument} {text}"), format!("the level must be one of {}", LEVELS.join(", "))));
                }
                match logger {
                    Some(logger) => self.logger_levels.push((logger.to_string(), level)),
                    None => self.log_level = Some(level),
                }
            }
            "--log-file-name" => self.log_outputs.file_prefix = Some(value()?),
            "--enable-stdout-logs" => self.log_outputs.console = true,
            "--disable-stdout-logs" => self.log_outputs.console = false,
            "--enable-external-lib-logs" => self.log_outputs.file = true,
            "--disable-external-lib-logs" => self.log_outputs.file = false,
            "--enable-rosout-logs" => self.log_outputs.rosout = true,
            "--disable-rosout-logs" => self.log_outputs.rosout = false,
            // Read so that launch files can pass them: ROS's own logging has no such file either, and there is no security here.
            "--log-config-file" | "-e" | "--enclave" => drop(value()?),
            // rcl's older spelling of a remap rule.
            rule if rule.contains(":=") => {
                self.remaps.0.push(Remap::parse(rule).map_err(|reason| fail(rule, reason))?);
            }
            _ => {
                return Err(fail(
                    &argument,
                    "it is not known: -r, -p, --params-file and --log-level are; end them with -- before the program's own arguments",
                ));
            }
        }
        Ok(())
    }
}

fn fail(argument: &str, reason: impl Into<String>) -> Error {
    Error::Argument { argument: argument.to_string(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_string))
    }

    #[test]
    fn ros_arguments_are_taken_and_the_rest_is_left() {
        let parsed = parse("--mine 1 --ros-args -r a:=b -p rate:=2.0 -r __ns:=/robot_1 --log-level debug --log-level zenoh:=warn --disable-rosout-logs --disable-stdout-logs --enable-stdout-logs -- --also mine").unwrap();
        assert_eq!(parsed.rest, ["--mine", "1", "--also", "mine"]);
        assert_eq!(parsed.remaps.0.len(), 2);
        assert_eq!(parsed.assignments.len(), 1);
        assert_eq!(parsed.log_level.as_deref(), Some("debug"));
        assert_eq!(parsed.logger_levels, [("zenoh".to_string(), "warn".to_string())]);
        assert!(parsed.log_outputs.console && parsed.log_outputs.file && !parsed.log_outputs.rosout);
    }

    #[test]
    fn unknown_and_malformed_arguments_are_named() {
        for line in [
            "--ros-args --what",
            "--ros-args -r",
            "--ros-args -r a",
            "--ros-args -p x",
            "--ros-args --log-level loud",
            "--ros-args --params-file /nowhere.yaml",
            "--ros-args --enable-x",
        ] {
            let error = parse(line).unwrap_err().to_string();
            let last = line.split_whitespace().last().unwrap();
            assert!(error.contains(last), "{line}: {error}");
        }
    }
}
