//! Writes log records where rcl would: to the console and to a file in ROS's log folder.

mod console;
mod file;
mod format;

use crate::logging::{LogOutputs, Record, Severity};
use console::Console;
use file::LogFile;
use format::Format;

/// Where the program's log goes.
pub(crate) struct LogOutlet {
    format: Format,
    console: Option<Console>,
    file: Option<LogFile>,
}

impl LogOutlet {
    /// Also why there is no file, if there should be one.
    pub(crate) fn open(outputs: &LogOutputs) -> (Self, Option<String>) {
        let (file, failure) = match outputs.file.then(|| LogFile::create(outputs.file_prefix.as_deref())) {
            None => (None, None),
            Some(Ok(file)) => (Some(file), None),
            Some(Err(reason)) => (None, Some(format!("no log file: {reason}"))),
        };
        let console = outputs.console.then(Console::from_environment);
        (Self { format: Format::from_environment(), console, file }, failure)
    }

    pub(crate) fn write(&mut self, record: &Record) {
        let line = self.format.line(record);
        if let Some(console) = &mut self.console {
            console.write(record.severity, &line);
        }
        if let Some(Err(reason)) = self.file.as_mut().map(|file| file.write(&line)) {
            self.file = None;
            self.write(&Record { severity: Severity::Warn, message: format!("the log file ends here: {reason}"), ..record.clone() });
        }
    }

    pub(crate) fn flush(&mut self) {
        if let Some(console) = &mut self.console {
            console.flush();
        }
    }
}
