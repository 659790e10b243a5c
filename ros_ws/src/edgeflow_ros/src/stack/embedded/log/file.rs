//! The log file, where and named as ROS has it.

use crate::logging::program_name;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

pub(super) struct LogFile {
    file: File,
    path: PathBuf,
}

impl LogFile {
    /// `<program>_<pid>_<milliseconds since 1970>.log`; the prefix stands for the program.
    pub(super) fn create(prefix: Option<&str>) -> Result<Self, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let folder = folder(variable("ROS_LOG_DIR"), variable("ROS_HOME"), std::env::home_dir())
            .ok_or("there is no home folder: set ROS_LOG_DIR")?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let program = prefix.map_or_else(program_name, str::to_string);
        let path = folder.join(format!("{program}_{}_{}.log", std::process::id(), since.as_millis()));
        let fail = |e: std::io::Error| format!("{}: {e}; set ROS_LOG_DIR, or --disable-external-lib-logs", path.display());
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let file = File::create_new(&path).map_err(fail)?;
        Ok(Self { file, path })
    }

    pub(super) fn write(&mut self, line: &str) -> Result<(), String> {
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

/// `ROS_LOG_DIR`, else `ROS_HOME/log`, else `~/.ros/log`.
fn folder(log_dir: Option<String>, ros_home: Option<String>, home: Option<PathBuf>) -> Option<PathBuf> {
    let expand = |path: &str| match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => home.as_ref().map(|home| home.join(rest.trim_start_matches('/'))),
        _ => Some(Path::new(path).to_path_buf()),
    };
    match (log_dir, ros_home) {
        (Some(folder), _) => expand(&folder),
        (None, Some(ros)) => expand(&ros).map(|ros| ros.join("log")),
        (None, None) => expand("~/.ros/log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_where_ros_has_it() {
        let folder = |log: Option<&str>, ros: Option<&str>| {
            folder(log.map(str::to_string), ros.map(str::to_string), Some("/home/ada".into())).unwrap().display().to_string()
        };
        assert_eq!(folder(None, None), "/home/ada/.ros/log");
        assert_eq!(folder(None, Some("/var/ros")), "/var/ros/log");
        assert_eq!(folder(Some("~/logs"), Some("/var/ros")), "/home/ada/logs");
        assert_eq!(super::folder(None, None, None), None);
    }
}
