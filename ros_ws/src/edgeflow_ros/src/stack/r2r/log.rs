//! rcl's own logging, which writes to the console and to a file as its flags on the command line say. Levels below those of rcl (`--log-level`) do not get through, whatever `RUST_LOG` says.

use crate::logging::{LogOutputs, Record, Severity};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Up to Humble rcl looks up a logger's `/rosout` publisher in a table which creating and dropping a node changes,
/// and leaves it to its users that nobody does both at once.
static TABLE: Mutex<()> = Mutex::new(());

pub(super) fn guard() -> MutexGuard<'static, ()> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct LogOutlet(());

impl LogOutlet {
    pub(crate) fn open(_outputs: &LogOutputs) -> (Self, Option<String>) {
        (Self(()), None)
    }

    pub(crate) fn write(&mut self, record: &Record) {
        let severity = match record.severity {
            Severity::Debug => r2r::LogSeverity::Debug,
            Severity::Info => r2r::LogSeverity::Info,
            Severity::Warn => r2r::LogSeverity::Warn,
            Severity::Error => r2r::LogSeverity::Error,
        };
        let _table = guard();
        r2r::log(&record.message, &record.logger, record.file, record.line, severity);
    }

    pub(crate) fn flush(&mut self) {}
}
