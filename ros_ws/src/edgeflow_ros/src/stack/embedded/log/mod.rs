//! Writes log records where rcl would: to the console, to a file in ROS's log folder, and to `/rosout`.

mod console;
mod file;
mod format;

use super::{Node, Publisher, Session};
use crate::{
    constants::rcl_interfaces::msg::Log as Level,
    error::Result,
    logging::{LogOutputs, Record, Severity},
    messages::{builtin_interfaces::msg::Time, rcl_interfaces::msg::Log},
    qos::QosProfile,
};
use console::Console;
use file::LogFile;
use format::Format;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, UNIX_EPOCH},
};

/// The publisher of the node that speaks for the program: the first one that lives.
#[derive(Clone)]
pub(super) struct Rosout {
    wanted: bool,
    speaker: Arc<Mutex<Weak<Publisher<Log>>>>,
}

impl Rosout {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, speaker: Arc::default() }
    }

    /// Every node publishes `/rosout`, as with rcl: that is how tools know that it can.
    pub(super) fn join(&self, node: &Node) -> Result<Option<Arc<Publisher<Log>>>> {
        if !self.wanted {
            return Ok(None);
        }
        // rcl's own profile for this topic.
        let qos = QosProfile::default().keep_last(1000).transient_local().lifespan(Duration::from_secs(10));
        let publisher = Arc::new(node.publisher("/rosout", qos)?);
        let mut speaker = self.speaker.lock().unwrap_or_else(PoisonError::into_inner);
        if speaker.strong_count() == 0 {
            *speaker = Arc::downgrade(&publisher);
        }
        Ok(Some(publisher))
    }

    fn publish(&self, record: &Record) {
        let speaker = self.speaker.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(speaker) = speaker {
            // What fails here (the session is closed) must not be logged: it would fail again.
            drop(speaker.publish(&message(record)));
        }
    }
}

fn message(record: &Record) -> Log {
    let since = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let level = match record.severity {
        Severity::Debug => Level::DEBUG,
        Severity::Info => Level::INFO,
        Severity::Warn => Level::WARN,
        Severity::Error => Level::ERROR,
    };
    Log {
        stamp: Time { sec: i32::try_from(since.as_secs()).unwrap_or(i32::MAX), nanosec: since.subsec_nanos() },
        level,
        name: record.logger.to_string(),
        msg: record.message.clone(),
        file: record.file.to_string(),
        function: record.function.to_string(),
        line: record.line,
    }
}

/// Where the program's log goes.
pub(crate) struct LogOutlet {
    format: Format,
    console: Option<Console>,
    file: Option<LogFile>,
    rosout: Rosout,
}

impl LogOutlet {
    /// Also why there is no file, if there should be one.
    pub(crate) fn open(session: &Session, outputs: &LogOutputs) -> (Self, Option<String>) {
        let (file, failure) = match outputs.file.then(|| LogFile::create(outputs.file_prefix.as_deref())) {
            None => (None, None),
            Some(Ok(file)) => (Some(file), None),
            Some(Err(reason)) => (None, Some(format!("no log file: {reason}"))),
        };
        let console = outputs.console.then(Console::from_environment);
        (Self { format: Format::from_environment(), console, file, rosout: session.rosout.clone() }, failure)
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
        if !record.internal {
            self.rosout.publish(record);
        }
    }

    pub(crate) fn flush(&mut self) {
        if let Some(console) = &mut self.console {
            console.flush();
        }
    }
}
